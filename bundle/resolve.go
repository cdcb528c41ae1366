package bundle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// resolveTime is how long Pkg may take: it may have to fetch the registry and
// some packages.
const resolveTime = 10 * time.Minute

// resolveManifest makes the manifest that a project lacks, with the user's Julia
// if that is the job's. It reports whether there is one now, in the overlay: the
// user's directory is not written to.
func (b *builder) resolveManifest(at string, p *projectFile) (bool, error) {
	if b.options.JuliaExe == "" {
		return false, nil
	}
	root, err := b.overlay.workspaceRoot(p, b.options.Julia, b.options.Home)
	if err != nil || root != p || len(p.Workspace.Projects) > 0 {
		return false, err // a workspace's manifest is more than one project's
	}
	version, err := juliaVersion(b.ctx, b.options.JuliaExe)
	if err != nil {
		return false, b.ctx.Err()
	}
	path := join(at, "Manifest.toml")
	switch {
	case b.options.Julia == "":
		b.warn("manifest-resolved", path, "%s has no manifest: it was resolved with Julia %s, and the job's Julia is not known", join(at, filepath.Base(p.file)), version)
	case minorOf(version) != minorOf(b.options.Julia):
		return false, nil
	}
	text, err := resolveCopy(b.ctx, b.options.JuliaExe, p)
	if err != nil {
		b.warn("resolve-failed", path, "%s has no manifest, and resolving one failed: %v", join(at, filepath.Base(p.file)), err)
		return false, b.ctx.Err()
	}
	unsaved := maps.Clone(b.overlay.unsaved)
	unsaved[filepath.Join(p.dir(), "Manifest.toml")] = text
	b.overlay = newOverlay(b.root.top, unsaved)
	return true, b.walkRoot()
}

// juliaVersion asks a Julia for its version, such as "1.10.4".
func juliaVersion(ctx context.Context, exe string) (string, error) {
	out, err := exec.CommandContext(ctx, exe, "--startup-file=no", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", exe, err)
	}
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "julia version ")
	if !ok {
		return "", fmt.Errorf("%s is no julia", exe)
	}
	return version, nil
}

// minorOf returns "X.Y" of a version.
func minorOf(version string) string {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return major + "." + minor
}

// resolveCopy resolves a copy of the project file in a directory of its own, whose
// relative [sources] are absolute there, and returns the manifest as it would
// stand beside the project file.
func resolveCopy(ctx context.Context, exe string, p *projectFile) (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "juliahub-resolve-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dir = realPath(dir)
	sources, err := parseSources(p.file, p.data)
	if err != nil {
		return nil, err
	}
	text := editPaths(sources, func(target string) string { return filepath.ToSlash(target) })
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(p.file)), text, 0o600); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "--startup-file=no", "--color=no", "--project="+dir, "-e", "import Pkg; Pkg.resolve()")
	cmd.Env = append(os.Environ(), "JULIA_PKG_PRECOMPILE_AUTO=0")
	cmd.WaitDelay = 5 * time.Second // Pkg's own children may hold the pipe
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("julia: %s (%w)", firstError(string(out)), err)
	}
	for _, name := range manifestNames("") {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(file, data)
		if err != nil {
			return nil, err
		}
		return editPaths(m, func(target string) string {
			rel, err := filepath.Rel(p.dir(), target)
			if err != nil {
				return filepath.ToSlash(target) // on another drive
			}
			return filepath.ToSlash(rel)
		}), nil
	}
	return nil, errors.New("julia wrote no manifest")
}

// editPaths changes every path of a manifest or of [sources], given as an
// absolute one.
func editPaths(m *manifest, change func(target string) string) []byte {
	var edits []edit
	for i := range m.entries {
		if value, ok := m.entries[i].fields["path"]; ok {
			edits = append(edits, edit{value.start, value.end, quoteTOML(change(m.target(value.text)))})
		}
	}
	return apply(m.data, inOrder(edits))
}

// firstError finds the line of Julia's output that says what went wrong.
func firstError(out string) string {
	for line := range strings.SplitSeq(out, "\n") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "ERROR: "); ok {
			return rest
		}
	}
	return "it failed without a word"
}

package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"juliahub-lsp/internal/atomicfile"
)

// resolveTime is how long Pkg may take: it may have to fetch the registry and
// some packages.
const resolveTime = 10 * time.Minute

// ResolveOptions say what to resolve.
type ResolveOptions struct {
	Dir      string            // of the project, absolute
	Home     string            // the user's home directory: a workspace is not looked for past it
	JuliaExe string            // the julia to do it
	Unsaved  map[string][]byte // as in Options
	// Progress is told each line that Julia prints, from a goroutine of its own
	// but one at a time; nil = nobody wants to know.
	Progress func(line string)
}

// Resolution is a manifest that Julia made, not yet in its place.
type Resolution struct {
	Julia    string // the version that made it, such as "1.10.4"
	Project  string // the project file, absolute: in a workspace, the root's
	Manifest string // the file that it becomes, absolute

	text   []byte
	before map[string][]byte // what it was made of, by file; nil = there was no such file
}

// StaleError says that a manifest is not written: what it was made of changed.
type StaleError struct{ File string }

func (e *StaleError) Error() string {
	return e.File + " has changed in the meantime: nothing was written, try again"
}

// UnsavedError says that a file that is to be written has unsaved changes in the
// editor.
type UnsavedError struct{ File string }

func (e *UnsavedError) Error() string {
	return e.File + " has unsaved changes: save it first, or close it without saving"
}

// Resolve resolves a project with Julia in a copy of the project files and the
// manifest alone: the user's tree is not written to before Resolution.Write. The
// paths of packages are absolute in the copy.
func Resolve(ctx context.Context, opts ResolveOptions) (*Resolution, error) {
	o := newOverlay(opts.Dir, opts.Unsaved)
	p, err := o.readProject(opts.Dir)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, &DirError{opts.Dir, "it has no Project.toml"}
	}
	version, err := JuliaVersion(ctx, opts.JuliaExe)
	if err != nil {
		return nil, err
	}
	if p, err = o.workspaceRoot(p, version, opts.Home); err != nil {
		return nil, err
	}
	file, _, err := o.findManifest(p, version, opts.Home)
	if err != nil {
		return nil, err
	}
	r := &Resolution{Julia: version, Project: p.file, Manifest: file, before: map[string][]byte{}}
	c := &projectCopy{projects: []*projectFile{p}}
	if file == "" {
		r.Manifest = filepath.Join(p.dir(), strings.Replace(filepath.Base(p.file), "Project", "Manifest", 1))
		r.before[r.Manifest] = nil
	} else if c.manifest, err = o.readManifest(file); err != nil {
		return nil, err
	} else {
		r.before[file] = c.manifest.data
	}
	if !olderThan(version, 1, 12) {
		if err := c.addMembers(o, p); err != nil {
			return nil, err
		}
	}
	for _, p := range c.projects {
		r.before[p.file] = p.data
	}
	if _, open := o.unsaved[r.Manifest]; open {
		return nil, &UnsavedError{File: r.Manifest}
	}
	for path := range o.unsaved {
		delete(r.before, path) // the disk says nothing of it
	}
	r.text, err = c.resolve(ctx, opts.JuliaExe, opts.Progress)
	return r, err
}

func (o *overlay) readManifest(file string) (*manifest, error) {
	data, err := o.readFile(file)
	if err != nil {
		return nil, &ReadError{Path: file, Err: cause(err)}
	}
	return parseManifest(file, data)
}

// Write puts the manifest into its place, whole or not at all. It reports whether
// that changed anything, and fails when a file that it was made of changed.
func (r *Resolution) Write() (changed bool, err error) {
	for _, file := range slices.Sorted(maps.Keys(r.before)) {
		now, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			now, err = nil, nil
		}
		if err != nil {
			return false, &ReadError{Path: file, Err: cause(err)}
		}
		if !bytes.Equal(now, r.before[file]) || (now == nil) != (r.before[file] == nil) {
			return false, &StaleError{File: file}
		}
	}
	if before := r.before[r.Manifest]; before != nil && bytes.Equal(before, r.text) {
		return false, nil
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(r.Manifest); err == nil {
		mode = info.Mode().Perm()
	}
	return true, atomicfile.Write(r.Manifest, r.text, mode)
}

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
	version, err := JuliaVersion(b.ctx, b.options.JuliaExe)
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
	text, err := (&projectCopy{projects: []*projectFile{p}}).resolve(b.ctx, b.options.JuliaExe, nil)
	if err != nil {
		b.warn("resolve-failed", path, "%s has no manifest, and resolving one failed: %v", join(at, filepath.Base(p.file)), err)
		return false, b.ctx.Err()
	}
	unsaved := maps.Clone(b.overlay.unsaved)
	unsaved[filepath.Join(p.dir(), "Manifest.toml")] = text
	b.overlay = newOverlay(b.root.top, unsaved)
	return true, b.walkRoot()
}

// JuliaVersion asks a Julia for its version, such as "1.10.4".
func JuliaVersion(ctx context.Context, exe string) (string, error) {
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

// projectCopy is what is copied for Julia to resolve: the project that counts,
// then the members of its workspace, and the manifest that there is.
type projectCopy struct {
	projects []*projectFile
	manifest *manifest // nil = there is none
}

// addMembers adds the projects of a workspace, and those of theirs.
func (c *projectCopy) addMembers(o *overlay, p *projectFile) error {
	for _, name := range p.Workspace.Projects {
		dir := resolve(p.dir(), name)
		if !isWithin(c.projects[0].dir(), dir) {
			return &DirError{p.dir(), fmt.Sprintf("its workspace has a project outside of it, %s: resolve it in Julia itself", dir)}
		}
		member, err := o.readProject(dir)
		if err != nil {
			return err
		}
		if member == nil || slices.ContainsFunc(c.projects, func(p *projectFile) bool { return p.file == member.file }) {
			continue
		}
		c.projects = append(c.projects, member)
		if err := c.addMembers(o, member); err != nil {
			return err
		}
	}
	return nil
}

// write writes the copy to dir, with absolute paths. It returns the packages'
// directories that are absolute in the originals, too.
func (c *projectCopy) write(dir string) (absolute map[string]bool, err error) {
	absolute = map[string]bool{}
	put := func(path string, m *manifest, edits ...edit) error {
		m.eachPath(func(value span) {
			target := m.target(value.text)
			if filepath.IsAbs(filepath.FromSlash(value.text)) {
				absolute[target] = true
			}
			edits = append(edits, edit{value.start, value.end, quoteTOML(filepath.ToSlash(target))})
		})
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		return os.WriteFile(path, apply(m.data, inOrder(edits)), 0o600)
	}
	top := c.projects[0].dir()
	for _, p := range c.projects {
		sources, err := parseSources(p.file, p.data)
		if err != nil {
			return nil, err
		}
		var edits []edit
		if sources.manifestKey.isString { // it would lead out of the copy
			edits = append(edits, edit{sources.manifestKey.start, sources.manifestKey.end, `"Manifest.toml"`})
		}
		path, _ := pathIn(top, p.file)
		if err := put(filepath.Join(dir, filepath.FromSlash(path)), sources, edits...); err != nil {
			return nil, err
		}
	}
	if c.manifest != nil {
		err = put(filepath.Join(dir, "Manifest.toml"), c.manifest)
	}
	return absolute, err
}

// resolve lets Julia resolve the copy in a directory of its own, and returns the
// manifest as it would stand in its place.
func (c *projectCopy) resolve(ctx context.Context, exe string, progress func(string)) (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "juliahub-resolve-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dir = realPath(dir)
	absolute, err := c.write(dir)
	if err != nil {
		return nil, err
	}
	if err := pkgResolve(ctx, exe, dir, progress); err != nil {
		return nil, err
	}
	base := c.projects[0].dir()
	if c.manifest != nil {
		base = filepath.Dir(c.manifest.file)
	}
	for _, name := range manifestNames("") {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(file, data)
		if err != nil {
			return nil, err
		}
		var edits []edit
		m.eachPath(func(value span) {
			target := m.target(value.text)
			if rel, err := filepath.Rel(base, target); err == nil && !absolute[target] { // an error means another drive
				target = rel
			}
			edits = append(edits, edit{value.start, value.end, quoteTOML(filepath.ToSlash(target))})
		})
		return apply(m.data, inOrder(edits)), nil
	}
	return nil, errors.New("julia wrote no manifest")
}

// pkgResolve runs Pkg.resolve for the project in dir.
func pkgResolve(ctx context.Context, exe, dir string, progress func(string)) error {
	limited, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	cmd := exec.CommandContext(limited, exe, "--startup-file=no", "--color=no", "--project="+dir, "-e", "import Pkg; Pkg.resolve()")
	cmd.Env = append(os.Environ(), "JULIA_PKG_PRECOMPILE_AUTO=0")
	cmd.WaitDelay = 5 * time.Second // Pkg's own children may hold the pipe
	out := &lineWriter{each: progress}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("julia took longer than %v", resolveTime)
	case err != nil:
		return fmt.Errorf("julia: %s (%w)", firstError(out.all.String()), err)
	}
	return nil
}

// lineWriter keeps what a program prints, up to a megabyte, and tells each line.
type lineWriter struct {
	all  bytes.Buffer
	line []byte
	each func(line string)
}

func (w *lineWriter) Write(p []byte) (int, error) {
	if room := 1<<20 - w.all.Len(); room > 0 {
		w.all.Write(p[:min(room, len(p))])
	}
	if w.each == nil {
		return len(p), nil
	}
	w.line = append(w.line, p...)
	for {
		end := bytes.IndexAny(w.line, "\r\n")
		if end < 0 {
			break
		}
		if line := bytes.TrimSpace(w.line[:end]); len(line) > 0 {
			w.each(string(line))
		}
		w.line = w.line[end+1:]
	}
	w.line = w.line[max(0, len(w.line)-4096):]
	return len(p), nil
}

// eachPath calls f for the path of every package that has one.
func (m *manifest) eachPath(f func(value span)) {
	for i := range m.entries {
		if value, ok := m.entries[i].fields["path"]; ok {
			f(value)
		}
	}
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

package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// artifactNames are the names of artifact files, the stronger first.
var artifactNames = []string{"JuliaArtifacts.toml", "Artifacts.toml"}

// artifact is one variant of an entry of an artifact file.
type artifact struct {
	TreeHash string `toml:"git-tree-sha1"`
	OS       string `toml:"os"`
	Arch     string `toml:"arch"`
	Libc     string `toml:"libc"`
	Lazy     bool   `toml:"lazy"`
	Download []struct {
		URL string `toml:"url"`
	} `toml:"download"`
}

// fits reports whether a job can use the variant: jobs run on 64-bit Intel with
// glibc, whatever the user's machine.
func (a *artifact) fits(windows bool) bool {
	if windows {
		return (a.OS == "" || a.OS == "windows") && (a.Arch == "" || a.Arch == "x86_64")
	}
	return (a.OS == "" || a.OS == "linux") && (a.Arch == "" || a.Arch == "x86_64") && (a.Libc == "" || a.Libc == "glibc")
}

// collectArtifacts copies the installed artifacts of the projects and of every
// package tracked by a path, in the directory or outside.
func (b *builder) collectArtifacts() error {
	for _, dir := range b.artifactDirs() {
		if err := b.artifactsOf(dir); err != nil {
			return err
		}
	}
	for _, depot := range b.options.Depots {
		if file := filepath.Join(depot, "artifacts", "Overrides.toml"); isFile(file) {
			b.plan.Warnings = append(b.plan.Warnings, Warning{Code: "artifact-overrides", File: file,
				Message: fmt.Sprintf("%s counts on this machine alone: the job uses the artifacts themselves", file)})
		}
	}
	return nil
}

// artifactDirs lists, in order, where artifact files that count may be.
func (b *builder) artifactDirs() []string {
	dirs := []string{b.root.top, filepath.Join(b.root.top, filepath.FromSlash(b.env.dir))}
	for _, m := range b.manifests {
		if m.tree != b.root || !m.required {
			continue
		}
		for i := range m.entries {
			if value, ok := m.entries[i].fields["path"]; ok {
				if path, in := pathIn(b.root.top, m.target(value.text)); in && b.travels(path) {
					dirs = append(dirs, m.target(value.text))
				}
			}
		}
	}
	for _, pkg := range b.packages {
		dirs = append(dirs, pkg.from)
	}
	return unique(dirs...)
}

// travels reports whether a directory of the root's tree goes in.
func (b *builder) travels(path string) bool {
	if path == "" {
		return true
	}
	n := b.root.find(path)
	return n != nil && n.path == path && !n.excluded()
}

// artifactsOf looks at the artifact file of one project or package.
func (b *builder) artifactsOf(dir string) error {
	for _, name := range artifactNames {
		file := filepath.Join(dir, name)
		data, err := b.overlay.readFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return &ReadError{Path: file, Err: cause(err)}
		}
		entries, err := parseArtifacts(file, data)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := b.addArtifact(file, e.name, e.variants); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// artifactEntry is a name with its variants.
type artifactEntry struct {
	name     string
	variants []artifact
}

func parseArtifacts(file string, data []byte) ([]artifactEntry, error) {
	var raw map[string]toml.Primitive
	meta, err := toml.Decode(strings.TrimPrefix(string(data), "\ufeff"), &raw)
	if err != nil {
		return nil, decodeTOML(file, data, &raw)
	}
	var entries []artifactEntry
	for name, value := range raw {
		e := artifactEntry{name: name}
		var one artifact
		if err := meta.PrimitiveDecode(value, &e.variants); err != nil {
			if err := meta.PrimitiveDecode(value, &one); err != nil {
				return nil, &TOMLError{File: file, Message: fmt.Sprintf("the artifact %s cannot be read: %v", name, err)}
			}
			e.variants = []artifact{one}
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(x, y artifactEntry) int { return strings.Compare(x.name, y.name) })
	return entries, nil
}

// addArtifact copies every installed variant that fits. The job downloads what is
// not there; that fails only where no variant says from where.
func (b *builder) addArtifact(file, name string, variants []artifact) error {
	fitting, available := 0, 0
	for _, v := range variants {
		if !v.fits(b.options.WindowsImage) || !isHex(v.TreeHash, 20) {
			continue
		}
		if !v.Lazy {
			fitting++
		}
		dir, ok := b.findArtifact(v.TreeHash)
		if ok {
			if err := b.copyArtifact(dir, strings.ToLower(v.TreeHash)); err != nil {
				return err
			}
		}
		if ok || len(v.Download) > 0 {
			available++
		}
	}
	if fitting > 0 && available == 0 {
		return &ArtifactError{Name: name, File: file}
	}
	return nil
}

// findArtifact returns where an artifact is installed.
func (b *builder) findArtifact(treeHash string) (string, bool) {
	for _, depot := range b.options.Depots {
		if dir := filepath.Join(depot, "artifacts", strings.ToLower(treeHash)); isDir(dir) {
			return dir, true
		}
	}
	return "", false
}

// copyArtifact takes an artifact as it is: its content is its identity, so no
// ignore file counts.
func (b *builder) copyArtifact(dir, treeHash string) error {
	if b.artifacts[treeHash] != nil {
		return nil
	}
	w := &walker{ctx: b.ctx, overlay: b.overlay, forbidden: b.options.Forbidden, whole: true}
	t, err := w.walk(dir)
	if err != nil {
		return err
	}
	b.artifacts[treeHash] = t
	return nil
}

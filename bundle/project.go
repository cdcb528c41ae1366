package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// projectNames are the names of project files, the stronger first, as
// Base.project_names has them.
var projectNames = []string{"JuliaProject.toml", "Project.toml"}

// manifestNames are the names of manifests for Julia X.Y ("" = unknown), the
// stronger first, as Base.manifest_names has them.
func manifestNames(julia string) []string {
	if major, rest, ok := strings.Cut(julia, "."); ok { // a patch level names no manifest
		minor, _, _ := strings.Cut(rest, ".")
		julia = major + "." + minor
	}
	if julia == "" {
		return []string{"JuliaManifest.toml", "Manifest.toml"}
	}
	return []string{"JuliaManifest-v" + julia + ".toml", "Manifest-v" + julia + ".toml", "JuliaManifest.toml", "Manifest.toml"}
}

// isManifestName reports whether a file is called as manifests are, and for
// which Julia ("" = any).
func isManifestName(name string) (julia string, ok bool) {
	rest := strings.TrimPrefix(name, "Julia")
	rest, ok = strings.CutPrefix(rest, "Manifest")
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, ".toml")
	if rest == "" || !ok {
		return "", ok
	}
	julia, ok = strings.CutPrefix(rest, "-v")
	major, minor, dot := strings.Cut(julia, ".")
	if !ok || !dot || !isNumber(major) || !isNumber(minor) {
		return "", false
	}
	return julia, true
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// FindEnvironment returns the directory of the project nearest to dir upwards
// (JuliaProject.toml before Project.toml), not past home; "" when there is none.
//
// Source: Base.current_project of Julia.
func FindEnvironment(dir, home string) string {
	return findEnvironment(dir, home, func(file string) bool { return isFile(file) })
}

func findEnvironment(dir, home string, exists func(file string) bool) string {
	dir = filepath.Clean(dir)
	for {
		for _, name := range projectNames {
			if exists(filepath.Join(dir, name)) {
				return dir
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir || home != "" && dir == filepath.Clean(home) {
			return ""
		}
		dir = parent
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// projectFile is a project file, as much of it as matters here.
type projectFile struct {
	file string // absolute
	data []byte

	Name      string
	UUID      string
	Deps      map[string]string
	Manifest  string
	Sources   map[string]source
	Workspace struct{ Projects []string }
}

// source is an entry of [sources].
type source struct {
	Path string
	URL  string
}

// readProject returns nil if the directory has no project file.
func (o *overlay) readProject(dir string) (*projectFile, error) {
	for _, name := range projectNames {
		file := filepath.Join(dir, name)
		data, err := o.readFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &ReadError{Path: file, Err: errors.Unwrap(err)}
		}
		p := &projectFile{file: file, data: data}
		// toml.Decode folds the case of names, so "deps" finds Deps.
		return p, decodeTOML(file, data, p)
	}
	return nil, nil
}

// dir returns the directory of the project file.
func (p *projectFile) dir() string { return filepath.Dir(p.file) }

// baseProject returns the innermost project above p whose workspace lists p, nil
// if there is none.
//
// Source: Base.base_project of Julia 1.13, which looks past projects that do not
// list p; 1.12 looks at the parent alone.
func (o *overlay) baseProject(p *projectFile, home string) (*projectFile, error) {
	dir := p.dir()
	for above := filepath.Dir(dir); above != filepath.Dir(above); above = filepath.Dir(above) {
		if home != "" && isWithin(home, dir) && !isWithin(home, above) {
			return nil, nil
		}
		base, err := o.readProject(above)
		if err != nil {
			return nil, err
		}
		if base != nil && slices.ContainsFunc(base.Workspace.Projects, func(member string) bool { return sameDir(resolve(above, member), dir) }) {
			return base, nil
		}
	}
	return nil, nil
}

// workspaceRoot returns the outermost project that p's manifest is shared with,
// p itself if it is in no workspace. Julia before 1.12 knows no workspaces.
func (o *overlay) workspaceRoot(p *projectFile, julia, home string) (*projectFile, error) {
	if julia != "" && olderThan(julia, 1, 12) {
		return p, nil
	}
	for {
		base, err := o.baseProject(p, home)
		if base == nil || err != nil {
			return p, err
		}
		p = base
	}
}

// olderThan compares a Julia version "X.Y" or "X.Y.Z".
func olderThan(julia string, major, minor int) bool {
	x, rest, _ := strings.Cut(julia, ".")
	y, _, _ := strings.Cut(rest, ".")
	gotMajor, _ := strconv.Atoi(x) // what is no number counts as 0: old
	gotMinor, _ := strconv.Atoi(y)
	return gotMajor < major || gotMajor == major && gotMinor < minor
}

func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// FindManifest returns the manifest that Julia X.Y (julia, "" = unknown) uses for
// the project in dir, "" if there is none, and the manifests for one version
// alone that were passed over because X.Y is not known. Unsaved documents count
// as what the editor shows.
//
// Source: Base.project_file_manifest_path.
func FindManifest(dir, julia, home string, unsaved map[string][]byte) (file string, ignored []string, err error) {
	o := newOverlay(dir, unsaved)
	p, err := o.readProject(dir)
	if err != nil || p == nil {
		return "", nil, err
	}
	return o.findManifest(p, julia, home)
}

func (o *overlay) findManifest(p *projectFile, julia, home string) (file string, ignored []string, err error) {
	if p, err = o.workspaceRoot(p, julia, home); err != nil {
		return "", nil, err
	}
	if p.Manifest != "" {
		if file := resolve(p.dir(), p.Manifest); o.isFile(file) {
			return file, nil, nil
		}
	}
	if julia == "" {
		ignored = o.versionedManifests(p.dir())
	}
	for _, name := range manifestNames(julia) {
		if file := filepath.Join(p.dir(), name); o.isFile(file) {
			return file, ignored, nil
		}
	}
	return "", ignored, nil
}

// versionedManifests lists the manifests in dir that are for one Julia alone.
func (o *overlay) versionedManifests(dir string) []string {
	var found []string
	for _, name := range o.readDirNames(dir) {
		if julia, ok := isManifestName(name); ok && julia != "" {
			found = append(found, filepath.Join(dir, name))
		}
	}
	return found
}

// overlay reads files as the editor shows them: unsaved text takes the place of
// what is on disk. Its maps are not changed after newOverlay.
type overlay struct {
	unsaved map[string][]byte
	// children are the names, in each directory above an unsaved file, that lead
	// to one; true = a directory. They need not exist on disk.
	children map[string]map[string]bool
}

// An unsaved file that the editor knows by another path to dir is found, too.
func newOverlay(top string, unsaved map[string][]byte) *overlay {
	o := &overlay{unsaved: map[string][]byte{}, children: map[string]map[string]bool{}}
	for path, text := range unsaved {
		path = below(top, filepath.Clean(path))
		o.unsaved[path] = text
		isDir := false
		for dir := filepath.Dir(path); dir != path; path, dir, isDir = dir, filepath.Dir(dir), true {
			if o.children[dir] == nil {
				o.children[dir] = map[string]bool{}
			}
			o.children[dir][filepath.Base(path)] = isDir
		}
	}
	return o
}

// below returns the path as one below top, if it is one by another name.
func below(top, path string) string {
	if isWithin(top, path) {
		return path
	}
	real := filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
	if rel, err := filepath.Rel(realPath(top), real); err == nil && filepath.IsLocal(rel) {
		return filepath.Join(top, rel)
	}
	return path
}

func (o *overlay) readFile(path string) ([]byte, error) {
	if text, ok := o.unsaved[path]; ok {
		return text, nil
	}
	return os.ReadFile(path)
}

func (o *overlay) isFile(path string) bool {
	_, ok := o.unsaved[path]
	return ok || isFile(path)
}

func (o *overlay) isDir(path string) bool {
	if _, ok := o.children[path]; ok {
		return true
	}
	return isDir(path)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// readDirNames returns the sorted names in dir, none if it cannot be read.
func (o *overlay) readDirNames(dir string) []string {
	var names []string
	if f, err := os.Open(dir); err == nil {
		names, _ = f.Readdirnames(-1) // what cannot be listed has no manifest
		f.Close()
	}
	for name := range o.children[dir] {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

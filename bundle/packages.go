package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// travelling is a manifest that goes into the bundle.
type travelling struct {
	*manifest
	path     string // in its tree
	tree     *tree
	prefix   string // of the tree in the bundle; known only when packages have their names
	required bool   // the job uses it: what it names has to be there

	isProject bool // a project file: the entries are those of [sources]
}

// bundled is a package that is copied below .bundle.
type bundled struct {
	name, uuid string
	from       string // absolute
	to         string // in the bundle
	why        string
	tree       *tree
	fromDepot  bool
}

const (
	whyOutside   = "tracked by a path outside the directory"
	whyOwnBundle = "tracked by a path in .bundle, which is made anew"
)

// readManifests reads every manifest and project file of the root's tree and
// finds out which manifest the job uses.
func (b *builder) readManifests() error {
	chosen, err := b.chooseManifests()
	if err != nil {
		return err
	}
	if err := b.addManifests(b.root, chosen); err != nil {
		return err
	}
	for _, file := range chosen {
		if file != "" && !slices.ContainsFunc(b.manifests, func(m *travelling) bool { return m.file == file }) {
			path, _ := b.inRoot(file)
			b.warn("manifest-excluded", path, "the manifest %s is excluded: the job resolves the newest versions", path)
		}
	}
	return nil
}

// chooseManifests returns the manifests of the bundle's root and of the
// environment, and makes an empty one where nothing is to be resolved.
func (b *builder) chooseManifests() ([]string, error) {
	var chosen []string
	for _, at := range unique("", b.env.dir) {
		if b.options.WithoutManifest {
			if err := b.dropManifests(at); err != nil {
				return nil, err
			}
			continue
		}
		dir := filepath.Join(b.root.top, filepath.FromSlash(at))
		project, err := b.overlay.readProject(dir)
		if err != nil {
			return nil, err
		}
		if project == nil {
			project = &projectFile{file: filepath.Join(dir, "Project.toml")}
		}
		file, ignored, err := b.overlay.findManifest(project, b.options.Julia, b.options.Home)
		if err != nil {
			return nil, err
		}
		if len(ignored) > 0 {
			b.warn("versioned-manifest", join(at, filepath.Base(ignored[0])),
				"the job's Julia is not known: these manifests for one version alone are not used: %s", strings.Join(baseNames(ignored), ", "))
		}
		switch {
		case file == "":
			if file, err = b.withoutManifest(at, project); err != nil {
				return nil, err
			}
		case !isWithin(b.root.top, file):
			return nil, &WorkspaceError{Dir: b.root.top, Root: filepath.Dir(file), Manifest: file}
		}
		chosen = append(chosen, file)
		if at == b.env.dir {
			b.env.manifest = file
		}
	}
	return chosen, nil
}

// dropManifests takes the manifests of a directory out of the bundle, and warns of
// the packages whose paths no one will know then.
func (b *builder) dropManifests(at string) error {
	dir := filepath.Join(b.root.top, filepath.FromSlash(at))
	project, err := b.overlay.readProject(dir)
	if err != nil || project == nil {
		return err
	}
	file, _, err := b.overlay.findManifest(project, b.options.Julia, b.options.Home)
	if err != nil {
		return err
	}
	b.warnOfLostPaths(at, project, file)
	d := b.root.root
	if at != "" {
		d = d.below(at + "/x")
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		if _, ok := isManifestName(n.name()); (ok || filepath.Join(d.abs, n.name()) == file) && n.kind == kindFile && !n.excluded() {
			n.reason = reasonUnwanted
			b.root.count--
		}
	}
	b.root.tomls = slices.DeleteFunc(b.root.tomls, func(p placed) bool { return p.node.excluded() })
	return nil
}

// warnOfLostPaths warns of packages that are tracked by a path in the manifest alone.
func (b *builder) warnOfLostPaths(at string, p *projectFile, file string) {
	if file == "" {
		return
	}
	m, err := b.overlay.readManifest(file)
	if err != nil {
		return // nobody needs it
	}
	var lost []string
	for _, e := range m.entries {
		if _, tracked := e.fields["path"]; tracked && p.Sources[e.name].Path == "" {
			lost = append(lost, e.name)
		}
	}
	if len(lost) > 0 {
		b.warn("paths-lost", join(at, filepath.Base(file)), "without the manifest the job does not know these packages by their paths: %s", strings.Join(lost, ", "))
	}
}

// emptyManifest is one of format 1.0, which every Julia reads.
const emptyManifest = "# This file is machine-generated - editing it directly is not advised\n\n"

// withoutManifest resolves a project's dependencies, or adds an empty manifest to
// a project that has none; failing that it warns. It returns the manifest's file,
// if there is one now.
func (b *builder) withoutManifest(at string, p *projectFile) (string, error) {
	path := join(at, "Manifest.toml")
	if len(p.Deps) > 0 {
		resolved, err := b.resolveManifest(at, p)
		if err != nil {
			return "", err
		}
		if resolved {
			return filepath.Join(p.dir(), "Manifest.toml"), nil
		}
		b.warn("no-manifest", path, "%s has no manifest: the job resolves the newest versions of its packages", join(at, filepath.Base(p.file)))
		return "", nil
	}
	b.generate(path, []byte(emptyManifest))
	if _, ok := b.generated[path]; ok && at == b.env.dir {
		b.plan.Manifest = path
	}
	return "", nil
}

// addManifests reads the manifests and the sources of a tree.
func (b *builder) addManifests(t *tree, chosen []string) error {
	for _, at := range t.candidates(chosen) {
		n, d := at.node, at.dir
		if slices.Contains(projectNames, n.name()) {
			if err := b.addSources(t, n, d); err != nil {
				return err
			}
			continue
		}
		file := filepath.Join(d.abs, n.name())
		required := slices.Contains(chosen, file)
		if _, ok := isManifestName(n.name()); !ok && !required {
			continue
		}
		data, err := b.overlay.readFile(file)
		if err != nil {
			return &ReadError{Path: file, Err: cause(err)}
		}
		m, err := parseManifest(file, data)
		switch {
		case err != nil && required:
			return err
		case err != nil:
			continue // not used by the job, and perhaps no manifest at all
		}
		b.manifests = append(b.manifests, &travelling{manifest: m, path: n.path, tree: t, required: required})
		if t == b.root && file == b.env.manifest {
			b.plan.Manifest = n.path
		}
	}
	return nil
}

// candidates are the files that may be projects or manifests. A project's key
// "manifest" can name any file.
func (t *tree) candidates(chosen []string) []placed {
	found := t.tomls
	for _, file := range chosen {
		path, ok := pathIn(t.top, file)
		if !ok || strings.HasSuffix(file, ".toml") {
			continue
		}
		if n := t.find(path); n != nil && n.path == path && !n.excluded() {
			found = append(found[:len(found):len(found)], placed{n, t.root.below(path)})
		}
	}
	return found
}

// addSources notes a project file whose [sources] name paths.
func (b *builder) addSources(t *tree, n *node, d *dir) error {
	file := filepath.Join(d.abs, n.name())
	data, err := b.overlay.readFile(file)
	if err != nil {
		return &ReadError{Path: file, Err: cause(err)}
	}
	if !bytes.Contains(data, []byte("sources")) {
		return nil
	}
	required := t == b.root && (parentOf(n.path) == b.env.dir || parentOf(n.path) == "")
	m, err := parseSources(file, data)
	switch {
	case err != nil && required:
		return err
	case err != nil:
		return nil // the job does not read it
	}
	b.manifests = append(b.manifests, &travelling{manifest: m, path: n.path, tree: t, isProject: true, required: required})
	return nil
}

// collectPackages finds the packages that have to travel, walks them, and gives
// them their places.
func (b *builder) collectPackages() error {
	for _, m := range slices.Clone(b.manifests) {
		for i := range m.entries {
			if err := b.collect(m, &m.entries[i]); err != nil {
				return err
			}
		}
	}
	b.placePackages()
	for _, pkg := range b.packages {
		if err := b.addManifests(pkg.tree, nil); err != nil {
			return err
		}
	}
	for _, m := range b.manifests {
		if pkg := b.byPath[m.tree.top]; pkg != nil && m.tree == pkg.tree {
			m.prefix = pkg.to + "/"
		}
	}
	return nil
}

// collect looks at one package of a manifest of the root's tree.
func (b *builder) collect(m *travelling, e *manifestEntry) error {
	value, ok := e.fields["path"]
	if !ok {
		return b.collectInstalled(m, e)
	}
	target := m.target(value.text)
	isRelative := !filepath.IsAbs(filepath.FromSlash(value.text))
	required := m.required
	var err error
	switch {
	case !b.overlay.isDir(target):
		required = required && !m.isProject // older Julias read no [sources]
		err = &PackageError{Package: e.name, Path: target, Manifest: m.file, Reason: fmt.Sprintf("its path %s does not exist", target)}
	case isRelative && isWithin(b.root.top, target) && !b.inOwnBundle(target):
		return b.checkInside(e, target)
	default:
		err = b.addPackage(m, e, target)
	}
	if required {
		return err
	}
	// What the job does not read must not keep anything back.
	if bad, ok := errors.AsType[*PackageError](err); ok {
		b.warn("package-missing", m.path, "package %s of %s: %s", e.name, m.path, bad.Reason)
		return nil
	}
	if outside, ok := errors.AsType[*OutsideError](err); ok {
		b.warn("package-refused", m.path, "package %s of %s stays out: sending %s was not allowed", e.name, m.path, outside.Target)
		return nil
	}
	return err
}

// inOwnBundle reports whether a package stands in the project's own .bundle, as
// after a job's bundle was unpacked: it stays out, so that it travels like those
// outside.
func (b *builder) inOwnBundle(target string) bool {
	return isWithin(filepath.Join(b.root.top, ".bundle"), target)
}

// checkInside warns of a package in the directory that the rules leave out.
func (b *builder) checkInside(e *manifestEntry, target string) error {
	path, _ := b.inRoot(target)
	if path == "" {
		return nil
	}
	if n := b.root.find(path); n != nil && n.excluded() && n.rule != nil {
		ref := b.ref(n.rule, "")
		b.plan.Warnings = append(b.plan.Warnings, Warning{Code: "package-excluded", Path: path, File: ref.File, Line: ref.Line,
			Message: fmt.Sprintf("package %s is excluded by line %d of %s: the job will not find it", e.name, ref.Line, ref.File)})
	}
	return nil
}

// addPackage notes a package outside the directory; it is walked once, however
// many manifests name it.
func (b *builder) addPackage(m *travelling, e *manifestEntry, target string) error {
	if b.byPath[target] != nil {
		return nil
	}
	if err := b.checkIdentity(m, e, target); err != nil {
		return err
	}
	if b.inOwnBundle(target) {
		return b.copyPackage(&bundled{name: e.name, uuid: e.text("uuid"), from: target, why: whyOwnBundle})
	}
	b.plan.Outside = append(b.plan.Outside, target)
	if b.options.AllowOutside != nil && !b.options.AllowOutside(target) {
		return &OutsideError{Package: e.name, Target: target}
	}
	return b.copyPackage(&bundled{name: e.name, uuid: e.text("uuid"), from: target, why: whyOutside})
}

// copyPackage walks a package that travels.
func (b *builder) copyPackage(pkg *bundled) (err error) {
	if pkg.tree, err = b.walk(pkg.from, false); err != nil {
		return err
	}
	b.packages = append(b.packages, pkg)
	b.byPath[pkg.from] = pkg
	return nil
}

// checkIdentity makes sure that the directory holds the package that the
// manifest means: a path that points elsewhere sends what nobody asked for.
func (b *builder) checkIdentity(m *travelling, e *manifestEntry, target string) error {
	p, err := b.overlay.readProject(target)
	if err != nil {
		return err
	}
	reason := ""
	switch {
	case p == nil:
		reason = fmt.Sprintf("%s holds no Project.toml", target)
	case p.Name != e.name:
		reason = fmt.Sprintf("%s is the project of %q", p.file, p.Name)
	case e.text("uuid") != "" && !strings.EqualFold(p.UUID, e.text("uuid")):
		reason = fmt.Sprintf("%s has the uuid %s, the manifest %s", p.file, p.UUID, e.text("uuid"))
	default:
		return nil
	}
	return &PackageError{Package: e.name, Path: target, Manifest: m.file, Reason: reason}
}

// placePackages gives each package its directory. Two of one name are told
// apart by their uuids; a package that is there twice, by a number.
func (b *builder) placePackages() {
	slices.SortFunc(b.packages, func(x, y *bundled) int { return strings.Compare(x.from, y.from) })
	names := map[string]int{}
	for _, pkg := range b.packages {
		names[pkg.name]++
	}
	taken := map[string]int{}
	for _, pkg := range b.packages {
		name := pkg.name
		if names[name] > 1 {
			name += "-" + pkg.uuid[:min(8, len(pkg.uuid))]
		}
		taken[name]++
		if n := taken[name]; n > 1 {
			name += fmt.Sprintf("-%d", n)
		}
		pkg.to = ".bundle/dev/" + name
	}
}

// rewrite changes the paths of the manifests that travel.
func (b *builder) rewrite() error {
	for _, m := range b.manifests {
		var edits []edit
		for i := range m.entries {
			edits = append(edits, b.rewriteEntry(m, &m.entries[i])...)
		}
		if len(edits) > 0 {
			b.plan.content[m.prefix+m.path] = apply(m.data, inOrder(edits))
		}
	}
	return nil
}

// rewriteEntry returns the edits that make a package's path right in the bundle.
func (b *builder) rewriteEntry(m *travelling, e *manifestEntry) []edit {
	here := parentOf(m.prefix + m.path)
	value, ok := e.fields["path"]
	if !ok {
		if pkg := b.fromDepot(m, e); pkg != nil {
			return toPathEntry(m, e, relative(here, pkg.to))
		}
		return nil
	}
	to := func(path string) []edit {
		return []edit{{value.start, value.end, quoteTOML(relative(here, path))}}
	}
	target := m.target(value.text)
	isRelative := !filepath.IsAbs(filepath.FromSlash(value.text))
	if pkg := b.byPath[target]; pkg != nil && b.inOwnBundle(target) {
		return to(pkg.to)
	}
	if inside, ok := pathIn(m.tree.top, target); ok && isRelative {
		if !climbs(parentOf(m.path), value.text) {
			return nil
		}
		return to(m.prefix + inside)
	}
	if pkg := b.byPath[target]; pkg != nil {
		return to(pkg.to)
	}
	if inside, ok := pathIn(b.root.top, target); ok && m.tree != b.root {
		return to(inside)
	}
	return nil
}

// fromDepot returns the package that takes the place of an entry's version or,
// in [sources], of its repository.
func (b *builder) fromDepot(m *travelling, e *manifestEntry) *bundled {
	if !m.isProject {
		if !m.required {
			return nil
		}
		return b.installed[identityOf(e)]
	}
	if _, ok := e.fields["url"]; !ok {
		return nil
	}
	for id, pkg := range b.installed {
		if id.name == e.name && (e.text("uuid") == "" || strings.EqualFold(e.text("uuid"), id.uuid)) {
			return pkg
		}
	}
	return nil
}

func baseNames(paths []string) []string {
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}

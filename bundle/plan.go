package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// NewPlan walks the tree and decides, reading no file contents but those of
// ignore files, projects and manifests.
func NewPlan(ctx context.Context, o Options) (*Plan, error) {
	b, err := newBuilder(ctx, o)
	if err != nil {
		return nil, err
	}
	return b.build()
}

// build goes through the steps of a plan.
func (b *builder) build() (*Plan, error) {
	steps := []func() error{b.walkRoot, b.checkScript, b.findEnvironment, b.readManifests, b.collectPackages, b.collectArtifacts, b.rewrite}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.finish()
}

// builder holds what is known while a plan is made. Each step of NewPlan adds to it.
type builder struct {
	ctx     context.Context
	options Options
	overlay *overlay
	plan    *Plan

	trees     map[string]*tree // known trees by top, for an Index; nil = all are walked
	root      *tree
	generated map[string][]byte // files that take part though they are not on disk, by path
	manifests []*travelling
	env       environment
	packages  []*bundled
	byPath    map[string]*bundled   // by absolute path
	installed map[identity]*bundled // those from a depot
	server    *registries           // read when first asked for
	artifacts map[string]*tree      // by tree hash
	output    map[string]int64      // bytes of build output, by its directory in the bundle
	rules     map[*rule]*Rule
	badName   string // the first name that is not UTF-8
}

// environment is the project that the job activates.
type environment struct {
	dir      string // in the bundle, "" for its root
	project  *projectFile
	manifest string // absolute, "" if there is none
}

func newBuilder(ctx context.Context, o Options) (*builder, error) {
	o.Dir = filepath.Clean(o.Dir)
	if err := checkDir(o); err != nil {
		return nil, err
	}
	o.Forbidden = slices.Clone(o.Forbidden)
	for _, depot := range o.Depots {
		o.Forbidden = append(o.Forbidden, filepath.Join(depot, "servers"))
	}
	for i, dir := range o.Forbidden {
		o.Forbidden[i] = realPath(dir)
	}
	name := filepath.Base(o.Dir)
	return &builder{
		ctx:       ctx,
		options:   o,
		overlay:   newOverlay(o.Dir, o.Unsaved),
		generated: map[string][]byte{},
		byPath:    map[string]*bundled{},
		installed: map[identity]*bundled{},
		artifacts: map[string]*tree{},
		output:    map[string]int64{},
		rules:     map[*rule]*Rule{},
		plan: &Plan{
			Root: o.Dir, Name: name,
			Files: []File{}, Excluded: []Exclusion{}, Rules: []Rule{}, Packages: []Package{}, Warnings: []Warning{},
			content: map[string][]byte{},
		},
	}, nil
}

// checkDir refuses what nobody means to bundle.
func checkDir(o Options) error {
	switch {
	case !filepath.IsAbs(o.Dir):
		return &DirError{o.Dir, "its path is not absolute"}
	case filepath.Dir(o.Dir) == o.Dir:
		return &DirError{o.Dir, "it is the root of a file system"}
	case o.Home != "" && isWithin(o.Dir, filepath.Clean(o.Home)):
		return &DirError{o.Dir, "the home directory would be in it"}
	}
	for _, depot := range o.Depots {
		if o.Dir == filepath.Clean(depot) || realPath(o.Dir) == realPath(depot) {
			return &DirError{o.Dir, "it is a Julia depot"}
		}
	}
	info, err := os.Stat(o.Dir)
	if err != nil {
		return &DirError{o.Dir, cause(err).Error()}
	}
	if !info.IsDir() {
		return &DirError{o.Dir, "it is not a directory"}
	}
	return nil
}

func (b *builder) walkRoot() (err error) {
	b.root, err = b.walk(b.options.Dir, true)
	return err
}

// walk reads a tree with the builder's options, unless it is known.
func (b *builder) walk(top string, isRoot bool) (*tree, error) {
	if t := b.trees[top]; t != nil {
		return t, nil
	}
	t, err := b.walker(isRoot).walk(top)
	if err == nil && b.trees != nil {
		b.trees[top] = t
	}
	return t, err
}

func (b *builder) walker(isRoot bool) *walker {
	return &walker{ctx: b.ctx, overlay: b.overlay, isRoot: isRoot, allow: b.options.AllowOutside, forbidden: b.options.Forbidden}
}

// inRoot returns the path in the bundle of a file of the root's tree.
func (b *builder) inRoot(abs string) (string, bool) {
	for _, top := range []string{b.root.top, b.root.real} {
		if path, ok := pathIn(top, abs); ok {
			return path, true
		}
	}
	if real := realPath(abs); real != abs {
		return b.inRoot(real)
	}
	return "", false
}

// checkScript makes sure that the script will be there to be run.
func (b *builder) checkScript() error {
	script := b.options.Script
	if script == "" {
		return nil
	}
	path, ok := b.inRoot(filepath.Clean(script))
	if !ok || path == "" {
		return &ScriptError{Script: script, Reason: "it lies outside " + b.root.top}
	}
	n := b.root.find(path)
	switch {
	case n == nil:
		return &ScriptError{Script: script, Reason: "there is no such file"}
	case n.reason == reasonNone && n.rule.excludes():
		ref := b.ref(n.rule, "")
		what := ""
		if n.path != path {
			what = fmt.Sprintf("its directory %s is ", n.path)
		}
		return &ScriptError{Script: script, Rule: &ref,
			Reason: fmt.Sprintf("%sexcluded by line %d of %s: %s", what, ref.Line, n.rule.file.file, ref.Pattern)}
	case n.excluded():
		return &ScriptError{Script: script, Reason: fmt.Sprintf("%s: %s", n.path, n.reason)}
	case n.kind != kindFile || n.path != path:
		return &ScriptError{Script: script, Reason: "it is not a file"}
	}
	b.plan.Script = path
	return nil
}

// findEnvironment finds the project that the job activates. Without a project
// file the bundle gets an empty one.
func (b *builder) findEnvironment() error {
	dir := b.options.Environment
	if dir == "" {
		start := b.root.top
		if b.plan.Script != "" {
			start = filepath.Dir(filepath.Join(b.root.top, filepath.FromSlash(b.plan.Script)))
		}
		dir = findEnvironment(start, b.root.top, b.overlay.isFile)
		if dir == "" {
			dir = b.root.top
		}
	}
	path, ok := b.inRoot(filepath.Clean(dir))
	if !ok {
		return &DirError{b.root.top, fmt.Sprintf("the environment %s lies outside it", dir)}
	}
	b.env.dir = path
	b.plan.Environment = cmp.Or(path, ".")
	for _, at := range unique("", path) {
		project, err := b.overlay.readProject(filepath.Join(b.root.top, filepath.FromSlash(at)))
		if err != nil {
			return err
		}
		if project == nil {
			b.generate("Project.toml", []byte("[deps]\n")) // the environment has one, so this is the root
		}
		if at == path {
			b.env.project = project
		}
	}
	return nil
}

// generate adds a file that is not on disk, if the rules would let it in.
func (b *builder) generate(path string, text []byte) {
	if r := b.root.root.below(path).rules.decide(path, false); !r.excludes() {
		b.generated[path] = text
	}
}

// finish puts together what goes in, what stays out, and what a person should know.
func (b *builder) finish() (*Plan, error) {
	p := b.plan
	b.addFiles()
	b.hashManifest()
	slices.SortFunc(p.Excluded, func(x, y Exclusion) int { return strings.Compare(x.Path, y.Path) })
	slices.SortFunc(p.Packages, func(x, y Package) int { return strings.Compare(x.To, y.To) })
	slices.SortFunc(p.Rules, func(x, y Rule) int { return cmp.Or(strings.Compare(x.File, y.File), x.Line-y.Line) })
	slices.SortFunc(p.sources, func(x, y sourceRoot) int { return len(y.prefix) - len(x.prefix) })
	slices.Sort(p.dirs)
	slices.Sort(p.Outside)
	p.Outside = slices.Compact(p.Outside)
	for i := range p.Files {
		p.Bytes += p.Files[i].Bytes
	}
	if err := b.checkNames(); err != nil {
		return nil, err
	}
	p.TarSize = tarSize(p)
	if err := p.checkSize(SizeLimit); err != nil {
		b.warn("too-large", "", "%s", err)
	}
	b.warnOfFiles()
	b.warnOfPackages()
	b.warnOfPreferences()
	b.warnOfRootRules()
	slices.SortStableFunc(p.Warnings, func(x, y Warning) int {
		return cmp.Or(strings.Compare(x.Code, y.Code), strings.Compare(x.Path, y.Path), strings.Compare(x.File, y.File), x.Line-y.Line)
	})
	return p, nil
}

// addFiles lists the files in their order. Each tree is in order already, and
// all but the root's lie below .bundle: nothing has to be sorted.
func (b *builder) addFiles() {
	p := b.plan
	below := map[string]*tree{}
	for treeHash, t := range b.artifacts {
		below[artifactsDir+"/"+treeHash+"/"] = t
	}
	p.depot = append(p.depot, artifactsDir+"/")
	if len(b.artifacts) == 0 {
		p.dirs = append(p.dirs, artifactsDir+"/")
	}
	for _, pkg := range b.packages {
		below[pkg.to+"/"] = pkg.tree
		if pkg.fromDepot {
			p.depot = append(p.depot, pkg.to+"/")
		}
		p.Packages = append(p.Packages, Package{Name: pkg.name, UUID: pkg.uuid, From: pkg.from, To: pkg.to, Why: pkg.why})
	}
	count := len(b.generated) + b.root.count
	for _, t := range below {
		count += t.count
	}
	p.Files = make([]File, 0, count) // growing would take twice the memory
	for _, prefix := range slices.Sorted(maps.Keys(below)) {
		b.addTree(below[prefix], prefix)
	}
	travelling := p.Files
	b.addTree(b.root, "")
	root := p.Files[len(travelling):]
	before, _ := slices.BinarySearchFunc(root, ".bundle/", compareFile)
	rotate(p.Files[:len(travelling)+before], len(travelling))
	for path, text := range b.generated {
		p.content[path] = text
		at, _ := slices.BinarySearchFunc(p.Files, path, compareFile)
		p.Files = slices.Insert(p.Files, at, File{Path: path, marks: marksOf(path[strings.LastIndexByte(path, '/')+1:])})
	}
	for path, text := range p.content {
		if at, ok := slices.BinarySearchFunc(p.Files, path, compareFile); ok {
			p.Files[at].Bytes = int64(len(text))
		}
	}
}

func compareFile(f File, path string) int { return strings.Compare(f.Path, path) }

// rotate moves the first n elements behind the others.
func rotate(files []File, n int) {
	slices.Reverse(files[:n])
	slices.Reverse(files[n:])
	slices.Reverse(files)
}

const artifactsDir = ".bundle/depot/artifacts"

// addTree adds what a tree sends and what it leaves out, below prefix.
func (b *builder) addTree(t *tree, prefix string) {
	p := b.plan
	p.sources = append(p.sources, sourceRoot{prefix, t.top})
	for _, ignore := range t.ignores {
		for _, r := range ignore.rules {
			b.rules[r] = &Rule{RuleRef: b.ref(r, prefix), Negated: r.negated}
		}
	}
	if !b.addDir(t, t.root, prefix, "") && prefix != "" {
		p.dirs = append(p.dirs, prefix)
	}
	for _, n := range t.outside {
		p.Outside = append(p.Outside, *n.link)
		b.warn("outside-link", prefix+n.path, "%s is a link that leads outside the directory, to %s", prefix+n.path, *n.link)
	}
	for _, ignore := range t.ignores {
		for _, r := range ignore.rules {
			p.Rules = append(p.Rules, *b.rules[r])
		}
	}
}

// addDir adds a directory's entries; it reports whether any of them goes in.
// output is the directory of build output that holds it, if any.
func (b *builder) addDir(t *tree, d *dir, prefix, output string) (any bool) {
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.excluded() {
			b.exclude(t, n, prefix)
			continue
		}
		any = true
		if n.badName && b.badName == "" {
			b.badName = n.path
		}
		path := n.path
		if prefix != "" {
			path = prefix + path
		}
		if n.dir == nil {
			b.addFile(d, n, path, prefix)
			if output != "" {
				b.output[output] += n.size
			}
			continue
		}
		if n.rule != nil {
			b.count(n.rule, 0, 0)
		}
		within := output
		if within == "" && isBuildOutput(n.path) {
			within = path
		}
		if !b.addDir(t, n.dir, prefix, within) {
			b.plan.dirs = append(b.plan.dirs, path+"/")
		}
	}
	return any
}

func (b *builder) addFile(d *dir, n *node, path, prefix string) {
	f := File{Path: path, Bytes: n.size, exec: n.exec, marks: n.marks}
	if prefix != "" || n.outside {
		f.From = filepath.Join(d.abs, n.name())
	}
	if n.link != nil && n.outside {
		f.From = *n.link
	}
	if len(b.overlay.unsaved) > 0 {
		if text, ok := b.overlay.unsaved[filepath.Join(d.abs, n.name())]; ok {
			b.setContent(path, text)
		} else if text, ok := b.overlay.unsaved[n.target()]; ok {
			b.setContent(path, text)
		}
	}
	b.plan.Files = append(b.plan.Files, f)
	if n.rule != nil {
		b.count(n.rule, 1, n.size)
	}
}

// setContent keeps what a rewritten manifest already holds.
func (b *builder) setContent(path string, text []byte) {
	if _, ok := b.plan.content[path]; !ok {
		b.plan.content[path] = text
	}
}

func (b *builder) count(r *rule, files int, bytes int64) {
	b.rules[r].Decided = true
	b.rules[r].MatchedFiles += files
	b.rules[r].MatchedBytes += bytes
}

func (b *builder) exclude(t *tree, n *node, prefix string) {
	path := prefix + n.path
	if n.reason == reasonNone {
		out := Exclusion{Path: path, Rule: &b.rules[n.rule].RuleRef, Dir: n.kind == kindDir}
		tally := t.tallies[n.path]
		for _, file := range tally.first {
			out.Below = append(out.Below, prefix+file)
		}
		b.plan.Excluded = append(b.plan.Excluded, out)
		if n.kind != kindDir {
			b.count(n.rule, 1, n.size)
			return
		}
		b.count(n.rule, tally.files, tally.bytes)
		if tally.partial {
			b.warn("not-counted", path, "%s holds more than %d entries: only some of what is left out with it was counted", path, tallyLimit)
		}
		return
	}
	b.plan.Excluded = append(b.plan.Excluded, Exclusion{Path: path, Reason: n.reason.String(), Dir: n.kind == kindDir})
	switch n.reason {
	case reasonSpecial:
		b.warn("special-file", path, "%s is a socket, device or pipe and stays out", path)
	case reasonDangling:
		b.warn("dangling-link", path, "%s is a symbolic link to nothing and stays out", path)
	case reasonCycle:
		b.warn("link-cycle", path, "%s is a symbolic link to a directory that contains it and stays out", path)
	case reasonForbidden:
		b.warn("forbidden", path, "%s is where tokens are kept, or leads there, and stays out", path)
	case reasonOwnBundle:
		b.warn("own-bundle", path, "the project's own %s stays out: its place is taken by the packages that travel", path)
	}
}

// ref names a rule by the ignore file's path in the bundle.
func (b *builder) ref(r *rule, prefix string) RuleRef {
	return RuleRef{File: prefix + join(r.file.dir, ignoreName), Line: r.line, Pattern: r.text}
}

func (b *builder) warn(code, path, format string, args ...any) {
	b.plan.Warnings = append(b.plan.Warnings, Warning{Code: code, Message: fmt.Sprintf(format, args...), Path: path})
}

// hashManifest computes what a sysimage is asked for with.
func (b *builder) hashManifest() {
	p := b.plan
	if p.Manifest == "" {
		return
	}
	text, ok := p.content[p.Manifest]
	if !ok {
		for _, m := range b.manifests {
			if m.path == p.Manifest && m.prefix == "" {
				text = m.data
			}
		}
	}
	p.ManifestText = text
	sum := sha256.Sum256(text)
	p.ManifestSHA256 = hex.EncodeToString(sum[:])
}

// source returns where a file of the plan is on disk.
func (p *Plan) source(path string) string {
	for _, s := range p.sources {
		if rest, ok := strings.CutPrefix(path, s.prefix); ok {
			return filepath.Join(s.dir, filepath.FromSlash(rest))
		}
	}
	return filepath.Join(p.Root, filepath.FromSlash(path))
}

// mode returns the mode bits of a file in the tar.
func (f *File) mode() fs.FileMode {
	if f.exec {
		return 0o755
	}
	return 0o644
}

func unique(paths ...string) []string {
	slices.Sort(paths)
	return slices.Compact(paths)
}

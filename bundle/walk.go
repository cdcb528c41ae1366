package bundle

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"
)

// tree is a directory that was walked: the bundle's root or a package that
// travels with it. Paths in it are relative to its top, with "/".
type tree struct {
	top     string // absolute
	real    string // top without symbolic links
	ignores []*ignoreFile
	root    *dir

	outside []*node  // links that lead out of the tree
	tomls   []placed // files that may be projects and manifests, if they go in
	count   int      // of the files that go in

	tallies map[string]tally // what is below directories that a rule excludes, by path
	parked  map[string]*dir  // directories that were read before a rule excluded them, by path
}

// tally counts the files below a directory that a rule excludes.
type tally struct {
	files   int
	bytes   int64
	partial bool     // there is more
	first   []string // the paths of some of them
}

// firstFiles is how many files below an excluded directory are known by name:
// enough for a hover on the rule.
const firstFiles = 10

// placed is a node with its directory.
type placed struct {
	node *node
	dir  *dir
}

// dir is a directory of a tree.
type dir struct {
	abs     string      // where it is read from: a followed link's target keeps the link's path
	parent  *dir        // nil for the top
	own     *ignoreFile // its own ignore file
	rules   *ignoreFile // the nearest one: its own or a parent's
	time    time.Time   // when entries were last added or removed, as the file system says
	nodes   []node      // in the order of a tar: a directory as if its name ended in "/"
	virtual bool        // not on disk: it holds an unsaved file
}

// node is an entry of a directory.
type node struct {
	path    string // in the tree
	size    int64
	dir     *dir    // of a directory that was entered
	rule    *rule   // the rule that decided; nil if none matched
	link    *string // what a link leads to, absolute; nil for everything else
	kind    kind
	natural reason // what it is that stays out by itself
	reason  reason // why it stays out, other than by a rule
	exec    bool
	badName bool // not UTF-8
	marks   marks
	outside bool // read through a link that leads out of the tree
}

// marks are what a file's name says of it.
type marks uint8

const (
	markSecret marks = 1 << iota // it is called as files with secrets are
	markCounts                   // it holds counts of a source file
	markTOML                     // it may be a project or a manifest
	markGit                      // it is git's own
)

func marksOf(name string) (m marks) {
	if isSecret(name) {
		m |= markSecret
	}
	if isCounts(name) {
		m |= markCounts
	}
	if strings.HasSuffix(name, ".toml") {
		m |= markTOML
	}
	if name == ".git" {
		m |= markGit
	}
	return m
}

type kind uint8

const (
	kindFile kind = iota
	kindDir
	kindOther
)

// reason is why an entry stays out without a rule.
type reason uint8

const (
	reasonNone reason = iota
	reasonGit
	reasonSpecial
	reasonDangling
	reasonCycle
	reasonOutside
	reasonForbidden
	reasonOwnBundle
	reasonUnwanted
)

var reasonTexts = [...]string{
	reasonGit:       ".git is never sent",
	reasonSpecial:   "not a regular file (socket, device or pipe)",
	reasonDangling:  "a symbolic link to nothing",
	reasonCycle:     "a symbolic link to a directory that contains it",
	reasonOutside:   "a symbolic link out of the directory, and sending its content was not allowed",
	reasonForbidden: "where tokens are kept, or a symbolic link to it",
	reasonOwnBundle: ".bundle is made anew: its place is taken by the packages that travel",
	reasonUnwanted:  "the job was asked for without a manifest",
}

func (r reason) String() string { return reasonTexts[r] }

func (n *node) excluded() bool { return n.reason != reasonNone || n.rule.excludes() }

// target returns what a link leads to, absolute; "" for everything else.
func (n *node) target() string {
	if n.link == nil {
		return ""
	}
	return *n.link
}

func (n *node) name() string { return n.path[strings.LastIndexByte(n.path, '/')+1:] }

// walker walks one tree. Subdirectories are walked by as many goroutines as
// there are processors.
type walker struct {
	ctx       context.Context
	overlay   *overlay
	tree      *tree
	isRoot    bool // the bundle's root, not a package's
	whole     bool // no ignore file counts
	allow     func(target string) bool
	forbidden []string

	spare chan struct{}  // holds a token for each goroutine that runs beside the first
	group sync.WaitGroup // of those goroutines

	mu     sync.Mutex // guards errors and the tree's maps, and is held while allow is asked: one question at a time
	errors map[string]error
}

// walk reads the tree below top and decides on every entry. An excluded
// directory is not entered.
func (w *walker) walk(top string) (*tree, error) {
	w.tree = &tree{top: top, real: realPath(top), root: &dir{abs: top}}
	return w.tree, w.run(func() { w.enter(w.tree.root, "", false) })
}

// run does a piece of work on the tree and waits for all of it.
func (w *walker) run(work func()) error {
	w.spare = make(chan struct{}, runtime.GOMAXPROCS(0)-1)
	w.errors = map[string]error{}
	work()
	w.group.Wait()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(w.errors) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(w.errors))) // the same one each time
		return w.errors[first]
	}
	t := w.tree
	t.ignores, t.outside, t.tomls, t.count = nil, nil, nil, 0
	t.gather(t.root)
	return nil
}

// gather counts the files and collects what is asked for later, in the order of
// the tree.
func (t *tree) gather(d *dir) {
	if d.own != nil {
		t.ignores = append(t.ignores, d.own)
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.link != nil && n.outside && (n.reason == reasonNone || n.reason == reasonOutside) && !n.rule.excludes() {
			t.outside = append(t.outside, n)
		}
		switch {
		case n.dir != nil:
			t.gather(n.dir)
		case !n.excluded():
			t.count++
			if n.marks&markTOML != 0 {
				t.tomls = append(t.tomls, placed{n, d})
			}
		}
	}
}

// enter reads a directory, its ignore file first, and then its subdirectories.
func (w *walker) enter(d *dir, path string, outside bool) {
	if w.ctx.Err() != nil {
		return
	}
	if err := w.read(d, path, outside); err != nil {
		w.fail(path, err)
		return
	}
	for i := range d.nodes {
		if n := &d.nodes[i]; n.dir != nil {
			w.beside(func() { w.enter(n.dir, n.path, n.outside) })
		}
	}
}

// beside runs a piece of work in a goroutine of its own if there is a spare
// processor, else at once.
func (w *walker) beside(work func()) {
	select {
	case w.spare <- struct{}{}:
		w.group.Go(func() {
			defer func() { <-w.spare }()
			work()
		})
	default:
		work()
	}
}

func (w *walker) fail(path string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errors[path] = err
}

// read makes the nodes of a directory.
func (w *walker) read(d *dir, path string, outside bool) error {
	entries, err := w.list(d)
	if err != nil {
		return err
	}
	if err := w.readIgnore(d, path, entries); err != nil {
		return err
	}
	d.nodes = make([]node, len(entries))
	for i, entry := range entries {
		n := &d.nodes[i]
		n.path = join(path, entry.name)
		n.outside = outside
		n.marks, n.badName = marksOf(entry.name), !utf8.ValidString(entry.name)
		if err := w.stat(d, n, entry); err != nil {
			return err
		}
		w.decide(d, n, nil)
		abs := filepath.Join(d.abs, entry.name)
		switch {
		case n.kind != kindDir:
		case !n.excluded():
			n.dir = &dir{abs: abs, parent: d, virtual: entry.virtual}
		case n.rule.excludes():
			path := n.path // the node moves when the nodes are sorted
			w.beside(func() { w.tally(path, abs) })
		}
	}
	slices.SortFunc(d.nodes, compareInTar)
	return nil
}

// tallyLimit is how many entries of one excluded directory are counted at most:
// it may hold millions, and people exclude it to be rid of them.
const tallyLimit = 50_000

// tally counts what a rule excludes with a directory. What cannot be read is not
// counted: it does not travel anyway.
func (w *walker) tally(path, abs string) {
	type place struct{ path, abs string }
	var sum tally
	dirs, seen := []place{{path, abs}}, 0
	for len(dirs) > 0 && w.ctx.Err() == nil {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		entries, _, err := readEntries(dir.abs)
		if err != nil {
			continue
		}
		if len(sum.first) < firstFiles {
			slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		}
		if seen += len(entries); seen > tallyLimit {
			sum.partial = true
			break
		}
		for _, e := range entries {
			switch {
			case e.name == ".git": // it would stay out anyway
			case e.mode.IsDir():
				dirs = append(dirs, place{dir.path + "/" + e.name, filepath.Join(dir.abs, e.name)})
			case e.mode.IsRegular():
				if len(sum.first) < firstFiles {
					sum.first = append(sum.first, dir.path+"/"+e.name)
				}
				sum.files++
				sum.bytes += e.size
			}
		}
	}
	w.setTally(path, sum)
}

func (w *walker) setTally(path string, sum tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tree.tallies == nil {
		w.tree.tallies = map[string]tally{}
	}
	w.tree.tallies[path] = sum
}

// entry is a name in a directory with what lstat says of it.
type entry struct {
	name    string
	mode    fs.FileMode
	size    int64
	virtual bool // it exists in the editor only
}

// list returns the sorted entries of a directory, those that the editor alone
// knows included.
func (w *walker) list(d *dir) ([]entry, error) {
	var entries []entry
	if !d.virtual {
		var err error
		if entries, d.time, err = readEntries(d.abs); err != nil {
			return nil, &ReadError{Path: d.abs, Err: cause(err)}
		}
	}
	for name, isDir := range w.overlay.children[d.abs] {
		if slices.ContainsFunc(entries, func(e entry) bool { return e.name == name }) {
			continue
		}
		e := entry{name: name, virtual: true}
		if isDir {
			e.mode = fs.ModeDir
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// readIgnore makes the directory's own ignore file the one that counts below it.
func (w *walker) readIgnore(d *dir, path string, entries []entry) error {
	d.rules = nil
	if d.parent != nil {
		d.rules = d.parent.rules
	}
	before := d.own
	d.own = nil
	_, found := slices.BinarySearchFunc(entries, ignoreName, func(e entry, name string) int { return strings.Compare(e.name, name) })
	file := filepath.Join(d.abs, ignoreName)
	if !found || w.whole || !w.overlay.isFile(file) {
		return nil
	}
	text, err := w.overlay.readFile(file)
	if err != nil {
		return &ReadError{Path: file, Err: cause(err)}
	}
	now := before
	if before == nil || before.content != string(text) {
		if now, err = parseIgnore(file, path, text); err != nil {
			return err
		}
		if before != nil {
			now.follow(before)
		}
	}
	d.own, d.rules = now, now
	return nil
}

// stat finds out what an entry is, following links.
func (w *walker) stat(d *dir, n *node, e entry) error {
	if len(w.overlay.unsaved) > 0 {
		if text, ok := w.overlay.unsaved[filepath.Join(d.abs, e.name)]; ok {
			n.size, n.exec = int64(len(text)), isExecutable(e.mode)
			return nil
		}
	}
	mode, size := e.mode, e.size
	if mode&(fs.ModeSymlink|fs.ModeIrregular) != 0 {
		info, err := w.follow(d, n, filepath.Join(d.abs, e.name))
		if err != nil || info == nil {
			return err
		}
		mode, size = info.Mode(), info.Size()
		if text, ok := w.overlay.unsaved[n.target()]; ok {
			size = int64(len(text))
		}
	}
	switch {
	case mode.IsDir():
		n.kind = kindDir
	case mode.IsRegular():
		n.size, n.exec = size, isExecutable(mode)
	default:
		n.kind, n.natural = kindOther, reasonSpecial
	}
	return nil
}

// follow returns what a link leads to; nil if that stays out, with the reason
// noted in the node.
func (w *walker) follow(d *dir, n *node, abs string) (fs.FileInfo, error) {
	n.kind = kindOther
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.natural = reasonDangling
		return nil, nil
	case errors.Is(err, syscall.ELOOP):
		n.natural = reasonCycle
		return nil, nil
	case err != nil:
		return nil, &ReadError{Path: abs, Err: cause(err)}
	}
	if info.IsDir() {
		for up := d; up != nil; up = up.parent {
			if above, err := os.Stat(up.abs); err == nil && os.SameFile(above, info) {
				n.natural = reasonCycle
				return nil, nil
			}
		}
	}
	target, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, &ReadError{Path: abs, Err: cause(err)}
	}
	if slices.ContainsFunc(w.forbidden, func(dir string) bool { return isWithin(dir, target) || isWithin(target, dir) }) {
		n.natural = reasonForbidden
		return nil, nil
	}
	n.link = &target
	n.outside = !isWithin(w.tree.real, target)
	n.kind = kindFile
	return info, nil
}

// decide asks the nearest ignore file, and what needs no rule. by is the ignore
// file that decided on the node before, nil if none did or it is not known.
func (w *walker) decide(d *dir, n *node, by *ignoreFile) {
	before := n.rule
	n.rule, n.reason = nil, reasonNone
	switch {
	case n.marks&markGit != 0:
		n.reason = reasonGit
		return
	case n.kind == kindDir && len(w.forbidden) > 0 && slices.Contains(w.forbidden, filepath.Join(w.tree.real, filepath.FromSlash(n.path))):
		n.reason = reasonForbidden
		return
	case w.isRoot && n.path == ".bundle":
		n.reason = reasonOwnBundle
		return
	}
	n.rule = d.rules.decideAgain(n.path, n.kind == kindDir, by, before)
	if n.rule.excludes() {
		return // what a rule leaves out needs no other reason
	}
	n.reason = n.natural
	if n.reason == reasonNone && n.outside && n.link != nil && w.allow != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.allow(*n.link) {
			n.reason = reasonOutside
		}
	}
}

// find returns the verdict on a path that need not be in the tree: the node that
// holds it (itself or the excluded directory above it), or nil.
func (t *tree) find(path string) *node {
	for d := t.root; ; {
		i := slices.IndexFunc(d.nodes, func(n node) bool {
			return strings.HasPrefix(path, n.path) && (len(path) == len(n.path) || path[len(n.path)] == '/')
		})
		if i < 0 {
			return nil
		}
		n := &d.nodes[i]
		if len(path) == len(n.path) || n.dir == nil {
			return n
		}
		d = n.dir
	}
}

// below returns the innermost directory that was entered on the way to path,
// which is relative to the tree's top.
func (d *dir) below(path string) *dir {
	for i := range d.nodes {
		if n := &d.nodes[i]; n.dir != nil && strings.HasPrefix(path, n.path+"/") {
			return n.dir.below(path)
		}
	}
	return d
}

func compareInTar(a, b node) int {
	x, y := a.path, b.path
	if a.kind != kindDir && b.kind != kindDir {
		return strings.Compare(x, y)
	}
	if a.kind == kindDir {
		x += "/"
	}
	if b.kind == kindDir {
		y += "/"
	}
	return strings.Compare(x, y)
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// isWithin reports whether path is dir or lies below it, by components.
func isWithin(dir, path string) bool {
	_, ok := pathIn(dir, path)
	return ok
}

// pathIn returns the path from dir to something in it, with "/", "" for dir itself.
func pathIn(dir, abs string) (string, bool) {
	rel, err := filepath.Rel(dir, abs)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	if rel == "." {
		return "", true
	}
	return filepath.ToSlash(rel), true
}

// realPath resolves symbolic links; what cannot be resolved stays as it is.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

func isExecutable(mode fs.FileMode) bool { return mode&0o100 != 0 }

// cause drops the path from an error of package os: our own errors name it.
func cause(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

package bundle

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Index keeps the plan of an open project: an edit of an ignore file matches the
// known tree again, a changed file costs one look at its directory. What it is
// told are hints; a submission makes a plan of its own with NewPlan.
//
// Its methods may be called by several goroutines.
type Index struct {
	mu      sync.Mutex // guards everything below; held while a plan is made
	options Options
	trees   map[string]*tree
	hints   map[string]hint // by absolute path
	plan    *Plan           // nil = something changed since
}

type hint uint8

const (
	hintListing hint = iota // a directory's entries changed, not those below its subdirectories
	hintPath                // something happened to the path itself
)

// manyHints is from when on the whole tree is walked anew: a checkout changes
// thousands of files, and a walk of 50,000 takes a tenth of a second.
const manyHints = 2000

// NewIndex returns an index that has not looked at anything yet. A missing
// manifest is not resolved for it: Options.JuliaExe does not count.
func NewIndex(o Options) *Index {
	o.JuliaExe = ""
	return &Index{options: o, trees: map[string]*tree{}, hints: map[string]hint{}}
}

// Plan returns the plan as of the last hint. It must not be changed. Its errors
// are those of NewPlan.
func (x *Index) Plan(ctx context.Context) (*Plan, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.plan != nil {
		return x.plan, nil
	}
	b, err := newBuilder(ctx, x.options)
	if err != nil {
		return nil, err
	}
	b.trees = x.trees
	if err := x.update(b); err != nil {
		return nil, err
	}
	if x.plan, err = b.build(); err != nil {
		x.plan = nil
		return nil, err
	}
	x.forgetOthers(b)
	return x.plan, nil
}

// Changed notes that something happened to files or directories: they were
// written, made or removed. It is cheap.
func (x *Index) Changed(paths ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, path := range paths {
		x.note(filepath.Clean(path), hintPath)
	}
}

// SetUnsaved replaces the texts that the editor shows and has not saved.
func (x *Index) SetUnsaved(unsaved map[string][]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.options.Unsaved
	for path, text := range unsaved {
		if old, ok := before[path]; !ok || !bytes.Equal(old, text) {
			x.note(below(x.options.Dir, filepath.Clean(path)), hintPath)
		}
	}
	for path := range before {
		if _, ok := unsaved[path]; !ok {
			x.note(below(x.options.Dir, filepath.Clean(path)), hintPath)
		}
	}
	x.options.Unsaved = maps.Clone(unsaved)
}

// Reset forgets everything: the next plan walks anew. It is for when hints were lost.
func (x *Index) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	clear(x.trees)
	clear(x.hints)
	x.plan = nil
}

// Revalidate looks at the times of all known directories, for where nobody
// watches them: entries that were added or removed are seen, files that were
// written in place are not. What stands in the directories that it is given is
// looked at one by one, so that these are seen, too.
func (x *Index) Revalidate(unwatched ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, dir := range unwatched {
		x.note(filepath.Clean(dir), hintListing)
	}
	for _, t := range x.trees {
		t.root.eachDir(func(d *dir) {
			info, err := os.Stat(d.abs)
			if !d.virtual && (err != nil || !info.ModTime().Equal(d.time)) {
				x.note(d.abs, hintListing)
			}
		})
	}
}

// WatchDirs returns the directories, absolute and sorted, where a change matters
// most: those with ignore files, projects and manifests, and the tops.
func (x *Index) WatchDirs() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var dirs []string
	for _, t := range x.trees {
		dirs = append(dirs, t.top)
		for _, ignore := range t.ignores {
			dirs = append(dirs, filepath.Dir(ignore.file))
		}
		for _, at := range t.tomls {
			name := at.node.name()
			if _, ok := isManifestName(name); ok || slices.Contains(projectNames, name) {
				dirs = append(dirs, at.dir.abs)
			}
		}
	}
	return unique(dirs...)
}

func (x *Index) note(path string, h hint) {
	x.plan = nil
	if old, ok := x.hints[path]; !ok || h > old {
		x.hints[path] = h
	}
}

// update brings the known trees up to date. After an error they are walked anew
// the next time.
func (x *Index) update(b *builder) (err error) {
	if len(x.hints) > manyHints {
		clear(x.trees)
	}
	for top, t := range x.trees {
		w := b.walker(top == b.options.Dir)
		w.tree = t
		if updateErr := w.update(x.hints); updateErr != nil {
			delete(x.trees, top)
			err = updateErr
		}
	}
	clear(x.hints)
	return err
}

// forgetOthers drops the trees of packages that are none any more.
func (x *Index) forgetOthers(b *builder) {
	maps.DeleteFunc(x.trees, func(top string, _ *tree) bool { return top != b.options.Dir && b.byPath[top] == nil })
}

// eachDir calls f for every directory that was entered.
func (d *dir) eachDir(f func(*dir)) {
	f(d)
	for i := range d.nodes {
		if n := &d.nodes[i]; n.dir != nil && !n.excluded() {
			n.dir.eachDir(f)
		}
	}
}

// update looks again at what the hints name.
func (w *walker) update(hints map[string]hint) error {
	listings := map[*dir]string{} // directories to be listed again, with their paths
	stale := map[*dir]bool{}      // directories to be walked again as a whole
	for abs, h := range hints {
		path, ok := pathIn(w.tree.top, abs)
		if !ok { // who watches may know the directory by its other name
			path, ok = pathIn(w.tree.real, abs)
		}
		if ok {
			w.tree.touch(path, h, listings, stale)
		}
	}
	if len(listings) == 0 {
		return nil
	}
	return w.run(func() { w.refresh(w.tree.root, "", false, listings, stale) })
}

// touch finds the innermost known directory on the way to a path: that one has to
// be listed again.
func (t *tree) touch(path string, h hint, listings map[*dir]string, stale map[*dir]bool) {
	// What was known of an excluded directory there is known no more.
	maps.DeleteFunc(t.parked, func(p string, _ *dir) bool {
		return p == path || strings.HasPrefix(path, p+"/") || strings.HasPrefix(p, path+"/")
	})
	d, at := t.root, ""
	for at != path {
		i := slices.IndexFunc(d.nodes, func(n node) bool { return path == n.path || strings.HasPrefix(path, n.path+"/") })
		if i < 0 {
			break
		}
		n := &d.nodes[i]
		if n.excluded() || n.dir == nil {
			break
		}
		if n.path == path && h == hintPath {
			stale[n.dir] = true // removed and made anew, perhaps
			break
		}
		d, at = n.dir, n.path
	}
	listings[d] = at
	if at == "" && path == "" && h == hintPath {
		stale[d] = true
	}
}

// refresh goes down to the directories that have to be listed again.
func (w *walker) refresh(d *dir, path string, outside bool, listings map[*dir]string, stale map[*dir]bool) {
	if stale[d] {
		d.nodes, d.own = nil, nil
		w.enter(d, path, outside)
		return
	}
	if _, ok := listings[d]; !ok {
		for i := range d.nodes {
			if n := &d.nodes[i]; n.dir != nil && !n.excluded() {
				w.refresh(n.dir, n.path, n.outside, listings, stale)
			}
		}
		return
	}
	known := map[string]*dir{}
	for i := range d.nodes {
		if n := &d.nodes[i]; n.dir != nil {
			known[n.path] = n.dir
		}
	}
	rules := d.rules
	if err := w.read(d, path, outside); err != nil {
		w.fail(path, err)
		return
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		before := known[n.path]
		switch {
		case n.kind != kindDir:
		case n.dir == nil:
			w.park(n.path, before)
		case before == nil || stale[before]:
			w.resume(n)
		default:
			n.dir = before
			w.refresh(before, n.path, n.outside, listings, stale)
			if d.rules != rules {
				w.rematch(n.dir)
			}
		}
	}
}

// park keeps what is known of a directory that a rule excludes: an edit of the
// rule may let it in again.
func (w *walker) park(path string, d *dir) {
	if d == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tree.parked == nil {
		w.tree.parked = map[string]*dir{}
	}
	w.tree.parked[path] = d
}

// resume enters a directory, with what was known of it if it was parked.
func (w *walker) resume(n *node) {
	w.mu.Lock()
	parked := w.tree.parked[n.path]
	delete(w.tree.parked, n.path)
	w.mu.Unlock()
	if parked == nil {
		w.enter(n.dir, n.path, n.outside)
		return
	}
	parked.parent = n.dir.parent
	n.dir = parked
	w.rematch(parked)
}

// rematch decides anew on all that is known below a directory whose rules
// changed. An ignore file of its own keeps the change out.
func (w *walker) rematch(d *dir) {
	if d.own != nil {
		return
	}
	by := d.rules
	d.rules = d.parent.rules
	for i := range d.nodes {
		n := &d.nodes[i]
		w.decide(d, n, by)
		switch {
		case n.kind != kindDir:
		case n.excluded():
			if n.dir == nil {
				break
			}
			w.setTally(n.path, w.tallyKnown(n.dir))
			w.park(n.path, n.dir)
			n.dir = nil
		case n.dir == nil:
			n.dir = &dir{abs: filepath.Join(d.abs, n.name()), parent: d, virtual: w.overlay.isVirtual(filepath.Join(d.abs, n.name()))}
			w.resume(n)
		default:
			w.beside(func() { w.rematch(n.dir) })
		}
	}
}

// tallyKnown counts like tally what is known of a directory.
func (w *walker) tallyKnown(d *dir) tally {
	var sum tally
	for i := range d.nodes {
		n := &d.nodes[i]
		switch {
		case n.reason == reasonGit:
		case n.kind == kindFile && n.link == nil:
			sum.files++
			sum.bytes += n.size
			sum.first = append(sum.first, n.path)
		case n.kind == kindDir && n.link == nil:
			below := w.tallyOf(n.path)
			if n.dir != nil {
				below = w.tallyKnown(n.dir)
			}
			sum = tally{sum.files + below.files, sum.bytes + below.bytes, sum.partial || below.partial, append(sum.first, below.first...)}
		}
		sum.first = sum.first[:min(len(sum.first), firstFiles)]
	}
	return sum
}

func (w *walker) tallyOf(path string) tally {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tree.tallies[path]
}

// isVirtual reports whether a directory exists in the editor only.
func (o *overlay) isVirtual(path string) bool {
	_, ok := o.children[path]
	return ok && !isDir(path)
}

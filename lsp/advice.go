package lsp

import (
	"cmp"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/lint"
	"juliahub-lsp/commands/settings"
)

const (
	// advicePause is how long typing rests before advice on the text is made.
	advicePause = 300 * time.Millisecond
	// adviceMost is how long it may wait for that.
	adviceMost = 2 * time.Second
	// adviceTimeout bounds the walk of a project's tree for advice on its rules.
	adviceTimeout = 30 * time.Second
)

const ignoreFile = ".juliabundleignore"

// ignorePlan is what a bundle would hold, as far as ignore files are concerned.
type ignorePlan struct {
	root     string // absolute
	files    int
	bytes    int64
	problems func(read lint.Read, scripts []string) []lint.Problem // scripts are to be in it
	rule     func(file string, line int) (lint.RuleInfo, bool)     // file in the bundle, line from 1
	paths    func(file, typed string) []string
	dirs     []string                         // to be watched
	changed  func(lost bool, paths ...string) // a hint that files changed on disk
}

// inBundle is the name of a file in the bundle.
func (p *ignorePlan) inBundle(path string) string {
	rel, err := filepath.Rel(p.root, path)
	if err != nil {
		return path
	}
	return filepath.ToSlash(rel)
}

// ignorePlan plans the bundle of a directory, as the editor shows its files.
// blind are directories that nobody watches. Elsewhere, too, only some files are
// watched: what was added or removed, the times of the directories tell.
func (r realSession) ignorePlan(ctx context.Context, in commands.Input, blind []string) (*ignorePlan, error) {
	index, err := r.OpenBundle(ctx, in)
	if err != nil {
		return nil, err
	}
	index.Revalidate(blind...)
	plan, err := index.Plan(ctx)
	if err != nil {
		return nil, err
	}
	return &ignorePlan{
		root: plan.Root, files: len(plan.Files), bytes: plan.Bytes,
		problems: func(read lint.Read, scripts []string) []lint.Problem {
			return append(lint.Ignore(plan, read), lint.ExcludedScripts(plan, read, scripts)...)
		},
		rule:  func(file string, line int) (lint.RuleInfo, bool) { return lint.RuleAt(plan, file, line) },
		paths: func(file, typed string) []string { return lint.IgnorePaths(plan, file, typed) },
		dirs:  index.WatchDirs(),
		changed: func(lost bool, paths ...string) {
			if lost {
				index.Reset()
			}
			index.Changed(paths...)
		},
	}, nil
}

// advisor says what a person should know before submitting: about the open
// scripts, project files, JuliaHub.toml and ignore files, while typing. One
// goroutine makes all advice, from snapshots; requests only read what it made.
type advisor struct {
	s    *Server
	once sync.Once
	wake chan struct{} // holds one wake-up

	mu      sync.Mutex // guards what follows
	dirty   map[string]bool
	pending bool // the timer is about to stir
	timer   *time.Timer
	since   time.Time // when it was started
	hints   []string  // what changed on disk, for the plans
	lost    bool      // and more than that
	made    map[string]advice
	plans   map[string]*ignorePlan // by path of the ignore file
	scripts map[string]scriptFacts // of the open scripts, by path
}

// advice is what was found on behalf of one open file, by the file it stands in.
type advice map[string][]lint.Problem

func (a *advisor) init(s *Server) {
	a.s, a.wake = s, make(chan struct{}, 1)
	a.dirty, a.made, a.plans = map[string]bool{}, map[string]advice{}, map[string]*ignorePlan{}
	a.scripts = map[string]scriptFacts{}
}

// touch says that a file was opened, changed, saved or closed.
func (a *advisor) touch(path string) {
	if path == "" || !isAdvised(path) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dirty[path] = true
	if filepath.Base(path) == settings.HubFile { // the scripts' profiles are in it
		for _, d := range a.s.world.Load().docs {
			if isJuliaName(d.path) {
				a.dirty[d.path] = true
			}
		}
	}
	switch {
	case !a.pending:
		a.pending, a.since = true, time.Now()
		a.timer = time.AfterFunc(advicePause, a.stir)
	case time.Since(a.since) < adviceMost-advicePause:
		a.timer.Reset(advicePause)
	}
}

// touchAll has all advice made anew: something changed that it may rest on.
func (a *advisor) touchAll() {
	for _, d := range a.s.world.Load().docs {
		a.touch(d.path)
	}
}

// isAdvised says whether there may be advice on a file.
func isAdvised(path string) bool {
	base := filepath.Base(path)
	return isJuliaName(base) || base == ignoreFile || base == settings.HubFile || isProjectFile(base) || isManifest(base)
}

func isProjectFile(base string) bool { return base == "Project.toml" || base == "JuliaProject.toml" }

func isManifest(base string) bool {
	return (strings.HasPrefix(base, "Manifest") || strings.HasPrefix(base, "JuliaManifest")) && strings.HasSuffix(base, ".toml")
}

func (a *advisor) stir() {
	a.once.Do(func() { a.s.spawn(a.loop) })
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *advisor) loop() {
	for {
		select {
		case <-a.s.ctx.Done():
			return
		case <-a.wake:
		}
		a.mu.Lock()
		dirty := a.dirty
		a.dirty, a.pending = map[string]bool{}, false
		a.mu.Unlock()
		a.tellPlans()
		for _, path := range slices.SortedFunc(maps.Keys(dirty), quickFirst) {
			a.renew(path)
		}
		if a.s.disk.follow(a.watchDirs()) {
			a.touchPlanned()
		}
	}
}

// quickFirst orders files by what advice on them takes: ignore files come last,
// for which a whole tree may have to be read.
func quickFirst(a, b string) int {
	rank := func(path string) int {
		switch filepath.Base(path) {
		case settings.HubFile:
			return 0
		case ignoreFile:
			return 2
		}
		return 1
	}
	return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b))
}

// touchPlanned says that something may have changed in a bundle.
func (a *advisor) touchPlanned() {
	a.mu.Lock()
	planned := slices.Collect(maps.Keys(a.plans))
	a.mu.Unlock()
	for _, file := range planned {
		a.touch(file)
	}
}

// watchDirs are the directories in which a change on disk may change advice:
// those of the open files, of their projects, and of what a bundle is made of.
func (a *advisor) watchDirs() []string {
	var dirs []string
	for _, d := range a.s.world.Load().docs {
		if d.path == "" || !isAdvised(d.path) {
			continue
		}
		dir := filepath.Dir(d.path)
		dirs = append(dirs, dir, a.s.projectDir(dir))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, plan := range a.plans {
		dirs = append(dirs, plan.dirs...)
	}
	return dirs
}

// changedOnDisk takes a hint that files changed on disk. What it means for the
// plans is worked out by the advisor's own goroutine: that may take a while.
func (a *advisor) changedOnDisk(paths []string, lost bool) {
	a.mu.Lock()
	if len(a.plans) > 0 {
		a.hints, a.lost = append(a.hints, paths...), a.lost || lost
	}
	a.mu.Unlock()
	if lost || slices.ContainsFunc(paths, isAdvised) {
		a.touchAll()
		return
	}
	a.touchPlanned()
}

// tellPlans gives the plans the hints that came in the meantime.
func (a *advisor) tellPlans() {
	a.mu.Lock()
	hints, lost := a.hints, a.lost
	a.hints, a.lost = nil, false
	plans := slices.Collect(maps.Values(a.plans))
	a.mu.Unlock()
	if len(hints) == 0 && !lost {
		return
	}
	for _, plan := range plans {
		plan.changed(lost, hints...)
	}
}

// renew makes the advice on one file anew and has what changed published.
func (a *advisor) renew(path string) {
	made := a.advise(path)
	a.mu.Lock()
	before := a.made[path]
	if len(made) == 0 {
		delete(a.made, path)
	} else {
		a.made[path] = made
	}
	a.mu.Unlock()
	for file := range before {
		a.s.diagnostics.mark(file)
	}
	for file := range made {
		a.s.diagnostics.mark(file)
	}
}

// of returns the advice that stands in a file.
func (a *advisor) of(path string) []lint.Problem {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []lint.Problem
	seen := map[string]bool{}
	for _, made := range a.made {
		for _, p := range made[path] {
			key := p.Code + "\x00" + p.Message + "\x00" + string(rune(p.Line))
			if !seen[key] { // two ignore files of one project find the same
				seen[key] = true
				all = append(all, p)
			}
		}
	}
	return all
}

// advise finds what there is to say about a file, if it is open.
func (a *advisor) advise(path string) advice {
	w := a.s.world.Load()
	doc := w.at(path)
	if doc == nil {
		a.keepPlan(path, nil)
		a.keepScript(path, nil)
		return nil
	}
	switch base := filepath.Base(path); {
	case base == settings.HubFile:
		return byFile(lint.Hub(path, []byte(doc.text)))
	case base == ignoreFile:
		return a.adviseIgnore(w, path)
	case isProjectFile(base), isManifest(base):
		return a.adviseProject(w, path)
	default:
		return a.adviseScript(w, doc)
	}
}

// scriptFacts are what advice on other files, and the actions, need of a script.
type scriptFacts struct {
	commands.Facts
	way way
}

// way is how a script is to go to JuliaHub, as far as that can be known.
type way int

const (
	wayBundle    way = iota // as an appbundle
	wayUndecided            // it never went yet
	wayScript               // as a script job, without a bundle
)

func (a *advisor) adviseScript(w *world, doc *document) advice {
	ctx, cancel := context.WithTimeout(unattended(a.s.ctx), adviceTimeout)
	defer cancel()
	in := commands.Input{Args: &commands.SubmitArgs{}, File: &commands.Document{URI: doc.uri, Path: doc.path, Open: true, Text: doc.text}}
	if err := w.inputs(ctx, &in); err != nil {
		return nil
	}
	facts := scriptFacts{a.s.session.Facts(ctx, in), a.s.wayOf(doc.uri, doc.path)}
	a.keepScript(doc.path, &facts)
	found := lint.Script(lint.ScriptInput{
		File: doc.path, Text: doc.text, WithoutBundle: facts.way == wayScript, Undecided: facts.way == wayUndecided,
		OwnPackage: facts.Package, PathPackages: facts.PathPackages,
		NoEnvironment: facts.Environment == "" && !facts.Asked, Shared: facts.Shared,
		Exists: func(path string) bool { _, err := os.Stat(path); return err == nil },
	})
	// What does not count of the settings is said where it stands, open or not.
	if body, ok := w.reader("")(facts.HubFile); facts.HubFile != "" && ok {
		found = append(found, lint.Hub(facts.HubFile, body)...)
	}
	return byFile(w.wanted(found))
}

// wanted leaves hints out where the person does not want them.
func (w *world) wanted(found []lint.Problem) []lint.Problem {
	if w.settings.flag(true, "diagnostics", "hints") {
		return found
	}
	return slices.DeleteFunc(found, func(p lint.Problem) bool { return p.Severity == lint.Hint })
}

// keepScript keeps what was found out of a script; nil = it was closed. Where it
// goes another way than before, its project's files are looked at again.
func (a *advisor) keepScript(path string, facts *scriptFacts) {
	a.mu.Lock()
	before, had := a.scripts[path]
	if facts == nil {
		delete(a.scripts, path)
	} else {
		a.scripts[path] = *facts
	}
	a.mu.Unlock()
	same := facts == nil && !had || facts != nil && had && facts.way == before.way && facts.Environment == before.Environment
	if same {
		return
	}
	for _, d := range a.s.world.Load().docs {
		if base := filepath.Base(d.path); isProjectFile(base) || isManifest(base) {
			a.touch(d.path)
		}
	}
}

// wayWith is how the open scripts of an environment go; a script job counts
// before all else.
func (a *advisor) wayWith(environment string) way {
	a.mu.Lock()
	defer a.mu.Unlock()
	most := wayBundle
	for _, facts := range a.scripts {
		if facts.Environment == environment {
			most = max(most, facts.way)
		}
	}
	return most
}

// openScript is a script that is open, and how it goes.
type openScript struct {
	path string
	way  way
}

// scriptsOf are the open scripts of an environment, by name.
func (a *advisor) scriptsOf(environment string) []openScript {
	a.mu.Lock()
	defer a.mu.Unlock()
	var scripts []openScript
	for path, facts := range a.scripts {
		if facts.Environment == environment {
			scripts = append(scripts, openScript{path, facts.way})
		}
	}
	slices.SortFunc(scripts, func(a, b openScript) int { return cmp.Compare(a.path, b.path) })
	return scripts
}

// wayOf is how a file is to go: as it went the last time. Of one that never
// went it is open, unless it is a part of a package: those go with it.
func (s *Server) wayOf(uri, path string) way {
	job, ok := s.session.Newest(cmp.Or(path, uri))
	switch {
	case ok && job.Kind != "script", !ok && partOfPackage(path):
		return wayBundle
	case ok && !job.Dismissed:
		return wayScript
	}
	return wayUndecided
}

// partOfPackage says whether a file lies in a directory of a project that holds
// no scripts: hints on each include there would be in the way.
func partOfPackage(path string) bool {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		switch filepath.Base(dir) {
		case "src", "ext", "test":
			if hasProject(filepath.Dir(dir)) {
				return true
			}
		}
	}
	return false
}

func (a *advisor) adviseIgnore(w *world, path string) advice {
	ctx, cancel := context.WithTimeout(unattended(a.s.ctx), adviceTimeout)
	defer cancel()
	in := commands.Input{Args: &commands.SubmitArgs{}, Dir: a.s.projectDir(filepath.Dir(path))}
	if err := w.inputs(ctx, &in); err != nil {
		return nil
	}
	plan, err := a.s.session.ignorePlan(ctx, in, a.s.disk.blind)
	if err != nil { // the last good plan serves until the rules can be read again
		a.s.log.Info("no advice on an ignore file", "error", err)
		return byFile(lint.PlanError(in.Dir, err, w.reader(in.Dir)))
	}
	a.keepPlan(path, plan)
	if plan == nil {
		return nil
	}
	return byFile(plan.problems(w.reader(plan.root), a.bundledScripts()))
}

// bundledScripts are the files that went as appbundles the last time.
func (a *advisor) bundledScripts() (scripts []string) {
	seen := map[string]bool{}
	for _, job := range a.s.session.KnownJobs() { // the newest first
		if job.File == "" || seen[job.File] {
			continue
		}
		seen[job.File] = true
		if job.Kind == "appbundle" && !job.Dismissed {
			scripts = append(scripts, job.File)
		}
	}
	return scripts
}

// profilesOf are the profiles that were last found for a script.
func (a *advisor) profilesOf(path string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.scripts[path].Profiles
}

func (a *advisor) keepPlan(path string, plan *ignorePlan) {
	a.mu.Lock()
	before := a.plans[path]
	if plan == nil {
		delete(a.plans, path)
	} else {
		a.plans[path] = plan
	}
	a.mu.Unlock()
	if plan == nil && before != nil && !a.anyPlanOf(before.root) {
		a.s.session.CloseBundle(before.root)
	}
	if plan != nil && (before == nil || before.files != plan.files || before.bytes != plan.bytes) {
		a.s.lenses.refresh()
	}
}

// anyPlanOf says whether an open ignore file rests on a directory's plan.
func (a *advisor) anyPlanOf(root string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, plan := range a.plans {
		if plan.root == root {
			return true
		}
	}
	return false
}

// planOf is the plan that was last made on behalf of an ignore file, nil if none was.
func (a *advisor) planOf(path string) *ignorePlan {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.plans[path]
}

// adviseProject says what is wrong with a project and its manifest, in the file
// that is open.
func (a *advisor) adviseProject(w *world, path string) advice {
	dir := filepath.Dir(path)
	in := lint.ProjectInput{
		Read:   w.reader(""),
		IsFile: func(path string) bool { info, err := os.Stat(path); return err == nil && info.Mode().IsRegular() },
	}
	for _, prefix := range []string{"Julia", ""} { // Julia prefers its own prefix
		if name := filepath.Join(dir, prefix+"Project.toml"); in.ProjectFile == "" && w.has(name) {
			in.ProjectFile = name
		}
	}
	if in.ProjectFile == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(unattended(a.s.ctx), adviceTimeout)
	defer cancel()
	input := commands.Input{Args: &commands.SubmitArgs{}, Dir: dir}
	if err := w.inputs(ctx, &input); err == nil {
		in.Julia = a.s.session.Facts(ctx, input).Julia
		in.ManifestFile = a.s.session.ManifestFile(input, dir, in.Julia)
	}
	way := a.wayWith(dir)
	in.AsScript, in.Undecided = way == wayScript, way == wayUndecided
	own := advice{}
	for file, problems := range byFile(w.wanted(lint.Project(in))) {
		if file == path {
			own[file] = problems
		}
	}
	return own
}

// has says whether a file is open or on disk.
func (w *world) has(path string) bool {
	if w.at(path) != nil {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// reader reads files as the editor shows them; a relative name lies below root.
func (w *world) reader(root string) lint.Read {
	return func(path string) ([]byte, bool) {
		if root != "" && !filepath.IsAbs(path) {
			path = filepath.Join(root, filepath.FromSlash(path))
		}
		if doc := w.at(path); doc != nil {
			return []byte(doc.text), true
		}
		raw, err := os.ReadFile(path)
		return raw, err == nil
	}
}

// projectDir is the directory of the project that counts for a directory, or
// that directory itself.
func (s *Server) projectDir(dir string) string {
	return cmp.Or(s.session.ProjectDir(dir), dir)
}

// hasProject says whether a directory has a project file.
func hasProject(dir string) bool {
	return slices.ContainsFunc([]string{"JuliaProject.toml", "Project.toml"}, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

func byFile(problems []lint.Problem) advice {
	all := advice{}
	for _, p := range problems {
		all[p.File] = append(all[p.File], p)
	}
	return all
}

// asProblem is a finding as the publisher takes it.
func asProblem(p lint.Problem) commands.Problem {
	return commands.Problem{
		Line: p.Line, Col: p.Col, EndLine: p.EndLine, EndCol: p.EndCol, WholeLine: p.WholeLine,
		Severity: commands.Severity(p.Severity), Code: p.Code, Message: p.Message,
	}
}

type unattendedKey struct{}

// unattended marks work that nobody asked for: no question is asked on its behalf.
func unattended(ctx context.Context) context.Context {
	return context.WithValue(ctx, unattendedKey{}, true)
}

func isUnattended(ctx context.Context) bool { return ctx.Value(unattendedKey{}) != nil }

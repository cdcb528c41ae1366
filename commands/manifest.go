package commands

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"juliahub-lsp/bundle"
)

// ManifestAnswer is the answer of juliahub.resolveManifest.
type ManifestAnswer struct {
	State    string `json:"state"` // done, cancelled, or pending: under way
	Project  string `json:"project,omitempty"`
	Manifest string `json:"manifest,omitempty"`
	Julia    string `json:"julia,omitempty"` // that resolved it, "1.10.4"
	Changed  bool   `json:"changed"`         // the manifest is another one now
}

// ResolveManifest lets the Julia of this computer resolve the project of a file.
// Nothing is written before Julia is done, and nothing at all when it fails or is
// cancelled.
func (s *Session) ResolveManifest(ctx context.Context, in Input) (ManifestAnswer, error) {
	q, dir, err := s.projectOf(ctx, in)
	if err != nil {
		return ManifestAnswer{}, err
	}
	wanted := q.settings.Profile.Julia
	if args, ok := in.Args.(*ResolveArgs); ok && args.Julia != "" {
		wanted = args.Julia
	}
	o := bundle.ResolveOptions{Dir: dir, Home: s.cfg.Home, Unsaved: unsavedTexts(in), JuliaExe: s.findJulia(q.settings.JuliaPath, wanted)}
	switch {
	case o.JuliaExe == "" && q.settings.JuliaPath != "":
		return ManifestAnswer{}, argumentError("the setting juliahub.juliaPath names %s, which is no program: correct it, or clear it", q.settings.JuliaPath)
	case o.JuliaExe == "":
		return ManifestAnswer{}, argumentError("there is no Julia on this computer to resolve the project with: install one from https://julialang.org/install, or name it in the setting juliahub.juliaPath")
	}
	release, ok := s.inUse.claim(dir)
	if !ok {
		return ManifestAnswer{State: "pending"}, nil
	}
	work := func(ctx context.Context) (ManifestAnswer, error) {
		defer release()
		return s.resolveManifest(ctx, o, wanted)
	}
	if waits(in) {
		return work(ctx)
	}
	if !s.goDo(func() { s.tellResolved(in, work) }) {
		release()
		return ManifestAnswer{}, errors.New("shutting down")
	}
	return ManifestAnswer{State: "pending"}, nil
}

// projectOf finds the project that a command means: that of a script as its
// profile has it, that of any other file by its place.
func (s *Session) projectOf(ctx context.Context, in Input) (*request, string, error) {
	q := &request{in: in}
	dir := in.Dir
	switch {
	case in.File != nil:
		q.file, q.uri, q.text = in.File.Path, in.File.URI, in.File.Text
	case dir == "" && len(in.OpenJulia) == 1:
		q.file, q.uri, q.text = in.OpenJulia[0].Path, in.OpenJulia[0].URI, in.OpenJulia[0].Text
	case dir == "" && len(in.Folders) == 1:
		dir = in.Folders[0]
	}
	if q.file == "" && dir == "" {
		return nil, "", argumentError(`no project given: pass {"uri": "file:///…/Project.toml"} or that of a script`)
	}
	if q.file == "" {
		q.in.Dir = dir
	}
	if err := s.resolve(ctx, q); err != nil {
		return nil, "", err
	}
	var err error
	switch {
	case strings.HasSuffix(strings.ToLower(q.file), ".jl"):
		dir, err = s.environmentDirOf(q)
	case q.file != "":
		dir = environmentDir(q.dir(), s.cfg.Home)
	default:
		dir = environmentDir(dir, s.cfg.Home)
	}
	if err == nil && dir == "" {
		err = argumentError("%s belongs to no project: there is no Project.toml beside it or above it", filepath.Base(cmpDir(q.file, q.in.Dir)))
	}
	return q, dir, err
}

// inUse is what one piece of work at a time may have.
type inUse struct {
	mu    sync.Mutex
	names map[string]bool
}

// claim makes sure that something is worked on once at a time.
func (u *inUse) claim(name string) (release func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.names[name] {
		return nil, false
	}
	if u.names == nil {
		u.names = map[string]bool{}
	}
	u.names[name] = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.names, name)
	}, true
}

// tellResolved resolves where nobody waits for the answer.
func (s *Session) tellResolved(in Input, work func(context.Context) (ManifestAnswer, error)) {
	answer, err := work(s.ctx)
	switch {
	case s.ctx.Err() != nil:
	case err != nil:
		s.cfg.UI.Say(s.ctx, Error, sentence(err.Error()))
	case answer.State == "done" && in.Show:
		text := fmt.Sprintf("%s was resolved with Julia %s.", answer.Manifest, answer.Julia)
		if !answer.Changed {
			text = fmt.Sprintf("%s is as Julia %s resolves it: nothing had to be changed.", answer.Manifest, answer.Julia)
		}
		s.cfg.UI.Say(s.ctx, Info, text)
	}
}

func (s *Session) resolveManifest(ctx context.Context, o bundle.ResolveOptions, wanted string) (ManifestAnswer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	task := s.cfg.UI.Begin(s.ctx, Work{Title: "Resolving " + filepath.Base(o.Dir), Message: "starting Julia", Cancel: cancel})
	o.Progress = func(line string) { task.Report(firstLine(line), 0) }
	answer, err := resolved(ctx, o, wanted)
	switch {
	case err == nil:
		task.End("done")
	case ctx.Err() != nil:
		task.End("cancelled")
		return ManifestAnswer{State: "cancelled"}, nil
	default:
		task.End("failed: " + firstLine(err.Error()))
		err = fmt.Errorf("the manifest of %s was not resolved: %w", o.Dir, err)
	}
	return answer, err
}

// resolved lets Julia work, and puts its manifest into place.
func resolved(ctx context.Context, o bundle.ResolveOptions, wanted string) (ManifestAnswer, error) {
	if wanted != "" {
		version, err := bundle.JuliaVersion(ctx, o.JuliaExe)
		if err != nil {
			return ManifestAnswer{}, err
		}
		if minorVersion(version) != minorVersion(wanted) {
			return ManifestAnswer{}, fmt.Errorf("the job runs Julia %s, and %s is %s: install it with `juliaup add %s`, or name one in the setting juliahub.juliaPath",
				wanted, o.JuliaExe, version, minorVersion(wanted))
		}
	}
	r, err := bundle.Resolve(ctx, o)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return ManifestAnswer{}, err
	}
	changed, err := r.Write()
	return ManifestAnswer{State: "done", Project: r.Project, Manifest: r.Manifest, Julia: r.Julia, Changed: changed}, err
}

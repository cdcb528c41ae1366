package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi"
)

// SubmitAppBundle submits a project directory as an appbundle that runs a file
// of it.
func (s *Session) SubmitAppBundle(ctx context.Context, in Input) (Submission, error) {
	return s.submit(ctx, track.KindAppBundle, in)
}

// addBundle bundles the project, uploads it, and adds both bundle and driver to
// a submission.
func (s *Session) addBundle(f *flight, client Client, sub *jobapi.Submission, task Task) error {
	options, err := s.bundleOptions(f.ctx, f.request, client)
	if err != nil {
		return err
	}
	task.Report("bundling", 0)
	plan, err := bundle.NewPlan(f.ctx, options)
	if err != nil {
		return err
	}
	if err := s.mayReplace(f, plan); err != nil {
		return err
	}
	spool, err := plan.Spool(f.ctx, "", func(done, total int64) {
		task.Report("bundling "+megabytes(done), 30*float64(done)/float64(max(total, 1)))
	})
	if err != nil {
		return err
	}
	defer func() { _ = spool.Close() }()
	s.keepFiles(f.id, plan, options.Unsaved)
	f.along = plan.Packages
	s.keepFacts(f, string(plan.ManifestText))
	if _, err := s.update(f.id, func(r *track.Record) { r.Dir = plan.Root }); err != nil {
		return err
	}
	up := jobapi.Upload{Size: spool.Size, SHA256: spool.SHA256}
	if err := s.upload(f, client, up, spool.Open, task); err != nil {
		return err
	}
	sub.Code, sub.Bundle, sub.ManifestSHA256 = plan.Driver(), &up, plan.ManifestSHA256
	return nil
}

// bundleDir is the directory that is bundled: the one asked for, the project's,
// or the script's.
func (s *Session) bundleDir(q *request) string {
	return cmpDir(q.in.Dir, environmentDir(q.dir(), s.cfg.Home), q.dir())
}

// bundleOptions say what to bundle for a submission; without a client, for a
// plan alone.
func (s *Session) bundleOptions(ctx context.Context, q *request, client Client) (bundle.Options, error) {
	env, err := s.environmentDirOf(q)
	if err != nil {
		return bundle.Options{}, err
	}
	dir := s.bundleDir(q)
	if !within(dir, env) {
		if wanted := q.settings.Profile.Environment; env != "" && wanted != "" && wanted != "auto" {
			return bundle.Options{}, argumentError("the profile's environment %s lies outside %s, which is bundled: submit as script, or name one inside", env, dir)
		}
		env = ""
	}
	o := bundle.Options{
		Dir: dir, Script: q.file, Environment: env, Home: s.cfg.Home,
		Unsaved: map[string][]byte{}, Depots: depot.Paths(s.cfg.LookupEnv, s.cfg.Home),
		Julia: q.settings.Profile.Julia, Forbidden: []string{s.ledger.Dir()},
		JuliaExe: s.findJulia(q.settings.JuliaPath, q.settings.Profile.Julia), WithoutManifest: q.args.WithoutManifest,
		PublicGitHosts: q.settings.PublicGitHosts,
		AllowOutside:   func(target string) bool { return s.mayLeave(ctx, q, dir, target) },
	}
	for _, d := range q.in.Unsaved { // also those of packages that travel along
		if d.Path != "" {
			o.Unsaved[d.Path] = unsavedBytes(&d)
		}
	}
	if client == nil { // a plan alone: nothing is sent, so nobody is asked
		o.AllowOutside = nil
		return o, nil
	}
	registries, err := client.Registries(ctx)
	if _, odd := errors.AsType[*jobapi.ServerError](err); odd {
		// A server that does not tell is taken to have General alone; the plan says so.
		s.log.Warn("the server's registries are not known", "error", err)
		return o, nil
	}
	if err != nil {
		return o, err
	}
	o.Registries = []string{}
	for _, r := range registries {
		o.Registries = append(o.Registries, r.UUID)
	}
	return o, nil
}

// unsavedBytes is what an unsaved document puts in the place of its file, whose
// byte-order mark stays.
func unsavedBytes(d *Document) []byte {
	const mark = "\ufeff"
	if disk, err := os.ReadFile(d.Path); err == nil && bytes.HasPrefix(disk, []byte(mark)) && !strings.HasPrefix(d.Text, mark) {
		return []byte(mark + d.Text)
	}
	return []byte(d.Text)
}

// mayReplace notes which documents go into the bundle as the editor shows them.
// Where that may not be the whole truth, the person is asked.
func (s *Session) mayReplace(f *flight, plan *bundle.Plan) error {
	for _, d := range f.request.in.Unsaved {
		if d.Path == "" || !goesIn(plan, d.Path) {
			continue
		}
		f.unsaved = append(f.unsaved, d.Path)
		doubt := ""
		switch disk, err := os.ReadFile(d.Path); {
		case err != nil: // never saved
		case d.DiskChanged:
			doubt = "was changed on disk, and differently in the editor"
		case !utf8.Valid(disk):
			doubt = "is not UTF-8 on disk, and unsaved in the editor"
		}
		if doubt == "" {
			continue
		}
		const no, yes = "Don't submit", "Send the editor's text"
		answer := no
		f.request.aside(f.ctx, func() {
			answer = s.cfg.UI.Ask(f.ctx, Warning, fmt.Sprintf("%s %s. Send the editor's text?", d.Path, doubt), no, yes)
		})
		if answer != yes {
			return fmt.Errorf("%s %s: save it first", d.Path, doubt)
		}
	}
	return nil
}

// goesIn reports whether a local file is among those of a bundle, by whatever name.
func goesIn(plan *bundle.Plan, path string) bool {
	here, err := os.Stat(path)
	return slices.ContainsFunc(plan.Files, func(file bundle.File) bool {
		local := localFile(plan, file)
		if err != nil || filepath.Base(local) != filepath.Base(path) {
			return local == path
		}
		there, missing := os.Stat(local)
		return missing == nil && os.SameFile(here, there)
	})
}

// mayLeave decides whether content outside the bundle's directory may be sent:
// named by the caller, allowed before, or by asking once.
func (s *Session) mayLeave(ctx context.Context, q *request, dir, target string) bool {
	for _, allowed := range slices.Concat(q.in.AllowOutside, q.in.Folders) {
		if within(allowed, target) {
			return true
		}
	}
	const no, yes = "Don't send", "Send it along"
	text := fmt.Sprintf("%s uses %s, which lies outside of it. Send that to JuliaHub, too?", filepath.Base(dir), target)
	return s.consent(ctx, q, "outside\x00"+dir+"\x00"+target, text, no, yes)
}

package lsp_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp"
	"juliahub-lsp/lsp/lsptest"
)

// These are the stories of a person with an editor: the real commands behind
// the real protocol, and the emulator as the cloud.

// desk is a person's machine: a project, a state directory, an account.
type desk struct {
	t   *testing.T
	hub *emulator.Emulator
	dir string
	env map[string]string

	prepare func(*lsp.Server) // changes a server before it serves; nil = nothing
}

func newDesk(t *testing.T, simulate func(context.Context, *emulator.Stage) error) *desk {
	t.Helper()
	return newDeskAt(t, emulator.Config{Simulate: simulate})
}

// newDeskAt is newDesk with a cloud of its own ways.
func newDeskAt(t *testing.T, cloud emulator.Config) *desk {
	t.Helper()
	cloud.Julia = cmp.Or(cloud.Julia, "none")
	cloud.Pace = cmp.Or(cloud.Pace, 20*time.Millisecond)
	hub, err := emulator.New(cloud)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hub.Close(); err != nil {
			t.Error(err)
		}
	})
	at, err := hub.Start("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	d := &desk{t: t, hub: hub, dir: filepath.Join(home, "my work")}
	d.env = map[string]string{"JULIA_PKG_SERVER": at, "JULIAHUB_TOKEN": hub.Token(), "JULIA_DEPOT_PATH": filepath.Join(home, "depot")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return d
}

// file writes a file of the project and returns its URI.
func (d *desk) file(name, text string) string {
	d.t.Helper()
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

func (d *desk) read(name string) string {
	d.t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, filepath.FromSlash(name)))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(raw)
}

// editor starts a server and an editor on the project.
func (d *desk) editor(options lsptest.Options) *lsptest.Editor {
	d.t.Helper()
	e := d.connect(options)
	e.Initialize()
	e.Notify("initialized", map[string]any{})
	return e
}

// connect starts a server and an editor that has said nothing yet.
func (d *desk) connect(options lsptest.Options) *lsptest.Editor {
	d.t.Helper()
	options.Folders = []string{(&url.URL{Scheme: "file", Path: filepath.ToSlash(d.dir)}).String()}
	ours, theirs := net.Pipe()
	logger := slog.New(slog.NewTextHandler(d.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	server := lsp.New(lsp.Config{Version: "test", Logger: logger, NewSession: func(ui commands.UI) (*commands.Session, error) {
		return commands.New(commands.Config{
			UI: ui, Logger: logger, Version: "test", Home: filepath.Dir(d.dir), State: filepath.Join(filepath.Dir(d.dir), "state"),
			Tick:      30 * time.Millisecond,
			LookupEnv: func(name string) (string, bool) { v, ok := d.env[name]; return v, ok },
		})
	}})
	if d.prepare != nil {
		d.prepare(server)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = server.Serve(context.Background(), ours)
	}()
	e := lsptest.Connect(d.t, theirs, options)
	d.t.Cleanup(func() {
		e.Close()
		<-done
	})
	return e
}

// plugin are the capabilities of an editor with our plugin.
func plugin() map[string]any {
	caps := maps.Clone(lsptest.Full())
	caps["experimental"] = map[string]any{"juliahub": true}
	return caps
}

func lensText(e *lsptest.Editor, uri string) string {
	var all []string
	for _, l := range e.Lenses(uri) {
		all = append(all, l.Command.Title)
	}
	return strings.Join(all, " · ")
}

func TestStoryScript(t *testing.T) {
	release := make(chan struct{})
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("hello from the job")
		<-release
		return errors.Join(s.Result("answer.txt", []byte("42\n")), s.Outputs(`{"answer":42}`))
	})
	uri := d.file("pi.jl", "println(1)\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "println(1)\n")

	var sub commands.Submission
	began := time.Now()
	e.Do(uri, "Submit as script", &sub)
	if sub.Submission == "" || time.Since(began) > time.Second {
		t.Errorf("%+v after %v", sub, time.Since(began))
	}
	e.Await(lsptest.JobIn("running"))
	e.Await(lsptest.WorkBegun("pi.jl"))
	if got := lensText(e, uri); !strings.Contains(got, "● Running") || !strings.Contains(got, "Logs") {
		t.Errorf("lens %q", got)
	}
	close(release)
	s := e.Await(lsptest.AllOf(lsptest.JobIn("completed"), lsptest.WorkEnded("pi.jl", "done"), lsptest.NoWork()))
	if d := s.Diagnostics[uri]; len(d) != 1 || d[0].Severity > 4 || d[0].Severity < 3 {
		t.Errorf("diagnostics %+v", d)
	}
	e.Do(uri, "Show logs", nil)
	e.Do(uri, "Download results", nil)
	id, _ := s.Jobs[len(s.Jobs)-1]["job"].(string)
	e.Await(lsptest.That("the results", func(s *lsptest.State) bool {
		results, _ := s.Jobs[len(s.Jobs)-1]["results"].([]any)
		return len(results) > 0 && strings.Contains(fmt.Sprint(results), "path:")
	}))
	if got := d.read("juliahub-results/" + id + "/answer.txt"); got != "42\n" {
		t.Errorf("the result is %q", got)
	}
	if got := lensText(e, uri); !strings.Contains(got, "✓ Completed") || !strings.Contains(got, `{"answer":42}`) || !strings.Contains(got, "Results") {
		t.Errorf("lens %q", got)
	}
	e.Shutdown()
}

func TestStoryFailingLine(t *testing.T) {
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("ERROR: LoadError: DomainError with -1.0:")
		s.Print("Stacktrace:")
		s.Print(" [1] sqrt(::Float64) at ./math.jl:573")
		s.Print(" [2] g(::Int64) at /home/jovyan/code.jl:3")
		s.Print(" [3] top-level scope at /home/jovyan/code.jl:5")
		s.Print("in expression starting at /home/jovyan/code.jl:5")
		return errors.New("exit status 1")
	})
	text := "# a\n# b\ng(x) = sqrt(-1.0)\n\ng(1)\n"
	uri := d.file("fails.jl", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit as script", nil)
	s := e.Await(lsptest.Diagnosed(uri, 2, "DomainError"))
	for _, d := range s.Diagnostics[uri] {
		if d.Range.Start.Line == 2 && (d.Severity != 1 || d.Range.End.Character != len("g(x) = sqrt(-1.0)")) {
			t.Errorf("%+v", d)
		}
	}
	e.Await(lsptest.Says("fails.jl"))
	e.Do(uri, "Dismiss job", nil)
	e.Await(lsptest.Undiagnosed(uri))
	e.Shutdown()
}

// Of several results, pictures and tables open in an editor that shows
// documents; in another one their directory is named, once.
func TestStoryPicturesAndTables(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		return errors.Join(s.Result("plot.png", []byte("\x89PNG")), s.Result("state.jls", []byte("x")), s.Result("table.csv", []byte("1,2\n")))
	})
	uri := d.file("plots.jl", "1\n")
	blind := lsptest.Full()
	delete(blind["window"].(map[string]any), "showDocument")
	for _, capabilities := range []map[string]any{nil, blind} {
		e := d.editor(lsptest.Options{Capabilities: capabilities})
		e.OpenBuffer(uri, "julia", "1\n")
		if capabilities == nil { // the second editor finds the job of the first
			e.Do(uri, "Submit as script", nil)
		}
		e.Await(hasCode(uri, "job-completed"))
		e.Execute("juliahub.downloadResults", map[string]any{"uri": uri, "show": true, "wait": true}, nil)
		if e.Await(lsptest.Says("3 results are in ")); capabilities == nil {
			e.Await(lsptest.AllOf(lsptest.Shows("/plot.png"), lsptest.Shows("/table.csv")))
		}
		s := e.State()
		for _, shown := range s.Shown {
			if strings.HasSuffix(shown.URI, ".jls") || shown.External {
				t.Errorf("opened %+v", shown)
			}
		}
		for _, m := range s.Messages {
			if strings.Contains(m.Message, "It is at") {
				t.Errorf("said %q", m.Message)
			}
		}
		e.Shutdown()
	}
}

// A syntax error marks the lines that Julia marks, and follows edits.
func TestStoryFailingLines(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		for line := range strings.Lines(`ERROR: LoadError: ParseError:
# Error @ /home/jrun/job/code.jl:2:5
x = 1
#   ┌────
y = "a
  b
 c" 1
#─┘ ── cannot juxtapose
Stacktrace:
 [1] top-level scope
   @ ~/job/code.jl:2
in expression starting at /home/jrun/job/code.jl:2
`) {
			s.Print(strings.TrimSuffix(line, "\n"))
		}
		return errors.New("exit status 1")
	})
	text := "x = 1\ny = \"a\n  b\n c\" 1\n"
	uri := d.file("fails.jl", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit as script", nil)
	marked := func(from, fromCol, to, toCol int) lsptest.Expectation {
		want := lsptest.Range{Start: lsptest.Position{Line: from, Character: fromCol}, End: lsptest.Position{Line: to, Character: toCol}}
		return lsptest.That(fmt.Sprintf("the error at %v", want), func(s *lsptest.State) bool {
			return slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return d.Code == "job-failed" && d.Range == want })
		})
	}
	e.Await(marked(1, 4, 3, 3))
	e.SetBuffer(uri, "# above\n"+text)
	e.Await(marked(2, 4, 4, 3))
	e.SetBuffer(uri, "x = 1\ny = \"a\n  b\n c\"\n") // its end was changed
	e.Await(marked(1, 4, 1, 6))
	e.SetBuffer(uri, "x = 1\ny = 2\n")
	e.Await(lacksCode(uri, "job-failed"))
	e.Shutdown()
}

func TestStoryAppBundleWithUnsavedText(t *testing.T) {
	bundle := make(chan string, 1)
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		raw, err := os.ReadFile(s.Bundle)
		bundle <- string(raw)
		return err
	})
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	d.file("Manifest.toml", "")
	d.file("src/lib.jl", "saved_lib()\n")
	uri := d.file("scripts/run.jl", "saved_run()\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "saved_run()\n")
	lib := strings.Replace(uri, "scripts/run.jl", "src/lib.jl", 1)
	e.OpenBuffer(lib, "julia", "saved_lib()\n")
	e.SetBuffer(lib, "unsaved_lib()\n")
	var sub commands.Submission
	e.Do(uri, "Submit project as appbundle", &sub)
	e.Await(lsptest.JobIn("completed"))
	got := <-bundle
	if !strings.Contains(got, "unsaved_lib()") || strings.Contains(got, "\x00saved_lib()") || !strings.Contains(got, "saved_run()") {
		t.Error("the bundle does not hold what the editor shows")
	}
	if len(sub.Unsaved) != 1 || !strings.HasSuffix(sub.Unsaved[0], "lib.jl") {
		t.Errorf("the answer names %q as unsaved", sub.Unsaved)
	}
	e.Shutdown()
}

func TestStoryCancel(t *testing.T) {
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		s.Print("on and on")
		<-ctx.Done()
		return ctx.Err()
	})
	uri := d.file("long.jl", "sleep(1000)\n")
	e := d.editor(lsptest.Options{Capabilities: plugin(), Answer: func(q lsptest.Question) string { return q.Answers[len(q.Answers)-1] }})
	e.OpenBuffer(uri, "julia", "sleep(1000)\n")
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.JobIn("running"))
	e.Do(uri, "Cancel job", nil)
	e.Await(lsptest.JobIn("stopped"))

	// And through the progress: the bar goes, a question comes, the job is killed.
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.JobIn("running"))
	e.Await(lsptest.WorkBegun("long.jl"))
	e.CancelWork("long.jl")
	e.Await(lsptest.JobIn("stopped"))
	e.Await(lsptest.NoWork())
	e.Shutdown()
}

func TestStoryRestart(t *testing.T) {
	release := make(chan struct{})
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("still here")
		<-release
		return s.Result("answer.txt", []byte("42\n"))
	})
	uri := d.file("pi.jl", "println(1)\n")
	first := d.editor(lsptest.Options{Capabilities: plugin()})
	first.OpenBuffer(uri, "julia", "println(1)\n")
	first.Do(uri, "Submit as script", nil)
	first.Await(lsptest.JobIn("running"))
	first.Close() // no shutdown, no exit: the editor has crashed

	second := d.editor(lsptest.Options{Capabilities: plugin()})
	second.OpenBuffer(uri, "julia", "println(1)\n")
	second.Await(lsptest.JobIn("running"))
	second.Await(lsptest.WorkBegun("pi.jl"))
	if got := lensText(second, uri); !strings.Contains(got, "● Running") {
		t.Errorf("lens %q", got)
	}
	close(release)
	second.Await(lsptest.AllOf(lsptest.JobIn("completed"), lsptest.WorkEnded("pi.jl", "done")))
	second.Shutdown()
}

// A client that has nothing of what we could use still gets its job done.
func TestStoryBareEditor(t *testing.T) {
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error { return s.Result("answer.txt", []byte("42\n")) })
	uri := d.file("pi.jl", "println(1)\n")
	e := d.editor(lsptest.Options{Capabilities: map[string]any{}})
	e.OpenBuffer(uri, "julia", "println(1)\n")
	e.Execute("juliahub.submitScript", map[string]any{"uri": uri}, nil)
	e.Await(lsptest.Says("submitted to JuliaHub"))
	s := e.Await(lsptest.Says("completed"))
	if len(s.Work)+len(s.Shown)+len(s.Jobs)+len(s.Registrations)+s.LensRefreshes > 0 {
		t.Error(s.String())
	}
	e.Execute("juliahub.downloadResults", map[string]any{"uri": uri}, nil)
	e.Await(lsptest.Says("juliahub-results"))
	e.Shutdown()
}

func TestStoryErrors(t *testing.T) {
	d := newDesk(t, nil)
	uri := d.file("pi.jl", "println(1)\n")
	e := d.editor(lsptest.Options{})
	for _, c := range []struct {
		command string
		arg     any
	}{
		{"juliahub.submitScript", nil},
		{"juliahub.submitScript", map[string]any{"uri": uri, "profile": "none such"}},
		{"juliahub.cancelJob", map[string]any{"uri": uri}},
		{"juliahub.submitScript", map[string]any{"uri": "vscode-remote://ssh-remote%2Bx/home/a.jl"}},
		{"juliahub.submitScript", map[string]any{"uri": uri + "x"}},
		{"juliahub.submitScript", map[string]any{"uri": strings.Replace(uri, "pi.jl", "none.jl", 1)}},
		{"juliahub.submitScript", map[string]any{"uri": d.file("dir.jl/x", "")[:len(d.file("dir.jl/x", ""))-2]}},
		{"juliahub.submitScript", map[string]any{"uri": uri, "settings": map[string]any{"ncpus": 2}}},
		{"juliahub.submitScript", map[string]any{"uri": uri, "settings": map[string]any{"ncpu": "many"}}},
		{"juliahub.submitScript", map[string]any{"uri": uri, "settings": []any{1}}},
		{"juliahub.submitScript", map[string]any{"uri": uri, "wait": "yes"}},
		{"juliahub.extendJob", map[string]any{"job": "jr-abc", "hours": 1.5}},
		{"juliahub.extendJob", map[string]any{"job": "jr-abc", "hours": -1}},
		{"juliahub.logs", map[string]any{"job": "../../etc"}},
		{"juliahub.logs", map[string]any{"submission": "none"}},
	} {
		var failed *lsptest.Error
		if err := e.TryExecute(c.command, c.arg, nil); !errors.As(err, &failed) || failed.Code != -32602 || len(strings.Fields(failed.Message)) < 4 {
			t.Errorf("%s %v: %v", c.command, c.arg, err)
		}
	}
	e.Shutdown()
}

// Every job carries the text of its moment, through to the server.
func TestStoryOrder(t *testing.T) {
	const n = 40
	codes := make(chan string, n)
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		codes <- s.Code
		return nil
	})
	uri := d.file("pi.jl", "")
	e := d.editor(lsptest.Options{Capabilities: plugin(), Answer: func(q lsptest.Question) string { return q.Answers[len(q.Answers)-1] }})
	e.OpenBuffer(uri, "julia", "")
	var all []*lsptest.Pending
	for i := range n {
		e.SetBuffer(uri, fmt.Sprintf("println(%d)\n", i))
		all = append(all, e.StartExecute("juliahub.submitScript", map[string]any{"uri": uri}))
	}
	submissions := map[string]bool{}
	for i, p := range all {
		var sub commands.Submission
		if err := p.Wait(&sub); err != nil {
			t.Fatalf("submission %d: %v", i, err)
		}
		submissions[sub.Submission] = true
	}
	if len(submissions) != n {
		t.Errorf("%d submissions", len(submissions))
	}
	var got []string
	timeout := time.After(lsptest.Timeout)
	for len(got) < n {
		select {
		case code := <-codes:
			got = append(got, code)
		case <-timeout:
			t.Fatalf("%d jobs\n%s", len(got), e.Dump())
		}
	}
	slices.Sort(got)
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("println(%d)\n", i))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	e.Shutdown()
}

// The places that explain a failure follow edits of their own files; those of a
// package in the depot stay.
func TestStoryRelatedPlacesFollowEdits(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("ERROR: LoadError: boom")
		s.Print("Stacktrace:\n  [1] error(s::String)\n    @ Base ./error.jl:35\n  [2] f()\n    @ P /tmp/x/my work/src/lib.jl:2")
		s.Print("  [3] g()\n    @ Dep ~/.julia/packages/Dep/aB3dE/src/Dep.jl:3\n  [4] top-level scope\n    @ /tmp/x/my work/scripts/run.jl:3")
		return errors.New("exit status 1")
	})
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	d.file("Manifest.toml", "")
	lib := d.file("src/lib.jl", "# lib\nf() = error(\"boom\")\n")
	dep := filepath.Join(d.env["JULIA_DEPOT_PATH"], "packages", "Dep", "aB3dE", "src", "Dep.jl")
	if err := errors.Join(os.MkdirAll(filepath.Dir(dep), 0o700), os.WriteFile(dep, []byte("module Dep\nend\ng() = 1\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	text := "include(\"../src/lib.jl\")\n# now\nf()\n"
	uri := d.file("scripts/run.jl", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit project as appbundle", nil)
	explained := func(lines ...string) lsptest.Expectation {
		return lsptest.That(fmt.Sprintf("the failure explained by %q", lines), func(s *lsptest.State) bool {
			for _, found := range s.Diagnostics[lib] {
				var got []string
				for _, r := range found.RelatedInformation {
					got = append(got, fmt.Sprintf("%s:%d", r.Location.URI[strings.LastIndex(r.Location.URI, "/")+1:], r.Location.Range.Start.Line))
				}
				if found.Code == "job-failed" && slices.Equal(got, lines) {
					return true
				}
			}
			return false
		})
	}
	e.Await(explained("Dep.jl:2", "run.jl:2"))
	e.SetBuffer(uri, "# above\n"+text)
	e.Await(explained("Dep.jl:2", "run.jl:3"))
	e.SetBuffer(uri, "include(\"../src/lib.jl\")\n")
	e.Await(explained("Dep.jl:2"))
	e.SetBuffer(uri, text)
	e.Await(explained("Dep.jl:2", "run.jl:2"))
	e.Shutdown()
}

// The ignore file answers to every keystroke, before anything is saved: what a
// rule does, what is wrong with it, and how to mend it.
func TestStoryIgnoreFileComesAlive(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	d.file("Manifest.toml", "")
	for i := range 12 {
		d.file(fmt.Sprintf("data/%02d.csv", i), "1,2\n")
	}
	d.file("keys/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	d.file("src/.juliabundleignore", "*.tmp\n")
	large := filepath.Join(d.dir, "large.bin")
	if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, 60<<20)); err != nil {
		t.Fatal(err)
	}
	script := d.file("scripts/run.jl", "1\n")
	uri := d.file(".juliabundleignore", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "")
	e.Await(lsptest.AllOf(hasCode(uri, "secret"), hasCode(uri, "large-file")))
	e.AwaitLens(uri, "Bundle: 19 files, 62.9 MB")

	// What would go out and should not has a quick fix, which edits the buffer.
	var added []string
	for _, a := range actionsAt(e, uri, "secret", map[string]any{"only": []string{"quickfix"}}) { // all stand on the first line
		var edit struct {
			Changes map[string][]struct{ NewText string }
		}
		if err := json.Unmarshal(a.Edit, &edit); err == nil && len(edit.Changes[uri]) == 1 {
			added = append(added, edit.Changes[uri][0].NewText)
		}
	}
	slices.Sort(added)
	text := strings.Join(added, "")
	if text != "keys/id_rsa\nlarge.bin\n" {
		t.Errorf("the quick fixes add %q", text)
	}
	e.SetBuffer(uri, text+"data/*.csv\n")
	e.Await(lsptest.AllOf(lacksCode(uri, "secret"), lacksCode(uri, "large-file")))
	if got := hoverText(e, uri, 2, 3); !strings.HasPrefix(got, "Keeps out 12 files, 48 bytes.") || strings.Count(got, "data/") != 10 || !strings.HasSuffix(got, "…") {
		t.Errorf("hover %q", got)
	}

	for typed, code := range map[string]string{
		"nothing*": "ignore-dead", "Manifest.toml": "ignore-project-file", "/keys": "ignore-leading-slash", "keys\n!keys/id_rsa": "ignore-excluded-parent", "[[:no:]]": "ignore-syntax",
	} {
		e.SetBuffer(uri, text+typed+"\n")
		e.Await(hasCode(uri, code))
	}
	e.SetBuffer(uri, text+"da")
	e.AwaitLens(uri, "Bundle: ") // the rules before may have been no rules
	if got := labels(e, uri, 2, 2); !slices.Contains(got, "data/") || slices.Contains(got, "keys/") {
		t.Errorf("completion %q", got)
	}
	inner := strings.Replace(uri, ".juliabundleignore", "src/.juliabundleignore", 1)
	e.OpenBuffer(inner, "plaintext", "*.tmp\n")
	e.Await(hasCode(inner, "ignore-shadows"))

	// The script that goes with the bundle must not stay out of it.
	e.OpenBuffer(script, "julia", "1\n")
	e.SetBuffer(uri, text+"scripts/*\n")
	e.Await(lsptest.AllOf(lacksCode(uri, "ignore-syntax"), lacksCode(uri, "ignore-script")))
	e.SetBuffer(uri, text)
	e.Do(script, "Submit project as appbundle", nil)
	e.Await(hasCode(script, "job-completed"))
	e.SetBuffer(uri, text+"scripts/*\n")
	e.Await(hasCode(uri, "ignore-script"))
	e.Shutdown()
}

package lsp

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp/lsptest"
)

func titles(actions []lsptest.Action) []string {
	var all []string
	for _, a := range actions {
		title := a.Title
		if a.Disabled != nil {
			title += " (" + a.Disabled.Reason + ")"
		}
		all = append(all, title)
	}
	return all
}

// without are the full capabilities but for some.
func without(paths ...string) map[string]any {
	caps := lsptest.Full()
	for _, path := range paths {
		names := strings.Split(path, ".")
		at := caps
		for _, name := range names[:len(names)-1] {
			at, _ = at[name].(map[string]any)
		}
		delete(at, names[len(names)-1])
	}
	return caps
}

func oneJob(state commands.State) func(string) []commands.Job {
	began := time.Now().Add(-12 * time.Minute)
	return func(string) []commands.Job {
		return []commands.Job{{Submission: "s-1", ID: "jr-abc", State: state, Started: &began, Watched: true, LimitHours: 1}}
	}
}

func TestCodeActions(t *testing.T) {
	const uri = "file:///a/pi.jl"
	e, r := open(t, lsptest.Options{Capabilities: without("textDocument.codeAction.disabledSupport")}, nil)
	e.OpenBuffer(uri, "julia", "x\ny\n")
	first := []string{"Submit as script", "Submit project as appbundle", "Preview job", "Preview bundle"}
	if got := titles(e.Actions(uri, lsptest.Range{}, nil)); !slices.Equal(got, first) {
		t.Errorf("%q, want %q", got, first)
	}
	selected := lsptest.Range{End: lsptest.Position{Line: 1}}
	if got := titles(e.Actions(uri, selected, nil)); len(got) != 5 || got[1] != "Submit selection as script" {
		t.Errorf("%q", got)
	}
	r.have(oneJob(commands.StateRunning))
	got := titles(e.Actions(uri, lsptest.Range{}, nil))
	want := append(slices.Clone(first), "Show job", "Show logs", "Cancel job", "Stop watching job", "Extend job by 1 hour", "Open job in browser")
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	r.have(oneJob(commands.StateCompleted))
	got = titles(e.Actions(uri, lsptest.Range{}, nil))
	want = append(slices.Clone(first), "Download results", "Show job", "Show logs", "Open job in browser", "Run job again", "Dismiss job")
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, a := range e.Actions(uri, lsptest.Range{}, nil) {
		if a.IsPreferred || !strings.HasPrefix(a.Kind, "juliahub.job.") {
			t.Errorf("%s: kind %q, preferred %t", a.Title, a.Kind, a.IsPreferred)
		}
	}
	for only, n := range map[string]int{
		"": 10, "juliahub": 10, "juliahub.job": 10, "juliahub.job.submit": 2, "juliahub.job.submit.script": 1, "juliahub.jo": 0, "juliahub.job.submit.script.x": 0,
		"source": 0, "source.fixAll": 0, "source.organizeImports": 0, "quickfix": 0, "refactor": 0,
	} {
		if got := e.Actions(uri, lsptest.Range{}, map[string]any{"only": []string{only}}); len(got) != n {
			t.Errorf("only %q: %d actions %q, want %d", only, len(got), titles(got), n)
		}
	}
	if got := e.Actions(uri, lsptest.Range{}, map[string]any{"triggerKind": 2}); got == nil || len(got) != 0 {
		t.Errorf("unasked: %q", titles(got))
	}
	if got := e.Actions(uri, lsptest.Range{}, map[string]any{"triggerKind": 1}); len(got) != 10 {
		t.Errorf("asked: %q", titles(got))
	}
	for _, other := range []string{"file:///a/Other.toml", "vscode-remote://h/a.jl", "file:///a/x.py"} {
		if got := e.Actions(other, lsptest.Range{}, nil); got == nil || len(got) != 0 {
			t.Errorf("%s: %q", other, titles(got))
		}
	}
	e.OpenBuffer("untitled:one", "julia", "")
	if got := titles(e.Actions("untitled:one", lsptest.Range{}, nil)); got[0] != "Submit as script" || slices.Contains(got, "Submit project as appbundle") {
		t.Errorf("%q", got)
	}
}

// The kinds that a client asks for are taken to the letter. An empty list asks
// for none in particular.
func TestOnlyTheKindsAskedFor(t *testing.T) {
	const uri = "file:///a/pi.jl"
	e, r := open(t, lsptest.Options{}, nil)
	r.have(oneJob(commands.StateRunning))
	e.OpenBuffer(uri, "julia", "x\ny\n")
	selected := lsptest.Range{End: lsptest.Position{Line: 1}}
	all := len(e.Actions(uri, selected, nil))
	for _, c := range []struct {
		only []string
		n    int
	}{
		{nil, all}, {[]string{}, all}, {[]string{""}, all}, {[]string{"juliahub"}, all}, {[]string{"source", "juliahub.job"}, all},
		{[]string{"juliahub.job.submit"}, 3}, {[]string{"juliahub.job.submit.selection"}, 1}, {[]string{"quickfix", "juliahub.job.cancel"}, 1},
		{[]string{"juliahub.job."}, 0}, {[]string{"juliahub.jobs"}, 0}, {[]string{"JuliaHub.job"}, 0}, {[]string{"juliahub.job.cancel.now"}, 0},
		{[]string{"source"}, 0}, {[]string{"source.fixAll"}, 0}, {[]string{"source.fixAll.juliahub"}, 0}, {[]string{"source.organizeImports"}, 0},
		{[]string{"quickfix"}, 0}, {[]string{"quickfix.juliahub"}, 0}, {[]string{"refactor", "refactor.extract", "refactor.rewrite"}, 0}, {[]string{"notebook"}, 0},
		{[]string{"no.such.kind"}, 0}, {[]string{"source.fixAll", "quickfix", "source.organizeImports", "source.addMissingImports"}, 0},
	} {
		if got := e.Actions(uri, selected, map[string]any{"only": c.only, "triggerKind": 1}); got == nil || len(got) != c.n {
			t.Errorf("only %q: %d actions %q, want %d", c.only, len(got), titles(got), c.n)
		}
		if got := e.Actions(uri, selected, map[string]any{"only": c.only, "triggerKind": 2}); len(got) > 0 {
			t.Errorf("only %q, unasked: %q", c.only, titles(got))
		}
	}
	e.Shutdown()
}

// Whatever a lens does is also an action and an advertised command: not every
// editor has lenses.
func TestLensesAreActionsAndCommands(t *testing.T) {
	const uri = "file:///a/pi.jl"
	r := serve(t, nil)
	e := lsptest.Connect(t, r.editor, lsptest.Options{Capabilities: without("textDocument.codeAction.disabledSupport")})
	t.Cleanup(e.Close)
	provider, _ := e.Initialize()["executeCommandProvider"].(map[string]any)
	advertised, _ := provider["commands"].([]any)
	e.Notify("initialized", map[string]any{})
	e.OpenBuffer(uri, "julia", "x\n")
	seen := 0
	for _, state := range []commands.State{
		commands.StateBundling, commands.StateUploading, commands.StateSubmitting, commands.StateUnknown, commands.StateSubmitted, commands.StateRunning,
		commands.StateCompleted, commands.StateFailed, commands.StateStopped, commands.StateRefused, commands.StateCancelled,
	} {
		job := oneJob(state)
		r.have(func(file string) []commands.Job {
			jobs := job(file)
			began := time.Now().Add(-55 * time.Minute) // near its limit, so that it can be extended
			jobs[0].Started = &began
			return jobs
		})
		acts := map[string]bool{}
		for _, a := range e.Actions(uri, lsptest.Range{}, nil) {
			var c lsptest.Command
			if err := json.Unmarshal(a.Command, &c); err != nil {
				t.Fatal(err)
			}
			acts[c.Command] = true
		}
		for _, l := range e.Lenses(uri) {
			seen++
			if !acts[l.Command.Command] || !slices.Contains(advertised, any(l.Command.Command)) {
				t.Errorf("%s: %q is a lens alone (%s)", state, l.Command.Title, l.Command.Command)
			}
		}
	}
	if seen < 50 {
		t.Errorf("%d lenses", seen)
	}
	e.Shutdown()
}

// What lies elsewhere is not ours: nothing is said about it, and a command on it
// is refused with a way out.
func TestDocumentsElsewhere(t *testing.T) {
	for _, uri := range []string{
		"vscode-remote://ssh-remote%2Bhost/home/me/a.jl", "http://example.com/a.jl", "https://example.com/a.jl", "git:/home/me/a.jl?%7B%22ref%22%3A%22~%22%7D",
		"jdt://contents/a.jl", "vsls:/a.jl", "vscode-notebook-cell:/home/me/nb.ipynb#W0sZmlsZQ%3D%3D", "vscode-vfs://github/x/y/a.jl", "ssh://host/a.jl",
		"file://elsewhere/share/a.jl", "zipfile:///a.zip::a.jl", "a.jl", "/home/me/a.jl", "::", "%",
	} {
		if onWindows && strings.HasPrefix(uri, "file:") {
			continue // a share
		}
		e, r, _ := watching(t, lsptest.Options{})
		e.OpenBuffer(uri, "julia", "x = 1\n")
		e.SetBuffer(uri, "x = 2\n")
		e.SaveBuffer(uri)
		if got := e.Actions(uri, lsptest.Range{End: lsptest.Position{Line: 1}}, nil); got == nil || len(got) > 0 {
			t.Errorf("%s: actions %q", uri, titles(got))
		}
		if got := e.Lenses(uri); got == nil || len(got) > 0 {
			t.Errorf("%s: lenses %+v", uri, got)
		}
		place := map[string]any{"textDocument": map[string]any{"uri": uri}, "position": lsptest.Position{}}
		var hover any
		e.Call("textDocument/hover", place, &hover)
		var items []any
		e.Call("textDocument/completion", place, &items)
		if hover != nil || len(items) > 0 {
			t.Errorf("%s: hover %v, completion %v", uri, hover, items)
		}
		for _, command := range []string{"submitScript", "submitAppBundle", "previewJob", "previewBundle", "logs", "cancelJob"} {
			err := e.TryExecute("juliahub."+command, map[string]any{"uri": uri}, nil)
			if code(err) != -32602 || !strings.Contains(err.Error(), "not a file on this machine") {
				t.Errorf("%s of %s: %v", command, uri, err)
			}
		}
		if r.server.anyLensOpen() {
			t.Errorf("%s: lenses are refreshed for it", uri)
		}
		e.CloseBuffer(uri)
		e.Lenses(uri)
		if s := e.State(); s.Published > 0 || len(s.Messages) > 0 {
			t.Errorf("%s: %s", uri, s.String())
		}
		e.Shutdown()
	}
}

func TestCodeActionsThatCannotBeHad(t *testing.T) {
	e, _ := open(t, lsptest.Options{}, nil)
	got := titles(e.Actions("file:///a/pi.jl", lsptest.Range{}, nil))
	if !slices.Contains(got, "Download results (this file has not been submitted yet)") {
		t.Errorf("%q", got)
	}
}

func TestCodeActionsAsCommands(t *testing.T) {
	e, _ := open(t, lsptest.Options{Capabilities: map[string]any{}}, nil)
	actions := e.Actions("file:///a/pi.jl", lsptest.Range{}, nil)
	if len(actions) != 4 || string(actions[0].Command) != `"juliahub.submitScript"` || actions[0].Kind != "" {
		t.Errorf("%+v", actions)
	}
}

func TestCodeLens(t *testing.T) {
	const uri = "file:///a/pi.jl"
	e, r := open(t, lsptest.Options{}, nil)
	texts := func() string {
		var all []string
		for _, l := range e.Lenses(uri) {
			if l.Range != (lsptest.Range{}) || l.Command == nil {
				t.Errorf("%+v", l)
			}
			all = append(all, l.Command.Title)
		}
		return strings.Join(all, " · ")
	}
	for state, want := range map[commands.State]string{
		"":                       "▶ Submit · ▶ Appbundle",
		commands.StateRunning:    "▶ Submit · ▶ Appbundle · ● Running 12m/1h · Logs · Stop",
		commands.StateCompleted:  "▶ Submit · ▶ Appbundle · ✓ Completed 12m · Results · Run again · Logs",
		commands.StateFailed:     "▶ Submit · ▶ Appbundle · ✗ Failed 12m · Logs · Run again",
		commands.StateStopped:    "▶ Submit · ▶ Appbundle · ■ Stopped 12m · Logs · Run again",
		commands.StateSubmitting: "▶ Submit · ▶ Appbundle · ○ Submitting · Logs · Stop",
	} {
		if r.have(oneJob(state)); state == "" {
			r.have(nil)
		}
		if got := texts(); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	began := time.Now().Add(-90 * time.Minute)
	ended := began.Add(61 * time.Minute)
	done := 42.5
	for want, job := range map[string]commands.Job{
		"● Running 1h30m/8h · $0.36 · 42%": {State: commands.StateRunning, Started: &began, LimitHours: 8, Price: 0.12, Nodes: 2, Percent: &done},
		"✓ Completed 1h01m":                {State: commands.StateCompleted, Started: &began, Ended: &ended, Price: 0.12},
		"✗ Failed at line 12":              {State: commands.StateFailed, File: "/a", FailedAt: &commands.Spot{Path: "/a", Line: 11}, Started: &began},
		"✓ Completed · {\"n\": 1}":         {State: commands.StateCompleted, Outputs: "{\"n\":\n 1}\x1b"},
		"✗ Not submitted":                  {State: commands.StateRefused},
		"● Running · network lost":         {State: commands.StateRunning, Trouble: "network lost"},
	} {
		if got := jobTitle(job, time.Now()); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	r.have(func(string) []commands.Job {
		return []commands.Job{{ID: "jr-abc", State: commands.StateRunning, Started: &began, LimitHours: 1}}
	})
	if got, want := texts(), "▶ Submit · ▶ Appbundle · ● Running 1h30m/1h · Logs · Extend by 1 hour · Stop"; got != want {
		t.Errorf("near its limit: %q, want %q", got, want)
	}
	r.have(func(string) []commands.Job { return []commands.Job{{ID: "jr-abc", Dismissed: true}} })
	if got, want := texts(), "▶ Submit · ▶ Appbundle"; got != want {
		t.Errorf("dismissed: %q, want %q", got, want)
	}
	e.SetSettings(map[string]any{"juliahub": map[string]any{"codeLens": map[string]any{"enabled": false}}})
	e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
	e.Lenses(uri) // the notification has been applied
	r.server.world.Load().settings.wait(t.Context())
	if got := texts(); got != "" {
		t.Errorf("%q", got)
	}
}

// Lenses stand in ascending columns, on whole characters, as far as the line
// goes: Neovim's sort does not keep the order of those at one place.
func TestLensColumns(t *testing.T) {
	const uri = "file:///a/pi.jl"
	for encoding, texts := range map[string]map[string][]int{
		"utf-16": {"": {0, 0, 0, 0, 0, 0}, "a😀é\r\nx": {0, 1, 3, 4, 4, 4}, "# a longer line": {0, 1, 2, 3, 4, 5}},
		"utf-8":  {"": {0, 0, 0, 0, 0, 0}, "a😀é\nx": {0, 1, 5, 7, 7, 7}, "# a longer line": {0, 1, 2, 3, 4, 5}},
	} {
		caps := lsptest.Full()
		caps["general"] = map[string]any{"positionEncodings": []string{encoding}}
		e, r := open(t, lsptest.Options{Capabilities: caps}, nil)
		r.have(oneJob(commands.StateCompleted))
		for text, want := range texts {
			e.OpenBuffer(uri, "julia", text)
			var got []int
			for _, l := range e.Lenses(uri) {
				if l.Range.Start != l.Range.End || l.Range.Start.Line != 0 {
					t.Errorf("%+v", l.Range)
				}
				got = append(got, l.Range.Start.Character)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %q: columns %v, want %v", encoding, text, got, want)
			}
		}
	}
}

// bubble runs a test in a bubble of its own time. The library keeps used
// channels in a pool; one from another bubble is fatal here, and two collections
// empty a pool.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	empty := func() {
		runtime.GC()
		runtime.GC()
	}
	empty()
	defer empty()
	synctest.Test(t, test)
}

// story is a bubble with an editor.
func story(t *testing.T, options lsptest.Options, tell func(t *testing.T, e *lsptest.Editor, r *running)) {
	bubble(t, func(t *testing.T) {
		r := serve(t, nil)
		e := lsptest.Open(t, r.editor, options)
		tell(t, e, r)
		e.Shutdown()
		r.exit(t, 0)
	})
}

// pass lets time go by, and everybody do what there is to do.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestProgress(t *testing.T) {
	t.Run("quick work is not shown", func(t *testing.T) {
		story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
			task := r.ui.Begin(t.Context(), commands.Work{Title: "Submitting"})
			pass(progressDelay - time.Millisecond)
			task.End("done")
			pass(time.Minute)
			if s := e.State(); len(s.Work)+len(s.Messages) > 0 {
				t.Error(s.String())
			}
		})
	})
	t.Run("with percentages", func(t *testing.T) {
		story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
			task := r.ui.Begin(t.Context(), commands.Work{Title: "Submitting pi.jl", Message: "bundling", Percent: true})
			pass(progressDelay)
			for i := range 1000 {
				task.Report(fmt.Sprint("uploading ", i), float64(i)/10)
				<-time.After(time.Millisecond)
			}
			task.Report("back", 5)
			task.Report("no number", math.NaN())
			pass(time.Second)
			task.End("done")
			task.End("again")
			task.Report("late", 100)
			pass(time.Second)
			s := e.Await(lsptest.WorkEnded("Submitting pi.jl", "done"))
			w := s.FindWork("Submitting")
			if n := len(w.Reports); n < 5 || n > 12 || *w.Percent != 99 || w.Cancellable {
				t.Errorf("%d reports, %+v", n, w)
			}
		})
	})
	t.Run("a running job", func(t *testing.T) {
		story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
			task := r.ui.Begin(t.Context(), commands.Work{Title: "jr-abc"})
			for i := range 100 {
				task.Report(fmt.Sprint("line\x1b[31m ", i, "\n"), 50)
				<-time.After(100 * time.Millisecond)
			}
			task.End("")
			pass(time.Second)
			now := e.State()
			w := now.FindWork("jr-abc")
			if n := len(w.Reports); n < 9 || n > 11 || w.Percent != nil || !strings.HasPrefix(w.Reports[1].Message, "line 1") {
				t.Errorf("%d reports, %+v", n, w)
			}
		})
	})
	t.Run("the same again is not reported", func(t *testing.T) {
		story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
			task := r.ui.Begin(t.Context(), commands.Work{Title: "jr-abc", Percent: true})
			for i := range 60 {
				task.Report("training", float64(i/20))
				<-time.After(100 * time.Millisecond)
			}
			task.End("")
			pass(time.Second)
			now := e.State()
			if w := now.FindWork("jr-abc"); len(w.Reports) < 3 || len(w.Reports) > 4 { // begin's among them
				t.Errorf("%d reports, %+v", len(w.Reports), w)
			}
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
			cancelled := 0
			r.ui.Begin(t.Context(), commands.Work{Title: "Uploading", Percent: true, Cancel: func() { cancelled++ }})
			pass(progressDelay)
			e.CancelWork("Uploading")
			e.CancelWork("Uploading")
			e.Notify("window/workDoneProgress/cancel", map[string]any{"token": "no such"})
			pass(time.Second)
			if s := e.State(); cancelled != 1 || !s.FindWork("Uploading").Ended {
				t.Errorf("cancelled %d times\n%s", cancelled, s.String())
			}
		})
	})
	t.Run("ends with the server", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := serve(t, nil)
			e := lsptest.Open(t, r.editor, lsptest.Options{})
			r.ui.Begin(t.Context(), commands.Work{Title: "jr-abc"})
			pass(time.Second)
			r.cancel()
			<-e.Done()
			if s := e.State(); s.FindWork("jr-abc") == nil || !s.FindWork("jr-abc").Ended {
				t.Error(s.String())
			}
			r.exit(t, 1)
		})
	})
	t.Run("ends before shutdown is answered", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := serve(t, nil)
			e := lsptest.Open(t, r.editor, lsptest.Options{})
			task := r.ui.Begin(t.Context(), commands.Work{Title: "jr-abc"})
			pass(time.Second)
			e.Call("shutdown", nil, nil)
			if s := e.State(); s.FindWork("jr-abc") == nil || !s.FindWork("jr-abc").Ended {
				t.Error(s.String())
			}
			r.ui.Begin(t.Context(), commands.Work{Title: "jr-def"})
			task.End("done")
			pass(time.Second)
			if s := e.State(); len(s.Work) != 1 {
				t.Error(s.String())
			}
			e.Notify("exit", nil)
			r.exit(t, 0)
			e.Close()
		})
	})
	t.Run("ends with an exit", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			r := serve(t, nil)
			e := lsptest.Open(t, r.editor, lsptest.Options{})
			r.ui.Begin(t.Context(), commands.Work{Title: "jr-abc"})
			pass(time.Second)
			e.Notify("exit", nil)
			<-e.Done()
			if s := e.State(); s.FindWork("jr-abc") == nil || !s.FindWork("jr-abc").Ended {
				t.Error(s.String())
			}
			r.exit(t, 1)
			e.Close()
		})
	})
	for name, options := range map[string]lsptest.Options{
		"the client refuses":        {RefuseProgress: true},
		"no progress in the client": {Capabilities: without("window.workDoneProgress")},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, options, func(t *testing.T, e *lsptest.Editor, r *running) {
				task := r.ui.Begin(t.Context(), commands.Work{Title: "Submitting pi.jl"})
				pass(time.Minute)
				task.Report("uploading", 1)
				task.End("done")
				pass(time.Minute)
				if s := e.State(); len(s.Messages)+len(s.Work) > 0 {
					t.Error(s.String())
				}
			})
		})
	}
}

// A request's own token is used up to its response, then one of ours.
func TestLentToken(t *testing.T) {
	story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
		var task commands.Task
		r.do = func(ctx context.Context, _ commands.Command, _ commands.Input) (any, error) {
			task = r.ui.Begin(ctx, commands.Work{Title: "Submitting pi.jl"})
			<-time.After(2 * time.Second)
			return nil, nil
		}
		e.LendToken(`"mine"`)
		e.Call("workspace/executeCommand", map[string]any{"command": "juliahub.logs", "workDoneToken": "mine"}, nil)
		if w := e.State().Work; !w[0].Ended || w[0].Token != `"mine"` {
			t.Error(e.Dump())
		}
		pass(time.Second)
		task.End("done")
		pass(time.Second)
		if w := e.State().Work; len(w) != 2 || w[1].End != "done" || w[1].Token == `"mine"` {
			t.Error(e.Dump())
		}
	})
}

// A token is the same however a client writes it.
func TestCancelOfALentToken(t *testing.T) {
	for begun, cancelled := range map[string]string{`"\u00e9/1"`: `"é\/1"`, `7`: ` 7`} {
		story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
			over := make(chan struct{})
			r.do = func(ctx context.Context, _ commands.Command, _ commands.Input) (any, error) {
				r.ui.Begin(ctx, commands.Work{Title: "Submitting pi.jl", Cancel: func() { close(over) }})
				<-over
				return nil, nil
			}
			var token any
			if err := json.Unmarshal([]byte(begun), &token); err != nil {
				t.Fatal(err)
			}
			written, err := json.Marshal(token)
			if err != nil {
				t.Fatal(err)
			}
			e.LendToken(string(written))
			p := e.Start("workspace/executeCommand", map[string]any{"command": "juliahub.logs", "workDoneToken": json.RawMessage(begun)})
			pass(time.Second)
			e.SendBody(`{"jsonrpc":"2.0","method":"window/workDoneProgress/cancel","params":{"token":` + cancelled + `}}`)
			if err := p.Wait(nil); err != nil {
				t.Error(err)
			}
			if s := e.Await(lsptest.WorkEnded("Submitting pi.jl", "cancelled")); len(s.Work) != 1 {
				t.Error(s.String())
			}
		})
	}
}

func TestDiagnostics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pi.jl")
	write(t, path, "x = 1\n𝒻(é) # fails\n")
	uri := uriOf(path)
	odd := strings.Replace(uri, "pi.jl", "p%69.jl", 1) // the same file, spelled in another way
	failed := []commands.Problem{{
		Line: 1, Col: 2, WholeLine: true, Severity: commands.SeverityError, Code: "job-failed", Message: "boom\x07", Job: "jr-abc",
		Related: []commands.Related{{Path: path, Line: 0, Message: "called here"}},
	}}
	story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
		r.ui.ProblemsChanged(path, failed)
		r.ui.ProblemsChanged("/none.jl", nil)
		pass(time.Second)
		s := e.Await(lsptest.Diagnosed(uri, 1, "boom"))
		d := s.Diagnostics[uri][0]
		want := lsptest.Range{Start: lsptest.Position{Line: 1, Character: 2}, End: lsptest.Position{Line: 1, Character: 13}}
		if d.Range != want || d.Severity != 1 || d.Code != "job-failed" || d.Source != "JuliaHub" || d.Message != "boom" || len(d.RelatedInformation) != 1 || s.Published != 1 {
			t.Errorf("%+v", d)
		}
		r.ui.ProblemsChanged(path, failed) // the same: nothing to tell
		pass(time.Second)
		if s := e.State(); s.Published != 1 {
			t.Error(s.String())
		}
		e.OpenBuffer(odd, "julia", "x = 1\n𝒻(é)\n")
		pass(time.Second)
		e.Await(lsptest.AllOf(lsptest.Undiagnosed(uri), lsptest.Diagnosed(odd, 1, "boom")))
		e.CloseBuffer(odd)
		pass(time.Second)
		e.Await(lsptest.AllOf(lsptest.Undiagnosed(odd), lsptest.Diagnosed(uri, 1, "boom")))
		r.ui.ProblemsChanged(path, nil)
		pass(time.Second)
		e.Await(lsptest.Undiagnosed(uri))
	})
	caps := without("textDocument.publishDiagnostics.relatedInformation")
	caps["general"] = map[string]any{"positionEncodings": []string{"utf-8"}}
	story(t, lsptest.Options{Capabilities: caps}, func(t *testing.T, e *lsptest.Editor, r *running) {
		r.ui.ProblemsChanged(path, failed)
		e.OpenBuffer("untitled:one", "julia", "")
		r.ui.ProblemsChanged("untitled:one", []commands.Problem{{Line: 99, EndLine: 3, EndCol: 7, Severity: commands.SeverityHint, Message: "m"}})
		pass(time.Second)
		s := e.Await(lsptest.Diagnosed("untitled:one", 0, "m"))
		d := s.Diagnostics[uri][0]
		want := lsptest.Range{Start: lsptest.Position{Line: 1, Character: 4}, End: lsptest.Position{Line: 1, Character: 16}}
		if d.Range != want || d.Message != "boom\npi.jl:1: called here" {
			t.Errorf("%+v", d)
		}
	})
}

func TestMessagesAreParkedUntilInitialized(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, nil)
		e := lsptest.Connect(t, r.editor, lsptest.Options{})
		e.Initialize()
		r.ui.Say(t.Context(), commands.Warning, "early")
		r.ui.ShowFile(t.Context(), "/a/b.txt")
		answer := make(chan string, 1)
		go func() { answer <- r.ui.Ask(t.Context(), commands.Info, "sure?", "no", "yes") }()
		r.ui.ProblemsChanged("/a/b.jl", []commands.Problem{{Message: "m", Severity: 1}})
		pass(time.Second)
		if s := e.State(); len(s.Messages)+len(s.Shown)+len(s.Questions)+s.Published > 0 {
			t.Error(s.String())
		}
		e.Notify("initialized", map[string]any{})
		pass(time.Second)
		e.Await(lsptest.AllOf(lsptest.Says("early"), lsptest.Shows("b.txt"), lsptest.Asks("sure?"), lsptest.Diagnosed("file:///a/b.jl", 0, "m")))
		if got := <-answer; got != "no" {
			t.Errorf("dismissed, but answered %q", got)
		}
		e.Shutdown()
		r.exit(t, 0)
	})
}

func TestAsk(t *testing.T) {
	reply := ""
	story(t, lsptest.Options{Answer: func(lsptest.Question) string { return reply }}, func(t *testing.T, e *lsptest.Editor, r *running) {
		for reply = range map[string]bool{"yes": true, "no": true} {
			if got := r.ui.Ask(t.Context(), commands.Info, "?", "no", "yes"); got != reply {
				t.Errorf("%q, want %q", got, reply)
			}
		}
		reply = "something else"
		if got := r.ui.Ask(t.Context(), commands.Info, "?", "no", "yes"); got != "no" {
			t.Errorf("%q", got)
		}
	})
	var never chan struct{}
	story(t, lsptest.Options{Answer: func(lsptest.Question) string { <-never; return "yes" }}, func(t *testing.T, e *lsptest.Editor, r *running) {
		never = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got := r.ui.Ask(ctx, commands.Info, "?", "no", "yes"); got != "no" {
			t.Errorf("lapsed, but answered %q", got)
		}
		close(never)
		pass(time.Second)
	})
}

func TestShow(t *testing.T) {
	story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
		r.ui.ShowText(t.Context(), "../lo gs:1.txt", "hello")
		pass(time.Second)
		r.ui.ShowFile(t.Context(), "/a b/c.png")
		pass(time.Second)
		for _, bad := range []string{"file:///etc/passwd", "http://example.com/", "javascript:alert(1)", "https://user@host/", "ftp://x/", "https:", ""} {
			r.ui.OpenURL(t.Context(), bad)
		}
		r.ui.OpenURL(t.Context(), "https://juliahub.com/ui/jr-abc")
		pass(time.Second)
		r.ui.OpenURL(t.Context(), "http://127.0.0.1:8000/x")
		pass(time.Second)
		s := e.State()
		if len(s.Shown) != 4 || !strings.HasSuffix(s.Shown[0].URI, "/-lo%20gs-1.txt") || s.Shown[0].External || s.Shown[1].URI != "file:///a%20b/c.png" || !s.Shown[2].External || !s.Shown[3].External {
			t.Errorf("%+v", s.Shown)
		}
	})
	for _, options := range []lsptest.Options{{Capabilities: map[string]any{}}, {RefuseDocuments: true}} {
		story(t, options, func(t *testing.T, e *lsptest.Editor, r *running) {
			r.ui.ShowFile(t.Context(), "/a b/c.png")
			r.ui.OpenURL(t.Context(), "https://juliahub.com/ui/jr-abc")
			pass(time.Second)
			e.Await(lsptest.AllOf(lsptest.Says("/a b/c.png"), lsptest.Says("https://juliahub.com/ui/jr-abc")))
		})
	}
}

func TestJobChanged(t *testing.T) {
	caps := lsptest.Full()
	caps["experimental"] = map[string]any{"juliahub": true}
	story(t, lsptest.Options{Capabilities: caps}, func(t *testing.T, e *lsptest.Editor, r *running) {
		e.OpenBuffer("file:///a/pi.jl", "julia", "")
		job := commands.Job{Submission: "s", ID: "jr-abc", State: commands.StateRunning}
		refreshes := func() int { return e.State().LensRefreshes }
		pass(time.Second)
		before := refreshes()
		for i := range 100 {
			job.LastLine = fmt.Sprint(i)
			r.ui.JobChanged(job)
		}
		pass(10 * time.Second)
		if got := refreshes() - before; got != 1 {
			t.Errorf("%d refreshes for one change of state", got)
		}
		r.have(oneJob(commands.StateRunning))
		pass(10 * time.Minute)
		if got := refreshes() - before; got < 9 || got > 12 {
			t.Errorf("%d refreshes in ten minutes", got)
		}
		r.have(oneJob(commands.StateCompleted))
		before = refreshes()
		pass(10 * time.Minute)
		e.CloseBuffer("file:///a/pi.jl")
		job.State = commands.StateCompleted
		r.ui.JobChanged(job)
		pass(time.Minute)
		if got := refreshes() - before; got > 1 {
			t.Errorf("%d refreshes for nothing", got)
		}
		s := e.Await(lsptest.JobIn("completed"))
		if len(s.Jobs) != 101 || s.Jobs[0]["job"] != "jr-abc" {
			t.Errorf("%d notifications, %v", len(s.Jobs), s.Jobs[0])
		}
		var known struct{ Jobs []json.RawMessage }
		e.Call("juliahub/jobs", map[string]any{}, &known)
		if len(known.Jobs) != 1 {
			t.Errorf("%d jobs", len(known.Jobs))
		}
	})
	story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, r *running) {
		r.ui.JobChanged(commands.Job{Submission: "s", ID: "jr-abc"})
		pass(time.Minute)
		if s := e.State(); len(s.Jobs) > 0 {
			t.Error(s.String())
		}
	})
}

// TestAdviceWaitsForTyping: a lint of a long script costs what ten keystrokes
// do, so it waits until typing rests, though not for ever.
func TestAdviceWaitsForTyping(t *testing.T) {
	const uri = "file:///a/b.jl"
	story(t, lsptest.Options{}, func(t *testing.T, e *lsptest.Editor, _ *running) {
		e.OpenBuffer(uri, "julia", "port = ENV[\"PORT\"]\n")
		for typed := time.Duration(0); typed <= 2*adviceMost; typed += advicePause / 3 {
			now := e.State()
			made := len(now.Diagnostics[uri]) > 0
			if made && typed < adviceMost-advicePause || !made && typed > adviceMost {
				t.Errorf("after %v of typing: advice is %v", typed, made)
			}
			e.EditBuffer(uri, lsptest.Range{}, " ")
			pass(advicePause / 3)
		}
		e.EditBuffer(uri, lsptest.Range{End: lsptest.Position{Line: 1}}, "")
		pass(advicePause)
		if now := e.State(); len(now.Diagnostics[uri]) > 0 {
			t.Error(now.String())
		}
	})
}

// TestInitializeStartsNothing: an editor waits for initialize, however many jobs
// there were; records and network are for afterwards.
func TestInitializeStartsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := serve(t, nil)
		e := lsptest.Connect(t, r.editor, lsptest.Options{})
		started := func() int {
			pass(0)
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.started
		}
		e.Initialize()
		if n := started(); n > 0 {
			t.Error("the session was started before initialized")
		}
		e.Notify("initialized", map[string]any{})
		if n := started(); n != 1 {
			t.Errorf("the session was started %d times", n)
		}
		e.Shutdown()
		r.exit(t, 0)
	})
}

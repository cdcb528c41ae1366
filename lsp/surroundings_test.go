package lsp_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// What a person reads before submitting rests on more than the open file: on
// its project, its last job, the server's prices, and what changes on disk.

func hasCode(uri, code string) lsptest.Expectation {
	return lsptest.That(code+" at "+uri, func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return d.Code == code })
	})
}

func lacksCode(uri, code string) lsptest.Expectation {
	return lsptest.That("no "+code+" at "+uri, func(s *lsptest.State) bool {
		return !slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return d.Code == code })
	})
}

// as expects a finding with a severity of the protocol: 1 is an error, 4 a hint.
func as(uri, code string, severity int) lsptest.Expectation {
	return lsptest.That(fmt.Sprintf("%s at %s with severity %d", code, uri, severity), func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return d.Code == code && d.Severity == severity })
	})
}

func quick(_ context.Context, s *emulator.Stage) error { s.Print("done"); return nil }

// A script that went without a bundle, and the packages that it would miss.
func TestStoryPreFlight(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	d.file("Project.toml", "name = \"Own\"\nuuid = \"9a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\n[deps]\nNear = \"1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\n")
	text := "julia_version = \"1.9.4\"\nmanifest_format = \"2.0\"\n[[deps.Near]]\npath = \"near\"\nuuid = \"1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\nversion = \"0.1.0\"\n"
	manifest := d.file("Manifest.toml", text)
	d.file("near/Project.toml", "name = \"Near\"\nuuid = \"1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\nversion = \"0.1.0\"\n")
	d.file("JuliaHub.toml", "[profile.small]\njulia = \"1.10\"\n")
	code := "using Near\nusing Own\ninclude(\"lib.jl\")\n"
	uri := d.file("run.jl", code)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(manifest, "toml", text)
	e.OpenBuffer(uri, "julia", code)
	e.AwaitAction(uri, "Submit as script, profile small") // the script has been looked at
	// Before anything is known these are hints, with the way out at hand.
	e.Await(lsptest.AllOf(as(uri, "package-stays-here", 4), as(uri, "script-own-package", 4), as(uri, "script-include", 4), as(manifest, "package-stays-here", 4)))
	e.AwaitAction(uri, "Submit as appbundle instead")
	hints := func(on bool) {
		e.SetSettings(map[string]any{"juliahub": map[string]any{"diagnostics": map[string]any{"hints": on}}})
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
	}
	hints(false)
	e.Await(lsptest.AllOf(lsptest.Undiagnosed(uri), lsptest.Undiagnosed(manifest)))
	hints(true)
	e.Await(as(manifest, "package-stays-here", 4))
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.AllOf(as(uri, "package-stays-here", 2), as(uri, "script-own-package", 2), as(uri, "script-include", 2), as(manifest, "package-stays-here", 2)))
	first := lsptest.Range{}
	const mend = "Submit as appbundle instead"
	e.AwaitAction(uri, mend)
	for _, a := range e.Actions(uri, first, nil) {
		if a.Title == mend && (a.Kind != "juliahub.job.submit.appbundle" || !strings.Contains(string(a.Command), "juliahub.submitAppBundle")) {
			t.Errorf("%+v", a)
		}
	}
	for _, context := range []map[string]any{{"only": []string{"quickfix"}}, {"triggerKind": 2}, {"only": []string{"source.fixAll"}}} {
		for _, a := range e.Actions(uri, first, context) {
			if a.Command != nil {
				t.Errorf("%v: %+v", context, a)
			}
		}
	}
	// As an appbundle all of that travels along.
	e.Do(uri, "Submit project as appbundle", nil)
	e.Await(lsptest.AllOf(lacksCode(uri, "package-stays-here"), lacksCode(uri, "script-include"), lacksCode(manifest, "package-stays-here")))
	var preview struct {
		Kind   string
		Lacks  []string
		Bundle *struct {
			Files    int
			Packages []string
		}
	}
	e.Execute("juliahub.previewJob", map[string]any{"uri": uri, "kind": "appbundle", "wait": true}, &preview)
	if preview.Kind != "appbundle" || len(preview.Lacks) != 0 || preview.Bundle == nil || preview.Bundle.Files < 5 {
		t.Errorf("preview of the appbundle: %+v", preview)
	}
	preview.Bundle = nil
	e.Execute("juliahub.previewJob", map[string]any{"uri": uri, "kind": "script", "wait": true}, &preview)
	if preview.Kind != "script" || len(preview.Lacks) != 3 || preview.Bundle != nil {
		t.Errorf("preview of the script: %+v", preview)
	}
	e.Shutdown()
}

// The files of a package travel with it: their includes are no matter. A script
// beside them may go alone.
func TestStoryPreFlightOfAPackage(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	d.file("Project.toml", "name = \"Own\"\nuuid = \"9a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\n")
	code := "using Own\ninclude(\"lib.jl\")\nENV[\"RESULTS\"] = \"{}\"\n"
	parts := []string{d.file("src/Own.jl", code), d.file("test/runtests.jl", code), d.file("ext/deep/More.jl", code)}
	script := d.file("scripts/run.jl", code)
	e := d.editor(lsptest.Options{})
	for _, uri := range append(parts, script) {
		e.OpenBuffer(uri, "julia", code)
	}
	e.Await(lsptest.AllOf(as(script, "script-include", 4), as(script, "script-own-package", 4)))
	for _, uri := range parts {
		s := e.Await(hasCode(uri, "results-one-image"))
		if len(s.Diagnostics[uri]) != 1 {
			t.Errorf("%s: %+v", uri, s.Diagnostics[uri])
		}
	}
	e.Shutdown()
}

func TestStoryHints(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	depot := d.env["JULIA_DEPOT_PATH"]
	for _, v := range []string{"v1.9", "v1.10"} {
		dir := filepath.Join(depot, "environments", v)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "Project.toml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code := "using DataFrames\nENV[\"RESULTS\"] = \"{}\"\n"
	uri := d.file("run.jl", code)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", code)
	e.Await(lsptest.AllOf(lsptest.Diagnosed(uri, 0, "@v1.10"), hasCode(uri, "results-one-image")))
	set := func(name string, value any) {
		e.SetSettings(map[string]any{"juliahub": map[string]any{name: value}})
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
	}
	set("diagnostics.hints", false)
	e.Await(lsptest.Undiagnosed(uri))
	set("diagnostics", map[string]any{"hints": true})
	e.Await(hasCode(uri, "no-environment"))
	d.file("JuliaHub.toml", "default-profile = \"p\"\n[profile.p]\nenvironment = \"none\"\n")
	e.Await(lacksCode(uri, "no-environment")) // asked for: the disk told, without a word of the editor
	e.Shutdown()
}

// Settings on what is shown of jobs take effect at once.
func TestStoryJobSettings(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error { s.Print("on"); <-release; return nil })
	uri := d.file("run.jl", "x = 1\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	set := func(settings map[string]any) {
		e.SetSettings(map[string]any{"juliahub": settings})
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
	}
	e.OpenBuffer(uri, "julia", "x = 1\n")
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.AllOf(hasCode(uri, "job-running"), lsptest.WorkBegun("run.jl")))
	set(map[string]any{"diagnostics": map[string]any{"jobStatus": "failures"}})
	e.Await(lsptest.Undiagnosed(uri))
	set(map[string]any{"diagnostics.jobStatus": "all", "progress.jobs": false})
	e.Await(lsptest.AllOf(hasCode(uri, "job-running"), lsptest.NoWork()))
	set(map[string]any{"diagnostics.jobStatus": "off"})
	e.Await(lsptest.AllOf(lsptest.Undiagnosed(uri), lsptest.That("work again", func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Work, func(w *lsptest.Work) bool { return w.Begun && !w.Ended })
	})))
	close(release)
	e.Await(lsptest.JobIn("completed"))
	e.Shutdown()
}

// A profile's node and price are known once something was asked of the server,
// and nothing is asked of it before.
func TestStoryPrices(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	text := "default-profile = \"big\"\n[profile.big]\nncpu = 4\nmemory = 8\ntimelimit = \"3h\"\nnnodes = 2\nimage = { product = \"\" }\n"
	uri := d.file("JuliaHub.toml", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "toml", text)
	if got := hoverText(e, uri, 1, 10); !strings.Contains(got, "Wants 4 vCPU and 8 GB") || !strings.Contains(got, "List nodes") {
		t.Errorf("hover %q", got)
	}
	if got := labels(e, uri, 2, 8); slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "$") }) {
		t.Errorf("completion %q", got)
	}
	for path, n := range d.hub.Counters() {
		if n > 0 {
			t.Errorf("%s was asked %d times", path, n)
		}
	}
	e.Execute("juliahub.nodes", map[string]any{"wait": true}, nil)
	e.Execute("juliahub.images", map[string]any{"wait": true}, nil)
	for _, at := range [][2]int{{1, 10}, {0, 20}} {
		if got := hoverText(e, uri, at[0], at[1]); !strings.Contains(got, "2 × ") || !strings.Contains(got, "an hour") || !strings.Contains(got, "3 h: a job costs at most $") {
			t.Errorf("hover %q", got)
		}
	}
	if got := labels(e, uri, 2, 8); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "vCPU") && strings.Contains(l, "$") }) {
		t.Errorf("completion %q", got)
	}
	if got := labels(e, uri, 6, 21); !slices.Contains(got, "standard-batch") {
		t.Errorf("images %q", got)
	}
	// All of that goes on while a line is half typed, and leaves alone what is not read.
	e.SetBuffer(uri, "[profile.big]\nncpu = 4\nmemory = 8\ntimelimit = \"3h\"\nnnodes = 2\n[profile.x]\nimage = { product = \"standard-batch\", name = \"\n[profile.y\nncpu = 64\n")
	if got := hoverText(e, uri, 0, 10); !strings.Contains(got, "2 × ") || !strings.Contains(got, "Wants 4 vCPU") || !strings.Contains(got, "a job costs at most $") {
		t.Errorf("hover in a broken file %q", got)
	}
	if got := hoverText(e, uri, 7, 10); got != "" {
		t.Errorf("hover on a broken header %q", got)
	}
	if got := hoverText(e, uri, 2, 2); !strings.Contains(got, "memory (integer)") {
		t.Errorf("hover in a broken file %q", got)
	}
	if got := labels(e, uri, 1, 8); !slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "$") }) {
		t.Errorf("nodes in a broken file %q", got)
	}
	if got := labels(e, uri, 6, 47); !slices.Contains(got, "Stable") {
		t.Errorf("names of a product's images %q", got)
	}
	e.SetBuffer(uri, "[profile.x]\nimage = { product = \"other\", name = \"\" }\n")
	if got := labels(e, uri, 1, 37); len(got) != 0 {
		t.Errorf("names of another product's images %q", got)
	}
	e.Shutdown()
}

// Files that others change are seen also where the editor does not watch the disk.
func TestStoryDisk(t *testing.T) {
	t.Parallel()
	bare := func() map[string]any {
		caps := lsptest.Full()
		caps["workspace"].(map[string]any)["didChangeWatchedFiles"] = nil
		return caps
	}
	d := newDesk(t, quick)
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	d.file("data/a.csv", "1\n")
	uri := d.file(".juliabundleignore", "*.log\n")
	script := d.file("run.jl", "x\n")
	e := d.editor(lsptest.Options{Capabilities: bare(), Name: "Neovim"})
	e.OpenBuffer(uri, "plaintext", "*.log\n")
	e.OpenBuffer(script, "julia", "x\n")
	e.Await(hasCode(uri, "ignore-dead"))
	d.file("out.log", "now there is one\n")
	e.Await(lacksCode(uri, "ignore-dead"))
	if got := lensText(e, uri); !strings.Contains(got, "Bundle: 5 files") {
		t.Errorf("lens %q", got)
	}
	d.file("JuliaHub.toml", "[profile.later]\n")
	e.AwaitAction(script, "Submit as script, profile later")
	e.Shutdown()
}

// The way from opening a script to its result, as each recorded editor goes it.
func TestStoryRecordedClients(t *testing.T) {
	t.Parallel()
	clients, err := lsptest.Clients()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(_ context.Context, s *emulator.Stage) error { return s.Outputs(`{"é":1}`) })
			uri := d.file("pi.jl", "é = 1\n")
			e := d.editor(lsptest.Options{Name: c.Info.Name, Capabilities: c.Capabilities})
			e.OpenBuffer(uri, "julia", "é = 1\n")
			e.Do(uri, "Submit as script", nil)
			e.Await(lsptest.AllOf(hasCode(uri, "job-completed"), lsptest.Says("completed"), lsptest.NoWork()))
			if got := lensText(e, uri); !strings.Contains(got, "✓ Completed") || !strings.Contains(got, `{"é":1}`) {
				t.Errorf("lens %q", got)
			}
			e.Do(uri, "Dismiss job", nil)
			e.Await(lsptest.Undiagnosed(uri))
			e.Shutdown()
		})
	}
}

// A wrong setting is told once; a profile is a project's business.
func TestStoryWrongSettings(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	d.file("JuliaHub.toml", "[profile.small]\nncpu = 2\n")
	e := d.editor(lsptest.Options{Settings: map[string]any{"juliahub": map[string]any{"profile": "small", "cancelKillsJob": "perhaps", "progres": true}}})
	e.Await(lsptest.AllOf(lsptest.Says("juliahub.cancelKillsJob does not count"), lsptest.Says("no setting juliahub.progres")))
	e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil}) // the same again
	uri := d.file("run.jl", "1\n")
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit as script", nil)
	s := e.Await(lsptest.Says("completed"))
	if n := len(s.Messages); n != 3 && n != 4 { // one for each, the outcome, and perhaps the submission
		t.Errorf("%d messages\n%s", n, s.String())
	}
	e.Shutdown()
}

// The talk is logged in the editor, as much of it as the setting says.
func TestStoryTrace(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	uri := d.file("run.jl", "1\n")
	logged := func(s *lsptest.State, text string) bool {
		return slices.ContainsFunc(s.Messages, func(m lsptest.Message) bool { return m.Type == 4 && strings.Contains(m.Message, text) })
	}
	set := func(e *lsptest.Editor, level string) {
		e.SetSettings(map[string]any{"juliahub": map[string]any{"trace": level}})
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
	}
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "1\n")
	e.Lenses(uri)
	if s := e.State(); logged(&s, "") {
		t.Error("logged without being asked to")
	}
	until := func(text string) { // the setting counts soon
		t.Helper()
		deadline := time.Now().Add(lsptest.Timeout)
		for s := e.State(); !logged(&s, text); s = e.State() {
			if e.Lenses(uri); time.Now().After(deadline) {
				t.Fatalf("no %q\n%s", text, s.String())
			}
		}
	}
	set(e, "messages")
	until("→ textDocument/codeLens (")
	until("← answer")
	if s := e.State(); logged(&s, `"jsonrpc"`) {
		t.Errorf("too much is logged\n%s", s.String())
	}
	set(e, "verbose")
	until(`{"jsonrpc":"2.0","id":`)
	e.Shutdown()

	watched := d.editor(lsptest.Options{Name: "Visual Studio Code", Settings: map[string]any{"juliahub": map[string]any{"trace": "verbose"}}})
	watched.OpenBuffer(uri, "julia", "1\n")
	watched.Do(uri, "Submit as script", nil)
	if s := watched.Await(lsptest.Says("completed")); logged(&s, "") {
		t.Error("logged twice")
	}
	watched.Shutdown()
}

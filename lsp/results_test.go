package lsp_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// What a job leaves behind, and what a script says of it before it goes.

// A job's RESULTS stand at its file and above it, and are a file beside the
// results once these are downloaded.
func TestStoryResultsText(t *testing.T) {
	t.Parallel()
	outputs := `{"answer": 42, "text": "` + strings.Repeat("long ", 300) + `"}`
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error { return s.Outputs(outputs) })
	uri := d.file("run.jl", "1\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit as script", nil)
	s := e.Await(lsptest.Diagnosed(uri, 0, `RESULTS: {"answer": 42`))
	if n := len(s.Diagnostics[uri][0].Message); n > 1200 {
		t.Errorf("the diagnostic has %d bytes", n)
	}
	e.AwaitLens(uri, "✓ Completed")
	if got := lensText(e, uri); !strings.Contains(got, `s · {"answer": 42, "text": "long`) || !strings.Contains(got, "… · Results · Run again") {
		t.Errorf("lens %q", got)
	}
	e.Do(uri, "Download results", nil)
	e.Await(lsptest.Shows("/results.json"))
	found, _ := filepath.Glob(filepath.Join(d.dir, "juliahub-results", "*", commands.OutputsFile))
	if len(found) != 1 {
		t.Fatalf("%q", found)
	}
	if text, err := os.ReadFile(found[0]); err != nil || string(text) != outputs {
		t.Errorf("%v, %d bytes", err, len(text))
	}
	e.Shutdown()
}

// Results come by themselves only if the person wants that: those that the
// profile names, as much as 100 MB of them.
func TestStoryAutomaticDownload(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("large file"), 101e5)
	for _, wanted := range []bool{false, true} {
		t.Run(fmt.Sprint(wanted), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
				err := errors.Join(s.Result("a.csv", []byte("1\n")), s.Result("b.bin", []byte("2\n")), s.Result("c.png", []byte("3\n")))
				if wanted {
					err = errors.Join(err, s.Result("large.csv", large))
				}
				return err
			})
			d.file("JuliaHub.toml", "default-profile = \"p\"\n[profile.p]\ndownload = [\"*.csv\", \"*.png\"]\n")
			uri := d.file("run.jl", "1\n")
			e := d.editor(lsptest.Options{Settings: map[string]any{"juliahub": map[string]any{"results": map[string]any{"autoDownload": wanted}}}})
			e.OpenBuffer(uri, "julia", "1\n")
			e.Do(uri, "Submit as script", nil)
			e.Await(lsptest.AllOf(hasCode(uri, "job-completed"), lsptest.Says("completed.")))
			found, _ := filepath.Glob(filepath.Join(d.dir, "juliahub-results", "*", "*"))
			var names []string
			for _, path := range found {
				names = append(names, filepath.Base(path))
			}
			if want := map[bool][]string{true: {"a.csv", "c.png"}}[wanted]; !slices.Equal(names, want) {
				t.Errorf("downloaded %q, want %q", names, want)
			}
			if wanted {
				e.Await(lsptest.Says("large.csv (101.0 MB) were not downloaded automatically"))
			}
			if s := e.State(); len(s.Shown) > 0 {
				t.Errorf("shown unasked: %+v", s.Shown)
			}
			e.Shutdown()
		})
	}
}

// A log of more than an editor opens is in parts; of many warnings fifty stand
// at their lines; and however much a job logs, no diagnostic ticks.
func TestStoryLongLog(t *testing.T) {
	t.Parallel()
	const lines, warnings = 12_000, 60
	release := make(chan struct{})
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		for i := range warnings {
			s.Log(emulator.Record{Level: "Warn", Message: fmt.Sprint("warning ", i), File: "/home/jrun/job/code.jl", Line: i + 1})
		}
		for i := range lines {
			s.Print(fmt.Sprintf("line %05d %s", i, strings.Repeat("x", 1000)))
		}
		return until(ctx, release)
	})
	text := strings.Repeat("f()\n", warnings)
	uri := d.file("run.jl", text)
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit as script", nil)
	fifty := lsptest.That("fifty warnings", func(s *lsptest.State) bool {
		n := 0
		for _, d := range s.Diagnostics[uri] {
			if d.Code == "job-warning" {
				n++
			}
		}
		return n == 50
	})
	before := e.Await(lsptest.AllOf(hasCode(uri, "job-running"), fifty)).Published
	e.Await(lsptest.That("its last line", func(s *lsptest.State) bool {
		line, _ := s.Jobs[len(s.Jobs)-1]["lastLine"].(string)
		return strings.HasPrefix(line, fmt.Sprintf("line %05d ", lines-1))
	}))
	if after := e.State().Published; after != before {
		t.Errorf("diagnostics were published %d times for nothing", after-before)
	}
	close(release)
	e.Await(lsptest.AllOf(lsptest.JobIn("completed"), hasCode(uri, "job-completed"), fifty))
	e.Execute("juliahub.logs", map[string]any{"uri": uri, "show": true, "wait": true}, nil)
	e.Await(lsptest.Shows("/job.log"))
	parts, _ := filepath.Glob(d.state("logs/*/job*.log"))
	var whole []byte
	for _, path := range parts { // job.1.log … sort before job.log
		data, err := os.ReadFile(path)
		if err != nil || len(data) > 11<<20 {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
		whole = append(whole, data...)
	}
	if len(parts) != 2 || bytes.Count(whole, []byte("line ")) != lines {
		t.Errorf("%d lines in %q", bytes.Count(whole, []byte("line ")), parts)
	}
	e.Shutdown()
}

// What an earlier job said of a file goes as soon as it is run again, and comes
// back if nothing comes of that.
func TestStoryRunAgainClears(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("ERROR: LoadError: boom")
		return errors.New("exit status 1")
	})
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	uri := d.file("run.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit project as appbundle", nil)
	e.Await(hasCode(uri, "job-failed"))
	if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: "/jobs/appbundle_upload_url", Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	e.Do(uri, "Run job again", nil)
	e.Await(lsptest.AllOf(lsptest.Undiagnosed(uri), lsptest.WorkRuns("Submitting run.jl")))
	e.CancelWork("Submitting run.jl")
	e.Await(lsptest.AllOf(lsptest.JobIn("cancelled"), hasCode(uri, "job-failed")))
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.That("another failure", func(s *lsptest.State) bool {
		return len(s.Diagnostics[uri]) == 1 && s.Jobs[len(s.Jobs)-1]["state"] == "failed"
	}))
	e.Do(uri, "Dismiss job", nil)
	e.Await(lsptest.Undiagnosed(uri))
	if got := lensText(e, uri); got != "▶ Submit · ▶ Appbundle" {
		t.Errorf("lens %q", got)
	}
	e.Shutdown()
}

// mendedBy is a document after the edits of a quick fix.
func mendedBy(t *testing.T, uri, text string, a lsptest.Action) string {
	t.Helper()
	var edit struct{ Changes map[string][]textEdit }
	if err := json.Unmarshal(a.Edit, &edit); err != nil || len(edit.Changes[uri]) == 0 {
		t.Fatalf("%s: %s", a.Title, a.Edit)
	}
	edits := edit.Changes[uri]
	slices.SortFunc(edits, func(a, b textEdit) int { // the last first, so that the places of the others stay
		return cmp.Or(b.Range.Start.Line-a.Range.Start.Line, b.Range.Start.Character-a.Range.Start.Character)
	})
	return applied(t, text, edits)
}

// Each hint on a script is told where it counts, as what it is, and its quick fix
// mends it.
func TestStoryScriptHints(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	d.file("Project.toml", "name = \"Own\"\nuuid = \"9a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\n")
	d.file("Manifest.toml", "")
	d.file("data.csv", "1\n")
	there := filepath.ToSlash(filepath.Join(d.dir, "data.csv"))
	uri := d.file("run.jl", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "")
	for _, c := range []struct{ code, text, fixed string }{
		{"results-one-image", "ENV[\"RESULTS\"] = \"{}\"\n", "JULIAHUB_RESULTS_SUMMARY_FILE"},
		{"results-one-image", "ENV[\"RESULTS_FILE\"] = \"a.csv\"\n", "JULIAHUB_RESULTS_UPLOAD_DIR"},
		{"results-one-image", "write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], \"{}\")\n", `ENV["RESULTS"]`},
		{"results-one-image", "cp(\"a.csv\", joinpath(ENV[\"JULIAHUB_RESULTS_UPLOAD_DIR\"], \"a.csv\"))\n", `ENV["RESULTS_FILE"]`},
		{"port-one-image", "port = parse(Int, ENV[\"PORT\"])\n", "JULIAHUB_APP_PORT"},
		{"port-one-image", "port = parse(Int, ENV[\"JULIAHUB_APP_PORT\"])\n", `ENV["PORT"]`},
		{"results-long", "ENV[\"RESULTS\"] = \"" + strings.Repeat("x", 1001) + "\"\n", ""},
		{"script-include", "include(\"lib.jl\")\n", "bundle"},
		{"script-dir-path", "read(joinpath(@__DIR__, \"data.csv\"))\n", "bundle"},
		{"script-absolute-path", "read(\"" + there + "\")\n", "bundle"},
		{"script-own-package", "using Own\n", "bundle"},
		{"script-main", "if abspath(PROGRAM_FILE) == @__FILE__\n    1\nend\n", "bundle"},
		{"script-main", "function (@main)(args)\n    0\nend\n", "bundle"},
	} {
		e.SetBuffer(uri, c.text)
		e.Await(as(uri, c.code, 4))
		const mend = "Submit as appbundle instead"
		actions := actionsAt(e, uri, c.code, nil)
		if _, ok := actions[mend]; ok != (c.fixed == "bundle") {
			t.Errorf("%q: %s offered: %t", c.text, mend, ok)
		}
		if c.fixed == "" || c.fixed == "bundle" {
			continue
		}
		var fixes []lsptest.Action
		for _, a := range actions {
			if a.Kind == "quickfix" {
				fixes = append(fixes, a)
			}
		}
		if len(fixes) != 1 {
			t.Fatalf("%q: %d quick fixes", c.text, len(fixes))
		}
		mended := mendedBy(t, uri, c.text, fixes[0])
		if !strings.Contains(mended, c.fixed) {
			t.Errorf("%q becomes %q", c.text, mended)
		}
		e.SetBuffer(uri, mended)
		e.Await(lacksCode(uri, c.code))
	}
	e.Shutdown()
}

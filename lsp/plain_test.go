package lsp_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode"

	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// hostile is what a job may write to fool a reader: colours, a title for the
// terminal, text that runs backwards, and what VS Code makes a button of.
const hostile = "\x1b[31mred\x1b[0m \x1b]0;title\x07\u202egnol\u2066\u200f \x00\x07\u009b1mbold [click](command:evil.run) **md** <b>&amp;"

// shownAs is how that is to be read, wherever.
const shownAs = "red gnol bold [click] (command:evil.run) **md** <b>&amp;"

// foul finds what no text in an editor may have.
func foul(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
	}) >= 0 || strings.Contains(text, "[31m") || strings.Contains(text, "](command:")
}

// Whatever a job writes is shown as plain text: in messages, progress, lenses,
// diagnostics, questions, and in every document.
func TestStoryHostileText(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		s.Print("line " + hostile)
		s.Log(emulator.Record{Level: "Warn", Message: "warned " + hostile, File: "/home/jrun/job/code.jl", Line: 1, Keywords: map[string]any{hostile: hostile}})
		s.Progress("a", "bar "+hostile, 0.5)
		_ = until(ctx, release)
		outputs, _ := json.Marshal(map[string]string{"text": "x"})
		s.Print("ERROR: LoadError: boom " + hostile + "\nStacktrace:\n [1] f(" + hostile + ") at /home/jrun/job/code.jl:2\nin expression starting at /home/jrun/job/code.jl:2")
		return errors.Join(s.Outputs(string(outputs)+hostile), s.Result("result.txt", []byte("1\n")), errors.New("exit status 1"))
	})
	text := "warn()\nerror()\n"
	uri := d.file("run.jl", text)
	e := d.editor(lsptest.Options{Name: "Visual Studio Code", Answer: last})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.AllOf(hasCode(uri, "job-warning"), lsptest.That("the bar", func(s *lsptest.State) bool {
		w := s.FindWork("JuliaHub: run.jl")
		return w != nil && strings.Contains(w.Message, "bar red gnol")
	})))
	close(release)
	e.Await(lsptest.AllOf(lsptest.Diagnosed(uri, 1, "boom red"), lsptest.Says("boom "+shownAs)))
	e.AwaitLens(uri, "✗ Failed at line 2")
	e.Do(uri, "Show logs", nil)
	e.Do(uri, "Show job", nil)
	e.Execute("juliahub.jobs", map[string]any{"wait": true}, nil)
	e.Execute("juliahub.previewJob", map[string]any{"uri": uri, "wait": true}, nil)
	s := e.Await(lsptest.AllOf(lsptest.Shows("/job.log"), lsptest.Shows("/job.txt"), lsptest.Shows("/jobs.txt"), lsptest.Shows("/preview.txt")))
	check := func(where, text string) {
		t.Helper()
		if foul(text) {
			t.Errorf("%s: %q", where, text)
		}
	}
	for _, m := range s.Messages {
		check("message", m.Message)
	}
	for _, w := range s.Work {
		check("title", w.Title)
		check("end", w.End)
		for _, r := range w.Reports {
			check("report", r.Message)
		}
	}
	for _, all := range s.Diagnostics {
		for _, d := range all {
			if message := strings.ReplaceAll(d.Message, "](command:", ""); foul(message) { // a diagnostic makes no links
				t.Errorf("diagnostic: %q", d.Message)
			}
		}
	}
	for _, l := range e.Lenses(uri) {
		check("lens", strings.ReplaceAll(l.Command.Title, "](command:", ""))
	}
	for _, shown := range s.Shown {
		path := strings.ReplaceAll(strings.TrimPrefix(shown.URI, "file://"), "%20", " ")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(path, ".md") || shown.External {
			t.Errorf("shown as %s", shown.URI)
		}
		check(path, strings.ReplaceAll(string(data), "](command:", ""))
	}
	e.Shutdown()
}

package lsp_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// A warning stands at its line while the job runs, in every editor, also when
// thousands of lines follow it; it is published when it comes, and outlives a
// restart. A second editor shows how far the job is.
func TestStoryWarningsWhileTheJobRuns(t *testing.T) {
	t.Parallel()
	warned := make(chan struct{})
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		warning := emulator.Record{Level: "Warn", Message: "the step is too large", File: "/home/jovyan/code.jl", Line: 2}
		s.Log(warning)
		s.Progress("bar", "training", 0.5)
		for i := range 3_000 {
			if i%1000 == 0 {
				s.Log(warning) // again, and no news
			}
			s.Print(fmt.Sprint("line ", i))
		}
		close(warned)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	text := "x = 1\n@warn \"the step is too large\"\n"
	uri := d.file("warns.jl", text)
	warnings := func(s *lsptest.State) (n int) {
		for _, d := range s.Diagnostics[uri] {
			if d.Code == "job-warning" && d.Range.Start.Line == 1 && d.Severity == 2 {
				n++
			}
		}
		return n
	}
	shown := func(state commands.State) lsptest.Expectation {
		return lsptest.AllOf(lsptest.JobIn(string(state)), lsptest.That("the warning at its line", func(s *lsptest.State) bool { return warnings(s) == 1 }))
	}
	halfway := lsptest.That("the progress", func(s *lsptest.State) bool {
		w := s.FindWork("warns.jl")
		return w != nil && w.Percent != nil && *w.Percent == 50 && slices.ContainsFunc(s.Jobs, func(j map[string]any) bool { return j["percent"] == 50.0 })
	})
	first, second := d.editor(lsptest.Options{Capabilities: plugin()}), d.editor(lsptest.Options{Capabilities: plugin()})
	for _, e := range []*lsptest.Editor{first, second} {
		e.OpenBuffer(uri, "julia", text)
	}
	first.Do(uri, "Submit as script", nil)
	for _, e := range []*lsptest.Editor{first, second} {
		e.Await(lsptest.AllOf(shown(commands.StateRunning), halfway))
	}
	<-warned
	first.Shutdown()
	second.Shutdown()
	third := d.editor(lsptest.Options{Capabilities: plugin()})
	third.OpenBuffer(uri, "julia", text)
	third.Await(lsptest.AllOf(shown(commands.StateRunning), halfway))
	third.Shutdown()
}

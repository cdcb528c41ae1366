package commands

import (
	"slices"
	"testing"

	"juliahub-lsp/commands/lint"
	"juliahub-lsp/commands/track"
)

// Whatever stands at a file because of a job is explained in docs/diagnostics.md,
// as grave as it is shown.
func TestJobCodes(t *testing.T) {
	seen := map[string]bool{}
	check := func(p Problem) {
		t.Helper()
		seen[p.Code] = true
		if !slices.ContainsFunc(JobCodes, func(c lint.Code) bool { return c.Code == p.Code && int(c.Severity) == int(p.Severity) }) {
			t.Errorf("%+v is not documented", p)
		}
	}
	for _, state := range []track.State{track.Unknown, track.Submitted, track.Running, track.Completed, track.Stopped} {
		p, ok := stateProblem(&track.Record{State: state, Job: "jr-abc"})
		if !ok {
			t.Errorf("%s shows nothing", state)
		}
		check(p)
	}
	s, err := New(Config{UI: struct{ UI }{}, Home: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	place := track.Place{File: "/a.jl", Line: 1, Message: "m"}
	for _, problems := range s.problemsOf(&track.Record{File: "/a.jl", Job: "jr-abc", State: track.Failed, Settled: true, Failure: &place, Warnings: []track.Place{place}}) {
		for _, p := range problems {
			check(p)
		}
	}
	if len(seen) != len(JobCodes) {
		t.Errorf("%d codes are documented, %d shown", len(JobCodes), len(seen))
	}
}

package lsp

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"juliahub-lsp/commands"
)

// TestJobListIsEncodedOnce: a plugin that asks for a thousand jobs again costs
// nothing, and one that changed costs one.
func TestJobListIsEncodedOnce(t *testing.T) { // not in parallel: it counts allocations
	var list jobList
	now := time.Now().UTC()
	jobs := make([]*commands.Job, 1000)
	for i := range jobs {
		jobs[i] = &commands.Job{
			Submission: fmt.Sprint(i), ID: fmt.Sprint("jr-", i), State: commands.StateRunning, File: "/a/<b>.jl",
			Created: now, Submitted: &now, Started: &now, Seen: &now,
		}
	}
	check := func(want []*commands.Job) {
		t.Helper()
		raw, err := list.answer(want)
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ Jobs []*commands.Job }
		if err := json.Unmarshal(raw, &got); err != nil || got.Jobs == nil {
			t.Fatal(err, string(raw[:min(len(raw), 200)]))
		}
		same := slices.EqualFunc(got.Jobs, want, func(a, b *commands.Job) bool {
			return a.Submission == b.Submission && a.State == b.State && a.Seen.Equal(*b.Seen)
		})
		if !same {
			t.Errorf("%d jobs of %d, or others", len(got.Jobs), len(want))
		}
	}
	check(nil)
	check(jobs)
	if n := testing.AllocsPerRun(10, func() { _, _ = list.answer(jobs) }); n > 0 {
		t.Errorf("%v allocations for the same list again", n)
	}
	first, err := list.answer(jobs)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(first)
	n := testing.AllocsPerRun(10, func() {
		next := *jobs[500]
		next.State = commands.StateCompleted
		jobs = slices.Clone(jobs)
		jobs[500] = &next
		_, _ = list.answer(jobs)
	})
	if n > 50 {
		t.Errorf("%v allocations for one job that changed", n)
	}
	if !slices.Equal(first, kept) {
		t.Error("an answer changed after it was given")
	}
	check(jobs)
	check(jobs[:10])
	check(nil)
}

// BenchmarkJobList encodes a thousand jobs of which each changed.
func BenchmarkJobList(b *testing.B) {
	var list jobList
	now := time.Now().UTC()
	for b.Loop() {
		jobs := make([]*commands.Job, 1000)
		for i := range jobs {
			jobs[i] = &commands.Job{
				Submission: "5d0f8a2e-1c1f-4a39-9d1c-4f9a4a1b2c3d", ID: "jr-abc123", State: commands.StateRunning, Status: "Running", Kind: "script",
				File: "/home/ada/project/run.jl", URI: "file:///home/ada/project/run.jl", Node: "m6 (2 vCPU, 8 GB)", Price: 0.22, Nodes: 1, LimitHours: 1,
				Server: "https://juliahub.com", URL: "https://juliahub.com/jobs/jr-abc123", Created: now, Submitted: &now, Started: &now, Seen: &now, Watched: true,
				LogFile: "/home/ada/.local/state/juliahub-lsp/logs/5d0f8a2e-1c1f-4a39-9d1c-4f9a4a1b2c3d/log", ResultsDir: "/home/ada/project/results/jr-abc123",
			}
		}
		if _, err := list.answer(jobs); err != nil {
			b.Fatal(err)
		}
	}
}

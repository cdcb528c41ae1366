package commands

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// runningJobs is a session that knows so many running jobs, and their submissions.
func runningJobs(t *testing.T, ui UI, n int) (s *Session, ids []string) {
	t.Helper()
	s, err := New(Config{UI: ui, Home: t.TempDir(), State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		id := fmt.Sprintf("%08d", i)
		began := time.Now().UTC().Round(0)
		err := s.ledger.Create(track.Record{
			Submission: id, Job: "jr-" + id, State: track.Running, Kind: track.KindScript,
			File: fmt.Sprintf("/home/ada/%d.jl", i), Created: began, Started: &began,
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		s.changed(id)
	}
	return s, ids
}

// TestKnownJobsAreMadeOnce: of all jobs, only those that changed are made anew.
func TestKnownJobsAreMadeOnce(t *testing.T) { // not in parallel: it counts allocations
	s, ids := runningJobs(t, silentUI{}, 100)
	before := s.KnownJobs()
	if len(before) != len(ids) || before[0].ID != "jr-"+ids[99] || before[0].LogFile == "" {
		t.Fatalf("%d jobs, first %+v", len(before), before[0])
	}
	if n := testing.AllocsPerRun(10, func() { s.KnownJobs() }); n > 5 {
		t.Errorf("%v allocations for a list in which nothing changed", n)
	}
	changed := func() (submissions []string) {
		after := s.KnownJobs()
		for i, j := range after {
			if j != before[i] {
				submissions = append(submissions, j.Submission)
			}
		}
		before = after
		return submissions
	}
	s.ledger.Note(ids[10], func(r *track.Record) { r.Seen = time.Now() })
	if got := changed(); !slices.Equal(got, ids[10:11]) {
		t.Errorf("another job: %v", got)
	}
	level := progressLevel
	for _, fraction := range []float64{0.25, 0.25, 0.5, 1} { // 1 ends the bar
		s.views.mu.Lock()
		s.views.jobs[ids[20]].bars.add(&jobapi.LogMessage{Level: &level, Keywords: map[string]any{"progress": fraction}})
		s.views.mu.Unlock()
		got, j := changed(), before[len(ids)-1-20]
		if news := fraction != 0.25 || j.Percent == nil; news != (len(got) == 1) && fraction != 0.25 {
			t.Errorf("%v: another job: %v", fraction, got)
		}
		if ended := fraction == 1; ended != (j.Percent == nil) || !ended && *j.Percent != 100*fraction {
			t.Errorf("%v: %+v", fraction, j.Percent)
		}
	}
	s.views.mu.Lock()
	s.gone(ids[0])
	s.views.mu.Unlock()
	if jobs := s.Jobs(); len(jobs) != len(ids) || jobs[len(ids)-1].Submission != ids[0] {
		t.Errorf("%d jobs", len(jobs))
	}
}

// taskUI counts the tasks that are shown.
type taskUI struct {
	silentUI

	open *[]string
}

func (u taskUI) Begin(_ context.Context, work Work) Task {
	*u.open = append(*u.open, work.Title)
	return openTask{u, work.Title}
}

type openTask struct {
	ui    taskUI
	title string
}

func (openTask) Report(string, float64) {}
func (t openTask) End(string) {
	*t.ui.open = slices.DeleteFunc(*t.ui.open, func(title string) bool { return title == t.title })
}

// TestTasksOfManyJobs: three jobs have a progress of their own and one stands
// for the others; who ends, or is not watched any more, makes room.
func TestTasksOfManyJobs(t *testing.T) {
	t.Parallel()
	var open []string
	s, ids := runningJobs(t, taskUI{open: &open}, 6)
	shows := func(want ...string) {
		t.Helper()
		got := slices.Sorted(slices.Values(open))
		if !slices.Equal(got, want) {
			t.Errorf("shows %q, want %q", got, want)
		}
	}
	shows("JuliaHub", "JuliaHub: 0.jl", "JuliaHub: 1.jl", "JuliaHub: 2.jl")
	for _, id := range ids[:2] {
		if _, err := s.update(id, func(r *track.Record) { r.Unwatched = true }); err != nil {
			t.Fatal(err)
		}
	}
	shows("JuliaHub", "JuliaHub: 2.jl")
	for _, id := range ids {
		s.changed(id)
	}
	shows("JuliaHub", "JuliaHub: 2.jl", "JuliaHub: 3.jl", "JuliaHub: 4.jl")
	for _, id := range ids {
		if _, err := s.update(id, func(r *track.Record) { r.State = track.Completed }); err != nil {
			t.Fatal(err)
		}
	}
	shows()
}

package commands_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

// TestReadersShowTheProgress: an editor whose process does not follow the log
// shows how far the job is, and so does one that is started later.
func TestReadersShowTheProgress(t *testing.T) {
	steps := make(chan float64)
	w := newWorld(t, emulator.Config{Simulate: func(ctx context.Context, s *emulator.Stage) error {
		for {
			select {
			case done := <-steps:
				s.Progress("bar", "training", done)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}})
	path := w.write("a.jl", "train()\n")
	lead, ui := w.session()
	sub, err := lead.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	reader, other := w.session()
	shows := func(r *recorder, percent float64) {
		t.Helper()
		r.await("the percentage", func() bool {
			p := r.jobs[sub.Submission].Percent
			if p == nil || *p != percent || len(r.tasks) == 0 {
				return false
			}
			task := r.tasks[len(r.tasks)-1]
			n := len(task.percent)
			return task.work.Percent && n > 0 && task.percent[n-1] == percent
		})
	}
	steps <- 0.25
	shows(ui, 25)
	shows(other, 25)
	if j, ok := reader.Job(sub.Job); !ok || j.Percent == nil || *j.Percent != 25 {
		t.Errorf("asked for the job, the reader says %+v", j)
	}
	steps <- 0.5
	shows(other, 50)
	closeSession(t, lead)
	closeSession(t, reader)
	// Its log begins behind what was said so far.
	_, later := w.session()
	shows(later, 50)
}

// TestForgottenJobs: what was shown of jobs goes with their records, whoever
// notices first that these are gone.
func TestForgottenJobs(t *testing.T) {
	for name, asks := range map[string]bool{"noticed by the tracker": false, "noticed by a command": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Config{Simulate: func(ctx context.Context, _ *emulator.Stage) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}})
			s, ui := w.session()
			for _, file := range []string{"a.jl", "b.jl", "c.jl", "d.jl", "e.jl"} { // two more than have a progress each
				if _, err := s.SubmitScript(t.Context(), script(w.write(file, file+"()\n"), commands.SubmitArgs{Wait: true})); err != nil {
					t.Fatal(err)
				}
			}
			open := func() (n int) {
				for _, task := range ui.tasks {
					if strings.HasPrefix(task.work.Title, "JuliaHub") && len(task.ended) == 0 {
						n++
					}
				}
				return n
			}
			ui.await("the progress of all", func() bool { return open() == 4 && len(ui.problems) == 5 })
			if err := os.Rename(w.state, filepath.Join(t.TempDir(), "gone")); err != nil { // at once, whoever writes there
				t.Fatal(err)
			}
			if asks {
				if _, err := s.ListSubmissions(t.Context(), commands.Input{Args: &commands.ListArgs{}}); err != nil {
					t.Fatal(err)
				}
			}
			ui.await("nothing to be shown any more", func() bool {
				for _, problems := range ui.problems {
					if len(problems) > 0 {
						return false
					}
				}
				return open() == 0
			})
		})
	}
}

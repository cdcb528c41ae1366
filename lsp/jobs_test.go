package lsp_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// The life of a job as the editor shows it: above its file, at its lines, in the
// progress, and in the questions that come with it.

// ago is a cloud whose clock is behind ours: a job that has just begun to run
// began that long ago.
func ago(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(-d) } }

// last picks the last answer of a question, which is never the harmless one.
func last(q lsptest.Question) string { return q.Answers[len(q.Answers)-1] }

func asked(e *lsptest.Editor, text string) (found []lsptest.Question) {
	for _, q := range e.State().Questions {
		if strings.Contains(q.Text, text) {
			found = append(found, q)
		}
	}
	return found
}

// counted is how often the cloud was asked at an endpoint.
func (d *desk) counted(endpoint string) int { return d.hub.Counters()[endpoint] }

const extendEndpoint = "POST /juliaruncloud/extend_job_time_limit"

// Above the file stands how its newest job is, to the letter, and what is next.
func TestStoryLens(t *testing.T) {
	t.Parallel()
	release := make(chan error)
	d := newDeskAt(t, emulator.Config{Now: ago(12*time.Minute + 5*time.Second), Simulate: func(_ context.Context, s *emulator.Stage) error {
		err := <-release
		if err != nil {
			s.Print("ERROR: LoadError: boom\nStacktrace:\n [1] top-level scope at /home/jrun/job/code.jl:3\nin expression starting at /home/jrun/job/code.jl:3")
		}
		return err
	}})
	text := "# one\n# two\nerror(\"boom\")\n"
	uri := d.file("run.jl", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", text)
	const submit = "▶ Submit · ▶ Appbundle"
	if got := lensText(e, uri); got != submit {
		t.Errorf("at first %q", got)
	}
	shows := func(want string) {
		t.Helper()
		e.AwaitLenses(uri, submit+" · "+want)
	}
	// end lets the job end when it has run for eight minutes of the cloud's time.
	end := func(how error) {
		t.Helper()
		if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultClockSkew, Delay: 8 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		release <- how
	}
	e.Do(uri, "Submit as script", nil)
	shows("● Running 12m/1h · $0.04 · Logs · Stop")
	end(errors.New("exit status 1"))
	shows("✗ Failed at line 3 · Logs · Run again")
	e.SetBuffer(uri, "# above\n"+text)
	shows("✗ Failed at line 4 · Logs · Run again")
	e.SetBuffer(uri, "# one\n# two\nprintln(1)\n")
	shows("✗ Failed 8m · Logs · Run again")
	d.hub.ClearFaults()
	e.Do(uri, "Run job again", nil)
	shows("● Running 12m/1h · $0.04 · Logs · Stop")
	end(nil)
	shows("✓ Completed 8m · Results · Run again · Logs")
	e.Shutdown()
}

// A job that nears its time limit is told of where it can be helped: by a
// question in an editor where that is harmless, else by a message; by a lens and
// an action everywhere.
func TestStoryTimeLimit(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, name string, answer func(lsptest.Question) string) (*desk, *lsptest.Editor, string) {
		d := newDeskAt(t, emulator.Config{Now: ago(50 * time.Minute), Simulate: func(ctx context.Context, s *emulator.Stage) error { <-ctx.Done(); return nil }})
		uri := d.file("run.jl", "1\n")
		e := d.editor(lsptest.Options{Name: name, Answer: answer})
		e.OpenBuffer(uri, "julia", "1\n")
		e.Do(uri, "Submit as script", nil)
		return d, e, uri
	}
	const extended = "● Running 50m/2h"
	t.Run("asked, and extended", func(t *testing.T) {
		t.Parallel()
		d, e, uri := run(t, "Visual Studio Code", last)
		e.Await(lsptest.Asks("has used 50m of its 1 h"))
		e.AwaitLens(uri, extended)
		if n := d.counted(extendEndpoint); n != 1 {
			t.Errorf("extended %d times", n)
		}
		if s := e.State(); slices.ContainsFunc(s.Messages, func(m lsptest.Message) bool { return strings.Contains(m.Message, "has used") }) {
			t.Error("asked and told")
		}
		e.Do(uri, "Cancel job", nil)
		e.Shutdown()
	})
	t.Run("asked, and left alone", func(t *testing.T) {
		t.Parallel()
		d, e, uri := run(t, "Visual Studio Code", nil)
		e.Await(lsptest.Asks("has used 50m of its 1 h"))
		e.AwaitLens(uri, "Extend by 1 hour")
		e.Do(uri, "Cancel job", nil)
		e.Await(hasCode(uri, "job-stopped"))
		if n := d.counted(extendEndpoint); n != 0 {
			t.Errorf("extended %d times", n)
		}
		if q := asked(e, "has used"); len(q) != 1 || len(q[0].Answers) != 2 || strings.Contains(q[0].Answers[0], "Extend") {
			t.Errorf("%+v", q)
		}
		e.Shutdown()
	})
	t.Run("the question lapses with the job", func(t *testing.T) {
		t.Parallel()
		pondering := make(chan struct{})
		defer close(pondering)
		d, e, uri := run(t, "Visual Studio Code", func(q lsptest.Question) string { <-pondering; return last(q) })
		e.Await(lsptest.Asks("has used"))
		e.Do(uri, "Cancel job", nil)
		e.Await(lsptest.That("the question to be taken back", func(s *lsptest.State) bool { return s.Cancels > 0 }))
		e.Await(hasCode(uri, "job-stopped"))
		if n := d.counted(extendEndpoint); n != 0 {
			t.Errorf("extended %d times", n)
		}
		e.Shutdown()
	})
	for _, name := range []string{"Neovim", "Emacs (eglot)", "helix", ""} {
		t.Run("told: "+name, func(t *testing.T) {
			t.Parallel()
			_, e, uri := run(t, name, last)
			e.Await(lsptest.Says("has used 50m of its 1 h"))
			if q := e.State().Questions; len(q) > 0 {
				t.Errorf("asked %+v", q)
			}
			e.AwaitLens(uri, "Extend by 1 hour")
			e.Do(uri, "Extend job by 1 hour", nil)
			e.AwaitLens(uri, extended)
			e.Do(uri, "Cancel job", nil)
			e.Shutdown()
		})
	}
}

package lsp_test

import (
	"context"
	"errors"
	"fmt"
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
	d := newDeskAt(t, emulator.Config{Now: ago(12*time.Minute + 5*time.Second), Simulate: func(ctx context.Context, s *emulator.Stage) error {
		var err error
		select {
		case err = <-release:
		case <-ctx.Done(): // the test has failed
		}
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

const (
	submitEndpoint = "POST /juliaruncloud/submit_job"
	killEndpoint   = "GET /juliaruncloud/kill_job"
)

// until waits for a test to let a job go on, or to fail.
func until(ctx context.Context, release <-chan struct{}) error {
	select {
	case <-release:
	case <-ctx.Done():
	}
	return nil
}

// onAndOn is a job that ends when it is killed.
func onAndOn(ctx context.Context, s *emulator.Stage) error {
	s.Print("on and on")
	<-ctx.Done()
	return nil
}

// Cancelling the progress of a submission before its job is sent leaves nothing
// behind, whatever it was about to do.
func TestStoryCancelBeforeItIsSent(t *testing.T) {
	t.Parallel()
	for name, endpoint := range map[string]string{
		"bundling": "/app/config/nodespecs/info", "uploading": "/jobs/appbundle_upload_url",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, onAndOn)
			if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: endpoint, Delay: time.Hour}); err != nil {
				t.Fatal(err)
			}
			d.file("Project.toml", "[deps]\n")
			d.file("Manifest.toml", "")
			uri := d.file("run.jl", "1\n")
			e := d.editor(lsptest.Options{Capabilities: plugin()})
			e.OpenBuffer(uri, "julia", "1\n")
			e.Do(uri, "Submit project as appbundle", nil)
			e.Await(lsptest.AllOf(lsptest.WorkBegun("Submitting run.jl"), lsptest.JobIn(name)))
			s := e.State()
			if w := s.FindWork("Submitting"); !w.Cancellable || w.Percent == nil || *w.Percent > 30 {
				t.Errorf("%+v", w)
			}
			e.CancelWork("Submitting run.jl")
			e.Await(lsptest.AllOf(lsptest.WorkEnded("Submitting run.jl", "cancelled"), lsptest.JobIn("cancelled"), lsptest.NoWork()))
			e.AwaitLens(uri, "■ Cancelled")
			if n := d.counted(submitEndpoint); n != 0 {
				t.Errorf("%d jobs were submitted", n)
			}
			e.Shutdown()
		})
	}
}

// Once the job is being sent nothing takes that back: the job is killed when its
// id is known, and until then a progress says so.
func TestStoryCancelWhileItIsSent(t *testing.T) {
	t.Parallel()
	d := newDesk(t, onAndOn)
	sent := emulator.Fault{Kind: emulator.FaultLatency, Path: "/juliaruncloud/submit_job", Delay: 3 * time.Second}
	if err := d.hub.Inject(sent); err != nil {
		t.Fatal(err)
	}
	uri := d.file("run.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.AllOf(lsptest.WorkBegun("Submitting run.jl"), lsptest.JobIn("submitting")))
	e.CancelWork("Submitting run.jl")
	e.Await(lsptest.That("a progress that goes on", func(s *lsptest.State) bool {
		w := s.FindWork("Submitting run.jl")
		return len(s.Work) > 1 && s.Work[0].End == "cancelled" && !w.Ended && strings.Contains(w.Message, "will be killed")
	}))
	e.Await(lsptest.AllOf(lsptest.JobIn("stopped"), lsptest.NoWork()))
	if submitted, killed := d.counted(submitEndpoint), d.counted(killEndpoint); submitted != 1 || killed != 1 {
		t.Errorf("submitted %d times, killed %d times", submitted, killed)
	}
	if q := e.State().Questions; len(q) > 0 {
		t.Errorf("asked %+v", q)
	}
	e.Shutdown()
}

// What cancelling a running job's progress does is for its owner to say; an
// answer that is none leaves the job alone.
func TestStoryCancelOfARunningJob(t *testing.T) {
	t.Parallel()
	first := func(q lsptest.Question) string { return q.Answers[0] }
	for name, c := range map[string]struct {
		options lsptest.Options
		setting string
		asked   int
		killed  bool
	}{
		"ask, kill":      {lsptest.Options{Answer: last}, "ask", 1, true},
		"ask, watch":     {lsptest.Options{Answer: first}, "ask", 1, false},
		"ask, dismissed": {lsptest.Options{}, "ask", 1, false},
		"ask, nonsense":  {lsptest.Options{Answer: func(lsptest.Question) string { return "Kill" }}, "ask", 1, false},
		"ask, error":     {lsptest.Options{RefuseQuestions: true}, "ask", 1, false},
		"by default":     {lsptest.Options{}, "", 1, false},
		"always":         {lsptest.Options{Answer: first}, "always", 0, true},
		"never":          {lsptest.Options{Answer: last}, "never", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, onAndOn)
			uri := d.file("run.jl", "1\n")
			c.options.Capabilities = plugin()
			if c.setting != "" {
				c.options.Settings = map[string]any{"juliahub": map[string]any{"cancelKillsJob": c.setting}}
			}
			e := d.editor(c.options)
			e.OpenBuffer(uri, "julia", "1\n")
			e.Do(uri, "Submit as script", nil)
			e.Await(lsptest.AllOf(lsptest.JobIn("running"), lsptest.WorkBegun("JuliaHub: run.jl")))
			e.CancelWork("JuliaHub: run.jl")
			if c.killed {
				e.Await(lsptest.JobIn("stopped"))
			} else {
				e.Await(lsptest.That("the job is not watched", func(s *lsptest.State) bool { return s.Jobs[len(s.Jobs)-1]["watched"] == false }))
			}
			e.Await(lsptest.NoWork())
			if n := d.counted(killEndpoint); n > 0 != c.killed {
				t.Errorf("killed %d times", n)
			}
			if q := e.State().Questions; len(q) != c.asked {
				t.Errorf("asked %+v", q)
			}
			e.Shutdown()
		})
	}
}

// progressed is a log record as ProgressLogging writes it.
func progressed(s *emulator.Stage, id, name string, value any) {
	s.Log(emulator.Record{Level: -1, Message: name, File: "code.jl", Line: 1, ID: id, Keywords: map[string]any{"progress": value}})
}

// The records of ProgressLogging drive the bar: the first number ends the
// progress that has no percentages and begins one that has them in every report.
func TestStoryBars(t *testing.T) {
	t.Parallel()
	next := make(chan func(*emulator.Stage))
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		for {
			select {
			case f, more := <-next:
				if !more {
					return nil
				}
				f(s)
			case <-ctx.Done(): // the test has failed
				return nil
			}
		}
	})
	uri := d.file("train.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.WorkBegun("JuliaHub: train.jl"))
	// shows expects a progress that has begun, with a percentage or (-1) none.
	shows := func(percent int, message string) {
		t.Helper()
		e.Await(lsptest.That(fmt.Sprintf("%d %% and %q", percent, message), func(s *lsptest.State) bool {
			w := s.FindWork("JuliaHub: train.jl")
			if w.Ended || !strings.Contains(w.Message, message) {
				return false
			}
			return percent < 0 && w.Percent == nil || w.Percent != nil && *w.Percent == percent
		}))
	}
	step := func(percent int, message string, f func(*emulator.Stage)) {
		t.Helper()
		next <- f
		shows(percent, message)
	}
	step(-1, "warming up", func(s *emulator.Stage) { s.Print("warming up") })
	for i, unknown := range []any{nil, "nothing", "NaN"} {
		name := fmt.Sprint("unknown ", i)
		step(-1, name, func(s *emulator.Stage) { progressed(s, "outer", name, unknown) })
	}
	if w := e.State().Work; len(w) > 2 { // the submission's may not have been shown
		t.Errorf("a number was not there yet\n%s", e.Dump())
	}
	step(-1, "inner", func(s *emulator.Stage) { progressed(s, "inner", "inner", 0.9) }) // the oldest open one drives
	step(20, "inner", func(s *emulator.Stage) { progressed(s, "outer", "outer", 0.2) })
	step(30, "inner", func(s *emulator.Stage) { progressed(s, "outer", "", "0.3") })
	step(30, "outer", func(s *emulator.Stage) { progressed(s, "inner", "", "done") })
	step(30, "back again", func(s *emulator.Stage) { progressed(s, "outer", "back again", 0.1) })
	step(30, "lost", func(s *emulator.Stage) { progressed(s, "outer", "lost", nil) })
	step(60, "lost", func(s *emulator.Stage) { progressed(s, "outer", "", 0.6) })
	step(60, "second", func(s *emulator.Stage) {
		progressed(s, "outer", "", 1.25)
		progressed(s, "second", "second", 0.5)
	})
	step(75, "second", func(s *emulator.Stage) { progressed(s, "second", "", 0.75) })
	close(next)
	s := e.Await(lsptest.AllOf(lsptest.JobIn("completed"), lsptest.NoWork()))
	var kinds []bool // with percentages?
	for _, w := range s.Work {
		if strings.HasPrefix(w.Title, "JuliaHub: ") {
			kinds = append(kinds, w.Percent != nil)
		}
	}
	if !slices.Equal(kinds, []bool{false, true}) {
		t.Errorf("progresses with percentages: %v", kinds)
	}
	e.Shutdown() // a report of the wrong kind, or one that goes back, fails here
}

// Three jobs have a progress of their own, and one stands for the others.
func TestStoryManyJobs(t *testing.T) {
	t.Parallel()
	d := newDesk(t, onAndOn)
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	var uris []string
	for i := range 5 {
		uri := d.file(fmt.Sprintf("run%d.jl", i), "1\n")
		e.OpenBuffer(uri, "julia", "1\n")
		e.Do(uri, "Submit as script", nil)
		e.Await(hasCode(uri, "job-running"))
		uris = append(uris, uri)
	}
	running := func(s *lsptest.State) (own int, others string) {
		for _, w := range s.Work {
			switch {
			case !w.Begun || w.Ended:
			case strings.HasPrefix(w.Title, "JuliaHub: "):
				own++
			case w.Title == "JuliaHub":
				others = w.Message
			}
		}
		return own, others
	}
	shows := func(own int, others string) {
		t.Helper()
		e.Await(lsptest.That(fmt.Sprintf("%d progresses and %q", own, others), func(s *lsptest.State) bool {
			n, text := running(s)
			return n == own && text == others
		}))
	}
	shows(3, "5 jobs running (2 more)")
	e.Do(uris[0], "Stop watching job", nil)
	shows(3, "4 jobs running (1 more)")
	e.Do(uris[1], "Stop watching job", nil)
	shows(3, "")
	for _, uri := range uris {
		e.Do(uri, "Cancel job", nil)
	}
	e.Await(lsptest.NoWork())
	e.Shutdown()
}

// A client without progress, and one that will not create any, is told when the
// job is submitted and how it ended, and nothing between.
func TestStoryWithoutProgress(t *testing.T) {
	t.Parallel()
	blind := lsptest.Full()
	delete(blind["window"].(map[string]any), "workDoneProgress")
	for name, options := range map[string]lsptest.Options{"not announced": {Capabilities: blind}, "refused": {RefuseProgress: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
				s.Print("on")
				s.Progress("a", "training", 0.5)
				return until(ctx, release)
			})
			uri := d.file("run.jl", "1\n")
			e := d.editor(options)
			e.OpenBuffer(uri, "julia", "1\n")
			e.Do(uri, "Submit as script", nil)
			e.Await(lsptest.Says("run.jl was submitted to JuliaHub"))
			e.AwaitLens(uri, "● Running 0s/1h · 50%")
			close(release)
			s := e.Await(lsptest.Says("completed"))
			if len(s.Messages) != 2 || len(s.Work) > 0 {
				t.Error(s.String())
			}
			e.Shutdown()
		})
	}
}

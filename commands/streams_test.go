package commands_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi/emulator"
)

// The names under which the emulator counts what logs cost.
const (
	logPages   = "GET /juliaruncloud/get_logs"
	logStreams = "GET /ws/stream_logs"
)

// until is a job that goes on until its channel is closed.
func until(end <-chan struct{}, lines ...string) func(context.Context, *emulator.Stage) error {
	return func(ctx context.Context, s *emulator.Stage) error {
		for _, line := range lines {
			s.Print(line)
		}
		select {
		case <-end:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.Print("ERROR: LoadError: boom")
		s.Print("Stacktrace:")
		s.Print(" [1] top-level scope at /home/jovyan/code.jl:2")
		s.Print("in expression starting at /home/jovyan/code.jl:2")
		return errors.New("exit status 1")
	}
}

// TestEndOfAJobIsAskedForOnce: the log that was followed serves for the problems
// of a job, without another page; of a job that nobody watches one page is
// fetched, and its log is left alone until somebody opens it.
func TestEndOfAJobIsAskedForOnce(t *testing.T) {
	for _, watched := range []bool{true, false} {
		t.Run(fmt.Sprintf("watched %v", watched), func(t *testing.T) {
			end := make(chan struct{})
			w := newWorld(t, emulator.Config{Simulate: until(end, "begun")})
			path := w.write("a.jl", "x = 1\nboom()\n")
			s, ui := w.session()
			sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
			if err != nil {
				t.Fatal(err)
			}
			if !watched {
				if _, err := s.StopWatching(t.Context(), ofJob(commands.JobArgs{Job: sub.Job})); err != nil {
					t.Fatal(err)
				}
			}
			ui.await("the run", func() bool {
				return ui.state(sub.Submission) == commands.StateRunning && (!watched || w.hub.Counters()[logStreams] == 1)
			})
			before := w.hub.Counters()[logStreams]
			close(end)
			ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
			if !hasProblem(ui.problems[path], "job-failed", 1) {
				t.Errorf("problems: %+v", ui.problems[path])
			}
			pages, streams := w.hub.Counters()[logPages], w.hub.Counters()[logStreams]-before
			if watched && (pages != 0 || streams != 0) || !watched && (pages != 1 || streams != 0) {
				t.Errorf("%d pages and %d streams for the end", pages, streams)
			}
			log, err := s.ShowLogs(t.Context(), ofJob(commands.JobArgs{Job: sub.Job, Wait: true}))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := os.ReadFile(log.Path); err != nil || strings.Count(string(text), "begun\n") != 1 || strings.Count(string(text), "in expression") != 1 {
				t.Errorf("the log is %q, %v", text, err)
			}
		})
	}
}

// TestFourStreamsOfManyEditors: however many editors of one user show however
// many jobs, the server sees four log streams; a log that is opened in any of
// them is there soon, and every job's end is known.
func TestFourStreamsOfManyEditors(t *testing.T) {
	const jobs = 7
	end := make(chan struct{})
	w := newWorld(t, emulator.Config{Simulate: until(end, "begun")})
	tap := w.tap(t, nil)
	path := w.write("a.jl", "x = 1\nboom()\n")
	first, ui := w.session()
	var ids, subs []string
	for range jobs {
		sub, err := first.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
		if err != nil {
			t.Fatal(err)
		}
		ids, subs = append(ids, sub.Job), append(subs, sub.Submission)
	}
	ui.await("four streams", func() bool {
		n := 0
		for _, id := range subs {
			if ui.state(id) == commands.StateRunning {
				n++
			}
		}
		open, _, _ := tap.counts()
		return n == jobs && open == 4
	})
	var wg sync.WaitGroup
	for i := range 3 { // the oldest ones, which nobody follows
		s, others := w.session()
		wg.Go(func() {
			others.await("the job", func() bool { return others.state(subs[i]) == commands.StateRunning })
			log, err := s.ShowLogs(t.Context(), ofJob(commands.JobArgs{Job: ids[i], Wait: true}))
			if err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(log.Path); err != nil || strings.Count(string(text), "begun\n") != 1 {
				t.Errorf("the log of job %d is %q, %v", i, text, err)
			}
		})
	}
	wg.Wait()
	close(end)
	ui.await("all ends", func() bool {
		for _, id := range subs {
			if !ui.jobs[id].Settled {
				return false
			}
		}
		return true
	})
	if _, most, _ := tap.counts(); most != 4 {
		t.Errorf("%d streams were open at a time, want 4 at most", most)
	}
	pages := w.hub.Counters()[logPages]
	if pages > 2*jobs {
		t.Errorf("%d pages of %d logs were asked for", pages, jobs)
	}
}

// TestLogAcrossEverything: connections that break, an editor that is closed and
// another one that goes on leave every line in the file, once and in order.
func TestLogAcrossEverything(t *testing.T) {
	end := make(chan struct{})
	lines := make([]string, 60)
	for i := range lines {
		lines[i] = fmt.Sprint("line ", i)
	}
	w := newWorld(t, emulator.Config{Simulate: until(end, lines...)})
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultWebSocketCut, Path: "/ws/stream_logs", Frames: 25, Times: -1}); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jl", "x = 1\nboom()\n")
	first, ui := w.session()
	sub, err := first.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("some of the log", func() bool {
		text, _ := os.ReadFile(ui.jobs[sub.Submission].LogFile)
		return bytes.Contains(text, []byte("line 20\n"))
	})
	closeSession(t, first)
	second, ui := w.session()
	ui.await("the run", func() bool { return ui.state(sub.Submission) == commands.StateRunning })
	close(end)
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	log, err := second.ShowLogs(t.Context(), ofJob(commands.JobArgs{Job: sub.Job, Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log.Path)
	if err != nil {
		t.Fatal(err)
	}
	_, printed, _ := strings.Cut(string(text), "\n") // after the emulator's own line
	if want := strings.Join(lines, "\n") + "\nERROR: LoadError: boom\nStacktrace:\n"; !strings.HasPrefix(printed, want) || strings.Count(printed, "\n") != len(lines)+5 {
		t.Errorf("the log is %q", text)
	}
}

// TestRecordIsOnDiskBeforeTheFirstByte: when the server reads the first byte of
// a submission, its record can be read by another process.
func TestRecordIsOnDiskBeforeTheFirstByte(t *testing.T) {
	for _, bundle := range []bool{false, true} {
		w := newWorld(t, emulator.Config{})
		w.state = filepath.Join(w.state, "of", "a", "new", "computer")
		var mu sync.Mutex
		var found []*track.Record
		sent := 0
		w.tap(t, func(first []byte) {
			if !bytes.HasPrefix(first, []byte("POST /juliaruncloud/submit_job")) {
				return
			}
			other := track.NewLedger(w.state)
			_, err := other.Scan(time.Now())
			mu.Lock()
			defer mu.Unlock()
			sent++
			if found = other.All(); err != nil {
				t.Error(err)
			}
		})
		w.write("Project.toml", "[deps]\n")
		w.write("Manifest.toml", "manifest_format = \"2.0\"\n")
		path := w.write("a.jl", "1\n")
		s, _ := w.session()
		submit := s.SubmitScript
		if bundle {
			submit = s.SubmitAppBundle
		}
		sub, err := submit(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		if sent != 1 || len(found) != 1 || found[0].Submission != sub.Submission || found[0].Sent == nil || found[0].State != track.Submitting {
			t.Errorf("bundle %v: sent %d times; at the first byte there was %+v", bundle, sent, found)
		}
	}
}

// TestLongLogTakesNoMemory: from the server to the file and to the editor, at the
// first lines as at the last.
func TestLongLogTakesNoMemory(t *testing.T) {
	const lines = 10_000 // and text enough to be noticed
	text := strings.Repeat("0123456789 ", 190)
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		for i := range lines {
			s.Log(emulator.Record{Level: "Info", Message: fmt.Sprint(text, i), File: "a.jl", Line: i, Keywords: map[string]any{"step": i}})
		}
		return nil
	}})
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	least, most := uint64(1<<63), uint64(0)
	began, look := time.Now(), time.NewTicker(100*time.Millisecond)
	defer look.Stop()
	for settled := false; !settled; {
		<-look.C
		if time.Since(began) > 4*time.Minute {
			t.Fatal("waited in vain for the end\n", ui.dump())
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least, most = min(least, m.HeapAlloc), max(most, m.HeapAlloc)
		ui.mu.Lock()
		settled = ui.jobs[sub.Submission].Settled
		ui.mu.Unlock()
	}
	if n := countLines(t, ui.jobs[sub.Submission].LogFile); n != lines+1 {
		t.Errorf("%d lines, want %d and the emulator's own", n, lines)
	}
	// It takes about 10 MB, of which the end that is kept for the diagnostics has
	// up to 4; all lines would take 35 more.
	if most-least > 22<<20 {
		t.Errorf("the heap grew from %d to %d kB over %d lines", least>>10, most>>10, lines)
	}
}

func countLines(t *testing.T, path string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "job*.log"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += bytes.Count(data, []byte("\n"))
	}
	return n
}

package track

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/jobapi"
)

// manyID is the id of the n-th of many submissions.
func manyID(n int) string { return fmt.Sprintf("%08d-1111-4222-8333-444455556666", n) }

// running stores the records of n running jobs, the oldest first, and has the
// server run them. It returns the jobs' ids.
func running(t *testing.T, l *Ledger, f *fakeServer, n int) []string {
	t.Helper()
	var ids []string
	began := time.Now().Add(-time.Hour)
	for i := range n {
		r := testRecord(manyID(i), began.Add(time.Duration(i)*time.Second))
		r.State = Running
		if err := l.Create(r); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Job)
		f.jobs = append([]*jobapi.Job{{ID: r.Job, Status: jobapi.Running}}, f.jobs...)
	}
	return ids
}

// end lets all jobs end.
func (f *fakeServer) end(status jobapi.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, j := range f.jobs {
		f.jobs[i] = &jobapi.Job{ID: j.ID, Status: status}
	}
}

// TestFourStreams: one user's processes read four logs at a time, those of the
// newest jobs; who opens a log gets one of their places, in whatever process.
func TestFourStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 10, logs: numbered(25)}
		first := NewLedger(dir)
		jobs := running(t, first, f, 9)
		tracking(t, first, f)
		pass(3 * time.Second)
		var others []*Tracker
		ledgers := []*Ledger{NewLedger(dir), NewLedger(dir)}
		for _, l := range ledgers {
			tr, _ := tracking(t, l, f)
			others = append(others, tr)
		}
		pass(10 * time.Second)
		if got := f.reading(); !slices.Equal(got, jobs[5:]) {
			t.Errorf("the logs of %v are read, want those of the newest four, %v", got, jobs[5:])
		}

		others[1].WantLog(manyID(0))
		others[1].Kick()
		pass(5 * time.Second)
		if got := f.reading(); !slices.Equal(got, append([]string{jobs[0]}, jobs[6:]...)) {
			t.Errorf("after the oldest was opened, %v are read", got)
		}
		wantLines(t, ledgers[1].LogDir(manyID(0)), 25)

		// As many as there may be, in two processes: nobody else's is read.
		others[0].WantLog(manyID(1))
		others[0].WantLog(manyID(2))
		others[1].WantLog(manyID(3))
		pass(30 * time.Second)
		if got := f.reading(); !slices.Equal(got, jobs[:4]) {
			t.Errorf("%v are read, want the four that are open", got)
		}

		// More than there may be: they take turns, and so does a command.
		others[0].WantLog(manyID(4))
		if _, err := others[1].CatchUp(t.Context(), Record{Submission: manyID(5), Job: jobs[5], Server: "s", State: Running}); err != nil {
			t.Error(err)
		}
		wantLines(t, ledgers[1].LogDir(manyID(5)), 25)
		f.set(func() { f.logs = numbered(40) })
		pass(2 * time.Minute)
		for i := range 5 {
			wantLines(t, ledgers[0].LogDir(manyID(i)), 40)
		}

		// Nobody looks any more: the newest are followed again.
		pass(readFor + 10*time.Second)
		if got := f.reading(); !slices.Equal(got, jobs[5:]) {
			t.Errorf("in the end, %v are read, want %v", got, jobs[5:])
		}
		if f.most != mostStreams {
			t.Errorf("%d logs were read at a time, want %d at most", f.most, mostStreams)
		}
	})
}

// TestStreamsOfEndedJobs: catching up counts, for as long as it lasts, and so
// does reading the end of a followed log; nothing is left behind by the dead.
func TestStreamsOfEndedJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 1, logs: numbered(30)}
		first, second := NewLedger(dir), NewLedger(dir)
		running(t, first, f, 6)
		_, stop := tracking(t, first, f)
		pass(3 * time.Second)
		f.end(jobapi.Completed)
		tr, _ := tracking(t, second, f)
		pass(time.Minute)
		if err := second.wantStream(); err != nil { // and then its process dies
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				r, _ := second.Get(manyID(i))
				if _, err := tr.CatchUp(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		stop()
		for i := range 6 {
			wantLines(t, second.LogDir(manyID(i)), 30)
		}
		pass(time.Minute)
		if second.streamIsWanted() {
			t.Error("a place is still asked for")
		}
		if f.most > mostStreams {
			t.Errorf("%d logs were read at a time", f.most)
		}
	})
}

// TestEndsOfLogs: the log of a job that was followed is read to its end and
// serves at the job's end; of another one that is left to one page.
func TestEndsOfLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 10, logs: numbered(25)}
		jobs := running(t, l, f, 7)
		if _, err := l.Update(manyID(6), func(r *Record) { r.Unwatched = true }); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		ends := map[string]int{} // messages; -1 = none were read
		tracking(t, l, f, func(c *Config) {
			c.Ended = func(_ context.Context, r Record, log []jobapi.LogMessage) error {
				mu.Lock()
				defer mu.Unlock()
				if _, twice := ends[r.Job]; twice {
					t.Errorf("%s ended twice", r.Job)
				}
				ends[r.Job] = len(log)
				if log == nil {
					ends[r.Job] = -1
				}
				return nil
			}
		})
		pass(3 * time.Second)
		f.set(func() { f.logs = numbered(31) })
		f.end(jobapi.Failed)
		pass(2 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i, id := range jobs {
			want, streams := -1, 0
			if i >= 2 && i < 6 {
				want, streams = 31, 1
				wantLines(t, l.LogDir(manyID(i)), 31)
			}
			if n, ok := ends[id]; !ok || n != want || f.streams[id] != streams {
				t.Errorf("job %d: ended %v with %d messages after %d streams, want %d after %d", i, ok, n, f.streams[id], want, streams)
			}
		}
	})
}

// TestEndOfAFastJob: its log is read though nobody saw it run, unless it ended
// before anybody was there to look.
func TestEndOfAFastJob(t *testing.T) {
	for _, before := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, f := NewLedger(t.TempDir()), &fakeServer{page: 10, logs: numbered(25)}
			ended, messages := 0, -1
			look := func(c *Config) {
				c.Ended = func(_ context.Context, _ Record, log []jobapi.LogMessage) error {
					ended++
					if log != nil {
						messages = len(log)
					}
					return nil
				}
			}
			if !before {
				tracking(t, l, f, look)
				pass(time.Second)
			}
			r := testRecord(testID, time.Now())
			f.set(func() { f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Completed}} })
			if err := l.Create(r); err != nil {
				t.Fatal(err)
			}
			if before {
				pass(time.Hour)
				tracking(t, l, f, look)
			}
			pass(time.Minute)
			synctest.Wait()
			if ended != 1 || (messages == 25) == before || len(f.streams) > 0 == before {
				t.Errorf("before %v: ended %d times with %d messages, %v streams", before, ended, messages, f.streams)
			}
		})
	}
}

// TestEndOfALogThatFails: it is tried again later; what will not get better
// leaves the job's end to one page.
func TestEndOfALogThatFails(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		tries int
	}{
		"for now":  {&jobapi.NetworkError{What: "follow the log", Host: "h", Err: errors.New("down")}, 2},
		"for ever": {&jobapi.PermissionError{What: "follow the log"}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, f := NewLedger(t.TempDir()), &fakeServer{page: 10, logs: numbered(25)}
			running(t, l, f, 1)
			ended := []int{}
			tracking(t, l, f, func(c *Config) {
				c.Ended = func(_ context.Context, _ Record, log []jobapi.LogMessage) error {
					ended = append(ended, len(log))
					return nil
				}
			})
			pass(3 * time.Second)
			f.set(func() { f.stuck = test.err })
			f.end(jobapi.Completed)
			pass(45 * time.Second)
			f.set(func() { f.stuck = nil })
			pass(2 * time.Minute)
			synctest.Wait()
			want := []int{25}
			if test.tries == 1 {
				want = []int{0}
			}
			if !slices.Equal(ended, want) {
				t.Errorf("%s: ended with %v messages, want %v", name, ended, want)
			}
		})
	}
}

// TestTail: memory is bounded, warnings outlast the rest, and a log of which too
// little was read is none.
func TestTail(t *testing.T) {
	warn := 1000
	var end tail
	end.add(0, []jobapi.LogMessage{{Message: "early", Level: &warn, FilePath: "a.jl", Line: 1, Keywords: map[string]any{"jrun_worker_id": 1, "x": "y"}}})
	for i := range 10 * tailMost {
		end.add(int64(i+1), []jobapi.LogMessage{{Message: "line", EventID: "x", Metadata: map[string]any{"a": "b"}}})
	}
	log := end.log()
	if len(log) > 2*tailMost+1 || len(log) < tailMost || log[0].Message != "early" || log[0].Keywords["jrun_worker_id"] != 1 {
		t.Errorf("%d messages, the first is %+v", len(log), log[0])
	}
	if log[1].Metadata != nil || len(log[0].Keywords) != 1 {
		t.Errorf("more is kept than what is needed: %+v", log[:2])
	}
	trace := strings.Repeat("x", tailBytes/4)
	for range 20 { // a record's exception is needed, and counts
		end.add(end.next, []jobapi.LogMessage{{Message: "failed", Keywords: map[string]any{"exception": trace, "x": "y"}}})
	}
	if log = end.log(); len(log) > 12 || log[len(log)-1].Keywords["exception"] != trace || len(log[len(log)-1].Keywords) != 1 {
		t.Errorf("%d messages with exceptions", len(log))
	}
	end.add(5, []jobapi.LogMessage{{Message: "elsewhere"}}) // another process read what lies between
	if end.log() != nil {
		t.Error("a part of a log passes for its end")
	}
	var none *tail
	if none.log() != nil || (&tail{}).log() == nil {
		t.Error("an empty log is no unread one")
	}
}

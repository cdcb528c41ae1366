package track

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/jobapi"
)

// TestBudgetOutlivesTheLead: an editor that is started again and again asks no
// more often than one that stays.
func TestBudgetOutlivesTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 100}
		r := testRecord(testID, time.Now())
		f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Running}}
		if err := NewLedger(dir).Create(r); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for time.Since(began) < 59*time.Minute {
			_, stop := tracking(t, NewLedger(dir), f)
			pass(7 * time.Second)
			stop()
		}
		if n := f.requests(began); n > budgetBase+budgetEach || n < budgetBase {
			t.Errorf("%d status requests in an hour of restarts, want %d at most", n, budgetBase+budgetEach)
		}
		// In the next hour there is a new budget, and one for each server.
		pass(time.Hour)
		later := time.Now()
		tracking(t, NewLedger(dir), f)
		pass(time.Minute)
		if n := f.requests(later); n < 2 {
			t.Errorf("%d requests in the minute after the budget was free again", n)
		}
	})
}

// TestBudgetIsAServersOwn: submissions to another server are no reason to ask
// this one more often, and enlarging a list counts.
func TestBudgetIsAServersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		began := time.Now()
		for i := range 20 {
			r := testRecord(manyID(i), began)
			r.Server = "other"
			r.State = Completed
			r.Settled = true
			if err := l.Create(r); err != nil {
				t.Fatal(err)
			}
		}
		// Many jobs that the list does not reach, each to be asked for by id.
		for i := range 30 {
			r := testRecord(manyID(100+i), began.Add(-2*time.Hour))
			f.jobs = append(f.jobs, &jobapi.Job{ID: r.Job, Status: jobapi.Running})
			if err := l.Create(r); err != nil {
				t.Fatal(err)
			}
		}
		for range 400 {
			f.jobs = append([]*jobapi.Job{{ID: "jr-other", Status: jobapi.Running}}, f.jobs...)
		}
		tracking(t, l, f)
		pass(59 * time.Minute)
		f.mu.Lock()
		n := len(f.asked) + len(f.one)
		f.mu.Unlock()
		if n > budgetBase || n < budgetBase-10 {
			t.Errorf("%d status requests in an hour without a submission, want up to %d", n, budgetBase)
		}
	})
}

// TestRetryAfterOutlivesTheLead: neither a restart of the tracking nor of the
// editor shortens the pause that a server asked for.
func TestRetryAfterOutlivesTheLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 100}
		r := testRecord(testID, time.Now())
		if err := NewLedger(dir).Create(r); err != nil {
			t.Fatal(err)
		}
		f.err = &jobapi.ServerError{What: "list the jobs", Host: "h", Status: 429, RetryAfter: 20 * time.Minute}
		tr, stop := tracking(t, NewLedger(dir), f)
		pass(time.Minute)
		tr.Restart()
		pass(time.Minute)
		stop()
		for range 5 {
			_, stop := tracking(t, NewLedger(dir), f)
			pass(time.Minute)
			stop()
		}
		if n := f.requests(time.Time{}); n != 1 {
			t.Errorf("%d requests, want the one that was told to wait", n)
		}
		f.set(func() { f.err = nil })
		tracking(t, NewLedger(dir), f)
		pass(15 * time.Minute)
		if n := f.requests(time.Time{}); n < 2 {
			t.Error("it is not asked any more")
		}
	})
}

// TestDiary: it survives a torn line, a clock that was set back, and does not grow.
func TestDiary(t *testing.T) {
	l := NewLedger(t.TempDir())
	if err := os.MkdirAll(filepath.Join(l.Dir(), "locks"), 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d, err := l.diary("s", now)
	if err != nil {
		t.Fatal(err)
	}
	text := "garbage\n" + line(now.Add(-2*time.Hour)) + line(now.Add(-time.Minute)) + line(now.Add(3*time.Hour)) + "quiet " + line(now.Add(1000*time.Hour)) + "17000"
	if err := os.WriteFile(d.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err = l.diary("s", now); err != nil || len(d.asked) != 2 || d.asked[1].After(now) || d.quiet.After(now.Add(quietMost)) {
		t.Errorf("read %+v, %v", d, err)
	}
	for i := range 10 * budgetLimit {
		at := now.Add(time.Duration(i) * 6 * time.Second)
		d.free(budgetLimit, at)
		if err := d.ask(at); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(d.path)
	if err != nil || info.Size() > 5*budgetLimit*14 {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	again, err := l.diary("s", now.Add(10*budgetLimit*6*time.Second))
	if err != nil || len(again.asked) < budgetLimit-2 || len(again.asked) > budgetLimit {
		t.Errorf("%d requests are known after all, %v", len(again.asked), err)
	}
	if other, err := l.diary("another", now); err != nil || len(other.asked) != 0 {
		t.Errorf("another server's: %+v, %v", other, err)
	}
}

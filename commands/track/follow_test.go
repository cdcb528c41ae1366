package track

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestFollowToTheEnd follows a log of a job that nothing here tracks for longer
// than an opened log is, over one stream, to its end.
func TestFollowToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 10, logs: numbered(5)}
		tr, _ := tracking(t, l, f)
		ends := time.Now().Add(time.Hour)
		done := make(chan error, 1)
		r := Record{Submission: "jr-elsewhere", Job: "jr-elsewhere", Server: "s"}
		go func() { done <- tr.Follow(t.Context(), r, func() bool { return time.Now().After(ends) }) }()
		pass(30 * time.Minute)
		f.set(func() { f.logs = numbered(12) })
		pass(time.Minute)
		wantLines(t, l.LogDir("jr-elsewhere"), 12)
		f.set(func() { f.logs = numbered(20) })
		if err := <-done; err != nil || time.Now().Before(ends) {
			t.Errorf("ended at %v with %v", time.Now(), err)
		}
		wantLines(t, l.LogDir("jr-elsewhere"), 20)
		if n := f.streams["jr-elsewhere"]; n != 1 {
			t.Errorf("%d streams were opened", n)
		}
	})
}

// TestFollowersTakeTurns: five logs that are followed in as many processes share
// four places, and one log that two processes follow has one writer.
func TestFollowersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 10, logs: numbered(25)}
		jobs := running(t, NewLedger(dir), f, 5)
		ends := time.Now().Add(10 * time.Minute)
		ended := func() bool { return time.Now().After(ends) }
		done := make(chan error, 6)
		var l *Ledger
		for i := range 6 {
			l = NewLedger(dir)
			tr, _ := tracking(t, l, f)
			r := testRecord(manyID(i%5), time.Now())
			go func() { done <- tr.Follow(t.Context(), r, ended) }()
		}
		seen := map[string]bool{}
		for range 120 {
			pass(time.Second)
			for _, id := range f.reading() {
				seen[id] = true
			}
		}
		for _, id := range jobs {
			if !seen[id] {
				t.Errorf("in two minutes nobody read the log of %s", id)
			}
		}
		f.end("Completed")
		for range 6 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for i := range 5 {
			wantLines(t, l.LogDir(manyID(i)), 25)
		}
		if f.most > mostStreams {
			t.Errorf("%d streams at a time", f.most)
		}
		if got := f.reading(); !slices.Equal(got, []string{}) && len(got) > 0 {
			t.Errorf("%v are still read", got)
		}
	})
}

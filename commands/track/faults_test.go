package track

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/jobapi"
)

// TestFullDisk: a log that cannot be written is read on, with nothing lost and
// nothing twice, when there is room again.
func TestFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a file that is always full")
	}
	dir := t.TempDir()
	l, err := openLog(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	logs := numbered(30)
	if err := l.add(jobapi.LogPosition{}, logs[:10]); err != nil {
		t.Fatal(err)
	}
	l.flushNow()
	room := l.file
	if l.file, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.add(jobapi.LogPosition{Count: 10}, logs[10:20]); err != nil {
		t.Fatal(err) // it waits for more
	}
	l.flushNow()
	if err := l.add(jobapi.LogPosition{Count: 20}, logs[20:]); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk is told as %v", err)
	}
	if err := l.close(jobapi.LogPosition{Count: 30}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk is told at the end as %v", err)
	}
	if _, err := room.WriteString("line 10\nli"); err != nil { // as much as there was room for
		t.Fatal(err)
	}
	if err := room.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := openLog(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.add(again.at.Position, logs[again.at.Position.Count:]); err != nil {
		t.Fatal(err)
	}
	if err := again.close(jobapi.LogPosition{Count: 30}); err != nil {
		t.Fatal(err)
	}
	wantLines(t, dir, 30)
}

// TestUnwrittenRecords: that the records cannot be written is told once, and
// again when it happens again.
func TestUnwrittenRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 10}
		// A name with no room for that of a file which is to take its place.
		r := testRecord(strings.Repeat("a", 248), time.Now())
		r.Version = recordVersion
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(l.Dir(), "records"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.path(r.Submission), data, 0o600); err != nil {
			t.Fatal(err)
		}
		f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Running}}
		var told []error
		tr, stop := tracking(t, l, f, func(cfg *Config) { cfg.Unwritten = func(err error) { told = append(told, err) } })
		pass(10 * time.Minute)
		stop()
		if len(told) != 1 {
			t.Errorf("told %v", told)
		}
		other := testRecord(testID, time.Now())
		if err := l.Create(other); err != nil {
			t.Fatal(err)
		}
		running := func(r *Record) { r.Status = "Running" }
		if !tr.change(other.Submission, running) || tr.change(r.Submission, running) || len(told) != 1 {
			t.Errorf("another one can be written: told %v", told)
		}
		if !tr.change(r.Submission, func(*Record) {}) || tr.change(r.Submission, running) || len(told) != 2 {
			t.Errorf("told %v", told)
		}
	})
}

// TestEndOnAFullDisk: the diagnostics of a job do not wait for room for its log,
// and the work at its end is done once, also when that cannot be written down.
func TestEndOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 10, logs: numbered(25)}
		running(t, l, f, 1)
		// Nobody can write to a directory.
		if err := os.MkdirAll(LogFile(l.LogDir(manyID(0))), 0o700); err != nil {
			t.Fatal(err)
		}
		ended := 0
		tracking(t, l, f, func(c *Config) {
			c.Ended = func(_ context.Context, _ Record, log []jobapi.LogMessage) error {
				if ended++; log != nil {
					t.Errorf("%d messages were read", len(log))
				}
				return nil
			}
		})
		pass(3 * time.Second)
		f.end(jobapi.Failed)
		pass(time.Minute)
		synctest.Wait()
		if r, _ := l.Get(manyID(0)); ended != 1 || !r.Settled {
			t.Errorf("the end was worked at %d times; the record is %+v", ended, r)
		}
	})
}

// TestClockSetBack: a submission from the future is no reason to hurry, and its
// job is followed all the same.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		r := testRecord(testID, time.Now().Add(5*time.Hour))
		f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Submitted}}
		if err := l.Create(r); err != nil {
			t.Fatal(err)
		}
		tracking(t, l, f)
		pass(10 * time.Minute)
		if n := f.requests(time.Time{}); n < 17 || n > 22 {
			t.Errorf("%d requests in ten minutes, want one each 30 s", n)
		}
		f.end(jobapi.Completed)
		pass(time.Minute)
		if r, _ := l.Get(testID); r.State != Completed || !r.Settled {
			t.Errorf("the job is %s, settled %v", r.State, r.Settled)
		}
	})
}

// TestEveryKindOfBadRecord: none keeps the others from being read, and none is
// deleted but the old ones of ended jobs, with all that is beside them.
func TestEveryKindOfBadRecord(t *testing.T) {
	l := NewLedger(filepath.Join(t.TempDir(), "a [strange] name"))
	if err := l.Create(testRecord(testID, time.Now())); err != nil {
		t.Fatal(err)
	}
	old := testRecord(manyID(1), time.Now().Add(-keepFor-time.Hour))
	old.State, old.Settled = Completed, true
	if err := l.Create(old); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		l.path(manyID(2)): "", l.path(manyID(3)): "[]", l.path(manyID(4)): `{"version":1,"submission":"other","state":"running"}`,
		l.path(manyID(5)): `{"version":1,"submission":"` + manyID(5) + `","state":"dreaming"}`, l.path(manyID(6)): "\x00\x00\x00\x00",
		l.path(manyID(7)):                         `{"version":99,"submission":"` + manyID(7) + `","state":"running","new":true}`,
		l.SideFile(manyID(1), ".text.gz"):         "text",
		l.SideFile("not a submission", ".json"):   "{",
		filepath.Join(l.LogDir(manyID(1)), "job"): "log",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(l.path(manyID(8)), 0o700); err != nil {
		t.Fatal(err)
	}
	fresh := NewLedger(l.Dir())
	if _, err := fresh.Scan(time.Now()); err != nil {
		t.Fatal(err)
	}
	if all := fresh.All(); len(all) != 1 || all[0].Submission != testID {
		t.Errorf("read %+v", all)
	}
	if files := fresh.TakeCorrupt(); len(files) != 5 {
		t.Errorf("set aside: %v", files)
	}
	for path, kept := range map[string]bool{
		l.path(manyID(1)): false, l.SideFile(manyID(1), ".text.gz"): false, l.LogDir(manyID(1)): false, l.path(manyID(7)): true, l.path(testID): true,
	} {
		if missing(path) == kept {
			t.Errorf("%s is kept: %v, want %v", path, !kept, kept)
		}
	}
}

// TestManyEditorsAtOnce: processes that come, work at the same jobs and go, and
// one that is killed while it leads, lose nothing and do nothing twice.
func TestManyEditorsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 3, logs: numbered(10)}
		running(t, NewLedger(dir), f, 5)
		var mu sync.Mutex
		ends := map[string]int{}
		count := func(c *Config) {
			c.Ended = func(_ context.Context, r Record, _ []jobapi.LogMessage) error {
				mu.Lock()
				defer mu.Unlock()
				ends[r.Job]++
				return nil
			}
		}
		var stops []context.CancelFunc
		for i := range 12 {
			tr, stop := tracking(t, NewLedger(dir), f, count)
			stops = append(stops, stop)
			tr.WantLog(manyID(i % 5))
			pass(2 * time.Second)
			f.set(func() { f.logs = numbered(10 + 10*i) })
			if len(stops) == 4 { // the lead among them
				stops[0]()
				stops = stops[1:]
			}
		}
		pass(time.Minute)
		f.end(jobapi.Completed)
		pass(2 * time.Minute)
		for _, stop := range stops {
			stop()
		}
		l := NewLedger(dir)
		if _, err := l.Scan(time.Now()); err != nil {
			t.Fatal(err)
		}
		for _, r := range l.All() {
			if r.State != Completed || !r.Settled || ends[r.Job] != 1 {
				t.Errorf("%s is %s, settled %v, and ended %d times", r.Job, r.State, r.Settled, ends[r.Job])
			}
			tr := New(Config{
				Ledger: l, Logger: discard(), Connect: func(string) (Client, error) { return f, nil },
				Messages: func(string, []jobapi.LogMessage) {},
			})
			if _, err := tr.CatchUp(t.Context(), *r); err != nil {
				t.Error(err)
			}
			wantLines(t, l.LogDir(r.Submission), 120)
		}
		if f.most > mostStreams {
			t.Errorf("%d log streams at a time", f.most)
		}
	})
}

// TestLogThatCannotBeRead is tried less and less often, and at once when the
// person wants the tracking to begin again.
func TestLogThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 10, logs: numbered(25), stuck: errors.New("broken")}
		jobs := running(t, l, f, 1)
		tr, _ := tracking(t, l, f)
		pass(time.Hour)
		tries := func() (n int) {
			f.set(func() { n = f.streams[jobs[0]] })
			return n
		}
		before := tries()
		if before < 4 || before > 12 {
			t.Errorf("%d tries in an hour", before)
		}
		f.set(func() { f.stuck = nil })
		tr.Restart()
		pass(2 * time.Second)
		if tries() != before+1 || !slices.Equal(f.reading(), jobs) {
			t.Errorf("%d tries after a restart, %v is read", tries()-before, f.reading())
		}
	})
}

// TestPartsOfACrash: whatever of the files a crash left, the log is whole again.
func TestPartsOfACrash(t *testing.T) {
	for _, lost := range []string{"place.json", "job.log"} {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 7, logs: numbered(40)}
		tr := New(Config{
			Ledger: l, Logger: discard(), Connect: func(string) (Client, error) { return f, nil },
			Messages: func(string, []jobapi.LogMessage) {},
		})
		for range 2 {
			if _, err := tr.CatchUp(t.Context(), testRecord(testID, time.Now())); err != nil {
				t.Fatal(err)
			}
			wantLines(t, l.LogDir(testID), 40)
			path := filepath.Join(l.LogDir(testID), lost)
			if err := os.WriteFile(path, []byte(`{"size":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := tr.CatchUp(t.Context(), testRecord(testID, time.Now())); err != nil {
			t.Fatal(err)
		}
		wantLines(t, l.LogDir(testID), 40)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

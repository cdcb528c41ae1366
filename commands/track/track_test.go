package track

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/jobapi"
)

// server is a JuliaHub as far as tracking sees it.
type fakeServer struct {
	mu    sync.Mutex // guards what follows
	jobs  []*jobapi.Job
	err   error
	asked []time.Time // status requests
	one   []string    // jobs asked for by id
	logs  []jobapi.LogMessage
	page  int // messages in a page
	kills []string
	clock time.Duration // the server's minus ours
	long  int           // requests of long lists

	open    map[string]int // log streams, by job
	most    int            // that were open at a time
	streams map[string]int // that were opened, by job
	stuck   error          // what log streams end with
	hang    bool           // status requests are not answered
}

func (f *fakeServer) ServerTime(t time.Time) time.Time { return t.Add(f.clock) }

func (f *fakeServer) NewestJobs(ctx context.Context, limit int) ([]*jobapi.Job, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	if f.hang {
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return nil, 0, context.Cause(ctx)
	}
	if limit > 100 {
		f.long++
	}
	if f.err != nil {
		return nil, 0, f.err
	}
	listed := f.jobs[:min(limit, len(f.jobs))]
	understood := slices.DeleteFunc(slices.Clone(listed), func(j *jobapi.Job) bool { return j.ID == "" })
	return understood, len(listed), nil
}

func (f *fakeServer) Job(_ context.Context, id string) (*jobapi.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.one = append(f.one, id)
	for _, j := range f.jobs {
		if j.ID == id {
			return j, nil
		}
	}
	return nil, jobapi.ErrNoSuchJob
}

func (f *fakeServer) Kill(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kills = append(f.kills, id)
	return nil
}

func (f *fakeServer) JobURL(id string) string { return "https://hub.example/" + id }

// FollowLog brings pages from a place on; when the log goes no further it
// waits, unless that is the end.
func (f *fakeServer) FollowLog(ctx context.Context, id string, from *jobapi.LogPosition, done func() bool,
	emit func(jobapi.LogPosition, []jobapi.LogMessage) error,
) (jobapi.LogPosition, error) {
	var at jobapi.LogPosition
	if from != nil {
		at = *from
	}
	defer f.stream(id)()
	for {
		f.mu.Lock()
		if f.stuck != nil {
			defer f.mu.Unlock()
			return at, f.stuck
		}
		next := f.logs[at.Count:min(at.Count+int64(f.page), int64(len(f.logs)))]
		f.mu.Unlock()
		if len(next) == 0 && done() {
			return at, nil
		}
		if len(next) == 0 {
			select {
			case <-ctx.Done():
				return at, ctx.Err()
			case <-time.After(time.Second):
			}
			continue
		}
		if err := emit(at, next); err != nil {
			return at, err
		}
		at.Count += int64(len(next))
	}
}

// stream counts an open log stream.
func (f *fakeServer) stream(id string) (closed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open, f.streams = map[string]int{}, map[string]int{}
	}
	f.open[id]++
	f.streams[id]++
	n := 0
	for _, streams := range f.open {
		n += streams
	}
	f.most = max(f.most, n)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[id]--; f.open[id] == 0 {
			delete(f.open, id)
		}
	}
}

// reading returns the jobs whose logs are being read.
func (f *fakeServer) reading() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.open))
}

func (f *fakeServer) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// requests returns how many status requests there were since a time.
func (f *fakeServer) requests(since time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, at := range f.asked {
		if !at.Before(since) {
			n++
		}
	}
	return n
}

// pass lets time pass in the test's bubble, where waiting costs nothing.
func pass(d time.Duration) { <-time.After(d) }

const testID = "3f0c8a52-1111-4222-8333-444455556666"

func testRecord(id string, now time.Time) Record {
	return Record{Submission: id, State: Submitted, Job: "jr-" + id[:8], Server: "s", Kind: KindScript, Created: now, Sent: &now}
}

// tracking runs a tracker on a ledger until the test's bubble ends.
func tracking(t *testing.T, l *Ledger, f *fakeServer, change ...func(*Config)) (*Tracker, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cfg := Config{
		Ledger: l, Logger: slog.New(slog.DiscardHandler),
		Connect:  func(string) (Client, error) { return f, nil },
		Changed:  func(string) {},
		Messages: func(string, []jobapi.LogMessage) {},
		Ended:    func(context.Context, Record, []jobapi.LogMessage) error { return nil },
		Corrupt:  func(files []string) { t.Errorf("corrupt: %v", files) },
		NoLocks:  func(err error) { t.Error(err) },

		Unwritten: func(err error) { t.Error(err) },
	}
	for _, f := range change {
		f(&cfg)
	}
	tr := New(cfg)
	done := make(chan struct{})
	go func() { tr.Run(ctx); close(done) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return tr, stop
}

func TestRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		_, stop := tracking(t, l, f)
		pass(time.Hour)
		if n := f.requests(time.Time{}); n != 0 {
			t.Fatalf("%d requests with nothing to track", n)
		}
		submitted := time.Now()
		r := testRecord(testID, submitted)
		job := &jobapi.Job{ID: r.Job, Status: jobapi.Submitted}
		f.set(func() { f.jobs = []*jobapi.Job{job} })
		if err := l.Create(r); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := f.requests(submitted); n < 35 || n > 42 {
			t.Errorf("%d requests in the minute after the submission, want one each 1.5 s", n)
		}
		quiet := time.Now()
		pass(10 * time.Minute)
		if n := f.requests(quiet); n < 17 || n > 21 {
			t.Errorf("%d requests in ten minutes of waiting, want one each 30 s", n)
		}
		f.set(func() { f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Running}} })
		for { // until it is seen running
			pass(time.Second)
			if r, _ := l.Get(testID); r.State == Running {
				break
			}
		}
		running := time.Now()
		pass(29 * time.Second)
		if n := f.requests(running); n < 17 || n > 21 {
			t.Errorf("%d requests in the half minute after the job began, want one each 1.5 s", n)
		}
		f.set(func() { f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Completed}} })
		pass(time.Minute)
		ended := time.Now()
		pass(time.Hour)
		if n := f.requests(ended); n != 0 {
			t.Errorf("%d requests after the last job ended", n)
		}
		stop()
	})
}

func TestBackOffAndTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		if err := l.Create(testRecord(testID, time.Now())); err != nil {
			t.Fatal(err)
		}
		f.err = &jobapi.NetworkError{What: "list the jobs", Host: "h", Err: errors.New("down")}
		_, stop := tracking(t, l, f)
		pass(10 * time.Minute)
		if n := f.requests(time.Time{}); n > 14 {
			t.Errorf("%d requests in ten minutes without a network", n)
		}
		if r, _ := l.Get(testID); r.Trouble != "network lost" {
			t.Errorf("trouble is %q", r.Trouble)
		}
		f.set(func() { f.err = nil; f.jobs = []*jobapi.Job{{ID: "jr-" + testID[:8], Status: jobapi.Running}} })
		pass(3 * time.Minute)
		if r, _ := l.Get(testID); r.Trouble != "" || r.State != Running || r.Seen.IsZero() {
			t.Errorf("the network is back, but the record says %+v", r)
		}
		stop()
	})
}

// TestServerThatHangs: the jobs of another one are followed all the same.
func TestServerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, dead, f := NewLedger(t.TempDir()), &fakeServer{hang: true}, &fakeServer{page: 10, logs: numbered(5)}
		now := time.Now()
		there, here := testRecord(manyID(1), now), testRecord(manyID(2), now)
		there.Server = "dead"
		f.jobs = []*jobapi.Job{{ID: here.Job, Status: jobapi.Running}}
		for _, r := range []Record{there, here} {
			if err := l.Create(r); err != nil {
				t.Fatal(err)
			}
		}
		_, stop := tracking(t, l, f, func(c *Config) {
			c.Connect = func(name string) (Client, error) {
				if name == "dead" {
					return dead, nil
				}
				return f, nil
			}
		})
		pass(time.Minute)
		if n := f.requests(now); n < 35 {
			t.Errorf("%d requests in the minute after the submission, want one each 1.5 s", n)
		}
		if n := dead.requests(now); n > 3 {
			t.Errorf("%d requests to a server that does not answer", n)
		}
		wantLines(t, l.LogDir(here.Submission), 5)
		if r, _ := l.Get(there.Submission); r.Trouble != NetworkLost {
			t.Errorf("the trouble is %q", r.Trouble)
		}
		stop()
	})
}

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		_, stop := tracking(t, l, f)
		began := time.Now()
		for i := range 20 { // a submission each minute keeps the fast tick on
			id := fmt.Sprintf("%08d-1111-4222-8333-444455556666", i)
			f.set(func() { f.jobs = append([]*jobapi.Job{{ID: "jr-" + id[:8], Status: jobapi.Running}}, f.jobs...) })
			if err := l.Create(testRecord(id, time.Now())); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
		}
		if n := f.requests(began); n > 600 || n < 550 {
			t.Errorf("%d status requests in less than an hour, want what the budget allows", n)
		}
		stop()
	})
}

func TestSearchFindsTheOldestJobOfASubmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		sent := time.Now()
		r := testRecord(testID, sent)
		r.Job, r.State, r.Kill = "", Submitting, true
		if err := l.Create(r); err != nil {
			t.Fatal(err)
		}
		_, stop := tracking(t, l, f)
		pass(30 * time.Second)
		if r, _ := l.Get(testID); r.State != Unknown {
			t.Fatalf("an interrupted submission is %s", r.State)
		}
		// The job turns up late, behind a hundred others, and with a double.
		mine := func(id string, at time.Time) *jobapi.Job {
			return &jobapi.Job{ID: id, Status: jobapi.Running, Submitted: at, Inputs: `{\"JULIAHUB_LSP_SUBMISSION\":\"` + testID + `\"}`}
		}
		f.set(func() {
			for i := range 100 {
				f.jobs = append(f.jobs, &jobapi.Job{ID: fmt.Sprint("jr-other", i), Status: jobapi.Running, Submitted: sent.Add(time.Hour)})
			}
			f.jobs[3] = &jobapi.Job{} // it cannot be understood: no sign of the list's end
			f.jobs = append(f.jobs, mine("jr-second", sent.Add(2*time.Second)), mine("jr-first", sent.Add(time.Second)), mine("jr-old", sent.Add(-24*time.Hour)))
		})
		pass(3 * time.Minute)
		r, _ = l.Get(testID)
		if r.Job != "jr-first" || r.State != Running {
			t.Errorf("found %q, state %s", r.Job, r.State)
		}
		if len(f.kills) != 1 || f.kills[0] != "jr-first" {
			t.Errorf("the remembered wish killed %v", f.kills)
		}
		stop()
	})
}

// TestRefusedIsNotLookedFor: who died while the person signed in, the submission
// refused for its token, left nothing to look for.
func TestRefusedIsNotLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		r := testRecord(testID, time.Now())
		r.Job, r.State, r.Sent = "", Submitting, nil
		if err := l.Create(r); err != nil {
			t.Fatal(err)
		}
		_, stop := tracking(t, l, f)
		pass(30 * time.Second)
		if r, _ := l.Get(testID); r.State != Cancelled || f.requests(time.Time{}) > 0 {
			t.Errorf("it is %s, after %d requests", r.State, f.requests(time.Time{}))
		}
		stop()
	})
}

// TestSearchEnds: with growing pauses, also while other jobs are asked for often,
// and with a word about it.
func TestSearchEnds(t *testing.T) {
	for _, others := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
			sent := time.Now()
			for range 100 { // so that a search needs a longer list than the others
				f.jobs = append(f.jobs, &jobapi.Job{ID: "jr-other", Status: jobapi.Running, Submitted: sent})
			}
			r := testRecord(testID, sent)
			r.Job, r.State = "", Submitting
			if err := l.Create(r); err != nil {
				t.Fatal(err)
			}
			if others {
				other := testRecord("5f3a9dbe-0000-4000-8000-000000000002", sent)
				other.Job = "jr-other"
				if err := l.Create(other); err != nil {
					t.Fatal(err)
				}
			}
			_, stop := tracking(t, l, f)
			pass(15 * time.Minute)
			if r, _ := l.Get(testID); r.State != Unknown || !strings.Contains(r.Reason, "ten minutes") {
				t.Errorf("with others %v: %s, %q", others, r.State, r.Reason)
			}
			long := 0
			f.set(func() { long = f.long })
			if long < 4 || long > 20 {
				t.Errorf("with others %v: %d searches", others, long)
			}
			stop()
		})
	}
}

// TestSearchWithOtherClocks: a server whose clock is hours off lists the job
// hours off, too, and in the midst of others.
func TestSearchWithOtherClocks(t *testing.T) {
	for _, clock := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		for _, told := range []bool{true, false} { // the answers tell the server's time
			synctest.Test(t, func(t *testing.T) {
				l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
				if told {
					f.clock = clock
				}
				sent := time.Now()
				r := testRecord(testID, sent)
				r.Job, r.State = "", Submitting
				if err := l.Create(r); err != nil {
					t.Fatal(err)
				}
				if told {
					for i := range 50 {
						f.jobs = append(f.jobs, &jobapi.Job{ID: fmt.Sprint("jr-other", i), Status: jobapi.Running, Submitted: sent.Add(clock + time.Minute)})
					}
				}
				f.jobs = append(f.jobs, &jobapi.Job{ID: "jr-mine", Status: jobapi.Running, Submitted: sent.Add(clock), Inputs: testID})
				_, stop := tracking(t, l, f)
				pass(time.Minute)
				if r, _ := l.Get(testID); r.Job != "jr-mine" {
					t.Errorf("clock off by %s, told %v: found %q, state %s", clock, told, r.Job, r.State)
				}
				stop()
			})
		}
	}
}

func TestJobBeyondTheListIsAskedForByID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, f := NewLedger(t.TempDir()), &fakeServer{page: 100}
		for i := range 500 {
			f.jobs = append(f.jobs, &jobapi.Job{ID: fmt.Sprint("jr-x", i), Status: jobapi.Running, Submitted: time.Now()})
		}
		r := testRecord(testID, time.Now())
		f.jobs = append(f.jobs, &jobapi.Job{ID: r.Job, Status: jobapi.Completed})
		if err := l.Create(r); err != nil {
			t.Fatal(err)
		}
		_, stop := tracking(t, l, f)
		pass(time.Minute)
		if r, _ := l.Get(testID); r.State != Completed || len(f.one) != 1 {
			t.Errorf("state %s after asking for %v", r.State, f.one)
		}
		stop()
	})
}

func TestOneLeadsAndTheNextTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, f := t.TempDir(), &fakeServer{page: 100}
		r := testRecord(testID, time.Now())
		f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Running}}
		first, second := NewLedger(dir), NewLedger(dir)
		if err := first.Create(r); err != nil {
			t.Fatal(err)
		}
		_, stopFirst := tracking(t, first, f)
		pass(5 * time.Second)
		_, stopSecond := tracking(t, second, f)
		alone := f.requests(time.Time{})
		pass(5 * time.Second)
		if r, _ := second.Get(testID); r.State != Running {
			t.Errorf("the reader sees %s", r.State)
		}
		if n := f.requests(time.Time{}) - alone; n > 4 {
			t.Errorf("%d requests in five seconds: both poll", n)
		}
		stopFirst()
		f.set(func() { f.jobs = []*jobapi.Job{{ID: r.Job, Status: jobapi.Completed}} })
		pass(40 * time.Second)
		if r, _ := second.Get(testID); r.State != Completed {
			t.Errorf("nobody took over: %s", r.State)
		}
		stopSecond()
	})
}

func TestRecordsMerge(t *testing.T) {
	dir := t.TempDir()
	a, b := NewLedger(dir), NewLedger(dir)
	if err := a.Create(testRecord(testID, time.Now())); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Update(testID, func(r *Record) { r.State = Completed }); err != nil {
		t.Fatal(err)
	}
	// b never saw a's change: it is merged, and the state does not go back.
	r, err := b.Update(testID, func(r *Record) { r.State, r.Job, r.Dismissed = Running, "jr-other", true })
	if err != nil || r.State != Completed || r.Job != "jr-"+testID[:8] || !r.Dismissed {
		t.Errorf("merged to %+v, %v", r, err)
	}
	if changed, err := a.Scan(time.Now()); err != nil || len(changed) != 1 {
		t.Errorf("a sees %v, %v", changed, err)
	}
	if r, _ := a.Get(testID); !r.Dismissed {
		t.Error("a does not see b's change")
	}
	info, err := os.Stat(filepath.Join(dir, "records", testID+".json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the record's mode is %v, %v", info.Mode(), err)
	}
}

func TestConcurrentUpdatesLoseNothing(t *testing.T) {
	dir := t.TempDir()
	ledgers := []*Ledger{NewLedger(dir), NewLedger(dir)}
	if err := ledgers[0].Create(testRecord(testID, time.Now())); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, err := ledgers[i%2].Update(testID, func(r *Record) { r.LimitHours++ })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r, err := ledgers[0].Update(testID, func(*Record) {}); err != nil || r.LimitHours != 20 {
		t.Errorf("20 increments made %d, %v", r.LimitHours, err)
	}
}

func TestCorruptRecordsAreSetAside(t *testing.T) {
	dir := t.TempDir()
	l := NewLedger(dir)
	if err := l.Create(testRecord(testID, time.Now())); err != nil {
		t.Fatal(err)
	}
	bad := "00000000-0000-4000-8000-000000000000"
	if err := os.WriteFile(filepath.Join(dir, "records", bad+".json"), []byte("{\"submi"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := NewLedger(dir)
	if _, err := fresh.Scan(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, ok := fresh.Get(testID); !ok {
		t.Error("the good record is lost")
	}
	files := fresh.TakeCorrupt()
	if len(files) != 1 {
		t.Fatalf("set aside: %v", files)
	}
	if data, err := os.ReadFile(files[0]); err != nil || string(data) != "{\"submi" {
		t.Errorf("what was set aside holds %q, %v", data, err)
	}
	if _, err := fresh.Scan(time.Now()); err != nil || len(fresh.TakeCorrupt()) != 0 {
		t.Error("it is told twice")
	}
}

func TestHoldKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	a, b := NewLedger(dir), NewLedger(dir)
	release, ok, err := a.Hold(testID)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if _, ok, err := b.Hold(testID); ok || err != nil {
		t.Errorf("held twice: %v, %v", ok, err)
	}
	release()
	if release, ok, err := b.Hold(testID); !ok || err != nil {
		t.Errorf("not free after its release: %v", err)
	} else {
		release()
	}
}

func numbered(n int) []jobapi.LogMessage {
	messages := make([]jobapi.LogMessage, n)
	for i := range messages {
		messages[i] = jobapi.LogMessage{Message: fmt.Sprint("line ", i), EventID: fmt.Sprint(1000 + i), Time: time.Unix(int64(i/3), 0)}
	}
	return messages
}

func wantLines(t *testing.T, dir string, n int) {
	t.Helper()
	data, err := os.ReadFile(LogFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 && len(data) == 0 {
		return
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for i, line := range lines {
		if line != fmt.Sprint("line ", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if len(lines) != n {
		t.Fatalf("%d lines, want %d", len(lines), n)
	}
}

func TestLogIsWholeWithNothingTwice(t *testing.T) {
	l, f := NewLedger(t.TempDir()), &fakeServer{page: 7}
	tr := New(Config{
		Ledger: l, Logger: slog.New(slog.DiscardHandler),
		Connect:  func(string) (Client, error) { return f, nil },
		Messages: func(string, []jobapi.LogMessage) {},
	})
	r, dir := testRecord(testID, time.Now()), l.LogDir(testID)
	catchUp := func(n int) {
		t.Helper()
		f.logs = numbered(n)
		if _, err := tr.CatchUp(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		wantLines(t, dir, n)
	}
	catchUp(0)
	catchUp(23)
	catchUp(40)
	// A crash after the text and before its place: what is beyond is cut off.
	file, err := os.OpenFile(LogFile(dir), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("line 40\nline 4"); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	catchUp(50)
	catchUp(50)
	// A file that someone cut is read again from the start.
	if err := os.Truncate(LogFile(dir), 10); err != nil {
		t.Fatal(err)
	}
	catchUp(51)
}

// openLog opens the log in a directory, as a reading does.
func openLog(ctx context.Context, dir string) (*logFile, error) {
	unlock, err := waitLock(ctx, logLock(dir))
	if err != nil {
		return nil, err
	}
	l := &logFile{dir: dir, release: unlock}
	return l, l.open()
}

func TestLogOfAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	logs := numbered(30)
	for i := range 10 {
		if err := l.add(jobapi.LogPosition{Count: int64(i)}, logs[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	l.flushNow() // and then the process dies, without close
	l.release()
	again, err := openLog(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	at := again.at.Position.Count
	if err := again.add(again.at.Position, logs[at:]); err != nil {
		t.Fatal(err)
	}
	if err := again.close(jobapi.LogPosition{Count: 30}); err != nil {
		t.Fatal(err)
	}
	wantLines(t, dir, 30)
}

func TestLongLogIsKeptInParts(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1000)
	const n = 25_000
	for i := range n {
		if err := l.add(jobapi.LogPosition{Count: int64(i)}, []jobapi.LogMessage{{Message: line}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.close(jobapi.LogPosition{Count: n}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "job*.log"))
	if err != nil || len(files) != 3 {
		t.Fatalf("parts: %v, %v", files, err)
	}
	total := int64(0)
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > partSize+2*flushSize {
			t.Errorf("%s has %d bytes", file, info.Size())
		}
		total += info.Size()
	}
	if total != n*1001 {
		t.Errorf("%d bytes in all, want %d", total, n*1001)
	}
}

// longLog is a log that nobody keeps in memory.
type longLog struct {
	*fakeServer
	lines int64
	bytes int64    // of them all
	heap  []uint64 // kB that were in use, twenty times
}

func (l *longLog) FollowLog(_ context.Context, _ string, _ *jobapi.LogPosition, _ func() bool,
	emit func(jobapi.LogPosition, []jobapi.LogMessage) error,
) (jobapi.LogPosition, error) {
	var at jobapi.LogPosition
	for ; at.Count < l.lines; at.Count += 1000 {
		page := make([]jobapi.LogMessage, 1000)
		for i := range page {
			l.bytes += int64(len(fmt.Sprintln("line", at.Count+int64(i))))
			page[i] = jobapi.LogMessage{Message: fmt.Sprint("line ", at.Count+int64(i)), Keywords: map[string]any{"jrun_worker_id": i}}
		}
		if err := emit(at, page); err != nil {
			return at, err
		}
		if at.Count%(l.lines/20) == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			l.heap = append(l.heap, m.HeapAlloc>>10)
		}
	}
	return at, nil
}

// TestLongLogGoesToTheFile and not to memory.
func TestLongLogGoesToTheFile(t *testing.T) {
	l, long := NewLedger(t.TempDir()), &longLog{fakeServer: &fakeServer{}, lines: 300_000}
	r := testRecord(testID, time.Now())
	if err := l.Create(r); err != nil {
		t.Fatal(err)
	}
	tr := New(Config{
		Ledger: l, Logger: slog.New(slog.DiscardHandler),
		Connect:  func(string) (Client, error) { return long, nil },
		Messages: func(string, []jobapi.LogMessage) {},
	})
	if _, err := tr.CatchUp(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if least, most := slices.Min(long.heap), slices.Max(long.heap); most-least > 16<<10 {
		t.Errorf("the heap grew from %d to %d kB: %d", least, most, long.heap)
	}
	size := int64(0)
	for n := 0; ; n++ {
		path := LogPart(LogFile(l.LogDir(testID)), n+1)
		if missing(path) {
			path = LogFile(l.LogDir(testID))
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if size += info.Size(); path == LogFile(l.LogDir(testID)) {
			break
		}
	}
	if size != long.bytes {
		t.Errorf("%d bytes are on disk, want %d", size, long.bytes)
	}
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, os.ErrNotExist)
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"a\x1b[31mred\x1b[0m\x07b":    "aredb",
		"x\ty\r\nz\r\n":               "x\ty\nz",
		"\u202Eabc":                   "abc",
		"ünï\x00":                     "ünï",
		"\u200fa\u061cb\u2028c\u2066": "abc",
		"\x1b]0;title\x07a\x1b]8;;https://x.test\x1b\\link\x1b]8;;\x1b\\": "alink",
		"\u009b1;31mred\x1b(B\x1b=":                                       "red",
		"\x1b[31":                                                         "",
		"\x1b[31\nnext":                                                   "\nnext", // cut short
		"\x1b]0;open\nnext":                                               "\nnext",
		"\x1b[?25l50%\x1b[K\x1b[é":                                        "50%é",
		"\x1b":                                                            "",
	} {
		if got := Plain(in); got != want {
			t.Errorf("Plain(%q) = %q, want %q", in, got, want)
		}
	}
}

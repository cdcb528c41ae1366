package track

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"juliahub-lsp/jobapi"
)

// readFor is how long a log is followed after someone asked for it.
const readFor = 10 * time.Minute

// reading is one log being read by this process: one goroutine, one of the
// user's places for log streams, one writer of the log's file.
type reading struct {
	record  Record
	command bool // it brings the file up to date once, for a command
	toEnd   bool // it ends with the log, not before
	yields  bool // a command's that may be told to give up its place
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{}

	// Read these after done.
	err     error // why it did not get to its end
	stopped bool  // it was told to

	// The tracker's lock guards these.
	opened bool      // somebody opened the log
	began  time.Time // when it got its place
	again  time.Time // when to try again after an error
	vain   int       // readings in a row that failed and brought nothing
}

func (f *reading) over() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// WantLog makes the log of a job be followed for some minutes, also when its
// progress is not shown. Call it before CatchUp, which makes the loop look.
func (t *Tracker) WantLog(submission string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted[submission] = time.Now().Add(readFor)
}

// follow starts and stops the readings of logs: first of those that someone
// opened here, then, in the process that leads, of the newest jobs that run.
func (t *Tracker) follow(ctx context.Context, lead bool) {
	now := time.Now()
	chosen, beyond := t.choose(lead, now)
	t.stopOthers(chosen)
	t.yield(now)
	for _, id := range beyond {
		t.beyond[id] = true
	}
	for _, c := range chosen {
		if t.begin(ctx, c, now) {
			delete(t.beyond, c.record.Submission)
		} else {
			t.beyond[c.record.Submission] = true
		}
	}
	t.tidy(lead)
}

// choice is a log that is to be followed.
type choice struct {
	record Record
	opened bool
}

// choose returns the logs to be followed, the most important first, and the
// running jobs whose progress is shown but not followed.
func (t *Tracker) choose(lead bool, now time.Time) (chosen []choice, beyond []string) {
	opened := t.openedLogs(now)
	for _, id := range opened {
		r, ok := t.cfg.Ledger.Get(id)
		if ok && (r.State == Running || r.State.Ended()) && len(chosen) < mostStreams {
			chosen = append(chosen, choice{record: r, opened: true})
		}
	}
	if !lead {
		return chosen, nil
	}
	for _, r := range t.cfg.Ledger.Select(func(r *Record) bool { return r.State == Running && r.shown() }) {
		switch {
		case slices.Contains(opened, r.Submission):
		case len(chosen) < mostStreams:
			chosen = append(chosen, choice{record: r.clone()})
		default:
			beyond = append(beyond, r.Submission)
		}
	}
	return chosen, beyond
}

// openedLogs returns the logs that someone opened here, the latest first.
func (t *Tracker) openedLogs(now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	opened := make([]string, 0, len(t.wanted))
	for id, until := range t.wanted {
		if now.After(until) {
			delete(t.wanted, id)
		} else {
			opened = append(opened, id)
		}
	}
	slices.SortFunc(opened, func(a, b string) int { return t.wanted[b].Compare(t.wanted[a]) })
	return opened
}

// stopOthers ends the readings that are not chosen, but those of commands, and
// those on their way to the end of the log of a job that has ended.
func (t *Tracker) stopOthers(chosen []choice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, f := range t.readings {
		i := slices.IndexFunc(chosen, func(c choice) bool { return c.record.Submission == id })
		if f.command || f.over() {
			continue
		}
		if i >= 0 {
			f.opened = chosen[i].opened
			continue
		}
		r, ok := t.cfg.Ledger.Get(id)
		if !ok || !r.State.Ended() || !r.shown() {
			f.cancel()
		}
	}
}

// yield gives up the place of one log when another one, opened in whatever
// process, has none: first of a log that nobody opened, the oldest job's.
func (t *Tracker) yield(now time.Time) {
	if !t.cfg.Ledger.streamIsWanted() {
		t.waitedFor = time.Time{}
		return
	}
	if t.waitedFor.IsZero() {
		t.waitedFor = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var least *reading
	for _, f := range t.readings {
		if f.command && (!f.yields || f.began.IsZero()) || f.over() || f.opened && (now.Sub(t.waitedFor) < waitTurn || now.Sub(f.began) < turn) {
			continue
		}
		if least == nil || less(f, least) {
			least = f
		}
	}
	if least == nil && now.Sub(t.waitedFor) > waitMost {
		_ = t.cfg.Ledger.grantStream() // who is still there asks again
		t.waitedFor = time.Time{}
	}
	if least == nil || !t.cfg.Ledger.grantStream() {
		return
	}
	least.again = now.Add(awayFor)
	least.cancel()
	t.yielded, t.waitedFor = now, time.Time{}
}

// less reports whether a's place is given up before b's.
func less(a, b *reading) bool {
	switch {
	case a.opened != b.opened:
		return b.opened
	case a.opened:
		return a.began.Before(b.began)
	}
	return newer(&a.record, &b.record) > 0
}

// begin starts to follow a log, unless that is done already; false when there is
// no place for it.
func (t *Tracker) begin(ctx context.Context, c choice, now time.Time) bool {
	f := t.readingOf(c.record.Submission)
	switch {
	case f == nil:
	case !f.over(), f.toEnd && f.err == nil:
		return true
	case now.Before(f.again):
		return !f.stopped // what failed is tried again; what gave its place up has none
	}
	err := t.start(ctx, c, now)
	return err == nil || errors.Is(err, errClosing)
}

func (t *Tracker) readingOf(submission string) *reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.readings[submission]
}

// start begins to read a log to its end if there is a place for that.
func (t *Tracker) start(ctx context.Context, c choice, now time.Time) error {
	if !c.opened && (now.Sub(t.yielded) < awayFor || t.cfg.Ledger.streamIsWanted()) {
		return errTaken // by who waits for it
	}
	log, err := t.place(c, now)
	if err != nil {
		t.cfg.Logger.Debug("cannot follow a log now", "job", c.record.Job, "error", err)
		return err
	}
	id := c.record.Submission
	f := newReading(ctx, c.record)
	f.toEnd, f.opened, f.began = true, c.opened, now
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.readings[id]; other != nil && !other.over() { // a command was faster
		f.cancel()
		log.release()
		return nil
	}
	if old := t.readings[id]; old != nil {
		f.vain = old.vain
	}
	t.readings[id] = f
	t.wg.Go(func() {
		t.finish(f, t.readLog(f, log, func() bool {
			r, ok := t.cfg.Ledger.Get(id)
			return !ok || r.State.Ended()
		}))
	})
	return nil
}

// place takes what reading a log needs, without waiting: its file, which one
// process at a time writes, and a place for a stream. One that is opened asks
// others for their place.
func (t *Tracker) place(c choice, now time.Time) (*logFile, error) {
	dir := t.cfg.Ledger.LogDir(c.record.Submission)
	unlock, ok, err := tryLock(logLock(dir))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrLogBusy
	}
	leave, err := t.cfg.Ledger.stream()
	if err != nil {
		unlock()
		if errors.Is(err, errTaken) && c.opened && now.Sub(t.asked) > wantEvery {
			t.asked = now
			err = errors.Join(err, t.cfg.Ledger.wantStream())
		}
		return nil, err
	}
	return &logFile{dir: dir, release: func() { leave(); unlock() }}, nil
}

func logLock(dir string) string { return filepath.Join(dir, "lock") }

func newReading(ctx context.Context, r Record) *reading {
	f := &reading{record: r, done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// finish marks a reading as over. It is tried again later if there was an error.
func (t *Tracker) finish(f *reading, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && f.again.IsZero() {
		f.again = time.Now().Add(max(jitter(min(slowTick<<min(f.vain, 10), vainMost)), jobapi.RetryAfter(err)))
	}
	f.vain++
	f.err, f.stopped = err, f.ctx.Err() != nil
	if err != nil && !f.stopped {
		t.cfg.Logger.Info("cannot read a log", "job", f.record.Job, "error", err)
	}
	f.cancel()
	close(f.done)
	if f.command && (err != nil || !f.toEnd) {
		delete(t.readings, f.record.Submission) // whoever follows the log goes on
	}
}

// tidy forgets what is over.
func (t *Tracker) tidy(lead bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, f := range t.readings {
		r, ok := t.cfg.Ledger.Get(id)
		if f.over() && (!ok || r.State.Ended() && (r.Settled || !lead) && (f.err == nil || t.wanted[id].IsZero())) {
			delete(t.readings, id)
			delete(t.wanted, id) // to its end
		}
	}
	for id := range t.tails {
		if r, ok := t.cfg.Ledger.Get(id); !ok || r.Settled {
			delete(t.tails, id)
		}
	}
	gone := func(id string) bool {
		r, ok := t.cfg.Ledger.Get(id)
		return !ok || r.Settled
	}
	maps.DeleteFunc(t.beyond, func(id string, _ bool) bool { return gone(id) })
	maps.DeleteFunc(t.seen, func(id string, _ bool) bool { return gone(id) })
	maps.DeleteFunc(t.ended, func(id string, _ time.Time) bool { return gone(id) })
	maps.DeleteFunc(t.running, func(id string, _ time.Time) bool { return gone(id) })
}

// ErrLogBusy says that another process is writing this log's file.
var ErrLogBusy = errors.New("another process follows this log")

const (
	// busyFor is how long to wait for another writer that is only catching up,
	// endFor for one on its way to the end of an ended job's log.
	busyFor = 2 * time.Second
	endFor  = 2 * time.Minute
	// vainMost is the longest pause before a log that cannot be read is tried again.
	vainMost = 10 * time.Minute
)

// CatchUp writes what there is of a job's log into its file, and returns the
// file's path. ErrLogBusy says that the file is kept up to date elsewhere.
func (t *Tracker) CatchUp(ctx context.Context, r Record) (path string, err error) {
	defer t.Kick() // to go on from there
	return LogFile(t.cfg.Ledger.LogDir(r.Submission)), t.catchUp(ctx, r)
}

func (t *Tracker) catchUp(ctx context.Context, r Record) error {
	if now, ok := t.cfg.Ledger.Get(r.Submission); ok {
		r = now
	}
	for ctx.Err() == nil {
		f, mine := t.claim(ctx, r)
		if mine {
			t.finish(f, t.readOnce(f, func() bool { return true }))
			return f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !f.stopped && (f.toEnd || f.command && !r.State.Ended()) {
			return f.err // it brought what is wanted here
		}
	}
	return context.Cause(ctx)
}

// claim makes a command's reading of a log the one of this process. It returns
// the one to wait for first where there is another that ends by itself or has
// just been told to.
func (t *Tracker) claim(ctx context.Context, r Record) (f *reading, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f = t.readings[r.Submission]
	if f != nil && !f.over() {
		if !f.command && !r.State.Ended() {
			f.cancel()
		}
		return f, false
	}
	f = newReading(ctx, r)
	f.command, f.toEnd, f.opened = true, r.State.Ended(), true
	t.readings[r.Submission] = f
	return f, true
}

// readOnce waits for what a command's reading needs, and reads.
func (t *Tracker) readOnce(f *reading, ended func() bool) error {
	dir := t.cfg.Ledger.LogDir(f.record.Submission)
	patience := busyFor
	if f.toEnd {
		patience = endFor
	}
	lockCtx, cancel := context.WithTimeoutCause(f.ctx, patience, ErrLogBusy)
	defer cancel()
	unlock, err := waitLock(lockCtx, logLock(dir))
	if err != nil {
		return err
	}
	leave, err := t.cfg.Ledger.waitForStream(f.ctx)
	if err != nil {
		unlock()
		return err
	}
	t.mu.Lock()
	f.began = time.Now()
	t.mu.Unlock()
	return t.readLog(f, &logFile{dir: dir, release: func() { leave(); unlock() }}, ended)
}

// ending returns the reading that brings the end of an ended job's log, and
// begins it if the job was done before it could be followed; nil when the log is
// to be left alone. soon says that there may be a place for it in a moment.
func (t *Tracker) ending(ctx context.Context, r Record, now time.Time) (f *reading, soon bool) {
	id := r.Submission
	f = t.readingOf(id)
	if f != nil && f.toEnd && (!f.over() || f.err == nil) {
		return f, false
	}
	// Of a job that ended while nobody was here to look, no progress was shown.
	seen := t.seen[id] || r.Sent != nil && r.Sent.After(t.began)
	if !seen || !r.shown() || t.beyond[id] {
		return nil, false
	}
	err := t.start(ctx, choice{record: r}, now)
	if err == nil {
		return t.readingOf(id), false
	}
	if t.ended[id].IsZero() {
		t.ended[id] = now
	}
	return nil, errors.Is(err, errClosing) && now.Sub(t.ended[id]) < 2*closingFor
}

// endOfLog waits for the end of an ended job's log and returns it; nil when the
// log was left alone or was read here in part, so that its last page has to do.
func (t *Tracker) endOfLog(ctx context.Context, f *reading) ([]jobapi.LogMessage, error) {
	if f == nil {
		return nil, nil
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	_, local := errors.AsType[*fs.PathError](f.err) // such as a full disk
	_, denied := errors.AsType[*jobapi.PermissionError](f.err)
	switch {
	case f.err == nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.tails[f.record.Submission].log(), nil
	case f.stopped || local || denied || errors.Is(f.err, jobapi.ErrNoSuchJob) || errors.Is(f.err, ErrLogBusy) || errors.Is(f.err, ErrTooManyLogs):
		return nil, nil
	}
	return nil, f.err
}

// readLog writes a job's log into its file as it comes, until its end or, when
// done says so, until nothing new comes.
func (t *Tracker) readLog(f *reading, log *logFile, done func() bool) error {
	client, err := t.cfg.Connect(f.record.Server)
	if err == nil {
		err = log.open()
	}
	if err != nil {
		log.release()
		return err
	}
	t.brought(f, log.at.Position.Count, nil)
	var from *jobapi.LogPosition
	if log.at.Position.Count > 0 {
		from = &log.at.Position
	}
	end, err := client.FollowLog(f.ctx, f.record.Job, from, done, func(before jobapi.LogPosition, messages []jobapi.LogMessage) error {
		if err := log.add(before, messages); err != nil {
			return err
		}
		t.brought(f, before.Count, messages)
		t.cfg.Messages(f.record.Submission, messages)
		return nil
	})
	return errors.Join(err, log.close(end))
}

// brought notes what a reading brought, and remembers the end of the log for the
// work at its job's end.
func (t *Tracker) brought(f *reading, before int64, messages []jobapi.LogMessage) {
	id := f.record.Submission
	r, ok := t.cfg.Ledger.Get(id)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(messages) > 0 {
		f.vain = 0
	}
	if !ok || r.Settled {
		return
	}
	end := t.tails[id]
	if end == nil {
		end = &tail{from: before, next: before}
		t.tails[id] = end
	}
	end.add(before, messages)
}

// tryAgain begins every search anew, and lets what failed be tried at once.
func (t *Tracker) tryAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.searches)
	for _, f := range t.readings {
		if f.over() && !f.stopped {
			f.again, f.vain = time.Time{}, 0
		}
	}
	for id, at := range t.settling {
		if !at.IsZero() {
			delete(t.settling, id)
		}
	}
}

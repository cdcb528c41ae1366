package track

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"juliahub-lsp/jobapi"
)

// Client is what tracking needs of a server; *jobapi.Client is one.
type Client interface {
	// NewestJobs lists jobs; listed counts also those that cannot be understood.
	NewestJobs(ctx context.Context, limit int) (jobs []*jobapi.Job, listed int, err error)
	Job(ctx context.Context, id string) (*jobapi.Job, error)
	// FollowLog emits a job's log from a place on (nil = its beginning), every
	// message once and in order, with the place before each batch, until the
	// log's end; when done says so, until nothing new comes. It returns the place
	// behind what was emitted.
	FollowLog(ctx context.Context, id string, from *jobapi.LogPosition, done func() bool,
		emit func(before jobapi.LogPosition, messages []jobapi.LogMessage) error) (jobapi.LogPosition, error)
	Kill(ctx context.Context, id string) error
	JobURL(id string) string
}

// Config is what a Tracker gets from outside. The functions are called from
// the tracker's goroutines and must not wait for the tracker.
type Config struct {
	Ledger  *Ledger
	Connect func(server string) (Client, error)
	Logger  *slog.Logger

	// Changed tells that a submission's record, or when it was last heard of, changed.
	Changed func(submission string)
	// Messages passes on new log messages of a followed job, each once per process.
	Messages func(submission string, messages []jobapi.LogMessage)
	// Heard passes on what another process, or an earlier one, told of a log that
	// is not followed here. Whoever gets Messages calls Ledger.Tell for the others.
	Heard func(submission string, live Live)
	// Ended does the work at a job's end: only in the process that leads, until
	// it returns nil once for each job. log is the end of the job's log where that
	// was followed; nil when its last page has to be asked for.
	Ended func(ctx context.Context, r Record, log []jobapi.LogMessage) error
	// Corrupt tells of records that could not be read.
	Corrupt func(files []string)
	// Unwritten tells that what happens to jobs cannot be written down, once until
	// it can be again.
	Unwritten func(err error)
	// NoLocks tells that the file system cannot lock: this process only reads.
	NoLocks func(err error)

	// Tick is the time between status requests while something is new; 0 = 1.5 s.
	// A shorter one is for tests: the budget of requests grows with it.
	Tick time.Duration
}

// The rhythm of the loop.
const (
	fastTick = 1500 * time.Millisecond
	slowTick = 30 * time.Second
	// A new submission is watched closely for this long, and a job that has
	// just begun to run.
	newFor     = time.Minute
	startedFor = 30 * time.Second
	// scanEvery is how soon another process's change is seen: one stat.
	scanEvery = time.Second
	// searchFor is how long a submission without an answer is looked for in one go.
	searchFor = 10 * time.Minute
	// lostAfter is how long a job that the server does not know is asked for.
	lostAfter = 10 * time.Minute
	// worst is the longest pause between attempts while a server cannot be reached.
	worst = 2 * time.Minute
	// callTime ends a status request that hangs.
	callTime = 30 * time.Second
)

// Tracker follows the jobs of all records in the ledger. Among the processes
// of one user one leads: it alone polls; the others read what it writes.
type Tracker struct {
	cfg  Config
	kick chan struct{}
	// again says that pauses and searches are to be forgotten.
	again atomic.Bool
	leads atomic.Bool // what Leads tells
	wg    sync.WaitGroup
	// killing has the submissions whose jobs are being killed.
	killing sync.Map

	// unwritten is the submission of which Unwritten told, until its record is
	// written. That another's changes can be is no sign: most change nothing.
	unwritten atomic.Pointer[string]

	// What follows belongs to the loop.
	release func() // of the lead; nil = reader
	noLocks bool
	servers map[string]*server
	began   time.Time
	seen    map[string]bool      // jobs that were alive in an earlier round
	ended   map[string]time.Time // when a job's end was first looked at
	beyond  map[string]bool      // running jobs that had no place for their log
	heard   map[string]stamp     // what others told of logs, as last read
	// When a place for a log was given up, asked for, and first seen to be waited for.
	yielded, asked, waitedFor time.Time

	mu       sync.Mutex           // guards what follows
	running  map[string]time.Time // when a job was first seen running
	searches map[string]*search   // submissions being looked for
	readings map[string]*reading
	tails    map[string]*tail
	settling map[string]time.Time // when to try (again); zero = under way
	wanted   map[string]time.Time // logs that someone reads, until when
}

// server is the state of polling one server. It belongs to the loop, and while
// that is busy to the goroutine that asks: one server that hangs does not keep
// the others from being asked.
type server struct {
	name     string
	busy     atomic.Bool
	again    atomic.Bool   // what failed so far is to be forgotten
	next     time.Time     // when to ask again
	pace     time.Duration // of the fast tick
	failures int           // in a row
	diary    diary
	absent   map[string]time.Time
	askedOne map[string]time.Time // when a job was last asked for by id
}

// search is the state of looking for one submission.
type search struct {
	until time.Time
	next  time.Time
	pause time.Duration
	over  bool // it has been told that there is nothing to be found for now
}

// New returns a tracker. Run makes it work.
func New(cfg Config) *Tracker {
	if cfg.Tick == 0 {
		cfg.Tick = fastTick
	}
	return &Tracker{
		cfg: cfg, kick: make(chan struct{}, 1),
		servers: map[string]*server{}, running: map[string]time.Time{}, searches: map[string]*search{},
		began: time.Now(), seen: map[string]bool{}, ended: map[string]time.Time{}, beyond: map[string]bool{},
		heard:    map[string]stamp{},
		readings: map[string]*reading{}, tails: map[string]*tail{},
		settling: map[string]time.Time{}, wanted: map[string]time.Time{},
	}
}

// Kick makes the loop look at once: there is something new.
func (t *Tracker) Kick() {
	select {
	case t.kick <- struct{}{}:
	default:
	}
}

// Restart makes the loop ask every server at once, as if none had failed, and
// begin its searches anew.
func (t *Tracker) Restart() {
	t.again.Store(true)
	t.Kick()
}

// Run tracks until ctx ends, and returns when everything that it started has ended.
func (t *Tracker) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		t.wg.Wait()
		if t.release != nil {
			t.release()
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-t.kick:
		}
		t.round(ctx)
		timer.Reset(t.pause(time.Now()))
	}
}

// round does everything that is due.
func (t *Tracker) round(ctx context.Context) {
	t.scan()
	lead := t.lead()
	t.listen(lead)
	if !lead {
		t.follow(ctx, false)
		return
	}
	if t.again.Swap(false) {
		t.tryAgain()
		for _, s := range t.servers {
			s.again.Store(true)
		}
	}
	t.recoverInterrupted()
	live := t.cfg.Ledger.Select((*Record).Live)
	for name, records := range byServer(live) {
		if ctx.Err() != nil {
			return
		}
		t.poll(ctx, name, records)
	}
	t.follow(ctx, true)
	t.settle(ctx)
	for _, r := range live {
		t.seen[r.Submission] = r.Job != "" && !r.Seen.IsZero() // and the server said so
	}
}

func byServer(records []*Record) map[string][]*Record {
	groups := map[string][]*Record{}
	for _, r := range records {
		groups[r.Server] = append(groups[r.Server], r)
	}
	return groups
}

// scan takes over what other processes wrote.
func (t *Tracker) scan() {
	changed, err := t.cfg.Ledger.Scan(time.Now())
	if err != nil {
		t.cfg.Logger.Warn("cannot read the submission records", "error", err)
	}
	for _, id := range changed {
		t.cfg.Changed(id)
	}
	if files := t.cfg.Ledger.TakeCorrupt(); len(files) > 0 {
		t.cfg.Corrupt(files)
	}
}

// lead reports whether this process leads, trying to if it does not. Without
// any record there is nothing to lead, and no directory is made.
func (t *Tracker) lead() bool {
	if t.release != nil {
		return true
	}
	if t.noLocks || t.cfg.Ledger.Count(unfinished) == 0 {
		return false
	}
	release, ok, err := t.cfg.Ledger.Lead()
	if err != nil {
		t.noLocks = true
		t.cfg.NoLocks(err)
		return false
	}
	if ok {
		t.release = release
		t.leads.Store(true)
	}
	return ok
}

// Leads reports whether this process is the one that polls, and asks.
func (t *Tracker) Leads() bool { return t.leads.Load() }

// unfinished reports whether a lead has anything to do for a record.
func unfinished(r *Record) bool {
	return !r.State.Ended() || (r.Job != "" && !r.Settled)
}

// recoverInterrupted finds submissions whose owner died. What was not sent is
// cancelled, what may have been sent is looked for; nothing is sent again.
func (t *Tracker) recoverInterrupted() {
	for _, r := range t.cfg.Ledger.Select(func(r *Record) bool { return r.State.Unsent() || r.State == Submitting }) {
		release, ok, err := t.cfg.Ledger.Hold(r.Submission)
		if err != nil || !ok {
			continue
		}
		_, err = t.cfg.Ledger.Update(r.Submission, func(r *Record) {
			switch {
			case r.State.Unsent() || r.State == Submitting && r.Sent == nil:
				r.State = Cancelled
				r.Reason = "interrupted before anything was sent: submit again"
			case r.State == Submitting:
				r.State = Unknown
				r.Reason = "interrupted while it was being submitted: looking for its job"
			}
		})
		release()
		if err != nil {
			t.cfg.Logger.Warn("cannot recover a submission", "submission", r.Submission, "error", err)
			continue
		}
		t.cfg.Changed(r.Submission)
	}
}

// poll asks one server for the state of all its live jobs, if that is due, with
// one request and one by id for each job that the list no longer holds.
func (t *Tracker) poll(ctx context.Context, name string, records []*Record) {
	now := time.Now()
	s := t.server(name)
	if s.busy.Load() {
		return
	}
	if s.again.Swap(false) {
		s.failures, s.next = 0, time.Time{}
	}
	t.planSearches(records, now)
	if now.Before(t.due(s, records, now)) {
		return
	}
	s.busy.Store(true)
	t.wg.Go(func() {
		defer t.Kick()
		defer s.busy.Store(false)
		t.pollNow(ctx, s, records)
	})
}

func (t *Tracker) pollNow(ctx context.Context, s *server, records []*Record) {
	client, err := t.cfg.Connect(s.name)
	if err == nil {
		err = t.ask(ctx, client, s, records)
	}
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	if err != nil {
		s.failures++
		s.next = now.Add(backOff(s.failures))
		if wait := jobapi.RetryAfter(err); wait > 0 {
			err = errors.Join(err, s.diary.hush(now, wait))
		}
		t.cfg.Logger.Info("cannot ask for the jobs", "server", s.name, "error", err)
	} else {
		s.failures = 0
		s.next = now.Add(jitter(slowTick))
	}
	t.note(records, err, now)
}

func (t *Tracker) server(name string) *server {
	s := t.servers[name]
	if s == nil {
		s = &server{name: name, pace: t.cfg.Tick, absent: map[string]time.Time{}, askedOne: map[string]time.Time{}}
		var err error
		if s.diary, err = t.cfg.Ledger.diary(name, time.Now()); err != nil {
			t.cfg.Logger.Warn("the budget of status requests begins anew", "error", err)
		}
		if n := len(s.diary.asked); n > 0 { // by an earlier lead
			s.next = s.diary.asked[n-1].Add(s.pace)
		}
		t.servers[name] = s
	}
	return s
}

// note tells everyone concerned that the server was heard, or why it was not.
func (t *Tracker) note(records []*Record, err error, now time.Time) {
	trouble := ""
	if err != nil {
		trouble = Trouble(err)
	}
	for _, r := range records {
		t.cfg.Ledger.Note(r.Submission, func(r *Record) {
			r.Trouble = trouble
			if err == nil {
				r.Seen = now
			}
		})
		t.cfg.Changed(r.Submission)
	}
}

// The words for why a server is not heard.
const (
	LoginExpired    = "login expired"
	NetworkLost     = "network lost"
	ServerInTrouble = "server in trouble"
)

// Trouble says in two words why a server was not heard.
func Trouble(err error) string {
	if _, ok := errors.AsType[*jobapi.AuthError](err); ok {
		return LoginExpired
	}
	if _, ok := errors.AsType[*jobapi.NetworkError](err); ok || errors.Is(err, context.DeadlineExceeded) {
		return NetworkLost
	}
	return ServerInTrouble
}

// planSearches begins a search for every submission without an answer.
func (t *Tracker) planSearches(records []*Record, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range records {
		if r.State == Unknown && t.searches[r.Submission] == nil {
			t.searches[r.Submission] = &search{until: now.Add(searchFor), next: now, pause: t.cfg.Tick}
		}
	}
}

// searchOf returns how a submission is being looked for; nil = it is not.
func (t *Tracker) searchOf(submission string) *search {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.searches[submission]
}

// due returns when the server is to be asked next for these records.
func (t *Tracker) due(s *server, records []*Record, now time.Time) time.Time {
	at, any := now.Add(slowTick), false
	sooner := func(x time.Time) { // the zero time is "at once"
		if !any || x.Before(at) {
			at, any = x, true
		}
	}
	for _, r := range records {
		switch {
		case r.State == Unknown:
			if q := t.searchOf(r.Submission); q != nil && !q.over {
				sooner(q.next)
			}
		case r.Job != "":
			sooner(s.next)
			// A job that was never seen, or is new, does not wait for the slow tick.
			if n := len(s.diary.asked); n > 0 && s.failures == 0 && t.new(r, now) {
				sooner(s.diary.asked[n-1].Add(s.pace))
			}
		}
	}
	if !any { // nothing to ask for
		return at
	}
	if s.failures > 0 && at.Before(s.next) {
		at = s.next
	}
	for _, allowed := range []time.Time{s.diary.quiet, s.diary.free(t.budget(s.name, now), now)} {
		if at.Before(allowed) {
			at = allowed
		}
	}
	return at
}

// new reports whether a job deserves the fast tick.
func (t *Tracker) new(r *Record, now time.Time) bool {
	// By our clock: the server's may be off. Ours may have been set back, too.
	if r.Sent != nil && now.Sub(*r.Sent).Abs() < newFor {
		return true
	}
	t.mu.Lock()
	started, ok := t.running[r.Submission]
	t.mu.Unlock()
	return ok && now.Sub(started) < startedFor
}

// jitter makes a pause up to a tenth longer, so that many machines do not ask in step.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Float64()*float64(d)/10)
}

func backOff(failures int) time.Duration {
	d := worst
	if failures < 7 {
		d = min(worst, 2*time.Second<<(failures-1))
	}
	return jitter(d)
}

// ask gets the list, and what the list no longer holds.
func (t *Tracker) ask(ctx context.Context, client Client, s *server, records []*Record) error {
	now := time.Now()
	unknown := t.searching(records, now)
	list, err := t.list(ctx, client, s, len(records), unknown)
	if err != nil {
		return err
	}
	byID := make(map[string]*jobapi.Job, len(list))
	for _, job := range list {
		byID[job.ID] = job
	}
	t.resolve(client, unknown, list, now)
	for _, r := range records {
		if r.Job == "" {
			continue
		}
		job := byID[r.Job]
		if job == nil {
			job, err = t.askOne(ctx, client, s, r)
		}
		if err != nil {
			return err
		}
		if job != nil {
			delete(s.absent, r.Submission)
			t.take(r, job)
		}
	}
	t.killWished(ctx, client, records)
	return nil
}

// searching returns the unknown submissions that are due to be looked for, and
// plans the next time.
func (t *Tracker) searching(records []*Record, now time.Time) []*Record {
	var due []*Record
	for _, r := range records {
		q := t.searchOf(r.Submission)
		if r.State != Unknown || q == nil || q.over || now.Before(q.next) {
			continue // other jobs may be asked for more often
		}
		due = append(due, r)
		q.next = now.Add(jitter(q.pause))
		q.pause = min(2*q.pause, worst)
	}
	return due
}

// mostListed is the longest list asked for: about a megabyte.
const mostListed = 5000

// skew is how far the clocks of this machine and the server may be apart.
const skew = 15 * time.Minute

// list gets the newest jobs; with submissions to look for, so many that the
// list reaches behind the time of sending.
func (t *Tracker) list(ctx context.Context, client Client, s *server, tracked int, unknown []*Record) ([]*jobapi.Job, error) {
	limit := 20
	for limit < 2*tracked && limit < 320 {
		limit *= 2
	}
	var oldest time.Time
	for _, r := range unknown {
		if r.Sent != nil && (oldest.IsZero() || r.Sent.Before(oldest)) {
			oldest = *r.Sent
		}
	}
	for {
		callCtx, cancel := statusCall(ctx)
		t.count(s)
		list, listed, err := client.NewestJobs(callCtx, limit)
		cancel()
		if err != nil {
			return nil, err
		}
		if len(unknown) == 0 || listed < limit || limit >= mostListed || reachesBehind(list, serverTime(client, oldest)) || !t.mayAsk(s, time.Now()) {
			return list, nil
		}
		limit *= 4
	}
}

// statusCall is the context of one status request: it goes out once, as it is counted
// once, and what fails is asked again in the tracker's own time.
func statusCall(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(jobapi.Impatient(ctx), callTime)
}

// serverTime is what the server's clock showed at our time, as far as the client knows.
func serverTime(client Client, ours time.Time) time.Time {
	if c, ok := client.(interface{ ServerTime(time.Time) time.Time }); ok {
		return c.ServerTime(ours)
	}
	return ours
}

func reachesBehind(list []*jobapi.Job, when time.Time) bool {
	for _, job := range list {
		if !job.Submitted.IsZero() && job.Submitted.Before(when.Add(-skew)) {
			return true
		}
	}
	return false
}

// resolve finds the jobs of submissions without an answer: the oldest one that
// carries the id and was submitted after our send.
func (t *Tracker) resolve(client Client, unknown []*Record, list []*jobapi.Job, now time.Time) {
	for _, r := range unknown {
		job := Find(r, list, func(ours time.Time) time.Time { return serverTime(client, ours) })
		if job != nil {
			t.mu.Lock()
			delete(t.searches, r.Submission)
			t.mu.Unlock()
			t.Found(client, r.Submission, job)
			continue
		}
		if q := t.searchOf(r.Submission); q != nil && !now.Before(q.until) {
			q.over = true
			t.change(r.Submission, func(r *Record) {
				r.Reason = "it is not known whether there is a job: none was found in ten minutes, and it is looked for again at the next start"
			})
		}
	}
}

// Find returns the job of a submission among jobs, nil when it is not there: the
// oldest one submitted after our send, which serverTime tells by the server's
// clock. Nobody else knows the submission's id, so where all jobs that carry it
// are older than our send, it is the clocks that are wrong.
func Find(r *Record, jobs []*jobapi.Job, serverTime func(ours time.Time) time.Time) *jobapi.Job {
	var found, early *jobapi.Job
	for _, job := range jobs {
		switch {
		case !strings.Contains(job.Inputs, r.Submission):
		case r.Sent != nil && !job.Submitted.IsZero() && job.Submitted.Before(serverTime(*r.Sent).Add(-skew)):
			if early == nil || older(job, early) {
				early = job
			}
		case found == nil || older(job, found):
			found = job
		}
	}
	if found == nil {
		return early
	}
	return found
}

func older(a, b *jobapi.Job) bool {
	return a.Submitted.Before(b.Submitted) || a.Submitted.Equal(b.Submitted) && a.Number < b.Number
}

// Found writes into a record that its job is known.
func (t *Tracker) Found(client Client, submission string, job *jobapi.Job) {
	t.change(submission, func(r *Record) {
		r.Job = job.ID
		r.Reason = ""
		r.URL = client.JobURL(job.ID)
		if r.State == Unknown || r.State == Submitting {
			r.State = Submitted
		}
		Apply(r, job)
	})
}

// perTick is how many jobs beyond the list are asked for by id in one tick.
const perTick = 5

// askOne asks for a job that the list does not hold; nil when it is not its turn.
func (t *Tracker) askOne(ctx context.Context, client Client, s *server, r *Record) (*jobapi.Job, error) {
	now := time.Now()
	recent := 0
	for _, at := range s.askedOne {
		if now.Sub(at) < t.cfg.Tick {
			recent++
		}
	}
	pause := slowTick
	if t.new(r, now) {
		pause = t.cfg.Tick
	}
	if recent >= perTick || now.Sub(s.askedOne[r.Submission]) < pause || !t.mayAsk(s, now) {
		return nil, nil
	}
	s.askedOne[r.Submission] = now
	t.count(s)
	callCtx, cancel := statusCall(ctx)
	defer cancel()
	job, err := client.Job(callCtx, r.Job)
	if !errors.Is(err, jobapi.ErrNoSuchJob) {
		return job, err
	}
	since, known := s.absent[r.Submission]
	if !known {
		s.absent[r.Submission] = now
	} else if now.Sub(since) > lostAfter {
		t.change(r.Submission, func(r *Record) {
			r.State, r.Settled = Stopped, true
			r.Reason = "the server does not know this job (any more)"
		})
	}
	return nil, nil
}

// take writes what the server says of a job into its record.
func (t *Tracker) take(r *Record, job *jobapi.Job) {
	if job.Status == jobapi.Running && r.State != Running {
		t.mu.Lock()
		t.running[r.Submission] = time.Now()
		t.mu.Unlock()
	}
	updated := r.clone()
	Apply(&updated, job)
	updated.State = later(r.State, updated.State)
	if reflect.DeepEqual(updated, *r) {
		return
	}
	t.change(r.Submission, func(r *Record) { Apply(r, job) })
}

// mostOutputs is how much of a job's outputs a record keeps: RESULTS has at
// most 1,000 characters, a summary file may be longer.
const mostOutputs = 64 << 10

// Apply writes what the server says of a job into its record.
func Apply(r *Record, job *jobapi.Job) {
	r.Status = string(job.Status)
	r.State = later(r.State, stateOf(job.Status))
	setTime(&r.Submitted, job.Submitted)
	setTime(&r.Started, job.Started)
	setTime(&r.Ended, job.Ended)
	if job.Alias != "" {
		r.Alias = job.Alias
	}
	if len(job.Outputs) <= mostOutputs {
		r.Outputs = job.Outputs
	}
	paths := map[[2]string]string{}
	for _, f := range r.Files {
		paths[[2]string{f.Name, f.Type}] = f.Path
	}
	r.Files = nil
	for _, f := range job.Files {
		r.Files = append(r.Files, File{Name: f.Name, Type: f.Type, Size: f.Size, Path: paths[[2]string{f.Name, f.Type}]})
	}
}

func setTime(field **time.Time, value time.Time) {
	if value.IsZero() || (*field != nil && (*field).Equal(value)) {
		return
	}
	value = value.UTC().Round(0)
	*field = &value
}

// stateOf repeats the server's word; one that is not known is a job that runs
// or waits, so that it is followed.
func stateOf(s jobapi.Status) State {
	switch s {
	case jobapi.Running:
		return Running
	case jobapi.Completed:
		return Completed
	case jobapi.Failed:
		return Failed
	case jobapi.Stopped:
		return Stopped
	default:
		return Submitted
	}
}

// killWished kills the jobs that a person wanted killed before their id was known.
func (t *Tracker) killWished(ctx context.Context, client Client, records []*Record) {
	for _, r := range records {
		if err := t.killWish(ctx, client, r.Submission); err != nil {
			t.cfg.Logger.Warn("cannot kill a job; trying again", "submission", r.Submission, "error", err)
		}
	}
}

func (t *Tracker) killWish(ctx context.Context, client Client, submission string) error {
	done, ok := t.Killing(submission)
	if !ok {
		return nil
	}
	defer done()
	r, ok := t.cfg.Ledger.Get(submission)
	if !ok || !r.Kill || r.KillSent || r.Job == "" || r.State.Ended() {
		return nil
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := client.Kill(callCtx, r.Job); err != nil && !errors.Is(err, jobapi.ErrNoSuchJob) {
		return err
	}
	t.change(submission, func(r *Record) { r.KillSent = true })
	return nil
}

// Killing makes the caller the one in this process who kills a job, until it
// calls done; not ok, somebody is at it.
func (t *Tracker) Killing(submission string) (done func(), ok bool) {
	_, busy := t.killing.LoadOrStore(submission, true)
	return func() { t.killing.Delete(submission) }, !busy
}

// change updates a record and tells about it; false when it could not be written.
func (t *Tracker) change(submission string, change func(*Record)) bool {
	if _, err := t.cfg.Ledger.Update(submission, change); err != nil {
		t.cfg.Logger.Warn("cannot write a submission record", "submission", submission, "error", err)
		if !errors.Is(err, ErrNoRecord) && t.unwritten.CompareAndSwap(nil, &submission) {
			t.cfg.Unwritten(err)
		}
		return false
	}
	if told := t.unwritten.Load(); told != nil && *told == submission {
		t.unwritten.Store(nil)
	}
	t.cfg.Changed(submission)
	return true
}

// pause returns how long the loop may sleep.
func (t *Tracker) pause(now time.Time) time.Duration {
	wake := now.Add(scanEvery)
	if t.release != nil {
		for name, records := range byServer(t.cfg.Ledger.Select((*Record).Live)) {
			s := t.server(name)
			if s.busy.Load() {
				continue // its end kicks the loop
			}
			if at := t.due(s, records, now); at.Before(wake) {
				wake = at
			}
		}
	}
	// Never in a tight loop, whatever is due.
	return max(wake.Sub(now), 20*time.Millisecond)
}

// settle starts the work at the end of jobs, some at a time, again later when it
// fails.
func (t *Tracker) settle(ctx context.Context) {
	ended := t.cfg.Ledger.Select(func(r *Record) bool { return r.State.Ended() && r.Job != "" && !r.Settled })
	for _, shared := range ended {
		if !t.maySettle(shared.Submission, time.Now()) {
			continue
		}
		r := shared.clone()
		f, soon := t.ending(ctx, r, time.Now())
		if soon {
			t.settleAt(r.Submission, time.Now())
			continue
		}
		t.wg.Go(func() {
			log, err := t.endOfLog(ctx, f)
			if err == nil {
				err = t.cfg.Ended(ctx, r, log)
			}
			if ctx.Err() != nil {
				return
			}
			t.settled(&r, err)
		})
	}
}

// settled notes how the work at a job's end went.
func (t *Tracker) settled(r *Record, err error) {
	if err != nil {
		t.settleAt(r.Submission, time.Now().Add(max(jitter(slowTick), jobapi.RetryAfter(err))))
		t.cfg.Logger.Warn("the work at a job's end failed; trying again", "job", r.Job, "error", err)
		return
	}
	if !t.change(r.Submission, func(r *Record) { r.Settled = true }) {
		t.settleAt(r.Submission, time.Now().Add(jitter(slowTick)))
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.settling, r.Submission)
}

func (t *Tracker) settleAt(submission string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settling[submission] = at
}

// settleMost is how many jobs' ends are worked at at a time: those whose logs
// are read to the end do not hold the others up.
const settleMost = mostStreams + 4

// maySettle reports whether to begin with a job's end now, and marks it begun.
func (t *Tracker) maySettle(submission string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.readings[submission]; f != nil && !f.toEnd && !f.over() {
		return false // a command's reading, begun before the end
	}
	busy := 0
	for _, at := range t.settling {
		if at.IsZero() {
			busy++
		}
	}
	at, known := t.settling[submission]
	if busy >= settleMost || (known && (at.IsZero() || now.Before(at))) {
		return false
	}
	t.settling[submission] = time.Time{}
	return true
}

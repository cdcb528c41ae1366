package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// flight is a submission under way in this process, from its record to the
// answer of the server.
type flight struct {
	id      string
	request *request
	alias   string
	ctx     context.Context  // ends when it is cancelled before it is sent
	done    chan struct{}    // closed at the end
	along   []bundle.Package // those that travel in an appbundle
	unsaved []string         // whose text went into an appbundle as the editor shows it; read it after done
	err     error            // why there is no job; read it after done
	offs    int              // sign-ins called off on its server before it began

	mu        sync.Mutex // guards what follows
	cancel    context.CancelFunc
	sent      bool // nothing cancels it any more
	cancelled bool
	landed    bool
	rest      Task // shows what goes on after its progress was cancelled too late; nil = none
}

// stop cancels the flight if nothing was sent yet, and reports whether it could.
func (f *flight) stop() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent {
		return false
	}
	f.cancelled = true
	f.cancel()
	return true
}

// commit passes the point of no return; false when the flight was cancelled before.
func (f *flight) commit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = !f.cancelled
	return f.sent
}

// slot is a submission's place among those that work at a time. One goroutine at
// a time uses it.
type slot struct {
	all  chan struct{}
	held bool
}

// take waits for a place; false when ctx ended before there was one.
func (p *slot) take(ctx context.Context) bool {
	select {
	case p.all <- struct{}{}:
		p.held = true
	case <-ctx.Done():
	}
	return p.held
}

// leave gives the place away, if there is one.
func (p *slot) leave() {
	if p.held {
		p.held = false
		<-p.all
	}
}

// arrival is a submit command from its arrival to its answer.
type arrival struct {
	leave func()
	// considered says that this command may be a person's second thought about
	// an earlier one. It is not when it came before that one was answered, at a
	// program's pace, or as one of many.
	considered bool
}

// arrivals are the submit commands of one file.
type arrivals struct {
	open int       // not yet answered
	last time.Time // when the newest came
	many int       // how many came with less than secondThought between them
}

const (
	// handPace is what nobody needs less than to edit and submit again.
	handPace = 30 * time.Millisecond
	// A third command within this time of the second comes from a program.
	secondThought = 2 * time.Second
	// asideFor is how long a question waits for that third command: no person
	// notices, and a program's next commands are there long before.
	asideFor = 300 * time.Millisecond
)

// stillConsidered waits a moment, and reports whether a command that may be a
// person's second thought was not followed by more.
func (s *Session) stillConsidered(f *flight) bool {
	select {
	case <-time.After(asideFor):
	case <-f.ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.arriving[f.request.key()]
	return a == nil || a.many <= 2
}

// arrive notes that a submit command came in.
func (s *Session) arrive(in Input) arrival {
	key := ""
	if in.File != nil {
		key = cmpDir(in.File.Path, in.File.URI)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	a := s.arriving[key]
	if a == nil {
		a = &arrivals{}
		s.arriving[key] = a
	}
	gap := now.Sub(a.last)
	if gap > secondThought {
		a.many = 0
	}
	a.many++
	considered := a.open == 0 && gap >= handPace && a.many <= 2
	a.open++
	a.last = now
	return arrival{considered: considered, leave: sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		a.open--
	})}
}

// takeOff joins the same submission if it is under way, else writes the record
// and starts a flight.
func (s *Session) takeOff(q *request, a arrival) (f *flight, joined bool, err error) {
	s.Start(context.WithoutCancel(s.ctx))
	s.mu.Lock()
	var other *flight
	for _, g := range s.flights {
		if g.request.key() != q.key() {
			continue
		}
		if g.request.digest == q.digest {
			s.mu.Unlock()
			return g, true, nil
		}
		other = g
	}
	if s.closed {
		s.mu.Unlock()
		return nil, false, errors.New("shutting down: nothing is submitted any more")
	}
	q.slot = &slot{all: s.slots}
	f = &flight{id: s.cfg.NewID(), request: q, done: make(chan struct{})}
	f.alias = s.alias(q)
	f.ctx, f.cancel = context.WithCancel(s.ctx)
	f.offs = s.signInsOff[q.server]
	s.flights[f.id] = f
	s.own[f.id] = true
	s.mu.Unlock()

	release, err := s.remember(f)
	if err != nil {
		s.land(f)
		return nil, false, err
	}
	ask := other != nil && a.considered
	if !s.goDo(func() { s.fly(f, release, ask) }) {
		release()
		s.land(f)
		return nil, false, errors.New("shutting down: nothing is submitted any more")
	}
	return f, false, nil
}

// remember holds the submission and writes its record: on disk before anything
// happens.
func (s *Session) remember(f *flight) (release func(), err error) {
	release, ok, err := s.ledger.Hold(f.id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("submission %s is in use", f.id)
	}
	r := s.record(f.request, f.id)
	r.Alias = f.alias
	if err := s.ledger.Create(r); err != nil {
		release()
		return nil, err
	}
	s.changed(f.id)
	return release, nil
}

// land ends a flight.
func (s *Session) land(f *flight) {
	s.mu.Lock()
	delete(s.flights, f.id)
	s.mu.Unlock()
	f.cancel()
	close(f.done)
}

// fly does a submission and writes down its outcome.
func (s *Session) fly(f *flight, release func(), ask bool) {
	defer s.land(f)
	defer release()
	if ask && s.stillConsidered(f) && !s.wantsAnother(f) {
		_, _ = s.update(f.id, func(r *track.Record) {
			r.State, r.Reason = track.Cancelled, "another submission of this file is under way"
		})
		return
	}
	s.keepText(f.id, f.request.whole)
	task := s.cfg.UI.Begin(s.ctx, Work{
		Title:   "Submitting " + f.name(),
		Message: "preparing", Percent: true,
		Cancel: func() { s.goDo(func() { s.progressCancelled(f) }) },
	})
	var err error
	if f.request.slot.take(f.ctx) {
		err = s.send(f, task)
		f.request.slot.leave()
	} else {
		err = f.ctx.Err()
	}
	f.err = err
	ended := s.outcome(f, err)
	task.End(ended)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.landed = true; f.rest != nil {
		f.rest.End(ended)
	}
}

// progressCancelled cancels a submission whose progress a person cancelled, and
// shows what goes on where that is too late.
func (s *Session) progressCancelled(f *flight) {
	message := s.cancelSubmission(f.id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sent && !f.landed {
		f.rest = s.cfg.UI.Begin(s.ctx, Work{Title: "Submitting " + f.name(), Message: message})
	}
}

// name is what a person calls it.
func (f *flight) name() string {
	return nameOf(&track.Record{File: f.request.file, URI: f.request.uri, Range: f.request.lines})
}

// wantsAnother asks whether a file is to be submitted again while another text
// of it, or the same with other settings, is on its way.
func (s *Session) wantsAnother(f *flight) bool {
	const no, yes = "Don't submit", "Submit this one too"
	text := fmt.Sprintf("%s is being submitted already, with another text or other settings. Submit it once more?", filepath.Base(f.request.key()))
	return s.cfg.UI.Ask(f.ctx, Warning, text, no, yes) == yes
}

// update changes a record and shows it; what cannot be written is logged.
func (s *Session) update(submission string, change func(*track.Record)) (track.Record, error) {
	r, err := s.ledger.Update(submission, change)
	if err != nil {
		s.log.Warn("cannot write a submission record", "submission", submission, "error", err)
		return r, err
	}
	s.changed(submission)
	return r, nil
}

// send prepares and sends the job. Its error says why there is none.
func (s *Session) send(f *flight, task Task) error {
	if err := s.mayUse(f); err != nil {
		return err
	}
	client, err := s.client(f.request.server)
	if err != nil {
		return err
	}
	var nodes []jobapi.Node
	err = s.signedIn(f, func() (err error) {
		nodes, err = s.nodesOf(f.ctx, f.request.server, client)
		return err
	})
	if err != nil {
		return err
	}
	sub, err := s.submission(f, nodes)
	if err != nil {
		return err
	}
	if err := s.addImage(f.ctx, f.request.server, client, f.request.settings.Profile, &sub); err != nil {
		return err
	}
	if f.request.kind == track.KindScript {
		err = s.addScript(f, &sub)
	} else {
		err = s.addBundle(f, client, &sub, task)
	}
	if err != nil {
		return err
	}
	if err := s.addProvenance(f, &sub); err != nil {
		return err
	}
	return s.sendOnce(f, client, sub, task)
}

// notSentPauses are the pauses before a submission of which no byte reached the
// server is sent again.
var notSentPauses = []time.Duration{time.Second, 3 * time.Second}

// sendOnce sends the job: once on the wire, again only when nothing was sent, or
// when it was refused for its token and the person signed in.
func (s *Session) sendOnce(f *flight, client Client, sub jobapi.Submission, task Task) error {
	if !f.commit() {
		return context.Canceled
	}
	task.Report("submitting", 100)
	return s.signedIn(f, func() error {
		if err := s.noteSending(f, &sub); err != nil {
			return err
		}
		err := s.sendNow(f, client, sub)
		if !needsSignIn(err) {
			return err
		}
		// Refused for certain: whoever finds the record of a process that died
		// while the person signs in need not look for a job.
		if _, noteErr := s.update(f.id, func(r *track.Record) { r.Sent = nil }); noteErr != nil {
			return noteErr
		}
		return err
	})
}

// noteSending writes down that the job is about to be sent, or that it is not:
// another process, or the person while signing in, wished it killed.
func (s *Session) noteSending(f *flight, sub *jobapi.Submission) error {
	now := s.cfg.Now().UTC().Round(0)
	r, err := s.update(f.id, func(r *track.Record) {
		if r.Kill {
			r.State, r.Sent = track.Cancelled, nil
			return
		}
		r.State, r.Sent = track.Submitting, &now
		r.Node, r.Price, r.Nodes = sub.Node.String(), sub.Node.PricePerHour, sub.Nodes
	})
	if err != nil {
		return err
	}
	if r.State == track.Cancelled {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.cancelled = true
		return context.Canceled
	}
	return nil
}

// sendNow sends the job once on the wire, and again only when nothing was sent.
func (s *Session) sendNow(f *flight, client Client, sub jobapi.Submission) error {
	// Nothing cancels this but its own deadlines.
	ctx := context.WithoutCancel(f.ctx)
	for attempt := 0; ; attempt++ {
		id, err := client.Submit(ctx, sub)
		if err == nil {
			return s.accepted(f.id, client, id)
		}
		if _, ok := errors.AsType[*jobapi.NotSentError](err); !ok || needsSignIn(err) || attempt >= len(notSentPauses) {
			return err
		}
		select {
		case <-time.After(notSentPauses[attempt]):
		case <-s.ctx.Done():
			return err
		}
	}
}

// accepted writes down the job's id, and kills the job if that was wished in
// the meantime.
func (s *Session) accepted(submission string, client Client, id string) error {
	now := s.cfg.Now().UTC().Round(0)
	r, err := s.update(submission, func(r *track.Record) {
		r.State, r.Job, r.URL, r.Reason = track.Submitted, id, client.JobURL(id), ""
		if r.Submitted == nil {
			r.Submitted = &now
		}
	})
	if err != nil {
		s.cfg.UI.Say(s.ctx, Error, fmt.Sprintf("Job %s was submitted, but that could not be written down: %v", id, err))
		return nil
	}
	if r.Kill {
		s.goDo(func() {
			if err := s.kill(s.ctx, submission); err != nil {
				s.cfg.UI.Say(s.ctx, Error, "The job that you cancelled could not be stopped: "+err.Error())
			}
		})
	}
	s.tracker.Kick()
	return nil
}

// outcome writes down how a flight ended, tells where nobody waits, and
// returns the words for its progress.
func (s *Session) outcome(f *flight, err error) string {
	quiet := f.request.args.Wait
	name := filepath.Base(f.request.key())
	if err == nil {
		r, _ := s.ledger.Get(f.id)
		if r.Job == "" { // it could not be written down, as was said
			return "submitted"
		}
		if !quiet && f.request.in.Show {
			s.cfg.UI.Say(s.ctx, Info, fmt.Sprintf("%s was submitted to JuliaHub as %s.", name, r.Job))
		}
		return "submitted as " + r.Job
	}
	f.mu.Lock()
	sent, cancelled := f.sent, f.cancelled
	f.mu.Unlock()
	if cancelled || !sent && errors.Is(err, context.Canceled) {
		_, _ = s.update(f.id, func(r *track.Record) { r.State, r.Reason = track.Cancelled, "cancelled before anything was sent" })
		return "cancelled"
	}
	if _, unknown := errors.AsType[*jobapi.UnknownOutcomeError](err); unknown {
		_, _ = s.update(f.id, func(r *track.Record) {
			r.State = track.Unknown
			r.Reason = err.Error() + "; still looking for it"
		})
		s.tracker.Kick()
		if !quiet {
			s.cfg.UI.Say(s.ctx, Warning, name+": the server did not say whether there is a job now. Still looking; submitting again might make a second one.")
		}
		return "unknown, still looking"
	}
	reason := refusal(err)
	_, _ = s.update(f.id, func(r *track.Record) { r.State, r.Reason = track.Refused, reason })
	if !quiet {
		s.cfg.UI.Say(s.ctx, Error, name+" was not submitted: "+reason)
	}
	return "failed: " + firstLine(reason)
}

// refusal is the reason for which there is no job, without the words "was not submitted".
func refusal(err error) string {
	if e, ok := errors.AsType[*jobapi.RefusedError](err); ok {
		return e.Reason
	}
	if e, ok := errors.AsType[*jobapi.NotSentError](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

// upload sends a bundle's bytes: 30 to 100 % of a submission.
func (s *Session) upload(f *flight, client Client, up jobapi.Upload, open func() (io.ReadCloser, error), task Task) error {
	if _, err := s.update(f.id, func(r *track.Record) { r.State = track.Uploading }); err != nil {
		return err
	}
	return client.UploadBundle(f.ctx, up, open, func(sent, total int64) {
		percent := 30 + 70*float64(sent)/float64(max(total, 1))
		task.Report(fmt.Sprintf("uploading %s of %s", megabytes(sent), megabytes(total)), percent)
	})
}

// megabytes renders a number of bytes for people.
func megabytes(n int64) string {
	switch {
	case n < 1e3:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	}
}

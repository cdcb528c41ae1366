package commands

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

const (
	// grownEvery is how often whoever follows a log looks for more of it.
	grownEvery = 50 * time.Millisecond
	// stateFirst and stateLast bound how often the server is asked for the state
	// of a job that is not tracked.
	stateFirst, stateLast = 1500 * time.Millisecond, 15 * time.Second
)

// FollowLog keeps one stream of a job's log open, from when the job runs until
// the log has ended, and calls grown with the path of the log's file whenever it
// may have grown, and at the end.
func (s *Session) FollowLog(ctx context.Context, in Input, grown func(path string) error) error {
	r, err := s.loggedJob(in)
	if err != nil {
		return err
	}
	s.Start(context.WithoutCancel(s.ctx))
	var work sync.WaitGroup
	defer work.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	state := func() State { return s.stateOf(r.Submission) }
	if r.Submission == "" { // submitted elsewhere: its log is kept under the job's own id
		if state, err = s.watchState(ctx, &work, r); err != nil {
			return err
		}
		r.Submission = r.Job
	}
	path := track.LogFile(s.ledger.LogDir(r.Submission))
	done := make(chan error, 1)
	work.Go(func() { done <- s.readToEnd(ctx, r, state) })
	look := time.NewTicker(grownEvery)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			return errors.Join(err, grown(path))
		case <-look.C:
			if err := grown(path); err != nil {
				return err
			}
		}
	}
}

// readToEnd reads a job's log as soon as there may be one.
func (s *Session) readToEnd(ctx context.Context, r track.Record, state func() State) error {
	look := time.NewTicker(grownEvery)
	defer look.Stop()
	for now := state(); now != track.Running && !now.Ended(); now = state() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	err := s.tracker.Follow(ctx, r, func() bool { return state().Ended() })
	if errors.Is(err, track.ErrLogBusy) {
		err = nil // another process keeps it up to date
	}
	return err
}

// stateOf is what the tracker knows of a submission.
func (s *Session) stateOf(submission string) State {
	r, ok := s.ledger.Get(submission)
	if !ok {
		return track.Stopped // forgotten: nothing more will become of it
	}
	return r.State
}

// watchState asks the server for the state of a job that is not tracked, now and
// then again, until ctx or the job ends.
func (s *Session) watchState(ctx context.Context, work *sync.WaitGroup, r track.Record) (func() State, error) {
	client, err := s.client(r.Server)
	if err != nil {
		return nil, err
	}
	job, err := client.Job(ctx, r.Job)
	if err != nil {
		return nil, err
	}
	track.Apply(&r, job)
	var state atomic.Value
	state.Store(r.State)
	work.Go(func() {
		for pause := stateFirst; !r.State.Ended(); pause = min(stateLast, pause*5/4) {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			job, err := client.Job(ctx, r.Job)
			switch {
			case err == nil:
				track.Apply(&r, job)
				state.Store(r.State)
			case !jobapi.IsTemporary(err):
				state.Store(track.Running) // the stream says what is wrong
				return
			}
		}
	})
	return func() State { return state.Load().(State) }, nil
}

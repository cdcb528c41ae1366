package commands

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// LogAnswer is the answer of juliahub.logs.
type LogAnswer struct {
	Submission string `json:"submission,omitempty"`
	Job        string `json:"job"`
	State      State  `json:"state"`
	Path       string `json:"path"` // the log file; it grows while the job runs
}

// ShowLogs brings the log file of a job up to date and shows it; while the job
// runs, the file follows the log.
func (s *Session) ShowLogs(ctx context.Context, in Input) (LogAnswer, error) {
	r, err := s.loggedJob(in)
	if err != nil {
		return LogAnswer{}, err
	}
	if r.Submission == "" { // submitted elsewhere: its log is kept under the job's own id
		if err := s.mustExist(ctx, in, &r); err != nil {
			return LogAnswer{}, err
		}
		r.Submission = r.Job
	}
	answer := LogAnswer{Submission: r.Submission, Job: r.Job, State: r.State, Path: track.LogFile(s.ledger.LogDir(r.Submission))}
	if !r.State.Ended() {
		s.Start(context.WithoutCancel(s.ctx))
		s.tracker.WantLog(r.Submission)
	}
	err = s.later(ctx, waits(in), func(ctx context.Context) error {
		_, err := s.tracker.CatchUp(ctx, r)
		if errors.Is(err, track.ErrLogBusy) {
			err = nil // it is kept up to date by another process
		}
		if _, missing := os.Stat(answer.Path); missing != nil {
			return err
		}
		if in.Show { // what is there is worth seeing, also when the rest did not come
			s.cfg.UI.ShowFile(ctx, answer.Path)
		}
		return err
	})
	return answer, err
}

// loggedJob is the job that a command on logs is about.
func (s *Session) loggedJob(in Input) (track.Record, error) {
	r, err := s.jobOfArgs(in)
	if err == nil && r.Job == "" {
		err = &StateError{Job: r.Submission, State: r.State, Message: "there is no log: the submission is " + string(r.State)}
	}
	return r, err
}

// mustExist asks the server whether it has a job that nothing here knows. A
// command that does not wait for the answer takes the job's word for it.
func (s *Session) mustExist(ctx context.Context, in Input, r *track.Record) error {
	client, err := s.client(r.Server)
	if err != nil {
		return err
	}
	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	if !waits(in) {
		asked, cancel = context.WithTimeout(ctx, soonAfter)
		defer cancel()
	}
	_, err = client.Job(asked, r.Job)
	if err != nil && asked.Err() != nil && ctx.Err() == nil {
		return nil // no answer yet: what is wrong is said when the log is asked for
	}
	return err
}

const (
	// linesEvery is how often what a log says is shown, at most.
	linesEvery = 200 * time.Millisecond
	// linesKept is how often its last line is written down, for other processes.
	linesKept = 5 * time.Second
	// shareEvery is how often other processes are told what a log says, at most.
	shareEvery = time.Second
)

// logMessages takes new messages of a followed job: its last line, its progress,
// its warnings.
func (s *Session) logMessages(submission string, messages []jobapi.LogMessage) {
	s.keepWarnings(submission, messages)
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	v := s.views.jobs[submission]
	if v == nil {
		return
	}
	for i := range messages {
		m := &messages[i]
		if v.bars.add(m) {
			continue
		}
		if text := lastLine(m.Message); text != "" {
			v.line = text
		}
	}
	if v.soon == nil {
		v.soon = time.AfterFunc(linesEvery, func() { s.goDo(func() { s.showLine(submission) }) })
	}
	s.shareSoon(submission, v)
}

// keepWarnings writes the warnings among messages into the job's record before
// the place behind them is written: neither an end nor a restart loses one. They
// are shown with the line, and there are so few that each may be written.
func (s *Session) keepWarnings(submission string, messages []jobapi.LogMessage) {
	first := slices.IndexFunc(messages, func(m jobapi.LogMessage) bool { return warns(&m) })
	if first < 0 {
		return
	}
	messages = messages[first:]
	r, ok := s.ledger.Get(submission)
	if !ok || len(r.Warnings) >= mostWarnings {
		return
	}
	paths := s.knownPaths(&r)
	if found := addWarnings(r.Warnings, messages, paths); len(found) == len(r.Warnings) {
		return
	}
	_, err := s.ledger.Update(submission, func(r *track.Record) { r.Warnings = addWarnings(r.Warnings, messages, paths) })
	if err != nil {
		s.log.Info("cannot keep the warnings of a job", "submission", submission, "error", err)
	}
}

// knownPaths is pathsOf, remembered while the job runs.
func (s *Session) knownPaths(r *track.Record) stacktrace.Paths {
	s.views.mu.Lock()
	v := s.views.jobs[r.Submission]
	if v != nil && v.paths != nil {
		defer s.views.mu.Unlock()
		return *v.paths
	}
	s.views.mu.Unlock()
	paths := s.pathsOf(r)
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	if v != nil && !r.State.Ended() {
		v.paths = &paths
	}
	return paths
}

// live is what there is to tell other processes of a job's log. Its bars are the
// view's own.
func (v *view) live() track.Live { return track.Live{Line: v.line, Bars: v.bars.open} }

// shareSoon has other processes told what a log says, if that is new to them. The
// views' lock is held.
func (s *Session) shareSoon(submission string, v *view) {
	if v.sharing != nil || v.live().Same(v.shared) {
		return
	}
	wait := max(linesEvery, shareEvery-time.Since(v.sharedAt))
	v.sharing = time.AfterFunc(wait, func() { s.goDo(func() { s.share(submission) }) })
}

// share tells other processes what a log says.
func (s *Session) share(submission string) {
	s.views.mu.Lock()
	v := s.views.jobs[submission]
	if v == nil {
		s.views.mu.Unlock()
		return
	}
	live := v.live()
	live.Bars = slices.Clone(live.Bars)
	s.views.mu.Unlock()
	if err := s.ledger.Tell(submission, live); err != nil {
		s.log.Info("other processes are not told of a job's progress", "submission", submission, "error", err)
	}
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	v.shared, v.sharedAt, v.sharing = live, time.Now(), nil
	s.shareSoon(submission, v)
}

// shareRest tells other processes, and the next one of this editor, what they
// were about to be told when the session was closed.
func (s *Session) shareRest() {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	for submission, v := range s.views.jobs {
		if v.sharing == nil {
			continue
		}
		v.sharing.Stop()
		if err := s.ledger.Tell(submission, v.live()); err != nil {
			s.log.Info("other processes are not told of a job's progress", "submission", submission, "error", err)
		}
	}
}

// heard takes what another process, or an earlier one, told of a log.
func (s *Session) heard(submission string, live track.Live) {
	live.Bars = live.Bars[:min(len(live.Bars), mostBars)]
	s.views.mu.Lock()
	v := s.views.jobs[submission]
	if v == nil || v.sharing != nil || live.Same(v.shared) { // ours is newer, or it is what we told
		s.views.mu.Unlock()
		return
	}
	v.shared, v.line, v.bars.open = live, live.Line, slices.Clone(live.Bars)
	s.views.mu.Unlock()
	s.ledger.Note(submission, func(r *track.Record) { r.Line = live.Line })
	s.changed(submission)
}

// showLine shows what a log said in the last moment, however much it was.
func (s *Session) showLine(submission string) {
	s.views.mu.Lock()
	v := s.views.jobs[submission]
	if v == nil {
		s.views.mu.Unlock()
		return
	}
	line, now := v.line, time.Now()
	keep := line != "" && now.Sub(v.kept) >= linesKept
	if keep {
		v.kept = now
	}
	v.soon = nil
	s.views.mu.Unlock()
	s.ledger.Note(submission, func(r *track.Record) { r.Line = line })
	if keep {
		_, _ = s.update(submission, func(r *track.Record) { r.LastLine = line }) // logged, and only the last line
		return
	}
	s.changed(submission)
}

// workerOf tells interleaved writers of a log apart.
func workerOf(m *jobapi.LogMessage) string {
	id := ""
	for _, key := range []string{"jrun_worker_id", "jrun_process_id", "jrun_thread_id"} {
		if v, ok := m.Keywords[key]; ok {
			id += " " + textOfValue(v)
		}
	}
	return id
}

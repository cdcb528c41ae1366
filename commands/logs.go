package commands

import (
	"context"
	"errors"
	"os"
	"time"

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
)

// logMessages takes new messages of a followed job: its last line, its progress.
func (s *Session) logMessages(submission string, messages []jobapi.LogMessage) {
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

package commands

import (
	"context"
	"os"

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
	r, err := s.jobOfArgs(in)
	if err != nil {
		return LogAnswer{}, err
	}
	if r.Job == "" {
		return LogAnswer{}, &StateError{Job: r.Submission, State: r.State, Message: "there is no log: the submission is " + string(r.State)}
	}
	if r.Submission == "" { // submitted elsewhere: its log is kept under the job's own id
		r.Submission = r.Job
	}
	answer := LogAnswer{Submission: r.Submission, Job: r.Job, State: r.State, Path: track.LogFile(s.ledger.LogDir(r.Submission))}
	if !r.State.Ended() {
		s.Start(context.WithoutCancel(s.ctx))
		s.tracker.WantLog(r.Submission)
	}
	err = s.later(ctx, waits(in), func(ctx context.Context) error {
		_, err := s.tracker.CatchUp(ctx, r)
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

// logMessages takes new messages of a followed job: its last line, its progress.
func (s *Session) logMessages(submission string, messages []jobapi.LogMessage) {
	line := ""
	s.views.mu.Lock()
	v := s.views.jobs[submission]
	for i := range messages {
		m := &messages[i]
		if v != nil && v.bars.add(m) {
			continue
		}
		if text := lastLine(m.Message); text != "" {
			line = text
		}
	}
	s.views.mu.Unlock()
	if line == "" {
		s.changed(submission)
		return
	}
	_, _ = s.update(submission, func(r *track.Record) { r.LastLine = line })
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

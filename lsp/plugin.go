package lsp

import (
	"context"
	"slices"
	"sync"

	"go.lsp.dev/jsonrpc2"

	"juliahub-lsp/commands"
)

// Messages of our own, for plugins that announce experimental.juliahub;
// docs/protocol.md describes them.
const (
	methodJobs            = "juliahub/jobs"
	methodJobDidChange    = "juliahub/jobDidChange"
	methodStatus          = "juliahub/status"
	methodStatusDidChange = "juliahub/statusDidChange"
)

// jobs answers juliahub/jobs: all known submissions, newest first, as they were
// last seen.
func (s *Server) jobs(context.Context) (any, error) {
	s.startSession()
	return s.jobList.answer(s.session.KnownJobs())
}

// jobList is the answer to juliahub/jobs. A plugin asks often, and of a thousand
// jobs few change at a time: each is encoded once.
type jobList struct {
	mu   sync.Mutex // guards what follows
	jobs []*commands.Job
	rows map[*commands.Job]jsonrpc2.RawMessage
	raw  jsonrpc2.RawMessage // of these jobs; nil before the first answer
}

func (l *jobList) answer(jobs []*commands.Job) (jsonrpc2.RawMessage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.raw != nil && slices.Equal(jobs, l.jobs) {
		return l.raw, nil
	}
	rows := make(map[*commands.Job]jsonrpc2.RawMessage, len(jobs))
	raw := make(jsonrpc2.RawMessage, 0, len(l.raw)+len(l.raw)/8)
	raw = append(raw, `{"jobs":[`...)
	for i, job := range jobs {
		row, err := l.rows[job], error(nil)
		if row == nil {
			row, err = payload(job)
		}
		if err != nil {
			return nil, err
		}
		rows[job] = row
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(raw, row...)
	}
	l.jobs, l.rows, l.raw = jobs, rows, append(raw, "]}"...)
	return l.raw, nil
}

// status answers juliahub/status: who is signed in, without asking the server.
func (s *Server) status(context.Context) (any, error) {
	s.startSession()
	return payload(s.session.Status())
}

// tellStatus tells a plugin who is signed in.
func (s *Server) tellStatus(now commands.Status) {
	raw, err := payload(now)
	if err != nil {
		s.log.Error("a status cannot be written", "error", err)
		return
	}
	s.gate.then(func() { s.notify(s.rpc.Notify(context.Background(), methodStatusDidChange, raw)) })
}

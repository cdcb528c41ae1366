package lsp

import (
	"context"

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
	known := s.session.Jobs()
	if known == nil {
		known = []commands.Job{}
	}
	return payload(map[string]any{"jobs": known})
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

package lsp

import (
	"fmt"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"

	jobsettings "juliahub-lsp/commands/settings"
)

// The setting juliahub.trace has the talk between editor and server logged in the
// editor: as window/logMessage, which every client keeps somewhere.

// How much of the talk is logged.
const (
	traceOff int32 = iota
	traceMessages
	traceVerbose
)

// mostTraced is how much of a message is logged, in bytes: the text of a
// document would fill the log.
const mostTraced = 2000

// setTrace takes the setting. Clients that know it themselves, by the name that
// the library of VS Code has for it, log the talk on their side.
func (s *Server) setTrace(value []byte) {
	resolved, _ := jobsettings.Resolve(jobsettings.Layers{Editor: value}) // the session says what is wrong with it
	level := map[string]int32{"messages": traceMessages, "verbose": traceVerbose}[resolved.Trace]
	if s.caps.isVSCode() {
		level = traceOff
	}
	s.stream.trace.Store(level)
}

// traced logs a message that came or goes, unless the client reads too slowly.
func (s *stream) traced(arrow string, msg jsonrpc2.Message) {
	level := s.trace.Load()
	if level == traceOff || s.isCongested() {
		return
	}
	text := arrow + " "
	switch m := msg.(type) {
	case *jsonrpc2.Call:
		text += fmt.Sprintf("%s (%v)", clip(m.Method(), 100), m.ID())
	case *jsonrpc2.Notification:
		text += clip(m.Method(), 100)
	case *jsonrpc2.Response:
		text += fmt.Sprintf("answer (%v)", m.ID())
	default: // the library's own form of an answer
		text += "answer"
	}
	if level == traceVerbose {
		text += " " + clip(string(jsonrpc2.AppendMessage(nil, msg)), mostTraced)
	}
	params, err := protocol.Marshal(&protocol.LogMessageParams{Type: protocol.MessageTypeLog, Message: plain(text)})
	if err != nil {
		return // a number and a text: cannot fail
	}
	_ = s.enqueue(jsonrpc2.AppendMessage(newFrame(), jsonrpc2.NewNotification(protocol.MethodWindowLogMessage, params))) // the connection is ending
}

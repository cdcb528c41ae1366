package lsp

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

// This file is the one way in. The library calls handle for one message after
// the other, in the order of their arrival, on the goroutine that reads. A
// notification is applied before handle returns. A request takes what it needs
// of the moment, then hands the reading on (jsonrpc2.Async) and goes its own way.

// requestHandler handles a request in a goroutine of its own, on a snapshot.
type requestHandler func(s *Server, ctx context.Context, w *world, params []byte) (any, error)

// notificationHandler applies a notification; it must not wait for anything.
type notificationHandler func(s *Server, params []byte) error

// requests are the requests that we answer, but for those of the lifecycle.
var requests = map[string]requestHandler{
	protocol.MethodWorkspaceExecuteCommand: request((*Server).executeCommand),
	protocol.MethodTextDocumentCodeAction:  request((*Server).codeAction),
	protocol.MethodTextDocumentCodeLens:    request((*Server).codeLens),
	protocol.MethodTextDocumentHover:       request((*Server).hover),
	protocol.MethodTextDocumentCompletion:  request((*Server).completion),
	methodJobs:                             bare((*Server).jobs),
	methodStatus:                           bare((*Server).status),
}

// notifications are those that we listen to, but for exit.
var notifications = map[string]notificationHandler{
	protocol.MethodInitialized:                        func(s *Server, _ []byte) error { s.initialized(); return nil },
	protocol.MethodCancelRequest:                      notification((*Server).cancelRequest),
	protocol.MethodSetTrace:                           func(*Server, []byte) error { return nil },
	protocol.MethodTextDocumentDidOpen:                notification((*Server).didOpen),
	protocol.MethodTextDocumentDidChange:              notification((*Server).didChange),
	protocol.MethodTextDocumentDidSave:                notification((*Server).didSave),
	protocol.MethodTextDocumentDidClose:               notification((*Server).didClose),
	protocol.MethodWorkspaceDidChangeConfiguration:    notification((*Server).didChangeConfiguration),
	protocol.MethodWorkspaceDidChangeWorkspaceFolders: notification((*Server).didChangeFolders),
	protocol.MethodWorkspaceDidChangeWatchedFiles:     notification((*Server).didChangeWatchedFiles),
	protocol.MethodWindowWorkDoneProgressCancel:       notification((*Server).cancelProgress),
}

// request makes a handler of a method with typed parameters.
func request[P any](f func(*Server, context.Context, *world, *P) (any, error)) requestHandler {
	return func(s *Server, ctx context.Context, w *world, raw []byte) (any, error) {
		params := new(P)
		if err := decodeParams(raw, params); err != nil {
			return nil, &argumentError{err}
		}
		return f(s, ctx, w, params)
	}
}

// bare makes a handler of a method of ours without parameters. Whatever stands
// there instead is nothing to us: null, an empty list, an empty object, or the
// members of a later version.
func bare(f func(*Server, context.Context) (any, error)) requestHandler {
	return func(s *Server, ctx context.Context, _ *world, _ []byte) (any, error) { return f(s, ctx) }
}

// notification makes a handler of a method with typed parameters.
func notification[P any](f func(*Server, *P)) notificationHandler {
	return func(s *Server, raw []byte) error {
		params := new(P)
		if err := decodeParams(raw, params); err != nil {
			return err
		}
		f(s, params)
		return nil
	}
}

// isNotification says whether the protocol's notifications have this name. A
// client that sends one with "id":null means no request by it.
func isNotification(method string) bool {
	switch method {
	case protocol.MethodExit, protocol.MethodInitialized, protocol.MethodCancelRequest, protocol.MethodSetTrace,
		protocol.MethodWorkspaceDidChangeConfiguration, protocol.MethodWorkspaceDidChangeWatchedFiles,
		protocol.MethodWorkspaceDidChangeWorkspaceFolders, protocol.MethodWindowWorkDoneProgressCancel:
		return true
	}
	return strings.HasPrefix(method, "textDocument/did")
}

// handle takes one message. It returns an error only for requests: to the
// library one from a notification means that the connection is broken.
func (s *Server) handle(ctx context.Context, req *jsonrpc2.Request) (result any, err error) {
	if !req.IsCall() {
		s.notified(req)
		return nil, nil
	}
	defer s.recovered(req.Method(), &err)
	result, err = s.called(ctx, req)
	if err != nil {
		return nil, rpcError(err)
	}
	return result, nil
}

// notified applies a notification. Whatever is wrong with it is logged.
func (s *Server) notified(req *jsonrpc2.Request) {
	defer s.recovered(req.Method(), nil)
	if req.Method() == protocol.MethodExit {
		s.exit()
		return
	}
	if s.state.Load() != stateUp {
		s.log.Debug("ignored a notification before initialize or after shutdown", "method", clip(req.Method(), 100))
		return
	}
	apply, ok := notifications[req.Method()]
	if !ok {
		s.log.Debug("ignored an unknown notification", "method", clip(req.Method(), 100))
		return
	}
	if err := apply(s, req.Params()); err != nil {
		s.log.Warn("ignored a notification with bad parameters", "method", req.Method(), "error", err)
	}
}

// called answers a request.
func (s *Server) called(ctx context.Context, req *jsonrpc2.Request) (any, error) {
	method := req.Method()
	switch state := s.state.Load(); {
	case state == stateDown:
		return nil, jsonrpc2.NewError(jsonrpc2.InvalidRequest, "the server has been shut down")
	case state == stateNew && method != protocol.MethodInitialize:
		return nil, jsonrpc2.NewError(jsonrpc2.ServerNotInitialized, "the first request has to be initialize")
	case state != stateNew && method == protocol.MethodInitialize:
		return nil, jsonrpc2.NewError(jsonrpc2.InvalidRequest, "the server has been initialized already")
	case method == protocol.MethodInitialize:
		return s.initialize(req.Params())
	case method == protocol.MethodShutdown:
		s.shutdown()
		return nil, nil
	}
	answer, ok := requests[method]
	if !ok {
		return nil, jsonrpc2.Errorf(jsonrpc2.MethodNotFound, "%q is not a request that this server answers", clip(method, 100))
	}

	snapshot := s.world.Load()
	mine, done := s.calls.begin(s.ctx, req.ID())
	defer done()
	if !s.work.add() {
		return nil, jsonrpc2.NewError(jsonrpc2.InvalidRequest, "the server is ending")
	}
	defer s.work.wg.Done()
	jsonrpc2.Async(ctx) // from here on later messages are read; req is ours now
	result, err := answer(s, mine, snapshot, req.Params())
	if err != nil && mine.Err() != nil && s.ctx.Err() == nil {
		return nil, protocol.ErrRequestCancelled
	}
	return result, err
}

// recovered turns a panic into an internal error and a line in the log with its
// stack: one bad message must not cost the others their server.
func (s *Server) recovered(doing string, err *error) {
	r := recover()
	if r == nil {
		return
	}
	s.log.Error("panic", "in", clip(doing, 100), "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	if err != nil {
		*err = jsonrpc2.Errorf(jsonrpc2.InternalError, "internal error in %s; the server's log says more", clip(doing, 100))
	}
}

// calls are the requests under way, to be cancelled by their ids.
type calls struct {
	mu   sync.Mutex // guards byID
	byID map[jsonrpc2.ID]*call
}

type call struct{ cancel context.CancelCauseFunc }

// begin makes the context of a request; done forgets it. Should a client use an
// id twice at a time, cancelling means the later one.
func (c *calls) begin(parent context.Context, id jsonrpc2.ID) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(parent)
	mine := &call{cancel}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[jsonrpc2.ID]*call{}
	}
	c.byID[id] = mine
	return ctx, func() {
		cancel(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.byID[id] == mine {
			delete(c.byID, id)
		}
	}
}

// cancelRequest cancels a request under way. An unknown id is one that has been
// answered in the meantime.
func (s *Server) cancelRequest(p *cancelParams) {
	id, ok := decodeID(p.ID)
	if !ok {
		s.log.Warn("ignored a cancel without an id")
		return
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	if c := s.calls.byID[id]; c != nil {
		c.cancel(commands.ErrCalledOff)
	}
}

// codec writes and reads payloads with the protocol's own encoders.
type codec struct{}

var _ jsonrpc2.Codec = codec{}

func (codec) Marshal(v any) ([]byte, error) {
	if raw, ok := v.(jsonrpc2.RawMessage); ok && raw != nil {
		return raw, nil
	}
	return protocol.Marshal(v)
}

func (codec) Unmarshal(data []byte, v any) error {
	if raw, ok := v.(*jsonrpc2.RawMessage); ok {
		*raw = append((*raw)[:0], data...)
		return nil
	}
	return protocol.Unmarshal(data, v)
}

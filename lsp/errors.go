package lsp

import (
	"errors"
	"fmt"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

// argumentError says that a request, or a command's argument, is not as it has to be.
type argumentError struct{ err error }

func (e *argumentError) Error() string { return e.err.Error() }
func (e *argumentError) Unwrap() error { return e.err }

func invalidArgument(format string, args ...any) error {
	return &argumentError{fmt.Errorf(format, args...)}
}

// codeRequestFailed is the protocol's code for a request that was right and
// could not be fulfilled.
const codeRequestFailed = jsonrpc2.Code(protocol.LSPErrorCodesRequestFailed)

// Codes of our own, outside the ranges that JSON-RPC and the protocol keep.
const (
	codeWrongState   jsonrpc2.Code = 1 // the job is not in a state in which this can be done
	codeNotSubmitted jsonrpc2.Code = 2 // there is no job, and why
	codeSignIn       jsonrpc2.Code = 3 // there is no token, or none that the server takes
	codePermission   jsonrpc2.Code = 4 // the server knows the user, and says no
	codeNetwork      jsonrpc2.Code = 5 // no answer came from the server
	codeServer       jsonrpc2.Code = 6 // the server's answer is an error, or cannot be understood
	codeNoSuchJob    jsonrpc2.Code = 7 // the server has no such job
)

// codesOfKinds are the codes of errors by their cause. It counts before what was
// being done: a plugin offers to sign in, whatever that was.
var codesOfKinds = map[commands.Kind]jsonrpc2.Code{
	commands.KindSignIn:     codeSignIn,
	commands.KindPermission: codePermission,
	commands.KindNetwork:    codeNetwork,
	commands.KindServer:     codeServer,
	commands.KindNoSuchJob:  codeNoSuchJob,
}

// rpcError renders an error for the editor. It is the only place that does.
func rpcError(err error) *jsonrpc2.Error {
	if wire, ok := errors.AsType[*jsonrpc2.Error](err); ok {
		return wire
	}
	return jsonrpc2.NewError(codeOf(err), plain(err.Error()))
}

// codeOf is the code of an error's kind.
func codeOf(err error) jsonrpc2.Code {
	if _, ok := errors.AsType[*argumentError](err); ok {
		return jsonrpc2.InvalidParams
	}
	if _, ok := errors.AsType[*commands.ArgumentError](err); ok {
		return jsonrpc2.InvalidParams
	}
	if code, ok := codesOfKinds[commands.KindOf(err)]; ok {
		return code
	}
	if _, ok := errors.AsType[*commands.StateError](err); ok {
		return codeWrongState
	}
	if _, ok := errors.AsType[*commands.NotSubmittedError](err); ok {
		return codeNotSubmitted
	}
	return codeRequestFailed
}

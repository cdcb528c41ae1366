package lsp

import (
	"context"
	"errors"
	"fmt"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
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

// rpcError renders an error for the editor. It is the only place that does.
func rpcError(err error) *jsonrpc2.Error {
	var (
		wire     *jsonrpc2.Error
		argument *argumentError
	)
	switch {
	case errors.As(err, &wire):
		return wire
	case errors.As(err, &argument):
		return jsonrpc2.NewError(jsonrpc2.InvalidParams, plain(err.Error()))
	case errors.Is(err, context.Canceled):
		return protocol.ErrRequestCancelled
	}
	return jsonrpc2.NewError(codeRequestFailed, plain(err.Error()))
}

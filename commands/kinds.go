package commands

import (
	"errors"

	"juliahub-lsp/jobapi"
)

// Kind is what kind of trouble an error is: what a person, or a plugin, does
// about it differs by that alone.
type Kind int

// The kinds of errors.
const (
	KindOther      Kind = iota
	KindSignIn          // there is no token, or none that the server takes
	KindPermission      // the server knows the user, and says no
	KindNetwork         // no answer came
	KindServer          // the answer is an error, or cannot be understood
	KindNoSuchJob       // the server has no such job
)

// KindOf finds the kind of an error by its cause.
func KindOf(err error) Kind {
	if errors.Is(err, jobapi.ErrNoSuchJob) {
		return KindNoSuchJob
	}
	if _, ok := errors.AsType[*jobapi.AuthError](err); ok {
		return KindSignIn
	}
	if _, ok := errors.AsType[*jobapi.PermissionError](err); ok {
		return KindPermission
	}
	if _, ok := errors.AsType[*jobapi.NetworkError](err); ok {
		return KindNetwork
	}
	if _, ok := errors.AsType[*jobapi.ServerError](err); ok {
		return KindServer
	}
	return KindOther
}

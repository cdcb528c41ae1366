package commands

import (
	"errors"
	"fmt"

	"juliahub-lsp/commands/settings"
)

// ArgumentError says that a command's arguments do not say what to do. Its
// text lists what to pass.
type ArgumentError struct{ Message string }

func (e *ArgumentError) Error() string { return e.Message }

func argumentError(format string, args ...any) error {
	return &ArgumentError{Message: fmt.Sprintf(format, args...)}
}

// sentence makes an error's text the beginning of one.
func sentence(text string) string { return settings.Capital(text) }

// ErrCalledOff is the cause with which a caller ends a command that the person
// called off; who ends it for another reason means no submission by that.
var ErrCalledOff = errors.New("called off")

// StateError says that a job is not in a state in which this can be done.
type StateError struct {
	Job     string // jr-… or the submission's UUID
	State   State
	Message string
}

func (e *StateError) Error() string { return e.Message }

// NotSubmittedError says that a submission made no job, and why.
type NotSubmittedError struct {
	Submission string
	Reason     string
	Err        error // the cause, may be nil
}

func (e *NotSubmittedError) Error() string { return "not submitted: " + e.Reason }

func (e *NotSubmittedError) Unwrap() error { return e.Err }

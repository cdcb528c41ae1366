package commands

import (
	"context"
	"errors"
)

// Submission is the answer of a submit command.
type Submission struct {
	Submission string   `json:"submission"`        // UUID
	State      State    `json:"state"`             // as far as it is
	Job        string   `json:"job,omitempty"`     // jr-…, once known
	URL        string   `json:"url,omitempty"`     // the job's page, once known
	Reason     string   `json:"reason,omitempty"`  // why there is no job, or none known
	Joined     bool     `json:"joined,omitempty"`  // the same submission was under way already
	Unsaved    []string `json:"unsaved,omitempty"` // documents whose unsaved text is sent
}

// SubmitScript submits a file or a selection as a script job.
func (s *Session) SubmitScript(ctx context.Context, in Input) (Submission, error) {
	return Submission{}, errors.ErrUnsupported
}

// SubmitAppBundle submits a project directory as an appbundle.
func (s *Session) SubmitAppBundle(ctx context.Context, in Input) (Submission, error) {
	return Submission{}, errors.ErrUnsupported
}

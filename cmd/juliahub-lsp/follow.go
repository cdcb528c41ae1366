package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"juliahub-lsp/commands"
)

// ended reports whether nothing more will become of a submission.
func ended(s commands.State) bool {
	switch s {
	case commands.StateCompleted, commands.StateFailed, commands.StateStopped, commands.StateRefused, commands.StateCancelled:
		return true
	}
	return false
}

// tail copies a file as it grows. The zero value is at its beginning.
type tail struct {
	offset int64
}

// next returns what the file has gained; "" when there is nothing yet.
func (t *tail) next(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the log: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, t.offset, 1<<62))
	if err != nil {
		return "", fmt.Errorf("read the log: %w", err)
	}
	t.offset += int64(len(text))
	return string(text), nil
}

// follow copies a job's log to w until the job has ended, and returns its last state.
func follow(ctx context.Context, ui *console, session *commands.Session, submission string, w io.Writer) (commands.Job, error) {
	var log tail
	copyLog := func(path string) error {
		text, err := log.next(path)
		if text != "" {
			ui.print(w, plain(text))
		}
		return err
	}
	var failed error
	job, err := session.Await(ctx, submission, func(job commands.Job) bool {
		failed = copyLog(job.LogFile)
		return failed != nil || ended(job.State)
	})
	if err != nil {
		return job, fmt.Errorf("stopped watching job %s, which goes on: %w", job.ID, err)
	}
	if failed != nil || job.ID == "" {
		return job, failed
	}
	args := &commands.JobArgs{Submission: submission, Wait: true}
	whole, err := session.ShowLogs(ctx, commands.Input{Args: args, Settings: noSettings})
	if err != nil {
		return job, fmt.Errorf("read the end of the log: %w", err)
	}
	return job, copyLog(whole.Path)
}

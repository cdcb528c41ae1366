package main

import (
	"context"
	"fmt"

	"juliahub-lsp/commands"
)

// downloadInto brings all results of a job into a directory.
func downloadInto(ctx context.Context, t terminal, session *commands.Session, job commands.Job, dir string) error {
	dirs, err := absolute([]string{dir})
	if err != nil {
		return err
	}
	args := &commands.JobArgs{Submission: job.Submission, Dir: dirs[0], Wait: true}
	got, err := session.DownloadResults(ctx, commands.Input{Args: args, Settings: noSettings})
	if err != nil {
		return fmt.Errorf("download the results of %s: %w", job.ID, err)
	}
	for _, f := range got.Files {
		fmt.Fprintln(t.err, "downloaded", f.Path)
	}
	return nil
}

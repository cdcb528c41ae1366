package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/track"
)

// ended reports whether nothing more will become of a submission.
func ended(s commands.State) bool {
	switch s {
	case commands.StateCompleted, commands.StateFailed, commands.StateStopped, commands.StateRefused, commands.StateCancelled:
		return true
	}
	return false
}

// tail copies a log file as it grows, with the parts of it that are put aside
// beside it when it gets long. The zero value is at its beginning.
type tail struct {
	parts  int   // that are read
	offset int64 // in the part after those
}

// tailChunk is how much is read at a time.
const tailChunk = 1 << 20

// copy passes on what the log has gained, piece by piece.
func (t *tail) copy(path string, print func(text string)) error {
	for {
		text, err := t.next(path)
		if text == "" || err != nil {
			return err
		}
		print(text)
	}
}

// next returns the next piece of what the log has gained; "" when there is
// nothing yet.
func (t *tail) next(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	for {
		aside := track.LogPart(path, t.parts+1)
		text, _, err := readPiece(path, t.offset)
		// Looked for after the file was read: one that was put aside meanwhile
		// goes on there, and what was read may be from its successor.
		if _, missing := os.Stat(aside); missing != nil {
			t.offset += int64(len(text))
			return text, err
		}
		text, size, err := readPiece(aside, t.offset)
		if text != "" || err != nil {
			t.offset += int64(len(text))
			return text, err
		}
		// What was read beyond the part's end is the beginning of the next one.
		t.parts++
		t.offset -= size
	}
}

// readPiece reads from an offset on, at most a piece, which then ends with a
// line where it can. A file that is not there has nothing.
func readPiece(path string, offset int64) (text string, size int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("read the log: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, fmt.Errorf("read the log: %w", err)
	}
	piece, err := io.ReadAll(io.NewSectionReader(f, offset, tailChunk))
	if err != nil {
		return "", 0, fmt.Errorf("read the log: %w", err)
	}
	if end := bytes.LastIndexByte(piece, '\n') + 1; len(piece) == tailChunk && end > 0 {
		piece = piece[:end]
	}
	return string(piece), info.Size(), nil
}

// followLog copies a job's log to w as it grows, until it has ended.
func followLog(ctx context.Context, ui *console, session *commands.Session, a commands.JobArgs, log *tail, w io.Writer) error {
	session.Start(ctx)
	return session.FollowLog(ctx, input(&a), func(path string) error {
		return log.copy(path, func(text string) { ui.print(w, plain(text)) })
	})
}

// endFor is how long the work at a job's end is waited for.
const endFor = 10 * time.Second

// follow waits until a job has ended and returns its last state. It copies the
// job's log to w; nil = nobody wants it.
func follow(ctx context.Context, ui *console, session *commands.Session, submission string, w io.Writer) (commands.Job, error) {
	var log tail
	a := commands.JobArgs{Submission: submission, Wait: true}
	var failed error
	if w != nil {
		failed = followLog(ctx, ui, session, a, &log, w)
	}
	if failed != nil && ctx.Err() == nil {
		ui.Say(ctx, commands.Warning, "the log comes when the job has ended: "+failed.Error())
	}
	job, err := session.Await(ctx, submission, func(job commands.Job) bool { return ended(job.State) })
	if err != nil {
		return job, fmt.Errorf("stopped watching job %s, which goes on: %w", job.ID, err)
	}
	// Why it failed, and what is remembered of its image, is found out at the end.
	endCtx, cancel := context.WithTimeout(ctx, endFor)
	defer cancel()
	if settled, err := session.Await(endCtx, submission, func(job commands.Job) bool { return job.Settled }); err == nil {
		job = settled
	}
	if failed != nil && job.ID != "" {
		whole, err := session.ShowLogs(ctx, input(&a))
		if err != nil {
			return job, fmt.Errorf("read the end of the log: %w", err)
		}
		return job, log.copy(whole.Path, func(text string) { ui.print(w, plain(text)) })
	}
	return job, nil
}

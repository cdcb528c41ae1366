package track

import (
	"context"
	"errors"
	"time"
)

// Follow is CatchUp that goes on until the log has ended, over one stream. ended
// tells when the job has. Like any log that somebody opened it gives its place up
// when others have waited long enough for one, and then waits for the next.
func (t *Tracker) Follow(ctx context.Context, r Record, ended func() bool) error {
	for ctx.Err() == nil {
		last := ended()
		f, mine := t.claimToEnd(ctx, r)
		if mine {
			t.finish(f, t.readOnce(f, ended))
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case !f.toEnd, !last && errors.Is(f.err, ErrLogBusy):
			continue // a command's short look, or another process still writes the file
		case !f.stopped:
			return f.err
		}
		select {
		case <-time.After(awayFor):
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// claimToEnd makes a reading of a whole log the one of this process, or returns
// the one that is under way.
func (t *Tracker) claimToEnd(ctx context.Context, r Record) (f *reading, mine bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.readings[r.Submission]; f != nil && !f.over() {
		return f, false
	}
	f = newReading(ctx, r)
	f.command, f.toEnd, f.opened, f.yields = true, true, true, true
	t.readings[r.Submission] = f
	return f, true
}

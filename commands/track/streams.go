package track

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// mostStreams is how many logs one user's processes may read at a time.
const mostStreams = 4

const (
	// askEvery is how soon a place for a log stream is asked for again.
	askEvery = 250 * time.Millisecond
	// wantEvery is how often others are asked for theirs: so seldom that the one
	// asked for has been taken before another one is given up.
	wantEvery = 2 * time.Second
	// turn is how long an opened log keeps its place while others wait for one,
	// and waitTurn how long those wait for the places of logs that nobody opened.
	turn     = 10 * time.Second
	waitTurn = 3 * time.Second
	// waitMost is how long a request for a place may stand: who made it may be gone.
	waitMost = 10 * time.Second
	// awayFor is how long who gave its place up leaves it to others.
	awayFor = 3 * time.Second
	// placeFor is how long to wait for a place: turns are shorter by far.
	placeFor = time.Minute
)

// ErrTooManyLogs says that no place for a log stream came free.
var ErrTooManyLogs = fmt.Errorf("%d logs are being read already, and no more may be at a time: try again later", mostStreams)

// Stream takes one of the places for open log streams that this user has, over
// all processes. ok is false when none is free. A place falls free with release,
// or with the process.
func (l *Ledger) Stream() (release func(), ok bool, err error) {
	for n := 1; n <= mostStreams; n++ {
		release, ok, err = tryLock(filepath.Join(l.dir, "locks", fmt.Sprintf("stream-%d", n)))
		if ok || err != nil {
			return release, ok, err
		}
	}
	return nil, false, nil
}

func (l *Ledger) streamWanted() string { return filepath.Join(l.dir, "locks", "stream-wanted") }

// WantStream asks those who have a place for a log stream to give one up.
func (l *Ledger) WantStream() error {
	if err := os.WriteFile(l.streamWanted(), nil, 0o600); err != nil {
		return fmt.Errorf("ask for a place to read a log: %w", err)
	}
	return nil
}

// StreamWanted reports whether somebody waits for a place.
func (l *Ledger) StreamWanted() bool {
	_, err := os.Stat(l.streamWanted())
	return err == nil
}

// GrantStream takes a request for a place; true for one taker only, who is then
// to give one up.
func (l *Ledger) GrantStream() bool { return os.Remove(l.streamWanted()) == nil }

// waitForStream takes a place for a log that somebody opened, as soon as there is one.
func (l *Ledger) waitForStream(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, placeFor, ErrTooManyLogs)
	defer cancel()
	var asked time.Time
	for {
		release, ok, err := l.Stream()
		if ok || err != nil {
			return release, err
		}
		if now := time.Now(); now.Sub(asked) > wantEvery {
			asked = now
			if err := l.WantStream(); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(askEvery):
		}
	}
}

package track

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// mostStreams is how many logs one user's processes may read at a time.
const mostStreams = 4

const (
	// closingFor is how long a connection that we closed may be open at the server.
	closingFor = 500 * time.Millisecond
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

// Why there is no place for a log stream.
var (
	errTaken   = errors.New("all places for log streams are taken")
	errClosing = errors.New("a place for a log stream is about to fall free")
)

// stream takes one of the places for open log streams that this user has, over
// all processes; the error is errTaken or errClosing when there is none. A place
// falls free with release, or with the process; the next one gets it when the
// server has seen that, too.
func (l *Ledger) stream() (release func(), err error) {
	none := errTaken
	for n := 1; n <= mostStreams; n++ {
		path := filepath.Join(l.dir, "locks", fmt.Sprintf("stream-%d", n))
		unlock, ok, err := tryLock(path)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Size() > 0 && time.Since(info.ModTime()).Abs() < closingFor {
			unlock()
			none = errClosing
			continue
		}
		return func() {
			left(path)
			unlock()
		}, nil
	}
	return nil, none
}

// left notes in a place's file, empty at first, when the place was left. Where
// that cannot be written, the next one is a moment early.
func left(path string) {
	now := time.Now()
	_ = os.WriteFile(path, []byte("left"), 0o600)
	_ = os.Chtimes(path, now, now)
}

func (l *Ledger) wantedPath() string { return filepath.Join(l.dir, "locks", "stream-wanted") }

// wantStream asks those who have a place for a log stream to give one up.
func (l *Ledger) wantStream() error {
	if err := os.WriteFile(l.wantedPath(), nil, 0o600); err != nil {
		return fmt.Errorf("ask for a place to read a log: %w", err)
	}
	return nil
}

// streamIsWanted reports whether somebody waits for a place.
func (l *Ledger) streamIsWanted() bool {
	_, err := os.Stat(l.wantedPath())
	return err == nil
}

// grantStream takes a request for a place; true for one taker only, who is then
// to give one up.
func (l *Ledger) grantStream() bool { return os.Remove(l.wantedPath()) == nil }

// waitForStream takes a place for a log that somebody opened, as soon as there is one.
func (l *Ledger) waitForStream(ctx context.Context) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, placeFor, ErrTooManyLogs)
	defer cancel()
	var asked time.Time
	for {
		release, err := l.stream()
		if !errors.Is(err, errTaken) && !errors.Is(err, errClosing) {
			return release, err
		}
		if now := time.Now(); errors.Is(err, errTaken) && now.Sub(asked) > wantEvery {
			asked = now
			if err := l.wantStream(); err != nil {
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

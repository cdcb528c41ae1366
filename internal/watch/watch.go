// Package watch tells what changes in a set of directories: the one place that
// knows fsnotify. Bursts are gathered, and what it says are hints.
package watch

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing must happen before a burst is handed on: an
	// editor's save is several events within a few milliseconds.
	quiet = 100 * time.Millisecond
	// patience is how long a burst may go on (a build, a log that grows) before
	// what there is of it is handed on.
	patience = time.Second
	// maxPaths is how many paths a burst names: beyond, as after the checkout of
	// another branch, everything has to be looked at anyway.
	maxPaths = 4096
	// MaxDirs is how many directories are watched at most: inotify's limit is
	// shared with all the user's programs, and on macOS each costs a descriptor.
	MaxDirs = 1024
)

// ErrLimit says that the system watches no more directories for this user.
var ErrLimit = errors.New("the system's limit of watched directories is reached")

// Burst is what happened in a while.
type Burst struct {
	Paths []string // absolute, sorted, each once
	Lost  bool     // not everything is known: look at everything
}

// Watcher watches directories, not what is below their subdirectories. Its
// methods may be called by several goroutines.
type Watcher struct {
	notify *fsnotify.Watcher
	bursts chan Burst
	done   chan struct{} // closed when the loop has ended

	mu   sync.Mutex // guards dirs
	dirs map[string]bool
}

// New returns a watcher that watches nothing yet. Close ends it.
func New() (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", limit(err))
	}
	w := &Watcher{notify: notify, bursts: make(chan Burst), done: make(chan struct{}), dirs: map[string]bool{}}
	go func() {
		defer close(w.done)
		gather(notify.Events, notify.Errors, w.bursts)
	}()
	return w, nil
}

// Bursts returns the channel of what happens. It is closed by Close. Nothing is
// lost while nobody reads it: bursts grow together.
func (w *Watcher) Bursts() <-chan Burst { return w.bursts }

// Set makes dirs the directories that are watched, and returns those that are
// not, in the order of dirs: the caller has to look at them when it needs to
// know. The error says why, the first reason only; ErrLimit is one.
func (w *Watcher) Set(dirs []string) (unwatched []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wanted := map[string]bool{}
	for _, dir := range dirs {
		wanted[filepath.Clean(dir)] = true
	}
	for dir := range w.dirs {
		if !wanted[dir] {
			// It fails for a directory that was removed: then it is not watched either.
			_ = w.notify.Remove(dir)
			delete(w.dirs, dir)
		}
	}
	for _, dir := range dirs {
		addErr := w.add(filepath.Clean(dir))
		if addErr != nil {
			unwatched = append(unwatched, dir)
			err = firstOf(err, addErr)
		}
	}
	return unwatched, err
}

// add watches a directory. One that was removed and made anew has to be watched
// anew, and fsnotify does nothing for one that it knows.
func (w *Watcher) add(dir string) error {
	if !w.dirs[dir] && len(w.dirs) >= MaxDirs {
		return fmt.Errorf("watch %s: %w", dir, ErrLimit)
	}
	if err := w.notify.Add(dir); err != nil {
		delete(w.dirs, dir)
		return fmt.Errorf("watch %s: %w", dir, limit(err))
	}
	w.dirs[dir] = true
	return nil
}

// Close ends the watcher and waits until its channel is closed.
func (w *Watcher) Close() error {
	err := w.notify.Close() // a second time does nothing
	<-w.done
	return err
}

func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

// gather turns events into bursts until the events end. It always takes the next
// event, whether or not anybody takes the bursts: a reader that waits would make
// the system drop events.
func gather(events <-chan fsnotify.Event, failures <-chan error, out chan<- Burst) {
	defer close(out)
	var (
		paths   = map[string]bool{}
		lost    bool
		ready   *Burst       // what a reader would get
		waiting chan<- Burst // out while ready is set
		first   time.Time    // of the burst
		timer   = time.NewTimer(time.Hour)
	)
	timer.Stop()
	note := func() {
		if first.IsZero() {
			first = time.Now()
		}
		timer.Reset(max(0, min(quiet, patience-time.Since(first))))
		ready, waiting = nil, nil
	}
	for {
		var next Burst
		if ready != nil {
			next = *ready
		}
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod {
				continue // access times and indexers, mostly
			}
			if paths[e.Name] = true; len(paths) > maxPaths {
				lost = true
				clear(paths)
			}
			note()
		case _, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			lost = true // an overflow: what else it may be, something was not seen
			note()
		case <-timer.C:
			ready = &Burst{Paths: slices.Sorted(maps.Keys(paths)), Lost: lost}
			waiting = out
		case waiting <- next:
			clear(paths)
			lost, ready, waiting, first = false, nil, nil, time.Time{}
		}
	}
}

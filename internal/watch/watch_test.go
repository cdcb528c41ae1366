package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// TestGather turns bursts of events into one message each, on a clock of its own.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events, failures, out := make(chan fsnotify.Event), make(chan error), make(chan Burst)
		go gather(events, failures, out)
		write := func(name string) { events <- fsnotify.Event{Name: name, Op: fsnotify.Write} }
		want := func(lost bool, after time.Duration, paths ...string) {
			t.Helper()
			start := time.Now()
			got := <-out
			if !slices.Equal(got.Paths, paths) || got.Lost != lost || time.Since(start) != after {
				t.Errorf("%v (lost %v) after %v, want %v (lost %v) after %v", got.Paths, got.Lost, time.Since(start), paths, lost, after)
			}
		}
		write("b")
		write("a")
		write("b")
		events <- fsnotify.Event{Name: "mode", Op: fsnotify.Chmod}
		want(false, quiet, "a", "b")

		// Nobody reads for a while: the bursts grow together.
		write("c")
		<-time.After(5 * quiet)
		write("d")
		want(false, quiet, "c", "d")

		// A burst that does not end is handed on all the same.
		start := time.Now()
		var got Burst
		for done := false; !done; {
			write("busy")
			select {
			case got = <-out:
				done = true
			case <-time.After(quiet / 2):
			}
		}
		if took := time.Since(start); took > patience+quiet || len(got.Paths) != 1 {
			t.Errorf("%v after %v", got, took)
		}

		failures <- fsnotify.ErrEventOverflow
		want(true, quiet)
		for i := range maxPaths + 1 {
			write(fmt.Sprint(i))
		}
		want(true, quiet)
		close(failures)
		write("e")
		want(false, quiet, "e")
		close(events)
		if _, open := <-out; open {
			t.Error("the channel is not closed")
		}
	})
}

// TestWatcher sees real files come and go.
func TestWatcher(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	await := func(path string) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			select {
			case b := <-w.Bursts():
				if slices.Contains(b.Paths, path) {
					return
				}
			case <-deadline:
				t.Fatalf("nothing is heard of %s", path)
			}
		}
	}
	touch := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	unwatched, err := w.Set([]string{none, dir, sub})
	if !slices.Equal(unwatched, []string{none}) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, %v", unwatched, err)
	}
	touch(filepath.Join(sub, "a"))
	await(filepath.Join(sub, "a"))

	// A directory that was removed and made anew is watched again by the next Set.
	if err := errors.Join(os.RemoveAll(sub), os.Mkdir(sub, 0o755)); err != nil {
		t.Fatal(err)
	}
	await(sub)
	if unwatched, err := w.Set([]string{sub, other}); err != nil || unwatched != nil {
		t.Errorf("%v, %v", unwatched, err)
	}
	touch(filepath.Join(dir, "not watched any more"))
	touch(filepath.Join(sub, "b"))
	await(filepath.Join(sub, "b"))
	touch(filepath.Join(other, "c"))
	await(filepath.Join(other, "c"))

	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for b := range w.Bursts() {
		if slices.Contains(b.Paths, filepath.Join(dir, "not watched any more")) {
			t.Error("a directory is watched that should not be")
		}
	}
	if _, err := w.Set([]string{dir}); err == nil {
		t.Error("a closed watcher watches")
	}
}

// TestLimit watches no more than its share.
func TestLimit(t *testing.T) {
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	top := t.TempDir()
	var dirs []string
	for i := range MaxDirs + 2 {
		dir := filepath.Join(top, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	unwatched, err := w.Set(dirs)
	if !errors.Is(err, ErrLimit) || !slices.Equal(unwatched, dirs[MaxDirs:]) {
		t.Errorf("%d unwatched, %v", len(unwatched), err)
	}
}

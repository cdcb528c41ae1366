package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// tarballFunc is a tarball of a test's making.
type tarballFunc func(w io.Writer) error

func (f tarballFunc) WriteTar(_ context.Context, w io.Writer, _ func(done, total int64)) (int64, string, error) {
	return 0, "sum", f(w)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

// TestUnfinishedTarballs: what a process that was killed has left is removed
// when the same tarball is written again; what another process is at, is not.
func TestUnfinishedTarballs(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.tar")
	for _, name := range []string{".f.tar.juliahub-123", ".f.tar.1", ".other.tar.juliahub-1", "f.tar.juliahub-1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("left"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".f.tar.juliahub-dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	kept := []string{".f.tar.1", ".f.tar.juliahub-dir", ".other.tar.juliahub-1", "f.tar", "f.tar.juliahub-1"}
	write := func(text string, meanwhile func()) error {
		_, err := writeTar(t.Context(), tarballFunc(func(w io.Writer) error {
			if meanwhile != nil {
				meanwhile()
			}
			_, err := io.WriteString(w, text)
			return err
		}), path)
		return err
	}
	// The inner one finds the outer one at work, and is done before it.
	err := write("outer", func() {
		if err := write("inner", nil); err != nil {
			t.Error(err)
		}
	})
	if got := names(t, dir); err != nil || !slices.Equal(got, kept) {
		t.Errorf("%q are there, want %q, %v", got, kept, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "outer" {
		t.Errorf("the tarball holds %q, %v", text, err)
	}
	broken := errors.New("disk full")
	_, err = writeTar(t.Context(), tarballFunc(func(io.Writer) error { return broken }), path)
	if got := names(t, dir); !errors.Is(err, broken) || !slices.Equal(got, kept) {
		t.Errorf("%q are there, want %q, %v", got, kept, err)
	}
}

// TestTarballsAtOnce: processes that write one tarball at a time do not clean up
// behind each other.
func TestTarballsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				if _, err := writeTar(t.Context(), tarballFunc(func(w io.Writer) error {
					_, err := io.WriteString(w, "whole")
					return err
				}), filepath.Join(dir, "f.tar")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := names(t, dir); !slices.Equal(got, []string{"f.tar"}) {
		t.Errorf("%q are there", got)
	}
}

package track

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"juliahub-lsp/internal/atomicfile"
)

// tryLock takes the lock on a file that is never renamed or removed, making its
// directory if that is missing.
func tryLock(path string) (release func(), ok bool, err error) {
	f := flock.New(path)
	err = withDir(path, func() error {
		ok, err = f.TryLock()
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		return nil, false, nil
	}
	return func() { _ = f.Unlock() }, true, nil
}

// waitLock waits for the lock that tryLock tries to take, until ctx ends.
func waitLock(ctx context.Context, path string) (release func(), err error) {
	for {
		release, ok, err := tryLock(path)
		if ok || err != nil {
			return release, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// withDir opens a file, and once more after making its directory if that is missing.
func withDir(path string, open func() error) error {
	err := open()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return open()
}

// sortedKeywords returns the names of the user's own keywords, those of the
// platform left out.
func sortedKeywords(keywords map[string]any) []string {
	var names []string
	for name := range keywords {
		if !strings.HasPrefix(name, "jrun_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

//go:build !linux && !darwin

package bundle

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// readEntries lists a directory with what lstat says of each entry, unsorted, and
// returns the time of its last change.
func readEntries(dir string) ([]entry, time.Time, error) {
	top, err := os.Stat(dir)
	if err != nil {
		return nil, time.Time{}, err
	}
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, time.Time{}, err
	}
	entries := make([]entry, 0, len(found))
	for _, e := range found {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it vanished since: as if it had never been there
		}
		if err != nil {
			return nil, time.Time{}, err
		}
		entries = append(entries, entry{name: e.Name(), mode: info.Mode(), size: info.Size()})
	}
	return entries, top.ModTime(), nil
}

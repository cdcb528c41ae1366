//go:build !linux && !darwin

package bundle

import (
	"errors"
	"io/fs"
	"os"
)

// readEntries lists a directory with what lstat says of each entry, unsorted.
func readEntries(dir string) ([]entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(found))
	for _, e := range found {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it vanished since: as if it had never been there
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{name: e.Name(), mode: info.Mode(), size: info.Size()})
	}
	return entries, nil
}

//go:build unix

package bundle

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// createTemp opens a file that nobody else can see and that a crash leaves
// nothing of.
func createTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "juliahub-bundle-*.tar")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func closeTemp(f *os.File) error { return f.Close() }

// freeSpace returns the bytes that the user may still write in dir.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(uint64(s.Bavail) * uint64(s.Bsize)), true
}

//go:build unix

package watch

import (
	"errors"
	"fmt"
	"syscall"
)

// limit recognizes that a limit is reached: of watches (ENOSPC, as inotify has
// it), of inotify instances or of open files.
func limit(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		return fmt.Errorf("%w (%w)", ErrLimit, err)
	}
	return err
}

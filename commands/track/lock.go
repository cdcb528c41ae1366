package track

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// lockFile waits for the lock on a file that is never removed while it matters.
func lockFile(ctx context.Context, path string) (release func(), err error) {
	f := flock.New(path)
	if _, err := f.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Unlock() }, nil
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

package track

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestReadTellsLater: what one has read is told to the next who scans, and what
// a killed process left half written is swept up.
func TestReadTellsLater(t *testing.T) {
	now := time.Now()
	other := NewLedger(t.TempDir())
	l := NewLedger(other.Dir())
	if err := other.Create(testRecord(testID, now)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Read(now); err != nil {
			t.Fatal(err)
		}
	}
	if changed, err := l.Scan(now); err != nil || !slices.Equal(changed, []string{testID}) {
		t.Errorf("%v, %v", changed, err)
	}
	if changed, err := l.Scan(now); err != nil || len(changed) > 0 {
		t.Errorf("again %v, %v", changed, err)
	}

	half := l.SideFile(".tmp-"+testID, ".json123")
	if err := os.WriteFile(half, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{time.Minute, 2 * time.Hour} {
		if err := os.Chtimes(filepath.Dir(half), now.Add(age), now.Add(age)); err != nil { // it is looked through anew
			t.Fatal(err)
		}
		if _, err := l.Scan(now.Add(age)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(half); (err == nil) != (age < time.Hour) {
			t.Errorf("after %v: %v", age, err)
		}
	}

	if err := os.RemoveAll(filepath.Dir(half)); err != nil {
		t.Fatal(err)
	}
	if changed, err := l.Scan(now); err != nil || !slices.Equal(changed, []string{testID}) {
		t.Errorf("without the directory: %v, %v", changed, err)
	}
}

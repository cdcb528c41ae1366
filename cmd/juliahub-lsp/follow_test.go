package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/commands/track"
)

// TestTailOfALongLog: a log that gets long is put aside in parts while it is
// read, sometimes after more of it was read than the part keeps.
func TestTailOfALongLog(t *testing.T) {
	path := track.LogFile(t.TempDir())
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log tail
	var got strings.Builder
	read := func() {
		if err := log.copy(path, func(text string) { got.WriteString(text) }); err != nil {
			t.Fatal(err)
		}
	}
	read() // nothing yet
	write(path, "1\n2\n")
	read()
	write(path, "1\n2\n3\n4\n")
	read()
	// The part keeps less than was read, and the file goes on with the rest.
	write(track.LogPart(path, 1), "1\n2\n3\n")
	write(path, "4\n5\n")
	read()
	// Two parts were put aside since the last look.
	write(track.LogPart(path, 2), "4\n5\n6\n")
	write(track.LogPart(path, 3), "7\n")
	write(path, "8\n")
	read()
	read()
	// Between the two steps of putting a part aside there is no file.
	write(track.LogPart(path, 4), "8\n9\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	read()
	write(path, "10\n")
	read()
	if want := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"; got.String() != want {
		t.Errorf("read %q, want %q", got.String(), want)
	}
}

// TestTailReadsInPieces: the longest log takes no more memory than a piece.
func TestTailReadsInPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "job.log")
	var want strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&want, "line %d ä\n", i)
	}
	if err := os.WriteFile(path, []byte(want.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var log tail
	var got strings.Builder
	pieces := 0
	err := log.copy(path, func(text string) {
		if len(text) > tailChunk || !strings.HasSuffix(text, "\n") {
			t.Errorf("a piece of %d bytes ends with %q", len(text), text[len(text)-1:])
		}
		pieces++
		got.WriteString(text)
	})
	if err != nil || got.String() != want.String() || pieces < 3 {
		t.Errorf("%d of %d bytes in %d pieces, %v", got.Len(), want.Len(), pieces, err)
	}
}

package lsp

import (
	"slices"
	"strings"
	"testing"
)

// TestLineStarts compares with the definition: a line begins after each "\n", and
// after each "\r" that no "\n" follows.
func TestLineStarts(t *testing.T) {
	t.Parallel()
	texts := []string{""}
	for i := 0; i < len(texts) && len(texts[i]) < 8; i++ {
		for _, c := range []string{"a", "\r", "\n"} {
			texts = append(texts, texts[i]+c)
		}
	}
	for _, text := range texts {
		want := []int{0}
		for i := range len(text) {
			if text[i] == '\n' || text[i] == '\r' && !strings.HasPrefix(text[i+1:], "\n") {
				want = append(want, i+1)
			}
		}
		if got := lineStarts(text); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestKeystrokeAllocates: a keystroke in a large file makes its new text, and one
// index of its lines.
func TestKeystrokeAllocates(t *testing.T) { // not in parallel: it counts allocations
	text := strings.Repeat("x = [1, 2, 3] # some line of a script\n", 10_000)
	at := span{position{Line: 5000}, position{Line: 5000}}
	if n := testing.AllocsPerRun(10, func() { edit(text, at, "y", utf16Units) }); n > 2 {
		t.Errorf("%v allocations", n)
	}
}

package commands

import (
	"testing"

	"juliahub-lsp/commands/stacktrace"
)

// A text that ends too early fails behind its last line, which moves with that.
func TestTheEndOfATextMoves(t *testing.T) {
	for now, want := range map[string]int{"if x\n  y\n": 2, "# a\nif x\n  y\n": 3, "# a\nif x\n  y": 2, "if x\n  z\n": -1} {
		drift := stacktrace.Follow(stacktrace.HashLines("if x\n  y\n"), stacktrace.HashLines(now))
		p, ok := movedTo(Problem{Line: 2, EndLine: 2, EndCol: 1}, drift, splitLines(now))
		if ok != (want >= 0) || ok && (p.Line != want || p.EndLine != want || p.Col != 0) {
			t.Errorf("%q: %v %+v, want line %d", now, ok, p, want)
		}
	}
}

func TestUTF16Col(t *testing.T) {
	if got := utf16Col("a😀b", 2); got != 3 {
		t.Errorf("column %d, want 3", got)
	}
}

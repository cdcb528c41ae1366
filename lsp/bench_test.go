package lsp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp/lsptest"
)

// A keystroke in a file of 10,000 lines, and the lenses and actions that an
// editor asks for after it, with 1,000 jobs known.
func BenchmarkKeystroke(b *testing.B) {
	const uri = "file:///a/big.jl"
	e, r := open(b, lsptest.Options{}, nil)
	began := time.Now()
	jobs := make([]commands.Job, 1000)
	for i := range jobs {
		jobs[i] = commands.Job{Submission: fmt.Sprint(i), ID: fmt.Sprint("jr-", i), State: commands.StateRunning, Started: &began}
	}
	r.have(func(string) []commands.Job { return jobs })
	e.OpenBuffer(uri, "julia", strings.Repeat("x = [1, 2, 3] # some line of a script\n", 10_000))
	for b.Loop() {
		e.EditBuffer(uri, lsptest.Range{Start: lsptest.Position{Line: 5000}, End: lsptest.Position{Line: 5000}}, "y")
		e.Lenses(uri)
		e.Actions(uri, lsptest.Range{}, nil)
	}
}

package bundle

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestGlobTable compares the matcher with what Glob.jl 1.5.0 itself says.
func TestGlobTable(t *testing.T) {
	f, err := os.Open("testdata/glob-table.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for lines := bufio.NewScanner(f); lines.Scan(); rows++ {
		field := strings.Split(lines.Text(), "\t")
		pattern, text, verdict := juliaUnquote(t, field[0]), juliaUnquote(t, field[1]), field[2]
		// Glob.jl notices a bad bracket expression only when it gets there; with
		// an empty string it never does. Ours are found when the file is read.
		g, err := compileGlob(pattern)
		if wantErr := strings.HasPrefix(verdict, "error"); wantErr || err != nil {
			var bad *patternError
			if !errors.As(err, &bad) || !wantErr && text != "" {
				t.Errorf("%q on %q: error %v, Glob.jl says %s", pattern, text, err, verdict)
			}
			continue
		}
		if got := strconv.FormatBool(g.match(text)); got != verdict {
			t.Errorf("%q on %q: %s, Glob.jl says %s", pattern, text, got, verdict)
		}
		if got := strconv.FormatBool(g.matchTokens(text)); got != verdict {
			t.Errorf("%q on %q without the short cuts: %s, Glob.jl says %s", pattern, text, got, verdict)
		}
	}
	if rows != 4304 {
		t.Errorf("%d rows, want 4304", rows)
	}
}

// juliaUnquote reads a string as Julia's repr writes it; "\e" and "\$" are all
// that Go's syntax lacks.
func juliaUnquote(t *testing.T, quoted string) string {
	t.Helper()
	s, err := strconv.Unquote(strings.NewReplacer(`\\`, `\\`, `\e`, `\x1b`, `\$`, `$`).Replace(quoted))
	if err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	return s
}

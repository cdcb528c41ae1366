package lsp

import (
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"juliahub-lsp/commands"
)

func TestEdit(t *testing.T) {
	at := func(l1, c1, l2, c2 int64) span { return span{position{l1, c1}, position{l2, c2}} }
	for _, c := range []struct {
		name, text string
		at         span
		with       string
		want16     string
		want8      string
	}{
		{"in a line", "ab\ncd\n", at(1, 0, 1, 1), "X", "ab\nXd\n", "ab\nXd\n"},
		{"over lines", "ab\ncd\n", at(0, 1, 1, 1), "-", "a-d\n", "a-d\n"},
		{"CRLF", "ab\r\ncd\r\n", at(1, 2, 1, 2), "!", "ab\r\ncd!\r\n", "ab\r\ncd!\r\n"},
		{"a column beyond a CRLF line", "ab\r\ncd", at(0, 99, 0, 99), "!", "ab!\r\ncd", "ab!\r\ncd"},
		{"CR alone", "a\rb", at(1, 0, 1, 1), "c", "a\rc", "a\rc"},
		{"joins lines", "a\r\nb", at(0, 1, 1, 0), "", "ab", "ab"},
		{"past a surrogate pair", "x𝒻y", at(0, 3, 0, 4), "z", "x𝒻z", "xz𝒻y"},
		{"within a surrogate pair", "x𝒻y", at(0, 2, 0, 3), "z", "xzy", "xz𝒻y"},
		{"two-byte letters", "éé", at(0, 1, 0, 2), "e", "ée", "eé"},
		{"beyond the last line", "ab", at(7, 0, 9, 0), "\nc", "ab\nc", "ab\nc"},
		{"negative", "ab", at(-1, -5, 0, 1), "X", "Xb", "Xb"},
		{"backwards", "abc", at(0, 2, 0, 1), "X", "aXc", "aXc"},
		{"backwards over lines", "ab\ncd\n", at(1, 1, 0, 1), "-", "a-d\n", "a-d\n"},
		{"empty text", "", at(0, 0, 0, 0), "a", "a", "a"},
	} {
		if got := edit(c.text, c.at, c.with, utf16Units); got != c.want16 {
			t.Errorf("%s, UTF-16: %q, want %q", c.name, got, c.want16)
		}
		if got := edit(c.text, c.at, c.with, utf8Bytes); got != c.want8 {
			t.Errorf("%s, UTF-8: %q, want %q", c.name, got, c.want8)
		}
	}
}

func TestRangeOf(t *testing.T) {
	text := "𝒻 = é\nx"
	got := rangeOf(text, span{position{0, 4}, position{0, 9}}, utf8Bytes)
	want := commands.Range{Start: commands.Position{Line: 0, Character: 2}, End: commands.Position{Line: 0, Character: 6}}
	if got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzColumns(f *testing.F) {
	f.Add("a𝒻é", int64(3))
	f.Fuzz(func(t *testing.T, line string, column int64) {
		line = strings.ToValidUTF8(strings.NewReplacer("\n", "", "\r", "").Replace(line), "?")
		for _, enc := range []encoding{utf16Units, utf8Bytes} {
			at := columnOffset(line, column, enc)
			if at < 0 || at > len(line) || at < len(line) && !utf8.RuneStart(line[at]) {
				t.Fatalf("column %d of %q is at %d", column, line, at)
			}
			back := columnAt(line, at, enc)
			if column >= 0 && int64(back) > column {
				t.Fatalf("column %d of %q became %d", column, line, back)
			}
		}
		if n := columnAt(line, len(line), utf16Units); n != len(utf16.Encode([]rune(line))) {
			t.Fatalf("%q has %d units", line, n)
		}
	})
}

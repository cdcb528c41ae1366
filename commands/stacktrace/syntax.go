package stacktrace

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A syntax error since Julia 1.10 shows the source with a marker below (and,
// for several lines, above) the range that it means:
//
//	# Error @ /home/me/a.jl:3:5
//	f = (1 + 2
//	#   └────┘ ── Expected `)`
//
// syntax reads one such picture: Julia gives the first column, the marker's
// width gives the last one.
type syntax struct {
	at    Frame
	lines []string // source lines since the header or the upper marker; only the last counts
	count int      // source lines since the upper marker
	multi bool     // there was an upper marker
	gap   bool     // Julia left lines out: the end's line is unknown
	note  string

	indent, boxes int // where the picture's lines begin: behind a record's frame, and spaces
}

// syntaxHeader reads "# Error @ FILE:L:C".
func syntaxHeader(s string) (*syntax, bool) {
	s, ok := strings.CutPrefix(s, "# Error @ ")
	if !ok {
		return nil, false
	}
	head, col, ok := fileLine(strings.TrimRight(s, " "))
	if !ok || col < 1 {
		return nil, false
	}
	file, line, ok := fileLine(head)
	if !ok {
		return nil, false
	}
	return &syntax{at: Frame{File: file, Line: line, Col: col, Repeats: 1}}, true
}

// add takes the next line of the picture and reports whether it was the last.
func (x *syntax) add(s string) (done bool) {
	marker := strings.TrimLeft(strings.TrimPrefix(s, "#"), " \t")
	first, _ := utf8.DecodeRuneInString(marker)
	mark, note, noted := strings.Cut(marker, " ── ")
	mark = strings.TrimRight(mark, " ")
	switch {
	case first == '┌' && strings.Trim(mark, "┌─") == "":
		x.multi, x.count, x.lines = true, 0, nil
		return false
	case noted && x.multi && strings.HasSuffix(mark, "┘") && strings.Trim(mark, "─┘") == "":
		x.note = clip(note)
		x.end(utf8.RuneCountInString(strings.TrimSuffix(s, " ── "+note)))
		return true
	case noted && !x.multi && strings.Trim(mark, "└─┘╙") == "" && (first == '└' || first == '╙'):
		x.note = clip(note)
		x.single(mark)
		return true
	}
	if strings.TrimSpace(s) == "⋮" {
		x.gap = true
	}
	x.count++
	x.lines = []string{s}
	// A picture has a handful of lines: far more of them are something else.
	return x.count > 12
}

// single sets the end of a range on one line from its marker.
func (x *syntax) single(mark string) {
	width := 0
	switch {
	case mark == "╙":
		width = 1
	case strings.HasSuffix(mark, "┘"):
		width = utf8.RuneCountInString(mark)
	}
	x.at.EndLine = x.at.Line
	x.at.EndCol = x.at.Col + max(1, x.characters(x.at.Col-1, width))
}

// end sets the end of a range of several lines: width is that of the last line
// up to the range's end.
func (x *syntax) end(width int) {
	if x.gap || x.count < 1 {
		return
	}
	x.at.EndLine = x.at.Line + x.count - 1
	x.at.EndCol = x.characters(0, width) + 1
}

// characters counts how many characters of the last source line, after the
// first skip ones, fill width columns of the marker.
func (x *syntax) characters(skip, width int) int {
	if len(x.lines) == 0 {
		return width
	}
	n := 0
	for _, r := range x.lines[len(x.lines)-1] {
		if skip > 0 {
			skip--
			continue
		}
		if width <= 0 {
			return n
		}
		width -= textWidth(r)
		n++
	}
	return n + max(width, 0)
}

// textWidth is the width that Julia's marker gives a character: tabs count 4.
func textWidth(r rune) int {
	switch {
	case r == '\t':
		return 4
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana) || r >= 0xFF01 && r <= 0xFF60 || r >= 0x1F300 && r <= 0x1FAFF:
		return 2
	}
	return 1
}

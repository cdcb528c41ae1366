package lsp

import (
	"strings"
	"unicode/utf8"

	"juliahub-lsp/commands"
)

// encoding says what a column counts. The commands count UTF-16 units.
type encoding int

const (
	utf16Units encoding = iota // the protocol's default
	utf8Bytes                  // if the client prefers it
)

// position is a place in a document as the client says it: a 0-based line and
// a column in the client's encoding. Nothing about it is to be trusted.
type position struct {
	Line      int64 `json:"line"`
	Character int64 `json:"character"`
}

// span is a range of positions, its end exclusive.
type span struct {
	Start position `json:"start"`
	End   position `json:"end"`
}

// empty says whether a span holds nothing.
func (s span) empty() bool { return s.Start == s.End }

// lineStarts returns the offsets at which lines begin. Lines end with "\n",
// "\r\n" or "\r". It is called at every keystroke.
func lineStarts(text string) []int {
	starts := make([]int, 1, 1+strings.Count(text, "\n"))
	returns := strings.IndexByte(text, '\r') >= 0
	for i := 0; i < len(text); {
		n := strings.IndexByte(text[i:], '\n') + 1
		end := i + n
		if n == 0 {
			end = len(text)
		}
		for at := i; returns; {
			r := strings.IndexByte(text[at:end], '\r') + 1
			if r == 0 {
				break
			}
			at += r
			if n == 0 || at < end-1 { // else it belongs to the "\n"
				starts = append(starts, at)
			}
		}
		if n > 0 {
			starts = append(starts, end)
		}
		i = end
	}
	return starts
}

// lineOf returns a line without its end.
func lineOf(text string, starts []int, line int) string {
	if line < 0 || line >= len(starts) {
		return ""
	}
	end := len(text)
	if line+1 < len(starts) {
		end = starts[line+1]
	}
	return strings.TrimRight(text[starts[line]:end], "\r\n")
}

// offsetOf returns the offset of a place; one outside the text is moved to the
// nearest place in it, as the protocol has it for columns.
func offsetOf(text string, starts []int, p position, enc encoding) int {
	switch {
	case p.Line < 0:
		return 0
	case p.Line >= int64(len(starts)):
		return len(text)
	}
	line := lineOf(text, starts, int(p.Line))
	return starts[p.Line] + columnOffset(line, p.Character, enc)
}

// columnOffset returns the offset of a column in a line. A column within a
// character is that character's beginning.
func columnOffset(line string, column int64, enc encoding) int {
	if column <= 0 {
		return 0
	}
	if enc == utf8Bytes {
		if column >= int64(len(line)) {
			return len(line)
		}
		at := int(column)
		for at > 0 && !utf8.RuneStart(line[at]) {
			at--
		}
		return at
	}
	units := int64(0)
	for i, r := range line {
		width := int64(1)
		if r >= 0x10000 {
			width = 2
		}
		if units+width > column {
			return i
		}
		units += width
	}
	return len(line)
}

// columnAt is the reverse of columnOffset.
func columnAt(line string, offset int, enc encoding) int {
	if enc == utf8Bytes {
		return offset
	}
	units := 0
	for _, r := range line[:offset] {
		units++
		if r >= 0x10000 {
			units++
		}
	}
	return units
}

// translate turns a column of one encoding into one of another.
func translate(line string, column int64, from, to encoding) int {
	if from == to {
		return int(max(0, min(column, 1<<31-1)))
	}
	return columnAt(line, columnOffset(line, column, from), to)
}

// rangeOf turns a client's span into the commands' range.
func rangeOf(text string, s span, enc encoding) commands.Range {
	starts := lineStarts(text)
	at := func(p position) commands.Position {
		line := int(max(0, min(p.Line, int64(len(starts)))))
		return commands.Position{
			Line:      line,
			Character: translate(lineOf(text, starts, line), p.Character, enc, utf16Units),
		}
	}
	return commands.Range{Start: at(s.Start), End: at(s.End)}
}

// edit replaces what a span holds, also where its end is named first.
func edit(text string, s span, with string, enc encoding) string {
	starts := lineStarts(text)
	from, to := offsetOf(text, starts, s.Start, enc), offsetOf(text, starts, s.End, enc)
	from, to = min(from, to), max(from, to)
	return text[:from] + with + text[to:]
}

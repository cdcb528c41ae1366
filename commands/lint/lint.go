// Package lint finds what a person should know about a project before it is
// submitted: in ignore files, project and manifest files, JuliaHub.toml, and
// scripts. Each kind of finding has a file of its own. All functions are pure:
// texts and plans in, Problems out; what they need of the disk they ask for
// through their input.
package lint

import (
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Severity says how grave a Problem is; the numbers are those of the editor protocol.
type Severity int

// The severities of a Problem.
const (
	Error Severity = iota + 1
	Warning
	Information
	Hint
)

// Problem is one finding at a place in a local file.
type Problem struct {
	File string // absolute
	// Lines and columns are 0-based; columns count UTF-16 units; the end is
	// exclusive. WholeLine widens the range to the end of Line.
	Line, Col, EndLine, EndCol int
	WholeLine                  bool
	Severity                   Severity
	Code                       string // a row of Codes
	Message                    string
	Fixes                      []Fix
}

// Fix is what a person can do about a Problem with one click: edit text, or run
// one of our commands. One of the two is set.
type Fix struct {
	Title   string
	Edits   []Edit
	Command Command
	Julia   string // of ResolveManifest: with which, "1.10"; "" = with any
}

// Command names what a Fix runs.
type Command string

// What a Fix runs.
const (
	SubmitAsBundle  Command = "submit-appbundle" // submits the file as an appbundle
	ResolveManifest Command = "resolve-manifest" // lets the Julia of this computer write the manifest
	WithoutManifest Command = "without-manifest" // submits a script of the project without its manifest
)

// Edit replaces a range of a file whose lines there are Was: in a text that has
// changed in the meantime it must not be made. With Append it adds a line to the
// file's end, see Appended, and the file may not exist yet.
type Edit struct {
	File                       string // absolute
	Line, Col, EndLine, EndCol int
	Was                        string
	NewText                    string
	Append                     bool
}

// Fits reports whether a text has, where the edit is to be made, what it was
// made for.
func (e Edit) Fits(text string) bool {
	return e.Append || linesOf(text, e.Line, e.EndLine) == e.Was
}

// linesOf are the lines of a text from a first to a last one.
func linesOf(text string, first, last int) string {
	lines := strings.SplitAfterN(strings.TrimPrefix(text, "\ufeff"), "\n", last+2)
	if first > last || last >= len(lines) {
		return ""
	}
	return strings.Join(lines[first:last+1], "")
}

// Appended is what has to be added to a text's end so that it gets another line,
// with the ends of lines as the text has them.
func Appended(text, line string) string {
	end := "\n"
	if strings.Contains(text, "\r\n") {
		end = "\r\n"
	}
	if strings.TrimPrefix(text, "\ufeff") != "" && !strings.HasSuffix(text, "\n") {
		return end + line + end
	}
	return line + end
}

// text turns byte offsets into places.
type text struct {
	body  string
	lines []int
}

func newText(body string) text {
	t := text{body, []int{0}}
	for i := range len(body) {
		if body[i] == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// position gives the 0-based line and UTF-16 column of an offset.
func (t text) position(offset int) (line, col int) {
	offset = min(max(offset, 0), len(t.body))
	line = sort.SearchInts(t.lines, offset+1) - 1
	for _, r := range strings.TrimPrefix(t.body[t.lines[line]:offset], "\ufeff") {
		if col++; r > 0xFFFF {
			col++
		}
	}
	return line, col
}

// place sets a problem's range from byte offsets.
func (t text) place(p *Problem, from, to int) {
	p.Line, p.Col = t.position(from)
	p.EndLine, p.EndCol = t.position(to)
}

// edit makes an edit of a range of bytes.
func (t text) edit(file string, from, to int, newText string) Edit {
	e := Edit{File: file, NewText: newText}
	e.Line, e.Col = t.position(from)
	e.EndLine, e.EndCol = t.position(to)
	e.Was = linesOf(t.body, e.Line, e.EndLine)
	return e
}

// line returns the offsets of a 1-based line's text, without white space around it.
func (t text) line(number int) (from, to int) {
	if number < 1 || number > len(t.lines) {
		return 0, 0
	}
	from, to = t.lines[number-1], len(t.body)
	if number < len(t.lines) {
		to = t.lines[number]
	}
	line := strings.TrimPrefix(t.body[from:to], "\ufeff")
	from = to - len(line)
	to = from + len(strings.TrimRight(line, " \t\r\n\v\f"))
	for from < to {
		r, size := utf8.DecodeRuneInString(t.body[from:to])
		if r != ' ' && r != '\t' {
			break
		}
		from += size
	}
	return from, to
}

// sorted orders problems by file and place.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return problems
}

// Package tomlpos finds where the keys and values of a TOML text stand.
//
// BurntSushi/toml decides what a text means and whether it is valid; it does not
// tell places. This scanner does, in valid texts exactly, in broken ones (while
// someone types) as far as it can.
package tomlpos

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// Span is a range of bytes.
type Span struct{ From, To int }

// Entry is where one key and its value stand. In arrays, arrays of tables
// included, a part of the path is "[0]", "[1]", …; of an array's element Key is
// the value's own place.
type Entry struct {
	Path       []string
	Key, Value Span
	Header     bool // from [a.b]: there is no value
}

// Layout is where everything in a text stands.
type Layout struct {
	Text    string
	Entries []Entry // in the order of the text
	// Comments are where they stand, from the "#" to the end of the line.
	Comments []Span
	// TooDeep is where the text is nested deeper than it is followed; -1 = nowhere.
	// A parser may take for ever there.
	TooDeep int

	lines  []int          // offset of each line's start
	byPath map[string]int // the first entry of each path
	tables map[string]int // number of elements of each array of tables
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// Scan finds the places of all keys and values.
func Scan(text string) *Layout {
	l := &Layout{Text: text, TooDeep: -1, lines: []int{0}, byPath: map[string]int{}, tables: map[string]int{}}
	for i := range len(text) {
		if text[i] == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	s := scanner{Layout: l}
	if strings.HasPrefix(text, "\ufeff") {
		s.pos = len("\ufeff")
	}
	s.document()
	return l
}

// Find returns the entry of a path.
func (l *Layout) Find(path ...string) (Entry, bool) {
	i, ok := l.byPath[pathKey(path)]
	if !ok {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// Position gives the 0-based line and UTF-16 column of an offset.
func (l *Layout) Position(offset int) (line, col int) {
	offset = min(max(offset, 0), len(l.Text))
	line = sort.SearchInts(l.lines, offset+1) - 1
	for offset > l.lines[line] && offset < len(l.Text) && !utf8.RuneStart(l.Text[offset]) {
		offset-- // a parser may point into a character
	}
	return line, utf16Len(l.Text[l.lines[line]:offset])
}

// utf16Len is the length of s in UTF-16 units, a byte-order mark not counted.
func utf16Len(s string) (n int) {
	for _, r := range strings.TrimPrefix(s, "\ufeff") {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}

// Offset is the reverse of Position.
func (l *Layout) Offset(line, col int) int {
	if line < 0 {
		return 0
	}
	if line >= len(l.lines) {
		return len(l.Text)
	}
	at := l.lines[line]
	if line == 0 && strings.HasPrefix(l.Text, "\ufeff") {
		at = len("\ufeff")
	}
	for col > 0 && at < len(l.Text) && l.Text[at] != '\n' {
		r, size := utf8.DecodeRuneInString(l.Text[at:])
		at += size
		if col--; r > 0xFFFF {
			col--
		}
	}
	return at
}

type scanner struct {
	*Layout
	pos   int
	depth int
}

func (s *scanner) peek() byte {
	if s.pos < len(s.Text) {
		return s.Text[s.pos]
	}
	return 0
}

func (s *scanner) add(path []string, key, value Span, header bool) {
	path = append([]string(nil), path...)
	k := pathKey(path)
	if _, ok := s.byPath[k]; !ok {
		s.byPath[k] = len(s.Entries)
	}
	s.Entries = append(s.Entries, Entry{path, key, value, header})
}

func (s *scanner) document() {
	var table []string
	for {
		s.blank(true)
		if s.pos >= len(s.Text) {
			return
		}
		start := s.pos
		if s.peek() == '[' {
			table = s.header()
		} else {
			s.keyValue(table)
		}
		s.restOfLine()
		if s.pos == start {
			s.pos++ // nothing that TOML knows
		}
	}
}

// header reads "[a.b" or "[[a.b" and returns the table that it opens.
func (s *scanner) header() []string {
	double := strings.HasPrefix(s.Text[s.pos:], "[[")
	if s.pos++; double {
		s.pos++
	}
	path := s.keys(nil, true)
	if !double || len(path) == 0 {
		return path
	}
	k := pathKey(path)
	element := append(path, "["+strconv.Itoa(s.tables[k])+"]")
	s.tables[k]++
	at := s.Entries[len(s.Entries)-1].Key
	s.add(element, at, at, true)
	return element
}

// restOfLine skips what is left after a header or value.
func (s *scanner) restOfLine() {
	s.blank(false)
	from := s.pos
	if i := strings.IndexByte(s.Text[s.pos:], '\n'); i >= 0 {
		s.pos += i + 1
	} else {
		s.pos = len(s.Text)
	}
	if line := strings.TrimRight(s.Text[from:s.pos], "\r\n"); strings.HasPrefix(line, "#") {
		s.Comments = append(s.Comments, Span{from, from + len(line)})
	}
}

// blank skips white space and, with lines, line ends and comments.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.Text) {
		switch c := s.Text[s.pos]; {
		case c == ' ' || c == '\t':
			s.pos++
		case lines && (c == '\n' || c == '\r'):
			s.pos++
		case lines && c == '#':
			s.restOfLine()
		default:
			return
		}
	}
}

// keys reads a dotted key below prefix. Each part gets an entry of its own: its
// value is filled in by keyValue for the last one. A part that is not there yet,
// behind the last dot, has an entry too, and is no part of the path returned.
func (s *scanner) keys(prefix []string, header bool) []string {
	path := append([]string(nil), prefix...)
	for {
		s.blank(false)
		part, at, ok := s.key()
		if !ok {
			if len(path) > len(prefix) {
				s.add(append(path, ""), at, at, header)
			}
			return path
		}
		if len(path) >= maxNesting {
			s.tooDeep()
			return path
		}
		if n := s.tables[pathKey(path)]; header && n > 0 {
			path = append(path, "["+strconv.Itoa(n-1)+"]") // the last element
		}
		path = append(path, part)
		s.add(path, at, at, header)
		s.blank(false)
		if s.peek() != '.' {
			return path
		}
		s.pos++
	}
}

func (s *scanner) key() (string, Span, bool) {
	from := s.pos
	if c := s.peek(); c == '"' || c == '\'' {
		at := s.quoted(c)
		return unquote(s.Text[at.From:at.To]), at, true
	}
	for s.pos < len(s.Text) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.Text[s.pos])) {
		s.pos++
	}
	return s.Text[from:s.pos], Span{from, s.pos}, s.pos > from
}

// unquote reads a quoted key as TOML does; what is not one stays as it is.
func unquote(raw string) string {
	var v struct{ K string }
	if _, err := toml.Decode("K = "+raw, &v); err != nil {
		return strings.Trim(raw, `"'`)
	}
	return v.K
}

func (s *scanner) keyValue(table []string) {
	path := s.keys(table, false)
	if len(path) == len(table) {
		return
	}
	last := len(s.Entries) - 1
	s.blank(false)
	if s.peek() != '=' {
		return
	}
	s.pos++
	s.blank(false)
	s.Entries[last].Value = s.value(path)
}

// maxNesting bounds recursion, and the parts of a key: JuliaHub.toml needs four.
const maxNesting = 100

func (s *scanner) tooDeep() {
	if s.TooDeep < 0 {
		s.TooDeep = s.pos
	}
}

// value reads a value, adding entries for what is inside it.
func (s *scanner) value(path []string) Span {
	from := s.pos
	s.depth++
	defer func() { s.depth-- }()
	switch c := s.peek(); {
	case s.depth > maxNesting:
		s.tooDeep()
		s.restOfLine()
	case c == '"' || c == '\'':
		return s.quoted(c)
	case c == '[':
		s.array(path)
	case c == '{':
		s.inlineTable(path)
	default:
		for s.pos < len(s.Text) && !strings.ContainsRune(",]}#\r\n", rune(s.Text[s.pos])) {
			s.pos++
		}
		return Span{from, from + len(strings.TrimRight(s.Text[from:s.pos], " \t"))}
	}
	return Span{from, s.pos}
}

func (s *scanner) array(path []string) {
	s.pos++
	for i := 0; ; i++ {
		s.blank(true)
		if s.pos >= len(s.Text) || s.peek() == ']' {
			break
		}
		start := s.pos
		element := append(append([]string(nil), path...), "["+strconv.Itoa(i)+"]")
		at := len(s.Entries)
		s.add(element, Span{}, Span{}, false)
		v := s.value(element)
		s.Entries[at].Key, s.Entries[at].Value = v, v
		s.blank(true)
		if s.peek() == ',' {
			s.pos++
		}
		if s.pos == start {
			return
		}
	}
	s.close(']')
}

func (s *scanner) inlineTable(path []string) {
	s.pos++
	for {
		s.blank(true)
		if s.pos >= len(s.Text) || s.peek() == '}' {
			break
		}
		start := s.pos
		s.keyValue(path)
		s.blank(true)
		if s.peek() == ',' {
			s.pos++
		}
		if s.pos == start {
			return
		}
	}
	s.close('}')
}

func (s *scanner) close(c byte) {
	if s.peek() == c {
		s.pos++
	}
}

// quoted reads a string of any of the four kinds.
func (s *scanner) quoted(q byte) Span {
	from := s.pos
	long := strings.Repeat(string(q), 3)
	if strings.HasPrefix(s.Text[s.pos:], long) {
		s.pos += 3
		for s.pos < len(s.Text) && !strings.HasPrefix(s.Text[s.pos:], long) {
			s.escaped(q)
		}
		s.pos = min(s.pos+3, len(s.Text))
		for extra := 0; extra < 2 && s.peek() == q; extra++ {
			s.pos++ // up to two quotes may stand before the closing three
		}
		return Span{from, s.pos}
	}
	s.pos++
	for s.pos < len(s.Text) && s.Text[s.pos] != q && s.Text[s.pos] != '\n' {
		s.escaped(q)
	}
	if s.peek() == q {
		s.pos++
	}
	return Span{from, s.pos}
}

// escaped moves over one character of a string.
func (s *scanner) escaped(q byte) {
	if q == '"' && s.Text[s.pos] == '\\' && s.pos+1 < len(s.Text) {
		s.pos++
	}
	s.pos++
}

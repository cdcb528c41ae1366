package settings

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// BurntSushi/toml decides what a text means and whether it is valid; it does not
// say where a key or value stands. This scanner finds the places, in valid texts
// exactly, in broken ones (while someone types) as far as it can.

// span is a range of bytes.
type span struct{ from, to int }

// entry is where one key and its value stand. In arrays the last element of the
// path is "[0]", "[1]", …, and key is the value's own place.
type entry struct {
	path       []string
	key, value span
	header     bool // from [a.b]: there is no value
}

// layout is where everything in a text stands.
type layout struct {
	text    string
	lines   []int // offset of each line's start
	entries []entry
	byPath  map[string]int // the first entry of each path
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// scan finds the places of all keys and values.
func scan(text string) *layout {
	l := &layout{text: text, lines: []int{0}, byPath: map[string]int{}}
	for i := range len(text) {
		if text[i] == '\n' {
			l.lines = append(l.lines, i+1)
		}
	}
	s := scanner{layout: l}
	if strings.HasPrefix(text, "\ufeff") {
		s.pos = len("\ufeff")
	}
	s.document()
	return l
}

// find returns the entry of a path.
func (l *layout) find(path []string) (entry, bool) {
	i, ok := l.byPath[pathKey(path)]
	if !ok {
		return entry{}, false
	}
	return l.entries[i], true
}

// position gives the 0-based line and UTF-16 column of an offset.
func (l *layout) position(offset int) (line, col int) {
	offset = min(max(offset, 0), len(l.text))
	line = sort.SearchInts(l.lines, offset+1) - 1
	for offset > l.lines[line] && offset < len(l.text) && !utf8.RuneStart(l.text[offset]) {
		offset-- // a parser may point into a character
	}
	return line, utf16Len(l.text[l.lines[line]:offset])
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

// offset is the reverse of position.
func (l *layout) offset(line, col int) int {
	if line < 0 {
		return 0
	}
	if line >= len(l.lines) {
		return len(l.text)
	}
	at := l.lines[line]
	if line == 0 && strings.HasPrefix(l.text, "\ufeff") {
		at = len("\ufeff")
	}
	for col > 0 && at < len(l.text) && l.text[at] != '\n' {
		r, size := utf8.DecodeRuneInString(l.text[at:])
		at += size
		if col--; r > 0xFFFF {
			col--
		}
	}
	return at
}

type scanner struct {
	*layout
	pos   int
	depth int
}

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) add(path []string, key, value span, header bool) {
	path = append([]string(nil), path...)
	k := pathKey(path)
	if _, ok := s.byPath[k]; !ok {
		s.byPath[k] = len(s.entries)
	}
	s.entries = append(s.entries, entry{path, key, value, header})
}

func (s *scanner) document() {
	var table []string
	for {
		s.blank(true)
		if s.pos >= len(s.text) {
			return
		}
		start := s.pos
		if s.peek() == '[' {
			for s.peek() == '[' {
				s.pos++
			}
			table = s.keys(nil, true)
		} else {
			s.keyValue(table)
		}
		s.restOfLine()
		if s.pos == start {
			s.pos++ // nothing that TOML knows
		}
	}
}

// restOfLine skips what is left after a header or value.
func (s *scanner) restOfLine() {
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.pos += i + 1
	} else {
		s.pos = len(s.text)
	}
}

// blank skips white space and, with lines, line ends and comments.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
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
// value is filled in by keyValue for the last one.
func (s *scanner) keys(prefix []string, header bool) []string {
	path := append([]string(nil), prefix...)
	for {
		s.blank(false)
		part, at, ok := s.key()
		if !ok {
			return path
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

func (s *scanner) key() (string, span, bool) {
	from := s.pos
	if c := s.peek(); c == '"' || c == '\'' {
		at := s.quoted(c)
		return unquote(s.text[at.from:at.to]), at, true
	}
	for s.pos < len(s.text) && !strings.ContainsRune(" \t\r\n.=[]{},#\"'", rune(s.text[s.pos])) {
		s.pos++
	}
	return s.text[from:s.pos], span{from, s.pos}, s.pos > from
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
	last := len(s.entries) - 1
	s.blank(false)
	if s.peek() != '=' {
		return
	}
	s.pos++
	s.blank(false)
	s.entries[last].value = s.value(path)
}

// maxNesting bounds recursion: JuliaHub.toml needs four levels.
const maxNesting = 100

// value reads a value, adding entries for what is inside it.
func (s *scanner) value(path []string) span {
	from := s.pos
	s.depth++
	defer func() { s.depth-- }()
	switch c := s.peek(); {
	case s.depth > maxNesting:
		s.restOfLine()
	case c == '"' || c == '\'':
		return s.quoted(c)
	case c == '[':
		s.array(path)
	case c == '{':
		s.inlineTable(path)
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(",]}#\r\n", rune(s.text[s.pos])) {
			s.pos++
		}
		return span{from, from + len(strings.TrimRight(s.text[from:s.pos], " \t"))}
	}
	return span{from, s.pos}
}

func (s *scanner) array(path []string) {
	s.pos++
	for i := 0; ; i++ {
		s.blank(true)
		if s.pos >= len(s.text) || s.peek() == ']' {
			break
		}
		start := s.pos
		element := append(append([]string(nil), path...), "["+strconv.Itoa(i)+"]")
		at := len(s.entries)
		s.add(element, span{}, span{}, false)
		v := s.value(element)
		s.entries[at].key, s.entries[at].value = v, v
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
		if s.pos >= len(s.text) || s.peek() == '}' {
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
func (s *scanner) quoted(q byte) span {
	from := s.pos
	long := strings.Repeat(string(q), 3)
	if strings.HasPrefix(s.text[s.pos:], long) {
		s.pos += 3
		for s.pos < len(s.text) && !strings.HasPrefix(s.text[s.pos:], long) {
			s.escaped(q)
		}
		s.pos = min(s.pos+3, len(s.text))
		for extra := 0; extra < 2 && s.peek() == q; extra++ {
			s.pos++ // up to two quotes may stand before the closing three
		}
		return span{from, s.pos}
	}
	s.pos++
	for s.pos < len(s.text) && s.text[s.pos] != q && s.text[s.pos] != '\n' {
		s.escaped(q)
	}
	if s.peek() == q {
		s.pos++
	}
	return span{from, s.pos}
}

// escaped moves over one character of a string.
func (s *scanner) escaped(q byte) {
	if q == '"' && s.text[s.pos] == '\\' && s.pos+1 < len(s.text) {
		s.pos++
	}
	s.pos++
}

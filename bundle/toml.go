package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// span is one `key = value` of a TOML document and where it stands. The TOML
// library knows values without their places; to change a manifest byte by byte
// one needs both.
type span struct {
	key []string // whole path; the n-th table of an array counts as "n" from 0
	// text[keyStart:end] is the assignment, text[start:end] its value,
	// text[lineStart:lineEnd] all its lines with the last newline (inside an inline
	// table: 0, 0).
	keyStart           int
	start, end         int
	lineStart, lineEnd int
	text               string // the value, if it is a string
	isString           bool
}

// tomlScanner finds the spans of a document. It is more liberal than TOML: the
// library has checked the document before.
type tomlScanner struct {
	s      string
	at     int
	table  []string
	counts map[string]int // tables so far of each array of tables
	spans  []span
}

// scanTOML returns the assignments of a valid TOML document in their order.
func scanTOML(file string, data []byte) ([]span, error) {
	if err := checkTOML(file, data); err != nil {
		return nil, err
	}
	p := &tomlScanner{s: string(data), counts: map[string]int{}}
	if rest, ok := strings.CutPrefix(p.s, "\ufeff"); ok {
		p.s = "   " + rest // as many bytes, and blank
	}
	for p.skipBlank(); p.at < len(p.s); p.skipBlank() {
		if err := p.statement(); err != nil {
			return nil, &TOMLError{File: file, Line: 1 + strings.Count(p.s[:p.at], "\n"), Message: err.Error()}
		}
	}
	return p.spans, nil
}

// checkTOML reports what is wrong with a document, at its line.
func checkTOML(file string, data []byte) error {
	var any map[string]any
	return decodeTOML(file, data, &any)
}

func decodeTOML(file string, data []byte, v any) error {
	text := strings.TrimPrefix(string(data), "\ufeff")
	_, err := toml.Decode(text, v)
	if err == nil {
		return nil
	}
	if parse := (toml.ParseError{}); errors.As(err, &parse) {
		return &TOMLError{File: file, Line: parse.Position.Line, Message: parse.Message}
	}
	return &TOMLError{File: file, Message: err.Error()}
}

func (p *tomlScanner) statement() error {
	if p.s[p.at] == '[' {
		return p.header()
	}
	lineStart := strings.LastIndexByte(p.s[:p.at], '\n') + 1
	first := len(p.spans)
	if err := p.assignment(p.table); err != nil {
		return err
	}
	end := strings.IndexByte(p.s[p.at:], '\n')
	lineEnd := p.at + end + 1
	if end < 0 {
		lineEnd = len(p.s)
	}
	for i := first; i < len(p.spans); i++ {
		// What stands inside an inline table has no lines of its own.
		if i == len(p.spans)-1 {
			p.spans[i].lineStart, p.spans[i].lineEnd = lineStart, lineEnd
		}
	}
	return nil
}

func (p *tomlScanner) header() error {
	brackets := 1
	array := strings.HasPrefix(p.s[p.at:], "[[")
	if array {
		brackets = 2
	}
	p.at += brackets
	key, err := p.key()
	if err != nil {
		return err
	}
	for range brackets {
		if !p.accept(']') {
			return errors.New("a table's name is not closed")
		}
	}
	// The tables of arrays among the key's parents are the last ones so far.
	p.table = nil
	for i, part := range key {
		p.table = append(p.table, part)
		name := strings.Join(p.table, "\x00")
		n, isArray := p.counts[name]
		switch {
		case array && i == len(key)-1:
			p.counts[name] = n + 1
			p.table = append(p.table, strconv.Itoa(n))
		case isArray:
			p.table = append(p.table, strconv.Itoa(n-1))
		}
	}
	return nil
}

// assignment reads `key = value`; the spans inside an inline table come before
// the span of the table itself.
func (p *tomlScanner) assignment(table []string) error {
	keyStart := p.at
	key, err := p.key()
	if err != nil {
		return err
	}
	if !p.accept('=') {
		return errors.New("= is missing")
	}
	p.skipSpace()
	err = p.value(append(append([]string(nil), table...), key...))
	p.spans[len(p.spans)-1].keyStart = keyStart
	return err
}

// key reads a dotted key.
func (p *tomlScanner) key() ([]string, error) {
	var key []string
	for {
		p.skipSpace()
		if p.at >= len(p.s) {
			return nil, errors.New("a key is missing")
		}
		var part string
		var err error
		if c := p.s[p.at]; c == '"' || c == '\'' {
			part, err = p.quoted()
		} else {
			n := strings.IndexFunc(p.s[p.at:], func(r rune) bool { return strings.ContainsRune(" \t.=]\r\n", r) })
			if n <= 0 {
				return nil, errors.New("a key is missing")
			}
			part = p.s[p.at : p.at+n]
			p.at += n
		}
		if err != nil {
			return nil, err
		}
		key = append(key, part)
		if !p.accept('.') {
			return key, nil
		}
	}
}

func (p *tomlScanner) value(key []string) error {
	v := span{key: key, start: p.at}
	var err error
	switch p.current() {
	case 0:
		err = errors.New("a value is missing")
	case '"', '\'':
		v.isString = true
		v.text, err = p.quoted()
	case '[':
		err = p.list(']', func(i int) error { return p.value(append(key[:len(key):len(key)], strconv.Itoa(i))) })
	case '{':
		err = p.list('}', func(int) error { return p.assignment(key) })
	default:
		n := strings.IndexAny(p.s[p.at:], ",]}#\r\n")
		if n < 0 {
			n = len(p.s) - p.at
		}
		p.at += len(strings.TrimRight(p.s[p.at:p.at+n], " \t"))
	}
	v.end = p.at
	p.spans = append(p.spans, v)
	return err
}

// list reads what stands between brackets or braces, separated by commas.
func (p *tomlScanner) list(end byte, item func(i int) error) error {
	p.at++
	for i := 0; ; i++ {
		p.skipBlank()
		if p.accept(end) {
			return nil
		}
		if p.at >= len(p.s) {
			return fmt.Errorf("%c is missing", end)
		}
		if err := item(i); err != nil {
			return err
		}
		p.skipBlank()
		if !p.accept(',') && (p.at >= len(p.s) || p.s[p.at] != end) {
			return fmt.Errorf("%c is missing", end)
		}
	}
}

// quoted reads a string of any of the four kinds.
func (p *tomlScanner) quoted() (string, error) {
	quote := p.s[p.at : p.at+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(p.s[p.at:], long) {
		quote = long
	}
	begin := p.at + len(quote)
	end := begin
	for {
		if end >= len(p.s) {
			return "", errors.New("a string is not closed")
		}
		if quote[0] == '"' && p.s[end] == '\\' {
			end += 2
			continue
		}
		if strings.HasPrefix(p.s[end:], quote) {
			break
		}
		end++
	}
	for len(quote) == 3 && strings.HasPrefix(p.s[end+1:], quote) {
		end++ // quotes that belong to the string
	}
	literal := p.s[p.at : end+len(quote)]
	p.at = end + len(quote)
	if len(quote) == 1 && (quote == "'" || !strings.Contains(literal, `\`)) {
		return literal[1 : len(literal)-1], nil
	}
	var decoded struct{ V string }
	_, err := toml.Decode("V = "+literal, &decoded)
	return decoded.V, err
}

// current returns the byte at hand, 0 at the end.
func (p *tomlScanner) current() byte {
	if p.at >= len(p.s) {
		return 0
	}
	return p.s[p.at]
}

func (p *tomlScanner) accept(c byte) bool {
	p.skipSpace()
	if p.at < len(p.s) && p.s[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *tomlScanner) skipSpace() {
	for p.at < len(p.s) && (p.s[p.at] == ' ' || p.s[p.at] == '\t') {
		p.at++
	}
}

// skipBlank skips white space, newlines and comments.
func (p *tomlScanner) skipBlank() {
	for p.at < len(p.s) {
		switch p.s[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		case '#':
			if n := strings.IndexByte(p.s[p.at:], '\n'); n >= 0 {
				p.at += n
			} else {
				p.at = len(p.s)
			}
		default:
			return
		}
	}
}

// quoteTOML writes a basic string.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// edit replaces text[start:end] by with.
type edit struct {
	start, end int
	with       string
}

// inOrder sorts edits by their place.
func inOrder(edits []edit) []edit {
	slices.SortFunc(edits, func(x, y edit) int { return x.start - y.start })
	return edits
}

// apply makes the edits, which must be in order and must not overlap. Every
// other byte stays.
func apply(data []byte, edits []edit) []byte {
	if len(edits) == 0 {
		return data
	}
	var out []byte
	at := 0
	for _, e := range edits {
		out = append(out, data[at:e.start]...)
		out = append(out, e.with...)
		at = e.end
	}
	return append(out, data[at:]...)
}

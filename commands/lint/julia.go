package lint

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind says what a token of Julia code is.
type kind int

const (
	ident   kind = iota // a name, a keyword, or a macro's name with its @
	literal             // a string
	symbol              // one character of anything else
	newline
)

// token is a piece of Julia code; comments and blanks are none.
type token struct {
	kind     kind
	text     string // of an ident or symbol; a literal's content without quotes, escapes as written
	from, to int    // bytes in the script
	command  bool   // a literal in backticks
	prefix   bool   // a literal after a name: r"…", raw"…"
	computed bool   // a literal with $
}

func (t token) is(text string) bool { return t.kind != literal && t.text == text }

// plain reports whether a token is a string that says what it looks like.
func (t token) plain() bool {
	return t.kind == literal && !t.command && !t.prefix && !t.computed
}

// tokens cuts Julia code as far as lints need it: names, strings, brackets and
// line ends, with comments and the insides of strings out of the way.
//
// They go to the end of list: whoever lints at every keystroke brings the list
// of the last time, as one of a long script takes megabytes.
func tokens(list []token, code string) []token {
	l := lexer{code: code, out: list}
	for l.pos < len(code) {
		l.next()
	}
	return l.out
}

type lexer struct {
	code string
	pos  int
	out  []token
}

func (l *lexer) emit(k kind, from int) *token {
	l.out = append(l.out, token{kind: k, text: l.code[from:l.pos], from: from, to: l.pos})
	return &l.out[len(l.out)-1]
}

func (l *lexer) next() {
	from := l.pos
	r, size := utf8.DecodeRuneInString(l.code[l.pos:])
	switch {
	case r == '\n':
		l.pos++
		l.emit(newline, from)
	case strings.HasPrefix(l.code[l.pos:], "#="):
		l.blockComment()
	case r == '#':
		if i := strings.IndexByte(l.code[l.pos:], '\n'); i >= 0 {
			l.pos += i
		} else {
			l.pos = len(l.code)
		}
	case r == '"' || r == '`':
		l.str(byte(r))
	case r == '\'':
		l.quote()
	case nameStart(r) || r == '@' && l.macroAhead():
		l.pos += size
		for l.pos < len(l.code) {
			r, size := utf8.DecodeRuneInString(l.code[l.pos:])
			if !nameStart(r) && !unicode.IsDigit(r) && r != '!' {
				break
			}
			l.pos += size
		}
		l.emit(ident, from)
	case unicode.IsSpace(r):
		l.pos += size
	default:
		l.pos += size
		l.emit(symbol, from)
	}
}

func nameStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }

func (l *lexer) macroAhead() bool {
	r, _ := utf8.DecodeRuneInString(l.code[l.pos+1:])
	return nameStart(r)
}

// blockComment skips #= … =#, which nests.
func (l *lexer) blockComment() {
	depth := 0
	for l.pos < len(l.code) {
		switch {
		case strings.HasPrefix(l.code[l.pos:], "#="):
			depth++
			l.pos += 2
		case strings.HasPrefix(l.code[l.pos:], "=#"):
			depth--
			l.pos += 2
			if depth == 0 {
				return
			}
		default:
			l.pos++
		}
	}
}

// quote tells a character from an adjoint: the latter follows a value directly.
func (l *lexer) quote() {
	if l.pos > 0 {
		before, _ := utf8.DecodeLastRuneInString(l.code[:l.pos])
		if nameStart(before) || unicode.IsDigit(before) || strings.ContainsRune(")]}'\".!", before) {
			l.pos++
			return
		}
	}
	end := l.pos + 1
	if end < len(l.code) && l.code[end] == '\\' {
		end++
	}
	if i := strings.IndexByte(l.code[min(end+1, len(l.code)):], '\''); i >= 0 && i < 12 {
		l.pos = end + 1 + i + 1
		return
	}
	l.pos++
}

// str reads a string with one or three quotes; what is interpolated belongs to it.
func (l *lexer) str(q byte) {
	from := l.pos
	prefix := len(l.out) > 0 && l.out[len(l.out)-1].kind == ident && l.out[len(l.out)-1].to == from && q == '"'
	quotes := string(q)
	if strings.HasPrefix(l.code[from:], strings.Repeat(quotes, 3)) {
		quotes = strings.Repeat(quotes, 3)
	}
	l.pos += len(quotes)
	start, computed := l.pos, false
	for l.pos < len(l.code) && !strings.HasPrefix(l.code[l.pos:], quotes) {
		switch {
		case l.code[l.pos] == '\\':
			l.pos = min(l.pos+2, len(l.code))
		case l.code[l.pos] == '$' && !prefix:
			computed = true
			if l.pos++; l.pos < len(l.code) && l.code[l.pos] == '(' {
				l.interpolation()
			}
		default:
			l.pos++
		}
	}
	content := l.code[start:l.pos]
	l.pos = min(l.pos+len(quotes), len(l.code))
	t := l.emit(literal, from)
	t.text, t.command, t.prefix, t.computed = content, q == '`', prefix, computed
}

// interpolation skips $(…) with the strings and brackets in it.
func (l *lexer) interpolation() {
	inner := lexer{code: l.code, pos: l.pos}
	depth := 0
	for inner.pos < len(l.code) {
		seen := len(inner.out)
		inner.next()
		if len(inner.out) == seen {
			continue
		}
		switch t := inner.out[len(inner.out)-1]; {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		}
		inner.out = inner.out[:0]
		if depth == 0 {
			break
		}
	}
	l.pos = inner.pos
}

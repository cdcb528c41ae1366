package bundle

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A glob is a pattern of an ignore file, compiled. It matches as Glob.jl's
// FilenameMatch does with default options: fnmatch without PATHNAME and PERIOD,
// so `*`, `?` and brackets match "/" and leading dots too, and a match covers
// the whole string.
//
// Source: Glob.jl 1.5, occursin(::FilenameMatch, ::AbstractString); the table of
// verdicts in testdata is computed by it.
type glob struct {
	pattern string
	tokens  []token

	// Most patterns of ignore files are literal text with at most one star at
	// either end. They are compared as strings: a plan asks tens of thousands of
	// times.
	shape  shape
	prefix string // the literal text at the start; of shapeLiteral all of it
	suffix string // the literal text at the end, behind a star, class or "?"
}

type shape uint8

const (
	shapeGeneral shape = iota
	shapeLiteral       // no star, no class, no "?"
	shapeOneStar       // PREFIX*SUFFIX, either may be empty
)

type token struct {
	kind tokenKind
	char rune         // of a literal
	set  *bracketExpr // of a set
	from int          // byte offset of the token in the pattern
}

type tokenKind uint8

const (
	tokenChar tokenKind = iota
	tokenAny
	tokenStar
	tokenSet
)

// compileGlob parses a pattern. It fails where FilenameMatch would throw as soon
// as it reaches the bad bracket expression.
func compileGlob(pattern string) (*glob, error) {
	g := &glob{pattern: pattern}
	for i := 0; i < len(pattern); {
		from := i
		c, n := utf8.DecodeRuneInString(pattern[i:])
		i += n
		t := token{kind: tokenChar, char: literal(c, pattern[from:i]), from: from}
		switch c {
		case '*':
			t.kind = tokenStar
		case '?':
			t.kind = tokenAny
		case '[':
			set, end, err := parseBracket(pattern, i)
			if err != nil {
				return nil, err
			}
			if set != nil { // an unclosed bracket stands for itself
				t.kind, t.set, i = tokenSet, set, end
			}
		case '\\':
			if i < len(pattern) { // a last backslash stands for itself
				c, n := utf8.DecodeRuneInString(pattern[i:])
				t.char = literal(c, pattern[i:i+n])
				i += n
			}
		}
		g.tokens = append(g.tokens, t)
	}
	g.classify()
	return g, nil
}

// invalidByte is where bytes that are no UTF-8 are mapped to, beyond Unicode, so
// that such a byte matches itself alone.
const invalidByte = unicode.MaxRune + 1

func literal(c rune, text string) rune {
	if c == utf8.RuneError && len(text) == 1 {
		return invalidByte + rune(text[0])
	}
	return c
}

// classify finds the literal text at both ends, and whether there is more to
// compare.
func (g *glob) classify() {
	isText := func(t token) bool { return t.kind == tokenChar && t.char < invalidByte }
	first := slices.IndexFunc(g.tokens, func(t token) bool { return !isText(t) })
	if first < 0 {
		g.shape, g.prefix = shapeLiteral, textOf(g.tokens)
		return
	}
	last := len(g.tokens)
	for isText(g.tokens[last-1]) {
		last--
	}
	g.prefix, g.suffix = textOf(g.tokens[:first]), textOf(g.tokens[last:])
	switch {
	case last == first+1 && g.tokens[first].kind == tokenStar:
		g.shape = shapeOneStar
	case g.suffix == "/":
		g.suffix = "" // of `**/`, which also matches the end of a string
	}
}

func textOf(tokens []token) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteRune(t.char)
	}
	return b.String()
}

// match reports whether the pattern matches the whole of s.
func (g *glob) match(s string) bool {
	switch {
	case g.shape == shapeLiteral:
		return s == g.prefix
	case len(s) < len(g.prefix)+len(g.suffix) || !strings.HasSuffix(s, g.suffix) || !strings.HasPrefix(s, g.prefix):
		return false
	case g.shape == shapeOneStar:
		return true
	default:
		return g.matchTokens(s)
	}
}

// matchTokens is the general case: on a mismatch the last star takes one more
// character. Giving characters to an earlier star is never necessary.
func (g *glob) matchTokens(s string) bool {
	star, retry := -1, 0
	afterSlash := true
	i, k := 0, 0
	for i < len(s) {
		if k < len(g.tokens) && g.tokens[k].kind == tokenStar {
			star, retry = k+1, i
			afterSlash = false
			k++
			continue
		}
		c, n := decode(s, i)
		if k < len(g.tokens) && g.tokens[k].matches(c) {
			afterSlash = g.tokens[k].isSlash()
			i += n
			k++
			continue
		}
		if star < 0 {
			return false
		}
		_, n = decode(s, retry)
		retry = g.nextTry(s, retry+n, star)
		i, k = retry, star
	}
	if k == len(g.tokens) {
		return true
	}
	return matchesNothing(g.pattern[g.tokens[k].from:], afterSlash)
}

// nextTry skips the places from retry on at which the token behind the star, an
// ASCII character, does not stand: the general case is slow.
func (g *glob) nextTry(s string, retry, star int) int {
	if star == len(g.tokens) {
		return retry
	}
	t := &g.tokens[star]
	if t.kind != tokenChar || t.char < 0 || t.char >= utf8.RuneSelf {
		return retry
	}
	if next := strings.IndexByte(s[retry:], byte(t.char)); next >= 0 {
		return retry + next
	}
	return len(s)
}

func decode(s string, i int) (rune, int) {
	if c := s[i]; c < utf8.RuneSelf {
		return rune(c), 1
	}
	c, n := utf8.DecodeRuneInString(s[i:])
	return literal(c, s[i:i+n]), n
}

func (t *token) matches(c rune) bool {
	switch t.kind {
	case tokenChar:
		return c == t.char
	case tokenAny:
		return true
	default:
		return t.set.matches(c)
	}
}

func (t *token) isSlash() bool { return t.kind == tokenChar && t.char == '/' }

// matchesNothing reports whether the rest of a pattern matches the end of a
// string: stars do, but after a "/" (or at the start) only `*`, `**` and `**/`,
// a peculiarity of FilenameMatch.
func matchesNothing(rest string, afterSlash bool) bool {
	if !afterSlash {
		return strings.Trim(rest, "*") == ""
	}
	for {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, "**/"); !ok {
			return rest == "" || rest == "*" || rest == "**"
		}
	}
}

// bracketExpr is what stands between "[" and "]".
type bracketExpr struct {
	negated bool
	ranges  [][2]rune
	classes []func(rune) bool
}

func (b *bracketExpr) matches(c rune) bool {
	for _, r := range b.ranges {
		if r[0] <= c && c <= r[1] {
			return !b.negated
		}
	}
	for _, is := range b.classes {
		if is(c) {
			return !b.negated
		}
	}
	return b.negated
}

// bracketParser reads the inside of a bracket expression character by character.
type bracketParser struct {
	pattern string
	at      int
	ended   bool // an attempt was made to read past the end
}

func (p *bracketParser) next() rune {
	if p.at >= len(p.pattern) {
		p.ended = true
		return 0
	}
	c, n := decode(p.pattern, p.at)
	p.at += n
	return c
}

func (p *bracketParser) peek() (rune, bool) {
	if p.at >= len(p.pattern) {
		return 0, false
	}
	c, _ := decode(p.pattern, p.at)
	return c, true
}

// parseBracket parses a bracket expression whose "[" ends at byte offset at. It
// returns nil if there is none, because the bracket is not closed.
func parseBracket(pattern string, at int) (*bracketExpr, int, error) {
	p := &bracketParser{pattern: pattern, at: at}
	set := &bracketExpr{}
	if c, ok := p.peek(); ok && c == '!' {
		set.negated = true
		p.next()
	}
	for first := true; ; first = false {
		c := p.next()
		if p.ended {
			return nil, 0, nil
		}
		if c == ']' && !first {
			return set, p.at, nil
		}
		closed, err := p.item(set, c)
		if err != nil {
			return nil, 0, err
		}
		if p.ended {
			return nil, 0, nil
		}
		if closed {
			return set, p.at, nil
		}
	}
}

// item adds one member to the set: a class, a range or a character; c is its
// first character. A "-" right before the closing bracket stands for itself and
// ends the expression.
func (p *bracketParser) item(set *bracketExpr, c rune) (closed bool, err error) {
	if c == '[' {
		var class func(rune) bool
		if c, class, err = p.named(); err != nil || p.ended {
			return false, err
		}
		if class != nil {
			set.classes = append(set.classes, class)
			return false, nil
		}
	}
	next, ok := p.peek()
	if !ok {
		p.ended = true
		return false, nil
	}
	if next != '-' {
		set.ranges = append(set.ranges, [2]rune{c, c})
		return false, nil
	}
	p.next()
	end := p.next()
	if p.ended {
		return false, nil
	}
	if end == ']' {
		set.ranges = append(set.ranges, [2]rune{c, c}, [2]rune{'-', '-'})
		return true, nil
	}
	if end == '[' {
		var class func(rune) bool
		if end, class, err = p.named(); err != nil || p.ended {
			return false, err
		}
		if class != nil {
			return false, &patternError{"[: and [= cannot end a range"}
		}
	}
	set.ranges = append(set.ranges, [2]rune{c, end})
	return false, nil
}

// named parses what may follow an inner "[": ":class:]", "=c=]" or ".c.]". If it
// is none of these, the bracket stands for itself.
func (p *bracketParser) named() (rune, func(rune) bool, error) {
	mark, ok := p.peek()
	if !ok {
		p.ended = true
		return 0, nil, nil
	}
	if mark != ':' && mark != '.' && mark != '=' {
		return '[', nil, nil
	}
	p.next()
	phrase := p.phrase(mark)
	if p.ended {
		return 0, nil, nil
	}
	if mark == ':' {
		class := classes[string(phrase)]
		if class == nil {
			return 0, nil, &patternError{fmt.Sprintf("there is no character class [:%s:]", string(phrase))}
		}
		return 0, class, nil
	}
	if len(phrase) != 1 {
		return 0, nil, &patternError{fmt.Sprintf("only a single character can stand in [%c%s%c]", mark, string(phrase), mark)}
	}
	c := phrase[0]
	if mark == '=' {
		return 0, func(r rune) bool { return r == c }, nil
	}
	return c, nil, nil
}

// phrase reads up to the mark that ends a named item and one character beyond,
// or up to a "]". The last two characters read are not part of the phrase, if
// there are as many: so does FilenameMatch.
func (p *bracketParser) phrase(mark rune) []rune {
	var read []rune
	for previous, c := rune(0), rune(0); previous != mark && c != ']'; read = append(read, c) {
		previous, c = c, p.next()
		if p.ended {
			return nil
		}
	}
	return read[:max(1, len(read)-2)]
}

// patternError says what is wrong with a pattern; where it stands is added by
// whoever knows (see IgnoreError).
type patternError struct{ message string }

func (e *patternError) Error() string { return e.message }

// classes are the character classes as Julia decides them.
var classes = map[string]func(rune) bool{
	"alnum":  func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) },
	"alpha":  unicode.IsLetter,
	"blank":  func(c rune) bool { return c == ' ' || c == '\t' },
	"cntrl":  unicode.IsControl,
	"digit":  func(c rune) bool { return '0' <= c && c <= '9' },
	"graph":  func(c rune) bool { return isPrint(c) && !isSpace(c) },
	"lower":  func(c rune) bool { return unicode.IsLower(c) || unicode.Is(unicode.Other_Lowercase, c) },
	"print":  isPrint,
	"punct":  unicode.IsPunct,
	"space":  isSpace,
	"upper":  func(c rune) bool { return unicode.IsUpper(c) || unicode.Is(unicode.Other_Uppercase, c) },
	"xdigit": func(c rune) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' },
}

// isPrint is Julia's isprint: letters, marks, numbers, punctuation, symbols and
// spaces of any width.
func isPrint(c rune) bool { return unicode.IsGraphic(c) }

// isSpace is Julia's isspace.
func isSpace(c rune) bool {
	return c == ' ' || '\t' <= c && c <= '\r' || c == '\u0085' || c >= '\u00a0' && unicode.Is(unicode.Zs, c)
}

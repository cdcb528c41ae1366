package bundle

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// slowGlob says what a pattern means in the plainest way: it tries every length
// for every star, and reads a bracket expression anew for every character. It
// shares nothing with the matcher.
type slowGlob struct{ bad bool }

var (
	emptyAnywhere   = regexp.MustCompile(`^\**$`)
	emptyAfterSlash = regexp.MustCompile(`^(\*\*/)*(\*|\*\*)?$`)
)

func (g *slowGlob) match(p, s []rune, afterSlash bool) bool {
	if len(s) == 0 {
		if afterSlash {
			return emptyAfterSlash.MatchString(string(p))
		}
		return emptyAnywhere.MatchString(string(p))
	}
	if len(p) == 0 {
		return false
	}
	switch p[0] {
	case '*':
		for n := range len(s) + 1 {
			if g.match(p[1:], s[n:], false) {
				return true
			}
		}
		return false
	case '?':
		return g.match(p[1:], s[1:], false)
	case '[':
		if members, rest, ok := g.members(p[1:]); ok {
			negated := len(members) > 0 && members[0] == "!"
			if negated {
				members = members[1:]
			}
			in := slices.ContainsFunc(members, func(m string) bool { return g.isMember(m, s[0]) })
			return in != negated && g.match(rest, s[1:], false)
		}
	case '\\':
		if len(p) > 1 {
			p = p[1:]
		}
	}
	return p[0] == s[0] && g.match(p[1:], s[1:], p[0] == '/')
}

// members cuts what follows "[" into members: "!" at the start, "[:alpha:]",
// "a-z" and single characters (as "a-a"). ok is false if it is not closed.
func (g *slowGlob) members(p []rune) (members []string, rest []rune, ok bool) {
	if len(p) > 0 && p[0] == '!' {
		members, p = append(members, "!"), p[1:]
	}
	for first := true; len(p) > 0; first = false {
		if p[0] == ']' && !first {
			return members, p[1:], true
		}
		from, class, after, ok := g.item(p)
		if !ok {
			return nil, nil, false
		}
		p = after
		if class != "" {
			members = append(members, class)
			continue
		}
		if len(p) == 0 {
			return nil, nil, false
		}
		if p[0] != '-' {
			members = append(members, string([]rune{from, '-', from}))
			continue
		}
		if len(p) == 1 {
			return nil, nil, false
		}
		if p[1] == ']' {
			return append(members, string([]rune{from, '-', from}), "---"), p[2:], true
		}
		to, class, after, ok := g.item(p[1:])
		if !ok {
			return nil, nil, false
		}
		if class != "" {
			g.bad = true
		}
		members, p = append(members, string([]rune{from, '-', to})), after
	}
	return nil, nil, false
}

var named = regexp.MustCompile(`^\[([:.=])`)

// item reads one character, or one of the named forms.
func (g *slowGlob) item(p []rune) (c rune, class string, rest []rune, ok bool) {
	m := named.FindStringSubmatch(string(p))
	if m == nil {
		if p[0] == '[' && len(p) == 1 {
			return 0, "", nil, false
		}
		return p[0], "", p[1:], true
	}
	mark := rune(m[1][0])
	body := p[2:]
	// Up to the first "]", or one character beyond the first mark that another
	// character precedes or follows.
	end := -1
	for i, r := range body {
		if r == ']' || i > 0 && body[i-1] == mark {
			end = i + 1
			break
		}
	}
	if end < 0 {
		return 0, "", nil, false
	}
	phrase := string(body[:max(1, end-2)])
	switch {
	case mark == ':':
		if classes[phrase] == nil {
			g.bad = true
		}
		return 0, "[:" + phrase, body[end:], true
	case len([]rune(phrase)) != 1:
		g.bad = true
		return 0, "[:", body[end:], true
	case mark == '=':
		return 0, "[=" + phrase, body[end:], true
	default:
		return []rune(phrase)[0], "", body[end:], true
	}
}

func (g *slowGlob) isMember(m string, c rune) bool {
	if class, ok := strings.CutPrefix(m, "[:"); ok {
		if classes[class] == nil {
			return false
		}
		return classes[class](c)
	}
	if same, ok := strings.CutPrefix(m, "[="); ok {
		return []rune(same)[0] == c
	}
	r := []rune(m)
	return r[0] <= c && c <= r[2]
}

// agree compares matcher and slow matcher on one pair.
func agree(t *testing.T, pattern, text string) {
	t.Helper()
	slow := &slowGlob{}
	want := slow.match([]rune(pattern), []rune(text), true)
	g, err := compileGlob(pattern)
	if err != nil {
		return // an error is found when compiling; the slow one may not get there
	}
	if slow.bad {
		t.Errorf("%q on %q: the slow matcher found a bad bracket", pattern, text)
	}
	if got := g.match(text); got != want {
		t.Errorf("%q on %q: %v, the slow matcher says %v", pattern, text, got, want)
	}
	if got := g.matchTokens(text); got != want {
		t.Errorf("%q on %q without short cuts: %v, the slow matcher says %v", pattern, text, got, want)
	}
}

// TestGlobAgainstSlow compares many random pairs made of what matters.
func TestGlobAgainstSlow(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	pieces := []string{"*", "*", "**/", "?", "a", "b", "/", "/", ".", "[", "]", "!", "-", "\\", "[a-c]", "[!a]", "[[:alpha:]]", "[[:", ":]", "[=a=]", "[.a.]", "[]a]", "[a-]", "é", "a\u0301", "日"}
	letters := []string{"a", "b", "c", "/", "/", ".", "-", "]", "[", "\\", "!", "*", "é", "a\u0301", "日", "^", ":"}
	join := func(from []string, n int) string {
		var b strings.Builder
		for range r.IntN(n) {
			b.WriteString(from[r.IntN(len(from))])
		}
		return b.String()
	}
	matches := 0
	for range 60_000 {
		pattern, text := join(pieces, 7), join(letters, 7)
		agree(t, pattern, text)
		if g, err := compileGlob(pattern); err == nil && g.match(text) {
			matches++
		}
	}
	if matches < 2000 {
		t.Errorf("only %d pairs match: the test says little", matches)
	}
}

// FuzzGlob looks for more: go test -fuzz FuzzGlob ./bundle
func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{{"*.csv", "a/b.csv"}, {"[!a-c]/**", "d/"}, {"[[:alpha:][=x=]-]*", "x-"}, {`\*[\]]`, "*]"}, {"a/***", "a/"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 12 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return // the slow matcher is slow, and knows no bytes
		}
		agree(t, pattern, text)
	})
}

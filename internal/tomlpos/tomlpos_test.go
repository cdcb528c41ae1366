package tomlpos

import (
	"strings"
	"testing"
)

const sample = "\ufefftop = 'x' # c\n" +
	"a.\"b c\".d = [1, [2, '''three''' ],\n  {e = \"\\u0066\", g.h = true}]\r\n" +
	"[t . u]\n" +
	"key = \"\"\"two\nlines\\\"\"\"\"\"  # five quotes: two belong to the text\n" +
	"when = 1979-05-27 07:32:00Z   \n" +
	"[[deps.Foo]]\npath = 'p'\n[deps.Foo.more]\nx = 1\n[[deps.Foo]]\npath = 'q'\n"

func TestPlaces(t *testing.T) {
	l := Scan(sample)
	for path, want := range map[string][2]string{
		"top":                     {"top", "'x'"},
		"a|b c|d":                 {"d", "[1, [2, '''three''' ],\n  {e = \"\\u0066\", g.h = true}]"},
		"a|b c":                   {"\"b c\"", "\"b c\""},
		"a|b c|d|[0]":             {"1", "1"},
		"a|b c|d|[1]|[1]":         {"'''three'''", "'''three'''"},
		"a|b c|d|[2]|e":           {"e", `"\u0066"`},
		"a|b c|d|[2]|g|h":         {"h", "true"},
		"t|u":                     {"u", "u"},
		"t|u|key":                 {"key", "\"\"\"two\nlines\\\"\"\"\"\""},
		"t|u|when":                {"when", "1979-05-27 07:32:00Z"},
		"deps|Foo|[0]|path":       {"path", "'p'"},
		"deps|Foo|[0]|more|x":     {"x", "1"},
		"deps|Foo|[1]|path":       {"path", "'q'"},
		"deps|Foo|[1]|more|x":     {"", ""},
		"a|b c|d|[2]|g|h|nothing": {"", ""},
	} {
		e, ok := l.Find(strings.Split(path, "|")...)
		key, value := sample[e.Key.From:e.Key.To], sample[e.Value.From:e.Value.To]
		if ok != (want[0] != "") || key != want[0] || value != want[1] {
			t.Errorf("%s: %v %q = %q, want %q", path, ok, key, value, want)
		}
	}
}

func TestPositions(t *testing.T) {
	text := "\ufeffé = '😀' # x\r\nb = 1"
	l := Scan(text)
	e, _ := l.Find("é")
	if line, col := l.Position(e.Value.To); line != 0 || col != 8 {
		t.Errorf("%d:%d", line, col)
	}
	e, _ = l.Find("b")
	if line, col := l.Position(e.Value.From); line != 1 || col != 4 {
		t.Errorf("%d:%d", line, col)
	}
	for _, entry := range l.Entries {
		for _, at := range []int{entry.Key.From, entry.Key.To, entry.Value.From, entry.Value.To} {
			if got := l.Offset(l.Position(at)); got != at {
				t.Errorf("%d came back as %d", at, got)
			}
		}
	}
	if l.Offset(-1, 0) != 0 || l.Offset(9, 9) != len(text) || l.Offset(1, 99) != len(text) {
		t.Error("places outside the text")
	}
}

// TestBrokenTexts are what someone types.
func TestBrokenTexts(t *testing.T) {
	for text, want := range map[string]string{
		"[profile.a]\nncp":              "profile.a.ncp",
		"[profile.a]\nimage = { prod":   "profile.a.image.prod",
		"[profile.":                     "profile",
		"x = [1, {y = [\n":              "x.[1].y",
		"a = \"open\nb = 1":             "b",
		"= 3\nb = 1":                    "b",
		"]]]\nb = 1":                    "b",
		strings.Repeat("[", 1000) + "b": "",
	} {
		l := Scan(text)
		if _, ok := l.Find(strings.Split(want, ".")...); !ok && want != "" {
			t.Errorf("%q: no %s in %+v", text, want, l.Entries)
		}
	}
	deep := Scan("a = " + strings.Repeat("[", 100000))
	if len(deep.Entries) > 2*maxNesting {
		t.Errorf("%d entries", len(deep.Entries))
	}
}

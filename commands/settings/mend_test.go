package settings

import (
	"strings"
	"testing"
)

// TestMend breaks a file in one place and reads what is left of the others.
func TestMend(t *testing.T) {
	const above, below = "default-profile = \"a\"\n[profile.a]\nncpu = 4\n", "\n[profile.z]\nmemory = 32\n"
	for _, broken := range []string{
		"", "nc", "timelimit = ", "alias = \"x", "alias = '", "image = {", "image = { product = ", "download = [", "download = [\"*.png\",\n  \"*", "= 3", "]", "x y = 3",
		"ncpu = 5", "[profile.", "[profile.b", "[profile.b\nncpu = 64\nmemory = 7", "[profile.a]", "[profile]\na = 3", "[[profile]]", "timelimit = 2h", "memory = 08", "\x01", "a.b.", "alias = \"\\q\"", "julia = 1.10.3",
		"alias = \"\"\"\nx", "a = " + strings.Repeat("{a=", 200), "[", "[[", "[]", "elastic = tru", "elastic = True", "env = { A = \"1\" B = 2 }", "env = { A = \"1\",\n B = 2 }", "ncpu\n= 3",
	} {
		for _, end := range []string{"\n", "\r\n"} {
			text := strings.ReplaceAll(above+broken+below, "\n", end)
			for _, text := range []string{text, "\ufeff" + text} {
				h := ParseHub(Mend([]byte(text)))
				a, okA := h.Profile("a")
				z, okZ := h.Profile("z")
				if !okA || !okZ || a.NCPU != 4 || a.Memory != 1 || z.Memory != 32 {
					t.Errorf("%q: a %v %+v, z %v %+v of\n%s", text, okA, a, okZ, z, Mend([]byte(text)))
				}
			}
		}
	}
	for _, hopeless := range []string{"\x00\xff", strings.Repeat("]\n", 100), strings.Repeat("# long\n", 20_000) + "]"} {
		if got := string(Mend([]byte(hopeless))); got != hopeless && len(ParseHub([]byte(got)).syntax) > 0 {
			t.Errorf("%.20q: %.20q", hopeless, got)
		}
	}
}

// TestNesting reads what would take a parser for ever.
func TestNesting(t *testing.T) {
	const deep = 200_000
	for _, text := range []string{
		"a=" + strings.Repeat("{a=", deep), "a=" + strings.Repeat("[", deep), strings.Repeat("a.", deep) + "b=1", "[" + strings.Repeat("a.", deep) + "b]", strings.Repeat("# long\n", deep),
	} {
		_, problems := hub("x = 1\n"+text, "")
		if len(problems) != 1 || problems[0].Code != CodeHubSyntax || problems[0].Line > 1 {
			t.Errorf("%.20q: %+v", text, problems)
		}
		Mend([]byte(text))
	}
}

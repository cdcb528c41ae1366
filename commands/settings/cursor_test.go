package settings

import (
	"strings"
	"testing"
)

// TestAt puts the cursor at ‸ and looks at what stands there.
func TestAt(t *testing.T) {
	for _, c := range []struct {
		text, path, what, at string
		choice               string // one that must be offered, as LABEL→INSERT; "" = none at all
	}{
		{"ser‸", "server", "key", "ser", ""},
		{"‸", "", "key", "", `server→server = "juliahub.com"`},
		{"[profile.a]\nnc‸", "profile a nc", "key", "nc", "ncpu→ncpu = 2"},
		{"[profile.a]\n‸\nncpu = 2", "profile a ", "key", "", "memory→memory = 8"},
		{"[profile.a]\nnc‸ = 3", "profile a nc", "key", "nc", "ncpu→ncpu"},
		{"[profile.a]\ninherits = ‸\n[profile.b]\n", "profile a inherits", "value", "", `b→"b"`},
		{"[profile.a]\ninherits = \"‸\"\n[profile.b]\n", "profile a inherits", "value", "", `b→"b"`},
		{"default-profile = \"s‸\"\n[profile.small]\n", "default-profile", "value", "s", `small→"small"`},
		{"[profile.a]\nsysimage = tr‸ue # x", "profile a sysimage", "value", "true", "false→false"},
		{"[profile.a]\nexpose = { port = 8080, access = \"m‸e\" }", "profile a expose access", "value", "me", `logged-in→"logged-in"`},
		{"[profile.a]\nexpose = { ‸ }", "profile a expose ", "key", "", "port→port = "},
		{"[profile.a]\nexpose = { po‸", "profile a expose po", "key", "po", "port→port = "},
		{"[profile.a]\nexpose = { port = 8080, ‸ }", "profile a expose ", "key", "", "access→access = "},
		{"[pro‸", "pro", "header", "pro", "profile.NAME→profile."},
		{"[‸", "", "header", "", "profile.NAME→profile."},
		{"[profile.s‸mall]", "profile small", "header", "small", ""},
		{"[profile.a]\nalias = 'é😀 x‸'", "profile a alias", "value", "é😀 x", `"train {file} {branch}"→"train {file} {branch}"`},
		{"[profile.a]\ndownload = [\"*.p‸ng\"]", "profile a download [0]", "value", "*.png", `"**/*.csv"→"**/*.csv"`},
		{"[profile.a]\ndownload = [\n  ‸\n]", "profile a download []", "value", "", `"*.png"→"*.png"`},
		{"[profile.‸\n[profile.small]\ninherits = \"a b\"", "profile ", "header", "", `a b→"a b"`},
		{"default-profile = \"big\"\n[‸", "", "header", "", "profile.big→profile.big"},
		{"[profile.small.‸]\n", "profile small ", "header", "", "image→image"},
		{"[bundle]\n‸", "bundle ", "key", "", `public-git-hosts→public-git-hosts = ["github.com", "gitlab.com"]`},
		{"bundle.pu‸", "bundle pu", "key", "pu", `public-git-hosts→public-git-hosts = ["github.com", "gitlab.com"]`},
		{"[profile.a]\nexpose.‸", "profile a expose ", "key", "", "port→port = "},
		{"[profile.a]\nexpose = { access = ‸ }", "profile a expose access", "value", "", `public→"public"`},
		{"[profile.a]\nexpose = { access = ‸, port = 8080 }", "profile a expose access", "value", "", `public→"public"`},
		{"[profile.a]\nsysimage = ‸true", "profile a sysimage", "value", "true", "false→false"},
		{"[profile.a]\nsysimage = ‸ true", "profile a sysimage", "value", "true", "false→false"},
		{"[profile.a]\nngpu = ‸", "profile a ngpu", "value", "", "1→1"},
		{"[profile.a.image]\n‸", "profile a image ", "key", "", "product→product = "},
		{"[profile.a]\r\nnc‸\r\nmemory = 2", "profile a nc", "key", "nc", "ncpu→ncpu = 2"},
		{"\ufeff‸", "", "key", "", `[profile.NAME]→[profile.`},
		{"[profile.a]\npro‸", "profile a pro", "key", "pro", "[profile.NAME]→[profile."},
	} {
		before, _, _ := strings.Cut(c.text, "‸")
		text := strings.ReplaceAll(c.text, "‸", "")
		line := strings.Count(before, "\n")
		col := utf16Len(before[strings.LastIndexByte(before, '\n')+1:])
		h := ParseHub([]byte(text))
		got := h.At(line, col)
		what := map[[2]bool]string{{true, false}: "value", {false, true}: "header", {false, false}: "key"}[[2]bool{got.Value, got.Header}]
		path := c.path
		if path == "server" {
			path = "ser" // unfinished
		}
		if strings.Join(got.Path, " ") != path || what != c.what || got.Text != c.at {
			t.Errorf("%q: %+v", c.text, got)
		}
		if from, to := h.layout.Offset(got.Line, got.Col), h.layout.Offset(got.EndLine, got.EndCol); !strings.Contains(text[from:to], got.Text) || from > len(before) || to < len(before) {
			t.Errorf("%q: range %q", c.text, text[from:to])
		}
		if c.choice == "" {
			continue
		}
		found := false
		for _, choice := range h.Choices(got) {
			found = found || choice.Label+"→"+choice.Insert == c.choice
		}
		if !found {
			t.Errorf("%q: no %s in %+v", c.text, c.choice, h.Choices(got))
		}
	}
}

func utf16Len(s string) (n int) {
	for _, r := range s {
		if n++; r > 0xFFFF {
			n++
		}
	}
	return n
}

func TestKeyAt(t *testing.T) {
	for path, want := range map[string]string{
		"profile gpu ncpu": "ncpu", "profile gpu image product": "image product", "server": "server", "profile gpu download [0]": "download",
		"bundle public-git-hosts [1]": "bundle.public-git-hosts", "profile gpu": "", "ncpu": "", "profile gpu image size": "", "profile gpu server": "",
	} {
		k, f, ok := Cursor{Path: strings.Fields(path)}.KeyAt()
		got := strings.TrimSpace(k.Name + " " + f.Name)
		if got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", path, got, ok)
		}
	}
}

// TestNothingToWrite puts the cursor where no key and no value can stand.
func TestNothingToWrite(t *testing.T) {
	for _, text := range []string{
		"# nc‸", "[profile.a]\nncpu = 2 ‸", "[profile.a]\nncpu = 2 # nc‸", "[profile.a]‸", "[profile.a] # ‸", "[profile.a]\nimage = { product = \"x\" } ‸",
		"[profile.a]\ndownload = [\n  \"*.png\", # pi‸\n]", "[profile.a]\nalias = \"\"\"\n‸\n\"\"\"", "[profile.a.env]\n‸X = 1", "[nothing.‸]", "[other]\n‸",
	} {
		before, _, _ := strings.Cut(text, "‸")
		h := ParseHub([]byte(strings.ReplaceAll(text, "‸", "")))
		at := h.At(strings.Count(before, "\n"), utf16Len(before[strings.LastIndexByte(before, '\n')+1:]))
		if got := h.Choices(at); len(got) > 0 {
			t.Errorf("%q: %+v at %+v", text, got, at)
		}
	}
}

// TestChoicesLeaveOutWhatIsThere also checks that a broken text has completion.
func TestChoicesLeaveOutWhatIsThere(t *testing.T) {
	h := ParseHub([]byte("[profile.a]\nncpu = 2\nmemory = \n\n"))
	for _, c := range h.Choices(h.At(3, 0)) {
		if c.Label == "ncpu" || c.Label == "memory" {
			t.Errorf("%s is offered twice", c.Label)
		}
	}
}

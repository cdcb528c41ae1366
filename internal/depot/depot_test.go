package depot

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPaths(t *testing.T) {
	home := filepath.FromSlash("/home/ada")
	standard := filepath.Join(home, ".julia")
	sep := string(filepath.ListSeparator)
	for _, test := range []struct {
		name  string
		value string
		set   bool
		want  []string
	}{
		{"unset", "", false, []string{standard}},
		{"empty", "", true, nil},
		{"one", "/a", true, []string{"/a"}},
		{"tilde", "~/a" + sep + "~" + sep + "~bob", true, []string{filepath.Join(home, "a"), home, "~bob"}},
		{"leading empty", sep + "/a", true, []string{standard, "/a"}},
		{"later empty", "/a" + sep + sep + "/b" + sep, true, []string{"/a", "/b"}},
		{"only empty", sep, true, []string{standard}},
		{"twice", "/a" + sep + "/a", true, []string{"/a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Paths(func(key string) (string, bool) {
				if key != "JULIA_DEPOT_PATH" {
					t.Errorf("asked for %s", key)
				}
				return test.value, test.set
			}, home)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", strings.Join(got, sep), strings.Join(test.want, sep))
			}
		})
	}
}

func TestServerDir(t *testing.T) {
	for server, want := range map[string]string{
		"https://juliahub.com":       "juliahub.com",
		"https://juliahub.com/x?y":   "juliahub.com",
		"http://127.0.0.1:41234":     "127.0.0.1_41234",
		"http://127.0.0.1:41234/":    "127.0.0.1_41234",
		`https://a<b>"c\d|e?f*g.com`: "a_b__c_d_e_f_g.com",
	} {
		if got := ServerDir(server); got != want {
			t.Errorf("ServerDir(%q) = %q, want %q", server, got, want)
		}
	}
}

package lsp

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestPathFromURI(t *testing.T) {
	for _, c := range []struct {
		uri, posix, windows string // "" = refused
	}{
		{"file:///home/me/a.jl", "/home/me/a.jl", ""},
		{"file:///home/me/a%20b%25c%23d%3F.jl", "/home/me/a b%c#d?.jl", ""},
		{"file:///home/me/a b#c?.jl", "/home/me/a b#c?.jl", ""},
		{"file:///home/%C3%A9t%C3%A9/%E2%88%80.jl", "/home/été/∀.jl", ""},
		{"file:///home/été/∀.jl", "/home/été/∀.jl", ""},
		{"FILE:///home/a.jl", "/home/a.jl", ""},
		{"file:/home/a.jl", "/home/a.jl", ""},
		{"file://localhost/home/a.jl", "/home/a.jl", ""},
		{"file:///home/../etc/./a.jl", "/etc/a.jl", ""},
		{"file:///c%3A/Users/me/a.jl", "/c:/Users/me/a.jl", `C:\Users\me\a.jl`},
		{"file:///C:/Users/me/a%20b.jl", "/C:/Users/me/a b.jl", `C:\Users\me\a b.jl`},
		{"file:///C:/", "/C:", `C:\`},
		{"file://server/share/a.jl", "", `\\server\share\a.jl`},
		{"file://wsl%24/Ubuntu/home/a.jl", "", `\\wsl$\Ubuntu\home\a.jl`},
		{"file:///home/a%2.jl", "", ""},
		{"file:///home/a%zz.jl", "", ""},
		{"file:///home/a%00.jl", "", ""},
		{"file:", "", ""},
		{"file:a.jl", "", ""},
		{"file://", "", ""},
		{"untitled:Untitled-1", "", ""},
		{"untitled://wsl%2Bubuntu/home/a.jl", "", ""},
		{"vscode-remote://ssh-remote%2Bhost/home/a.jl", "", ""},
		{"vscode-vfs://github/x/y/a.jl", "", ""},
		{"", "", ""},
		{":", "", ""},
		{"/home/me/a.jl", "", ""},
		{"%", "", ""},
	} {
		for _, windows := range []bool{false, true} {
			want := c.posix
			if windows {
				want = c.windows
			}
			got, err := pathFrom(c.uri, windows)
			if (err != nil) != (want == "") || got != want {
				t.Errorf("%q, windows %t: %q, %v, want %q", c.uri, windows, got, err, want)
			}
		}
	}
}

func TestURIOfPath(t *testing.T) {
	for path, want := range map[string]string{
		"/home/me/a.jl":           "file:///home/me/a.jl",
		"/home/a b%c#d?e+f.jl":    "file:///home/a%20b%25c%23d%3Fe%2Bf.jl",
		"/home/été/∀.jl":          "file:///home/%C3%A9t%C3%A9/%E2%88%80.jl",
		"/home/\xff.jl":           "file:///home/%FF.jl",
		"/":                       "file:///",
		`/home/back\slash "q".jl`: "file:///home/back%5Cslash%20%22q%22.jl",
	} {
		if got := uriFrom(path, false); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		`C:\Users\me\a b.jl`:   "file:///C:/Users/me/a%20b.jl",
		`\\server\share\a.jl`:  "file://server/share/a.jl",
		`\\wsl$\Ubuntu\é\a.jl`: "file://wsl%24/Ubuntu/%C3%A9/a.jl",
	} {
		if got := uriFrom(path, true); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestKeysOfOneFile(t *testing.T) {
	if onWindows {
		t.Skip("the names are those of other systems")
	}
	for _, same := range []string{"file:///a/b%2Bc.jl", "file:///a/b+c.jl", "file:/a/./b+c.jl", "file://localhost/a/b%2bc.jl"} {
		if keyOf(same) != keyOfPath("/a/b+c.jl") {
			t.Errorf("%s: %s", same, keyOf(same))
		}
	}
}

func FuzzURI(f *testing.F) {
	for _, seed := range []string{"file:///a%20b", "file://h/s", "untitled:x", "vscode-remote://x/y", "file:///c%3A/", "file:", "%", "a:%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		_, _ = pathFrom(uri, true)
		_ = keyOf(uri)
		path, err := pathFrom(uri, false)
		if err != nil {
			return
		}
		if !strings.HasPrefix(path, "/") || strings.IndexByte(path, 0) >= 0 {
			t.Fatalf("%q became %q", uri, path)
		}
		back, err := pathFrom(uriFrom(path, false), false)
		if err != nil || back != path {
			t.Fatalf("%q became %q, and back %q, %v", uri, path, back, err)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("/a b/%#?")
	f.Fuzz(func(t *testing.T, path string) {
		path = filepath.Clean("/" + path)
		if strings.IndexByte(path, 0) >= 0 {
			return
		}
		if got, err := pathFrom(uriFrom(path, false), false); err != nil || got != path {
			t.Fatalf("%q: %q, %v", path, got, err)
		}
	})
}

package commands

import (
	"testing"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

func TestJuliaOf(t *testing.T) {
	for _, c := range []struct {
		file, message, want string
	}{
		{"", "Julia Version 1.10.4\nCommit 48d4fd48430 (2024-06-04 10:41 UTC)", "1.10"},
		{"", " [2] top-level scope @ /usr/local/julia/share/julia/stdlib/v1.11/Test/src/Test.jl:1709", "1.11"},
		{"", `at C:\julia\share\julia\stdlib\v1.9\Pkg\src\API.jl:12`, "1.9"},
		{"", " @ /opt/julia-1.12.1/share/julia/base/x.jl:3", "1.12"},
		{"/home/jovyan/.julia/compiled/v1.8/Foo/x.ji", "hello", "1.8"},
		{"", "Activating environment at `~/.julia/environments/v1.6/Project.toml`", ""},
		{"/home/ada/julia-code/stdlib.jl", "compiled in julia-1 of stdlib/vX.Y/", ""},
	} {
		if got := juliaOf([]jobapi.LogMessage{{Message: "x"}, {FilePath: c.file, Message: c.message}}); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.file, c.message, got, c.want)
		}
	}
	log := []jobapi.LogMessage{{Message: "/stdlib/v1.9/"}, {Message: "/stdlib/v1.8/"}, {Message: "Julia Version 1.10.0-rc1"}}
	if got := juliaOf(log); got != "1.10" {
		t.Errorf("what it says of itself counts: %q", got)
	}
}

func TestLearn(t *testing.T) {
	r := track.Record{State: track.Failed, Failure: &track.Place{Message: "LoadError: boom\nand more"}, Julia: "1.9"}
	learn(&r, nil)
	if r.Reason != "LoadError: boom" || r.Julia != "1.9" {
		t.Errorf("%+v", r)
	}
}

func TestHeadline(t *testing.T) {
	for message, want := range map[string]string{
		"boom\nand more":                                    "boom",
		"ParseError:\nExpected `)`":                         "ParseError: Expected `)`",
		"On worker 2:\nDomainError with -1.0:\n  bad\nmore": "On worker 2: DomainError with -1.0: bad",
		"StackOverflowError:":                               "StackOverflowError",
		"":                                                  "",
	} {
		if got := headline(message); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

package commands

import (
	"os"
	"path/filepath"
	"testing"

	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

func said(lines ...string) []jobapi.LogMessage {
	messages := make([]jobapi.LogMessage, len(lines))
	for i, line := range lines {
		messages[i].Message = line
	}
	return messages
}

func TestFailureInABundle(t *testing.T) {
	s, _ := shelfSession(t)
	depot := filepath.Join(s.cfg.Home, ".julia", "packages", "Pkg", "abcde", "src")
	if err := os.MkdirAll(depot, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(depot, "Pkg.jl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.cfg.LookupEnv = func(string) (string, bool) { return "", false }
	s.sent["id"] = map[string]sentFile{
		"scripts/run.jl": {Local: "/home/ada/proj/scripts/run.jl"}, "src/P.jl": {Local: "/home/ada/proj/src/P.jl"},
		".bundle/dev/Dep/src/Dep.jl": {Local: "/home/ada/Dep/src/Dep.jl"}, "code.jl": {Local: "/home/ada/proj/code.jl"},
	}
	paths := s.pathsOf(&track.Record{Submission: "id", Kind: track.KindAppBundle, Dir: "/home/ada/proj"})
	for remote, want := range map[string]string{
		"/home/jovyan/proj/scripts/run.jl":            "/home/ada/proj/scripts/run.jl",
		"/tmp/x/appbundle/src/P.jl":                   "/home/ada/proj/src/P.jl",
		`C:\job\proj\src\P.jl`:                        "/home/ada/proj/src/P.jl",
		"~/proj/.bundle/dev/Dep/src/Dep.jl":           "/home/ada/Dep/src/Dep.jl",
		"/home/jovyan/proj/code.jl":                   "/home/ada/proj/code.jl",
		"/home/jovyan/code.jl":                        "", // the driver
		"/home/jovyan/.julia/packages/Q/x/src/run.jl": "",
	} {
		if got, ok := paths.Local(remote); got != want || ok != (want != "") {
			t.Errorf("%s is %q, want %q", remote, got, want)
		}
	}
	failure := findFailure(said(
		"ERROR: LoadError: boom",
		"Stacktrace:",
		" [1] error(::String) at ./error.jl:33",
		" [2] deep(::Int64) at /home/jovyan/.julia/packages/Pkg/abcde/src/Pkg.jl:7",
		" [3] f(::Int64) at /home/jovyan/proj/src/P.jl:12",
		" [4] top-level scope at /home/jovyan/proj/scripts/run.jl:3",
		" [5] include(::String) at ./client.jl:457",
		" [6] top-level scope at /home/jovyan/code.jl:40",
		"in expression starting at /home/jovyan/proj/scripts/run.jl:3",
		"in expression starting at /home/jovyan/code.jl:40",
	), paths)
	if failure == nil || failure.File != "/home/ada/proj/src/P.jl" || failure.Line != 12 {
		t.Fatalf("%+v", failure)
	}
	if len(failure.Related) != 2 || failure.Related[0].File != filepath.Join(depot, "Pkg.jl") || failure.Related[1].File != "/home/ada/proj/scripts/run.jl" {
		t.Errorf("related: %+v", failure.Related)
	}
}

func TestFailureWithoutATrace(t *testing.T) {
	none := stacktrace.Paths{}
	level := 2000
	messages := said("starting", "almost")
	messages = append(messages, jobapi.LogMessage{Message: "out of memory", Level: &level})
	messages = append(messages, said("bye")...)
	if failure := findFailure(messages, none); failure == nil || failure.Message != "out of memory" || failure.Line != 0 {
		t.Errorf("%+v", failure)
	}
	if failure := findFailure(said("starting", "killed\n"), none); failure == nil || failure.Message != "killed" {
		t.Errorf("%+v", failure)
	}
	if failure := findFailure(nil, none); failure != nil {
		t.Errorf("%+v", failure)
	}
}

// A record carries its exception as a keyword; the last one that is an error counts
// where nothing was uncaught.
func TestFailureInARecord(t *testing.T) {
	paths := stacktrace.Paths{Code: "/home/ada/a.jl"}
	warn, level := 1000, 2000
	trace := func(line string) map[string]any {
		return map[string]any{"n": 3, "exception": "DomainError with -1.0:\nbad\nStacktrace:\n [1] f(x::Float64)\n   @ Main ~/code.jl:" + line}
	}
	messages := []jobapi.LogMessage{
		{Message: "all failed", Level: &level, FilePath: "/home/jovyan/code.jl", Line: 9, Keywords: trace("4")},
		{Message: "may be", Level: &warn, FilePath: "/home/jovyan/code.jl", Line: 10, Keywords: trace("5")},
		{Message: "printed", Keywords: trace("6")},
		{Message: "bye"},
	}
	failure := findFailure(messages, paths)
	if failure == nil || failure.Line != 4 || failure.Message != "all failed\nexception =\nDomainError with -1.0:\nbad" {
		t.Fatalf("%+v", failure)
	}
	messages = append(messages, said("ERROR: LoadError: boom\nStacktrace:\n [1] top-level scope\n   @ ~/code.jl:7")...)
	if failure := findFailure(messages, paths); failure == nil || failure.Line != 7 {
		t.Errorf("what was uncaught counts: %+v", failure)
	}
}

// Macros of Julia leave their own line numbers beside the name of a file: a line
// that it does not have is no place.
func TestFailureAtALineThatIsNone(t *testing.T) {
	paths := stacktrace.Paths{Code: "/home/ada/a.jl", Lines: map[string]int{"/home/ada/a.jl": 3}}
	for line, want := range map[string]int{"188": 1, "5": 1, "4": 4, "3": 3} {
		failure := findFailure(said("ERROR: LoadError: boom", "Stacktrace:",
			" [1] threading_run(fun::var\"#2#3\", static::Bool)", "   @ Base.Threads ./threadingconstructs.jl:172",
			" [2] top-level scope", "   @ ~/code.jl:"+line, "in expression starting at /home/jrun/code.jl:1"), paths)
		if failure == nil || failure.Line != want {
			t.Errorf("line %s: %+v, want %d", line, failure, want)
		}
	}
}

// What was being read or run counts where no frame is the person's own, each line once.
func TestFailureInsideNestedFiles(t *testing.T) {
	paths := stacktrace.Paths{Name: "proj", Files: map[string]string{"a.jl": "/home/ada/proj/a.jl", "b.jl": "/home/ada/proj/b.jl"}}
	failure := findFailure(said(
		"ERROR: LoadError: LoadError: ",
		"Stacktrace:",
		" [1] error() at ./error.jl:42",
		" [2] @check(::LineNumberNode, ::Module, ::Any) at /home/jovyan/.julia/packages/Check/abcde/src/Check.jl:7",
		"in expression starting at /home/jovyan/proj/b.jl:4",
		"in expression starting at /home/jovyan/proj/a.jl:9",
		"in expression starting at /home/jovyan/proj/a.jl:9",
		"in expression starting at /home/jovyan/code.jl:40",
	), paths)
	if failure == nil || failure.File != "/home/ada/proj/b.jl" || failure.Line != 4 || failure.Message != "an error without a message" {
		t.Fatalf("%+v", failure)
	}
	if len(failure.Related) != 1 || failure.Related[0].File != "/home/ada/proj/a.jl" || failure.Related[0].Line != 9 {
		t.Errorf("related: %+v", failure.Related)
	}
}

func TestWarningsStandAtTheirLines(t *testing.T) {
	paths := stacktrace.Paths{Name: "job", Files: map[string]string{"a.jl": "/home/ada/a.jl"}}
	warn, info := 1000, 0
	messages := []jobapi.LogMessage{
		{Message: "careful", Level: &warn, FilePath: "/job/a.jl", Line: 4},
		{Message: "careful", Level: &warn, FilePath: "/job/a.jl", Line: 4}, // again
		{Message: "printed", Level: &warn, FilePath: "/opt/juliahub/master_startup.jl", Line: 9},
		{Message: "fyi", Level: &info, FilePath: "/job/a.jl", Line: 5},
	}
	if found := addWarnings(nil, messages, paths); len(found) != 1 || found[0].Line != 4 {
		t.Errorf("%+v", found)
	}
	for i := range 100 {
		messages = append(messages, jobapi.LogMessage{Message: "many", Level: &warn, FilePath: "/job/a.jl", Line: 10 + i})
	}
	if found := addWarnings(nil, messages, paths); len(found) != mostWarnings {
		t.Errorf("%d warnings", len(found))
	}
}

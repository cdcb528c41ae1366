package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/internal/testjulia"
	"juliahub-lsp/jobapi/emulator"
)

// failures are scripts that fail in a real Julia, behind the real driver, and
// where: in a file of the project, of a package beside it, or ("") in themselves.
var failures = []struct {
	name, text, file string
	line             int
}{
	{"package", "using Dep\nDep.größe(-2)\n", "Dep/src/größe.jl", 2},
	{"worker", "using Distributed\naddprocs(1)\n@everywhere include($(joinpath(@__DIR__, \"..\", \"src\", \"lib.jl\")))\nremotecall_fetch(work, 2, 5)\n", "project/src/lib.jl", 4},
	{"macro", "macro check(x)\n    error(\"no check of $x\")\nend\nf() = @check y\n", "", 2},
	{"syntax", "x = 1\ny = [1, 2\ny\n", "", 3},
	{"logged", "include(\"../src/lib.jl\")\ntry\n    work(6)\ncatch e\n    @error \"all failed\" exception=(e, catch_backtrace())\n    exit(3)\nend\n", "project/src/lib.jl", 4},
}

func TestFailuresInJulia(t *testing.T) {
	hub := startEmulator(t, emulator.Config{Julia: testjulia.Find(t)})
	top := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const id = "uuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"
	const distributed, test = "\"8ba89e20-285c-5b6f-9357-94700520ee1b\"\n", "\"8dfed614-e22c-5e08-85e1-65c5234f0b40\"\n"
	write("Dep/Project.toml", "name = \"Dep\"\n"+id+"version = \"0.1.0\"\n")
	write("Dep/src/Dep.jl", "module Dep\ninclude(\"größe.jl\")\nend\n")
	write("Dep/src/größe.jl", "# a part\ngröße(x) = x < 0 ?\n    throw(DomainError(x, \"no size\")) : x\n")
	write("project/Project.toml", "[deps]\nDep = "+strings.TrimPrefix(id, "uuid = ")+"Distributed = "+distributed+"Test = "+test)
	write("project/Manifest.toml", "[[Dep]]\npath = \"../Dep\"\n"+id+"version = \"0.1.0\"\n[[Distributed]]\nuuid = "+distributed+"[[Test]]\nuuid = "+test)
	write("project/src/lib.jl", "# the library\nfunction work(n)\n    @warn \"careful\" n\n    [1][n]\nend\n")
	for _, f := range failures {
		path := write("project/scripts/"+f.name+".jl", f.text)
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			sh := newShell(t, hub)
			if status := sh.run("submit", path, "--appbundle", "--json", "--follow", "--allow-outside", filepath.Join(top, "Dep")); status != statusFailed {
				t.Fatalf("exit status %d\n%s%s", status, &sh.out, &sh.err)
			}
			log := sh.err.String()
			var doc submitted
			if err := json.Unmarshal(sh.out.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			var job commands.Job
			if status := sh.run("job", doc.Job, "--json"); status != statusDone {
				t.Fatalf("exit status %d\n%s", status, &sh.err)
			}
			if err := json.Unmarshal(sh.out.Bytes(), &job); err != nil {
				t.Fatal(err)
			}
			want := path
			if f.file != "" {
				want = filepath.Join(top, filepath.FromSlash(f.file))
			}
			if at := job.FailedAt; at == nil || at.Path != want || at.Line != f.line-1 {
				t.Errorf("failed at %+v, want line %d of %s\n%s", at, f.line, want, log)
			}
		})
	}
}

package lsp_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// span is a range on one line, or on several.
func span(line, from, endLine, to int) lsptest.Range {
	return lsptest.Range{Start: lsptest.Position{Line: line, Character: from}, End: lsptest.Position{Line: endLine, Character: to}}
}

// failedAt expects the failure of a job at a range of a file, and nowhere else in it.
func failedAt(uri string, want lsptest.Range) lsptest.Expectation {
	return lsptest.That(fmt.Sprintf("the failure at %+v of %s", want, uri), func(s *lsptest.State) bool {
		var found []lsptest.Range
		for _, d := range s.Diagnostics[uri] {
			if d.Code == "job-failed" && d.Severity == 1 {
				found = append(found, d.Range)
			}
		}
		return slices.Equal(found, []lsptest.Range{want})
	})
}

// explainedBy expects the places that explain the failure in a file.
func explainedBy(uri string, places ...string) lsptest.Expectation {
	return lsptest.That(fmt.Sprintf("the failure in %s explained by %q", uri, places), func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool {
			var got []string
			for _, r := range d.RelatedInformation {
				got = append(got, fmt.Sprintf("%s:%d", r.Location.URI[strings.LastIndex(r.Location.URI, "/")+1:], r.Location.Range.Start.Line))
			}
			return d.Code == "job-failed" && slices.Equal(got, places)
		})
	})
}

// printing is a job that prints a text line by line and fails.
func printing(text string) func(context.Context, *emulator.Stage) error {
	return func(_ context.Context, s *emulator.Stage) error {
		for line := range strings.Lines(text) {
			s.Print(strings.TrimSuffix(line, "\n"))
		}
		return errors.New("exit status 1")
	}
}

const depUUID = "0d733eb5-97ac-4a4a-9738-000000000001"

// withPackage is a project that uses a package outside of it; the answer to every
// question is yes.
func withPackage(d *desk, source string) (dep string, options lsptest.Options) {
	d.file("../Dep/Project.toml", "name = \"Dep\"\nuuid = \""+depUUID+"\"\nversion = \"0.1.0\"\n")
	dep = d.file("../Dep/src/Dep.jl", source)
	d.file("Project.toml", "[deps]\nDep = \""+depUUID+"\"\n")
	d.file("Manifest.toml", "manifest_format = \"2.0\"\n[[deps.Dep]]\npath = \"../Dep\"\nuuid = \""+depUUID+"\"\nversion = \"0.1.0\"\n")
	return strings.Replace(dep, "my%20work/../", "", 1), lsptest.Options{Answer: func(q lsptest.Question) string { return q.Answers[len(q.Answers)-1] }}
}

// A syntax error in a package that travelled in .bundle/dev stands in the
// package's own directory; Julia's columns count characters, the client's bytes
// or UTF-16 units. It moves with edits and goes with its line.
func TestStorySyntaxErrorInABundledPackage(t *testing.T) {
	t.Parallel()
	const trace = `  ✗ Dep
Precompiling Dep finished.
ERROR: LoadError: The following 1 direct dependency failed to precompile:

Dep 

Failed to precompile Dep [` + depUUID + `] to "/home/jrun/.julia/compiled/v1.12/Dep/jl_xrf94g".
ERROR: LoadError: ParseError:
# Error @ /home/jrun/appbundle/.bundle/dev/Dep/src/Dep.jl:3:12
größe = "é"
"𝒻😀é" == y z 1
#          └─┘ ── extra tokens after end of expression
Stacktrace:
 [1] top-level scope
   @ ~/appbundle/.bundle/dev/Dep/src/Dep.jl:3
 [2] include(mod::Module, _path::String)
   @ Base ./Base.jl:306
in expression starting at /home/jrun/appbundle/.bundle/dev/Dep/src/Dep.jl:1
in expression starting at stdin:
in expression starting at /home/jrun/appbundle/scripts/run.jl:1
in expression starting at /home/jrun/code.jl:40
`
	const source = "module Dep\ngröße = \"é\"\n\"𝒻😀é\" == y z 1\nend\n"
	const run = "using Dep\nDep.go()\n"
	for name, units := range map[string]struct {
		encodings []string
		from, to  int
	}{
		"utf-16": {[]string{"utf-16"}, 13, 16}, // two characters take two units each
		"utf-8":  {[]string{"utf-8", "utf-16"}, 18, 21},
		"utf-32": {[]string{"utf-32", "utf-16"}, 13, 16}, // which we do not speak
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, printing(trace))
			dep, options := withPackage(d, source)
			options.Capabilities = lsptest.Full()
			options.Capabilities["general"] = map[string]any{"positionEncodings": units.encodings}
			uri := d.file("scripts/run.jl", run)
			e := d.editor(options)
			e.OpenBuffer(uri, "julia", run)
			e.Do(uri, "Submit project as appbundle", nil)
			e.Await(lsptest.AllOf(failedAt(dep, span(2, units.from, 2, units.to)), explainedBy(dep, "Dep.jl:0", "run.jl:0")))
			// The script itself says where, too; editing the package moves that.
			e.Await(lsptest.AllOf(failedAt(uri, span(0, 0, 0, len("using Dep"))), explainedBy(uri, "Dep.jl:2")))
			e.OpenBuffer(dep, "julia", source)
			e.SetBuffer(dep, "# é 😀\n"+source+"# below\n")
			e.Await(lsptest.AllOf(failedAt(dep, span(3, units.from, 3, units.to)), explainedBy(dep, "Dep.jl:1", "run.jl:0"), explainedBy(uri, "Dep.jl:3")))
			e.SetBuffer(uri, "# "+run) // its first line is not what failed
			e.Await(lsptest.AllOf(failedAt(uri, span(0, 0, 0, len("# using Dep"))), explainedBy(uri, "Dep.jl:3"), explainedBy(dep, "Dep.jl:1")))
			e.SetBuffer(uri, run)
			e.SetBuffer(dep, strings.Replace(source, "y z 1", "y", 1))
			e.Await(lsptest.AllOf(lacksCode(dep, "job-failed"), explainedBy(uri)))
			e.SetBuffer(dep, source)
			e.Await(lsptest.AllOf(failedAt(dep, span(2, units.from, 2, units.to)), explainedBy(uri, "Dep.jl:2")))
			e.Shutdown()
		})
	}
}

// The same failing line in the formats of the versions, in an appbundle: the
// driver's frames are no place, and a client without relatedInformation reads the
// other frames in the message.
func TestStoryFailingLineInEveryFormat(t *testing.T) {
	t.Parallel()
	const lib = "# the library\nöffne(x) = x[3]\n"
	const run = "include(\"../src/lib.jl\")\n\nöffne([1])\n"
	for name, trace := range map[string]string{
		"1.4": `ERROR: LoadError: LoadError: BoundsError: attempt to access 1-element Array{Int64,1} at index [3]
Stacktrace:
 [1] getindex at ./array.jl:788 [inlined]
 [2] öffne(::Array{Int64,1}) at /home/jrun/my work/src/lib.jl:2
 [3] top-level scope at /home/jrun/my work/scripts/run.jl:3
 [4] include(::Module, ::String) at ./Base.jl:377
 [5] top-level scope at /home/jrun/code.jl:40
in expression starting at /home/jrun/my work/scripts/run.jl:3
in expression starting at /home/jrun/code.jl:40
`,
		"1.6": `ERROR: LoadError: LoadError: BoundsError: attempt to access 1-element Vector{Int64} at index [3]
Stacktrace:
 [1] getindex
   @ ./array.jl:801 [inlined]
 [2] öffne(x::Vector{Int64})
   @ Main ~/appbundle/src/lib.jl:2
 [3] top-level scope
   @ ~/appbundle/scripts/run.jl:3
 [4] include(fname::String)
   @ Base.MainInclude ./client.jl:444
 [5] top-level scope
   @ ~/code.jl:40
in expression starting at /home/jrun/appbundle/scripts/run.jl:3
in expression starting at /home/jrun/code.jl:40
`,
		"1.10": `ERROR: LoadError: TaskFailedException

    nested task error: BoundsError: attempt to access 1-element Vector{Int64} at index [3]
    Stacktrace:
     [1] throw_boundserror(A::Vector{Int64}, I::Tuple{Int64})
       @ Base ./essentials.jl:14
     [2] öffne(x::Vector{Int64}) (repeats 2 times)
       @ Main D:\jobs\my work\src\lib.jl:2

...and 1 more exception.

Stacktrace:
 [1] sync_end(c::Channel{Any})
   @ Base .\task.jl:448
 [2] top-level scope
   @ D:\jobs\my work\scripts\run.jl:3
in expression starting at D:\jobs\my work\scripts\run.jl:3
in expression starting at D:\jobs\code.jl:40
`,
		"1.12": "\x1b[91m\x1b[1mERROR: \x1b[22m\x1b[39mLoadError: On worker 2:\n" + `BoundsError: attempt to access 1-element Vector{Int64} at index [3]
Stacktrace:
  [1] throw_boundserror
    @ ./essentials.jl:15
  [2] öffne
    @ ~/other/appbundle/src/lib.jl:2 [inlined]
Stacktrace:
  [1] remotecall_fetch(f::Function, w::Distributed.Worker, args::Int64; kwargs::@Kwargs{})
    @ Distributed /usr/share/julia/stdlib/v1.12/Distributed/src/remotecall.jl:465
` + "  [2] \x1b[0m\x1b[1mtop-level scope\x1b[22m\n\x1b[90m    @\x1b[39m \x1b[90m~/other/appbundle/scripts/\x1b[39m\x1b[90m\x1b[4mrun.jl:3\x1b[24m\x1b[39m\n" + `in expression starting at /home/jrun/other/appbundle/scripts/run.jl:3
in expression starting at /home/jrun/other/code.jl:40
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, printing(trace))
			d.file("Project.toml", "name = \"P\"\n[deps]\n")
			d.file("Manifest.toml", "")
			libURI, uri := d.file("src/lib.jl", lib), d.file("scripts/run.jl", run)
			full := d.editor(lsptest.Options{})
			full.OpenBuffer(uri, "julia", run)
			full.Do(uri, "Submit project as appbundle", nil)
			full.Await(lsptest.AllOf(failedAt(libURI, span(1, 0, 1, len("öffne(x) = x[3]")-1)), explainedBy(libURI, "run.jl:2"), explainedBy(uri, "lib.jl:1")))
			full.Shutdown()

			// Another editor takes over, and knows less.
			caps := lsptest.Full()
			documents, _ := caps["textDocument"].(map[string]any)
			documents["publishDiagnostics"] = map[string]any{}
			bare := d.editor(lsptest.Options{Capabilities: caps})
			bare.OpenBuffer(libURI, "julia", "# new\n"+lib)
			bare.Await(lsptest.AllOf(failedAt(libURI, span(2, 0, 2, len("öffne(x) = x[3]")-1)), lsptest.Diagnosed(libURI, 2, "run.jl:3:"), lsptest.Diagnosed(uri, 0, "lib.jl:3: failed here")))
			bare.Shutdown()
		})
	}
}

// A failure inside a package of the depot only, or where Julia leaves out the
// middle of a picture: the place is as good as the log.
func TestStoryFailureWithLessToSay(t *testing.T) {
	t.Parallel()
	t.Run("depot", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, printing(`ERROR: LoadError: boom
Stacktrace:
 [1] go()
   @ Dep ~/.julia/packages/Dep/aB3dE/src/Dep.jl:3
in expression starting at /home/jrun/elsewhere.jl:4
`))
		dep := filepath.Join(d.env["JULIA_DEPOT_PATH"], "packages", "Dep", "aB3dE", "src", "Dep.jl")
		if err := errors.Join(os.MkdirAll(filepath.Dir(dep), 0o700), os.WriteFile(dep, []byte("module Dep\n\ngo() = error(\"boom\")\nend\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		uri := d.file("run.jl", "1 + 1\n")
		e := d.editor(lsptest.Options{})
		e.OpenBuffer(uri, "julia", "1 + 1\n")
		e.Do(uri, "Submit as script", nil)
		e.Await(lsptest.AllOf(failedAt(uri, span(0, 0, 0, 5)), explainedBy(uri, "Dep.jl:2")))
		e.Shutdown()
	})
	t.Run("long picture", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, printing(`ERROR: LoadError: ParseError:
# Error @ /home/jrun/job/code.jl:1:6
#    ┌────
é = f([1,
  2,
⋮
  8
  9
#──┘ ── Expected `+"`]`"+`
Stacktrace:
 [1] top-level scope
   @ ~/job/code.jl:1
in expression starting at /home/jrun/job/code.jl:1
`))
		text := "é = f([1,\n  2,\n  3,\n  4,\n  5,\n  6,\n  7,\n  8\n  9\n"
		uri := d.file("run.jl", text)
		e := d.editor(lsptest.Options{})
		e.OpenBuffer(uri, "julia", text)
		e.Do(uri, "Submit as script", nil)
		e.Await(failedAt(uri, span(0, 5, 0, 9)))
		e.SetBuffer(uri, "\n"+text)
		e.Await(failedAt(uri, span(1, 5, 1, 9)))
		e.Shutdown()
	})
}

// Records that warn stand at their lines, wherever Julia says the bundle was and
// whatever the job's end; what only looks like one when it is printed does not,
// nor what a package of the depot says. They move and go with their lines.
func TestStoryWarningsInABundle(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Log(emulator.Record{Level: "Warn", Message: "größer than expected", File: `D:\jobs\my work\src\lib.jl`, Line: 2})
		s.Log(emulator.Record{Level: "Error", Message: "no data", File: "/home/jrun/appbundle/scripts/run.jl", Line: 1})
		s.Log(emulator.Record{Level: "Warn", Message: "of a package", File: "/home/jrun/.julia/packages/P/aB3dE/src/lib.jl", Line: 1})
		s.Log(emulator.Record{Level: "Info", Message: "for your information", File: "/home/jrun/appbundle/src/lib.jl", Line: 1})
		s.Print("┌ Warning: only printed")
		s.Print("└ @ Main /home/jrun/appbundle/src/lib.jl:3")
		s.Print("[ Warning: /home/jrun/appbundle/src/lib.jl:3")
		return nil
	})
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	d.file("Manifest.toml", "")
	const lib, run = "# the library\n@warn \"größer\"\nlast()\n", "include(\"../src/lib.jl\")\n"
	libURI, uri := d.file("src/lib.jl", lib), d.file("scripts/run.jl", run)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(libURI, "julia", lib)
	e.OpenBuffer(uri, "julia", run)
	warned := func(uri string, lines ...int) lsptest.Expectation {
		return lsptest.That(fmt.Sprintf("warnings at %v of %s", lines, uri), func(s *lsptest.State) bool {
			var got []int
			for _, d := range s.Diagnostics[uri] {
				if d.Code == "job-warning" && d.Severity == 2 {
					got = append(got, d.Range.Start.Line)
				}
			}
			return slices.Equal(got, lines)
		})
	}
	e.Do(uri, "Submit project as appbundle", nil)
	e.Await(lsptest.AllOf(hasCode(uri, "job-completed"), warned(libURI, 1), warned(uri, 0)))
	e.SetBuffer(libURI, "\n\n"+lib)
	e.Await(lsptest.AllOf(warned(libURI, 3), warned(uri, 0)))
	e.SetBuffer(libURI, strings.Replace(lib, "größer", "kleiner", 1))
	e.Await(warned(libURI))
	e.SetBuffer(libURI, lib)
	e.Await(warned(libURI, 1))
	e.Shutdown()
}

package stacktrace

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scriptPaths is a script job: code.jl is the user's file.
var scriptPaths = Paths{Code: "/home/me/train.jl"}

// bundlePaths is an appbundle job: code.jl is the driver.
var bundlePaths = Paths{
	Name: "proj",
	Files: map[string]string{
		"scripts/main.jl":                   "/home/me/proj/scripts/main.jl",
		"scripts/inner.jl":                  "/home/me/proj/scripts/inner.jl",
		"src/Model.jl":                      "/home/me/proj/src/Model.jl",
		"src/lib.jl":                        "/home/me/proj/src/lib.jl",
		"src/inner.jl":                      "/home/me/proj/src/inner.jl",
		"src/utils.jl":                      "/home/me/proj/src/utils.jl",
		"lib.jl":                            "/home/me/proj/lib.jl",
		"error.jl":                          "/home/me/proj/error.jl",
		"task.jl":                           "/home/me/proj/task.jl",
		"src/process_messages.jl":           "/home/me/proj/src/process_messages.jl",
		".bundle/dev/Broken/src/parts.jl":   "/home/me/Broken/src/parts.jl",
		".bundle/dev/Broken/src/Broken.jl":  "/home/me/Broken/src/Broken.jl",
		"packages/Mono/tests/src/runner.jl": "/home/me/proj/packages/Mono/tests/src/runner.jl",
	},
	Depots: []string{"/home/me/.julia"},
}

// jobPaths maps the directory in which the traces of Julia 1.5.3 were recorded.
func jobPaths(remote string) (string, bool) {
	return strings.CutPrefix(remote, "/home/jrun/job/")
}

func show(p Place, ok bool) string {
	if !ok {
		return "none"
	}
	s := fmt.Sprintf("%s:%d", p.File, p.Line)
	if p.Col > 0 {
		s += fmt.Sprintf(":%d-%d:%d", p.Col, p.EndLine, p.EndCol)
	}
	return s
}

// TestRecorded reads what a real Julia 1.5.3 printed.
func TestRecorded(t *testing.T) {
	for name, want := range map[string]struct{ place, message string }{
		"asyncmap":    {"asyncmap.jl:1", "two"},
		"colour":      {"loaderror.jl:2", "boom"},
		"display":     {"display.jl:3", "TaskFailedException:\nshown"},
		"runtests":    {"runtests.jl:5", "Some tests did not pass: 0 passed, 1 failed, 1 errored, 0 broken."},
		"workerlog":   {"workerlog.jl:5", "job failed\ni = 2\nexception =\non 3"},
		"causedby":    {"causedby.jl:5", "cannot load"},
		"distributed": {"distributed.jl:4", "On worker 3:\nremote boom"},
		"incstring":   {"incstring.jl:1", "in string"},
		"incstring2":  {"incstring2.jl:1", "in string"},
		"init":        {"init.jl:3", "init"},
		"inline":      {"inline.jl:1", "ArgumentError: neg"},
		"loaderror":   {"loaderror.jl:2", "boom"},
		"logged":      {"logged.jl:2", "it went wrong\nexception =\ncaught"},
		"lowering":    {"lowering.jl:3", `syntax: invalid assignment location "1" around /home/jrun/job/lowering.jl:3`},
		"macro":       {"macro.jl:2", "no such thing: x + 1"},
		"macro2":      {"macro2.jl:3", "DomainError with -1.0:\nsqrt will only return a complex result if called with a complex argument. Try sqrt(Complex(x))."},
		"method":      {"method.jl:4", "MethodError: no method matching area(::String, ::Int64)"},
		"nested":      {"sub/deepest.jl:2", "BoundsError: attempt to access 2-element Array{Int64,1} at index [3]"},
		"overflow":    {"overflow.jl:1", "StackOverflowError:"},
		"overflow1":   {"overflow1.jl:1", "StackOverflowError:"},
		"precompile":  {"pkg/src/parts.jl:2", "Failed to precompile Broken [6f1a2f6e-1111-4a6b-9f1e-0123456789ab] to /home/jrun/.julia/compiled/v1.5/Broken/mFD0R_HU0Ns.ji."},
		"remote":      {"sub/lib.jl:5", "On worker 2:\nDomainError with -7.0:\nsqrt will only return a complex result if called with a complex argument. Try sqrt(Complex(x))."},
		"remote2":     {"sub/lib.jl:5", "TaskFailedException:\nOn worker 2:\nDomainError with -1.0:\nsqrt will only return a complex result if called with a complex argument. Try sqrt(Complex(x))."},
		"segv":        {"segv.jl:2", "signal (11): Segmentation fault"},
		"syntax":      {"syntax.jl:4", "syntax: missing comma or ) in argument list"},
		"task":        {"task.jl:2", "TaskFailedException:\nDomainError with 3:\nthree"},
		"taskwait":    {"taskwait.jl:2", "TaskFailedException:\nthree"},
		"threads":     {"threads.jl:2", "TaskFailedException:\nthread 2"},
		"undefvar":    {"undefvar.jl:2", "UndefVarError: nosuch not defined"},
		"anon":        {"anon.jl:2", "KeyError: key 3 not found"},
		"assertion":   {"assertion.jl:5", "Some tests did not pass: 1 passed, 3 failed, 0 errored, 0 broken."},
		"compo":       {"compo.jl:5", "TaskFailedException:\nsecond"},
		"deep":        {"deep.jl:2", "StackOverflowError:"},
		"evalscope":   {"evalscope.jl:1", "in eval 1"},
		"multi":       {"multi.jl:3", "first line\nsecond line: at position 5\n[1] not a frame\nafter blank at /x/y.jl:3"},
		"oom":         {"oom.jl:2", "OutOfMemoryError()"},
		"pmapit":      {"pmapit.jl:4", "On worker 2:\nArgumentError: three\nis bad"},
		"repl":        {"repl.jl:1", "BoundsError: attempt to access 1-element Array{Int64,1} at index [10]"},
		"kw":          {"kw.jl:2", "called"},
		"gener":       {"gener.jl:1", "while generating"},
		"fetcher":     {"fetcher.jl:2", "UndefVarError: x not defined"},
		"threadsn":    {"threadsn.jl:1", "TaskFailedException:\nBoundsError: attempt to access 1-element Array{Int64,1} at index [3]"},
		"remotecall":  {"remotecall.jl:7", "On worker 2:\nbad 1"},
		"initmod":     {"sub/q.jl:1", "DomainError with -3.0:\nsqrt will only return a complex result if called with a complex argument. Try sqrt(Complex(x))."},
		"fetchit":     {"sub/bad.jl:2", "TaskFailedException:\nLoadError: UndefVarError: undefinedthing not defined"},

		"everywhere_inc": {"sub/bad.jl:2", "On worker 2:\nLoadError: UndefVarError: undefinedthing not defined"},
		"syntax4":        {"sub/syn.jl:2", `syntax: unexpected ")"`},
		"testonly":       {"sub/check.jl:3", "There was an error during testing"},
		"warned":         {"warned.jl:1", ""},
		"terminated":     {"terminated.jl:7", "signal (15): Terminated"},
		"taskn":          {"taskn.jl:2", "TaskFailedException:\ntwo\nmore"},
		"childproc":      {"sub/child.jl:1", "failed process: Process(`julia --color=no sub/child.jl`, ProcessExited(1)) [1]"},
		"embedded":       {"embedded.jl:2", "the log says:\n[1] train(::Int64) at /home/jrun/job/embedded.jl:99\nfound at /home/jrun/job/embedded.jl:98\nmore to say:\nno more"},
		"finalize":       {"finalize.jl:4", "real one"},
		"generated":      {"generated.jl:10", ""},
		"metaparse":      {"metaparse.jl:2", `Base.Meta.ParseError("\"*\" is not a unary operator")`},
		"modules":        {"modules.jl:3", ""},
		"mutual":         {"mutual.jl:2", "StackOverflowError:"},
		"named":          {"named.jl:1", "in named"},
		"names":          {"sub/über uns: a b/näh at me.jl:2", ""},
		"nothing":        {"nothing.jl:1", ""},
		"remotelog":      {"remotelog.jl:3", "On worker 2:\nDomainError with 6:\nnot on 2"},
		"remotethrow":    {"remotethrow.jl:4", "On worker 2:\nArgumentError: found at /home/jrun/job/remotethrow.jl:1"},
		"syntaxinc":      {"sub/syn2.jl:3", "syntax: missing separator in array expression"},
		"tasklog":        {"tasklog.jl:1", "the task failed\nexception =\nTaskFailedException:\nArgumentError: n is 2"},
		"testnest":       {"testnest.jl:5", "Some tests did not pass: 1 passed, 2 failed, 0 errored, 0 broken."},
		"threadpool":     {"threadpool.jl:3", "TaskFailedException:\nArgumentError: invalid base 10 digit 'x' in \"x\""},
		"thrown":         {"thrown.jl:1", `"no exception: 3"`},
		"twicelog":       {"twicelog.jl:5", "second"},
	} {
		text := read(t, "1.5.3/"+name)
		for how, lines := range ways(text) {
			t.Run(name+"/"+how, func(t *testing.T) {
				traces := Parse(lines)
				tr, ok := Failure(traces)
				if !ok || len(traces) != 1 && !slices.Contains([]string{"display", "remotelog", "twicelog"}, name) {
					t.Fatalf("%d traces: %+v", len(traces), traces)
				}
				if got := show(Locate(tr, jobPaths)); got != want.place {
					t.Errorf("place %s, want %s\n%+v", got, want.place, tr)
				}
				if name == "nothing" && tr.Message != "" || want.message != "" && tr.Message != want.message {
					t.Errorf("message %q, want %q", tr.Message, want.message)
				}
				if tr.Uncaught == slices.Contains([]string{"logged", "workerlog", "warned", "tasklog", "twicelog"}, name) {
					t.Errorf("uncaught %v", tr.Uncaught)
				}
			})
		}
	}
}

// TestLater reads the formats of the other versions.
func TestLater(t *testing.T) {
	for _, c := range []struct{ name, script, bundle, message string }{
		{"loaderror-1.6", "/home/me/train.jl:2", "none", "boom"},
		{"nested-1.10", "/home/me/train.jl:31", "/home/me/proj/src/Model.jl:12", "BoundsError: attempt to access 2-element Vector{Int64} at index [3]"},
		{"package-1.9", "/home/me/train.jl:31", "/home/me/proj/scripts/main.jl:5", "ArgumentError: 3 is not a valid column"},
		{"onlyin-1.8", "/home/me/train.jl:31", "/home/me/proj/src/inner.jl:1", ""},
		{"task-1.9", "/home/me/train.jl:2", "none", "TaskFailedException:\nDomainError with 3:\nthree"},
		{"sync-1.7", "/home/me/train.jl:2", "none", "TaskFailedException:\nthree"},
		{"remote-1.10", "none", "/home/me/proj/src/lib.jl:5", ""},
		{"causedby-1.6", "/home/me/train.jl:5", "none", "cannot load"},
		{"parse-1.10", "/home/me/train.jl:3:12-3:13", "none", "ParseError:\nExpected `)` or `,`"},
		{"parse-range-1.11", "/home/me/train.jl:127:5-127:26", "none", "ParseError:\nextra tokens after end of expression\ninvalid identifier"},
		{"parse-lines-1.12", "/home/me/train.jl:2:5-4:4", "none", "ParseError:\ncannot juxtapose"},
		{"lowering-1.12", "/home/me/train.jl:3", "none", ""},
		{"overflow-1.7", "/home/me/train.jl:1", "none", "StackOverflowError:"},
		{"overflow-1.11", "/home/me/train.jl:1", "none", "StackOverflowError:"},
		{"cycles-1.13", "/home/me/train.jl:9", "none", "deep"},
		{"candidates-1.9", "/home/me/train.jl:4", "none", "MethodError: no method matching area(::String, ::Int64)"},
		{"logged-1.10", "/home/me/train.jl:2", "none", ""},
		{"precompile-1.10", "none", "/home/me/Broken/src/parts.jl:2", "UndefVarError: `undefined_name` not defined"},
		{"windows-1.9", "none", "/home/me/proj/src/lib.jl:2", "boom"},
		{"cut-start", "none", "/home/me/proj/src/lib.jl:11", ""},
		{"cut-end", "none", "none", "boom"},
		{"bare-record", "/home/me/train.jl:7", "none", "boom"},
		{"colour-1.9", "/home/me/train.jl:3", "none", "boom"},
		{"foreign-lines", "/home/me/train.jl:2", "none", "boom"},
		{"params-1.9", "/home/me/train.jl:12", "none", "MethodError: no method matching +(::String, ::Int64)"},
		{"parse-windows-1.10", "/home/me/train.jl:2:5-2:6", "none", "ParseError:\nunexpected `)`"},
		{"places-1.9", "/home/me/train.jl:4", "none", "boom"},
		{"exited-1.9", "/home/me/train.jl:9", "none", "ProcessExitedException(2)"},
		{"causes-1.9", "/home/me/train.jl:8", "none", "third"},
		{"composite-1.9", "/home/me/train.jl:2", "none", "TaskFailedException:\nDomainError with -1.0:\nsqrt was called with a negative real argument but will only return a complex result if called with a complex argument. Try sqrt(Complex(x))."},
		{"init-1.9", "/home/me/train.jl:3", "none", "boom"},
		{"remote-1.9", "/home/me/train.jl:5", "none", "On worker 2:\nDomainError with -7.0:\nsqrt was called with a negative real argument"},
		{"mutual-1.9", "/home/me/train.jl:2", "none", "StackOverflowError:"},
		{"segv-1.9", "/home/me/train.jl:1", "none", "[4721] signal 11 (1): Segmentation fault"},
		{"tests-1.10", "/home/me/train.jl:2", "none", "Some tests did not pass: 0 passed, 0 failed, 1 errored, 0 broken."},
		{"precompile-1.12", "/home/me/train.jl:1", "/home/me/Broken/src/parts.jl:2", ""},
		{"causedby-1.3", "/home/me/train.jl:9", "none", "second thing"},
		{"rethrown-1.9", "/home/me/train.jl:5", "none", "outer"},
		{"ambiguous-1.6", "/home/me/train.jl:7", "none", ""},
		{"ambiguous-1.9", "/home/me/train.jl:7", "none", ""},
		{"candidates-1.7", "/home/me/train.jl:8", "none", "MethodError: no method matching area(::String)"},
		{"candidates-1.12", "/home/me/train.jl:8", "none", "MethodError: no method matching area(::String; scale::Int64)\nThe function `area` exists, but no method is defined for this combination of argument types."},
		{"typeassert-1.12", "/home/me/train.jl:5", "none", ""},
		{"hints-1.12", "/home/me/train.jl:3", "none", ""},
		{"world-1.12", "/home/me/train.jl:3", "none", "MethodError: no method matching late()\nThe applicable method may be too new: running in world age 38000, while current world is 38002."},
		{"captured-1.10", "/home/me/train.jl:6", "none", "TaskFailedException:\nOn worker 2:\nBoundsError: attempt to access 2-element Vector{Int64} at index [5]"},
		{"nestedtasks-1.9", "/home/me/train.jl:3", "none", "TaskFailedException:\ninner went wrong"},
		{"everywhere-1.11", "none", "/home/me/proj/src/lib.jl:5", ""},
		{"workerfatal-1.11", "/home/me/train.jl:3", "none", "Fatal error on process 2\nexception =\nKeyError: key \"a\" not found"},
		{"workers-1.10", "/home/me/train.jl:2", "none", "from two"},
		{"unhandled-1.10", "/home/me/train.jl:5", "none", "after all"},
		{"driver-1.8", "/home/me/train.jl:31", "/home/me/proj/src/lib.jl:2", "failed process: Process(`julia code.jl`, ProcessExited(1)) [1]"},
		{"precompile-1.9", "none", "/home/me/Broken/src/parts.jl:2", "UndefVarError: `nothing_here` not defined"},
		{"initerror-1.10", "none", "/home/me/Broken/src/Broken.jl:5", "could not start"},
		{"finalizer-1.10", "/home/me/train.jl:7", "none", "real one"},
		{"fatal-1.10", "/home/me/train.jl:4", "none", ""},
		{"terminated-1.11", "/home/me/train.jl:3", "none", "[1] signal 15: Terminated"},
		{"evalstring-1.9", "/home/me/train.jl:3", "none", "boom in a string"},
		{"macroexp-1.9", "/home/me/train.jl:2", "none", "need a name"},
		{"comments-1.9", "/home/me/train.jl:2", "none", "bad expression quote\n#= /home/jrun/other.jl:3 =#\nx + 1\nend"},
		{"undefkw-1.10", "/home/me/train.jl:1", "none", "UndefKeywordError: keyword argument `b` not assigned"},
		{"folded-1.9", "none", "/home/me/proj/src/Model.jl:12", "boom"},
		{"metaparse-1.10", "/home/me/train.jl:2", "none", "ParseError:\nextra tokens after end of expression"},
		{"parsecolour-1.12", "/home/me/train.jl:1:3-1:5", "none", "ParseError:\ninvalid operator"},
		{"parseeof-1.10", "/home/me/train.jl:2:18-2:19", "none", "ParseError:\nExpected `end`"},
		{"parselong-1.10", "/home/me/train.jl:5:9-0:0", "none", "ParseError:\nExpected `]`"},
		{"parsenest-1.11", "none", "/home/me/proj/src/lib.jl:3:7-3:8", "TaskFailedException:\nParseError:\nextra tokens after end of expression"},
		{"parsetab-1.10", "/home/me/train.jl:3:4-3:5", "none", "ParseError:\nextra tokens after end of expression"},
		{"parseunterminated-1.10", "/home/me/train.jl:9:1-9:2", "none", "ParseError:\nExpected `end`"},
		{"parsewarn-1.12", "/home/me/train.jl:2:5-2:6", "none", ""},
		{"paths-1.5", "none", "/home/me/proj/src/Model.jl:12", "boom"},
		{"paths-1.10", "none", "/home/me/proj/src/Model.jl:12", "boom"},
		{"windows-1.5", "none", "/home/me/proj/src/lib.jl:2", "boom"},
		{"windows-1.12", "none", "/home/me/proj/src/lib.jl:2", "boom"},
		{"crlf-1.7", "none", "/home/me/proj/src/lib.jl:2", "boom"},
		{"testerr-1.11", "/home/me/train.jl:1", "none", ""},
		{"testfail-1.9", "/home/me/train.jl:6", "none", "Some tests did not pass: 0 passed, 1 failed, 0 errored, 0 broken."},
		{"testthrows-1.12", "/home/me/train.jl:3", "none", "There was an error during testing"},
		{"warnfirst-1.10", "/home/me/train.jl:12", "none", "gave up\nexception =\nno result"},
		{"warninside-1.10", "/home/me/train.jl:2", "none", "boom"},
		{"abbreviated-1.9", "none", "/home/me/proj/src/lib.jl:216", ""},
		{"abbreviated-1.10", "/home/me/train.jl:2", "none", "boom"},
		{"columns-nightly", "/home/me/train.jl:2", "none", "boom"},
		{"crash-windows-1.8", "/home/me/train.jl:1", "none", ""},
		{"exceptionstack-1.7", "/home/me/train.jl:2", "none", ""},
		{"interpreted-1.12", "/home/me/train.jl:1", "none", "boom"},
		{"lowermodule-1.10", "none", "/home/me/proj/src/lib.jl:11", "boom"},
		{"quotedmodule-1.9", "/home/me/train.jl:3", "none", "boom"},
		{"messageat-1.5", "/home/me/train.jl:3", "none", "bad value\nfound at /home/jrun/job/code.jl:98"},
		{"messageframes-1.5", "/home/me/train.jl:3", "none", "the log says:\n[1] train(::Int64) at /home/jrun/job/code.jl:99\nfound at /home/jrun/job/code.jl:98"},
		{"messageframes-1.10", "/home/me/train.jl:3", "none", "the log says:\n[1] train(x::Int64)\n@ Main ~/job/code.jl:99"},
		{"names-1.4", "/home/me/train.jl:2", "none", "boom"},
		{"names-1.9", "/home/me/train.jl:2", "none", "boom"},
		{"nestedcycles-1.13", "/home/me/train.jl:2", "none", "StackOverflowError:"},
		{"overflowwarning-1.10", "/home/me/train.jl:1", "none", "StackOverflowError:"},
		{"parseclose-1.10", "/home/me/train.jl:2:1-2:2", "none", "ParseError:\nunexpected `)`"},
		{"parsecolumn1-1.12", "/home/me/train.jl:2:1-3:4", "none", "ParseError:\npremature end"},
		{"parseempty-1.11", "/home/me/train.jl:16:15-16:16", "none", "ParseError:\nspace required before `?` operator"},
		{"parselinks-1.11", "none", "/home/me/proj/src/lib.jl:3:5-3:6", "ParseError:\nunexpected `)`"},
		{"parserecord-1.11", "/home/me/train.jl:2:5-2:11", "none", ""},
		{"parserecordlines-1.11", "/home/me/train.jl:2:1-3:4", "none", ""},
		{"parserelative-1.13", "none", "/home/me/proj/scripts/main.jl:15:19-15:20", ""},
		{"parsewide-1.10", "/home/me/train.jl:2:9-2:13", "none", ""},
		{"precompauto-1.9", "none", "/home/me/Broken/src/parts.jl:3", ""},
		{"precompchain-1.7", "none", "/home/me/Broken/src/parts.jl:2", "UndefVarError: clusters not defined"},
		{"precompdirect-1.12", "none", "/home/me/Broken/src/parts.jl:1", ""},
		{"precomplive-1.12", "none", "/home/me/Broken/src/parts.jl:2", "UndefVarError: `undefined_name` not defined in `Broken`\nSuggestion: check for spelling errors or missing imports."},
		{"precompoutput-1.11", "none", "/home/me/proj/scripts/main.jl:4", "boom"},
		{"precomptwo-1.12", "none", "/home/me/Broken/src/parts.jl:2", "UndefVarError: `undefined_name` not defined in `Broken`\nSuggestion: check for spelling errors or missing imports."},
		{"remotetask-1.12", "/home/me/train.jl:9", "none", "On worker 2:\nTaskFailedException:\nBoundsError: attempt to access 2-element Vector{Int64} at index [3]"},
		{"segvthreads-1.12", "/home/me/train.jl:1", "none", "[4721] signal 11 (1): Segmentation fault"},
		{"silent-1.10", "/home/me/train.jl:2", "none", "TaskFailedException"},
		{"testbar-1.10", "/home/me/train.jl:3", "none", ""},
		{"testthrows-1.13", "/home/me/train.jl:2", "none", ""},
		{"threads-1.12", "/home/me/train.jl:4", "none", "TaskFailedException:\nFieldError: type Point has no field `z`, available fields: `x`, `y`"},
		{"worker-1.3", "none", "/home/me/proj/src/lib.jl:126", "On worker 2:\nCannot find weights.csv in the data directory"},
		{"worker-1.4", "none", "/home/me/proj/src/lib.jl:2", "On worker 2:\nTaskFailedException:"},
	} {
		text := read(t, "later/"+c.name)
		for how, lines := range ways(text) {
			t.Run(c.name+"/"+how, func(t *testing.T) {
				tr, ok := Failure(Parse(lines))
				if !ok {
					t.Fatal("no trace")
				}
				if got := show(Locate(tr, scriptPaths.Local)); got != c.script {
					t.Errorf("as script: %s, want %s\n%+v", got, c.script, tr)
				}
				if got := show(Locate(tr, bundlePaths.Local)); got != c.bundle {
					t.Errorf("as bundle: %s, want %s\n%+v", got, c.bundle, tr)
				}
				if c.message != "" && tr.Message != c.message {
					t.Errorf("message %q, want %q", tr.Message, c.message)
				}
			})
		}
	}
}

// TestEveryRecordingIsRead finds recordings that no table names.
func TestEveryRecordingIsRead(t *testing.T) {
	tables, err := os.ReadFile("stacktrace_test.go")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/*/*.txt")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if text := string(tables); !strings.Contains(text, `"`+name+`"`) && !strings.Contains(text, `/`+name+`"`) {
			t.Errorf("%s is in no table", file)
		}
	}
}

func TestOrdinaryOutputIsNoTrace(t *testing.T) {
	for how, lines := range ways(read(t, "later/unrelated-output")) {
		if got := Parse(lines); len(got) != 0 {
			t.Errorf("%s: %+v", how, got)
		}
	}
}

// TestStructure checks that causes stand where they belong.
func TestStructure(t *testing.T) {
	tr, _ := Failure(Parse([]Line{{Text: read(t, "later/sync-1.7")}}))
	if len(tr.Frames) != 2 || len(tr.In) != 1 || len(tr.Causes) != 1 {
		t.Fatalf("outer: %+v", tr)
	}
	task := tr.Causes[0]
	if task.Kind != Nested || len(task.Frames) != 2 || len(task.Causes) != 1 || task.Causes[0].Message != "three" {
		t.Errorf("task: %+v", task)
	}
	tr, _ = Failure(Parse([]Line{{Text: read(t, "1.5.3/causedby")}}))
	if len(tr.Causes) != 1 || tr.Causes[0].Kind != CausedBy || !strings.HasPrefix(tr.Causes[0].Message, "SystemError") || len(tr.Causes[0].Frames) != 11 {
		t.Errorf("caused by: %+v", tr.Causes)
	}
	tr, _ = Failure(Parse([]Line{{Text: read(t, "1.5.3/inline")}}))
	want := Frame{Func: "lo", File: "/home/jrun/job/inline.jl", Line: 1, Inlined: true, Repeats: 1}
	if tr.Frames[0] != want {
		t.Errorf("frame %+v", tr.Frames[0])
	}
	tr, _ = Failure(Parse([]Line{{Text: read(t, "1.5.3/overflow1")}}))
	if tr.Frames[0].Repeats != 79984 {
		t.Errorf("repeats: %+v", tr.Frames[0])
	}
	tr, _ = Failure(Parse([]Line{{Text: read(t, "1.5.3/remote2")}}))
	if len(tr.Frames) != 6 || len(tr.Causes) != 1 || len(tr.Causes[0].Frames) != 2 || len(tr.Causes[0].Causes) != 1 || len(tr.Causes[0].Causes[0].Frames) != 12 {
		t.Errorf("wrappers: %+v", tr)
	}
}

// TestWorkersInterleave mixes the lines of three writers.
func TestWorkersInterleave(t *testing.T) {
	texts := []string{"1.5.3/loaderror", "1.5.3/task", "later/nested-1.10"}
	var queues [][]string
	for _, name := range texts {
		queues = append(queues, strings.Split(read(t, name), "\n"))
	}
	start := time.Unix(1000, 0)
	var lines []Line
	for i := 0; ; i++ {
		left := false
		for w, q := range queues {
			if i < len(q) {
				left = true
				lines = append(lines, Line{Text: q[i], Worker: fmt.Sprint(w), Time: start.Add(time.Duration(i) * time.Second)})
			}
		}
		if !left {
			break
		}
	}
	got := Parse(lines)
	if len(got) != 3 {
		t.Fatalf("%d traces", len(got))
	}
	for i, want := range []string{"loaderror.jl:2", "task.jl:2"} {
		if place := show(Locate(got[i], jobPaths)); place != want || got[i].Worker != fmt.Sprint(i) || !got[i].Time.Equal(start) {
			t.Errorf("%s of %q at %v, want %s", place, got[i].Worker, got[i].Time, want)
		}
	}
}

// TestFromWorker reads what worker processes print through the first one.
func TestFromWorker(t *testing.T) {
	var lines []Line
	for l := range strings.Lines(read(t, "1.5.3/loaderror")) {
		lines = append(lines, Line{Text: "      From worker 2:\t" + l}, Line{Text: "      From worker 3:\t" + l}, Line{Text: "progress"})
	}
	got := Parse(lines)
	if len(got) != 2 || got[0].Worker != "/2" || got[1].Worker != "/3" {
		t.Fatalf("%+v", got)
	}
	for _, tr := range got {
		if place := show(Locate(tr, jobPaths)); place != "loaderror.jl:2" {
			t.Errorf("place %s", place)
		}
	}
}

func TestFailurePrefersTheUncaught(t *testing.T) {
	text := read(t, "1.5.3/loaderror") + "\n" + read(t, "1.5.3/logged")
	traces := Parse([]Line{{Text: text}})
	if len(traces) != 2 {
		t.Fatalf("%d traces", len(traces))
	}
	if tr, _ := Failure(traces); tr.Message != "boom" {
		t.Errorf("chose %q", tr.Message)
	}
	if _, ok := Failure(nil); ok {
		t.Error("a failure out of nothing")
	}
}

func TestPaths(t *testing.T) {
	bundle := bundlePaths
	bundle.Files = map[string]string{"code.jl": "/p/code.jl", "src/utils.jl": "/p/src/utils.jl", "lib.jl": "/p/lib.jl", "src/lib.jl": "/p/src/lib.jl", "packages/Mono/tests/src/runner.jl": "/p/runner.jl"}
	for remote, want := range map[string]string{
		"/tmp/abc/proj/src/lib.jl":  "/p/src/lib.jl",
		"/tmp/abc/other/lib.jl":     "/p/lib.jl",
		"~/appbundle/src/lib.jl":    "/p/src/lib.jl",
		"~/appbundle/src/../lib.jl": "/p/lib.jl",
		`D:\run\proj\src\lib.jl`:    "/p/src/lib.jl",
		"src/lib.jl":                "/p/src/lib.jl",
		"appbundle/src/lib.jl":      "/p/src/lib.jl",
		"../proj/src/lib.jl":        "/p/src/lib.jl",
		"proj/lib.jl":               "/p/lib.jl",
		"appbundle/code.jl":         "/p/code.jl",
		"../code.jl":                "",
		"strings/lib.jl":            "",
		"./lib.jl":                  "",
		"lib.jl":                    "",
		"/tmp/abc/code.jl":          "",
		"/tmp/abc/proj/code.jl":     "/p/code.jl",
		"/tmp/appbundle/code.jl":    "/p/code.jl",
		"~/.julia/packages/Tables/AcRIE/src/utils.jl":     "",
		"/usr/share/julia/stdlib/v1.10/Test/src/utils.jl": "",
		"/tmp/proj/packages/Mono/tests/src/runner.jl":     "/p/runner.jl",
		"/opt/juliahub/lib.jl":                            "",
		"":                                                "",
		"/":                                               "",
		"REPL[1]":                                         "",
		"/tmp/proj/src/utils.jl/":                         "/p/src/utils.jl",
		"/usr/share/julia/base/src/utils.jl":              "",
		"/home/x/.julia/packages/A/b1C2d/packages/B/lib.jl":  "",
		"/home/jrun/.julia/dev/../../proj/src/utils.jl":      "/p/src/utils.jl",
		"/home/jrun/.julia/artifacts/" + sha40 + "/lib.jl":   "",
		"/build/julia/usr/share/julia/stdlib/v1.5/x/utils.j": "",
	} {
		if got, ok := bundle.Local(remote); got != want || ok != (want != "") {
			t.Errorf("Local(%q) = %q, %v; want %q", remote, got, ok, want)
		}
	}
	script := Paths{Code: "/me/a.jl"}
	for remote, want := range map[string]string{"/x/code.jl": "/me/a.jl", "code.jl": "/me/a.jl", "~/code.jl": "/me/a.jl", "./code.jl": "", "/x/other.jl": "", "~/.julia/packages/A/b1C2d/src/code.jl": ""} {
		if got, _ := script.Local(remote); got != want {
			t.Errorf("script: Local(%q) = %q, want %q", remote, got, want)
		}
	}
	want := filepath.Join("/home/me/.julia", "packages", "Tables", "AcRIE", "src", "utils.jl")
	if got := bundlePaths.Depot("~/.julia/packages/Tables/AcRIE/src/utils.jl"); len(got) != 1 || got[0] != want {
		t.Errorf("Depot: %q", got)
	}
	if got := bundlePaths.Depot("/x/packages/A/AcRIE/../../../../etc/passwd"); got != nil {
		t.Errorf("Depot leaves the depot: %q", got)
	}
}

const sha40 = "0123456789abcdef0123456789abcdef01234567"

// TestParserStaysSmall feeds a long log and looks at what is kept.
func TestParserStaysSmall(t *testing.T) {
	p := NewParser(3)
	for i := range 2000 {
		p.Add(Line{Text: fmt.Sprintf("ERROR: LoadError: number %d\nStacktrace:\n [1] f() at /home/jrun/job/a.jl:%d\n", i, i+1)})
		p.Add(Line{Text: "ordinary", Worker: fmt.Sprint("w", i)})
	}
	for i := range 20000 {
		p.Add(Line{Text: fmt.Sprintf(" [%d] g(::Int) at ./b.jl:%d", i+2, i)})
	}
	p.Add(Line{Text: " [20002] top-level scope at /home/jrun/job/last.jl:9"})
	got := p.Traces()
	if len(got) != 3 || got[2].Message != "number 1999" {
		t.Fatalf("%d traces, the last %q", len(got), got[len(got)-1].Message)
	}
	frames := got[2].Frames
	if len(frames) > maxFrames || frames[0].Line != 2000 || frames[len(frames)-1].Line != 9 {
		t.Errorf("%d frames: %+v … %+v", len(frames), frames[0], frames[len(frames)-1])
	}
	if len(p.writers) > maxWriters || len(p.done) > 4 {
		t.Errorf("%d writers, %d traces in memory", len(p.writers), len(p.done))
	}
	for i := range 5000 {
		p.Add(Line{Text: "caused by: x"})
		p.Add(Line{Text: strings.Repeat(" ", i%9) + "nested task error: y"})
		p.Add(Line{Text: "Stacktrace:", Worker: "wrapped"})
	}
	for _, tr := range p.Traces() {
		if n := exceptions(tr); n > maxCauses+1 {
			t.Errorf("%d exceptions in a trace", n)
		}
	}
	for _, w := range p.writers {
		if len(w.open) > maxCauses+1 {
			t.Errorf("%d levels", len(w.open))
		}
	}
}

func exceptions(t Trace) int {
	n := 1
	for _, c := range t.Causes {
		n += exceptions(c)
	}
	return n
}

// BenchmarkHostile reads one long line each; the time per byte stays the same
// whatever the length.
func BenchmarkHostile(b *testing.B) {
	for name, part := range map[string]string{"at": " [1] f at /a.jl:1x", "escape": "\x1b]8;;", "brackets": "[1] f(", "repeats": "f at a.jl:1 (repeats 2 times)", "spaces": " ",
		"module": "\n [1] f(x)\n @ a.var\"\\", "loose": "\nfound at /a.jl:1\n[1] f(x)\n@ M /a.jl:2", "boxes": "│┌└├╰", "pictures": "\n# Error @ a.jl:1:1\n┌──\n",
		"headers": "\nERROR: The following 2 dependencies failed to precompile:\nERROR: x\nin expression starting at a.jl:1\nStacktrace:",
		"causes":  "\ncaused by: x\n    nested task error: y\nStacktrace:\n [1] f at /a.jl:1",
	} {
		for _, size := range []int{64 << 10, 1 << 20} {
			text := strings.Repeat(part, size/len(part))
			b.Run(fmt.Sprintf("%s/%dK", name, size>>10), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					Parse([]Line{{Text: "ERROR: x\nStacktrace:\n" + text}})
				}
			})
		}
	}
}

// FuzzParse looks for panics, and for places that cannot be.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.txt")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		whole := Parse([]Line{{Text: text}})
		for _, tr := range whole {
			for _, local := range []func(string) (string, bool){bundlePaths.Local, scriptPaths.Local, func(remote string) (string, bool) { return remote, true }} {
				if at, ok := Locate(tr, local); ok && !possible(at) {
					t.Errorf("impossible: %+v", at)
				}
			}
		}
		p := NewParser(2)
		for _, l := range ways(text)["lines"] {
			p.Add(l)
			p.Traces()
		}
	})
}

// possible reports whether a place is one, and its range goes forward.
func possible(at Place) bool {
	if at.File == "" || at.Line < 1 || at.Col < 0 || at.EndLine < 0 || at.EndCol < 0 {
		return false
	}
	return at.EndCol == 0 || at.Col > 0 && (at.EndLine > at.Line || at.EndLine == at.Line && at.EndCol > at.Col)
}

// ways gives a text as one record, and as one record per line.
func ways(text string) map[string][]Line {
	var lines []Line
	for l := range strings.Lines(text) {
		lines = append(lines, Line{Text: l})
	}
	return map[string][]Line{"record": {{Text: text}}, "lines": lines}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", filepath.FromSlash(name)+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

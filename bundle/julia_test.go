package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/internal/testjulia"
)

// emptyRegistry keeps Pkg from asking for General.
const emptyRegistry = "name = \"Empty\"\nuuid = \"00000000-0000-4000-8000-000000000001\"\nrepo = \"\"\n\n[packages]\n"

// job is a machine of its own for an unpacked bundle: an empty depot (but for a
// registry without packages, so that Pkg does not ask for General) and no network.
type job struct {
	julia, start string
	depot        string // what JULIA_DEPOT_PATH is set to
}

// newJob unpacks a bundle, with its top directory called as servers up to 6.2 do
// if older is set, and returns where the driver starts.
func newJob(t *testing.T, p *Plan, older bool) *job {
	t.Helper()
	j := &job{julia: testjulia.Find(t), depot: t.TempDir()}
	top := realPath(t.TempDir())
	unpack(t, pack(t, p), top)
	j.start = filepath.Join(top, p.Name)
	if older {
		if err := os.Rename(j.start, filepath.Join(top, "appbundle")); err != nil {
			t.Fatal(err)
		}
		j.start = top
	}
	registry := filepath.Join(j.depot, "registries", "Empty", "Registry.toml")
	if err := os.MkdirAll(filepath.Dir(registry), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(registry, []byte(emptyRegistry), 0o644); err != nil {
		t.Fatal(err)
	}
	return j
}

// run runs code as the server does: a file of its own, run in the start directory.
func (j *job) run(t *testing.T, project, code string) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "code.jl")
	if err := os.WriteFile(file, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), j.julia, "--startup-file=no", "--compiled-modules=no", "-O0", "--project="+project, file)
	cmd.Dir = j.start
	cmd.Env = append(os.Environ(), "JULIA_DEPOT_PATH="+j.depot, "JULIA_PKG_SERVER=", "JULIA_LOAD_PATH=:")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestLiterals compares the escaping with Julia's own.
func TestLiterals(t *testing.T) {
	parts := []string{"a", `q"u\o$te`, "sp ace", "\x01\x1b\t\n\x7f", "\x001", "\x00a", "é\u0085\u00851", "\u200b\u200bf", "\U000e0001\U000e0001f", "日本", "ab\xff", "'"}
	code := "for s in (" + components(strings.Join(parts, "/")) + ",)\n println(repr(s)); end"
	j := &job{julia: testjulia.Find(t), start: t.TempDir(), depot: t.TempDir()}
	out, err := j.run(t, "", code)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want []string
	for _, p := range parts {
		want = append(want, juliaLiteral(p))
	}
	expect(t, "literals", strings.Split(strings.TrimSpace(out), "\n"), want)
}

// TestDriverRuns runs scripts by the driver, in both kinds of start directories.
func TestDriverRuns(t *testing.T) {
	script := `println("dir ", (@__DIR__) == dirname(@__FILE__), " ", basename(@__DIR__))
include("helper.jl")
println("data ", read(joinpath(@__DIR__, "data.txt"), String))
if abspath(PROGRAM_FILE) == @__FILE__
    println("main guard")
end
println("names ", filter(n -> !startswith(String(n), "#"), setdiff(names(Main, all=true), [:Base, :Core, :Main, :eval, :include, :ans])))
`
	const place = "sp ace/$HOME \"q\" \\b/é"
	dir := lay(t, map[string]string{
		"p/Project.toml": "", "p/" + place + "/s.jl": script, "p/" + place + "/helper.jl": `println("helper")`, "p/" + place + "/data.txt": "42",
	})
	root := filepath.Join(dir, "p")
	p := mustPlan(t, Options{Dir: root, Script: filepath.Join(root, filepath.FromSlash(place), "s.jl")})
	for _, older := range []bool{false, true} {
		out, err := newJob(t, p, older).run(t, "", p.Driver())
		want := "dir true é\nhelper\ndata 42\nmain guard\nnames Symbol[]\n"
		if err != nil || out != want {
			t.Errorf("older %v: %v\n%s\nwant\n%s", older, err, out, want)
		}
	}
	j := newJob(t, p, false)
	j.start = t.TempDir()
	out, err := j.run(t, "", p.Driver())
	if err == nil || !strings.Contains(out, "The script "+place+"/s.jl is not in the bundle") {
		t.Errorf("without the file: %v\n%s", err, out)
	}
}

// TestMainEntryPoint calls a script's main exactly when Julia does not. The mark
// is what Julia's @main leaves; older Julias have no such macro.
func TestMainEntryPoint(t *testing.T) {
	dir := lay(t, map[string]string{"p/Project.toml": "", "p/s.jl": `var"#__main_is_entrypoint__#" = true
main(args) = (println("main ", args); parse(Int, get(ENV, "STATUS", "0")))
`})
	root := filepath.Join(dir, "p")
	p := mustPlan(t, Options{Dir: root, Script: filepath.Join(root, "s.jl")})
	j := newJob(t, p, false)
	driver := filepath.Join(t.TempDir(), "driver.jl")
	if err := os.WriteFile(driver, []byte(p.Driver()), 0o644); err != nil {
		t.Fatal(err)
	}
	wrapper := "include(" + juliaLiteral(driver) + ")\nprintln(var\"#__main_is_entrypoint__#\")\n"
	if out, err := j.run(t, "", wrapper); err != nil || out != "main String[]\nfalse\n" {
		t.Errorf("included: %v\n%s", err, out)
	}
	if out, err := j.run(t, "", p.Driver()); err != nil || out != "" {
		t.Errorf("as the program, where Julia calls main: %v\n%s", err, out)
	}
	t.Setenv("STATUS", "3")
	if out, err := j.run(t, "", wrapper); err == nil || !strings.Contains(out, "main returned the status 3") {
		t.Errorf("status 3: %v\n%s", err, out)
	}
}

// TestBundleRuns bundles a project with path packages of path packages and a
// sub-project, unpacks it elsewhere, and runs it with an empty depot.
func TestBundleRuns(t *testing.T) {
	uuid := func(n string) string { return "0d733eb5-97ac-4a4a-9738-00000000000" + n }
	pkg := func(name, n, deps string) string {
		return "name = \"" + name + "\"\nuuid = \"" + uuid(n) + "\"\nversion = \"0.1.0\"\n\n[deps]\n" + deps
	}
	entry := func(name, n, path, deps string) string {
		return "[[" + name + "]]\n" + deps + "path = \"" + path + "\"\nuuid = \"" + uuid(n) + "\"\nversion = \"0.1.0\"\n\n"
	}
	depA, depB := "A = \""+uuid("1")+"\"\n", "B = \""+uuid("2")+"\"\n"
	dir := lay(t, map[string]string{
		"p/Project.toml":     "[deps]\n" + depA,
		"p/Manifest.toml":    entry("A", "1", "../libs/A", "deps = [\"B\"]\n") + entry("B", "2", "../libs/nested/B", ""),
		"p/run.jl":           "using A\nprintln(A.answer())\n",
		"p/sub/Project.toml": "[deps]\n" + depB, "p/sub/Manifest.toml": entry("B", "2", "../../libs/nested/B", ""),
		"p/sub/run.jl":               "using B\nprintln(B.answer(), \" \", basename(dirname(Base.active_project())))\n",
		"libs/A/Project.toml":        pkg("A", "1", depB),
		"libs/A/src/A.jl":            "module A\nimport B\nanswer() = 2 * B.answer()\nend\n",
		"libs/nested/B/Project.toml": pkg("B", "2", ""),
		"libs/nested/B/src/B.jl":     "module B\nanswer() = 21\nend\n",
	})
	root := filepath.Join(dir, "p")
	for script, want := range map[string]string{"run.jl": "42", "sub/run.jl": "21 sub"} {
		p := mustPlan(t, Options{Dir: root, Script: filepath.Join(root, filepath.FromSlash(script))})
		j := newJob(t, p, false)
		// The server instantiates the bundle's root before it runs the driver.
		code := "using Pkg\nPkg.instantiate()\n" + p.Driver()
		if out, err := j.run(t, ".", code); err != nil || !strings.HasSuffix(out, want+"\n") {
			t.Errorf("%s: %v\n%s\nwant %q at the end", script, err, out, want)
		}
	}
}

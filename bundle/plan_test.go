package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// lay writes files (path → text) below a new directory and returns it.
func lay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := realPath(t.TempDir())
	for path, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustPlan(t *testing.T, o Options) *Plan {
	t.Helper()
	p, err := NewPlan(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func filePaths(p *Plan) []string {
	paths := []string{}
	for _, f := range p.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

func codes(p *Plan) []string {
	var all []string
	for _, w := range p.Warnings {
		all = append(all, w.Code+" "+w.Path)
	}
	return all
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

const packageA = "name = \"DevA\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\nversion = \"0.1.0\"\n"

const manifestHead = "julia_version = \"1.10.4\"\nmanifest_format = \"2.0\"\n\n"

// TestPlanJSON holds the contract of `bundle --json`.
func TestPlanJSON(t *testing.T) {
	dir := lay(t, map[string]string{
		"p/Project.toml":       "[deps]\nDevA = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n",
		"p/Manifest.toml":      manifestHead + "[[deps.DevA]]\npath = \"../a\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n",
		"p/.juliabundleignore": "# data\n*.csv\n!keep.csv\nnever\n",
		"p/x.csv":              "12345", "p/keep.csv": "1", "p/.git/HEAD": "",
		"a/Project.toml": packageA,
	})
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p")})
	got, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	sum := p.ManifestSHA256
	if len(sum) != 64 {
		t.Errorf("manifest_sha256 %q", sum)
	}
	want := `{"root":"DIR/p","name":"p","bytes":297,"files":[` +
		`{"path":".bundle/dev/DevA/Project.toml","bytes":78,"from":"DIR/a/Project.toml"},` +
		`{"path":".juliabundleignore","bytes":29},{"path":"Manifest.toml","bytes":136},{"path":"Project.toml","bytes":53},{"path":"keep.csv","bytes":1}],` +
		`"excluded":[{"path":".git","reason":".git is never sent"},{"path":"x.csv","rule":{"file":".juliabundleignore","line":2,"pattern":"*.csv"}}],` +
		`"rules":[{"file":".juliabundleignore","line":2,"pattern":"*.csv","negated":false,"matched_files":1,"matched_bytes":5},` +
		`{"file":".juliabundleignore","line":3,"pattern":"!keep.csv","negated":true,"matched_files":1,"matched_bytes":1},` +
		`{"file":".juliabundleignore","line":4,"pattern":"never","negated":false,"matched_files":0,"matched_bytes":0}],` +
		`"packages":[{"name":"DevA","uuid":"0d733eb5-97ac-4a4a-9738-000000000001","from":"DIR/a","to":".bundle/dev/DevA","why":"tracked by a path outside the directory"}],` +
		`"warnings":[],"manifest_sha256":"` + sum + `"}`
	if text := strings.ReplaceAll(string(got), dir, "DIR"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	empty, err := json.Marshal(mustPlan(t, Options{Dir: lay(t, nil)}))
	if err != nil || bytes.Contains(empty, []byte("null")) {
		t.Errorf("%s, %v: an empty list is [], never null", empty, err)
	}
}

// TestRuleCounts counts what each rule decides, below excluded directories too.
func TestRuleCounts(t *testing.T) {
	p := mustPlan(t, Options{Dir: lay(t, map[string]string{
		"Project.toml": "", "Manifest.toml": "", ignoreName: "*.csv\nout/\n!keep/k.csv\nout/x\n", "a.csv": "1", "d/b.csv": "22", "keep/k.csv": "333", "keep/l.csv": "4444",
		"out/x": "55555", "out/deep/y.csv": "666666", "out/.git/z": "7", "sub/" + ignoreName: "*\n!*.txt\n", "sub/n.txt": "88888888", "sub/n.csv": "999999999",
	})})
	var got []string
	for _, r := range p.Rules {
		got = append(got, fmt.Sprintf("%s:%d %s %d %d", r.File, r.Line, r.Pattern, r.MatchedFiles, r.MatchedBytes))
	}
	expect(t, "rules", got, []string{
		".juliabundleignore:1 *.csv 3 7", ".juliabundleignore:2 out/ 2 11", ".juliabundleignore:3 !keep/k.csv 1 3", ".juliabundleignore:4 out/x 0 0",
		"sub/.juliabundleignore:1 * 2 18", "sub/.juliabundleignore:2 !*.txt 1 8"})
}

// TestScript says where a script may be.
func TestScript(t *testing.T) {
	dir := lay(t, map[string]string{
		"p/.juliabundleignore": "secret/\nx.jl\n", "p/Project.toml": "", "p/a.jl": "", "p/x.jl": "",
		"p/secret/s.jl": "", "p/sub/Project.toml": "", "p/sub/deep/b.jl": "", "p/.git/c.jl": "", "out.jl": "",
	})
	root := filepath.Join(dir, "p")
	for script, environment := range map[string]string{"a.jl": ".", "sub/deep/b.jl": "sub"} {
		p := mustPlan(t, Options{Dir: root, Script: filepath.Join(root, script)})
		if p.Script != script || p.Environment != environment {
			t.Errorf("%s: script %q in %q", script, p.Script, p.Environment)
		}
	}
	for script, want := range map[string]string{
		"x.jl":        "excluded by line 2 of " + filepath.Join(root, ignoreName),
		"secret/s.jl": "its directory secret is excluded by line 1 of",
		".git/c.jl":   ".git is never sent",
		"../out.jl":   "it lies outside",
		"none.jl":     "there is no such file",
		"sub":         "it is not a file",
	} {
		_, err := NewPlan(context.Background(), Options{Dir: root, Script: filepath.Join(root, script)})
		var bad *ScriptError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", script, err, want)
		}
	}
}

// TestUnsaved sends what the editor shows, also in ignore files and manifests,
// and files that were never saved.
func TestUnsaved(t *testing.T) {
	dir := lay(t, map[string]string{
		"p/.juliabundleignore": "", "p/Project.toml": "", "p/a.jl": "disk", "p/b.csv": "", "p/Manifest.toml": "",
		"a/Project.toml": packageA,
	})
	root := filepath.Join(dir, "p")
	if err := os.Symlink("a.jl", filepath.Join(root, "link.jl")); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, Options{Dir: root, Script: filepath.Join(root, "new/dir/c.jl"), Unsaved: map[string][]byte{
		filepath.Join(root, "a.jl"):          []byte("editor"),
		filepath.Join(root, ignoreName):      []byte("*.csv"),
		filepath.Join(root, "new/dir/c.jl"):  []byte("new"),
		filepath.Join(root, "Manifest.toml"): []byte("[[DevA]]\npath = '../a'\n"),
		filepath.Join(dir, "a", "x.jl"):      []byte("x"),
	}})
	contents := map[string]string{}
	for _, e := range readTar(t, pack(t, p)) {
		contents[e.Name] = string(e.data)
	}
	for path, want := range map[string]string{
		"p/a.jl": "editor", "p/link.jl": "editor", "p/new/dir/c.jl": "new", "p/.juliabundleignore": "*.csv",
		"p/Manifest.toml": "[[DevA]]\npath = \".bundle/dev/DevA\"\n", "p/.bundle/dev/DevA/x.jl": "x",
	} {
		if contents[path] != want {
			t.Errorf("%s: %q, want %q", path, contents[path], want)
		}
	}
	if _, ok := contents["p/b.csv"]; ok {
		t.Error("b.csv went in: the unsaved ignore file does not count")
	}
}

// TestLinks follows links, cuts cycles and asks about what lies outside.
func TestLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege on Windows")
	}
	dir := lay(t, map[string]string{"p/Project.toml": "", "p/d/f": "1", "out/g": "2", "depot/servers/s/auth.toml": "token"})
	root := filepath.Join(dir, "p")
	for link, target := range map[string]string{
		"p/d/up": "..", "p/self": "self", "p/gone": "nowhere", "p/also": "d", "p/o": "../out", "p/og": "../out/g",
		"p/tokens": "../depot/servers/s", "p/depot": "../depot",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	o := Options{Dir: root, Depots: []string{filepath.Join(dir, "depot")}}
	p := mustPlan(t, o)
	expect(t, "files", filePaths(p), []string{"Manifest.toml", "Project.toml", "also/f", "d/f", "o/g", "og"})
	expect(t, "warnings", codes(p), []string{
		"dangling-link gone", "forbidden depot", "forbidden tokens", "link-cycle also/up", "link-cycle d/up", "link-cycle self",
		"outside-link o", "outside-link og"})
	expect(t, "outside", p.Outside, []string{filepath.Join(dir, "out"), filepath.Join(dir, "out", "g")})
	o.AllowOutside = func(target string) bool { return target == filepath.Join(dir, "out", "g") }
	p = mustPlan(t, o)
	expect(t, "files", filePaths(p), []string{"Manifest.toml", "Project.toml", "also/f", "d/f", "og"})
	expect(t, "outside", p.Outside, []string{filepath.Join(dir, "out"), filepath.Join(dir, "out", "g")})
}

// TestPathPackages covers what decides whether and where a package travels.
func TestPathPackages(t *testing.T) {
	uuid := func(n string) string { return "0d733eb5-97ac-4a4a-9738-00000000000" + n }
	project := func(name, n string) string { return "name = \"" + name + "\"\nuuid = \"" + uuid(n) + "\"\n" }
	dir := lay(t, map[string]string{
		"p/Project.toml": "", "p/dev/In/Project.toml": project("In", "1"), "p/sub/Project.toml": "",
		"out/A/Project.toml": project("A", "2"), "other/A/Project.toml": project("A", "3"), "abs/B/Project.toml": project("B", "4"),
		"p-utils/Project.toml": project("Utils", "5"),
	})
	root := filepath.Join(dir, "p")
	entry := func(name, path, n string) string {
		return "[[deps." + name + "]]   # keep\npath = " + path + "\nuuid = \"" + uuid(n) + "\"\n\n"
	}
	abs := filepath.ToSlash(filepath.Join(dir, "abs", "B"))
	text := func(in, back, a2, a3, b, utils string) string {
		return "\ufeff" + strings.ReplaceAll(manifestHead, "\n", "\r\n") + entry("In", in, "1") + entry("Back", back, "9") +
			entry("A", a2, "2") + entry("A", a3, "3") + entry("B", b, "4") + entry("Utils", utils, "5")
	}
	manifest := text("'dev/In'", "'../p/dev/In'", `"../out/../out/A"`, `"../other/A/"`, "'"+abs+"'", `"../p-utils"  # sibling`)
	sub := manifestHead + entry("A", `"../../out/A"`, "2") + entry("Gone", `"../../gone"`, "8")
	for path, text := range map[string]string{"p/Manifest.toml": manifest, "p/sub/Manifest.toml": sub} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p := mustPlan(t, Options{Dir: root})
	var to []string
	for _, pkg := range p.Packages {
		to = append(to, pkg.Name+" "+pkg.To)
	}
	expect(t, "packages", to, []string{"A .bundle/dev/A-0d733eb5", "A .bundle/dev/A-0d733eb5-2", "B .bundle/dev/B", "Utils .bundle/dev/Utils"})
	want := text("'dev/In'", `"dev/In"`, `".bundle/dev/A-0d733eb5-2"`, `".bundle/dev/A-0d733eb5"`, `".bundle/dev/B"`, `".bundle/dev/Utils"  # sibling`)
	if got := string(p.content["Manifest.toml"]); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	want = manifestHead + entry("A", `"../.bundle/dev/A-0d733eb5-2"`, "2") + entry("Gone", `"../../gone"`, "8")
	if got := string(p.content["sub/Manifest.toml"]); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	expect(t, "warnings", codes(p), []string{"package-missing sub/Manifest.toml"})

	_, err := NewPlan(context.Background(), Options{Dir: root, AllowOutside: func(string) bool { return false }})
	var outside *OutsideError
	if !errors.As(err, &outside) || outside.Target != filepath.Join(dir, "out", "A") && outside.Target != filepath.Join(dir, "other", "A") {
		t.Errorf("without consent: %v", err)
	}
}

// TestWrongPackage refuses a path that leads to something else than the package.
func TestWrongPackage(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no project file": {"a/x": ""},
		"another name":    {"a/Project.toml": "name = \"Other\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"},
		"another uuid":    {"a/Project.toml": "name = \"DevA\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000002\"\n"},
	} {
		files["p/Manifest.toml"] = "[[DevA]]\npath = \"../a\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"
		_, err := NewPlan(context.Background(), Options{Dir: filepath.Join(lay(t, files), "p")})
		var bad *PackageError
		if !errors.As(err, &bad) || bad.Package != "DevA" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSizeLimit counts all that is sent and names the largest files.
func TestSizeLimit(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": ""})
	for i, name := range []string{"e", "d", "[c]", "b", "a", "s"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(int64(i+1)*(SizeLimit/20)), f.Close()); err != nil { // a hole: no disk is used
			t.Fatal(err)
		}
	}
	p := mustPlan(t, Options{Dir: dir})
	_, err := p.Spool(context.Background(), t.TempDir(), nil)
	var tooLarge *SizeError
	if !errors.As(err, &tooLarge) || len(tooLarge.Largest) != 5 || tooLarge.Largest[0].Path != "s" || !strings.Contains(err.Error(), `\[c]`) {
		t.Errorf("%v", err)
	}
	if !slices.Contains(codes(p), "too-large ") {
		t.Errorf("the plan does not say so: %v", codes(p))
	}
	p.TarSize = SizeLimit
	if err := p.Check(); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
}

// TestNeverABundle refuses what nobody means to send.
func TestNeverABundle(t *testing.T) {
	home := lay(t, map[string]string{".julia/registries/x": "", "p/Project.toml": ""})
	depot := filepath.Join(home, ".julia")
	for _, dir := range []string{home, filepath.Dir(home), "/", depot, filepath.Join(home, "none"), "relative", filepath.Join(home, "p", "Project.toml")} {
		_, err := NewPlan(context.Background(), Options{Dir: dir, Home: home, Depots: []string{depot}})
		if bad := (*DirError)(nil); !errors.As(err, &bad) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	mustPlan(t, Options{Dir: filepath.Join(home, "p"), Home: home, Depots: []string{depot}})
}

// TestDepotInside sends no token although the depot lies in the project.
func TestDepotInside(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", ".julia/servers/juliahub.com/auth.toml": "token", ".julia/logs/x": ""})
	p := mustPlan(t, Options{Dir: dir, Depots: []string{filepath.Join(dir, ".julia")}})
	expect(t, "files", filePaths(p), []string{".julia/logs/x", "Manifest.toml", "Project.toml"})
	expect(t, "warnings", codes(p), []string{"forbidden .julia/servers"})
}

// TestTarFormat compares header by header with what the archive library reads.
func TestTarFormat(t *testing.T) {
	long := strings.Repeat("d", 60) + "/" + strings.Repeat("e", 60) + "/" + strings.Repeat("f", 60)
	names := []string{"a", "a.b/c", "a/b", "a0", long + "/" + strings.Repeat("g", 90), strings.Repeat("x", 255), "ü/é", "z/empty"}
	files := map[string]string{"Project.toml": "", "Manifest.toml": ""}
	for _, n := range names {
		if n != "a" && n != "z/empty" {
			files[n] = "x" + n
		}
	}
	dir := lay(t, files)
	if err := os.MkdirAll(filepath.Join(dir, "z", "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a0"), 0o744); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, Options{Dir: dir})
	var got []string
	for _, e := range readTar(t, pack(t, p)) {
		name := strings.TrimPrefix(e.Name, p.Name+"/")
		got = append(got, name)
		mode := int64(0o644)
		if e.Typeflag == tar.TypeDir || name == "a0" && runtime.GOOS != "windows" {
			mode = 0o755
		}
		if e.Mode != mode || e.Uid != 0 || e.Gid != 0 || e.Uname != "" || e.ModTime.Unix() != 0 {
			t.Errorf("%s: %+v", name, e.Header)
		}
		if e.Typeflag == tar.TypeReg && string(e.data) != files[name] {
			t.Errorf("%s holds %q", name, e.data)
		}
	}
	want := []string{".bundle/depot/artifacts", "Manifest.toml", "Project.toml", "a.b/c", "a/b", "a0", names[4], names[5], "z/empty", "ü/é"}
	expect(t, "entries", got, want)
}

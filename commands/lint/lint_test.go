package lint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/settings"
)

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "proj")
	for name, body := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func disk(file string) ([]byte, bool) {
	body, err := os.ReadFile(file)
	return body, err == nil
}

func isFile(file string) bool {
	_, ok := disk(file)
	return ok
}

// brief writes problems as FILE:LINE CODE ‹text of the range›.
func brief(root string, problems []Problem) []string {
	out := []string{}
	for _, p := range problems {
		rel, _ := filepath.Rel(root, p.File)
		body, _ := disk(p.File)
		out = append(out, fmt.Sprintf("%s:%d %s ‹%s›", filepath.ToSlash(rel), p.Line+1, p.Code, cut(string(body), p.Line, p.Col, p.EndLine, p.EndCol)))
	}
	return out
}

// offset finds a UTF-16 position in a text.
func offset(body string, line, col int) int {
	at := 0
	for range line {
		at += strings.IndexByte(body[at:], '\n') + 1
	}
	for _, r := range body[at:] {
		if col <= 0 {
			break
		}
		if col--; r > 0xFFFF {
			col--
		}
		at += len(string(r))
	}
	return at
}

func cut(body string, line, col, endLine, endCol int) string {
	return body[offset(body, line, col):offset(body, endLine, endCol)]
}

// apply applies a fix's edits to a text.
func apply(body string, edits []Edit) string {
	edits = slices.Clone(edits)
	slices.SortFunc(edits, func(a, b Edit) int { return offset(body, b.Line, b.Col) - offset(body, a.Line, a.Col) })
	for _, e := range edits {
		if e.Append {
			body += Appended(body, e.NewText)
			continue
		}
		body = body[:offset(body, e.Line, e.Col)] + e.NewText + body[offset(body, e.EndLine, e.EndCol):]
	}
	return body
}

func plan(t *testing.T, root, script string) (*bundle.Plan, error) {
	t.Helper()
	o := bundle.Options{Dir: root, Home: filepath.Dir(root), Depots: []string{filepath.Join(filepath.Dir(root), "depot")}}
	if script != "" {
		o.Script = filepath.Join(root, script)
	}
	return bundle.NewPlan(t.Context(), o)
}

func TestIgnore(t *testing.T) {
	root := tree(t, map[string]string{
		"Project.toml": "[deps]\n", "Manifest.toml": "\n",
		ignoreName:           "# rules\n/made\n  data  \n!data/keep.csv\nnothing*\n*.log\nManifest.toml",
		"data/keep.csv":      "1",
		"run.jl":             "1",
		"a.log":              "x",
		"src/" + ignoreName:  "*.tmp\n!/x\n",
		"src/a.tmp":          "x",
		"src/deep/a.jl":      "x",
		"keys/id_rsa":        "x",
		"made/out.bin":       "x",
		"docs/" + ignoreName: "# nothing yet\n",
	})
	p, err := plan(t, root, "run.jl")
	if err != nil {
		t.Fatal(err)
	}
	problems := Ignore(p, disk)
	want := []string{
		".juliabundleignore:1 secret ‹›",
		".juliabundleignore:2 ignore-leading-slash ‹/made›",
		".juliabundleignore:4 ignore-excluded-parent ‹!data/keep.csv›",
		".juliabundleignore:5 ignore-dead ‹nothing*›",
		".juliabundleignore:7 ignore-project-file ‹Manifest.toml›",
		"docs/.juliabundleignore:1 ignore-shadows ‹# nothing yet›",
		"src/.juliabundleignore:1 ignore-shadows ‹*.tmp›",
		"src/.juliabundleignore:2 ignore-leading-slash ‹!/x›",
	}
	if got := brief(root, problems); !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	body, _ := disk(filepath.Join(root, ignoreName))
	for i, want := range map[int]string{
		0: "# rules\n/made\n  data  \n!data/keep.csv\nnothing*\n*.log\nManifest.toml\nkeys/id_rsa\n",
		1: "# rules\nmade\n  data  \n!data/keep.csv\nnothing*\n*.log\nManifest.toml",
		2: "# rules\n/made\n  data/*  \n!data/keep.csv\nnothing*\n*.log\nManifest.toml",
	} {
		if len(problems[i].Fixes) != 1 {
			t.Errorf("%d has %d fixes", i, len(problems[i].Fixes))
			continue
		}
		if got := apply(string(body), problems[i].Fixes[0].Edits); got != want {
			t.Errorf("fix %d: %q, want %q", i, got, want)
		}
	}
	if got := problems[7].Fixes[0].Edits[0].NewText; got != "!x" {
		t.Errorf("fix of !/x: %q", got)
	}
}

// A rule decides on a directory, too, whatever is in it.
func TestRuleOfAnEmptyDirectory(t *testing.T) {
	root := tree(t, map[string]string{"Project.toml": "", ignoreName: "empty/\nfull\n", "full/empty/" + ignoreName: ""})
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := plan(t, root, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := brief(root, Ignore(p, disk)); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

func TestManyFilesAndPackages(t *testing.T) {
	files := map[string]string{"Project.toml": "", ignoreName: "x\ny/Pkg"}
	root := tree(t, files)
	dep := filepath.Join(filepath.Dir(root), "Dep")
	p := &bundle.Plan{Root: root, Packages: []bundle.Package{{Name: "Dep", From: dep, To: ".bundle/dev/Dep"}}, Warnings: []bundle.Warning{
		{Code: "secret", Path: ".bundle/dev/Dep/test/a.key"},
		{Code: "build-output", Path: "docs/build"},
		{Code: "package-excluded", Path: "y/Pkg", File: ignoreName, Line: 2, Message: "package Pkg is excluded by line 2"},
		{Code: "rule-not-applied", Path: ".bundle/dev/Dep/x", File: ignoreName, Line: 1, Message: "the rule x does not count there"},
		{Code: "outside-link", Path: "l", Message: "is for the preview"},
	}}
	for i := range 15 {
		p.Warnings = append(p.Warnings, bundle.Warning{Code: "large-file", Path: fmt.Sprintf("big/%02d", i)})
	}
	problems := Ignore(p, disk)
	count := map[string]int{}
	for _, one := range problems {
		count[one.Code]++
		switch one.Code {
		case CodeSecret:
			if e := one.Fixes[0].Edits[0]; e.File != filepath.Join(dep, ignoreName) || e.NewText != "test/a.key" {
				t.Errorf("%+v", e)
			}
		case CodeBuildOutput:
			if e := one.Fixes[0].Edits[0]; e.NewText != "docs/build" {
				t.Errorf("%+v", e)
			}
		case CodeIgnorePackage:
			if one.Line != 1 || one.EndCol != 5 || one.Message != "Package Pkg is excluded by line 2." {
				t.Errorf("%+v", one)
			}
		}
	}
	want := map[string]int{CodeSecret: 1, CodeBuildOutput: 1, CodeIgnorePackage: 1, CodeIgnoreNotThere: 1, CodeLargeFile: 11}
	if !reflect.DeepEqual(count, want) {
		t.Errorf("%v", count)
	}
}

func TestRules(t *testing.T) {
	files := map[string]string{"Project.toml": "", ignoreName: "*.log\n!keep.log\nout\n", "keep.log": "", "out/a/x": "", "out/b": "12", "src/a b[1].jl": "", "src/deep/y.jl": "", "sub/" + ignoreName: "x\n", "sub/x": "", "sub/z/w": "", "[x]/*": "", "[x]/é": "", "[x]/ ": "", `#a\b`: "", ".hidden/ x ": ""}
	for i := range 12 {
		files[fmt.Sprintf("logs/%02d.log", i)] = "123"
	}
	p, err := plan(t, tree(t, files), "")
	if err != nil {
		t.Fatal(err)
	}
	info, ok := RuleAt(p, ignoreName, 1)
	if !ok || info.MatchedFiles != 12 || info.MatchedBytes != 36 || len(info.Paths) != 10 || info.Paths[0] != "logs/00.log" {
		t.Errorf("%+v", info)
	}
	if info, ok := RuleAt(p, ignoreName, 3); !ok || info.MatchedFiles != 2 || !slices.Equal(info.Paths, []string{"out/b", "out/a/x"}) {
		t.Errorf("a directory: %+v", info)
	}
	if info, ok := RuleAt(p, ignoreName, 2); !ok || !info.Negated || info.Paths != nil {
		t.Errorf("%+v", info)
	}
	if _, ok := RuleAt(p, ignoreName, 9); ok {
		t.Error("a rule out of nothing")
	}
	for _, c := range []struct {
		file, typed string
		want        []string
	}{
		{ignoreName, "s", []string{"src/", "sub/"}},
		{ignoreName, "!src/", []string{"src/deep/", `src/a b\[1].jl`}},
		{ignoreName, "logs/0", []string{"logs/00.log", "logs/01.log", "logs/02.log", "logs/03.log", "logs/04.log", "logs/05.log", "logs/06.log", "logs/07.log", "logs/08.log", "logs/09.log"}},
		{"sub/" + ignoreName, "", []string{"z/", ignoreName, "x"}},
		{ignoreName, "nothing", []string{}},
		{ignoreName, `src/a b\[`, []string{`src/a b\[1].jl`}},
		{ignoreName, `\[x]/`, []string{`\[x]/[ ]`, `\[x]/\*`, `\[x]/é`}},
		{ignoreName, `\#`, []string{`\#a\\b`}},
		{ignoreName, ".", []string{".hidden/", ".juliabundleignore"}},
		{ignoreName, ".hidden/", []string{`.hidden/ x[ ]`}},
		{ignoreName, "*", nil},
		{"sub/z/" + ignoreName, "", []string{"w"}},
	} {
		if got := IgnorePaths(p, c.file, c.typed); !slices.Equal(got, c.want) {
			t.Errorf("%s %q: %q, want %q", c.file, c.typed, got, c.want)
		}
	}
	if got := IgnorePaths(p, ignoreName, "ou"); len(got) != 1 || got[0] != "out/" {
		t.Errorf("%q", got)
	}
}

// A path is written into the ignore file that counts for it, in that file's
// manner, so that it is out then.
func TestLeaveOut(t *testing.T) {
	for name, c := range map[string]struct{ file, before, after string }{
		".env":             {ignoreName, "", ".env\n"},
		"a b/ [1]*?\\.pem": {ignoreName, "x", "x\na b/ \\[1]\\*\\?\\\\.pem\n"},
		" .env/id_rsa":     {ignoreName, "x\r\ny", "x\r\ny\r\n[ ].env/id_rsa\r\n"},
		"#a/.env":          {ignoreName, "\ufeff", "\ufeff\\#a/.env\n"},
		"keys/a/id_rsa":    {"keys/" + ignoreName, "*.log\n", "*.log\na/id_rsa\n"},
		"keys/é/.netrc":    {"keys/é/" + ignoreName, "", ".netrc\n"},
		"k\ney/id_rsa":     {ignoreName, "", "k?ey/id_rsa\n"},
	} {
		files := map[string]string{"Project.toml": "", c.file: c.before, name: "secret"}
		root := tree(t, files)
		p, err := plan(t, root, "")
		if err != nil {
			t.Fatal(err)
		}
		problems := slices.DeleteFunc(Ignore(p, disk), func(p Problem) bool { return p.Code != CodeSecret })
		if len(problems) != 1 || len(problems[0].Fixes) != 1 {
			t.Errorf("%q: %+v", name, problems)
			continue
		}
		edits := problems[0].Fixes[0].Edits
		if got := apply(c.before, edits); got != c.after || edits[0].File != filepath.Join(root, c.file) {
			t.Errorf("%q: %q in %s", name, got, edits[0].File)
		}
		if err := os.WriteFile(edits[0].File, []byte(c.after), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err = plan(t, root, ""); err != nil || len(slices.DeleteFunc(Ignore(p, disk), func(p Problem) bool { return p.Code != CodeSecret })) > 0 {
			t.Errorf("%q goes out still: %v", name, err)
		}
	}
}

func TestIgnoreWithoutFile(t *testing.T) {
	root := tree(t, map[string]string{"Project.toml": "", "run.jl": "", ".env": "A=1"})
	p, err := plan(t, root, "")
	if err != nil {
		t.Fatal(err)
	}
	problems := Ignore(p, disk)
	if got := brief(root, problems); !reflect.DeepEqual(got, []string{"Project.toml:1 secret ‹›"}) {
		t.Fatalf("%q", got)
	}
	if e := problems[0].Fixes[0].Edits[0]; !e.Append || e.File != filepath.Join(root, ignoreName) || e.NewText != ".env" {
		t.Errorf("%+v", e)
	}
	p.TarSize = 3 << 30
	problems = Ignore(p, disk)
	if len(problems) != 2 || problems[1].Severity != Error || problems[1].Code != CodeBundleSize {
		t.Errorf("%+v", problems)
	}
	p.TarSize = nearLimit + 1
	if problems = Ignore(p, disk); problems[1].Severity != Warning {
		t.Errorf("%+v", problems)
	}
}

func TestPlanError(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"pattern":  {map[string]string{ignoreName: "ok\n [[:no:]]\n"}, []string{".juliabundleignore:2 ignore-syntax ‹[[:no:]]›"}},
		"script":   {map[string]string{ignoreName: "# x\n*.jl\n"}, []string{".juliabundleignore:2 ignore-script ‹*.jl›"}},
		"manifest": {map[string]string{"Project.toml": "[deps]\nA = \"7876af07-990d-54b4-ab0e-23690620f79a\"\n", "Manifest.toml": "x = \n"}, []string{"Manifest.toml:1 project-toml ‹x =›"}},
		"package": {map[string]string{"Project.toml": "[deps]\nA = \"7876af07-990d-54b4-ab0e-23690620f79a\"\n",
			"Manifest.toml": "julia_version = \"1.10.0\"\nmanifest_format = \"2.0\"\n\n[[deps.A]]\npath = \"../gone\"\nuuid = \"7876af07-990d-54b4-ab0e-23690620f79a\"\n"},
			[]string{"Manifest.toml:5 package-missing ‹\"../gone\"›"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["run.jl"] = ""
			root := tree(t, c.files)
			_, err := plan(t, root, "run.jl")
			if err == nil {
				t.Fatal("no error")
			}
			if got := brief(root, PlanError(root, fmt.Errorf("plan: %w", err), disk)); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v\ngot  %q\nwant %q", err, got, c.want)
			}
		})
	}
	root := t.TempDir()
	size := &bundle.SizeError{Bytes: 3 << 30, Limit: 2 << 30, Largest: []bundle.File{{Path: "big.bin"}}}
	if got := PlanError(root, size, disk); len(got) != 1 || !strings.Contains(got[0].Message, "big.bin") {
		t.Errorf("%+v", got)
	}
	if got := PlanError(root, errors.New("other"), disk); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestProject(t *testing.T) {
	root := tree(t, map[string]string{
		"Project.toml":           "[deps]\nA = \"x\"\n[compat]\njulia = \"1.6, 1.8 - 1.9\"\n[sources]\nB = {path = \"../none\"}\n",
		"Manifest.toml":          "julia_version = \"1.9.4\"\nmanifest_format = \"2.0\"\n[[deps.A]]\npath = \"sub/A\"\n[[deps.C]]\nversion = \"1.0.0\"\n",
		"sub/A/Project.toml":     "",
		"old/Project.toml":       "name = \"Old\"\n",
		"old/Manifest.toml":      "[[A]]\npath = \"../sub/A\"\n[[B]]\npath = '../gone'\n",
		"none/Project.toml":      "[deps]\nA = \"x\"\n",
		"broken/Project.toml":    "name = \"x\"\nname = \"y\"\n",
		"nodeps/Project.toml":    "name = \"N\"\n",
		"stale/Project.toml":     "[deps]\nA = \"aa\"\nB = \"bb\"\nC = \"cc\"\n",
		"stale/Manifest.toml":    "[[A]]\nuuid = \"aa\"\n[[B]]\nuuid = \"other\"\n",
		"fits/JuliaProject.toml": "[compat]\njulia = \"1\"\n",
	})
	in := func(dir, project, manifest string, script bool) ProjectInput {
		i := ProjectInput{ProjectFile: filepath.Join(root, dir, project), Read: disk, IsFile: isFile, AsScript: script, Julia: "1.10"}
		if manifest != "" {
			i.ManifestFile = filepath.Join(root, dir, manifest)
		}
		return i
	}
	for _, c := range []struct {
		in   ProjectInput
		want []string
	}{
		{in("", "Project.toml", "Manifest.toml", true), []string{
			"Manifest.toml:1 manifest-julia ‹\"1.9.4\"›", "Manifest.toml:4 package-stays-here ‹\"sub/A\"›",
			"Project.toml:6 package-missing ‹\"../none\"›",
		}},
		{in("old", "Project.toml", "Manifest.toml", false), []string{"old/Manifest.toml:4 package-missing ‹'../gone'›"}},
		{in("stale", "Project.toml", "Manifest.toml", false), []string{"stale/Project.toml:3 manifest-stale ‹\"bb\"›", "stale/Project.toml:4 manifest-stale ‹\"cc\"›"}},
		{in("none", "Project.toml", "", false), []string{"none/Project.toml:1 no-manifest ‹deps›"}},
		{in("broken", "Project.toml", "", false), []string{"broken/Project.toml:2 project-toml ‹name›"}},
		{in("nodeps", "Project.toml", "", false), []string{}},
		{in("fits", "JuliaProject.toml", "", true), []string{}},
		{in("gone", "Project.toml", "", true), []string{}},
	} {
		if got := brief(root, Project(c.in)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.in.ProjectFile, got, c.want)
		}
	}
	i := in("", "Project.toml", "Manifest.toml", false)
	i.Julia = "2.0"
	if got := brief(root, Project(i)); !slices.Contains(got, "Project.toml:4 compat-julia ‹\"1.6, 1.8 - 1.9\"›") {
		t.Errorf("%q", got)
	}
}

// TestCompat holds the specifiers against Pkg's documented meaning.
func TestCompat(t *testing.T) {
	for _, c := range []struct {
		spec, julia string
		want        bool
	}{
		{"1.6", "1.10", true}, {"1.6", "1.5", false}, {"1.6", "2.0", false}, {"^1.6", "1.12.1", true}, {"1", "1.3", true},
		{"~1.6", "1.7", false}, {"~1.6", "1.6.7", true}, {"~1", "1.9", true}, {"=1.10.2", "1.10", true}, {"=1.10.2", "1.10.3", false},
		{">= 1.6", "2.0", true}, {">1.6.0", "1.6", true}, {"<1.10", "1.10", false}, {"< 1.10", "1.9", true}, {"≥1.6", "1.6", true}, {"<=1.9", "1.9.4", true}, {"≤1.9", "1.10", false},
		{"1.6 - 1.8", "1.8.5", true}, {"1.6 - 1.8", "1.9", false}, {"1.6.1 - 1.6.3", "1.6.4", false}, {"0.7, 1", "1.5", true}, {"0.7", "0.8", false}, {"1.10.3", "1.10", true}, {"1.10.3", "1.10.2", false},
	} {
		if got, known := allows(c.spec, c.julia); !known || got != c.want {
			t.Errorf("%q allows %s: %v, %v; want %v", c.spec, c.julia, got, known, c.want)
		}
	}
	for _, c := range [][2]string{{"one", "1.0"}, {"1", ""}, {"1", "nightly"}, {"", "1.0"}, {"1.2.3.4", "1.0"}, {"1 - x", "1.0"}} {
		if _, known := allows(c[0], c[1]); known {
			t.Errorf("%q of %q is read", c[0], c[1])
		}
	}
}

func TestHub(t *testing.T) {
	body := "default-profile = \"smal\"\n[profile.small]\nncpus = 2\n"
	got := Hub("/p/JuliaHub.toml", []byte(body))
	if len(got) != 2 || got[0].Code != settings.CodeNoProfile || got[1].Code != settings.CodeHubKey || got[1].Severity != Warning {
		t.Fatalf("%+v", got)
	}
	for _, p := range got {
		body = apply(body, p.Fixes[0].Edits)
	}
	if again := Hub("/p/JuliaHub.toml", []byte(body)); len(again) != 0 {
		t.Errorf("after the fixes: %+v in %q", again, body)
	}
}

// TestScript marks the findings in the code: ‹› and the code behind it.
func TestScript(t *testing.T) {
	for _, c := range []struct{ code, codes string }{
		{`include(‹"src/model.jl"›)`, CodeScriptInclude},
		{"Base.include(Main, ‹\"model.jl\"›) # include(\"x\")", CodeScriptInclude},
		{"#= include(\"x\") #= y =# =# include(‹\"\"\"a.jl\"\"\"›)", CodeScriptInclude},
		{"include(x -> x, ‹\"a.jl\"›)", CodeScriptInclude},
		{`include(joinpath(@__DIR__, ‹"a.jl"›))`, CodeScriptDir},
		{`read(@__DIR__() * ‹"/a.csv"›)`, CodeScriptDir},
		{`read(joinpath((@__DIR__), ‹"data"›, "x.csv"))`, CodeScriptDir},
		{`read(‹"$(@__DIR__)/a.csv"›)`, CodeScriptDir},
		{`open(‹"/home/me/data.csv"›)`, CodeScriptAbsolute},
		{"using Dates, ‹Own›", CodeScriptPackage},
		{"using ‹Own›: f, g\nimport Other", CodeScriptPackage},
		{"using Other, ‹Near›", CodePackageStays},
		{"@everywhere using Distributed,\n   ‹Own›.Sub", CodeScriptPackage},
		{"if abspath(‹PROGRAM_FILE›) == @__FILE__\nmain()\nend", CodeScriptMain},
		{"@__FILE__ == ‹PROGRAM_FILE› && main()", CodeScriptMain},
		{"function (‹@main›)(args)\nend", CodeScriptMain},
	} {
		code := strings.NewReplacer("‹", "", "›", "").Replace(c.code)
		got := Script(ScriptInput{File: "/p/a.jl", Text: code, WithoutBundle: true, OwnPackage: "Own", PathPackages: []string{"Near", "Own"}, Exists: func(p string) bool { return p == "/home/me/data.csv" }})
		if len(got) != 1 || got[0].Code != c.codes || len(got[0].Fixes) != 1 || got[0].Fixes[0].Command != SubmitAsBundle {
			t.Errorf("%q: %+v", c.code, got)
			continue
		}
		p := got[0]
		from, to := offset(code, p.Line, p.Col), offset(code, p.EndLine, p.EndCol)
		if marked := code[:from] + "‹" + code[from:to] + "›" + code[to:]; marked != c.code {
			t.Errorf("marked %q, want %q", marked, c.code)
		}
		if p.Severity != Warning {
			t.Errorf("%q: severity %d", code, p.Severity)
		}
		hint := Script(ScriptInput{File: "/p/a.jl", Text: code, Undecided: true, OwnPackage: "Own", PathPackages: []string{"Near", "Own"}, Exists: func(p string) bool { return p == "/home/me/data.csv" }})
		if p.Severity = Hint; len(hint) != 1 || !reflect.DeepEqual(hint[0], p) {
			t.Errorf("%q before it was ever sent: %+v", code, hint)
		}
		if again := Script(ScriptInput{File: "/p/a.jl", Text: code, OwnPackage: "Own", PathPackages: []string{"Near"}}); len(again) != 0 {
			t.Errorf("%q in an appbundle: %+v", code, again)
		}
	}
}

func TestScriptLeavesAlone(t *testing.T) {
	for _, code := range []string{
		`include(path)`, `include("/abs/a.jl")`, `include("$name.jl")`, `# include("a.jl")`, `"include(\"a.jl\")"`, `s = """include("a.jl")"""`,
		`x = a' ; y = 'i' ; z = "include"`, `r"include(\"a\")"`, `c = '"' ; d = '\'' # "`, `open("/tmp")`, `joinpath(@__DIR__, x)`, `"$(f("a)", @__DIR__))"`,
		`using .Own`, `using Main.Own`, `using Ownership`, `println(PROGRAM_FILE)`, "f(x) = x\n" + "\"\"\"\nusing Own\n\"\"\"", "`include(a.jl)`", `x[end]'`, `using`, `include(`, `"`, `#=`, `$`, `@`, "ENV[", `ENV["RESULTS"`,
	} {
		got := Script(ScriptInput{File: "/p/a.jl", Text: code, WithoutBundle: true, OwnPackage: "Own", Exists: func(string) bool { return true }})
		if len(got) != 0 && code != `include("/abs/a.jl")` {
			t.Errorf("%q: %+v", code, got)
		}
	}
}

func TestNoEnvironment(t *testing.T) {
	code := "using LinearAlgebra, ‹DataFrames›\nimport CSV, DataFrames, .Mine\n"
	text := strings.NewReplacer("‹", "", "›", "").Replace(code)
	got := Script(ScriptInput{Text: text, NoEnvironment: true, Shared: "@v1.10"})
	if len(got) != 1 || got[0].Code != CodeNoEnvironment || got[0].Col != 21 || !strings.Contains(got[0].Message, "DataFrames, CSV") || !strings.Contains(got[0].Message, "@v1.10") {
		t.Errorf("%+v", got)
	}
	if got := Script(ScriptInput{Text: "using Dates, Random\n", NoEnvironment: true}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestResults checks the findings and what the quick fix makes of the code; the
// forms were run in Julia.
func TestResults(t *testing.T) {
	for _, c := range []struct{ code, codes, fixed string }{
		{"begin\n    ENV[\"RESULTS\"] = json(Dict(\n        :a => 1))\nend\n", CodeResultsOneImage,
			"begin\n    ENV[\"RESULTS\"] = json(Dict(\n        :a => 1))\n    haskey(ENV, \"JULIAHUB_RESULTS_SUMMARY_FILE\") && write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], ENV[\"RESULTS\"])\nend\n"},
		{"ENV[\"RESULTS\"] = \"{}\"\r\n", CodeResultsOneImage,
			"ENV[\"RESULTS\"] = \"{}\"\r\nhaskey(ENV, \"JULIAHUB_RESULTS_SUMMARY_FILE\") && write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], ENV[\"RESULTS\"])\r\n"},
		{"x = 1; ENV[\"RESULTS\"] = string(1 +\n  x)", CodeResultsOneImage,
			"x = 1; ENV[\"RESULTS\"] = string(1 +\n  x); haskey(ENV, \"JULIAHUB_RESULTS_SUMMARY_FILE\") && write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], ENV[\"RESULTS\"])"},
		{"ENV[\"RESULTS_FILE\"] = \"out.csv\"", CodeResultsOneImage,
			"ENV[\"RESULTS_FILE\"] = \"out.csv\"\nhaskey(ENV, \"JULIAHUB_RESULTS_UPLOAD_DIR\") && cp(ENV[\"RESULTS_FILE\"], joinpath(ENV[\"JULIAHUB_RESULTS_UPLOAD_DIR\"], basename(ENV[\"RESULTS_FILE\"])); force = true)"},
		{"write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], text)\n", CodeResultsOneImage,
			"write(get(ENV, \"JULIAHUB_RESULTS_SUMMARY_FILE\", \"results.json\"), text)\nhaskey(ENV, \"JULIAHUB_RESULTS_SUMMARY_FILE\") || (ENV[\"RESULTS\"] = read(\"results.json\", String))\n"},
		{"open(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], \"w\") do io\nend\n", CodeResultsOneImage, ""},
		{"dir = ENV[\"JULIAHUB_RESULTS_UPLOAD_DIR\"]\n", CodeResultsOneImage,
			"dir = get(() -> (ENV[\"RESULTS_FILE\"] = mkpath(abspath(\"results\"))), ENV, \"JULIAHUB_RESULTS_UPLOAD_DIR\")\n"},
		{"p = parse(Int, ENV[\"PORT\"])\n", CodePortOneImage, "p = parse(Int, get(() -> ENV[\"PORT\"], ENV, \"JULIAHUB_APP_PORT\"))\n"},
		{"p = get(ENV, \"JULIAHUB_APP_PORT\", \"8080\")\n", CodePortOneImage, ""},
		{"ENV[\"RESULTS\"] = \"" + strings.Repeat("é", 1001) + "\" # JULIAHUB_RESULTS_SUMMARY_FILE\nx = \"JULIAHUB_RESULTS_SUMMARY_FILE\"", CodeResultsLong, ""},
	} {
		got := Script(ScriptInput{File: "/p/a.jl", Text: c.code})
		if len(got) != 1 || got[0].Code != c.codes || got[0].Severity != Hint {
			t.Errorf("%q: %+v", c.code, got)
			continue
		}
		if (len(got[0].Fixes) == 1) != (c.fixed != "") {
			t.Errorf("%q: fixes %+v", c.code, got[0].Fixes)
			continue
		}
		if c.fixed == "" {
			continue
		}
		fixed := apply(c.code, got[0].Fixes[0].Edits)
		if fixed != c.fixed {
			t.Errorf("fixed\n%s\nwant\n%s", fixed, c.fixed)
		}
		if again := Script(ScriptInput{File: "/p/a.jl", Text: fixed}); len(again) != 0 {
			t.Errorf("after the fix: %+v", again)
		}
	}
	for _, code := range []string{
		"ENV[\"RESULTS\"] == \"x\"", "x = ENV[\"RESULTS\"]", "ENV[\"PORT\"] = \"1\"", "ENV[\"RESULTS\"] = \"é\"; write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"], \"x\")",
		"port = get(ENV, \"JULIAHUB_APP_PORT\", get(ENV, \"PORT\", \"1\"))", "# ENV[\"PORT\"]",
	} {
		if got := Script(ScriptInput{File: "/p/a.jl", Text: code}); len(got) != 0 {
			t.Errorf("%q: %+v", code, got)
		}
	}
}

// TestCodesAreWhole holds the table of the docs against the code.
func TestCodesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes {
		if c.Code == "" || seen[c.Code] || c.Where == "" || c.Severity == 0 || c.Why == "" || c.Do == "" {
			t.Errorf("row %+v", c)
		}
		seen[c.Code] = true
		if !strings.Contains(Markdown(Codes), "| `"+c.Code+"` |") {
			t.Errorf("%s is not in the docs", c.Code)
		}
	}
	// Every constant has a row, and is given to some finding: it stands in the
	// code where it is made, in the table, and somewhere else.
	var source string
	for _, pattern := range []string{"*.go", "../settings/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if body, ok := disk(file); ok && !strings.HasSuffix(file, "_test.go") {
				source += string(body)
			}
		}
	}
	constants := regexp.MustCompile(`\b(Code[A-Z]\w*)\s*=\s*"([a-z-]+)"`).FindAllStringSubmatch(source, -1)
	for _, c := range constants {
		if !seen[c[2]] {
			t.Errorf("%s has no row", c[1])
		}
		if n := len(regexp.MustCompile(`\b`+c[1]+`\b`).FindAllString(source, -1)); n < 3 {
			t.Errorf("nothing is found that is a %s", c[1])
		}
	}
	if len(constants) != len(seen) {
		t.Errorf("%d constants for %d rows", len(constants), len(seen))
	}
}

// FuzzScript looks for panics and ranges outside the text.
func FuzzScript(f *testing.F) {
	for _, seed := range []string{"include(\"a\")\n@__DIR__ * \"x\"", "ENV[\"RESULTS\"] = (\n", "#= #= =#", "\"$(\"$(1)\")\"", "'", "x''\"", "using A,\n\nB", "write(ENV[\"JULIAHUB_RESULTS_SUMMARY_FILE\"]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, code string) {
		in := ScriptInput{File: "/a.jl", Text: code, WithoutBundle: true, OwnPackage: "A", NoEnvironment: true, Exists: func(string) bool { return true }}
		for _, p := range Script(in) {
			if p.EndLine < p.Line || p.EndLine > strings.Count(code, "\n") {
				t.Errorf("%q: %+v", code, p)
			}
		}
	})
}

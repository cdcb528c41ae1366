package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindEnvironment(t *testing.T) {
	dir := lay(t, map[string]string{
		"home/Project.toml": "", "home/a/b/x": "", "home/a/JuliaProject.toml": "", "home/a/Project.toml": "", "Project.toml": "", "other/x": "", "home2/c/x": "",
	})
	at := func(path string) string { return filepath.Join(dir, filepath.FromSlash(path)) }
	for start, want := range map[string]string{"home/a/b": at("home/a"), "home": at("home"), "other": dir, "home/z": at("home")} {
		if got := FindEnvironment(at(start), at("home")); got != want {
			t.Errorf("%s: %q, want %q", start, got, want)
		}
	}
	if got := FindEnvironment(at("home2/c"), at("home2")); got != "" {
		t.Errorf("went past the home directory: %q", got)
	}
}

// TestWhichManifest follows Base.project_file_manifest_path.
func TestWhichManifest(t *testing.T) {
	dir := lay(t, map[string]string{
		"plain/Project.toml": "", "plain/Manifest.toml": "", "plain/Manifest-v1.11.toml": "", "plain/JuliaManifest-v1.11.toml": "", "plain/Manifest-v1.12.toml": "",
		"julia/Project.toml": "", "julia/Manifest.toml": "", "julia/JuliaManifest.toml": "",
		"key/Project.toml": "manifest = \"../plain/Manifest.toml\"", "key/Manifest.toml": "",
		"stale/Project.toml": "manifest = \"gone.toml\"", "stale/Manifest.toml": "",
		"ws/Project.toml": "[workspace]\nprojects = [\"mid\", \"far/deep\"]", "ws/Manifest.toml": "",
		"ws/mid/Project.toml": "[workspace]\nprojects = [\"in\"]", "ws/mid/Manifest.toml": "", "ws/mid/in/Project.toml": "",
		"ws/far/deep/Project.toml": "", "ws/not/Project.toml": "", "ws/not/Manifest.toml": "", "none/Project.toml": "",
	})
	for _, c := range []struct{ project, julia, want, ignored string }{
		{"plain", "", "plain/Manifest.toml", "JuliaManifest-v1.11.toml Manifest-v1.11.toml Manifest-v1.12.toml"},
		{"plain", "1.11", "plain/JuliaManifest-v1.11.toml", ""},
		{"plain", "1.12.3", "plain/Manifest-v1.12.toml", ""},
		{"plain", "1.10", "plain/Manifest.toml", ""},
		{"julia", "", "julia/JuliaManifest.toml", ""},
		{"key", "1.11", "plain/Manifest.toml", ""},
		{"stale", "", "stale/Manifest.toml", ""},
		{"ws/mid/in", "", "ws/Manifest.toml", ""},
		{"ws/mid", "1.12", "ws/Manifest.toml", ""},
		{"ws/mid", "1.11", "ws/mid/Manifest.toml", ""},
		{"ws/far/deep", "", "ws/Manifest.toml", ""},
		{"ws/not", "", "ws/not/Manifest.toml", ""},
		{"none", "", "", ""},
	} {
		got, ignored, err := FindManifest(filepath.Join(dir, filepath.FromSlash(c.project)), c.julia, dir, nil)
		want := c.want
		if want != "" {
			want = filepath.Join(dir, filepath.FromSlash(want))
		}
		if err != nil || got != want || strings.Join(baseNames(ignored), " ") != c.ignored {
			t.Errorf("%s with %q: %q, %q, %v; want %q", c.project, c.julia, got, ignored, err, want)
		}
	}
}

// TestWorkspace offers the workspace's root when a member alone is to be bundled.
func TestWorkspace(t *testing.T) {
	dir := lay(t, map[string]string{
		"ws/Project.toml": "[workspace]\nprojects = [\"m\"]", "ws/Manifest.toml": manifestHead, "ws/m/Project.toml": "", "ws/m/s.jl": "",
	})
	member := filepath.Join(dir, "ws", "m")
	_, err := NewPlan(context.Background(), Options{Dir: member})
	var offer *WorkspaceError
	if !errors.As(err, &offer) || offer.Root != filepath.Join(dir, "ws") {
		t.Errorf("%v", err)
	}
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "ws"), Script: filepath.Join(member, "s.jl")})
	if p.Environment != "m" || p.Manifest != "Manifest.toml" {
		t.Errorf("environment %q with %q", p.Environment, p.Manifest)
	}
}

// TestMissingManifest guesses nothing.
func TestMissingManifest(t *testing.T) {
	p := mustPlan(t, Options{Dir: lay(t, map[string]string{"Project.toml": "[deps]\nA = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"})})
	expect(t, "files", filePaths(p), []string{"Project.toml"})
	expect(t, "warnings", codes(p), []string{"no-manifest Manifest.toml"})
	p = mustPlan(t, Options{Dir: lay(t, map[string]string{"Project.toml": "", "Manifest-v1.9.toml": manifestHead})})
	expect(t, "files", filePaths(p), []string{"Manifest-v1.9.toml", "Manifest.toml", "Project.toml"})
	expect(t, "warnings", codes(p), []string{"versioned-manifest Manifest-v1.9.toml"})
	p = mustPlan(t, Options{Dir: lay(t, map[string]string{"Project.toml": "", "Manifest.toml": "", ignoreName: "Manifest.toml"})})
	expect(t, "warnings", codes(p), []string{"manifest-excluded Manifest.toml"})
}

// TestBadTOML names the file and the line.
func TestBadTOML(t *testing.T) {
	for _, name := range []string{"Project.toml", "Manifest.toml"} {
		dir := lay(t, map[string]string{"Project.toml": "", "Manifest.toml": "", name: "a = 1\nb = = 2\n"})
		_, err := NewPlan(context.Background(), Options{Dir: dir})
		var bad *TOMLError
		if !errors.As(err, &bad) || bad.File != filepath.Join(dir, name) || bad.Line != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSources rewrites [sources] of the project and of the packages that travel.
func TestSources(t *testing.T) {
	uuid := func(n string) string { return "0d733eb5-97ac-4a4a-9738-00000000000" + n }
	deps := "[deps]\nA = \"" + uuid("1") + "\"\nB = \"" + uuid("2") + "\"\n\n[extras]\nC = \"" + uuid("3") + "\"\n"
	dir := lay(t, map[string]string{
		"p/Project.toml":   deps + "\n[sources]\nA = {path = \"../A\"} # ours\nB.path = '../A/B'\nIn = {path = \"in\"}\nU = {url = \"x\"}\n[sources.C]\npath = \"../C\"\n",
		"p/in/x":           "",
		"p/Manifest.toml":  manifestHead + "[[deps.A]]\npath = \"../A\"\nuuid = \"" + uuid("1") + "\"\n[[deps.B]]\npath = \"../A/B\"\nuuid = \"" + uuid("2") + "\"\n",
		"A/Project.toml":   "name = \"A\"\nuuid = \"" + uuid("1") + "\"\n[sources]\nB = {path = \"B\"}\nC = {path = \"../C\"}\nD = {path = \"../D\"}\nP = {path = \"../p\"}\n",
		"A/B/Project.toml": "name = \"B\"\nuuid = \"" + uuid("2") + "\"\n[sources]\nA = {path = \"..\"}\n",
		"C/Project.toml":   "name = \"C\"\nuuid = \"" + uuid("3") + "\"\n",
	})
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p")})
	for path, want := range map[string]string{
		"Project.toml":                 deps + "\n[sources]\nA = {path = \".bundle/dev/A\"} # ours\nB.path = \".bundle/dev/B\"\nIn = {path = \"in\"}\nU = {url = \"x\"}\n[sources.C]\npath = \".bundle/dev/C\"\n",
		".bundle/dev/A/Project.toml":   "name = \"A\"\nuuid = \"" + uuid("1") + "\"\n[sources]\nB = {path = \"B\"}\nC = {path = \"../C\"}\nD = {path = \"../D\"}\nP = {path = \"../../..\"}\n",
		".bundle/dev/B/Project.toml":   "name = \"B\"\nuuid = \"" + uuid("2") + "\"\n[sources]\nA = {path = \"../A\"}\n",
		".bundle/dev/A/B/Project.toml": "",
	} {
		if got := string(p.content[path]); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
	}
}

// TestWithoutManifest leaves every manifest of the root and the environment out,
// and says whose paths the job will not know.
func TestWithoutManifest(t *testing.T) {
	entry := "[[deps.DevA]]\npath = \"../a\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"
	dir := lay(t, map[string]string{
		"p/Project.toml": "[deps]\nDevA = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n", "p/Manifest.toml": manifestHead + entry,
		"p/Manifest-v1.11.toml": manifestHead, "p/data/Manifest.toml": "", "p/e/s.jl": "",
		"p/e/Project.toml": "manifest = \"mine.toml\"\n", "p/e/mine.toml": manifestHead, "a/Project.toml": packageA,
	})
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p"), Script: filepath.Join(dir, "p/e/s.jl"), Julia: "1.10", WithoutManifest: true})
	expect(t, "files", filePaths(p), []string{"Project.toml", "data/Manifest.toml", "e/Project.toml", "e/s.jl"})
	expect(t, "warnings", codes(p), []string{"paths-lost Manifest.toml"})
	if p.Manifest != "" || p.ManifestSHA256 != "" {
		t.Errorf("the manifest is %s, %s", p.Manifest, p.ManifestSHA256)
	}
	var out []string
	for _, e := range p.Excluded {
		out = append(out, e.Path+": "+e.Reason)
	}
	expect(t, "excluded", out, []string{"Manifest-v1.11.toml: " + reasonUnwanted.String(), "Manifest.toml: " + reasonUnwanted.String(), "e/mine.toml: " + reasonUnwanted.String()})
}

// TestResolveWorkspace resolves the workspace as a whole, in its root.
func TestResolveWorkspace(t *testing.T) {
	dir := lay(t, map[string]string{
		"ws/Project.toml": "[workspace]\nprojects = [\"m\"]\n", "ws/Manifest.toml": manifestHead,
		"ws/m/Project.toml": "[sources]\nDevA = {path = \"../../a\"}\n", "a/Project.toml": packageA, "out/Project.toml": "",
	})
	exe, _ := fakeJulia(t, manifestHead+"[[deps.DevA]]\npath = \""+dir+"/a\"\n")
	script := string(readFile(t, exe))
	script = strings.ReplaceAll(strings.Replace(script, `cp "$dir/Project.toml"`, `cp "$dir/m/Project.toml"`, 1), "1.11.2", "1.12.1")
	if err := os.WriteFile(exe, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	o := ResolveOptions{Dir: filepath.Join(dir, "ws/m"), JuliaExe: exe}
	r, err := Resolve(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Write(); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	if got, want := string(readFile(t, filepath.Join(dir, "ws/Manifest.toml"))), manifestHead+"[[deps.DevA]]\npath = \"../a\"\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "ws/Project.toml"), []byte("[workspace]\nprojects = [\"m\", \"../out\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(context.Background(), o); err == nil || !strings.Contains(err.Error(), "outside of it") {
		t.Error(err)
	}
}

// TestManifestsNobodyReads: what is wrong with a manifest that the job does not
// use keeps nothing back.
func TestManifestsNobodyReads(t *testing.T) {
	entry := func(name, path, n string) string {
		return "[[deps." + name + "]]\npath = \"" + path + "\"\nuuid = \"0d733eb5-97ac-4a4a-9738-00000000000" + n + "\"\n"
	}
	dir := lay(t, map[string]string{
		"p/Project.toml": "", "p/Manifest.toml": manifestHead, "a/Project.toml": packageA, "b/Project.toml": "name = \"B\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000002\"\n",
		"p/docs/Project.toml": "", "p/docs/Manifest.toml": manifestHead + entry("Renamed", "../../a", "1") + entry("B", "../../b", "2"),
	})
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p"), AllowOutside: func(string) bool { return false }})
	expect(t, "files", filePaths(p), []string{"Manifest.toml", "Project.toml", "docs/Manifest.toml", "docs/Project.toml"})
	expect(t, "warnings", codes(p), []string{"package-missing docs/Manifest.toml", "package-refused docs/Manifest.toml"})
	// The same in the manifest that the job uses is an error.
	o := Options{Dir: filepath.Join(dir, "p"), Environment: filepath.Join(dir, "p/docs"), AllowOutside: func(string) bool { return false }}
	var wrong *PackageError
	if _, err := NewPlan(context.Background(), o); !errors.As(err, &wrong) || wrong.Package != "Renamed" {
		t.Error(err)
	}
}

// TestUnpackedBundle sends a job's unpacked bundle once more: the packages in its
// .bundle travel, from their place there.
func TestUnpackedBundle(t *testing.T) {
	dir := lay(t, map[string]string{
		"p/Project.toml": "", "p/Manifest.toml": manifestHead + "[[deps.DevA]]\npath = \".bundle/dev/A1\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n",
		"p/.bundle/dev/A1/Project.toml": packageA, "p/.bundle/dev/A1/src/DevA.jl": "", "p/.bundle/dev/Old/x": "",
	})
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p"), AllowOutside: func(string) bool { t.Error("it lies inside"); return false }})
	expect(t, "files", filePaths(p), []string{".bundle/dev/DevA/Project.toml", ".bundle/dev/DevA/src/DevA.jl", "Manifest.toml", "Project.toml"})
	if text := string(p.content["Manifest.toml"]); !strings.Contains(text, `path = ".bundle/dev/DevA"`) || len(p.Outside) > 0 {
		t.Errorf("outside %q\n%s", p.Outside, text)
	}
}

// TestEmptyManifest is made for the environment, too, where that is no root.
func TestEmptyManifest(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", "Manifest.toml": "", "e/Project.toml": "[deps]\n", "e/s.jl": ""})
	p := mustPlan(t, Options{Dir: dir, Script: filepath.Join(dir, "e/s.jl")})
	if p.Environment != "e" || p.Manifest != "e/Manifest.toml" || p.ManifestSHA256 == "" || string(p.ManifestText) != emptyManifest {
		t.Errorf("environment %q, manifest %q %q", p.Environment, p.Manifest, p.ManifestText)
	}
}

package bundle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"juliahub-lsp/internal/testjulia"
)

// fakeJulia is a program that says it is Julia 1.11.2, keeps the project file
// that it is asked to resolve, and writes a manifest.
func fakeJulia(t *testing.T, manifest string) (exe, seen string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for julia is a shell script")
	}
	dir := lay(t, map[string]string{"manifest": manifest})
	seen = filepath.Join(dir, "seen")
	exe = filepath.Join(dir, "julia")
	script := `#!/bin/sh
for arg; do case $arg in --version) echo "julia version 1.11.2"; exit;; --project=*) dir=${arg#--project=};; esac; done
cp "$dir/Project.toml" "` + seen + `"
test -s "` + filepath.Join(dir, "manifest") + `" || { echo "ERROR: it does not resolve" >&2; exit 1; }
sed "s|TMP|$dir|" "` + filepath.Join(dir, "manifest") + `" > "$dir/Manifest.toml"
`
	if err := os.WriteFile(exe, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return exe, seen
}

// TestResolve resolves with the user's Julia only if that is the job's, in a copy.
func TestResolve(t *testing.T) {
	deps := "[deps]\nDevA = \"0d733eb5-97ac-4a4a-9738-000000000001\"\nIn = \"0d733eb5-97ac-4a4a-9738-000000000002\"\n"
	dir := lay(t, map[string]string{
		"p/Project.toml": deps + "[sources]\nDevA = {path = \"../a\"}\nIn = {path = \"in\"}\n",
		"a/Project.toml": packageA, "p/in/x": "",
	})
	entry := func(name, path, n string) string {
		return "[[deps." + name + "]]\npath = \"" + path + "\"\nuuid = \"0d733eb5-97ac-4a4a-9738-00000000000" + n + "\"\n"
	}
	exe, seen := fakeJulia(t, manifestHead+entry("DevA", dir+"/a", "1")+entry("In", dir+"/p/in", "2"))
	o := Options{Dir: filepath.Join(dir, "p"), JuliaExe: exe, Julia: "1.11"}
	before := snapshot(t, dir)
	p := mustPlan(t, o)
	expect(t, "files", filePaths(p), []string{".bundle/dev/DevA/Project.toml", "Manifest.toml", "Project.toml", "in/x"})
	expect(t, "warnings", codes(p), nil)
	if got, want := string(p.content["Manifest.toml"]), manifestHead+entry("DevA", ".bundle/dev/DevA", "1")+entry("In", "in", "2"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	want := deps + "[sources]\nDevA = {path = \"" + dir + "/a\"}\nIn = {path = \"" + dir + "/p/in\"}\n"
	if got := string(readFile(t, seen)); got != want {
		t.Errorf("resolved\n%s\nwant\n%s", got, want)
	}
	expect(t, "the user's tree", snapshot(t, dir), before)

	o.Julia = ""
	expect(t, "warnings", codes(mustPlan(t, o)), []string{"manifest-resolved Manifest.toml"})
	o.Julia = "1.10"
	expect(t, "warnings", codes(mustPlan(t, o)), []string{"no-manifest Manifest.toml"})
	o.Julia = "1.11"
	o.JuliaExe, _ = fakeJulia(t, "")
	p = mustPlan(t, o)
	expect(t, "warnings", codes(p), []string{"no-manifest Manifest.toml", "resolve-failed Manifest.toml"})
	if !strings.Contains(p.Warnings[1].Message, "it does not resolve") {
		t.Error(p.Warnings[1].Message)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewPlan(ctx, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestResolveWithJulia lets a real Julia resolve.
func TestResolveWithJulia(t *testing.T) {
	exe := testjulia.Find(t)
	depot := t.TempDir()
	registry := filepath.Join(depot, "registries", "Empty")
	if err := errors.Join(os.MkdirAll(registry, 0o755), os.WriteFile(filepath.Join(registry, "Registry.toml"), []byte(emptyRegistry), 0o644)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JULIA_DEPOT_PATH", depot)
	dir := lay(t, map[string]string{"Project.toml": "[deps]\nPrintf = \"de0858da-6303-5e67-8744-51eddeeeb8d7\"\n"})
	p := mustPlan(t, Options{Dir: dir, JuliaExe: exe})
	if text := string(p.content["Manifest.toml"]); !strings.Contains(text, "Unicode]]") || p.ManifestSHA256 == "" {
		t.Errorf("%v\n%s", codes(p), text)
	}
}

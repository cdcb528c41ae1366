package commands_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

// gitIn runs git in a directory of the test, as nobody's git.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil && os.Getenv("CI") == "" {
		t.Skip("no git: ", err)
	}
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestProvenanceOfPackages: a job says from which commits the packages in its
// bundle come, and which of them were changed since.
func TestProvenanceOfPackages(t *testing.T) {
	var args map[string]string
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		args = s.Args
		return nil
	}})
	home := filepath.Dir(w.dir)
	manifest := "manifest_format = \"2.0\"\n"
	commits := map[string]string{}
	for i, name := range []string{"Clean", "Dirty", "Loose"} {
		uuid := "0d733eb5-97ac-4a4a-9738-00000000000" + string(rune('1'+i))
		w.write("../"+name+"/Project.toml", "name = \""+name+"\"\nuuid = \""+uuid+"\"\n")
		w.write("../"+name+"/src/"+name+".jl", "module "+name+" end\n")
		manifest += "[[deps." + name + "]]\npath = \"../" + name + "\"\nuuid = \"" + uuid + "\"\n"
		if name == "Loose" {
			continue
		}
		dir := filepath.Join(home, name)
		gitIn(t, dir, "init", "-q")
		gitIn(t, dir, "add", ".")
		gitIn(t, dir, "commit", "-q", "-m", "x")
		commits[name] = gitIn(t, dir, "rev-parse", "HEAD")
	}
	w.write("../Dirty/src/more.jl", "")
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", manifest)
	s, ui := w.session()
	in := script(w.write("a.jl", "1\n"), commands.SubmitArgs{})
	in.AllowOutside = []string{home}
	sub, err := s.SubmitAppBundle(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	var got map[string]struct {
		Commit string
		Dirty  bool
	}
	if err := json.Unmarshal([]byte(args["JULIAHUB_LSP_GIT_PACKAGES"]), &got); err != nil {
		t.Fatalf("%v: %q", err, args)
	}
	if len(got) != 2 || got["Clean"].Commit != commits["Clean"] || got["Clean"].Dirty || got["Dirty"].Commit != commits["Dirty"] || !got["Dirty"].Dirty {
		t.Errorf("%s, want the commits %v, one of them dirty", args["JULIAHUB_LSP_GIT_PACKAGES"], commits)
	}
}

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

// TestEnvironmentOutsideABundle is said, where it would have been passed over.
func TestEnvironmentOutsideABundle(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("p/Project.toml", "[deps]\n")
	w.write("p/JuliaHub.toml", "default-profile = \"a\"\n[profile.a]\nenvironment = \"../other\"\n")
	w.write("other/Project.toml", "[deps]\n")
	path := w.write("p/a.jl", "1\n")
	s, _ := w.session()
	_, err := s.PreviewBundle(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err == nil || !strings.Contains(err.Error(), "lies outside") || !strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
}

// TestJobsOfAnotherComputer finds the local file of a job by what it carries,
// however deep the workspace folder lies in the project, or the project in the
// folder; and finds nothing outside of both.
func TestJobsOfAnotherComputer(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "[deps]\n")
	path := w.write("src/a.jl", "1\n")
	first, ui := w.session()
	sub, err := first.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	closeSession(t, first)

	w.state = filepath.Join(t.TempDir(), "another computer")
	s, _ := w.session()
	clone := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(clone, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	same := "deep/er/" + filepath.Base(w.dir) // the project's own name
	put(same+"/Project.toml", "")
	there := put(same+"/src/a.jl", "2\n")
	put("deep/er/fork/Project.toml", "")
	fork := put("deep/er/fork/src/a.jl", "1\n")
	put("alien/src/a.jl", "2\n")
	for folder, want := range map[string]string{
		same: there, "deep/er": there, "deep": there, same + "/src": there, "": "", "deep/er/fork": fork, "alien": "",
	} {
		in := commands.Input{Args: &commands.ListArgs{Wait: true}, Folders: []string{filepath.Join(clone, filepath.FromSlash(folder))}}
		list, err := s.ListJobs(t.Context(), in)
		if err != nil || len(list.Jobs) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if got := list.Jobs[0]; got.File != want || got.Submission != sub.Submission {
			t.Errorf("in %q it is %q of %s, want %q", folder, got.File, got.Submission, want)
		}
	}
}

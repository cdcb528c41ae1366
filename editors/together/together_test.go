//go:build editors

// Package together drives two editors at once, each with a server of its own,
// on one file and one state directory, and the command line beside them.
package together

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/editors/drive"
)

// output is what an editor printed.
type output struct {
	text string
	err  error
}

// start runs an editor until it ends by itself.
func start(t *testing.T, w *drive.World, env []string, name string, args ...string) <-chan output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = w.Workspace, append(w.Env, env...)
	done := make(chan output, 1)
	go func() {
		text, err := cmd.CombinedOutput()
		done <- output{string(text), err}
	}()
	return done
}

// end waits for an editor and returns the job that it saw.
func end(t *testing.T, name string, done <-chan output) string {
	t.Helper()
	out := <-done
	t.Logf("%s:\n%s", name, out.text)
	if out.err != nil || !strings.Contains(out.text, "PASS") {
		t.Fatalf("%s: %v", name, out.err)
	}
	for line := range strings.Lines(out.text) {
		if job, ok := strings.CutPrefix(strings.TrimSpace(line), "JOB "); ok {
			return job
		}
	}
	t.Fatalf("%s saw no job", name)
	return ""
}

func TestTwoEditors(t *testing.T) {
	w := drive.New(t)
	w.SignIn(t)
	signals := t.TempDir()
	ready, alone := filepath.Join(signals, "ready"), filepath.Join(signals, "alone")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	nvim := start(t, w, []string{"READY=" + ready}, drive.Variable(t, "NVIM"), "--clean", "--headless", "-c", "luafile "+filepath.Join(here, "together.lua"))
	emacs := start(t, w, []string{"READY=" + ready, "ALONE=" + alone}, drive.Variable(t, "EMACS"), "--batch", "-Q",
		"-L", filepath.Join(here, "../emacs"), "-L", filepath.Join(here, "../emacs/test"), "-l", filepath.Join(here, "together.el"), "-f", "together")
	seen := end(t, "Neovim", nvim)

	wait := exec.CommandContext(t.Context(), w.Server, "wait", seen)
	wait.Dir, wait.Env = w.Workspace, w.Env
	if out, err := wait.CombinedOutput(); err != nil {
		t.Errorf("wait %s: %v\n%s", seen, err, out)
	}
	if err := os.WriteFile(alone, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if own := end(t, "Emacs", emacs); own != seen {
		t.Errorf("Emacs submitted %s, Neovim saw %s", own, seen)
	}
	if n := w.Submissions(); n != 2 {
		t.Errorf("%d jobs were submitted, want one by both together and one by the one that stayed", n)
	}
	for _, file := range w.Results("pi.csv") {
		if dir := filepath.Dir(file); filepath.Base(dir) == seen {
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) > 2 {
				t.Errorf("%s holds %v (%v), want the table and the outputs once", dir, entries, err)
			}
		}
	}
	if files := w.Results("pi.csv"); len(files) != 2 {
		t.Errorf("the results are %q, want a table of each job", files)
	}
}

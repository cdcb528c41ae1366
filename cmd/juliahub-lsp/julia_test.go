package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/examples"
	"juliahub-lsp/internal/testjulia"
	"juliahub-lsp/jobapi/emulator"
)

// shell runs command lines in this process against one emulator.
type shell struct {
	t        *testing.T
	env      map[string]string
	out, err buffer
}

// newShell has the environment of a user of hub; nil = of no server yet.
func newShell(t *testing.T, hub *emulator.Emulator) *shell {
	home := t.TempDir()
	sh := &shell{t: t, env: map[string]string{
		"HOME": home, "XDG_STATE_HOME": filepath.Join(home, "state"), "XDG_CACHE_HOME": filepath.Join(home, "cache"),
		"JULIA_DEPOT_PATH": filepath.Join(home, "depot"),
	}}
	if hub != nil {
		sh.env["JULIA_PKG_SERVER"], sh.env["JULIAHUB_TOKEN"] = hub.Info().URL, hub.Token()
	}
	return sh
}

// run returns the exit status; out and err hold what was printed.
func (s *shell) run(args ...string) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	s.out.Reset()
	s.err.Reset()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		s.t.Fatal(err)
	}
	defer nothing.Close()
	return run(ctx, args, terminal{in: nothing, out: &s.out, err: &s.err, lookupEnv: func(name string) (string, bool) {
		value, ok := s.env[name]
		return value, ok
	}})
}

// TestExamplesInJulia sends the examples to jobs that truly run, and compares
// what comes back byte for byte.
func TestExamplesInJulia(t *testing.T) {
	sh := newShell(t, startEmulator(t, emulator.Config{Julia: testjulia.Find(t)}))
	dir := t.TempDir()
	if err := os.CopyFS(dir, examples.FS); err != nil {
		t.Fatal(err)
	}

	t.Run("the project, with its package and its data", func(t *testing.T) {
		results := t.TempDir()
		if status := sh.run("submit", filepath.Join(dir, "project", "report.jl"), "--appbundle", "--follow", "--download", results,
			"--allow-outside", filepath.Join(dir, "Greetings")); status != statusDone {
			t.Fatalf("exit status %d\n%s%s", status, &sh.out, &sh.err)
		}
		if !strings.Contains(sh.out.String(), "Greetings from Uccle") {
			t.Errorf("the log that was followed lacks the report:\n%s", &sh.out)
		}
		want, err := os.ReadFile(filepath.Join("testdata", "report.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if got := only(t, results, "report.txt"); got != string(want) {
			t.Errorf("report.txt came back as %q, want %q", got, want)
		}
	})

	t.Run("the failing script", func(t *testing.T) {
		if status := sh.run("submit", filepath.Join(dir, "fails.jl"), "--json", "--follow"); status != statusFailed {
			t.Fatalf("exit status %d, want %d\n%s", status, statusFailed, &sh.err)
		}
		var doc submitted
		if err := json.Unmarshal(sh.out.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.Job, "jr-") || doc.URL == "" {
			t.Errorf("stdout is %q (%v), want one JSON document with job and url", &sh.out, err)
		}
		if !strings.Contains(sh.err.String(), "no readings to take the mean of") {
			t.Errorf("stderr does not say why:\n%s", &sh.err)
		}
	})
}

// only returns the contents of the one file of that name below dir.
func only(t *testing.T, dir, name string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("found %q below %s, %v; want one %s", found, dir, err, name)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

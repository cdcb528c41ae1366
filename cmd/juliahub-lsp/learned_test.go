package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/jobapi/emulator"
)

// TestRememberedJulia: the Julia that the image's last finished job showed also
// chooses the manifest of the next command.
func TestRememberedJulia(t *testing.T) {
	t.Parallel()
	hub := startEmulator(t, emulator.Config{Julia: "none", Simulate: func(_ context.Context, s *emulator.Stage) error {
		s.Print("Julia Version 1.9.3\nCommit bed2cd540a1")
		return nil
	}})
	sh := newShell(t, hub)
	dir := t.TempDir()
	for name, text := range map[string]string{"Project.toml": "[deps]\n", "Manifest-v1.9.toml": "manifest_format = \"2.0\"\n", "a.jl": "1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := filepath.Join(dir, "a.jl")
	const manifest = `"manifestFile":"`
	preview := func() string {
		if status := sh.run("submit", script, "--dry-run", "--json"); status != statusDone {
			t.Fatal(sh.err.String())
		}
		return sh.out.String()
	}
	if got := preview(); strings.Contains(got, manifest) {
		t.Errorf("before any job showed its Julia: %s", got)
	}
	if status := sh.run("submit", script, "--follow"); status != statusDone {
		t.Fatal(sh.err.String())
	}
	if got := preview(); !strings.Contains(got, manifest) || !strings.Contains(got, "Manifest-v1.9.toml") {
		t.Errorf("after a job in Julia 1.9: %s", got)
	}
	if status := sh.run("submit", script, "--appbundle", "--dry-run"); status != statusDone || !strings.Contains(sh.out.String(), "Manifest-v1.9.toml") {
		t.Errorf("as an appbundle: %s%s", &sh.out, &sh.err)
	}
}

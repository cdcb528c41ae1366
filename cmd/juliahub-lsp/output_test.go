package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/jobapi/emulator"
)

// TestLostOutput: a result that could not be printed is no success.
func TestLostOutput(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.jl"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left on device")
	for _, args := range [][]string{{"version"}, {"version", "--json"}, {"bundle", dir}, {"bundle", dir, "--json"}, {"help"}} {
		sh := newShell(t, nil)
		status := run(t.Context(), args, terminal{out: brokenOutput{full}, err: &sh.err, lookupEnv: func(name string) (string, bool) {
			value, ok := sh.env[name]
			return value, ok
		}})
		if status != statusFailed || !strings.Contains(sh.err.String(), full.Error()) {
			t.Errorf("%q: exit status %d, %q", args, status, &sh.err)
		}
	}
}

// brokenOutput is a standard output that takes nothing.
type brokenOutput struct{ err error }

func (b brokenOutput) Write([]byte) (int, error) { return 0, b.err }
func (b brokenOutput) Close() error              { return nil }

// TestNamesOnTheTerminal: no name of a file speaks to the terminal.
func TestNamesOnTheTerminal(t *testing.T) {
	sh := newShell(t, startEmulator(t, emulator.Config{Julia: "none"}))
	path := filepath.Join(t.TempDir(), "a\x1b[31m.jl")
	if err := os.WriteFile(path, []byte("1\n"), 0o644); err != nil {
		t.Skip(err) // names that Windows does not have
	}
	if status := sh.run("submit", path); status != statusDone {
		t.Errorf("exit status %d: %s", status, &sh.err)
	}
	if strings.ContainsRune(sh.out.String()+sh.err.String(), '\x1b') {
		t.Errorf("%q %q", &sh.out, &sh.err)
	}
	if status := sh.run("jobs"); status != statusDone || strings.ContainsRune(sh.out.String(), '\x1b') {
		t.Errorf("exit status %d: %q", status, &sh.out)
	}
}

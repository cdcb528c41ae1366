//go:build editors

// Package nvim drives a real Neovim against the emulator.
package nvim

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server is what `juliahub-lsp emulator` says of itself.
type server struct {
	URL, Token, Julia string
	Simulated         bool
}

func TestRoundTrip(t *testing.T) {
	nvim, binary := variable(t, "NVIM"), variable(t, "SERVER")
	emulator := startEmulator(t, binary)
	workspace := t.TempDir()
	for _, name := range []string{"pi.jl", "fails.jl"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(workspace, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("roundtrip.lua")
	if err != nil {
		t.Fatal(err)
	}
	simulated := ""
	if emulator.Simulated {
		simulated = "yes"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, nvim, "--clean", "--headless", "-c", "luafile "+script)
	cmd.Dir = workspace
	cmd.Env = append(os.Environ(),
		"HOME="+home, "XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"),
		"XDG_CONFIG_HOME="+filepath.Join(home, "config"), "XDG_DATA_HOME="+filepath.Join(home, "data"),
		"SERVER="+binary, "WORKSPACE="+workspace, "SIMULATED="+simulated,
		"JULIA_PKG_SERVER="+emulator.URL, "JULIAHUB_TOKEN="+emulator.Token, "JULIA_DEPOT_PATH="+filepath.Join(home, "depot"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(home, "state", "nvim", "lsp.log"))
		t.Fatalf("Neovim: %v\nits log:\n%s", err, log)
	}
	checkResults(t, string(out), emulator)
}

// checkResults compares what was downloaded with what the script writes when it
// is run right here.
func checkResults(t *testing.T, out string, emulator server) {
	var files []string
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "RESULT "); ok {
			files = append(files, name)
		}
	}
	if emulator.Simulated {
		if len(files) == 0 {
			t.Error("no result was downloaded")
		}
		return
	}
	want := runHere(t)
	if len(files) < 2 {
		t.Errorf("%d results were downloaded, want one of each job", len(files))
	}
	for _, name := range files {
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds %q (%v), want what the script wrote: %q", name, got, err, want)
		}
	}
}

func runHere(t *testing.T) []byte {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Getenv("JULIA"), "--startup-file=no", filepath.Join("..", "..", "..", "examples", "pi.jl"))
	cmd.Env = append(os.Environ(), "JULIAHUB_RESULTS_SUMMARY_FILE="+filepath.Join(dir, "summary.json"), "JULIAHUB_RESULTS_UPLOAD_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("julia pi.jl: %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pi.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func startEmulator(t *testing.T, binary string) server {
	julia := os.Getenv("JULIA")
	if julia == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("CI has no Julia: run make julia first")
		}
		julia = "auto"
	}
	cmd := exec.Command(binary, "emulator", "--julia", julia)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	var s server
	if err := json.NewDecoder(out).Decode(&s); err != nil {
		t.Fatalf("the emulator's first line: %v", err)
	}
	return s
}

func variable(t *testing.T, name string) string {
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run make test-editors", name)
	}
	return value
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hubProcess is an emulator in a process of its own, as people run it.
type hubProcess struct {
	URL       string `json:"url"`
	Token     string `json:"token"`
	Julia     string `json:"julia"`
	Simulated bool   `json:"simulated"`
	stop      func()
}

// startHubProcess reads the one line of JSON that the command prints first.
func startHubProcess(t *testing.T, args ...string) *hubProcess {
	t.Helper()
	cmd := command(t, append([]string{"emulator", "--julia", "none"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // of no effect once it has ended
	in := bufio.NewReader(out)
	line, err := in.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	hub := &hubProcess{}
	strict := json.NewDecoder(bytes.NewReader(line))
	strict.DisallowUnknownFields()
	if err := strict.Decode(hub); err != nil {
		t.Fatalf("the first line is %q: %v", line, err)
	}
	hub.stop = func() {
		t.Helper()
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(in)
		if err != nil || len(rest) > 0 {
			t.Errorf("stdout went on with %q, %v", rest, err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("an interrupted emulator: %v", err)
		}
	}
	return hub
}

// TestEmulatorCommand has clients find the emulator by what it prints, and
// their jobs again after a restart.
func TestEmulatorCommand(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	first := startHubProcess(t, "--data", data, "--token", "a-token-of-mine")
	if first.Token != "a-token-of-mine" || !first.Simulated || first.Julia != "" || !strings.HasPrefix(first.URL, "http://127.0.0.1:") {
		t.Errorf("the emulator says %+v", first)
	}
	sh := newShell(t, nil)
	sh.env["JULIA_PKG_SERVER"], sh.env["JULIAHUB_TOKEN"] = first.URL, first.Token
	script := filepath.Join(t.TempDir(), "hello.jl")
	if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status := sh.run("submit", script, "--json", "--follow"); status != statusDone {
		t.Fatalf("submit: exit status %d\n%s", status, &sh.err)
	}
	var doc submitted
	if err := json.Unmarshal(sh.out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	first.stop()

	second := startHubProcess(t, "--data", data)
	if second.Token != first.Token {
		t.Errorf("the token was %q and is %q", first.Token, second.Token)
	}
	sh.env["JULIA_PKG_SERVER"] = second.URL
	if status := sh.run("jobs"); status != statusDone || !strings.Contains(sh.out.String(), doc.Job) {
		t.Errorf("jobs: exit status %d\n%s%s", status, &sh.out, &sh.err)
	}
	second.stop()
}

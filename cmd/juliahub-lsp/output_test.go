package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
		if runtime.GOOS == "windows" {
			t.Skip("Windows has no such names: ", err)
		}
		t.Fatal(err)
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

// TestUnaskedAnswers: what a server sends beyond its answers is not printed.
func TestUnaskedAnswers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				line, err := in.ReadString('\n')
				for err == nil && strings.TrimSpace(line) != "" { // up to the end of the request's header
					line, err = in.ReadString('\n')
				}
				if err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}<html>a secret</html>")
					_, _ = io.Copy(io.Discard, conn) // until the client has read it all
				}
			}()
		}
	}()
	command := exec.CommandContext(t.Context(), self, "images")
	home := t.TempDir()
	command.Env = append(os.Environ(), asCommand+"=1", "HOME="+home, "XDG_STATE_HOME="+home, "JULIA_DEPOT_PATH="+home,
		"JULIA_PKG_SERVER=http://"+listener.Addr().String(), "JULIAHUB_TOKEN=t")
	if out, _ := command.CombinedOutput(); strings.Contains(string(out), "a secret") || len(out) == 0 {
		t.Errorf("printed %q", out)
	}
}

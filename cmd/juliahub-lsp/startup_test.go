package main

import (
	"os"
	"os/exec"
	"testing"

	"juliahub-lsp/lsp/lsptest"
)

// endAtOnce keeps a process under the race detector from waiting a second when it ends.
const endAtOnce = "GORACE=atexit_sleep_ms=0"

// command prepares a run of this command line: $SERVER if that names a binary,
// else the test binary itself.
func command(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	binary := os.Getenv("SERVER")
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			tb.Fatal(err)
		}
	}
	cmd := exec.Command(binary, args...)
	home := tb.TempDir()
	cmd.Env = append(os.Environ(), asCommand+"=1", endAtOnce, "HOME="+home, "XDG_STATE_HOME="+home, "XDG_CACHE_HOME="+home)
	cmd.Stderr = os.Stderr
	return cmd
}

// startAndStop runs a server up to the answer of initialize, calls answered,
// and lets it end by the book.
func startAndStop(tb testing.TB, cmd *exec.Cmd, answered func()) {
	tb.Helper()
	server, err := startProcess(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	e := lsptest.Open(tb, server, lsptest.Options{})
	answered()
	e.Shutdown()
	if err := server.wait(); err != nil {
		tb.Fatalf("after shutdown and exit: %v", err)
	}
}

func TestServeByTheBook(t *testing.T) {
	startAndStop(t, command(t), func() {})
}

// BenchmarkStartup measures from the start of the process to the answer of
// initialize: what an editor waits for.
func BenchmarkStartup(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		cmd := command(b)
		b.StartTimer()
		startAndStop(b, cmd, b.StopTimer)
		b.StartTimer()
	}
}

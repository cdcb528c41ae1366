package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"
)

// serveOnce is the program of a job that answers at its port, by hand, once it
// is told to begin.
func serveOnce(begin <-chan struct{}) func(context.Context, *emulator.Stage) error {
	return func(ctx context.Context, s *emulator.Stage) error {
		if err := wait(ctx, begin); err != nil {
			return err
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return context.Cause(ctx)
			}
			in := bufio.NewReader(conn)
			first, _ := in.ReadString('\n')
			status := "200 OK"
			if strings.Contains(first, "/missing") {
				status = "404 Not Found"
			}
			answer := "you sent " + strings.TrimSpace(first)
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(answer), answer)
			_, _ = io.CopyN(io.Discard, in, int64(in.Buffered()))
			_ = conn.Close()
		}
	}
}

// TestRunningJob does to a job what can be done only while it runs.
func TestRunningJob(t *testing.T) {
	t.Parallel()
	begin := make(chan struct{})
	hub := startEmulator(t, emulator.Config{Julia: "none", Simulate: serveOnce(begin)})
	sh := newShell(t, hub)
	script := filepath.Join(t.TempDir(), "serve.jl")
	if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(status int, want string, args ...string) {
		t.Helper()
		if got := sh.run(args...); got != status || !strings.Contains(sh.out.String()+sh.err.String(), want) {
			t.Fatalf("%q: exit status %d, want %d with %q\n%s%s", args, got, status, want, &sh.out, &sh.err)
		}
	}
	do(statusDone, `"job":"jr-`, "submit", script, "--json", "--timelimit", "2h", "--expose", "port=8080,access=me")
	var doc submitted
	if err := json.Unmarshal(sh.out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	do(statusDone, "extending by 3 h", "extend", doc.Job, "3")
	do(statusDone, `"limitHours":5`, "job", doc.Submission, "--json")
	do(statusFailed, "does not listen on its port yet", "request", doc.Job, "GET", "/")

	close(begin)
	deadline := time.Now().Add(time.Minute)
	for sh.run("request", doc.Job, "GET", "/a?b=c") != statusDone {
		if !strings.Contains(sh.err.String(), "does not listen") || time.Now().After(deadline) {
			t.Fatalf("request: %s", &sh.err)
		}
	}
	if got := sh.out.String(); got != "you sent GET /a?b=c HTTP/1.1" {
		t.Errorf("the job's program answered %q", got)
	}
	do(statusDone, `"status":200`, "request", doc.Job, "PUT", "/x", "--data", script, "--json")
	do(statusFailed, "answered with status 404", "request", doc.Job, "GET", "/missing")
	do(statusFailed, "must begin with one /", "request", doc.Job, "GET", "//elsewhere/")
	do(statusDone, "http", "open", doc.Job)
	if link := strings.TrimSpace(sh.out.String()); strings.Contains(link, "/ui/") || !strings.HasSuffix(link, "/") {
		t.Errorf("opens %q, which is not the job's port", link)
	}

	do(statusDone, "killing the job", "cancel", doc.Job)
	do(statusFailed, "stopped", "wait", doc.Job)
	do(statusFailed, "has ended already", "cancel", doc.Job)
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"
)

// tunnel is an HTTP proxy that knows but one way: to the emulator, whatever
// host it is asked to connect with.
type tunnel struct {
	listener net.Listener
	target   string // HOST:PORT of the emulator
	user     string // USER:PASSWORD that it wants to hear
	tasks    sync.WaitGroup

	mu    sync.Mutex // guards what follows
	asked []string   // first lines of the requests, and what came in the clear
}

func newTunnel(t *testing.T, target, user string) *tunnel {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tunnel{listener: listener, target: target, user: user}
	p.tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.tasks.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.tasks.Wait()
	})
	return p
}

func (p *tunnel) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	text := textproto.NewReader(in)
	line, err := text.ReadLine()
	if err != nil {
		return
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprint(line, " ", header["Authorization"], header["Cookie"]))
	p.mu.Unlock()
	if header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(p.user)) {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
		return
	}
	hub, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer hub.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connected\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { pipe(hub, in) })
	both.Go(func() { pipe(conn, hub) })
	both.Wait()
}

// pipe copies until one side ends, and ends the other.
func pipe(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from)
	_ = to.(*net.TCPConn).CloseWrite()
}

func (p *tunnel) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

func (p *tunnel) url(user string) string {
	return "http://" + user + "@" + p.listener.Addr().String()
}

// awaitSocket is the program of a job that has more to say once somebody
// follows its log by WebSocket.
func awaitSocket(hub func() *emulator.Emulator) func(context.Context, *emulator.Stage) error {
	return func(ctx context.Context, s *emulator.Stage) error {
		s.Print("before the socket")
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for hub().Counters()["GET /ws/stream_logs"] == 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return errors.New("nobody opened a WebSocket")
			}
		}
		s.Print("after the socket")
		return s.Result("answer.txt", []byte("42"))
	}
}

// TestThroughProxy lets everything go through a proxy that wants a password, to
// a server whose certificate is of a private authority and whose name only the
// proxy can make something of.
func TestThroughProxy(t *testing.T) {
	t.Parallel()
	var hub *emulator.Emulator
	hub = startEmulator(t, emulator.Config{Julia: "none", Simulate: awaitSocket(func() *emulator.Emulator { return hub })})
	secure, err := hub.Start("127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	const name, user = "hub.launch.localhost", "ada:pass-word-1"
	proxy := newTunnel(t, strings.TrimPrefix(secure, "https://"), user)
	dir := t.TempDir()
	for path, text := range map[string]string{"hello.jl": "println(1)\n", "proj/Project.toml": "", "proj/main.jl": "println(2)\n"} {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"JULIA_PKG_SERVER": "https://" + name, "JULIAHUB_TOKEN": hub.Token(), "HTTPS_PROXY": proxy.url(user), "SSL_CERT_FILE": hub.Info().Certificate,
		"NO_PROXY": "", "JULIA_DEPOT_PATH": filepath.Join(dir, "depot"),
	}
	run := func(change map[string]string, args ...string) (stdout, stderr string, err error) {
		t.Helper()
		cmd := command(t, args...)
		all := maps.Clone(env)
		maps.Copy(all, change)
		for name, value := range all {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var out, problems bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &problems
		err = cmd.Run()
		for _, secret := range []string{hub.Token(), "pass-word-1"} {
			if strings.Contains(out.String()+problems.String(), secret) {
				t.Errorf("%q printed a secret:\n%s%s", args, &out, &problems)
			}
		}
		return out.String(), problems.String(), err
	}

	out, problems, err := run(nil, "submit", filepath.Join(dir, "hello.jl"), "--follow", "--download", filepath.Join(dir, "out"))
	if err != nil || !strings.Contains(out, "after the socket") {
		t.Fatalf("a script: %v\n%s%s", err, out, problems)
	}
	if got := only(t, filepath.Join(dir, "out"), "answer.txt"); got != "42" {
		t.Errorf("downloaded %q", got)
	}
	if out, problems, err := run(nil, "submit", filepath.Join(dir, "proj", "main.jl"), "--appbundle", "--json"); err != nil {
		t.Errorf("an appbundle: %v\n%s%s", err, out, problems)
	}
	for _, line := range proxy.requests() {
		if line != "CONNECT "+name+":443 HTTP/1.1 [] []" {
			t.Errorf("the proxy was asked %q", line)
		}
	}

	_, problems, err = run(map[string]string{"HTTPS_PROXY": proxy.url("ada:other")}, "whoami")
	if err == nil || !strings.Contains(problems, "the proxy refused it: HTTP 407") || !strings.Contains(problems, "HTTPS_PROXY") {
		t.Errorf("a wrong password: %v\n%s", err, problems)
	}
	_, problems, err = run(map[string]string{"SSL_CERT_FILE": ""}, "whoami")
	if err == nil || !strings.Contains(problems, "SSL_CERT_FILE") {
		t.Errorf("an unknown authority: %v\n%s", err, problems)
	}
	if out, problems, err := run(map[string]string{"SSL_CERT_FILE": "", "JULIA_SSL_CA_ROOTS_PATH": hub.Info().Certificate}, "whoami"); err != nil {
		t.Errorf("Julia's own variable: %v\n%s%s", err, out, problems)
	}

	// Whether this machine knows the name itself or not: the proxy is not asked.
	before := len(proxy.requests())
	u, err := url.Parse(secure)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _ = run(map[string]string{"NO_PROXY": ".launch.localhost", "JULIA_PKG_SERVER": "https://" + name + ":" + u.Port()}, "whoami")
	if out, problems, err := run(map[string]string{"JULIA_PKG_SERVER": secure}, "whoami"); err != nil {
		t.Errorf("on this machine: %v\n%s%s", err, out, problems)
	}
	if asked := proxy.requests()[before:]; len(asked) > 0 {
		t.Errorf("the proxy was asked %q", asked)
	}
}

package lsp_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// What a project's files may lead us to: another server, and what lies outside.

// inState expects the last word on a submission.
func inState(sub commands.Submission, state string) lsptest.Expectation {
	return lsptest.That("submission "+sub.Submission+" in state "+state, func(s *lsptest.State) bool {
		last := ""
		for _, j := range s.Jobs {
			if j["submission"] == sub.Submission {
				last, _ = j["state"].(string)
			}
		}
		return last == state
	})
}

// stranger is a server that nobody knows, and writes down all that it hears.
type stranger struct {
	url string

	mu    sync.Mutex // guards heard
	heard bytes.Buffer
}

func newStranger(t *testing.T) *stranger {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stranger{url: "http://" + listener.Addr().String()}
	var open sync.WaitGroup
	t.Cleanup(func() { _ = listener.Close(); open.Wait() })
	open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { s.answer(conn) })
		}
	})
	return s
}

func (s *stranger) answer(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 64<<10)
	n, _ := conn.Read(buffer)
	s.mu.Lock()
	s.heard.Write(buffer[:n])
	s.mu.Unlock()
	_, _ = fmt.Fprint(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

func (s *stranger) said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard.String()
}

// A server that a project names hears nothing before the person allows it, and
// never the token of another; the question comes once for each project.
func TestStoryServerOfAProject(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	foreign := newStranger(t)
	hub := "server = \"" + foreign.url + "\"\n[profile.big]\nncpu = 4\n"
	hubURI := d.file("JuliaHub.toml", hub)
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	uri := d.file("run.jl", "1\n")
	yes := make(chan bool, 1)
	yes <- false
	answer := func(q lsptest.Question) string {
		allowed := <-yes
		yes <- allowed
		return map[bool]string{false: q.Answers[0], true: last(q)}[allowed]
	}
	e := d.editor(lsptest.Options{Capabilities: plugin(), Answer: answer})
	e.OpenBuffer(uri, "julia", "1\n")
	e.OpenBuffer(hubURI, "toml", hub)
	// Looking around sends nothing and asks nothing.
	hoverText(e, hubURI, 1, 10)
	labels(e, hubURI, 2, 4)
	e.Execute("juliahub.previewJob", map[string]any{"uri": uri, "wait": true}, nil)
	e.Execute("juliahub.previewBundle", map[string]any{"uri": uri, "wait": true}, nil)
	e.Execute("juliahub.nodes", map[string]any{"wait": true}, nil) // the user's own
	hoverText(e, hubURI, 1, 10)
	if q := e.State().Questions; len(q) > 0 || foreign.said() != "" {
		t.Errorf("asked %+v, sent %q", q, foreign.said())
	}
	for range 2 { // a no is remembered while nothing changes
		var sub commands.Submission
		e.Do(uri, "Submit as script", &sub)
		e.Await(inState(sub, "refused"))
	}
	q := asked(e, foreign.url[len("http://"):])
	if len(q) != 1 || foreign.said() != "" {
		t.Errorf("asked %+v, sent %q", q, foreign.said())
	}
	e.Shutdown()

	<-yes
	yes <- true
	e = d.editor(lsptest.Options{Capabilities: plugin(), Answer: answer})
	e.OpenBuffer(uri, "julia", "1\n")
	refused := func() {
		t.Helper()
		var sub commands.Submission
		e.Do(uri, "Submit as script", &sub)
		e.Await(inState(sub, "refused")) // nobody is signed in there, and nobody can
	}
	refused()
	if q := e.State().Questions; len(q) != 1 {
		t.Errorf("after a restart: asked %+v", q)
	}
	e.Shutdown()
	e = d.editor(lsptest.Options{Capabilities: plugin(), Answer: answer})
	e.OpenBuffer(uri, "julia", "1\n")
	refused()
	if q := e.State().Questions; len(q) > 0 {
		t.Errorf("a yes is not remembered: asked %+v", q)
	}
	e.Shutdown()
	if said := foreign.said(); said == "" || strings.Contains(said, d.env["JULIAHUB_TOKEN"]) || strings.Contains(said, "POST /juliaruncloud") {
		t.Errorf("it heard %q", said)
	}
	if n := d.counted(submitEndpoint); n != 0 {
		t.Errorf("%d jobs were submitted to another server", n)
	}
}

// A project may name the user's own server: that is no question, and a preview
// says what a job costs there.
func TestStoryOwnServerOfAProject(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	d.file("JuliaHub.toml", "server = \""+d.env["JULIA_PKG_SERVER"]+"\"\n")
	uri := d.file("run.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "1\n")
	var preview commands.JobPreview
	e.Execute("juliahub.previewJob", map[string]any{"uri": uri, "wait": true}, &preview)
	if preview.Node == "" || preview.PricePerHour == 0 || preview.MostCost == 0 {
		t.Errorf("%+v", preview)
	}
	var sub commands.Submission
	e.Do(uri, "Submit as script", &sub)
	e.Await(inState(sub, "completed"))
	if q := e.State().Questions; len(q) > 0 {
		t.Errorf("asked %+v", q)
	}
	e.Shutdown()
}

// What a link or a path package brings in from outside is asked for once for
// each of them, secrets from there are refused, and what is in a workspace folder
// is no question.
func TestStoryContentFromOutside(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards bundles
	var bundles []string
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		raw, err := os.ReadFile(s.Bundle)
		mu.Lock()
		defer mu.Unlock()
		bundles = append(bundles, string(raw))
		return err
	})
	outside := t.TempDir()
	put := func(name, text string) string {
		t.Helper()
		path := filepath.Join(outside, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("data/table.csv", "outside data\n")
	put("more/other.csv", "outside more\n")
	put("Near/Project.toml", "name = \"Near\"\nuuid = \"1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\nversion = \"0.1.0\"\n")
	put("Near/src/Near.jl", "module Near # outside package\nend\n")
	d.file("inside/kept.csv", "inside data\n")
	d.file("p/Project.toml", "[deps]\nNear = \"1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\n")
	d.file("p/Manifest.toml", "julia_version = \"1.9.4\"\nmanifest_format = \"2.0\"\n[[deps.Near]]\npath = \""+filepath.Join(outside, "Near")+"\"\nuuid = \"1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\nversion = \"0.1.0\"\n")
	uri := d.file("p/run.jl", "1\n")
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(d.dir, "p", name)); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
	}
	link(filepath.Join(outside, "data"), "data")
	link(filepath.Join(d.dir, "inside"), "inside")
	submit := func(answer func(lsptest.Question) string, state string) (questions int) {
		t.Helper()
		e := d.editor(lsptest.Options{Capabilities: plugin(), Answer: answer})
		defer e.Shutdown()
		e.OpenBuffer(uri, "julia", "1\n")
		var sub commands.Submission
		e.Do(uri, "Submit project as appbundle", &sub)
		e.Await(inState(sub, state))
		return len(e.State().Questions)
	}
	holds := func(text string) bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Contains(bundles[len(bundles)-1], text)
	}
	if n := submit(nil, "refused"); n != 2 || len(bundles) > 0 { // the job could not do without the package
		t.Errorf("dismissed: %d questions, %d bundles", n, len(bundles))
	}
	packageAlone := func(q lsptest.Question) string {
		if strings.Contains(q.Text, "Near") {
			return last(q)
		}
		return ""
	}
	if n := submit(packageAlone, "completed"); n != 2 || holds("outside data") || !holds("outside package") || !holds("inside data") {
		t.Errorf("one allowed: %d questions, data %t, package %t, inside %t", n, holds("outside data"), holds("outside package"), holds("inside data"))
	}
	if n := submit(last, "completed"); n != 1 || !holds("outside data") || !holds("outside package") {
		t.Errorf("allowed: %d questions, data %t, package %t", n, holds("outside data"), holds("outside package"))
	}
	if n := submit(nil, "completed"); n != 0 || !holds("outside data") {
		t.Errorf("remembered: %d questions", n)
	}
	link(filepath.Join(outside, "more"), "more")
	if n := submit(last, "completed"); n != 1 || !holds("outside more") {
		t.Errorf("another target: %d questions", n)
	}

	// Neither tokens nor what we remember goes out, whoever allows it.
	depot := filepath.Join(d.env["JULIA_DEPOT_PATH"], "servers", "juliahub.com")
	if err := os.MkdirAll(depot, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(depot, "auth.toml"), []byte("id_token = \"the token\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link(filepath.Dir(depot), "servers")
	link(filepath.Join(depot, "auth.toml"), "settings.toml")
	link(d.state(""), "remembered")
	link(filepath.Dir(d.dir), "everything")
	submit(last, "completed")
	for _, secret := range []string{"the token", `"digest":"`} {
		if holds(secret) {
			t.Errorf("%s went out", secret)
		}
	}

	put("data/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
	count := len(bundles)
	submit(last, "refused")
	if len(bundles) != count || slices.ContainsFunc(bundles, func(b string) bool { return strings.Contains(b, "OPENSSH") }) {
		t.Error("a secret from outside went out")
	}
}

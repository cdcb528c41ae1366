//go:build editors

// Package drive is what tests need to drive real editors: an emulator, a
// person's home with nothing in it, a workspace made of the examples, and a
// browser in which that person says yes to every sign-in.
package drive

import (
	"bufio"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"juliahub-lsp/examples"
	"juliahub-lsp/internal/testjulia"
	"juliahub-lsp/jobapi/emulator"
)

// patience is how long a condition may take to come true. On two loaded cores a
// job, which starts a Julia, takes ten seconds.
const patience = 90 * time.Second

// Slow is a script whose job runs until somebody stops it.
const Slow = `println("the slow job has begun")
sleep(3600)
`

// World is an emulator and somebody who uses it.
type World struct {
	Hub       *emulator.Emulator
	Workspace string // a directory with the examples, and slow.jl
	Env       []string
	Server    string // the language server's binary

	mu     sync.Mutex // guards opened
	opened []string   // the pages that were opened in the browser
}

// New starts an emulator whose jobs run in a real Julia, and makes a home and a
// workspace. Nobody is signed in. Everything is gone after the test.
func New(t *testing.T) *World {
	t.Helper()
	w := &World{Server: Variable(t, "SERVER"), Workspace: realPath(t, t.TempDir())}
	if err := os.CopyFS(w.Workspace, examples.FS); err != nil {
		t.Fatal(err)
	}
	w.Write(t, "slow.jl", Slow)
	hub, err := emulator.New(emulator.Config{
		Julia: testjulia.Find(t), SignInInterval: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hub.Close(); err != nil {
			t.Errorf("the emulator: %v", err)
		}
	})
	w.Hub = hub
	base, err := hub.Start("", false)
	if err != nil {
		t.Fatal(err)
	}
	home := realPath(t, t.TempDir())
	w.Env = append(environ(), "HOME="+home, "TERM=xterm-256color", "LC_ALL=C.UTF-8", "SERVER="+w.Server, "WORKSPACE="+w.Workspace,
		"XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"),
		"XDG_CONFIG_HOME="+filepath.Join(home, "config"), "XDG_DATA_HOME="+filepath.Join(home, "data"),
		"JULIA_PKG_SERVER="+base, "JULIA_DEPOT_PATH="+filepath.Join(home, "depot"),
		"PATH="+w.browser(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return w
}

// realPath is a path as editors report it, free of links.
func realPath(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// environ is the environment without what would be somebody else's: a token, a
// server, a display.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "JULIA") || strings.HasPrefix(name, "XDG_") ||
			slices.Contains([]string{"DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "TMUX", "HOME", "PATH", "TERM", "LC_ALL", "SERVER"}, name)
	})
}

// SignIn puts a token where Julia's package manager keeps them.
func (w *World) SignIn(t *testing.T) {
	t.Helper()
	auth, err := w.Hub.AuthTOML()
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(w.Hub.Info().URL)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.Variable("JULIA_DEPOT_PATH"), "servers", strings.ReplaceAll(base.Host, ":", "_"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "auth.toml"), []byte(auth), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Variable returns a variable of the person's environment.
func (w *World) Variable(name string) string {
	for _, v := range slices.Backward(w.Env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Write writes a file of the workspace and returns its path.
func (w *World) Write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.Workspace, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Results returns the files of this name that were downloaded into the workspace.
func (w *World) Results(name string) []string {
	var found []string
	_ = fs.WalkDir(os.DirFS(w.Workspace), ".", func(path string, d fs.DirEntry, _ error) error {
		if d != nil && !d.IsDir() && d.Name() == name && strings.Contains(path, "juliahub-results/") {
			found = append(found, filepath.Join(w.Workspace, path))
		}
		return nil
	})
	return found
}

// browser makes a directory with an xdg-open, with which programs open pages,
// and follows what is opened: a sign-in is approved there and then.
func (w *World) browser(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	pipe := filepath.Join(bin, "pages")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nprintf '%s\\n' \"$1\" > '" + pipe + "'\n"
	if err := os.WriteFile(filepath.Join(bin, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	pages, err := os.OpenFile(pipe, os.O_RDWR, 0) // for writing, too: it does not end with the first page
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = pages.Close()
		<-done
	})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(pages); lines.Scan(); {
			w.open(t, lines.Text())
		}
	}()
	return bin
}

// open is what the person does with a page.
func (w *World) open(t *testing.T, page string) {
	w.mu.Lock()
	w.opened = append(w.opened, page)
	w.mu.Unlock()
	u, err := url.Parse(page)
	if err != nil {
		t.Errorf("the browser was to open %q: %v", page, err)
		return
	}
	if code := u.Query().Get("user_code"); code != "" {
		if err := w.Hub.Approve(code, true); err != nil {
			t.Errorf("the sign-in %s: %v", code, err)
		}
	}
}

// Opened says whether a page whose address holds part was opened in the browser.
func (w *World) Opened(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.opened, func(page string) bool { return strings.Contains(page, part) })
}

// Submissions is how many jobs were submitted to the emulator.
func (w *World) Submissions() int { return w.Hub.Counters()["POST /juliaruncloud/submit_job"] }

// Await waits until a condition holds, and reports whether it ever did.
func Await(t *testing.T, condition func() bool) bool {
	t.Helper()
	return AwaitFor(t, patience, condition)
}

// AwaitFor is Await with a patience of its own.
func AwaitFor(t *testing.T, patience time.Duration, condition func() bool) bool {
	t.Helper()
	tick := time.NewTicker(60 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-late.C:
			return false
		case <-t.Context().Done():
			return false
		}
	}
	return true
}

// Variable returns an environment variable that `make test-editors` sets.
func Variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run make test-editors", name)
	}
	return value
}

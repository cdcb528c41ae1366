//go:build editors

package nvim

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// session is a person's machine: a home, a workspace made of the examples, and
// an emulator.
type session struct {
	nvim, binary, home, workspace string
	hub                           server
}

func newSession(t *testing.T) *session {
	s := &session{nvim: variable(t, "NVIM"), binary: variable(t, "SERVER"), home: t.TempDir(), workspace: filepath.Join(t.TempDir(), "work space")}
	s.hub = startEmulator(t, s.binary)
	examples := filepath.Join("..", "..", "..", "examples")
	if err := os.CopyFS(s.workspace, os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	s.hurry(t, "pi.jl", "points = 3_000_000", "points = 100_000")
	return s
}

// hurry makes a script do less of the same: what it computes is not what is
// tested here, and on two loaded cores it takes a minute.
func (s *session) hurry(t *testing.T, name, from, to string) {
	path := filepath.Join(s.workspace, name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		t.Fatalf("%s does not say %q", name, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// plugin is the directory that goes on the runtimepath.
func plugin(t *testing.T) string {
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// drive runs a Neovim with the plugin through a script, and returns what it said.
func (s *session) drive(t *testing.T, script string, env ...string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := plugin(t)
	cmd := exec.CommandContext(ctx, s.nvim, "--clean", "--headless", "--cmd", "let &runtimepath = $PLUGIN .. ',' .. &runtimepath",
		"-c", "luafile "+filepath.Join(dir, "test", script))
	cmd.Dir = s.workspace
	cmd.Env = append(os.Environ(), "PLUGIN="+dir, "LIB="+filepath.Join(dir, "test", "lib.lua"),
		"HOME="+s.home, "XDG_STATE_HOME="+filepath.Join(s.home, "state"), "XDG_CACHE_HOME="+filepath.Join(s.home, "cache"),
		"XDG_CONFIG_HOME="+filepath.Join(s.home, "config"), "XDG_DATA_HOME="+filepath.Join(s.home, "data"),
		"SERVER="+s.binary, "WORKSPACE="+s.workspace, "URL="+s.hub.URL, "TOKEN="+s.hub.Token, "LC_ALL=C.UTF-8",
		"JULIA_PKG_SERVER="+s.hub.URL, "JULIAHUB_TOKEN="+s.hub.Token, "JULIA_DEPOT_PATH="+filepath.Join(s.home, "depot"))
	cmd.Env = append(cmd.Env, env...) // the last value of a name counts
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "PASS") {
		log, _ := os.ReadFile(filepath.Join(s.home, "state", "nvim", "lsp.log"))
		t.Fatalf("Neovim: %v\nits log:\n%s", err, log)
	}
	return string(out)
}

// needsJulia skips a drive whose jobs have to run: where CI is, startEmulator
// has failed without a Julia.
func (s *session) needsJulia(t *testing.T) {
	if s.hub.Simulated {
		t.Skip("no Julia to be had: jobs that are simulated do not wait, fail or write")
	}
}

func TestDay(t *testing.T) {
	s := newSession(t)
	s.needsJulia(t)
	s.drive(t, "day.lua")
}

func TestSelection(t *testing.T) {
	s := newSession(t)
	s.needsJulia(t)
	s.drive(t, "selection.lua")
}

// Without JULIAHUB_TOKEN there is nobody signed in.
func TestSignIn(t *testing.T) {
	s := newSession(t)
	s.needsJulia(t)
	s.drive(t, "signin.lua", "JULIAHUB_TOKEN=")
}

func TestRestartServer(t *testing.T) {
	s := newSession(t)
	s.needsJulia(t)
	s.drive(t, "restart.lua")
}

func TestRestartEditor(t *testing.T) {
	s := newSession(t)
	s.needsJulia(t)
	_, rest, found := strings.Cut(s.drive(t, "leave.lua"), "JOB ")
	job, _, _ := strings.Cut(rest, "\n")
	if !found || job == "" {
		t.Fatal("the first Neovim told of no job")
	}
	s.drive(t, "leave.lua", "AFTER="+job)
}

func TestOffline(t *testing.T) {
	newSession(t).drive(t, "offline.lua")
}

func TestNeovim011(t *testing.T) {
	s := newSession(t)
	s.needsJulia(t)
	s.drive(t, "old.lua")
}

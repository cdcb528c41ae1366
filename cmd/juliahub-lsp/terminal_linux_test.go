package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"

	"golang.org/x/sys/unix"
)

// screen is a terminal with one of our commands in it.
type screen struct {
	t    *testing.T
	cmd  *exec.Cmd
	ctrl *os.File // the terminal's other side: what is written there is typed
	read sync.WaitGroup

	mu      sync.Mutex // guards what follows
	text    string     // what was printed so far
	changed chan struct{}
}

// openScreen runs a command in a terminal of that many columns.
func openScreen(t *testing.T, columns uint16, env map[string]string, args ...string) *screen {
	t.Helper()
	ctrl, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this machine has no pseudo-terminals")
	} else if err != nil {
		t.Fatal(err)
	}
	fd := int(ctrl.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, cmd: command(t, args...), ctrl: ctrl, changed: make(chan struct{})}
	s.cmd.Env = append(s.cmd.Env, "TERM=xterm", "NO_COLOR=1")
	for name, value := range env {
		s.cmd.Env = append(s.cmd.Env, name+"="+value)
	}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := errors.Join(s.cmd.Start(), tty.Close()); err != nil {
		t.Fatal(err)
	}
	s.read.Go(s.keep)
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // of no effect once it has ended
		_ = ctrl.Close()
	})
	return s
}

// keep reads until the last one has left the terminal.
func (s *screen) keep() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.ctrl.Read(buffer)
		s.mu.Lock()
		s.text += string(buffer[:n])
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits until something is printed, and returns its first group.
func (s *screen) await(pattern string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	wanted := regexp.MustCompile(pattern)
	for {
		s.mu.Lock()
		found, text, changed := wanted.FindStringSubmatch(s.text), s.text, s.changed
		s.mu.Unlock()
		if found != nil {
			return found[len(found)-1]
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.t.Fatalf("%q was not printed:\n%s", pattern, text)
		}
	}
}

func (s *screen) typed(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.ctrl, text); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the command's end and returns all that it printed.
func (s *screen) end(status int) string {
	s.t.Helper()
	_ = s.cmd.Wait() // the status is looked at
	s.read.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != status {
		s.t.Errorf("exit status %d, want %d\n%s", got, status, s.text)
	}
	return s.text
}

// person is the environment of somebody at a terminal: a home, and a browser
// that only writes down which page it was to open.
func person(t *testing.T, hub *emulator.Emulator) (env map[string]string, page func() string) {
	t.Helper()
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	script := "#!/bin/sh\nprintf %s \"$1\" > " + opened + ".new && mv " + opened + ".new " + opened + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	env = map[string]string{
		"PATH": dir + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME": dir, "JULIA_DEPOT_PATH": filepath.Join(dir, "depot"),
		"XDG_STATE_HOME": filepath.Join(dir, "state"), "XDG_CACHE_HOME": filepath.Join(dir, "cache"),
		"JULIA_PKG_SERVER": hub.Info().URL, "JULIAHUB_TOKEN": "",
	}
	return env, func() string {
		t.Helper()
		deadline, tick := time.NewTimer(time.Minute), time.NewTicker(5*time.Millisecond)
		defer deadline.Stop()
		defer tick.Stop()
		for {
			if text, err := os.ReadFile(opened); err == nil {
				return string(text)
			}
			select {
			case <-tick.C:
			case <-deadline.C:
				t.Fatal("no browser was opened")
			}
		}
	}
}

func tokenFiles(t *testing.T, env map[string]string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(env["JULIA_DEPOT_PATH"], "servers", "*", "auth.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestLoginAtATerminal signs in by the device flow, works with that, signs in
// anew, and out.
func TestLoginAtATerminal(t *testing.T) {
	t.Parallel()
	hub := startEmulator(t, emulator.Config{Julia: "none", SignInInterval: time.Second})
	env, page := person(t, hub)
	signIn := func(args ...string) string {
		t.Helper()
		s := openScreen(t, 100, env, append([]string{"login"}, args...)...)
		code := s.await(`code ([A-Z0-9]{4}-[A-Z0-9]{4})`)
		if got, want := page(), hub.Info().URL+"/auth/device?user_code="+code; got != want {
			t.Errorf("the browser was sent to %q, want %q", got, want)
		}
		if err := hub.Approve(code, true); err != nil {
			t.Fatal(err)
		}
		return s.end(statusDone)
	}
	if out := signIn(); !strings.Contains(out, "signed in") {
		t.Errorf("printed %q", out)
	}
	files := tokenFiles(t, env)
	if len(files) != 1 {
		t.Fatalf("token files %q", files)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if out := openScreen(t, 100, env, "whoami").end(statusDone); !strings.Contains(out, "user     emulator") || !strings.Contains(out, "refreshed by itself") || strings.Contains(out, "id-") {
		t.Errorf("whoami prints %q", out)
	}
	if err := os.Remove(filepath.Join(env["HOME"], "opened")); err != nil {
		t.Fatal(err)
	}

	// Who is signed in may sign in as somebody else.
	if out := signIn("--json"); !strings.Contains(out, `{"server":"`+hub.Info().URL+`","state":"signed-in"}`) {
		t.Errorf("printed %q", out)
	}
	if after, err := os.ReadFile(files[0]); err != nil || string(after) == string(before) {
		t.Errorf("the token is the same, %v", err)
	}
	if out := openScreen(t, 100, env, "logout").end(statusDone); !strings.Contains(out, "signed out") || len(tokenFiles(t, env)) > 0 {
		t.Errorf("logout prints %q and leaves %q", out, tokenFiles(t, env))
	}
	if out := openScreen(t, 100, env, "whoami").end(statusFailed); !strings.Contains(out, "not signed in") {
		t.Errorf("whoami prints %q", out)
	}
}

// TestLoginThatComesToNothing: refused on the page, not decided in time, or
// given up at the terminal. No token is kept, and whoever was signed in still is.
func TestLoginThatComesToNothing(t *testing.T) {
	t.Parallel()
	late := make(chan struct{}) // closed: the emulator's clock is beyond the end of every sign-in
	hub := startEmulator(t, emulator.Config{Julia: "none", SignInInterval: time.Second, Now: func() time.Time {
		select {
		case <-late:
			return time.Now().Add(time.Hour)
		default:
			return time.Now()
		}
	}})
	for _, test := range []struct {
		name string
		do   func(s *screen, code string)
		says string
	}{
		{"refused", func(s *screen, code string) {
			if err := hub.Approve(code, false); err != nil {
				t.Error(err)
			}
		}, "the sign-in was refused on the web page"},
		{"given up", func(s *screen, _ string) { s.typed("\x03") }, "interrupted"},
		{"too late", func(*screen, string) { close(late) }, "nobody signed in on the web page in time"},
	} {
		env, page := person(t, hub)
		s := openScreen(t, 100, env, "login")
		code := s.await(`code ([A-Z0-9]{4}-[A-Z0-9]{4})`)
		page() // the browser has been opened
		test.do(s, code)
		if out := s.end(statusFailed); !strings.Contains(out, test.says) || len(tokenFiles(t, env)) > 0 {
			t.Errorf("%s: printed %q and left %q", test.name, out, tokenFiles(t, env))
		}
	}
}

// TestSubmittingAtATerminalSignsInFirst: the sign-in interrupts the submission,
// which then goes on.
func TestSubmittingAtATerminalSignsInFirst(t *testing.T) {
	t.Parallel()
	hub := startEmulator(t, emulator.Config{Julia: "none", SignInInterval: time.Second})
	env, _ := person(t, hub)
	script := filepath.Join(env["HOME"], "hello.jl")
	if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openScreen(t, 100, env, "submit", script)
	if err := hub.Approve(s.await(`code ([A-Z0-9]{4}-[A-Z0-9]{4})`), true); err != nil {
		t.Fatal(err)
	}
	if out := s.end(statusDone); !regexp.MustCompile(`(?m)jr-[a-z0-9]{10}  http`).MatchString(out) {
		t.Errorf("printed %q", out)
	}
	if n := hub.Counters()["POST /juliaruncloud/submit_job"]; n != 1 {
		t.Errorf("%d submissions", n)
	}
}

// TestBarsAtATerminal: an upload and a job's own progress are drawn as bars that
// fit the line; they are gone at the end. Off a terminal there are none.
func TestBarsAtATerminal(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{}) // closed: the bar was drawn
	hub := startEmulator(t, emulator.Config{Julia: "none", Simulate: func(ctx context.Context, s *emulator.Stage) error {
		s.Progress("work", "a long calculation whose name is wider than any terminal is likely to be", 0.5)
		if err := wait(ctx, seen); err != nil {
			return err
		}
		return s.Result("answer.txt", []byte("42"))
	}})
	env, _ := person(t, hub)
	env["JULIAHUB_TOKEN"] = hub.Token()
	dir := filepath.Join(env["HOME"], "proj")
	for path, text := range map[string]string{"Project.toml": "", "main.jl": "println(1)\n", "data.bin": strings.Repeat("x", 1<<20)} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"submit", filepath.Join(dir, "main.jl"), "--appbundle", "--follow", "--download", filepath.Join(env["HOME"], "out")}
	const columns = 60
	s := openScreen(t, columns, env, args...)
	s.await(`\[=* *\] +\d+ %  .*main\.jl`)
	s.await(`\[={10} {10}\]  50 %  JuliaHub: main\.jl`)
	close(seen)
	out := s.end(statusDone)
	const erased = "\r\x1b[K"
	for line := range strings.SplitSeq(strings.ReplaceAll(out, "\r\n", erased), erased) {
		if strings.Contains(line, " %  ") && len([]rune(line)) >= columns {
			t.Errorf("a bar of %d columns: %q", len([]rune(line)), line)
		}
	}
	if last := out[strings.LastIndex(out, " %  "):]; !strings.Contains(last, erased) {
		t.Errorf("a bar is left at the end: %q", last)
	}
	sh := newShell(t, hub)
	if status := sh.run(args[:4]...); status != statusDone || strings.ContainsAny(sh.out.String()+sh.err.String(), "\r\x1b%") {
		t.Errorf("off a terminal: exit status %d\n%s%s", status, &sh.out, &sh.err)
	}
}

// TestTablesFitTheTerminal: whatever is in them.
func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	hub := startEmulator(t, emulator.Config{Julia: "none"})
	env, _ := person(t, hub)
	env["JULIAHUB_TOKEN"] = hub.Token()
	script := filepath.Join(env["HOME"], strings.Repeat("long-name-", 12)+".jl")
	if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t, hub)
	for name, value := range env {
		sh.env[name] = value
	}
	if status := sh.run("submit", script, "--alias", strings.Repeat("ä \x1b[31m", 60)); status != statusDone {
		t.Fatalf("exit status %d\n%s", status, &sh.err)
	}
	for _, args := range [][]string{{"jobs"}, {"nodes"}, {"images"}, {"whoami"}, {"doctor"}} {
		const columns = 48
		list := args[0] != "whoami" && args[0] != "doctor" // single facts are left to the terminal to wrap
		out := openScreen(t, columns, env, args...).end(statusDone)
		lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(out, "\r\n", "\n")), "\n")
		cut := false
		for _, line := range lines {
			if n := len([]rune(line)); n > columns && list {
				t.Errorf("%s: a line of %d columns: %q", args, n, line)
			}
			if strings.ContainsRune(line, '\x1b') {
				t.Errorf("%s: control characters in %q", args, line)
			}
			cut = cut || strings.HasSuffix(line, "…")
		}
		if args[0] == "jobs" && !cut || !list && cut {
			t.Errorf("%s: cut is %t in %q", args, cut, lines)
		}
	}
}

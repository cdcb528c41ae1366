//go:build editors

package helix

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"juliahub-lsp/editors/drive"
)

// terminal is a window of tmux, in which a program runs.
type terminal struct {
	t    *testing.T
	tmux string
	dir  string // of the socket
}

// newTerminal runs a command in a window of its own.
func newTerminal(t *testing.T, w *drive.World, command ...string) *terminal {
	t.Helper()
	//nolint:usetesting // the test's own directory is too long for the path of a socket
	dir, err := os.MkdirTemp("", "hx")
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{t: t, tmux: filepath.Join(drive.Variable(t, "HELIX"), "bin", "tmux"), dir: dir}
	args := append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50", "-c", w.Workspace, "--"}, command...)
	cmd := term.command(args...)
	cmd.Dir, cmd.Env = w.Workspace, append(w.Env, "COLORTERM=truecolor")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		_ = exec.CommandContext(ctx, term.tmux, "-S", filepath.Join(dir, "s"), "kill-server").Run()
		_ = os.RemoveAll(dir)
	})
	return term
}

func (term *terminal) command(args ...string) *exec.Cmd {
	return exec.CommandContext(term.t.Context(), term.tmux, append([]string{"-S", filepath.Join(term.dir, "s")}, args...)...)
}

// keys types keys by tmux's names: Enter, Escape, Space, or text.
func (term *terminal) keys(keys ...string) {
	term.t.Helper()
	if out, err := term.command(append([]string{"send-keys", "-t", ":0", "--"}, keys...)...).CombinedOutput(); err != nil {
		term.t.Fatalf("the keys %q: %v\n%s", keys, err, out)
	}
}

// screen is the text of the window.
func (term *terminal) screen() string {
	out, _ := term.command("capture-pane", "-p", "-t", ":0").Output()
	return string(out)
}

// colours is the text of the window with its colours, as escape sequences.
func (term *terminal) colours() string {
	out, _ := term.command("capture-pane", "-p", "-e", "-t", ":0").Output()
	return string(out)
}

// await waits until the window is as it should be.
func (term *terminal) await(what string, condition func(screen string) bool) string {
	term.t.Helper()
	var screen string
	met := drive.Await(term.t, func() bool {
		screen = term.screen()
		return condition(screen)
	})
	if !met {
		term.t.Fatalf("waited in vain for: %s. The window:\n%s", what, screen)
	}
	term.t.Log("ok", what)
	return screen
}

// shows waits until the window shows a text.
func (term *terminal) shows(text string) string {
	term.t.Helper()
	return term.await("the window shows "+text, func(screen string) bool { return strings.Contains(screen, text) })
}

// ended waits until the program has ended, and its window with it.
func (term *terminal) ended() {
	term.t.Helper()
	if !drive.Await(term.t, func() bool { return term.command("has-session").Run() != nil }) {
		term.t.Fatalf("it did not end. The window:\n%s", term.screen())
	}
}

// on returns the longest text that stands in a background, "" where there is none.
func (term *terminal) on(background string) string {
	longest := ""
	for line := range strings.Lines(term.colours()) {
		shown, backgrounds := cells(line)
		run := ""
		for i, r := range []rune(shown) {
			if backgrounds[i] != background {
				run = ""
				continue
			}
			if run += string(r); len(run) > len(longest) {
				longest = run
			}
		}
	}
	return longest
}

// cells are the characters of a line and their backgrounds.
func cells(line string) (text string, backgrounds []string) {
	colour := ""
	for rest := line; rest != ""; {
		if sequence, after, ok := strings.Cut(strings.TrimPrefix(rest, "\x1b["), "m"); ok && strings.HasPrefix(rest, "\x1b[") {
			colour, rest = withBackground(colour, sequence), after
			continue
		}
		r, size := utf8.DecodeRuneInString(rest)
		text, backgrounds, rest = text+string(r), append(backgrounds, colour), rest[size:]
	}
	return text, backgrounds
}

// withBackground is the background after a sequence of attributes.
func withBackground(colour, sequence string) string {
	codes := strings.Split(sequence, ";")
	for i := 0; i < len(codes); i++ {
		switch code := codes[i]; {
		case code == "" || code == "0" || code == "49":
			colour = ""
		case (code == "38" || code == "48") && i+1 < len(codes):
			n := 2 // 5;N, or 2;R;G;B
			if codes[i+1] == "2" {
				n = 4
			}
			end := min(i+1+n, len(codes))
			if code == "48" {
				colour = strings.Join(codes[i+1:end], ";")
			}
			i = end - 1
		case len(code) == 2 && code[0] == '4':
			colour = code
		}
	}
	return colour
}

package commands_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

const foreignHub = "server = \"https://foreign.example\"\n"

// TestNoToAServerIsRemembered asks once in a session, and again after the file
// that names the server changed, or after a restart.
func TestNoToAServerIsRemembered(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	hub := w.write("JuliaHub.toml", foreignHub)
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	refused := func(s *commands.Session) {
		t.Helper()
		_, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
		var not *commands.NotSubmittedError
		if !errors.As(err, &not) || !strings.Contains(not.Reason, "have not allowed") {
			t.Fatalf("got %v", err)
		}
	}
	for i, want := range []int{1, 1, 2, 2} {
		if i == 2 {
			w.write("JuliaHub.toml", foreignHub+"results = \"out\"\n")
		}
		refused(s)
		if asked := ui.questions(); len(asked) != want {
			t.Errorf("submission %d: asked %q", i+1, asked)
		}
	}
	s, ui = w.session()
	refused(s)
	if asked := ui.questions(); len(asked) != 1 || !strings.Contains(asked[0], hub) || !strings.Contains(asked[0], "foreign.example") {
		t.Errorf("after a restart: asked %q", asked)
	}
}

// pondering is a person who does not answer.
type pondering struct {
	*recorder
	answered chan struct{} // closed when they do
}

func (p pondering) Ask(ctx context.Context, level commands.Level, text string, answers ...string) string {
	p.recorder.Ask(ctx, level, text, answers...)
	select {
	case <-p.answered:
	case <-ctx.Done():
	}
	return answers[0]
}

// TestQuestionsHoldNobodyUp: as many questions as submissions work at a time are
// open, and one more submission goes through. Who asks the same waits for the
// same answer.
func TestQuestionsHoldNobodyUp(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	ui := pondering{newRecorder(t), make(chan struct{})}
	s, err := commands.New(commands.Config{
		UI: ui, Logger: slog.New(slog.DiscardHandler), Home: filepath.Dir(w.dir), State: w.state,
		LookupEnv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeSession(t, s) })
	outside := filepath.Join(filepath.Dir(w.dir), "outside")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "x.csv"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var subs []string
	submit := func(kind, name string) {
		t.Helper()
		run := s.SubmitScript
		if kind == "appbundle" {
			run = s.SubmitAppBundle
		}
		sub, err := run(t.Context(), script(w.write(name, "1\n"), commands.SubmitArgs{}))
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub.Submission)
	}
	for i := range 5 { // questions for a server
		w.write(fmt.Sprintf("p%d/JuliaHub.toml", i), foreignHub)
		submit("script", fmt.Sprintf("p%d/a.jl", i))
	}
	for i := range 5 { // and for what lies outside
		w.write(fmt.Sprintf("q%d/Project.toml", i), "")
		if err := os.Symlink(outside, filepath.Join(w.dir, fmt.Sprintf("q%d/link", i))); err != nil {
			t.Fatal(err)
		}
		submit("appbundle", fmt.Sprintf("q%d/a.jl", i))
	}
	ui.await("ten questions", func() bool { return len(ui.asked) == 10 })
	submit("script", "p0/b.jl") // the same question as that of p0/a.jl
	submit("script", "free/a.jl")
	free := subs[len(subs)-1]
	ui.await("the submission that asks nothing", func() bool { return ui.state(free).Ended() })
	if state := ui.job(free).State; state != commands.StateCompleted {
		t.Errorf("it is %s", state)
	}
	close(ui.answered)
	for i, sub := range subs[:len(subs)-1] {
		ui.await("the others", func() bool { return ui.state(sub).Ended() })
		want := commands.StateRefused // the server is not to be used
		if slices.Contains([]int{5, 6, 7, 8, 9}, i) {
			want = commands.StateCompleted // the link stays out
		}
		if got := ui.job(sub); got.State != want {
			t.Errorf("submission %d is %s: %s", i, got.State, got.Reason)
		}
	}
	if asked := ui.questions(); len(asked) != 10 {
		t.Errorf("asked %q", asked)
	}
}

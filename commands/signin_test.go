package commands_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
	"juliahub-lsp/jobapi/emulator"
)

// decide lets the person in the browser allow or deny every sign-in.
func decide(t *testing.T, hub *emulator.Emulator, allow bool) func(page string) {
	return func(page string) {
		u, err := url.Parse(page)
		if err != nil {
			t.Error(err)
			return
		}
		if err := hub.Approve(u.Query().Get("user_code"), allow); err != nil {
			t.Error(err)
		}
	}
}

func TestSubmittingStartsTheSignInAndGoesOn(t *testing.T) {
	w := newWorld(t, emulator.Config{SignInInterval: time.Second})
	delete(w.env, "JULIAHUB_TOKEN")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	ui.opened = decide(t, w.hub, true)
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the job", func() bool { return ui.state(sub.Submission) == commands.StateCompleted })
	if len(ui.shown) != 1 || !strings.Contains(ui.said[0], ui.shown[0]) {
		t.Errorf("shown %q, said %q", ui.shown, ui.said)
	}
	files, err := filepath.Glob(filepath.Join(w.env["JULIA_DEPOT_PATH"], "servers", "*", "auth.toml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("token files: %v, %v", files, err)
	}
	// No token in any record.
	token, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	_, secret, _ := strings.Cut(string(token), "id_token = \"")
	secret, _, _ = strings.Cut(secret, "\"")
	err = filepath.WalkDir(w.state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if secret == "" || strings.Contains(string(data), secret) {
			t.Errorf("%s holds the token %q", path, secret)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := s.SignOut(t.Context(), commands.Input{Args: &commands.ListArgs{}}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(files[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after signing out: %v", err)
	}
}

// TestRefusedSubmissionWaitsForTheSignIn: while the person signs in after the
// job itself was refused, its record says that nothing can have made a job.
func TestRefusedSubmissionWaitsForTheSignIn(t *testing.T) {
	w := newWorld(t, emulator.Config{SignInInterval: time.Second})
	delete(w.env, "JULIAHUB_TOKEN")
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultExpiredToken, Path: "/juliaruncloud/submit_job", Times: 2}); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	var meanwhile []*track.Record
	windows := 0
	ui.opened = func(page string) {
		if windows++; windows == 2 {
			l := track.NewLedger(w.state)
			if _, err := l.Scan(time.Now()); err != nil {
				t.Error(err)
			}
			meanwhile = l.All()
		}
		decide(t, w.hub, true)(page)
	}
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the job", func() bool { return ui.state(sub.Submission) == commands.StateCompleted })
	if len(meanwhile) != 1 || meanwhile[0].State != track.Submitting || meanwhile[0].Sent != nil {
		t.Errorf("while signing in: %+v", meanwhile)
	}
	l := track.NewLedger(w.state)
	if _, err := l.Scan(time.Now()); err != nil {
		t.Fatal(err)
	}
	if r, _ := l.Get(sub.Submission); r.Sent == nil {
		t.Error("it is not known when the job was sent")
	}
}

func TestRefusedSignInEndsTheSubmission(t *testing.T) {
	w := newWorld(t, emulator.Config{SignInInterval: time.Second})
	delete(w.env, "JULIAHUB_TOKEN")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	ui.opened = decide(t, w.hub, false)
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the end", func() bool { return ui.state(sub.Submission) == commands.StateRefused })
	if len(ui.shown) != 1 {
		t.Errorf("%d windows", len(ui.shown))
	}
}

func TestWhoWaitsIsToldToSignIn(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	delete(w.env, "JULIAHUB_TOKEN")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	_, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	var auth *jobapi.AuthError
	if !errors.As(err, &auth) || len(ui.shown) > 0 {
		t.Errorf("got %v, shown %q", err, ui.shown)
	}
}

// TestCalledOffSignInOpensNoOtherWindow: two submissions wait for one sign-in;
// who calls that off is not shown the next one.
func TestCalledOffSignInOpensNoOtherWindow(t *testing.T) {
	w := newWorld(t, emulator.Config{SignInInterval: time.Second})
	delete(w.env, "JULIAHUB_TOKEN")
	s, ui := w.session()
	var subs []string
	for _, name := range []string{"a.jl", "b.jl"} {
		sub, err := s.SubmitScript(t.Context(), script(w.write(name, "1\n"), commands.SubmitArgs{}))
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub.Submission)
	}
	var window *recordedTask
	ui.await("the window, and both submissions", func() bool {
		for _, task := range ui.tasks {
			if strings.HasPrefix(task.work.Title, "Signing in") {
				window = task
			}
		}
		return window != nil && len(ui.tasks) == 3
	})
	window.work.Cancel()
	for _, sub := range subs {
		ui.await("the end", func() bool { return ui.state(sub) == commands.StateRefused })
	}
	if len(ui.shown) != 1 {
		t.Errorf("%d windows", len(ui.shown))
	}
}

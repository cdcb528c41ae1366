package lsp_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// statusIs awaits a last juliahub/statusDidChange with a state and a number of running jobs.
func statusIs(state string, running int) lsptest.Expectation {
	return lsptest.That("status "+state, func(s *lsptest.State) bool {
		if len(s.Statuses) == 0 {
			return false
		}
		last := s.Statuses[len(s.Statuses)-1]
		return last["state"] == state && last["signedIn"] == (state == "signed-in") && last["jobsRunning"] == float64(running)
	})
}

// tokenFile is where the desk's Julia keeps the token of the server.
func (d *desk) tokenFile() string {
	return filepath.Join(d.env["JULIA_DEPOT_PATH"], "servers", depot.ServerDir(d.env["JULIA_PKG_SERVER"]), "auth.toml")
}

// signInElsewhere writes the token file as another program does.
func (d *desk) signInElsewhere() {
	d.t.Helper()
	text, err := d.hub.AuthTOML()
	if err == nil {
		if err = os.MkdirAll(filepath.Dir(d.tokenFile()), 0o700); err == nil {
			err = os.WriteFile(d.tokenFile(), []byte(text), 0o600)
		}
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// A plugin is told who is signed in: at the start and whenever that changes,
// whoever changes it, and without a word to the server.
func TestStoryStatus(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDesk(t, func(context.Context, *emulator.Stage) error { <-release; return nil })
	delete(d.env, "JULIAHUB_TOKEN")
	e := d.editor(lsptest.Options{Capabilities: plugin(), Settings: map[string]any{"juliahub": map[string]any{"profile": "small"}}})
	s := e.Await(statusIs("signed-out", 0))
	if got := s.Statuses[0]; got["server"] != d.env["JULIA_PKG_SERVER"] || !strings.Contains(got["reason"].(string), "Not signed in") {
		t.Errorf("%v", got)
	}
	d.signInElsewhere()
	s = e.Await(statusIs("signed-in", 0))
	if got := s.Statuses[len(s.Statuses)-1]; got["user"] == "" || got["user"] == nil || got["reason"] != nil {
		t.Errorf("%v", got)
	}
	for path, n := range d.hub.Counters() {
		if n > 0 {
			t.Errorf("%s was asked %d times", path, n)
		}
	}

	uri := d.file("run.jl", "1\n")
	e.OpenBuffer(uri, "julia", "1\n")
	e.Execute("juliahub.submitScript", map[string]any{"uri": uri, "settings": map[string]any{"environment": "none"}}, nil)
	e.Await(statusIs("signed-in", 1))
	for _, params := range []any{nil, json.RawMessage("null"), []any{}, map[string]any{}, map[string]any{"later": 1}} {
		var now commands.Status
		e.Call("juliahub/status", params, &now)
		if !now.SignedIn || now.JobsRunning != 1 || now.Profile != "small" || now.Server != d.env["JULIA_PKG_SERVER"] {
			t.Errorf("%v: %+v", params, now)
		}
		var known struct{ Jobs []commands.Job }
		e.Call("juliahub/jobs", params, &known)
		if len(known.Jobs) != 1 {
			t.Errorf("%v: %+v", params, known)
		}
	}
	close(release)
	e.Await(statusIs("signed-in", 0))

	token, err := os.ReadFile(d.tokenFile())
	if err != nil {
		t.Fatal(err)
	}
	e.Execute("juliahub.signOut", map[string]any{}, nil)
	s = e.Await(statusIs("signed-out", 0))
	_, secret, _ := strings.Cut(string(token), "id_token = \"")
	secret, _, _ = strings.Cut(secret, "\"")
	if all, err := json.Marshal(s.Statuses); err != nil || secret == "" || strings.Contains(string(all), secret) {
		t.Errorf("%v: a token in %s", err, all)
	}
	e.Shutdown()
}

// The server's no is a state of its own: signing in again mends it.
func TestStoryStatusRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.Await(statusIs("signed-in", 0))
	if err := d.hub.ExpireTokens(); err != nil {
		t.Fatal(err)
	}
	if err := e.TryExecute("juliahub.nodes", map[string]any{"wait": true}, nil); err == nil {
		t.Error("a dead token is good enough")
	}
	s := e.Await(statusIs("refused", 0))
	if got := s.Statuses[len(s.Statuses)-1]; got["explicit"] != true || !strings.Contains(got["reason"].(string), "JULIAHUB_TOKEN") {
		t.Errorf("%v", got)
	}
	e.Shutdown()
}

// An editor that did not say that it knows the messages gets none; asked, the
// server answers all the same.
func TestStoryNoStatusUnasked(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	e := d.editor(lsptest.Options{})
	var now commands.Status
	e.Call("juliahub/status", nil, &now)
	if !now.SignedIn || !now.Explicit {
		t.Errorf("%+v", now)
	}
	uri := d.file("run.jl", "1\n")
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit as script", nil)
	if s := e.Await(lsptest.Says("completed")); len(s.Statuses) > 0 {
		t.Errorf("%v", s.Statuses)
	}
	e.Shutdown()
}

// The record of a job says how far the job is, and in the end why it failed.
func TestStoryRecordTellsProgressAndFailure(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Progress("a", "training", 0.25)
		<-release
		s.Print("ERROR: LoadError: DomainError with -1.0:\nsqrt was called with a negative real argument")
		s.Print("Stacktrace:\n [1] top-level scope at /home/jrun/job/code.jl:1\nin expression starting at /home/jrun/job/code.jl:1")
		return errors.New("exit status 1")
	})
	uri := d.file("run.jl", "sqrt(-1)\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "sqrt(-1)\n")
	e.Do(uri, "Submit as script", nil)
	e.Await(lsptest.That("a record with a percentage", func(s *lsptest.State) bool {
		return len(s.Jobs) > 0 && s.Jobs[len(s.Jobs)-1]["percent"] == 25.0
	}))
	close(release)
	e.Await(lsptest.That("a record that says why", func(s *lsptest.State) bool {
		last := s.Jobs[len(s.Jobs)-1]
		text, _ := last["message"].(string)
		return last["state"] == "failed" && text == "DomainError with -1.0: sqrt was called with a negative real argument" && last["percent"] != 100.0
	}))
	e.Shutdown()
}

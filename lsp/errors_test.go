package lsp_test

import (
	"errors"
	"testing"

	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// Each kind of trouble has a code of its own, and a sentence.
func TestStoryErrorCodes(t *testing.T) {
	t.Parallel() // looking for a server that is not there takes a few tries
	code := func(e *lsptest.Editor, command string, arg any) int {
		t.Helper()
		var failed *lsptest.Error
		if err := e.TryExecute(command, arg, nil); !errors.As(err, &failed) || failed.Message == "" {
			t.Fatalf("%s: %v\n%s", command, err, e.Dump())
		}
		return failed.Code
	}
	wait := map[string]any{"wait": true}
	t.Run("no such job", func(t *testing.T) {
		t.Parallel()
		e := newDesk(t, nil).editor(lsptest.Options{})
		for _, command := range []string{"juliahub.logs", "juliahub.downloadResults", "juliahub.cancelJob"} {
			if got := code(e, command, map[string]any{"job": "jr-nosuchjob", "wait": true}); got != 7 {
				t.Errorf("%s: code %d", command, got)
			}
		}
		e.Shutdown()
	})
	t.Run("a job that has ended", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		uri := d.file("pi.jl", "1\n")
		e := d.editor(lsptest.Options{})
		e.Execute("juliahub.submitScript", map[string]any{"uri": uri, "wait": true}, nil)
		e.Await(hasCode(uri, "job-completed"))
		for _, command := range []string{"juliahub.cancelJob", "juliahub.extendJob"} {
			if got := code(e, command, map[string]any{"uri": uri, "wait": true}); got != 1 {
				t.Errorf("%s: code %d", command, got)
			}
		}
		if got := code(e, "juliahub.submitScript", map[string]any{"uri": uri, "wait": true, "settings": map[string]any{"ncpu": 4000}}); got != 2 {
			t.Errorf("no such node: code %d", got)
		}
		for _, command := range []string{"juliahub.logs", "juliahub.openJob"} { // of what was not submitted
			if got := code(e, command, map[string]any{"uri": uri, "wait": true}); got != 1 {
				t.Errorf("%s: code %d", command, got)
			}
		}
		e.Shutdown()
	})
	t.Run("a token that the server does not take", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		d.env["JULIAHUB_TOKEN"] = "no token of this server"
		e := d.editor(lsptest.Options{})
		if got := code(e, "juliahub.jobs", wait); got != 3 {
			t.Errorf("code %d", got)
		}
		e.Shutdown()
	})
	t.Run("no server", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		d.env["JULIA_PKG_SERVER"] = "http://127.0.0.1:1"
		e := d.editor(lsptest.Options{})
		if got := code(e, "juliahub.jobs", wait); got != 5 {
			t.Errorf("code %d", got)
		}
		e.Shutdown()
	})
	for name, fault := range map[string]emulator.Fault{
		"an error of the server":             {Kind: emulator.FaultStatus, Status: 400, Times: -1},
		"an answer that cannot be read":      {Kind: emulator.FaultGarbage, Times: -1},
		"another page in place of an answer": {Kind: emulator.FaultHTML, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			if err := d.hub.Inject(fault); err != nil {
				t.Fatal(err)
			}
			e := d.editor(lsptest.Options{})
			if got := code(e, "juliahub.jobs", wait); got != 6 {
				t.Errorf("code %d", got)
			}
			e.Shutdown()
		})
	}
	t.Run("forbidden", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultStatus, Status: 403, Times: -1}); err != nil {
			t.Fatal(err)
		}
		e := d.editor(lsptest.Options{})
		if got := code(e, "juliahub.jobs", wait); got != 4 {
			t.Errorf("code %d", got)
		}
		e.Shutdown()
	})
}

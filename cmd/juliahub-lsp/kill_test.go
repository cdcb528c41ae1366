package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// TestKilledServer kills the server's process while a job runs. The next one
// must pick the job up, show its progress to the end, and bring its result.
func TestKilledServer(t *testing.T) {
	const result = "one,two\n1,2\n"
	worked, finish := make(chan struct{}), make(chan struct{})
	hub := startEmulator(t, emulator.Config{Julia: "none", Simulate: func(ctx context.Context, s *emulator.Stage) error {
		s.Progress("work", "Working", 0.25)
		if err := wait(ctx, worked); err != nil {
			return err
		}
		s.Progress("work", "Working", 0.75)
		if err := wait(ctx, finish); err != nil {
			return err
		}
		return s.Result("table.csv", []byte(result))
	}})
	workspace, state := t.TempDir(), t.TempDir()
	script := filepath.Join(workspace, "long.jl")
	const text = "println(\"a long job\")\n"
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() (*process, *lsptest.Editor) {
		cmd := command(t, "serve")
		cmd.Env = append(cmd.Env, "JULIA_PKG_SERVER="+hub.Info().URL, "JULIAHUB_TOKEN="+hub.Token(), "XDG_STATE_HOME="+state)
		server, err := startProcess(cmd)
		if err != nil {
			t.Fatal(err)
		}
		e := lsptest.Open(t, server, lsptest.Options{Capabilities: demoCapabilities(), Folders: []string{fileURI(workspace)}})
		e.OpenBuffer(fileURI(script), "julia", text)
		return server, e
	}

	first, e := start()
	var sub commands.Submission
	e.Execute("juliahub.submitScript", commands.SubmitArgs{URI: fileURI(script)}, &sub)
	running := lsptest.That("the job to run", func(s *lsptest.State) bool {
		return jobIn(s, sub.Submission).State == commands.StateRunning
	})
	e.Await(lsptest.AllOf(running, barAt(25)))
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	e.Close()
	if err := first.wait(); err == nil {
		t.Error("a server that was killed ended well")
	}

	second, e := start()
	e.Await(lsptest.AllOf(running, lsptest.WorkBegun("long.jl")))
	close(worked)
	e.Await(barAt(75))
	close(finish)
	e.Await(lsptest.That("the job to complete", func(s *lsptest.State) bool {
		return jobIn(s, sub.Submission).State == commands.StateCompleted
	}))
	e.Await(lsptest.NoWork())
	e.Execute("juliahub.downloadResults", commands.JobArgs{Submission: sub.Submission, Wait: true}, nil)
	if got := only(t, filepath.Join(workspace, "juliahub-results"), "table.csv"); got != result {
		t.Errorf("the result holds %q, want %q", got, result)
	}
	e.Shutdown()
	if err := second.wait(); err != nil {
		t.Errorf("after shutdown and exit: %v", err)
	}
	if n := hub.Counters()["POST /juliaruncloud/submit_job"]; n != 1 {
		t.Errorf("submitted %d times", n)
	}
}

// barAt expects a bar that has not ended to stand at a percentage.
func barAt(percent int) lsptest.Expectation {
	return lsptest.That(fmt.Sprintf("a bar at %d %%", percent), func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Work, func(w *lsptest.Work) bool {
			return w.Begun && !w.Ended && w.Percent != nil && *w.Percent == percent
		})
	})
}

func wait(ctx context.Context, until <-chan struct{}) error {
	select {
	case <-until:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

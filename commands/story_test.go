package commands_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi"
	"juliahub-lsp/jobapi/emulator"
)

func TestScriptFromSubmitToResults(t *testing.T) {
	var got emulator.Stage
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		got = *s
		s.Print("hello from the job")
		return errors.Join(s.Result("answer.txt", []byte("42\n")), s.Outputs(`{"answer":42}`))
	}})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "manifest_format = \"2.0\"\n")
	path := w.write("src/pi.jl", "println(1)\n")
	s, ui := w.session()

	began := time.Now()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(began) > time.Second {
		t.Error("a command must answer within a second")
	}
	ui.await("the job's end", func() bool { return ui.jobs[sub.Submission].Settled })
	job := ui.jobs[sub.Submission]
	if job.State != commands.StateCompleted {
		t.Fatalf("the job is %s: %s", job.State, ui.dump())
	}
	if got.Code != "println(1)\n" || got.Project != "[deps]\n" || !strings.Contains(got.Manifest, "2.0") {
		t.Errorf("sent code %q, project %q, manifest %q", got.Code, got.Project, got.Manifest)
	}
	if got.Args["JULIAHUB_LSP_SUBMISSION"] != sub.Submission {
		t.Errorf("the job carries %v", got.Args)
	}
	if !hasProblem(ui.problems[path], "job-completed", 0) {
		t.Errorf("problems: %+v", ui.problems[path])
	}
	log, err := os.ReadFile(job.LogFile)
	if err != nil || strings.Count(string(log), "hello from the job\n") != 1 {
		t.Errorf("the log is %q (%v)", log, err)
	}

	done, err := s.DownloadResults(t.Context(), ofJob(commands.JobArgs{Job: job.ID, Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.dir, "juliahub-results", job.ID)
	if done.Dir != dir {
		t.Errorf("results are in %s, want %s", done.Dir, dir)
	}
	for name, want := range map[string]string{
		"juliahub-results/.gitignore": "*\n", "juliahub-results/.juliabundleignore": "*\n",
		"juliahub-results/" + job.ID + "/answer.txt": "42\n", "juliahub-results/" + job.ID + "/results.json": `{"answer":42}`,
	} {
		data, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil || string(data) != want {
			t.Errorf("%s holds %q (%v), want %q", name, data, err, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".juliahub-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	ui.await("every task ended once", func() bool {
		for _, task := range ui.tasks {
			if len(task.ended) != 1 {
				return false
			}
		}
		return len(ui.tasks) > 0
	})
}

func TestFailureStandsAtItsLine(t *testing.T) {
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		s.Print("working")
		s.Print("ERROR: LoadError: DomainError with -1.0:\nsqrt was called with a negative real argument")
		s.Print("Stacktrace:")
		s.Print(" [1] sqrt(::Float64) at ./math.jl:573")
		s.Print(" [2] g(::Int64) at /home/jovyan/code.jl:3")
		s.Print(" [3] top-level scope at /home/jovyan/code.jl:5")
		s.Print("in expression starting at /home/jovyan/code.jl:5")
		return errors.New("exit status 1")
	}})
	path := w.write("fails.jl", "# a\n# b\ng(x) = sqrt(-1.0)\n\ng(1)\n")
	s, ui := w.session()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the error", func() bool { return hasProblem(ui.problems[path], "job-failed", 2) })
	ui.await("the message", func() bool { return ui.jobs[sub.Submission].Settled && len(ui.said) == 2 })
	if at := ui.jobs[sub.Submission].FailedAt; at == nil || at.Path != path || at.Line != 2 {
		t.Errorf("failed at %+v", at)
	}
	if _, err := s.DismissJob(t.Context(), ofJob(commands.JobArgs{Submission: sub.Submission})); err != nil {
		t.Fatal(err)
	}
	ui.await("the problems to go", func() bool { return len(ui.problems[path]) == 0 })
}

func TestAppBundleArrives(t *testing.T) {
	var bundle string
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		bundle = s.Bundle
		return nil
	}})
	w.write("Project.toml", "name = \"P\"\n[deps]\n")
	w.write("Manifest.toml", "")
	w.write("data.csv", "1,2\n")
	path := w.write("scripts/run.jl", "println(1)\n")
	// Servers before the registries' endpoint take bundles, too.
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultStatus, Status: 404, Path: "/app/packages/registries", Times: -1}); err != nil {
		t.Fatal(err)
	}
	s, ui := w.session()
	sub, err := s.SubmitAppBundle(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err, ui.dump())
	}
	if sub.Job == "" || sub.URL == "" {
		t.Errorf("with wait the job's id is in the answer: %+v", sub)
	}
	ui.await("the job's end", func() bool { return ui.jobs[sub.Submission].Settled })
	if state := ui.jobs[sub.Submission].State; state != commands.StateCompleted || bundle == "" {
		t.Errorf("the job is %s, its bundle %q: %s", state, bundle, ui.dump())
	}
	if h := ui.history[sub.Submission]; len(h) < 4 || h[0] != commands.StateBundling || h[1] != commands.StateUploading || h[2] != commands.StateSubmitting {
		t.Errorf("the states were %v", h)
	}
}

func TestSameSubmissionUnderWayIsJoined(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: "/app/config/nodespecs/info", Delay: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	first, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	if second.Submission != first.Submission || !second.Joined {
		t.Errorf("first %+v, second %+v", first, second)
	}
	ui.await("the job", func() bool { return ui.state(first.Submission) == commands.StateCompleted })
	if n := w.hub.Counters()["POST /juliaruncloud/submit_job"]; n != 1 {
		t.Errorf("%d jobs were submitted", n)
	}
}

func TestSecondThoughtIsAskedFor(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: "/app/config/nodespecs/info", Delay: 500 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	first, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(50 * time.Millisecond) // nobody edits and submits faster
	w.write("a.jl", "2\n")
	second, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the question and its harmless answer", func() bool {
		return len(ui.asked) == 1 && ui.state(second.Submission) == commands.StateCancelled
	})
	ui.await("the first one", func() bool { return ui.state(first.Submission) == commands.StateCompleted })
	if n := w.hub.Counters()["POST /juliaruncloud/submit_job"]; n != 1 {
		t.Errorf("%d jobs were submitted", n)
	}
}

func TestCancelBeforeAnythingIsSent(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: "/app/config/nodespecs/info", Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("its progress", func() bool { return len(ui.tasks) == 1 })
	if _, err := s.CancelJob(t.Context(), ofJob(commands.JobArgs{Submission: sub.Submission})); err != nil {
		t.Fatal(err)
	}
	ui.await("the cancellation", func() bool { return ui.state(sub.Submission) == commands.StateCancelled && len(ui.tasks[0].ended) == 1 })
	if w.hub.Counters()["POST /juliaruncloud/submit_job"] != 0 {
		t.Error("something was submitted")
	}
}

func TestCancelWhileItIsSentKillsTheJobLater(t *testing.T) {
	w := newWorld(t, emulator.Config{Simulate: func(ctx context.Context, s *emulator.Stage) error { return s.Wait(ctx, time.Hour) }})
	if err := w.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: "/juliaruncloud/submit_job", Delay: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the sending", func() bool { return ui.state(sub.Submission) == commands.StateSubmitting })
	if _, err := s.CancelJob(t.Context(), ofJob(commands.JobArgs{Submission: sub.Submission})); err != nil {
		t.Fatal(err)
	}
	ui.await("the kill", func() bool { return ui.state(sub.Submission) == commands.StateStopped })
}

func TestRefusedBeforeAndAfter(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	_, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true, Settings: map[string]json.RawMessage{"ncpu": json.RawMessage("4096")}}))
	var no *commands.NotSubmittedError
	if !errors.As(err, &no) || no.Reason == "" {
		t.Errorf("want a reason, got %v", err)
	}
	if len(ui.said) > 0 {
		t.Errorf("who waits is told by the answer alone, but was told %q", ui.said)
	}
}

// One click is never two jobs: whatever breaks around the one request, there is
// one job and its id is known, or none and why.
func TestNeverTwo(t *testing.T) {
	const submit = "/juliaruncloud/submit_job"
	for name, test := range map[string]struct {
		fault emulator.Fault
		jobs  int
	}{
		"reset after the server acted":   {emulator.Fault{Kind: emulator.FaultReset, Path: submit, After: true}, 1},
		"502 after the server acted":     {emulator.Fault{Kind: emulator.FaultStatus, Status: 502, Path: submit, After: true}, 1},
		"garbage after the server acted": {emulator.Fault{Kind: emulator.FaultGarbage, Path: submit, After: true}, 1},
		"reset before":                   {emulator.Fault{Kind: emulator.FaultReset, Path: submit}, 0},
		"502 before":                     {emulator.Fault{Kind: emulator.FaultStatus, Status: 502, Path: submit}, 0},
		"307":                            {emulator.Fault{Kind: emulator.FaultStatus, Status: 307, Path: submit}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Config{})
			if err := w.hub.Inject(test.fault); err != nil {
				t.Fatal(err)
			}
			path := w.write("a.jl", "1\n")
			s, ui := w.session()
			in := script(path, commands.SubmitArgs{Wait: true})
			in.Settle = 2 * time.Second
			if test.jobs == 0 {
				in.Settle = 200 * time.Millisecond
			}
			sub, err := s.SubmitScript(t.Context(), in)
			switch {
			case test.jobs == 1 && (err != nil || sub.Job == ""):
				t.Errorf("the job was not found: %+v, %v, %s", sub, err, ui.dump())
			case test.jobs == 0 && err == nil && sub.State != commands.StateUnknown:
				t.Errorf("want none or unknown, got %+v", sub)
			case test.jobs == 0 && sub.Job != "":
				t.Errorf("a job from nowhere: %+v", sub)
			}
			if n := w.hub.Counters()["POST "+submit]; n != 1 {
				t.Errorf("%d requests to submit", n)
			}
		})
	}
}

func TestNextStartPicksTheJobUp(t *testing.T) {
	end := make(chan struct{})
	w := newWorld(t, emulator.Config{Simulate: func(ctx context.Context, s *emulator.Stage) error {
		s.Print("begun")
		select {
		case <-end:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s.Print("finished")
		return s.Result("r.txt", []byte("r"))
	}})
	path := w.write("a.jl", "1\n")
	first, ui := w.session()
	sub, err := first.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the run", func() bool {
		return ui.state(sub.Submission) == commands.StateRunning && ui.jobs[sub.Submission].LastLine == "begun"
	})
	closeSession(t, first)

	second, ui := w.session()
	second.SettingsChanged([]byte(`{"results":{"autoDownload":true}}`))
	ui.await("the progress of the running job", func() bool { return len(ui.tasks) == 1 && ui.state(sub.Submission) == commands.StateRunning })
	close(end)
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled && len(ui.tasks[0].ended) == 1 })
	if !hasProblem(ui.problems[path], "job-completed", 0) {
		t.Errorf("problems: %+v", ui.problems[path])
	}
	if data, err := os.ReadFile(filepath.Join(w.dir, "juliahub-results", ui.jobs[sub.Submission].ID, "r.txt")); err != nil || string(data) != "r" {
		t.Errorf("automatic download brought %q, %v", data, err)
	}
	log, err := os.ReadFile(ui.jobs[sub.Submission].LogFile)
	if err != nil || strings.Count(string(log), "begun\n") != 1 || strings.Count(string(log), "finished\n") != 1 {
		t.Errorf("the log is %q, %v", log, err)
	}
}

func TestProblemsMoveWithTheirLines(t *testing.T) {
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		s.Print("ERROR: LoadError: boom")
		s.Print("Stacktrace:\n [1] error(::String) at ./error.jl:33\n [2] top-level scope at /home/jovyan/code.jl:2\nin expression starting at /home/jovyan/code.jl:2")
		return errors.New("exit status 1")
	}})
	path := w.write("a.jl", "# first\nerror(\"boom\")\n")
	s, ui := w.session()
	if _, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{})); err != nil {
		t.Fatal(err)
	}
	ui.await("the error", func() bool { return hasProblem(ui.problems[path], "job-failed", 1) })
	problems := ui.problems[path]
	if moved := s.Remap(path, "# new\n\n# first\nerror(\"boom\")\n", problems, nil); !hasProblem(moved, "job-failed", 3) {
		t.Errorf("after two new lines: %+v", moved)
	}
	if moved := s.Remap(path, "# first\nerror(\"another\")\n", problems, nil); hasProblem(moved, "job-failed", 1) {
		t.Errorf("the line was changed, but: %+v", moved)
	}
}

func TestJobCarriesItsProvenance(t *testing.T) {
	var args map[string]string
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		args = s.Args
		return nil
	}})
	w.write("Project.toml", "[deps]\n")
	w.write(".git/HEAD", "ref: refs/heads/main\n")
	w.write(".git/refs/heads/main", "0123456789abcdef0123456789abcdef01234567\n")
	w.write("JuliaHub.toml", "default-profile = \"small\"\n[profile.small]\nenv = { A = \"b\" }\nalias = \"run {file} {branch} {commit}\"\n")
	path := w.write("src/a.jl", "1\n")
	s, ui := w.session()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	for name, want := range map[string]string{
		"A": "b", "jobname": "run a.jl main 01234567", "JULIAHUB_LSP_FILE": "src/a.jl", "JULIAHUB_LSP_PROFILE": "small",
		"JULIAHUB_LSP_GIT_COMMIT": "0123456789abcdef0123456789abcdef01234567", "JULIAHUB_LSP_VERSION": "test",
		"JULIAHUB_LSP_CODE_SHA256": "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865",
	} {
		if args[name] != want {
			t.Errorf("%s is %q, want %q", name, args[name], want)
		}
	}
}

func TestLogsOfARunningJob(t *testing.T) {
	end := make(chan struct{})
	w := newWorld(t, emulator.Config{Simulate: func(ctx context.Context, s *emulator.Stage) error {
		s.Print("one")
		select {
		case <-end:
		case <-ctx.Done():
		}
		s.Print("two")
		return nil
	}})
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the run", func() bool { return ui.state(sub.Submission) == commands.StateRunning })
	var text []byte
	ui.await("the first line", func() bool {
		text, _ = os.ReadFile(ui.jobs[sub.Submission].LogFile)
		return strings.Contains(string(text), "one\n")
	})
	log, err := s.ShowLogs(t.Context(), ofJob(commands.JobArgs{Job: sub.Job, Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(log.Path, "job.log") || len(ui.shown) != 1 || ui.shown[0] != log.Path {
		t.Errorf("shown %q of %+v", ui.shown, log)
	}
	close(end)
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	text, err = os.ReadFile(log.Path)
	if err != nil || strings.Count(string(text), "one\n") != 1 || strings.Count(string(text), "two\n") != 1 {
		t.Errorf("the log is %q, %v", text, err)
	}
}

func TestLogsOfAJobSubmittedElsewhere(t *testing.T) {
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		s.Print("elsewhere")
		return s.Result("r.txt", []byte("r"))
	}})
	path := w.write("a.jl", "1\n")
	first, ui := w.session()
	sub, err := first.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	closeSession(t, first)

	w.state = filepath.Join(t.TempDir(), "another computer")
	second, _ := w.session()
	log, err := second.ShowLogs(t.Context(), ofJob(commands.JobArgs{Job: sub.Job, Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(log.Path); err != nil || !strings.Contains(string(text), "elsewhere\n") {
		t.Errorf("the log is %q, %v", text, err)
	}
	done, err := second.DownloadResults(t.Context(), ofJob(commands.JobArgs{Job: sub.Job, Dir: t.TempDir(), Wait: true}))
	if err != nil || len(done.Files) != 1 || !done.Files[0].Verified {
		t.Errorf("downloaded %+v, %v", done, err)
	}
	if _, err := second.JobState(t.Context(), ofJob(commands.JobArgs{Job: sub.Job, Wait: true})); err != nil {
		t.Error(err)
	}
}

func TestPreviewSaysWhatWouldBeSentAndWhatChanged(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "manifest_format = \"2.0\"\n")
	path := w.write("a.jl", "1\n2\n")
	s, ui := w.session()
	first, err := s.PreviewJob(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	if first.Code != "1\n2\n" || first.Node == "" || first.Manifest != filepath.Join(w.dir, "Manifest.toml") || first.Last != "" {
		t.Errorf("%+v", first)
	}
	if w.hub.Counters()["POST /juliaruncloud/submit_job"] != 0 {
		t.Error("a preview submitted something")
	}
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	w.write("a.jl", "1\n3\n4\n")
	w.write("Manifest.toml", "manifest_format = \"2.1\"\n")
	second, err := s.PreviewJob(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	if second.Last != sub.Submission || len(second.Changes) != 2 || !strings.Contains(strings.Join(second.Changes, "; "), "2 lines added, 1 removed") {
		t.Errorf("changes: %q", second.Changes)
	}
	if len(ui.shown) != 2 || !strings.Contains(ui.shown[1], "Since the last submission") {
		t.Errorf("shown: %q", ui.shown)
	}
}

// What a script job would lack is said before it is sent, and once more in the answer.
func TestPreviewSaysWhatAScriptJobWouldLack(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "name = \"Own\"\nuuid = \"9a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d\"\n")
	w.write("Manifest.toml", "manifest_format = \"2.0\"\n[[deps.Far]]\npath = \"far\"\n[[deps.Near]]\npath = \"near\"\n")
	path := w.write("a.jl", "using Near, Own\ninclude(\"lib.jl\")\nENV[\"RESULTS\"] = \"{}\"\n")
	s, ui := w.session()
	preview, err := s.PreviewJob(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(preview.Lacks, "\n")
	for _, want := range []string{"line 1: Near is tracked", "line 1: Own is the package", "line 2: lib.jl is not sent", "the manifest: Far is tracked"} {
		if !strings.Contains(said, want) || !strings.Contains(ui.shown[0], want) {
			t.Errorf("%q is not in\n%s\nor not in\n%s", want, said, ui.shown[0])
		}
	}
	if len(preview.Lacks) != 4 {
		t.Errorf("%q", preview.Lacks)
	}
	for _, wait := range []bool{false, true} {
		sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: wait}))
		if err != nil || !slices.Equal(sub.Lacks, preview.Lacks) {
			t.Errorf("wait %v: %q, %v", wait, sub.Lacks, err)
		}
	}
	w.write("a.jl", "1\n")
	w.write("Manifest.toml", "")
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil || sub.Lacks != nil {
		t.Errorf("a script that lacks nothing: %q, %v", sub.Lacks, err)
	}
}

func TestPreviewOfAnAppBundle(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "manifest_format = \"2.0\"\n")
	w.write("old.csv", "1\n")
	w.write("same.csv", "1\n")
	w.write("data.csv", "1,2\n")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	preview := func(kind string) commands.JobPreview {
		t.Helper()
		in := script(path, commands.SubmitArgs{})
		in.Args = &commands.PreviewArgs{SubmitArgs: commands.SubmitArgs{Wait: true}, Kind: kind}
		p, err := s.PreviewJob(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := preview(""); p.Kind != "script" || p.Bundle != nil {
		t.Errorf("a file that never went: %+v", p)
	}
	p := preview("appbundle")
	if p.Kind != "appbundle" || p.Bundle == nil || p.Bundle.Files != 6 || p.Bundle.Bytes == 0 || p.Code == "1\n" || p.Lacks != nil {
		t.Errorf("%+v, bundle %+v", p, p.Bundle)
	}
	if shown := ui.shown[len(ui.shown)-1]; !strings.Contains(shown, "6 files, ") {
		t.Errorf("shown: %s", shown)
	}
	if _, err := s.SubmitAppBundle(t.Context(), script(path, commands.SubmitArgs{Wait: true})); err != nil {
		t.Fatal(err)
	}
	if p := preview(""); p.Kind != "appbundle" || len(p.Changes) != 0 {
		t.Errorf("as it was sent: %s, %q", p.Kind, p.Changes)
	}
	if err := os.Remove(filepath.Join(w.dir, "old.csv")); err != nil {
		t.Fatal(err)
	}
	w.write("new.csv", "1\n")
	w.write("data.csv", "1,2,3\n")
	w.write("JuliaHub.toml", "default-profile = \"p\"\n[profile.p]\ntimelimit = \"3h\"\n")
	got := strings.Join(preview("").Changes, "\n")
	for _, want := range []string{"files added: 2 (JuliaHub.toml, new.csv)", "files removed: 1 (old.csv)", "files changed or touched: 1 (data.csv)", "time limit: ", "profile: "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	in := script(path, commands.SubmitArgs{})
	in.Args = &commands.PreviewArgs{Kind: "bundle"}
	if _, err := s.PreviewJob(t.Context(), in); err == nil {
		t.Error("a kind that is none was taken")
	}
}

func TestPreviewBundle(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "")
	w.write("big.csv", "1,2\n")
	w.write(".juliabundleignore", "*.csv\n")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	for _, c := range commands.Table() {
		if c.ID != "juliahub.previewBundle" {
			continue
		}
		answer, err := c.Run(t.Context(), s, script(path, commands.SubmitArgs{Wait: true}))
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(answer)
		if err != nil || !strings.Contains(string(data), `"state":"done"`) || !strings.Contains(string(data), `"path":"big.csv"`) {
			t.Errorf("%s, %v", data, err)
		}
	}
	if len(ui.shown) != 1 || !strings.Contains(ui.shown[0], ".juliabundleignore:1") {
		t.Errorf("shown: %q", ui.shown)
	}
}

func TestContentFromOutsideIsAskedForOnce(t *testing.T) {
	var sizes []int64
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		info, err := os.Stat(s.Bundle)
		if err == nil {
			sizes = append(sizes, info.Size())
		}
		return err
	}})
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "data.csv"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "")
	path := w.write("a.jl", "1\n")
	if err := os.Symlink(outside, filepath.Join(w.dir, "linked")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	s, ui := w.session()
	plan, err := s.PreviewBundle(t.Context(), script(path, commands.SubmitArgs{}))
	if err != nil || len(plan.Outside) != 1 || len(ui.asked) > 0 {
		t.Errorf("a plan sends nothing and asks nothing: %v, asked %q", err, ui.asked)
	}
	submit := func() {
		t.Helper()
		sub, err := s.SubmitAppBundle(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
		if err != nil {
			t.Fatal(err)
		}
		ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	}
	submit()                              // what is not allowed stays out
	w.write("Project.toml", "[deps]\n\n") // until something changes, a no is remembered
	ui.record(func() { ui.answer["outside"] = "Send it along" })
	submit()
	submit() // a yes is remembered
	if len(ui.asked) != 2 {
		t.Errorf("asked %q", ui.asked)
	}
	if len(sizes) != 3 || sizes[0] >= sizes[1] || sizes[1] != sizes[2] {
		t.Errorf("the bundles had %v bytes", sizes)
	}
	in := script(path, commands.SubmitArgs{Wait: true})
	in.AllowOutside = []string{outside}
	w.state = t.TempDir()
	other, ui := w.session()
	if _, err := other.SubmitAppBundle(t.Context(), in); err != nil || len(ui.asked) > 0 {
		t.Errorf("allowed by the caller: %v, asked %q", err, ui.asked)
	}
}

func TestServerOfAProjectIsAskedForOnce(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("JuliaHub.toml", "server = \""+w.url+"\"\n")
	w.env["JULIA_PKG_SERVER"] = "https://mine.example"
	delete(w.env, "JULIAHUB_TOKEN")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	if _, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true})); err == nil {
		t.Error("submitted to a server that nobody allowed")
	}
	if len(ui.asked) != 1 || len(w.hub.Counters()) > 0 {
		t.Errorf("asked %q, the server was called: %v", ui.asked, w.hub.Counters())
	}
	w.write("JuliaHub.toml", "server = \""+w.url+"\"\n\n") // until then a no is remembered
	ui.record(func() { ui.answer["JuliaHub.toml"] = "Use this server" })
	var auth *jobapi.AuthError
	if _, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true})); !errors.As(err, &auth) {
		t.Errorf("want to be told to sign in there, got %v", err)
	}
	_, _ = s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if len(ui.asked) != 2 {
		t.Errorf("asked %q", ui.asked)
	}
}

func TestWhichScriptIsAskedForWhenSeveralAreOpen(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	a, b := w.write("a.jl", "1\n"), w.write("b.jl", "2\n")
	s, ui := w.session()
	in := commands.Input{Args: &commands.SubmitArgs{}, Show: true}
	for _, path := range []string{a, b} {
		in.OpenJulia = append(in.OpenJulia, commands.Document{URI: "file://" + path, Path: path})
	}
	if sub, err := s.SubmitScript(t.Context(), in); err != nil || sub.State != commands.StateChoosing {
		t.Errorf("%+v, %v", sub, err)
	}
	ui.await("the question", func() bool { return len(ui.asked) == 1 })
	if len(s.Jobs()) != 0 {
		t.Error("something was submitted though nothing was chosen")
	}
	ui.record(func() { ui.answer["Which script"] = b })
	if _, err := s.SubmitScript(t.Context(), in); err != nil {
		t.Error(err)
	}
	ui.await("the chosen one", func() bool {
		for _, job := range ui.jobs {
			if job.File == b && job.State == commands.StateCompleted {
				return true
			}
		}
		return false
	})
}

func TestWrongEditorSettingIsToldOnce(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	s, ui := w.session()
	for range 2 {
		s.SettingsChanged([]byte(`{"cancelKillsJob":"sometimes"}`))
	}
	if len(ui.said) != 1 || !strings.Contains(ui.said[0], "cancelKillsJob") {
		t.Errorf("said %q", ui.said)
	}
}

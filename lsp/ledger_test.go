package lsp_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// A job is never lost: not with its editor, not with its lead, not on another
// computer, and not when what remembers it is damaged.

// state is a path in the user's state directory.
func (d *desk) state(name string) string {
	return filepath.Join(filepath.Dir(d.dir), "state", filepath.FromSlash(name))
}

// put writes a file of the state directory, or a directory in its place.
func (d *desk) put(name, text string, dir bool) {
	d.t.Helper()
	path := d.state(name)
	err := os.RemoveAll(path)
	if dir {
		err = errors.Join(err, os.MkdirAll(path, 0o700))
	} else {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600))
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// records are the names of the state directory's records.
func (d *desk) records() []string {
	d.t.Helper()
	entries, err := os.ReadDir(d.state("records"))
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			names = append(names, e.Name())
		}
	}
	return names
}

const garbage = "\x00\xff\x17{]\x1b[31m\n\x8b"

// Damaged records are told of once and cost no other job; nor does anything else
// in the state directory that is not what it was.
func TestStoryDamagedState(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("ERROR: LoadError: boom\nStacktrace:\n [1] top-level scope at /home/jrun/job/code.jl:2\nin expression starting at /home/jrun/job/code.jl:2")
		return errors.New("exit status 1")
	})
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	text := "1\nerror()\n"
	uri := d.file("run.jl", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit project as appbundle", nil)
	e.Await(hasCode(uri, "job-failed"))
	e.Shutdown()

	good, err := os.ReadFile(d.state("records/" + d.records()[0]))
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSuffix(d.records()[0], ".json")
	other := func(n string) string { return id[:len(id)-1] + n }
	d.put("records/"+other("x")+".json", string(good), false) // no id at all
	for i, bad := range []string{"", string(good[:len(good)/2]), garbage, strings.Replace(string(good), `"version":1`, `"version":99`, 1), "null", strings.Repeat("[", 100_000)} {
		d.put("records/"+id[:len(id)-2]+string("0123456789"[i])+"a.json", bad, false)
	}
	d.put("records/"+id[:len(id)-2]+"9a.json", "", true)
	for _, name := range []string{".text.gz", ".files.gz", ".tree.gz", ".sent.gz", ".sent.json"} {
		d.put("records/"+id+name, garbage, false)
	}
	for _, dir := range []string{"nodes", "live", "budget", "julia", "consents"} {
		entries, _ := os.ReadDir(d.state(dir))
		for _, entry := range entries {
			d.put(dir+"/"+entry.Name(), garbage, false)
		}
	}

	again := d.editor(lsptest.Options{})
	again.OpenBuffer(uri, "julia", text)
	again.Await(lsptest.AllOf(hasCode(uri, "job-failed"), lsptest.Says("were set aside in")))
	again.AwaitLens(uri, "✗ Failed")
	again.Execute("juliahub.previewJob", map[string]any{"uri": uri, "wait": true}, nil)
	again.Do(uri, "Submit as script", nil)
	s := again.Await(lsptest.That("the outcome of the next job", func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Messages, func(m lsptest.Message) bool { return strings.Contains(m.Message, "failed: boom") })
	}))
	told := 0
	for _, m := range s.Messages {
		if strings.Contains(m.Message, "set aside") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times\n%s", told, s.String())
	}
	again.Shutdown()
	if aside, _ := os.ReadDir(d.state("corrupt")); len(aside) < 4 {
		t.Errorf("set aside: %v", aside)
	}
	if names := d.records(); !slices.ContainsFunc(names, func(name string) bool {
		data, _ := os.ReadFile(d.state("records/" + name))
		return strings.Contains(string(data), `"version":99`)
	}) {
		t.Error("the record of a newer version is gone")
	}
}

// Where nothing can be remembered, nothing is sent: the command says so, and the
// editor goes on.
func TestStoryStateThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, blocked := range []string{"", "records", "locks"} {
		t.Run("in the way: "+blocked, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, quick)
			d.put(blocked, "a file", false)
			uri := d.file("run.jl", "1\n")
			e := d.editor(lsptest.Options{})
			e.OpenBuffer(uri, "julia", "1\n")
			var failed *lsptest.Error
			err := e.TryExecute("juliahub.submitScript", map[string]any{"uri": uri}, nil)
			if err == nil { // written, and then no more
				s := e.Await(lsptest.Says("was not submitted"))
				t.Log(s.String())
			} else if !errors.As(err, &failed) || len(strings.Fields(failed.Message)) < 5 {
				t.Errorf("%v", err)
			}
			if got := lensText(e, uri); !strings.HasPrefix(got, "▶ Submit · ▶ Appbundle") {
				t.Errorf("lens %q", got)
			}
			if n := d.counted(submitEndpoint); n != 0 {
				t.Errorf("%d jobs were submitted", n)
			}
			e.Shutdown()
		})
	}
}

// A file system without locks makes a reader of the editor, and it says so.
func TestStoryNoLocks(t *testing.T) {
	t.Parallel()
	d := newDesk(t, onAndOn)
	uri := d.file("run.jl", "1\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "1\n")
	e.Do(uri, "Submit as script", nil)
	e.Await(hasCode(uri, "job-running"))
	e.Shutdown()
	d.put("locks", "no directory", false)
	d.hub.ClearCounters()
	again := d.editor(lsptest.Options{})
	again.OpenBuffer(uri, "julia", "1\n")
	again.Await(lsptest.AllOf(lsptest.Says("cannot lock files"), hasCode(uri, "job-running")))
	again.AwaitLens(uri, "● Running")
	if n := d.counted("GET /juliaruncloud/get_jobs"); n > 0 {
		t.Errorf("a reader asked %d times", n)
	}
	again.Shutdown()
}

// Of two editors one leads, and the other takes over when that is gone.
func TestStoryTwoEditors(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		s.Print("still here")
		s.Log(emulator.Record{Level: "Warn", Message: "careful", File: "/home/jrun/job/code.jl", Line: 1})
		s.Progress("a", "training", 0.5)
		_ = until(ctx, release)
		return s.Outputs(`{"n":1}`)
	})
	uri := d.file("run.jl", "1\n")
	first, second := d.editor(lsptest.Options{Capabilities: plugin()}), d.editor(lsptest.Options{Capabilities: plugin()})
	for _, e := range []*lsptest.Editor{first, second} {
		e.OpenBuffer(uri, "julia", "1\n")
	}
	first.Do(uri, "Submit as script", nil)
	half := lsptest.That("half done", func(s *lsptest.State) bool {
		w := s.FindWork("JuliaHub: run.jl")
		return w != nil && w.Percent != nil && *w.Percent == 50
	})
	for _, e := range []*lsptest.Editor{first, second} {
		e.Await(lsptest.AllOf(lsptest.JobIn("running"), hasCode(uri, "job-running"), hasCode(uri, "job-warning"), half))
	}
	first.Close() // it crashes
	third := d.editor(lsptest.Options{Capabilities: plugin()})
	third.OpenBuffer(uri, "julia", "1\n")
	third.Await(lsptest.AllOf(hasCode(uri, "job-running"), hasCode(uri, "job-warning"), half))
	close(release)
	for _, e := range []*lsptest.Editor{second, third} {
		e.Await(lsptest.AllOf(lsptest.JobIn("completed"), hasCode(uri, "job-completed"), lsptest.WorkEnded("run.jl", "done")))
		e.AwaitLens(uri, "✓ Completed")
		if got := lensText(e, uri); !strings.Contains(got, `s · {"n":1} · Results`) {
			t.Errorf("lens %q", got)
		}
		e.Shutdown()
	}
	if n := d.counted(submitEndpoint); n != 1 {
		t.Errorf("submitted %d times", n)
	}
}

// On another computer the list of jobs says which local file each is, and a job
// what it ran; its log and results come on request.
func TestStoryAnotherComputer(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		s.Print("from afar")
		return errors.Join(s.Result("answer.txt", []byte("42\n")), s.Outputs(`{"n":1}`))
	})
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	text := "println(1)\n"
	uri := d.file("scripts/run.jl", text)
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", text)
	e.Do(uri, "Submit as script", nil)
	s := e.Await(lsptest.JobIn("completed"))
	id, _ := s.Jobs[len(s.Jobs)-1]["job"].(string)
	var own commands.Job
	e.Execute("juliahub.job", map[string]any{"job": id, "show": false}, &own)
	if told := s.Jobs[len(s.Jobs)-1]; own.Source != text || own.Provenance["file"] != "scripts/run.jl" || told["provenance"] != nil {
		t.Errorf("%+v, told as %v", own, told)
	}
	e.Shutdown()

	there := *d
	there.dir = filepath.Join(t.TempDir(), "my work")
	there.file("Project.toml", "name = \"P\"\n[deps]\n")
	theirs := there.file("scripts/run.jl", text)
	other := there.editor(lsptest.Options{})
	other.OpenBuffer(theirs, "julia", text)
	var list commands.JobList
	other.Execute("juliahub.jobs", map[string]any{"wait": true}, &list)
	if len(list.Jobs) != 1 || list.Jobs[0].Job != id || list.Jobs[0].File != filepath.Join(there.dir, "scripts", "run.jl") {
		t.Errorf("%+v", list)
	}
	other.Await(lsptest.Shows("/jobs.txt"))
	var job commands.Job
	other.Execute("juliahub.job", map[string]any{"job": id, "wait": true}, &job)
	if job.State != commands.StateCompleted || job.File != filepath.Join(there.dir, "scripts", "run.jl") || job.Source != text || job.Provenance["file"] != "scripts/run.jl" {
		t.Errorf("%+v", job)
	}
	other.Await(lsptest.Shows("/job.txt"))
	other.Execute("juliahub.logs", map[string]any{"job": id, "wait": true}, nil)
	other.Await(lsptest.Shows("/job.log"))
	other.Execute("juliahub.downloadResults", map[string]any{"job": id, "wait": true}, nil)
	if got := there.read("juliahub-results/" + id + "/answer.txt"); got != "42\n" {
		t.Errorf("the result is %q", got)
	}
	// The file changed since: it is the job's, and not what ran.
	there.file("scripts/run.jl", text+"# more\n")
	job = commands.Job{}
	other.Execute("juliahub.job", map[string]any{"job": id, "wait": true}, &job)
	if job.File == "" || job.Source != "" {
		t.Errorf("%+v", job)
	}
	other.Shutdown()
}

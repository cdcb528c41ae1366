package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/examples"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"

	"github.com/spf13/cobra"
)

// demoPatience is how long one job of the demo may take. They take seconds; a
// cold Julia that compiles Pkg on a slow disk takes a minute.
const demoPatience = 3 * time.Minute

func newDemo(t terminal) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show everything on this machine, with nothing to set up",
		Long: `Show everything on this machine, with nothing to set up: a JuliaHub-compatible
server (the emulator), the language server, and an editor that submits a script
and a project, watches them, sees one fail, and downloads the results.

Jobs run in a real Julia if $JULIA names one or there is one on PATH.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (&demo{t: t, dir: dir}).run(cmd.Context()); err != nil {
				return fmt.Errorf("the demo did not come to its end: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "where to put the examples and the results (default: a new temporary directory)")
	return cmd
}

// demo is one performance.
type demo struct {
	t      terminal
	dir    string // holds the examples and their results
	julia  string // version; "" = jobs are simulated
	editor *lsptest.Editor
	wrong  []error // what the editor found wrong with the server
}

// stopped carries what the editor could not go on with up to run.
type stopped struct{ err error }

// The editor tells the demo what it would tell a test.
var _ lsptest.T = (*demo)(nil)

// Helper does nothing: a demo has no lines of its own to blame.
func (d *demo) Helper() {}

// Errorf keeps what is wrong, for the end.
func (d *demo) Errorf(format string, args ...any) {
	d.wrong = append(d.wrong, fmt.Errorf(format, args...))
}

// Fatalf ends the performance.
func (d *demo) Fatalf(format string, args ...any) { panic(stopped{fmt.Errorf(format, args...)}) }

func (d *demo) run(ctx context.Context) (err error) {
	if err := d.unpack(); err != nil {
		return err
	}
	hub, err := d.startHub()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, hub.Close()) }()
	private, err := os.MkdirTemp("", "juliahub-demo-state-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(private)) }()
	server, err := d.startServer(ctx, hub, private)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			server.kill()
			err = errors.Join(err, context.Cause(ctx))
		}
	}()
	if err := d.play(server); err != nil {
		return err
	}
	d.say("\nEverything arrived. The results are in %s", d.dir)
	return nil
}

// play is what the person at the editor does.
func (d *demo) play(server *process) (err error) {
	defer func() {
		if s, ok := recover().(stopped); ok {
			err = s.err
		}
	}()
	began := time.Now()
	d.editor = lsptest.Open(d, server, lsptest.Options{
		Name: "juliahub-lsp demo", Capabilities: demoCapabilities(), Folders: []string{fileURI(d.dir)},
	})
	d.say("Server      %s serve, ready after %d ms", filepath.Base(server.cmd.Path), time.Since(began).Milliseconds())
	d.say("Workspace   %s", d.dir)
	for _, act := range []func() error{d.script, d.project, d.failure} {
		if err := act(); err != nil {
			return err
		}
	}
	d.editor.Shutdown()
	return errors.Join(append(d.wrong, server.wait())...)
}

// demoCapabilities are those of an editor that takes the jobs' records, too.
func demoCapabilities() map[string]any {
	capabilities := lsptest.Full()
	capabilities["experimental"] = map[string]any{"juliahub": true}
	return capabilities
}

// unpack puts the examples where results can be written beside them.
func (d *demo) unpack() error {
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "juliahub-demo-")
		if err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		d.dir = dir
	}
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return fmt.Errorf("find %s: %w", d.dir, err)
	}
	d.dir = dir
	if err := os.CopyFS(d.dir, examples.FS); err != nil {
		return fmt.Errorf("unpack the examples into a directory that has none of them yet: %w", err)
	}
	return nil
}

func (d *demo) startHub() (*emulator.Emulator, error) {
	julia := orDefault(d.t.env("JULIA"), "auto")
	e, err := emulator.New(emulator.Config{Julia: julia, Simulate: simulate, Logger: slog.New(slog.NewTextHandler(d.t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	url, err := e.Start("127.0.0.1:0", false)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the emulator: %w", err), e.Close())
	}
	if info := e.Info(); info.Simulated {
		d.say("There is no Julia here: jobs are simulated, nothing is run. (`make julia` or $JULIA changes that.)")
	} else {
		d.julia = info.Julia
		d.say("Jobs run in a real Julia %s.", d.julia)
	}
	d.say("JuliaHub    %s (the emulator, on this machine)", url)
	return e, nil
}

// startServer starts this very binary as a language server of the emulator's user.
func (d *demo) startServer(ctx context.Context, hub *emulator.Emulator, private string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "serve") // an interrupted demo ends its server, and with it all that waits for it
	cmd.Stderr = d.t.err
	cmd.Env = append(os.Environ(),
		"JULIA_PKG_SERVER="+hub.Info().URL, "JULIAHUB_TOKEN="+hub.Token(),
		"XDG_STATE_HOME="+filepath.Join(private, "state"), "XDG_CACHE_HOME="+filepath.Join(private, "cache"))
	return startProcess(cmd)
}

// script: a single file, its progress, its log, its result.
func (d *demo) script() error {
	d.say("\n1  pi.jl, submitted as a script")
	return d.runAndFetch("juliahub.submitScript", "pi.jl", "pi.csv", "points,estimate\n")
}

// project: a directory with a package beside it.
func (d *demo) project() error {
	d.say("\n2  project/report.jl, submitted with its project and the package beside it, as an appbundle")
	return d.runAndFetch("juliahub.submitAppBundle", filepath.Join("project", "report.jl"), "report.txt", "Greetings from Uccle")
}

// failure: the editor shows the error at the line that failed.
func (d *demo) failure() error {
	d.say("\n3  fails.jl, submitted as a script that fails")
	job, err := d.submitAndWatch("juliahub.submitScript", "fails.jl")
	if err != nil {
		return err
	}
	if job.State != commands.StateFailed {
		return fmt.Errorf("job %s of fails.jl ended as %s, not as failed", job.ID, job.State)
	}
	uri := fileURI(filepath.Join(d.dir, "fails.jl"))
	isError := func(x lsptest.Diagnostic) bool { return x.Severity == int(commands.SeverityError) }
	now := d.editor.Await(lsptest.That("an error on fails.jl", func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Diagnostics[uri], isError)
	}))
	shown := now.Diagnostics[uri][slices.IndexFunc(now.Diagnostics[uri], isError)]
	text, err := examples.FS.ReadFile("fails.jl")
	if err != nil {
		return fmt.Errorf("read fails.jl: %w", err)
	}
	n := shown.Range.Start.Line
	line := strings.Split(string(text), "\n")[n]
	d.line("error", fmt.Sprintf("fails.jl:%d: %s", n+1, plain(shown.Message)))
	d.line("", fmt.Sprintf("%d | %s", n+1, line))
	if !strings.Contains(line, failsHere) {
		return fmt.Errorf("the error is shown at line %d, which did not fail", n+1)
	}
	return nil
}

// runAndFetch submits a file, watches the job to a good end, and downloads the
// result, which must begin as a true one does (a simulated job has another).
func (d *demo) runAndFetch(command, file, result, beginning string) error {
	job, err := d.submitAndWatch(command, file)
	if err != nil {
		return err
	}
	if job.State != commands.StateCompleted {
		return fmt.Errorf("job %s of %s: %s: %s", job.ID, file, job.State, job.Reason)
	}
	d.line("completed", job.Outputs)
	paths := d.download(job)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the result: %w", err)
		}
		d.line("result", fmt.Sprintf("%s (%d bytes)", path, len(text)))
		if d.julia == "" && len(text) > 0 || filepath.Base(path) == result && strings.HasPrefix(string(text), beginning) {
			return nil
		}
	}
	return fmt.Errorf("job %s brought %q, and among them no %s that begins with %q", job.ID, paths, result, beginning)
}

// submitAndWatch submits a file as the editor's command and prints what the
// editor shows, until the job has ended.
func (d *demo) submitAndWatch(command, file string) (commands.Job, error) {
	path := filepath.Join(d.dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return commands.Job{}, fmt.Errorf("open %s: %w", file, err)
	}
	d.editor.OpenBuffer(fileURI(path), "julia", string(text))
	var sub commands.Submission
	d.editor.Execute(command, commands.SubmitArgs{URI: fileURI(path)}, &sub)
	w := &watch{demo: d, submission: sub.Submission, bars: map[string]int{}}
	for deadline := time.Now().Add(demoPatience); !ended(w.job.State); {
		d.editor.Await(lsptest.That("news of the job of "+file, w.look))
		if w.err != nil {
			return w.job, w.err
		}
		if time.Now().After(deadline) {
			return w.job, fmt.Errorf("job %s of %s takes more than %v", w.job.ID, file, demoPatience)
		}
	}
	return w.job, w.restOfLog()
}

// watch prints what is new in the editor while one job is under way.
type watch struct {
	*demo
	submission string
	job        commands.Job
	log        tail
	bars       map[string]int // by token: the percentage that was last drawn
	seen       int            // how much the editor had been told
	err        error
}

// look takes a look at the editor, and reports whether anything is new.
func (w *watch) look(s *lsptest.State) bool {
	told := len(s.Jobs) + s.Published + len(s.Messages)
	for _, work := range s.Work {
		told += len(work.Reports)
	}
	if told == w.seen {
		return false
	}
	w.seen = told
	job := jobIn(s, w.submission)
	if job.ID != "" && w.job.ID == "" {
		w.line("submitted", job.ID+"  "+job.URL)
	}
	w.job = job
	w.lookAtBars(s)
	w.err = w.readLog()
	return true
}

// readLog prints what the log has gained. Progress is left out: the bar shows it.
func (w *watch) readLog() error {
	text, err := w.log.next(w.job.LogFile)
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "progress=") {
			w.line("log", plain(line))
		}
	}
	return err
}

// restOfLog has the server bring the log up to date, and prints the rest.
func (w *watch) restOfLog() error {
	show := false
	var log commands.LogAnswer
	w.editor.Execute("juliahub.logs", commands.JobArgs{Submission: w.submission, Wait: true, Show: &show}, &log)
	w.job.LogFile = log.Path
	return w.readLog()
}

// lookAtBars draws a bar that has come forward by a fifth.
func (w *watch) lookAtBars(s *lsptest.State) {
	for _, work := range s.Work {
		if !work.Begun || work.Ended || work.Percent == nil {
			continue // one without percentages says but how long it takes
		}
		last, drawn := w.bars[work.Token]
		if now := *work.Percent; !drawn || now >= last+20 {
			w.bars[work.Token] = now
			w.line("progress", fmt.Sprintf("%s %3d %%  %s", drawBar(float64(now)), now, plain(work.Message)))
		}
	}
}

// jobIn is the last that the editor was told of a submission.
func jobIn(s *lsptest.State, submission string) commands.Job {
	var job commands.Job
	for _, record := range slices.Backward(s.Jobs) {
		if record["submission"] != submission {
			continue
		}
		if raw, err := json.Marshal(record); err == nil {
			_ = json.Unmarshal(raw, &job) // a record that is none has no state and is waited for
		}
		break
	}
	return job
}

// download has the server bring the results of a job, and returns where they are.
func (d *demo) download(job commands.Job) []string {
	d.editor.Execute("juliahub.downloadResults", commands.JobArgs{Submission: job.Submission, Wait: true}, nil)
	var paths []string
	d.editor.Await(lsptest.That("the results on the disk", func(s *lsptest.State) bool {
		paths = nil
		for _, f := range jobIn(s, job.Submission).Results {
			if f.Path != "" {
				paths = append(paths, f.Path)
			}
		}
		return len(paths) > 0
	}))
	return paths
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.t.out, format+"\n", args...) }

// line prints one event, below its act.
func (d *demo) line(what, text string) {
	if text = strings.TrimSpace(text); text != "" {
		d.say("   %-10s  %s", what, strings.ReplaceAll(text, "\n", "\n               "))
	}
}

package commands_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

// recorder is a UI that remembers everything, and answers questions as told.
type recorder struct {
	t *testing.T

	mu       sync.Mutex // guards what follows
	changed  chan struct{}
	said     []string
	asked    []string
	answer   map[string]string // part of a question → answer
	jobs     map[string]commands.Job
	history  map[string][]commands.State
	problems map[string][]commands.Problem
	tasks    []*recordedTask
	shown    []string // files, texts and URLs
	opened   func(url string)
}

func newRecorder(t *testing.T) *recorder {
	return &recorder{
		t: t, changed: make(chan struct{}), answer: map[string]string{}, jobs: map[string]commands.Job{},
		history: map[string][]commands.State{}, problems: map[string][]commands.Problem{},
	}
}

// record changes the recorder and wakes everyone who awaits something.
func (r *recorder) record(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	close(r.changed)
	r.changed = make(chan struct{})
}

// await waits until the condition holds.
func (r *recorder) await(what string, holds func() bool) {
	r.t.Helper()
	deadline := time.After(20 * time.Second)
	look := time.NewTicker(10 * time.Millisecond) // a condition may be about more than the UI
	defer look.Stop()
	for {
		r.mu.Lock()
		ok, changed := holds(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-look.C:
		case <-deadline:
			r.t.Fatalf("waited in vain for %s\n%s", what, r.dump())
		}
	}
}

// job is what was last told of a submission.
func (r *recorder) job(submission string) commands.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[submission]
}

// questions are those that were asked so far.
func (r *recorder) questions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

func (r *recorder) dump() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "said: %q\nasked: %q\nshown: %q\nhistory: %v\n", r.said, r.asked, r.shown, r.history)
	for path, problems := range r.problems {
		fmt.Fprintf(&b, "problems of %s: %+v\n", path, problems)
	}
	for _, task := range r.tasks {
		fmt.Fprintf(&b, "task %q: %q ended %q\n", task.work.Title, task.reports, task.ended)
	}
	return b.String()
}

type recordedTask struct {
	r       *recorder
	work    commands.Work
	reports []string
	percent []float64
	ended   []string
}

func (r *recorder) Begin(_ context.Context, work commands.Work) commands.Task {
	task := &recordedTask{r: r, work: work}
	r.record(func() { r.tasks = append(r.tasks, task) })
	return task
}

func (t *recordedTask) Report(message string, percent float64) {
	t.r.record(func() { t.reports, t.percent = append(t.reports, message), append(t.percent, percent) })
}

func (t *recordedTask) End(message string) {
	t.r.record(func() { t.ended = append(t.ended, message) })
}

func (r *recorder) Say(_ context.Context, _ commands.Level, text string) {
	r.record(func() { r.said = append(r.said, text) })
}

func (r *recorder) Ask(_ context.Context, _ commands.Level, text string, answers ...string) string {
	given := answers[0]
	r.record(func() {
		r.asked = append(r.asked, text)
		for part, answer := range r.answer {
			if strings.Contains(text, part) && slices.Contains(answers, answer) {
				given = answer
			}
		}
	})
	return given
}

func (r *recorder) ShowFile(_ context.Context, path string) {
	r.record(func() { r.shown = append(r.shown, path) })
}

func (r *recorder) ShowText(_ context.Context, name, text string) {
	r.record(func() { r.shown = append(r.shown, name+"\n"+text) })
}

func (r *recorder) OpenURL(_ context.Context, url string) {
	r.record(func() { r.shown = append(r.shown, url) })
	if r.opened != nil {
		r.opened(url)
	}
}

func (r *recorder) JobChanged(job commands.Job) {
	r.record(func() {
		r.jobs[job.Submission] = job
		if h := r.history[job.Submission]; len(h) == 0 || h[len(h)-1] != job.State {
			r.history[job.Submission] = append(h, job.State)
		}
	})
}

func (r *recorder) ProblemsChanged(path string, problems []commands.Problem) {
	if problems == nil {
		r.t.Error("problems must be [] and never null")
	}
	r.record(func() { r.problems[path] = problems })
}

// world is an emulator, a user with files and a state directory, and sessions.
type world struct {
	t     *testing.T
	hub   *emulator.Emulator
	url   string
	dir   string // the user's project
	state string
	env   map[string]string
}

func newWorld(t *testing.T, cfg emulator.Config) *world {
	t.Helper()
	if cfg.Julia == "" {
		cfg.Julia = "none"
	}
	if cfg.Pace == 0 {
		cfg.Pace = 20 * time.Millisecond
	}
	hub, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hub.Close(); err != nil {
			t.Error(err)
		}
	})
	url, err := hub.Start("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	w := &world{t: t, hub: hub, url: url, dir: filepath.Join(home, "work"), state: filepath.Join(home, "state")}
	w.env = map[string]string{"JULIA_PKG_SERVER": url, "JULIAHUB_TOKEN": hub.Token(), "JULIA_DEPOT_PATH": filepath.Join(home, "depot")}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

// session opens a session, as another editor of the same user would.
func (w *world) session() (*commands.Session, *recorder) {
	w.t.Helper()
	r := newRecorder(w.t)
	s, err := commands.New(commands.Config{
		UI: r, Logger: slog.New(slog.DiscardHandler), Version: "test", Home: filepath.Dir(w.dir), State: w.state, Tick: 30 * time.Millisecond,
		LookupEnv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s.Start(w.t.Context())
	w.t.Cleanup(func() { closeSession(w.t, s) })
	return s, r
}

func closeSession(t *testing.T, s *commands.Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
}

// write writes a file of the project and returns its path.
func (w *world) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func script(path string, args commands.SubmitArgs) commands.Input {
	args.URI = "file://" + path
	return commands.Input{Args: &args, File: &commands.Document{URI: args.URI, Path: path}, Show: true}
}

func ofJob(args commands.JobArgs) commands.Input {
	return commands.Input{Args: &args, Show: true}
}

// state is a submission's newest state; call it from a condition.
func (r *recorder) state(submission string) commands.State { return r.jobs[submission].State }

func hasProblem(problems []commands.Problem, code string, line int) bool {
	return slices.ContainsFunc(problems, func(p commands.Problem) bool { return p.Code == code && p.Line == line })
}

package lsp

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp/lsptest"
)

// fakeSession is a session without a cloud: a test says what its commands do.
type fakeSession struct {
	ui commands.UI
	do func(ctx context.Context, c commands.Command, in commands.Input) (any, error)

	mu       sync.Mutex // guards what follows
	own      func(file string) []commands.Job
	settings []string
	folders  [][]string
	started  int
	closed   int
	onClose  func(context.Context)
}

func (f *fakeSession) Start(context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
}

func (f *fakeSession) Close(ctx context.Context) error {
	f.mu.Lock()
	f.closed++
	hook := f.onClose
	f.mu.Unlock()
	if hook != nil {
		hook(ctx)
	}
	return nil
}

func (f *fakeSession) Status() commands.Status { return commands.Status{State: commands.TokenUnknown} }

func (f *fakeSession) FollowStatus(_ context.Context, tell func(commands.Status)) { tell(f.Status()) }

func (f *fakeSession) KnownJobs() []*commands.Job {
	known := []*commands.Job{}
	for _, j := range f.jobsOf("") {
		known = append(known, &j)
	}
	return known
}

func (f *fakeSession) Newest(file string) (commands.Job, bool) {
	if jobs := f.jobsOf(file); len(jobs) > 0 {
		return jobs[0], true
	}
	return commands.Job{}, false
}

func (f *fakeSession) AnyRunning() bool {
	return slices.ContainsFunc(f.KnownJobs(), func(j *commands.Job) bool { return j.State == commands.StateRunning })
}

func (f *fakeSession) CloseBundle(string) {}

func (f *fakeSession) ProjectDir(string) string { return "" }

func (f *fakeSession) ManifestFile(commands.Input, string, string) string { return "" }

func (f *fakeSession) Facts(context.Context, commands.Input) commands.Facts { return commands.Facts{} }

func (f *fakeSession) ProfileText(string, []byte, string) string { return "" }

func (f *fakeSession) KnownNodes(string, []byte) []commands.NodeRow { return nil }

func (f *fakeSession) KnownImages(string, []byte) []commands.ImageRow { return nil }

func (f *fakeSession) jobsOf(file string) []commands.Job {
	f.mu.Lock()
	own := f.own
	f.mu.Unlock()
	if own == nil {
		return nil
	}
	return own(file)
}

// have sets the jobs of every file.
func (f *fakeSession) have(own func(string) []commands.Job) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own = own
}

func (f *fakeSession) SettingsChanged(section json.RawMessage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settings = append(f.settings, string(section))
}

func (f *fakeSession) FoldersChanged(folders []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folders = append(f.folders, folders)
}

func (f *fakeSession) Remap(_, _ string, problems []commands.Problem, _ func(string) string) []commands.Problem {
	return problems
}

func (f *fakeSession) ignorePlan(context.Context, commands.Input, []string) (*ignorePlan, error) {
	return nil, nil
}

func (f *fakeSession) run(ctx context.Context, c commands.Command, in commands.Input) (any, error) {
	return f.do(ctx, c, in)
}

// fakeTable has the commands that actions and lenses know, whoever runs them.
func fakeTable() []commands.Command {
	submit := func() any { return new(commands.SubmitArgs) }
	job := func() any { return new(commands.JobArgs) }
	table := []commands.Command{}
	for _, id := range []string{"submitScript", "submitAppBundle", "previewJob", "previewBundle"} {
		table = append(table, commands.Command{ID: "juliahub." + id, Title: id, Args: submit})
	}
	for _, id := range []string{
		"job", "logs", "downloadResults", "cancelJob", "stopWatching", "dismissJob", "extendJob", "openJob", "rerun",
	} {
		table = append(table, commands.Command{ID: "juliahub." + id, Title: id, Args: job})
	}
	return table
}

// running is a server on one end of a pipe.
type running struct {
	*fakeSession
	server *Server
	editor net.Conn           // the editor's end
	cancel context.CancelFunc // ends the server as a signal would
	done   chan struct{}
	status int
	err    error
}

// serve starts a server with a fake session. Tests close the editor's end.
func serve(t testing.TB, change func(*Server, *fakeSession)) *running {
	t.Helper()
	ours, theirs := net.Pipe()
	r := &running{fakeSession: &fakeSession{}, editor: theirs, done: make(chan struct{})}
	r.do = func(context.Context, commands.Command, commands.Input) (any, error) { return map[string]any{}, nil }
	r.server = newServer(Config{Version: "test", Logger: slog.New(slog.DiscardHandler)})
	r.server.table = fakeTable()
	r.server.newSession = func(ui commands.UI) (session, error) {
		r.ui = ui
		return r.fakeSession, nil
	}
	if change != nil {
		change(r.server, r.fakeSession)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		defer close(r.done)
		r.status, r.err = r.server.Serve(ctx, ours)
	}()
	t.Cleanup(func() {
		cancel()
		_ = theirs.Close()
		<-r.done
	})
	return r
}

// open is serve with an editor that has said initialized.
func open(t testing.TB, options lsptest.Options, change func(*Server, *fakeSession)) (*lsptest.Editor, *running) {
	t.Helper()
	r := serve(t, change)
	e := lsptest.Open(t, r.editor, options)
	t.Cleanup(e.Close)
	return e, r
}

// exit waits for the server's end and checks the status.
func (r *running) exit(t testing.TB, status int) {
	t.Helper()
	<-r.done
	if r.status != status {
		t.Errorf("exit status %d (%v), want %d", r.status, r.err, status)
	}
}

// Package lsp is the language server: everything that knows the protocol, and
// nothing else does. It turns an editor's messages into calls of package
// commands, and what those want to show into messages.
//
// One loop takes messages in the order of their arrival. A notification is
// applied there and then, in memory; a request runs in a goroutine of its own
// on the immutable state of that moment. Nothing in the loop waits.
package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

// closeTimeout is how long the end waits for what is under way: an upload to be
// cancelled and cleaned up, a submission to be answered.
const closeTimeout = 5 * time.Second

// Config is what a Server gets from outside.
type Config struct {
	Version string       // ours, for the editor's log
	Logger  *slog.Logger // nil = nothing is logged
	// NewSession makes the commands' session of this connection. It is called
	// within initialize, so it must touch neither network nor disk.
	NewSession func(commands.UI) (*commands.Session, error)
}

// session is what the server needs of *commands.Session.
type session interface {
	Start(ctx context.Context)
	Close(ctx context.Context) error
	KnownJobs() []*commands.Job
	Status() commands.Status
	FollowStatus(ctx context.Context, tell func(commands.Status))
	Newest(file string) (commands.Job, bool)
	AnyRunning() bool
	SettingsChanged(section json.RawMessage)
	FoldersChanged(folders []string)
	Remap(path, text string, problems []commands.Problem, textOf func(path string) string) []commands.Problem
	run(ctx context.Context, c commands.Command, in commands.Input) (any, error)
	ignorePlan(ctx context.Context, in commands.Input, blind []string) (*ignorePlan, error)
	CloseBundle(dir string)
	ProjectDir(dir string) string
	ManifestFile(in commands.Input, dir, julia string) string
	Facts(ctx context.Context, in commands.Input) commands.Facts
	ProfileText(path string, text []byte, profile string) string
	KnownNodes(path string, text []byte) []commands.NodeRow
	KnownImages(path string, text []byte) []commands.ImageRow
}

// realSession runs the table's commands on a real session.
type realSession struct{ *commands.Session }

func (r realSession) run(ctx context.Context, c commands.Command, in commands.Input) (any, error) {
	return c.Run(ctx, r.Session, in)
}

// Server serves one connection with an editor.
type Server struct {
	version    string
	log        *slog.Logger
	newSession func(commands.UI) (session, error)
	table      []commands.Command // what the editor may execute

	stream *stream
	rpc    jsonrpc2.Conn
	client protocol.Client

	ctx    context.Context // the connection's; all background work hangs on it
	cancel context.CancelFunc
	work   workGroup

	state  atomic.Int32 // see lifecycle.go; the loop alone changes it
	exited chan struct{}
	orphan chan struct{} // closed when the editor's process is gone

	// What initialize has settled; the loop writes it there, all others read it later.
	caps     clientCaps
	encoding encoding
	session  session

	world atomic.Pointer[world] // the loop replaces it

	// initialSettings count where the editor is asked for its settings and has
	// none. They are the loop's own.
	initialSettings json.RawMessage

	calls       calls
	orders      orders
	complained  once
	gate        gate
	tasks       tasks
	texts       textFiles
	diagnostics publisher
	advice      advisor
	lenses      lensRefresher
	jobList     jobList
	disk        diskWatch
	watch       parentWatch
	startOnce   sync.Once
	statusOnce  sync.Once
	closeOnce   sync.Once
	closed      chan struct{} // closed when the session is
}

// New makes a server for one connection.
func New(cfg Config) *Server {
	s := newServer(cfg)
	s.table = commands.Table()
	s.disk.open = systemWatcher
	s.newSession = func(ui commands.UI) (session, error) {
		if cfg.NewSession == nil {
			return nil, errors.New("no session is configured")
		}
		made, err := cfg.NewSession(ui)
		if err != nil {
			return nil, err
		}
		return realSession{made}, nil
	}
	return s
}

func newServer(cfg Config) *Server {
	s := &Server{
		version: cfg.Version, log: cfg.Logger,
		exited: make(chan struct{}), orphan: make(chan struct{}), closed: make(chan struct{}),
		watch: systemParentWatch(),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.gate.init()
	s.tasks.init()
	s.diagnostics.init(s)
	s.lenses.init(s)
	s.advice.init(s)
	s.disk.s = s
	s.world.Store(&world{docs: map[string]*document{}, settings: knownSettings(nil)})
	return s
}

// Serve speaks with the editor until it says exit, closes its end or dies, or
// ctx ends, and returns the exit status that the protocol asks for: 0 after a
// shutdown request, else 1. It closes rwc. The error says what was wrong with
// the connection itself. A Server serves once.
//
// One goroutine may outlive Serve: the reader, where a blocked read of standard
// input cannot be interrupted.
func (s *Server) Serve(ctx context.Context, rwc io.ReadWriteCloser) (status int, err error) {
	s.ctx, s.cancel = context.WithCancel(ctx)
	defer s.cancel()
	s.stream = newStream(rwc, s.log)
	s.stream.onEnd = s.tasks.end
	s.rpc = jsonrpc2.NewConn(s.stream, jsonrpc2.WithCodec(codec{}))
	s.client = protocol.ClientDispatcher(s.rpc)
	s.rpc.Go(context.WithoutCancel(ctx), s.handle)

	select {
	case <-s.exited:
	case <-s.stream.readEnd:
		if err = s.stream.readErr; errors.Is(err, io.EOF) {
			err = nil
		}
	case <-s.orphan:
		s.log.Warn("the editor's process is gone")
	case <-ctx.Done():
	}
	s.finish(closeTimeout - s.stream.graceSpent())
	if s.state.Load() == stateDown && !errors.Is(err, errHeader) {
		return 0, err
	}
	return 1, err
}

// finish ends all that the connection has started, as far as that can be done in time.
func (s *Server) finish(atMost time.Duration) {
	deadline := time.Now().Add(atMost)
	s.closeSession(atMost)
	wait(s.closed, time.Until(deadline))
	s.tasks.end()
	s.cancel()
	wait(s.work.end(), max(time.Until(deadline), time.Second))
	s.stream.flush(time.Second)
	s.stream.stop()
	s.texts.remove()
	go func() { _ = s.rpc.Close() }() // waits for the reader, who may be beyond reach
	wait(s.rpc.Done(), 200*time.Millisecond)
	s.stream.abort()
}

// closeSession begins to close the session; s.closed says when it is done.
func (s *Server) closeSession(atMost time.Duration) {
	s.closeOnce.Do(func() {
		if s.state.Load() == stateNew {
			close(s.closed)
			return
		}
		go func() {
			defer close(s.closed)
			defer s.recovered("closing the session", nil)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), atMost)
			defer cancel()
			if err := s.session.Close(ctx); err != nil {
				s.log.Warn("closing the session", "error", err)
			}
		}()
	})
}

// wait waits for a channel to close, but not for ever.
func wait(done <-chan struct{}, atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// spawn starts a goroutine that Serve waits for. It returns false when the
// connection is ending. This is the one place where the server's background
// work is started; requests are counted by it too.
func (s *Server) spawn(f func()) bool {
	if !s.work.add() {
		return false
	}
	go func() {
		defer s.work.wg.Done()
		s.guarded(f)
	}()
	return true
}

// inOrder runs f off the loop, after all that was given to it before: what the
// session does with new settings or folders may take a while.
func (s *Server) inOrder(f func()) {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	s.orders.queue = append(s.orders.queue, f)
	if !s.orders.running {
		s.orders.running = s.spawn(s.runOrders)
	}
}

func (s *Server) runOrders() {
	for {
		s.orders.mu.Lock()
		if len(s.orders.queue) == 0 {
			s.orders.running = false
			s.orders.mu.Unlock()
			return
		}
		f := s.orders.queue[0]
		s.orders.queue = s.orders.queue[1:]
		s.orders.mu.Unlock()
		s.guarded(f)
	}
}

// guarded runs f; a panic in it is logged.
func (s *Server) guarded(f func()) {
	defer s.recovered("background work", nil)
	f()
}

// orders is work that is done one after the other.
type orders struct {
	mu      sync.Mutex // guards what follows
	queue   []func()
	running bool
}

// workGroup counts goroutines until its end.
type workGroup struct {
	mu     sync.Mutex // guards ending, and wg.Add against wg.Wait
	ending bool
	wg     sync.WaitGroup
}

// add counts one more goroutine; false when no more may begin.
func (g *workGroup) add() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending {
		return false
	}
	g.wg.Add(1)
	return true
}

// end lets no more begin; the channel closes when all have ended.
func (g *workGroup) end() <-chan struct{} {
	g.mu.Lock()
	g.ending = true
	g.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.wg.Wait()
	}()
	return done
}

// setWorld replaces what the editor has told us. The loop alone calls it.
func (s *Server) setWorld(w *world) { s.world.Store(w) }

package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// Client is what the commands need of a JuliaHub server.
type Client interface {
	User(ctx context.Context) (jobapi.User, error)
	Nodes(ctx context.Context) ([]jobapi.Node, error)
	Images(ctx context.Context) ([]jobapi.CatalogImage, error)
	Registries(ctx context.Context) ([]jobapi.Registry, error)
	SignIn(ctx context.Context, show func(jobapi.SignInPrompt) error) error
	SignOut(ctx context.Context) error
	UploadBundle(ctx context.Context, u jobapi.Upload, open func() (io.ReadCloser, error), progress func(sent, total int64)) error
	Submit(ctx context.Context, sub jobapi.Submission) (id string, err error)
	Job(ctx context.Context, id string) (*jobapi.Job, error)
	Jobs(ctx context.Context, limit int) ([]*jobapi.Job, error)
	NewestJobs(ctx context.Context, limit int) (jobs []*jobapi.Job, listed int, err error)
	Logs(ctx context.Context, id string, q jobapi.LogQuery) (jobapi.LogPage, error)
	FollowLog(ctx context.Context, id string, from *jobapi.LogPosition, done func() bool,
		emit func(before jobapi.LogPosition, messages []jobapi.LogMessage) error) (jobapi.LogPosition, error)
	Download(ctx context.Context, id string, f jobapi.File, w io.Writer, progress func(done, total int64)) error
	Kill(ctx context.Context, id string) error
	Extend(ctx context.Context, id string, hours int) error
	JobURL(id string) string
}

// Config is what a Session gets from outside. Only UI is required.
type Config struct {
	UI        UI
	Logger    *slog.Logger                // nil = nothing is logged
	Version   string                      // ours, for User-Agent and provenance
	LookupEnv func(string) (string, bool) // nil = os.LookupEnv
	Now       func() time.Time            // nil = time.Now
	NewID     func() string               // nil = random UUID
	Home      string                      // the user's home directory; "" = os.UserHomeDir
	State     string                      // directory of records; "" = the platform's

	// Connect makes a client for a server, given by its URL; nil = jobapi.New.
	Connect func(server string) (Client, error)
	// SignIn lets also a submission that waits start a sign-in; one that does
	// not wait always may.
	SignIn bool
	// Tick is the time between status requests while something is new; 0 = 1.5 s.
	Tick time.Duration
}

// Session is one user's commands with their tracker: one per language-server
// connection, or per run of the command line.
type Session struct {
	cfg     Config
	log     *slog.Logger
	ledger  *track.Ledger
	tracker *track.Tracker

	ctx    context.Context // of everything that the session started
	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once // starts the tracker

	mu       sync.Mutex        // guards what follows
	closed   bool              // nothing is started any more
	editor   json.RawMessage   // the editor's settings, as last told
	user     settings.Settings // what they come to without any project's
	folders  []string          // the workspace folders
	ownOnly  bool              // see ShowOwnOnly
	clients  map[string]Client // by server
	closers  []func()          // of the clients
	flights  map[string]*flight
	arriving map[string]*arrivals // by file
	own      map[string]bool
	consents map[string]*consent // of this session, by question
	told     map[string]bool     // what sayOnce said
	nodes    map[string]nodeList
	images   map[string]imageList
	asking   map[string]bool                // servers whose nodes are being asked for, for hovers
	open     map[string]*openBundle         // of open projects, by directory
	sent     map[string]map[string]sentFile // what newer submissions sent, by submission and path

	slots chan struct{} // one for each submission at work
	views viewBoard
	known knownJobs
	inUse inUse // projects that Julia is resolving

	signInsOff map[string]int // how many sign-ins the person called off, by server; guarded by mu

	status chan struct{} // holds one hint that the Status may have changed
}

// atOnce is how many submissions work at a time: a second one need not wait for
// a large upload, and a thousand do not open a thousand connections.
const atOnce = 8

// New makes a session. It touches neither network nor disk.
func New(cfg Config) (*Session, error) {
	if cfg.UI == nil {
		return nil, errors.New("a session needs a UI")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = os.LookupEnv
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = uuid.NewString
	}
	if cfg.Home == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("find the home directory: %w", err)
		}
		cfg.Home = home
	}
	if cfg.State == "" {
		cfg.State = stateDir(runtime.GOOS, cfg.LookupEnv, cfg.Home)
	}
	s := &Session{
		cfg: cfg, log: cfg.Logger, ledger: track.NewLedger(cfg.State),
		clients: map[string]Client{}, flights: map[string]*flight{}, arriving: map[string]*arrivals{},
		own: map[string]bool{}, consents: map[string]*consent{}, told: map[string]bool{}, nodes: map[string]nodeList{}, images: map[string]imageList{},
		asking: map[string]bool{}, open: map[string]*openBundle{}, sent: map[string]map[string]sentFile{},
		slots: make(chan struct{}, atOnce), signInsOff: map[string]int{}, status: make(chan struct{}, 1),
	}
	s.user, _ = settings.Resolve(settings.Layers{}) // the defaults have no problems
	s.views.init()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.tracker = track.New(track.Config{
		Ledger: s.ledger, Logger: s.log, Tick: cfg.Tick,
		Connect:  func(server string) (track.Client, error) { return s.client(server) },
		Changed:  s.changed,
		Messages: s.logMessages,
		Heard:    s.heard,
		Ended:    s.jobEnded,
		Corrupt:  s.sayCorrupt,
		NoLocks:  s.sayNoLocks,

		Unwritten: s.sayUnwritten,
	})
	return s, nil
}

// stateDir is where the platform wants a program's state: the directory of the
// submission records.
func stateDir(goos string, lookupEnv func(string) (string, bool), home string) string {
	const name = "juliahub-lsp"
	switch goos {
	case "windows":
		if dir, ok := lookupEnv("LocalAppData"); ok && filepath.IsAbs(dir) {
			return filepath.Join(dir, name)
		}
		return filepath.Join(home, "AppData", "Local", name)
	case "darwin":
		return filepath.Join(home, "Library", "Application Support", name)
	}
	// A relative XDG_STATE_HOME does not count, says the XDG specification.
	if dir, ok := lookupEnv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, name)
	}
	return filepath.Join(home, ".local", "state", name)
}

// StateDir is the directory of the submission records.
func (s *Session) StateDir() string { return s.ledger.Dir() }

// Start begins tracking: it reads the records of earlier submissions and starts
// the one tracker loop. It returns at once; Close stops it, and so does ctx.
func (s *Session) Start(ctx context.Context) {
	s.once.Do(func() {
		stop := context.AfterFunc(ctx, s.cancel)
		s.goDo(func() {
			defer stop()
			s.tracker.Run(s.ctx)
		})
	})
}

// goDo starts a goroutine that Close waits for; false when the session is closed.
func (s *Session) goDo(work func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wg.Go(work)
	return true
}

// Close cancels bundling and uploads under way, cleans up, and waits until ctx
// ends at most. Jobs on the server are not touched.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	flights := make([]*flight, 0, len(s.flights))
	for _, f := range s.flights {
		flights = append(flights, f)
	}
	s.mu.Unlock()
	for _, f := range flights {
		f.stop()
	}
	s.cancel()
	done := make(chan struct{})
	go func() { // ends with the last of the session's own goroutines
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("close the session: %w", ctx.Err())
	}
	s.shareRest()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, closeClient := range s.closers {
		closeClient()
	}
	s.closers = nil
	return nil
}

// SettingsChanged gives the session the editor's settings (the JSON object of
// section "juliahub") whenever they change.
func (s *Session) SettingsChanged(section json.RawMessage) {
	user, problems := settings.Resolve(settings.Layers{Editor: section})
	s.mu.Lock()
	s.editor, s.user = section, user
	s.mu.Unlock()
	for _, p := range problems {
		if p.Code != settings.CodeNoProfile { // a profile is a project's, and none is known here
			s.sayOnce(Warning, p.Message)
		}
	}
	s.showAgain()
}

// sayOnce tells something once in a session, however often it comes up.
func (s *Session) sayOnce(level Level, text string) {
	s.mu.Lock()
	said := s.told[text]
	s.told[text] = true
	s.mu.Unlock()
	if !said {
		s.cfg.UI.Say(s.ctx, level, text)
	}
}

// FoldersChanged gives the session the workspace folders' paths. Jobs of files
// elsewhere are tracked but shown only if this session submitted them. Without
// folders all of the user's jobs are shown.
func (s *Session) FoldersChanged(folders []string) {
	s.mu.Lock()
	s.folders = append([]string(nil), folders...)
	s.mu.Unlock()
	s.showAgain()
}

// ShowOwnOnly makes the session show nothing but what it submits itself: for a
// command that submits once and ends.
func (s *Session) ShowOwnOnly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ownOnly = true
}

// client returns the client of a server, the same one for all its calls.
func (s *Session) client(server string) (Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[server]; c != nil {
		return c, nil
	}
	c, err := s.connect(server)
	if err != nil {
		return nil, err
	}
	s.clients[server] = c
	return c, nil
}

func (s *Session) connect(server string) (Client, error) {
	if s.cfg.Connect != nil {
		return s.cfg.Connect(server)
	}
	parsed, err := jobapi.ParseServer(server)
	if err != nil {
		return nil, err
	}
	c, err := jobapi.New(jobapi.Config{
		Server: parsed, LookupEnv: s.cfg.LookupEnv, Home: s.cfg.Home,
		UserAgent: "juliahub-lsp/" + s.cfg.Version, Logger: s.log, Now: s.cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, c.Close)
	return hub{c}, nil
}

// hub is the real Client.
type hub struct{ *jobapi.Client }

// FollowLog is what the tracker wants of a log stream.
func (h hub) FollowLog(ctx context.Context, id string, from *jobapi.LogPosition, done func() bool,
	emit func(before jobapi.LogPosition, messages []jobapi.LogMessage) error,
) (jobapi.LogPosition, error) {
	stream := h.LogStream(id, jobapi.StreamOptions{From: from, JobDone: done})
	err := stream.Run(ctx, func(messages []jobapi.LogMessage) error { return emit(stream.Position(), messages) })
	return stream.Position(), err
}

// serverName returns the URL of a server as records and clients know it; ""
// means the user's own.
func (s *Session) serverName(name string) (string, error) {
	var server jobapi.Server
	var err error
	if name == "" {
		server, err = jobapi.DefaultServer(s.cfg.LookupEnv)
	} else {
		server, err = jobapi.ParseServer(name)
	}
	if err != nil {
		return "", err
	}
	return server.String(), nil
}

func (s *Session) sayCorrupt(files []string) {
	s.cfg.UI.Say(s.ctx, Warning, fmt.Sprintf(
		"%d record(s) of earlier submissions could not be read and were set aside in %s; all others are fine.",
		len(files), filepath.Dir(files[0])))
}

// sayUnwritten tells of a full disk, as it mostly is.
func (s *Session) sayUnwritten(err error) {
	var cause error = err
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		cause = errno
	}
	s.cfg.UI.Say(s.ctx, Warning, fmt.Sprintf("What becomes of your jobs cannot be written down in %s: %v. Until it can, what is shown of them is old. The jobs go on.",
		s.ledger.Dir(), cause))
}

func (s *Session) sayNoLocks(err error) {
	s.log.Warn("cannot lock", "error", err)
	s.cfg.UI.Say(s.ctx, Warning, "The file system of "+s.ledger.Dir()+
		" cannot lock files, so jobs are not tracked from here. Set XDG_STATE_HOME to a local directory.")
}

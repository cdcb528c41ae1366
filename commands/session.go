package commands

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"

	"juliahub-lsp/jobapi"
)

// Client is what the commands need of a JuliaHub server; *jobapi.Client is one.
type Client interface {
	User(ctx context.Context) (jobapi.User, error)
	Nodes(ctx context.Context) ([]jobapi.Node, error)
	Registries(ctx context.Context) ([]jobapi.Registry, error)
	UploadBundle(ctx context.Context, u jobapi.Upload, open func() (io.ReadCloser, error), progress func(sent, total int64)) error
	Submit(ctx context.Context, sub jobapi.Submission) (id string, err error)
	Job(ctx context.Context, id string) (*jobapi.Job, error)
	Jobs(ctx context.Context, limit int) ([]*jobapi.Job, error)
	Logs(ctx context.Context, id string, q jobapi.LogQuery) (jobapi.LogPage, error)
	Download(ctx context.Context, id string, f jobapi.File, w io.Writer, progress func(done, total int64)) error
	Kill(ctx context.Context, id string) error
	Extend(ctx context.Context, id string, hours int) error
	JobURL(id string) string
}

// Config is what a Session gets from outside.
type Config struct {
	UI        UI
	Logger    *slog.Logger
	Version   string                      // ours, for User-Agent and provenance
	LookupEnv func(string) (string, bool) // nil = os.LookupEnv
	Now       func() time.Time            // nil = time.Now
	NewID     func() string               // nil = random UUID
	Home      string                      // the user's home directory; "" = os.UserHomeDir
	State     string                      // directory of records; "" = the platform's

	// Connect makes a client for a server, "" being the user's own; nil = jobapi.New.
	Connect func(server string) (Client, error)
}

// Session is one user's commands with their tracker: one per language-server
// connection, or per run of the command line.
type Session struct {
	cfg Config

	mu     sync.Mutex      // guards what follows
	editor json.RawMessage // the editor's settings, as last told
}

// New makes a session. It touches neither network nor disk.
func New(cfg Config) (*Session, error) { return &Session{cfg: cfg}, nil }

// Start begins tracking: it reads the records of earlier submissions and starts
// the one tracker loop. It returns at once; Close stops it.
func (s *Session) Start(ctx context.Context) {}

// Close cancels bundling and uploads under way, cleans up, and waits until ctx
// ends at most. Jobs on the server are not touched.
func (s *Session) Close(ctx context.Context) error { return nil }

// Jobs returns all known submissions, newest first. Cached state only: it never waits.
func (s *Session) Jobs() []Job { return []Job{} }

// JobsOf returns the submissions of one file (path or, for untitled buffers, URI), newest first.
func (s *Session) JobsOf(file string) []Job { return []Job{} }

// SettingsChanged gives the session the editor's settings (the JSON object of
// section "juliahub") whenever they change.
func (s *Session) SettingsChanged(section json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.editor = section
}

// FoldersChanged gives the session the workspace folders' paths. Jobs of files
// elsewhere are tracked but shown only if this session submitted them. Without
// folders all of the user's jobs are shown.
func (s *Session) FoldersChanged(folders []string) {}

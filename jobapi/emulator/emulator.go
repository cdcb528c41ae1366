// Package emulator is a JuliaHub-compatible server on loopback: the job API of
// juliahub.com as its public clients use it, for working offline, for tests and
// for anyone who builds a JuliaHub client. It is strict: what the real server
// refuses is refused here, with answers of the same shape, so that a client
// that works here works there.
//
// Jobs run with a real Julia when one is found, each in a directory and a
// process group of its own; otherwise they are simulated, and say so in the
// first line of their log. docs/emulator.md is the guide.
package emulator

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
)

// Config says how an emulator behaves. The zero value is a good one: a Julia
// from PATH if there is one, state in a temporary directory, a random token.
type Config struct {
	// Data is the directory of the state. It survives a restart. "" stands for a
	// temporary directory that Close removes.
	Data string
	// Julia is the path of an executable, "auto" (or ""): the one on PATH if
	// there is one, or "none": jobs are simulated.
	Julia string
	// Token is the bearer token of the emulator's one user. "" stands for a
	// random one, which a Data directory remembers.
	Token string
	// Logger gets what the emulator's owner should know. nil stands for silence.
	Logger *slog.Logger
	// Now is the clock of everything that shows on the wire. nil stands for time.Now.
	Now func() time.Time
	// NewID returns a new job id, such as jr-x3k2m9q0aa. nil stands for random ones.
	NewID func() string

	// Simulate plays the part of a job's program when there is no Julia. nil
	// stands for a few log lines and a result file that lists what was received.
	Simulate func(ctx context.Context, s *Stage) error
	// Pace is the time that a job stays Submitted, that a killed job still counts as
	// Running, and that passes between a simulated job's steps. 0 stands for 200 ms.
	Pace time.Duration
	// Hour is how long an hour of a job's time limit takes. 0 stands for an hour.
	Hour time.Duration
	// TokenLife is how long the id tokens live that the emulator hands out at
	// sign-in and refresh. 0 stands for an hour. Token itself does not expire
	// unless ExpireTokens is called.
	TokenLife time.Duration
	// SignInInterval is how long a client of the device flow has to wait between
	// its polls. 0 stands for 5 s.
	SignInInterval time.Duration
	// Generation is the job images' generation: 1 knows RESULTS, RESULTS_FILE and
	// PORT, 2 knows JULIAHUB_RESULTS_SUMMARY_FILE, JULIAHUB_RESULTS_UPLOAD_DIR and
	// JULIAHUB_APP_PORT, and ends a killed job as Completed. 0 knows all of them.
	Generation int
	// Quirks is how the answers differ from a current server's; SetQuirks changes it.
	Quirks Quirks
	// OldLayout unpacks an appbundle as servers up to 6.2 do: into a directory
	// called appbundle, the driver starting in its parent.
	OldLayout bool
}

// Info is what a user of the emulator has to know, and what the command
// `juliahub-lsp emulator` prints as its first line.
type Info struct {
	URL       string `json:"url"`
	Token     string `json:"token"`
	Julia     string `json:"julia"` // version, "" when there is none
	Simulated bool   `json:"simulated"`
	// Certificate is the path of the certificate that clients have to trust, ""
	// without TLS.
	Certificate string `json:"certificate,omitempty"`
}

// Emulator is a running emulator. It is an http.Handler; Start makes it listen.
type Emulator struct {
	cfg       Config
	log       *slog.Logger
	dir       string // the state's directory
	temporary bool   // dir goes away with Close
	lock      *flock.Flock
	julia     *juliaBinary
	mux       *http.ServeMux
	tokens    *tokens
	faults    *faults
	counters  *counters
	jobs      *jobTable
	signIns   *signIns
	quirks    atomic.Pointer[Quirks]

	ctx   context.Context // ends with Close: jobs and streams live in it
	stop  context.CancelCauseFunc
	tasks sync.WaitGroup // every goroutine of the emulator

	mu      sync.Mutex // guards what follows
	url     string
	servers []*http.Server
	hosts   map[string]bool // the names that Start was given
	tls     *tls.Config     // made when it is needed first
	closed  bool
}

// New makes an emulator: it finds the Julia, opens or makes the directory of the
// state, and ends the jobs that were running when an earlier one stopped.
func New(cfg Config) (*Emulator, error) {
	cfg = cfg.withDefaults()
	julia, err := findJulia(cfg.Julia, cfg.Logger)
	if err != nil {
		return nil, err
	}
	e := &Emulator{cfg: cfg, log: cfg.Logger, dir: cfg.Data, julia: julia, faults: &faults{}, counters: &counters{}, signIns: &signIns{}, hosts: map[string]bool{}}
	if err := e.SetQuirks(cfg.Quirks); err != nil {
		return nil, err
	}
	if err := e.openState(); err != nil {
		if e.lock != nil {
			err = errors.Join(err, e.lock.Unlock())
		}
		if e.temporary {
			err = errors.Join(err, os.RemoveAll(e.dir))
		}
		return nil, err
	}
	e.ctx, e.stop = context.WithCancelCause(context.Background())
	e.mux = e.routes()
	return e, nil
}

// openState opens the directory of the state, or makes one.
func (e *Emulator) openState() (err error) {
	if e.dir == "" {
		if e.dir, err = os.MkdirTemp("", "juliahub-emulator-"); err != nil {
			return fmt.Errorf("make the emulator's directory: %w", err)
		}
		e.temporary = true
	}
	if e.dir, err = filepath.Abs(e.dir); err != nil {
		return fmt.Errorf("emulator's directory: %w", err)
	}
	jobs, uploads := filepath.Join(e.dir, "jobs"), filepath.Join(e.dir, "uploads")
	for _, dir := range []string{jobs, uploads} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the emulator's directory: %w", err)
		}
	}
	if e.lock, err = lockDir(e.dir); err != nil {
		return err
	}
	if err := pruneUploads(uploads); err != nil {
		return err
	}
	if e.tokens, err = openTokens(filepath.Join(e.dir, "tokens.json"), e.cfg.Token, e.cfg.TokenLife, e.now); err != nil {
		return err
	}
	e.jobs, err = openJobs(jobs, e.cfg.NewID, e.now)
	return err
}

// lockDir keeps a second emulator away from a state that one works with.
func lockDir(dir string) (*flock.Flock, error) {
	lock := flock.New(filepath.Join(dir, "emulator.lock"))
	free, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the emulator's directory: %w", err)
	}
	if !free {
		return nil, fmt.Errorf("another emulator works with %s: stop it, or take another directory", dir)
	}
	return lock, nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = randomJobID
	}
	if c.Pace <= 0 {
		c.Pace = 200 * time.Millisecond
	}
	if c.Hour <= 0 {
		c.Hour = time.Hour
	}
	if c.TokenLife <= 0 {
		c.TokenLife = time.Hour
	}
	if c.SignInInterval <= 0 {
		c.SignInInterval = 5 * time.Second
	}
	return c
}

// now is the time that shows on the wire: the clock plus the injected skew.
func (e *Emulator) now() time.Time { return e.cfg.Now().Add(e.faults.skew()).UTC() }

// Token is the bearer token of the emulator's user.
func (e *Emulator) Token() string { return e.tokens.root }

// Info says where the emulator listens and what runs its jobs.
func (e *Emulator) Info() Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := Info{URL: e.url, Token: e.tokens.root, Simulated: e.julia == nil}
	if e.tls != nil {
		info.Certificate = e.certificatePath()
	}
	if e.julia != nil {
		info.Julia = e.julia.version.String()
	}
	return info
}

// Start makes the emulator listen at addr ("" or a missing host stands for
// loopback, port 0 for a free one) and returns its base URL. With useTLS it
// generates a certificate, which CertificatePEM returns. It may be called
// several times; Info knows the first address.
func (e *Emulator) Start(addr string, useTLS bool) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if addr == "" {
		host, port, err = "127.0.0.1", "0", nil
	}
	if err != nil {
		return "", fmt.Errorf("address %q: %w", addr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if !loopback(host) {
		e.log.Warn("the emulator listens beyond this machine: whoever reaches it and has its token runs code here", "address", addr)
	}
	ln, err := e.listenAt(net.JoinHostPort(host, port))
	if err != nil {
		return "", fmt.Errorf("emulator: %w", err)
	}
	e.mu.Lock()
	e.hosts[host] = true
	e.mu.Unlock()
	url, _, err := e.serve(ln, host, useTLS, e) // Close stops it
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.url == "" {
		e.url = url
	}
	return url, nil
}

// listenAt listens at a TCP address.
func (e *Emulator) listenAt(addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(e.ctx, "tcp", addr)
}

// serve lets a handler answer at a listener until Close, or until the function
// that it returns is called.
func (e *Emulator) serve(ln net.Listener, host string, useTLS bool, h http.Handler) (url string, stop func(), err error) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return e.ctx },
	}
	if useTLS {
		if srv.TLSConfig, err = e.tlsConfig(host); err != nil {
			return "", nil, errors.Join(err, ln.Close())
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return "", nil, errors.Join(errors.New("emulator: closed"), ln.Close())
	}
	e.servers = append(e.servers, srv)
	e.tasks.Go(func() {
		serve := srv.Serve
		if useTLS {
			serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
		}
		if err := serve(ln); !errors.Is(err, http.ErrServerClosed) {
			e.log.Error("the emulator stopped listening", "error", err)
		}
	})
	return address(ln, useTLS), func() { e.unserve(srv) }, nil
}

// unserve stops one server.
func (e *Emulator) unserve(srv *http.Server) {
	e.mu.Lock()
	e.servers = slices.DeleteFunc(e.servers, func(s *http.Server) bool { return s == srv })
	e.mu.Unlock()
	if err := srv.Close(); err != nil {
		e.log.Warn("a listener did not close", "error", err)
	}
}

// address is the base URL of a listener. The scheme's own port is left out, as
// clients leave it out when they derive names from the URL.
func address(ln net.Listener, useTLS bool) string {
	scheme, usual := "http", "80"
	if useTLS {
		scheme, usual = "https", "443"
	}
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil || port != usual {
		return scheme + "://" + ln.Addr().String()
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host
}

// errClosing is why jobs end that are running at Close.
var errClosing = errors.New("the emulator was stopped while this job was running")

// Close ends running jobs as failed, closes every connection, and waits for it
// all. A temporary directory is removed.
func (e *Emulator) Close() error {
	e.mu.Lock()
	servers := e.servers
	e.servers, e.closed = nil, true
	e.mu.Unlock()
	e.stop(errClosing)
	var err error
	for _, srv := range servers {
		err = errors.Join(err, srv.Close())
	}
	e.tasks.Wait()
	err = errors.Join(err, e.jobs.close(), e.lock.Unlock())
	if e.temporary {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}

// running starts a goroutine that Close waits for, unless the emulator is closed.
func (e *Emulator) running(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.tasks.Go(f)
	return true
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const idAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

func randomJobID() string { return "jr-" + randomText(10) }

// randomText returns n random letters and digits.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, by its documentation
	for i := range b {
		b[i] = idAlphabet[int(b[i])%len(idAlphabet)]
	}
	return string(b)
}

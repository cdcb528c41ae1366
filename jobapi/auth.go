package jobapi

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"juliahub-lsp/internal/depot"
)

// tokens finds the token for one server and keeps it fresh. The token given
// explicitly wins; else it is that of auth.toml, which is read again whenever it
// changes, because others write it too.
type tokens struct {
	server   Server
	explicit string
	paths    []string // where auth.toml may be, best first
	now      func() time.Time
	wait     func(context.Context, time.Duration) error
	log      *slog.Logger
	request  func(ctx context.Context, f *authFile) ([]byte, error) // asks for a new token
	write    func(path string, values map[string]any) (*authFile, error)

	life    context.Context // ends with close
	end     context.CancelFunc
	running sync.WaitGroup // refreshes under way

	mu     sync.Mutex // guards what follows
	last   *authFile  // what was read or refreshed last; nil = none
	flight *flight    // the refresh under way; nil = none
	failed failure    // the last refresh, if it failed

	suspected time.Time // when a token was last replaced on mere suspicion
	refused   string    // the token that the server took last for none of its own; "" = none
}

// flight is one refresh that everybody who needs it waits for.
type flight struct {
	done chan struct{} // closed when file and err are there
	file *authFile
	err  error
}

// failure remembers a refresh that failed, so that it is not tried with every request.
type failure struct {
	token string    // the token that could not be refreshed
	until time.Time // when to try again; zero = only with another token
	err   error
}

const (
	refreshEarly   = 5 * time.Minute  // Pkg does it ten minutes before the end
	refreshTime    = time.Minute      // for a refresh as a whole
	refreshAgain   = 30 * time.Second // after one that failed on the network
	suspectAgain   = 10 * time.Minute
	lockRetry      = 100 * time.Millisecond
	rereadAttempts = 3
)

func newTokens(c *Client, cfg Config) *tokens {
	t := &tokens{
		server:   c.server,
		explicit: explicitToken(cfg),
		paths:    authPaths(c.server, depot.Paths(cfg.LookupEnv, cfg.Home)),
		now:      c.now,
		wait:     func(ctx context.Context, d time.Duration) error { return c.wait(ctx, d) },
		log:      c.log,
		request:  c.requestToken,
		write:    writeAuthFile,
	}
	t.life, t.end = context.WithCancel(context.Background())
	return t
}

// explicitToken returns the token given by hand. That of the environment belongs
// to the server that the environment names, and is never shown to another.
func explicitToken(cfg Config) string {
	if token := strings.TrimSpace(cfg.Token); token != "" {
		return token
	}
	value, _ := cfg.LookupEnv("JULIAHUB_TOKEN")
	value = strings.TrimSpace(value)
	if value == "" {
		return ""
	}
	meant, err := DefaultServer(cfg.LookupEnv)
	if err != nil || !sameOrigin(meant.url(), cfg.Server.url()) {
		return ""
	}
	return value
}

// validToken reports whether a token can stand in a header.
func validToken(token string) bool {
	return token != "" && strings.IndexFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// path returns the file that holds, or would hold, the token; "" = nowhere.
func (t *tokens) path() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil {
		return t.last.path
	}
	if len(t.paths) == 0 {
		return ""
	}
	return t.paths[0]
}

// secrets returns what must not appear in a message.
func (t *tokens) secrets() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	secrets := []string{t.explicit}
	if t.last != nil {
		secrets = append(secrets, t.last.text("id_token"), t.last.text("access_token"), t.last.text("refresh_token"))
	}
	return secrets
}

// current returns the token to use now, refreshed if its end is near.
func (t *tokens) current(ctx context.Context) (string, error) {
	if t.explicit != "" {
		if !validToken(t.explicit) {
			return "", &AuthError{Server: t.server, Problem: TokenUnusable, Explicit: true}
		}
		return t.explicit, nil
	}
	f, err := t.file(ctx)
	if err != nil {
		return "", err
	}
	if _, can := f.refreshAt(); can && t.isDue(f) {
		// A token that could not be refreshed is used all the same: our clock may
		// be wrong, and the server's word counts.
		if renewed, err := t.refresh(ctx, f); err == nil {
			f = renewed
		} else if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
	}
	if !validToken(f.token()) {
		return "", &AuthError{Server: t.server, Problem: TokenUnusable, Path: f.path}
	}
	return f.token(), nil
}

// replace returns another token than the refused one: what stands in the file
// by now, or a refreshed one. It returns the same token when there is no other.
func (t *tokens) replace(ctx context.Context, refused string) (string, error) {
	if t.explicit != "" {
		return t.explicit, nil
	}
	t.forget()
	f, err := t.file(ctx)
	if err != nil {
		return "", err
	}
	if f.token() != refused {
		return f.token(), nil
	}
	if _, can := f.refreshAt(); !can {
		return refused, nil
	}
	renewed, err := t.refresh(ctx, f)
	if err != nil {
		return "", err
	}
	return renewed.token(), nil
}

// suspect is replace for a token that is only perhaps to blame: it refreshes
// rarely, for the server may just be broken.
func (t *tokens) suspect(ctx context.Context, token string) (string, error) {
	t.mu.Lock()
	again := !t.suspected.IsZero() && t.now().Before(t.suspected.Add(suspectAgain))
	if !again {
		t.suspected = t.now()
	}
	t.mu.Unlock()
	if again {
		return t.current(ctx)
	}
	return t.replace(ctx, token)
}

// judged remembers what the server thinks of a token: for TokenState alone, the
// next request is sent with it all the same.
func (t *tokens) judged(token string, taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !taken:
		t.refused = token
	case t.refused == token:
		t.refused = ""
	}
}

func (t *tokens) wasRefused(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused != "" && t.refused == token
}

// beyondRefresh reports whether a refresh of a token was refused for good.
func (t *tokens) beyondRefresh(f *authFile) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed.token == f.token() && t.failed.until.IsZero()
}

// isDue reports whether it is time to refresh: a fifth of its life before a
// token's end, and at most five minutes.
func (t *tokens) isDue(f *authFile) bool {
	end := f.expiry()
	if end.IsZero() {
		return false
	}
	early := refreshEarly
	if life, ok := f.life(); ok {
		early = min(early, life/5)
	}
	return !t.now().Add(early).Before(end)
}

// forget makes the next look at the token read the file.
func (t *tokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil {
		t.last = &authFile{path: t.last.path, issued: t.last.modified, values: t.last.values}
	}
}

// file returns the token file as it is now. While another program is writing
// it, it may be empty or cut: then what was read before counts, or it is read
// again after a moment.
func (t *tokens) file(ctx context.Context) (*authFile, error) {
	for n := 1; ; n++ {
		f, err := t.look()
		if err == nil || n == rereadAttempts {
			return f, err
		}
		if problem, _ := errors.AsType[*AuthError](err); problem.Problem != TokenUnusable {
			return nil, err
		}
		if err := t.wait(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// look reads the token file if it changed.
func (t *tokens) look() (*authFile, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil && !t.last.changed() {
		return t.last, nil
	}
	problem := &AuthError{Server: t.server, Problem: NotSignedIn}
	for i, path := range t.paths {
		if i == 0 {
			problem.Path = path
		}
		f, err := readAuthFile(path)
		if err == nil {
			t.last = f
			return f, nil
		}
		if !missing(err) && problem.Err == nil {
			problem.Problem, problem.Path, problem.Err = TokenUnusable, path, err
		}
	}
	if problem.Problem == TokenUnusable && t.last != nil && t.last.path == problem.Path {
		return t.last, nil
	}
	t.last = nil
	return nil, problem
}

// refresh gets a new token for the one in f. Whoever else needs it meanwhile
// waits for the same refresh; it goes on when one of them gives up, because the
// server may already have replaced the refresh token.
func (t *tokens) refresh(ctx context.Context, f *authFile) (*authFile, error) {
	t.mu.Lock()
	if t.failed.token == f.token() && (t.failed.until.IsZero() || t.now().Before(t.failed.until)) {
		defer t.mu.Unlock()
		return nil, t.failed.err
	}
	if t.life.Err() != nil {
		defer t.mu.Unlock()
		return nil, context.Cause(t.life)
	}
	current := t.flight
	if current == nil {
		current = &flight{done: make(chan struct{})}
		t.flight = current
		t.running.Go(func() { t.fly(current, f) })
	}
	t.mu.Unlock()
	select {
	case <-current.done:
		return current.file, current.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fly does the refresh of a flight and lands it.
func (t *tokens) fly(current *flight, stale *authFile) {
	ctx, cancel := context.WithTimeout(t.life, refreshTime)
	defer cancel()
	f, err := t.renew(ctx, stale)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.last, t.failed = f, failure{}
	} else {
		t.log.Warn("the token could not be refreshed", "server", t.server.Host(), "error", err)
		problem := &AuthError{Server: t.server, Problem: TokenExpired, Path: stale.path, Err: err}
		t.failed = failure{token: stale.token(), err: problem}
		if IsTemporary(err) || ctx.Err() != nil {
			t.failed.until, t.failed.err = t.now().Add(refreshAgain), err
		}
		err = t.failed.err
	}
	current.file, current.err = f, err
	t.flight = nil
	close(current.done)
}

// renew refreshes under the lock that all our processes share. Who comes second
// finds the new token in the file. Programs without the lock (Pkg) may be at it
// too: the file is looked at again after a failure.
func (t *tokens) renew(ctx context.Context, stale *authFile) (*authFile, error) {
	unlock := t.lock(ctx, stale.path)
	defer unlock()
	if f, err := readAuthFile(stale.path); err == nil {
		if f.token() != stale.token() && !t.isDue(f) {
			return f, nil
		}
		stale = f
	}
	body, err := t.request(ctx, stale)
	var answer map[string]any
	if err == nil {
		if answer, err = parseAuth(body); err == nil && (&authFile{values: answer}).token() == "" {
			err = errors.New("the answer holds no token")
		}
	}
	if err != nil {
		if f, readErr := readAuthFile(stale.path); readErr == nil && f.token() != stale.token() {
			return f, nil
		}
		return nil, err
	}
	values := stale.renewed(answer, t.now())
	f, err := t.write(stale.path, values)
	if err != nil {
		// The old token may be dead by now, so the new one is used as long as we live.
		t.log.Warn("the refreshed token could not be kept", "path", stale.path, "error", err)
		return &authFile{path: stale.path, modified: stale.modified, size: stale.size, issued: t.now(), values: values}, nil
	}
	return f, nil
}

// lock takes the lock beside the token file, or goes on without when there can
// be none (a read-only depot).
func (t *tokens) lock(ctx context.Context, path string) (unlock func()) {
	lock := flock.New(filepath.Join(filepath.Dir(path), "auth.toml.lock"), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		t.log.Debug("refreshing without a lock", "error", err)
		return func() {}
	}
	return func() {
		if err := lock.Unlock(); err != nil {
			t.log.Debug("the token's lock", "error", err)
		}
	}
}

// close stops refreshes under way and waits for them.
func (t *tokens) close() {
	t.end()
	t.running.Wait()
}

// requestToken asks the place that the token file names for a new token.
func (c *Client) requestToken(ctx context.Context, f *authFile) ([]byte, error) {
	place, ok := f.refreshAt()
	if !ok {
		return nil, errors.New("the token file names no safe place to refresh at")
	}
	r := &request{what: "refresh the token", method: "GET", url: place.String(), bearer: f.text("refresh_token"), bearerFor: place}
	if !validToken(r.bearer) {
		return nil, errors.New("the refresh token is not usable")
	}
	return c.read(ctx, r)
}

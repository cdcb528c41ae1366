package jobapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Config is what a Client gets from outside. Only Server is required.
type Config struct {
	Server    Server
	LookupEnv func(string) (string, bool) // nil = os.LookupEnv
	Home      string                      // the user's home directory; "" = os.UserHomeDir
	UserAgent string                      // "" = juliahub-lsp
	Logger    *slog.Logger                // nil = nothing is logged
	Now       func() time.Time            // nil = time.Now

	// Token is an explicit token for Server; "" = JULIAHUB_TOKEN if that is
	// meant for Server, else auth.toml.
	Token string

	// Transport takes the place of the network in tests.
	Transport http.RoundTripper
}

// Client talks to one server. It may be used by many goroutines at once. Close
// it when done.
type Client struct {
	server    Server
	base      *url.URL
	userAgent string
	log       *slog.Logger
	now       func() time.Time
	env       func(string) (string, bool)
	wait      func(context.Context, time.Duration) error
	limits    limits

	shared http.RoundTripper // keeps connections, speaks HTTP/2
	fresh  http.RoundTripper // a new HTTP/1.1 connection for every request
	tokens *tokens

	mu        sync.Mutex    // guards what follows
	signing   *signing      // the one sign-in under way; nil = none
	quiet     time.Time     // until when the server asked to be left alone
	skew      time.Duration // the server's clock minus ours, by its last answer
	noSockets time.Time     // until when WebSockets are not tried: one was refused
	version   string        // of the server's API; "" = not asked yet
}

// limits are the numbers of the Client that tests make smaller.
type limits struct {
	attempts int           // sendings of a request that may be repeated
	stall    time.Duration // a transfer that does not move for so long is dead
	head     time.Duration // from the request's last byte to the answer's first
	longest  time.Duration // the longest wait between two attempts, also if the server asks for more
	answer   int64         // bytes of an answer held in memory, unpacked
	firstGap time.Duration // the first pause between two attempts
}

var standardLimits = limits{
	attempts: 4,
	stall:    time.Minute,
	head:     time.Minute,
	longest:  20 * time.Second,
	answer:   64 << 20, // the largest log page is 10,000 messages; few have more than some KB
	firstGap: 400 * time.Millisecond,
}

// New makes a Client. It touches neither the network nor the token file.
func New(cfg Config) (*Client, error) {
	if cfg.Server.IsZero() {
		return nil, errors.New("no server given")
	}
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = os.LookupEnv
	}
	if cfg.Home == "" {
		cfg.Home, _ = os.UserHomeDir() // without one there is no default depot, which the tokens say when asked
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "juliahub-lsp"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Client{
		server:    cfg.Server,
		base:      cfg.Server.url(),
		userAgent: cfg.UserAgent,
		log:       cfg.Logger,
		now:       cfg.Now,
		env:       cfg.LookupEnv,
		wait:      wait,
		limits:    standardLimits,
		shared:    cfg.Transport,
		fresh:     cfg.Transport,
	}
	switch given := cfg.Transport.(type) {
	case nil:
		roots, err := rootCAs(cfg.LookupEnv)
		if err != nil {
			return nil, err
		}
		c.shared, c.fresh = newTransports(roots)
	case *http.Transport:
		c.fresh = makeFresh(given.Clone())
	}
	c.tokens = newTokens(c, cfg)
	return c, nil
}

// Close ends what runs in the background and closes idle connections.
func (c *Client) Close() {
	c.tokens.close()
	for _, transport := range []http.RoundTripper{c.shared, c.fresh} {
		if t, ok := transport.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

// Server returns the server that the Client talks to.
func (c *Client) Server() Server { return c.server }

// ServerTime returns what the server's clock showed at our time t, as far as
// its answers have told.
func (c *Client) ServerTime(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(c.skew)
}

// JobURL returns the web page to look a job up at. The public clients know no
// page of a single job, so this is the server's list of jobs.
func (c *Client) JobURL(string) string { return c.server.join("ui", "Jobs") }

// request is one call of the server, or of a place that the server named.
type request struct {
	what   string // for messages: "list the jobs"
	method string
	url    string
	header http.Header

	// body opens the request's body anew for each sending; nil = none.
	body   func() (io.ReadCloser, error)
	length int64

	anonymous bool          // without our token: pre-signed URLs, sign-in
	bearer    string        // a token of its own …
	bearerFor *url.URL      // … and the place that it is for
	once      bool          // not to be repeated: what it does is done twice if sent twice
	single    bool          // on a fresh HTTP/1.1 connection, and its answer as it is: no retry, no redirect, no second token
	away      bool          // may be redirected to other places (without the token)
	patience  time.Duration // how long the answer may take; 0 = as usual

	gotConnection func() // called when a connection is there, before the first byte goes out
	refused       func() // called when the server has refused it for certain, before it is sent with another token
}

func (c *Client) get(what string, query url.Values, segments ...string) *request {
	u := c.server.join(segments...)
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	return &request{what: what, method: http.MethodGet, url: u}
}

// withHasura adds the headers that some calls want.
func (r *request) withHasura() *request {
	r.header = http.Header{"X-Hasura-Role": {"jhuser"}, "X-Juliahub-Ensure-Js": {"true"}}
	return r
}

func (r *request) withBody(data []byte) *request {
	r.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	r.length = int64(len(data))
	return r
}

// answer is an answer of the server. Whoever gets one closes its body.
type answer struct {
	status int
	header http.Header
	body   io.ReadCloser
	length int64 // of the body; -1 = unknown
}

// do sends a request, the only place that does: it attaches the token, repeats
// what may be repeated, follows what may be followed, and turns all that is not
// a success into a typed error. The caller closes the answer's body.
func (c *Client) do(ctx context.Context, r *request) (*answer, error) {
	u, err := url.Parse(r.url)
	if err != nil {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Err: errors.New("an address that is no URL")}
	}
	token, err := c.tokenFor(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.single {
		return c.doOnce(ctx, r, u, token)
	}
	gaps := &backoff.ExponentialBackOff{InitialInterval: c.limits.firstGap, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: c.limits.longest}
	renewed := false
	for n := 1; ; n++ {
		if err := c.keepQuiet(ctx, r, u); err != nil {
			return nil, err
		}
		got, err := c.follow(ctx, r, u, token)
		last := r.once || n >= c.limits.attempts || impatient(ctx) || !c.worthRepeating(ctx, err)
		if !renewed && r.ownToken() && blamesToken(err, last && !r.once) {
			renewed = true
			fresh, tokenErr := c.otherToken(ctx, token, err)
			if tokenErr != nil {
				return nil, tokenErr
			}
			if fresh != token {
				token = fresh
				continue
			}
		}
		if err == nil || last {
			return got, err
		}
		gap := max(gaps.NextBackOff(), RetryAfter(err))
		if gap > c.limits.longest {
			return nil, err
		}
		c.log.DebugContext(ctx, "trying again", "to", r.what, "after", gap, "because", err)
		if err := c.wait(ctx, gap); err != nil {
			return nil, fmt.Errorf("%s: %w", r.what, err)
		}
	}
}

// doOnce sends a request that must not act twice. A 401 says for certain that it
// did not act: only then is it sent again, with another token, if there is one.
func (c *Client) doOnce(ctx context.Context, r *request, u *url.URL, token string) (*answer, error) {
	if err := c.keepQuiet(ctx, r, u); err != nil {
		return nil, err
	}
	got, err := c.attempt(ctx, r, u, token)
	if _, refused := errors.AsType[*AuthError](err); !refused || !r.ownToken() {
		return got, err
	}
	fresh, tokenErr := c.tokens.replace(ctx, token)
	if tokenErr != nil || fresh == token || !validToken(fresh) {
		return nil, err // what the server said is what is known
	}
	if r.refused != nil {
		r.refused()
	}
	return c.attempt(ctx, r, u, fresh)
}

// blamesToken reports whether the token may be why a request failed: a 401, or
// a 500 that stays, as old servers answer to a bad token. A 500 may also come
// after the server acted, so it is no reason to repeat what must not be.
func blamesToken(err error, stays bool) bool {
	if _, ok := errors.AsType[*AuthError](err); ok {
		return true
	}
	e, ok := errors.AsType[*ServerError](err)
	return ok && e.Status == http.StatusInternalServerError && stays
}

// otherToken returns another token to try, or the same when there is none.
func (c *Client) otherToken(ctx context.Context, token string, err error) (string, error) {
	if _, ok := errors.AsType[*AuthError](err); ok {
		return c.tokens.replace(ctx, token)
	}
	fresh, tokenErr := c.tokens.suspect(ctx, token)
	if tokenErr != nil {
		return token, nil //nolint:nilerr // the server's own error says more
	}
	return fresh, nil
}

func (r *request) ownToken() bool { return !r.anonymous && r.bearer == "" }

func (c *Client) tokenFor(ctx context.Context, r *request) (string, error) {
	if r.anonymous {
		return "", nil
	}
	if r.bearer != "" {
		return r.bearer, nil
	}
	return c.tokens.current(ctx)
}

// keepQuiet waits as long as the server asked all of us to wait, or fails at
// once when that is long.
func (c *Client) keepQuiet(ctx context.Context, r *request, u *url.URL) error {
	if !sameOrigin(u, c.base) {
		return nil
	}
	c.mu.Lock()
	rest := c.quiet.Sub(c.now())
	c.mu.Unlock()
	if rest <= 0 {
		return nil
	}
	if rest > c.limits.longest {
		return &ServerError{What: r.what, Host: u.Host, Status: http.StatusTooManyRequests, RetryAfter: rest}
	}
	if err := c.wait(ctx, rest); err != nil {
		return fmt.Errorf("%s: %w", r.what, err)
	}
	return nil
}

// beQuiet makes all calls of the server wait.
func (c *Client) beQuiet(d time.Duration) {
	if d <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := c.now().Add(d); until.After(c.quiet) {
		c.quiet = until
	}
}

type impatientKey struct{}

// Impatient returns a context whose calls are not repeated when they fail for a
// while: for a caller that counts its requests and has pauses of its own.
func Impatient(ctx context.Context) context.Context {
	return context.WithValue(ctx, impatientKey{}, true)
}

func impatient(ctx context.Context) bool { return ctx.Value(impatientKey{}) != nil }

func (c *Client) worthRepeating(ctx context.Context, err error) bool {
	return ctx.Err() == nil && IsTemporary(err) && !hopeless(err)
}

// follow sends a request and follows redirects of a GET: within the server with
// the token, elsewhere only where the request allows it, and never with it.
func (c *Client) follow(ctx context.Context, r *request, u *url.URL, token string) (*answer, error) {
	const most = 5
	for range most {
		got, err := c.attempt(ctx, r, u, token)
		if err != nil || got.status < 300 {
			return got, err
		}
		redirected := &ServerError{What: r.what, Host: u.Host, Status: got.status}
		_ = got.body.Close() // nothing of a redirect's body is of interest
		next, err := u.Parse(got.header.Get("Location"))
		if err != nil || got.header.Get("Location") == "" || r.method != http.MethodGet || !secureEnough(next) {
			return nil, redirected
		}
		if !sameOrigin(next, u) {
			if !r.away || u.Scheme == "https" && next.Scheme != "https" {
				return nil, redirected
			}
			stranger := *r
			stranger.anonymous, stranger.header = true, keepHeaders(r.header, "Range", "If-Range", "Accept-Encoding")
			r, token = &stranger, ""
		}
		u = next
	}
	return nil, &ServerError{What: r.what, Host: u.Host, Status: http.StatusFound}
}

func keepHeaders(from http.Header, names ...string) http.Header {
	kept := http.Header{}
	for _, name := range names {
		if values := from.Values(name); len(values) > 0 {
			kept[name] = values
		}
	}
	return kept
}

// attempt sends a request once. Redirects are returned as they are, unless the
// request is single; other answers than 2xx are errors.
func (c *Client) attempt(ctx context.Context, r *request, u *url.URL, token string) (*answer, error) {
	got, err := c.roundTrip(ctx, r, u, token)
	if err != nil {
		return nil, err
	}
	if u.Host == c.base.Host {
		c.learnSkew(got.header)
	}
	if got.status >= 200 && got.status < 300 || got.status >= 300 && got.status < 400 && !r.single {
		if r.ownToken() && got.status < 300 {
			c.tokens.judged(token, true)
		}
		return got, nil
	}
	defer func() { _ = got.body.Close() }() // the error below matters more
	return nil, c.failure(r, u, got, token)
}

// roundTrip is one request on the wire and the head of its answer.
func (c *Client) roundTrip(ctx context.Context, r *request, u *url.URL, token string) (*answer, error) {
	req := &http.Request{Method: r.method, URL: u, Host: u.Host, Header: r.header.Clone(), ProtoMajor: 1, ProtoMinor: 1}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("User-Agent", c.userAgent)
	if token != "" {
		place := c.base
		if r.bearerFor != nil {
			place = r.bearerFor
		}
		if !sameOrigin(u, place) || u.User != nil || u.Scheme != "https" && !isLocal(u.Hostname()) {
			return nil, &NetworkError{What: r.what, Host: u.Host, Err: errors.New("the token is not for this place")}
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	ctx, stop := context.WithCancelCause(ctx)
	sending := &watch{cancel: stop}
	head := c.limits.head
	if r.patience > 0 {
		head = r.patience
	}
	if r.body != nil {
		body, err := r.body()
		if err != nil {
			stop(nil)
			return nil, fmt.Errorf("%s: %w", r.what, err)
		}
		req.Body, req.ContentLength = &watchedUpload{body, sending, c.limits.stall, head}, r.length
	}
	transport := c.shared
	if r.single {
		transport = c.fresh
	}
	began := c.now()
	sending.allow(head)
	response, err := transport.RoundTrip(req.WithContext(traced(ctx, r))) //nolint:bodyclose // it is in the answer, for the caller to close
	sending.end()
	c.logRequest(ctx, req, response, err, began)
	if err != nil {
		err = c.broken(ctx, r, u, err)
		stop(nil)
		return nil, err
	}
	body := &watchedBody{
		ReadCloser: response.Body, watch: &watch{cancel: stop}, stall: c.limits.stall,
		fail: func(err error) error { return c.broken(ctx, r, u, err) }, done: func() { stop(nil) },
	}
	return &answer{response.StatusCode, response.Header, body, response.ContentLength}, nil
}

func (c *Client) logRequest(ctx context.Context, req *http.Request, response *http.Response, err error, began time.Time) {
	// The query stays out: that of a pre-signed URL is a secret.
	attrs := []any{"method", req.Method, "host", req.URL.Host, "path", req.URL.Path, "took", c.now().Sub(began)}
	if !sameOrigin(req.URL, c.base) {
		attrs = []any{"method", req.Method, "host", req.URL.Host, "took", c.now().Sub(began)}
	}
	if err != nil {
		c.log.DebugContext(ctx, "request failed", append(attrs, "error", withoutURL(err))...)
		return
	}
	c.log.DebugContext(ctx, "request", append(attrs, "status", response.StatusCode)...)
}

// broken turns a transport's error into ours.
func (c *Client) broken(ctx context.Context, r *request, u *url.URL, err error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errStalled):
		return &NetworkError{What: r.what, Host: u.Host, Err: errStalled}
	case cause != nil:
		return fmt.Errorf("%s: %w", r.what, cause)
	}
	return &NetworkError{What: r.what, Host: u.Host, Err: withoutURL(err)}
}

func (c *Client) learnSkew(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.skew = date.Sub(c.now())
}

// failure is the error behind an answer that is not 2xx.
func (c *Client) failure(r *request, u *url.URL, got *answer, token string) error {
	body, _ := io.ReadAll(io.LimitReader(got.body, 64<<10)) // what came is enough to look for a message
	message, internal := serverMessage(body, token)
	switch got.status {
	case http.StatusUnauthorized:
		if r.ownToken() {
			c.tokens.judged(token, false)
			return &AuthError{Server: c.server, Problem: TokenRefused, Explicit: c.tokens.explicit != "", Path: c.tokens.path()}
		}
	case http.StatusForbidden:
		if !r.anonymous {
			return &PermissionError{What: r.what, Server: c.server, Message: message}
		}
	}
	failed := &ServerError{What: r.what, Host: u.Host, Status: got.status, Message: message, Internal: internal}
	if temporaryStatus(got.status) {
		failed.RetryAfter = c.retryAfter(got.header)
		if sameOrigin(u, c.base) {
			c.beQuiet(failed.RetryAfter)
		}
	}
	return failed
}

func temporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// MostQuiet is the longest that a server's word keeps us away. One that asks for
// more has its clock or its units wrong, and would be asked nothing any more
// until the editor is started anew.
const MostQuiet = 24 * time.Hour

// retryAfter reads the header of that name: seconds, or a date by the server's clock.
func (c *Client) retryAfter(header http.Header) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return min(max(0, time.Duration(seconds)*time.Second), MostQuiet)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now := c.now()
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(0, at.Sub(now)), MostQuiet)
}

// serverMessage returns the server's own words in a JSON answer, and whether it
// speaks of an internal error.
func serverMessage(body []byte, secrets ...string) (message string, internal bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return "", false
	}
	for _, key := range []string{"message", "reason", "error"} {
		var text string
		if json.Unmarshal(fields[key], &text) == nil && text != "" {
			message = plain(text, secrets...)
			break
		}
	}
	return message, string(fields["internal_error"]) == "true"
}

// fetch sends a request and decodes its JSON answer into out. An object that
// says success: false is an error.
func (c *Client) fetch(ctx context.Context, r *request, out any) error {
	body, err := c.read(ctx, r)
	if err != nil {
		return err
	}
	return c.decode(r, body, out)
}

// read sends a request and returns its whole answer, repeating both when the
// answer breaks off.
func (c *Client) read(ctx context.Context, r *request) ([]byte, error) {
	for n := 1; ; n++ {
		got, err := c.do(ctx, r)
		if err != nil {
			return nil, err
		}
		body, err := c.readAll(r, got)
		if err == nil || r.once || r.single || n >= c.limits.attempts || impatient(ctx) || !c.worthRepeating(ctx, err) {
			return body, err
		}
		if err := c.wait(ctx, c.limits.firstGap<<n); err != nil {
			return nil, fmt.Errorf("%s: %w", r.what, err)
		}
	}
}

// errTooLarge says that an answer does not fit into the memory it may take.
var errTooLarge = errors.New("it is too large")

func (c *Client) readAll(r *request, got *answer) ([]byte, error) {
	defer func() { _ = got.body.Close() }() // all that is wanted of it has been read
	body, err := io.ReadAll(io.LimitReader(got.body, c.limits.answer+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > c.limits.answer {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Err: fmt.Errorf("%w: more than %d MB", errTooLarge, c.limits.answer>>20)}
	}
	if isHTML(got.header, body) {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Status: got.status, HTML: true}
	}
	return body, nil
}

func (c *Client) decode(r *request, body []byte, out any) error {
	if err := c.saysFailure(r, body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: notJSON(err)}
	}
	return nil
}

// saysFailure finds the error in an answer with status 200 that is one.
func (c *Client) saysFailure(r *request, body []byte) error {
	var outcome struct {
		Success *bool `json:"success"`
	}
	readable := jsonObject(body) && json.Unmarshal(body, &outcome) == nil
	if !readable || outcome.Success == nil || *outcome.Success {
		return nil // what else may be wrong with it shows when it is decoded
	}
	message, internal := serverMessage(body, c.tokens.secrets()...)
	return &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Message: message, Internal: internal}
}

// notJSON says what is wrong with an answer without quoting it.
func notJSON(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s where something else was expected", e.Value)
	}
	return errors.New("not the JSON that was expected")
}

func isHTML(header http.Header, body []byte) bool {
	if kind, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && (kind == "text/html" || kind == "application/xhtml+xml") {
		return true
	}
	head := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 512)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// wait waits, unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

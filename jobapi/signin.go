package jobapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"juliahub-lsp/internal/atomicfile"
)

// SignInPrompt is what a person needs to sign in.
type SignInPrompt struct {
	URL     string    // the page to open in a browser
	Code    string    // to be compared with, or typed into, the page; "" when there is none
	Expires time.Time // until when; zero = the server does not say
}

// What ends a sign-in without a token, besides errors of network and server.
var (
	ErrSignInDenied  = errors.New("the sign-in was refused on the web page")
	ErrSignInExpired = errors.New("nobody signed in on the web page in time")

	// ErrExplicitToken: signing in or out would change nothing.
	ErrExplicitToken = errors.New("the token in JULIAHUB_TOKEN is the one that is used: unset it to sign in or out")
)

const (
	claimInterval = 5 * time.Second  // between two looks at a classic sign-in
	claimTime     = 10 * time.Minute // for one, where the server does not say
	claimFailures = 20               // answers that make no sense, in one sign-in
	signInLimit   = 1 << 20          // bytes of an answer
)

// SignIn gets a token by a web page that the person signs in on, and keeps it in
// the token file. show is called once, with the page: it must return soon;
// its error ends the sign-in. SignIn returns when the person has signed in, or
// refused, or when ctx or the time for it ends. A second call while one is under
// way waits for it, and ends as it does, without a page of its own; only when the
// first is given up (its ctx was cancelled, without a cause) does the next begin.
//
// Source: PkgAuthentication.jl; RFC 8628.
func (c *Client) SignIn(ctx context.Context, show func(SignInPrompt) error) error {
	if c.tokens.explicit != "" {
		return ErrExplicitToken
	}
	if c.tokens.path() == "" {
		return &AuthError{Server: c.server, Problem: NotSignedIn}
	}
	for {
		mine, other := c.joinSignIn()
		if mine != nil {
			mine.err = c.signIn(ctx, show)
			c.endSignIn(mine)
			return mine.err
		}
		select {
		case <-other.done:
			if !errors.Is(other.err, context.Canceled) {
				return other.err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// signing is a sign-in under way.
type signing struct {
	done chan struct{} // closed when err is there
	err  error
}

// joinSignIn begins a sign-in, or returns the other one that is under way.
func (c *Client) joinSignIn() (mine, other *signing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signing != nil {
		return nil, c.signing
	}
	c.signing = &signing{done: make(chan struct{})}
	return c.signing, nil
}

func (c *Client) endSignIn(s *signing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signing = nil
	close(s.done)
}

// signIn is one sign-in from beginning to end.
func (c *Client) signIn(ctx context.Context, show func(SignInPrompt) error) error {
	config, err := c.signInConfig(ctx)
	if err != nil {
		return err
	}
	var values map[string]any
	if config.device() {
		values, err = c.deviceSignIn(ctx, config, show)
	} else {
		values, err = c.classicSignIn(ctx, show)
	}
	if err != nil {
		return err
	}
	return c.tokens.store(ctx, values)
}

// signInConfig is what the server says of signing in.
type signInConfig struct {
	Flows      []string `json:"auth_flows"`
	Authorize  string   `json:"device_authorization_endpoint"`
	Token      string   `json:"device_token_endpoint"`
	RefreshURL string   `json:"device_token_refresh_url"`
	Scope      string   `json:"device_token_scope"`
}

// device reports whether the device flow can be used: secrets travel to these
// places, so they must be safe.
func (s signInConfig) device() bool {
	offered := false
	for _, flow := range s.Flows {
		offered = offered || flow == "device"
	}
	for _, place := range []string{s.Authorize, s.Token, s.RefreshURL} {
		u, err := url.Parse(place)
		offered = offered && err == nil && secureEnough(u)
	}
	return offered
}

// signInConfig asks how to sign in. Anything but a proper answer means the
// classic flow; only a server that cannot be reached is an error.
//
// GET /auth/configuration
func (c *Client) signInConfig(ctx context.Context) (signInConfig, error) {
	r := c.get("ask how to sign in", nil, "auth", "configuration")
	r.anonymous = true
	r.header = http.Header{"Accept": {"application/json"}}
	body, err := c.read(ctx, r)
	if _, answered := errors.AsType[*ServerError](err); answered {
		return signInConfig{}, nil
	} else if err != nil {
		return signInConfig{}, err
	}
	var config signInConfig
	if json.Unmarshal(body, &config) != nil {
		return signInConfig{}, nil
	}
	return config, nil
}

// deviceSignIn is the flow of RFC 8628.
func (c *Client) deviceSignIn(ctx context.Context, config signInConfig, show func(SignInPrompt) error) (map[string]any, error) {
	id, _ := c.env("JULIA_PKG_AUTHENTICATION_DEVICE_CLIENT_ID")
	if id == "" {
		id = "device"
	}
	wire := &oauthWire{client: c}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{Transport: wire, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }})
	flow := &oauth2.Config{ClientID: id, Endpoint: oauth2.Endpoint{DeviceAuthURL: config.Authorize, TokenURL: config.Token, AuthStyle: oauth2.AuthStyleInParams}}
	if config.Scope != "" {
		flow.Scopes = []string{config.Scope}
	}
	device, err := flow.DeviceAuth(ctx)
	if err != nil {
		return nil, c.oauthError(ctx, err)
	}
	prompt := SignInPrompt{URL: device.VerificationURIComplete, Code: device.UserCode, Expires: device.Expiry}
	if prompt.URL == "" {
		prompt.URL = device.VerificationURI
	}
	if device.DeviceCode == "" || !safePage(prompt.URL) {
		return nil, c.signInGarbage("no page that is safe to sign in on")
	}
	if err := show(prompt); err != nil {
		return nil, err
	}
	flow.Scopes = nil // it belongs to the first request alone
	if err := c.awaitDevice(ctx, flow, device); err != nil {
		return nil, err
	}
	values, err := tokenValues(wire.last)
	if err != nil {
		return nil, c.signInGarbage("no token")
	}
	values["refresh_url"] = config.RefreshURL
	return values, nil
}

// awaitDevice polls until the person has decided. A network that is away for a
// while does not end the sign-in.
func (c *Client) awaitDevice(ctx context.Context, flow *oauth2.Config, device *oauth2.DeviceAuthResponse) error {
	for {
		_, err := flow.DeviceAccessToken(ctx, device)
		if err == nil {
			return nil
		}
		err = c.oauthError(ctx, err)
		if !IsTemporary(err) {
			return err
		}
		c.log.DebugContext(ctx, "still waiting for the sign-in", "because", err)
	}
}

// oauthError turns the library's errors, which quote answers, into ours.
func (c *Client) oauthError(ctx context.Context, err error) error {
	const what = "sign in"
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrSignInExpired
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		switch e.ErrorCode {
		case "access_denied":
			return ErrSignInDenied
		case "expired_token":
			return ErrSignInExpired
		}
		return &ServerError{What: what, Host: c.base.Host, Status: e.Response.StatusCode, Message: plain(e.ErrorDescription)}
	}
	if e, ok := errors.AsType[*NetworkError](err); ok {
		return e
	}
	return c.signInGarbage("no token")
}

func (c *Client) signInGarbage(what string) error {
	return &ServerError{What: "sign in", Host: c.base.Host, Status: http.StatusOK, Err: errors.New(what)}
}

// oauthWire lets the OAuth library send by our own way, and keeps the last
// answer, of which the library knows only some fields.
type oauthWire struct {
	client *Client
	last   []byte
}

// RoundTrip sends one request of the library.
func (w *oauthWire) RoundTrip(req *http.Request) (*http.Response, error) {
	if !secureEnough(req.URL) {
		return nil, errors.New("a place that is not safe to sign in at")
	}
	form, err := io.ReadAll(io.LimitReader(req.Body, signInLimit))
	if err != nil {
		return nil, err
	}
	r := &request{what: "sign in", method: req.Method, header: req.Header, anonymous: true}
	got, err := w.client.roundTrip(req.Context(), r.withBody(form), req.URL, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = got.body.Close() }() // all that is wanted of it has been read
	if w.last, err = io.ReadAll(io.LimitReader(got.body, signInLimit)); err != nil {
		return nil, err
	}
	if temporaryStatus(got.status) {
		return nil, &NetworkError{What: "sign in", Host: req.URL.Host, Err: fmt.Errorf("HTTP status %d", got.status)}
	}
	if jsonObject(w.last) {
		got.header.Set("Content-Type", "application/json") // whatever it was called
	}
	return &http.Response{StatusCode: got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(w.last)), Request: req}, nil
}

// safePage reports whether a page may be opened in a browser.
func safePage(page string) bool {
	u, err := url.Parse(page)
	return err == nil && secureEnough(u)
}

// classicSignIn is the flow of older servers: a challenge, a page, a claim.
//
// POST /auth/challenge, the page /auth/response, POST /auth/claimtoken
func (c *Client) classicSignIn(ctx context.Context, show func(SignInPrompt) error) (map[string]any, error) {
	challenge := rand.Text() + rand.Text()
	challenge = challenge[:32]
	r := c.get("sign in", nil, "auth", "challenge").withBody([]byte(challenge))
	r.method, r.anonymous, r.once = http.MethodPost, true, true
	body, err := c.read(ctx, r)
	if err != nil {
		return nil, err
	}
	response := strings.TrimSpace(string(body))
	if !validToken(response) || strings.ContainsAny(response, "#<>\"") {
		return nil, c.signInGarbage("no challenge that can be answered")
	}
	if err := show(SignInPrompt{URL: c.server.join("auth", "response") + "?" + response}); err != nil {
		return nil, err
	}
	claim, err := json.Marshal(map[string]string{"challenge": challenge, "response": response})
	if err != nil {
		return nil, err
	}
	expires, failures := c.now().Add(claimTime), 0
	for {
		if err := c.wait(ctx, claimInterval); err != nil {
			return nil, err
		}
		if c.now().After(expires) {
			return nil, ErrSignInExpired
		}
		token, until, err := c.claim(ctx, claim)
		switch {
		case token != nil:
			return token, nil
		case err != nil && !IsTemporary(err):
			return nil, err
		case !until.IsZero():
			expires = until
		default:
			if failures++; failures > claimFailures {
				return nil, c.signInGarbage("no decision")
			}
		}
	}
}

// claim asks once whether the person has signed in. It returns the token, or
// until when to go on.
func (c *Client) claim(ctx context.Context, claim []byte) (token map[string]any, until time.Time, err error) {
	r := c.get("sign in", nil, "auth", "claimtoken").withBody(claim)
	r.method, r.anonymous, r.once = http.MethodPost, true, true
	body, err := c.read(ctx, r)
	if err != nil {
		return nil, time.Time{}, err
	}
	var answer struct {
		Token  json.RawMessage `json:"token"`
		Expiry loose           `json:"expiry"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil, time.Time{}, nil
	}
	if token, err := tokenValues(answer.Token); err == nil {
		return token, time.Time{}, nil
	}
	if seconds, ok := answer.Expiry.number(); ok {
		return nil, fromUnix(seconds), nil
	}
	return nil, time.Time{}, nil
}

// tokenValues reads a token's JSON as the values of a token file.
func tokenValues(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, errors.New("no JSON object")
	}
	values, _ := tomlValue(object).(map[string]any)
	if (&authFile{values: values}).token() == "" {
		return nil, errors.New("no token in it")
	}
	return values, nil
}

// tomlValue turns a value of JSON into one of TOML, which has no null.
func tomlValue(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // it was a number of JSON
		return f
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			if inner != nil {
				out[key] = tomlValue(inner)
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, inner := range v {
			if inner != nil {
				out = append(out, tomlValue(inner))
			}
		}
		return out
	}
	return value
}

// store keeps a token that signing in has brought.
func (t *tokens) store(ctx context.Context, values map[string]any) error {
	path := t.path()
	if err := atomicfile.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	setExpiry(values, values, t.now())
	unlock := t.lock(ctx, path)
	defer unlock()
	f, err := t.write(path, values)
	if err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.failed = f, failure{}
	return nil
}

// SignOut forgets the token: it removes the token file, also for Julia's own
// package manager. A token given by JULIAHUB_TOKEN is not ours to forget.
func (c *Client) SignOut(ctx context.Context) error {
	if c.tokens.explicit != "" {
		return ErrExplicitToken
	}
	return c.tokens.remove(ctx)
}

func (t *tokens) remove(ctx context.Context) error {
	for _, path := range t.paths {
		if _, err := os.Lstat(path); missing(err) {
			continue
		}
		if err := t.removeOne(ctx, path); err != nil {
			return fmt.Errorf("sign out: %w", err)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.failed = nil, failure{}
	return nil
}

func (t *tokens) removeOne(ctx context.Context, path string) error {
	unlock := t.lock(ctx, path)
	defer unlock()
	if err := os.Remove(path); err != nil && !missing(err) {
		return err
	}
	return nil
}

// TokenState is what can be told of a token without showing it.
type TokenState struct {
	Explicit bool      // given by JULIAHUB_TOKEN or a setting
	Path     string    // the token file, whether it is there or not; "" = there can be none
	Found    bool      // there is a token
	Expires  time.Time // zero = not told
	Expired  bool      // by our clock
	Refused  bool      // by the server, the last time that it was shown
	Refresh  bool      // it can be refreshed without the person
	Name     string    // the user's, as the token file has it, else the token itself
	Email    string
	Unusable error // why the file cannot be read; nil = it can, or there is none
}

// TokenState looks at the token. It touches no network.
func (c *Client) TokenState() TokenState {
	t := c.tokens
	if t.explicit != "" {
		name, email := claimed(t.explicit)
		return TokenState{Explicit: true, Found: true, Path: t.path(), Refused: t.wasRefused(t.explicit), Name: name, Email: email}
	}
	f, err := t.look()
	if err != nil {
		state := TokenState{Path: t.path()}
		if e, ok := errors.AsType[*AuthError](err); ok && e.Problem == TokenUnusable {
			state.Unusable = err
		}
		return state
	}
	name, email := claimed(f.token())
	state := TokenState{Found: true, Path: f.path, Expires: f.expiry(), Name: cmp.Or(f.text("user_name"), name), Email: cmp.Or(f.text("user_email"), email)}
	state.Refused = t.wasRefused(f.token())
	state.Expired = !state.Expires.IsZero() && !t.now().Before(state.Expires)
	_, state.Refresh = f.refreshAt()
	state.Refresh = state.Refresh && !t.beyondRefresh(f)
	return state
}

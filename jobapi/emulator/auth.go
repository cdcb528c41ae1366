package emulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/internal/atomicfile"
)

// userName and userEmail belong to the emulator's one user.
const (
	userName  = "emulator"
	userEmail = "emulator@localhost"
)

// tokens knows who may come in. root is the token that never changes; the
// others come from sign-ins and refreshes and expire.
type tokens struct {
	path string
	root string
	life time.Duration
	now  func() time.Time

	mu    sync.Mutex // guards state
	state tokenState
}

// tokenState is what the file tokens.json holds.
type tokenState struct {
	Root        string           `json:"root"`
	RootExpired bool             `json:"root_expired,omitempty"`
	Secret      string           `json:"secret"`  // signs upload URLs
	ID          map[string]int64 `json:"id"`      // id and access token → unix seconds of its end
	Refresh     map[string]bool  `json:"refresh"` // refresh tokens that were not used yet
}

// grant is a signed-in session as auth.toml holds it.
type grant struct {
	IDToken      string  `toml:"id_token" json:"id_token"`
	AccessToken  string  `toml:"access_token" json:"access_token"`
	RefreshToken string  `toml:"refresh_token" json:"refresh_token"`
	RefreshURL   string  `toml:"refresh_url" json:"refresh_url"`
	ExpiresIn    int64   `toml:"expires_in" json:"expires_in"`
	Expires      int64   `toml:"expires" json:"expires"`
	ExpiresAt    int64   `toml:"expires_at" json:"expires_at"`
	UserName     string  `toml:"user_name" json:"user_name"`
	UserEmail    string  `toml:"user_email" json:"user_email"`
	Name         *string `toml:"name,omitempty" json:"name,omitempty"`
}

func openTokens(path, root string, life time.Duration, now func() time.Time) (*tokens, error) {
	t := &tokens{path: path, life: life, now: now}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.state = tokenState{Root: randomText(32), Secret: randomText(32)}
	case err != nil:
		return nil, fmt.Errorf("read the emulator's tokens: %w", err)
	default:
		if err := json.Unmarshal(data, &t.state); err != nil {
			return nil, fmt.Errorf("the emulator's tokens in %s are damaged (remove the file to start anew): %w", path, err)
		}
	}
	if root != "" && root != t.state.Root {
		t.state.Root, t.state.RootExpired = root, false
	}
	if t.state.ID == nil {
		t.state.ID = map[string]int64{}
	}
	if t.state.Refresh == nil {
		t.state.Refresh = map[string]bool{}
	}
	t.root = t.state.Root
	return t, t.save()
}

// save writes the file. Callers hold mu or own t alone.
func (t *tokens) save() error {
	data, err := json.Marshal(t.state)
	if err != nil {
		return fmt.Errorf("encode the emulator's tokens: %w", err)
	}
	return atomicfile.Write(t.path, data, 0o600)
}

// valid reports whether a bearer token lets a request in now.
func (t *tokens) valid(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isRoot(token) {
		return !t.state.RootExpired
	}
	end, ok := t.state.ID[token]
	return ok && t.now().Unix() < end
}

// isRoot reports whether the token is the emulator's own, which the control
// endpoints take even when it counts as expired elsewhere.
func (t *tokens) isRoot(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(t.root)) == 1
}

// issue starts a session whose refresh goes to base.
func (t *tokens) issue(base, flow string) (grant, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seconds := int64(t.life / time.Second)
	end := t.now().Add(t.life).Unix()
	user := userName
	id, err := idToken(base, end)
	if err != nil {
		return grant{}, err
	}
	g := grant{
		IDToken:      id,
		AccessToken:  "access-" + randomText(40),
		RefreshToken: "refresh-" + randomText(40),
		RefreshURL:   base + "/auth/renew/token.toml/" + flow + "/",
		ExpiresIn:    seconds, Expires: end, ExpiresAt: end,
		UserName: userName, UserEmail: userEmail, Name: &user,
	}
	t.state.ID[g.IDToken], t.state.ID[g.AccessToken] = end, end
	t.state.Refresh[g.RefreshToken] = true
	return g, t.save()
}

// idToken makes what the real server's identity provider issues: a JSON Web
// Token that says whose it is. The signature is random text: the emulator knows
// the tokens that it issued.
func idToken(issuer string, end int64) (string, error) {
	header, err := json.Marshal(map[string]any{"alg": "RS256", "typ": "JWT"})
	if err != nil {
		return "", fmt.Errorf("encode an id token: %w", err)
	}
	claims, err := json.Marshal(map[string]any{"iss": issuer, "exp": end, "preferred_username": userName, "name": userName, "email": userEmail, "email_verified": true})
	if err != nil {
		return "", fmt.Errorf("encode an id token: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode(header) + "." + encode(claims) + "." + randomText(40), nil
}

// spend uses a refresh token up, as the real server's are good for one use.
func (t *tokens) spend(refresh string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.state.Refresh[refresh] {
		return false
	}
	delete(t.state.Refresh, refresh)
	return true
}

// expire ends every id token's life; refresh tokens stay good.
func (t *tokens) expire() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.RootExpired = true
	clear(t.state.ID)
	return t.save()
}

// sign is the signature that an upload URL carries.
func (t *tokens) sign(text string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	mac := hmac.New(sha256.New, []byte(t.state.Secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// ExpireTokens ends the life of every id token that there is, Token's too: the
// next request of each gets a 401, and only a refresh or a sign-in helps. The
// control endpoints still take Token.
func (e *Emulator) ExpireTokens() error { return e.tokens.expire() }

// AuthTOML starts a session as a sign-in would and returns it as the text of
// an auth.toml, for a depot's servers directory. Call it after Start.
func (e *Emulator) AuthTOML() (string, error) {
	g, err := e.tokens.issue(e.Info().URL, "v2")
	if err != nil {
		return "", err
	}
	return tomlText(g)
}

func tomlText(v any) (string, error) {
	var b strings.Builder
	if err := toml.NewEncoder(&b).Encode(v); err != nil {
		return "", fmt.Errorf("encode TOML: %w", err)
	}
	return b.String(), nil
}

// baseURL is the server's address as the request's sender knows it.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// handleRefresh takes a refresh token and answers with the TOML of a new session.
func (e *Emulator) handleRefresh(w http.ResponseWriter, r *http.Request) {
	if !e.tokens.spend(bearer(r)) {
		unauthorized(w)
		return
	}
	g, err := e.tokens.issue(baseURL(r), r.PathValue("flow"))
	if err != nil {
		e.broken(w, r, err)
		return
	}
	text, err := tomlText(g)
	if err != nil {
		e.broken(w, r, err)
		return
	}
	send(w, http.StatusOK, "application/toml", []byte(text))
}

func (e *Emulator) handleUser(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"username":    userName,
		"api_version": "0.0.1",
		"timezone":    map[string]string{"abbreviation": "Etc/UTC", "utc_offset": "+00:00"},
	}
	if e.quirks.Load().NoUsername {
		delete(m, "username")
	}
	reply(w, http.StatusOK, m)
}

// handleGraphQL answers the one query that clients of old servers send: who am I.
func (e *Emulator) handleGraphQL(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Hasura-Role") != "jhuser" {
		plain(w, http.StatusBadRequest, "this call needs the header X-Hasura-Role: jhuser")
		return
	}
	var query struct {
		OperationName *string        `json:"operationName"`
		Variables     map[string]any `json:"variables"`
		Query         string         `json:"query"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&query); err != nil || !strings.Contains(query.Query, "users") {
		reply(w, http.StatusOK, map[string]any{"errors": []any{map[string]string{"message": "the emulator answers a query of users alone"}}})
		return
	}
	user := map[string]any{
		"id": 1, "name": userName, "firstname": userName, "username": userName,
		"info": []any{map[string]string{"email": userEmail}},
	}
	reply(w, http.StatusOK, map[string]any{"data": map[string]any{"users": []any{user}}})
}

// broken answers when the emulator itself failed, and tells its owner why.
func (e *Emulator) broken(w http.ResponseWriter, r *http.Request, err error) {
	e.log.Error("the emulator failed at a request", "method", r.Method, "path", r.URL.Path, "error", err)
	reply(w, http.StatusOK, map[string]any{"success": false, "internal_error": true, "message": "Internal Server Error"})
}

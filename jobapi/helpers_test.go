package jobapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const testToken = "id-token-0123456789"

// fakeHub is a server under a path of its own, so that absolute paths fail. It
// refuses what no call of ours should send.
type fakeHub struct {
	*httptest.Server
	mux *http.ServeMux

	mu    sync.Mutex // guards paths
	paths []string   // what was asked for, in order
}

const basePath = "/hub"

func newHub(t *testing.T) *fakeHub {
	t.Helper()
	hub := &fakeHub{mux: http.NewServeMux()}
	hub.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), basePath)
		hub.mu.Lock()
		hub.paths = append(hub.paths, r.Method+" "+path)
		hub.mu.Unlock()
		if !ok {
			t.Errorf("%s %s is not below the server's path", r.Method, r.URL.Path)
		}
		if r.Header.Get("User-Agent") != "test-agent/1" {
			t.Errorf("%s: User-Agent %q", path, r.Header.Get("User-Agent"))
		}
		http.StripPrefix(basePath, hub.mux).ServeHTTP(w, r)
	}))
	t.Cleanup(hub.Close)
	return hub
}

// answer serves a fixed answer to calls that carry the token.
func (h *fakeHub) answer(t *testing.T, pattern string, check func(*http.Request), status int, body string) {
	t.Helper()
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+testToken {
			t.Errorf("%s: Authorization %q", pattern, got)
		}
		if check != nil {
			check(r)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func (h *fakeHub) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.paths...)
}

func (h *fakeHub) server(t *testing.T) Server {
	t.Helper()
	server, err := ParseServer(h.URL + basePath + "/")
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// client returns a Client that signs in by an explicit token and does not wait
// between attempts.
func (h *fakeHub) client(t *testing.T) *Client {
	return h.clientWith(t, Config{Token: testToken})
}

func (h *fakeHub) clientWith(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.Server = h.server(t)
	return newTestClient(t, cfg)
}

func newTestClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	if cfg.LookupEnv == nil {
		cfg.LookupEnv = env(nil)
	}
	if cfg.Home == "" {
		cfg.Home = t.TempDir()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(secretGuard{t})
	}
	cfg.UserAgent = "test-agent/1"
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.wait = func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) }
	t.Cleanup(c.Close)
	return c
}

// secretGuard is a log that fails the test when a secret gets into it.
type secretGuard struct{ t *testing.T }

func (g secretGuard) Enabled(context.Context, slog.Level) bool { return true }
func (g secretGuard) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	noSecrets(g.t, text)
	return nil
}
func (g secretGuard) WithAttrs([]slog.Attr) slog.Handler { return g }
func (g secretGuard) WithGroup(string) slog.Handler      { return g }

// noSecrets fails when a text holds a token or a signature.
func noSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{testToken, "id-token", "refresh-token", "access-token", "sig="} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret in %q", text)
		}
	}
}

func env(values map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		value, ok := values[key]
		return value, ok
	}
}

// writeAuth writes an auth.toml for the server into the depot below home.
func writeAuth(t *testing.T, home, dir, text string) string {
	t.Helper()
	path := filepath.Join(home, ".julia", "servers", dir, "auth.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

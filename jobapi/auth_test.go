package jobapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/internal/depot"
)

// authHub takes the tokens it is told to, and hands out new ones.
type authHub struct {
	*fakeHub
	mu        sync.Mutex // guards what follows
	valid     map[string]bool
	refreshes int
	reply     func(n int, w http.ResponseWriter) // nil = a new token "id-token-N"
}

func newAuthHub(t *testing.T, valid ...string) *authHub {
	t.Helper()
	h := &authHub{fakeHub: newHub(t), valid: map[string]bool{}}
	for _, token := range valid {
		h.valid[token] = true
	}
	h.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.valid[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "[]")
	})
	h.mux.HandleFunc("GET /refresh", func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.refreshes++
		want := "Bearer refresh-token-1"
		if h.refreshes > 1 {
			want = fmt.Sprintf("Bearer refresh-token-%d", h.refreshes)
		}
		if got := r.Header.Get("Authorization"); got != want {
			t.Errorf("refresh %d with %q, want %q", h.refreshes, got, want)
		}
		if h.reply != nil {
			h.reply(h.refreshes, w)
			return
		}
		h.valid = map[string]bool{fmt.Sprintf("id-token-new-%d", h.refreshes): true} // the old ones end
		_, _ = fmt.Fprintf(w, "id_token = \"id-token-new-%[1]d\"\naccess_token = \"access-token-%[1]d\"\nrefresh_token = \"refresh-token-%[2]d\"\nexpires_in = 3600\n", h.refreshes, h.refreshes+1)
	})
	return h
}

func (h *authHub) refreshed() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refreshes
}

// file writes an auth.toml for the hub and returns its path.
func (h *authHub) file(t *testing.T, home, token string, expires time.Time, more string) string {
	t.Helper()
	return writeAuth(t, home, depot.ServerDir(h.URL), fmt.Sprintf(`# kept by others
id_token = %q
access_token = "access-token-0"
refresh_token = "refresh-token-1"
refresh_url = %q
expires_at = %d
user_name = "ada"
%s`, token, h.URL+basePath+"/refresh", expires.Unix(), more))
}

func readTOML(t *testing.T, path string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if _, err := toml.DecodeFile(path, &values); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestTokenFile(t *testing.T) {
	for name, dir := range map[string]func(*authHub) string{
		"as Pkg names it":    func(h *authHub) string { return depot.ServerDir(h.URL) },
		"as older Pkg did":   func(h *authHub) string { return strings.TrimPrefix(h.URL, "http://") },
		"without the port":   func(*authHub) string { return "127.0.0.1" },
		"in a depot of ours": func(h *authHub) string { return depot.ServerDir(h.URL) },
	} {
		t.Run(name, func(t *testing.T) {
			h, home := newAuthHub(t, "id-token-a"), t.TempDir()
			if runtime.GOOS == "windows" && strings.Contains(dir(h), ":") {
				t.Skip("Windows has no such file names")
			}
			writeAuth(t, home, dir(h), `id_token = "id-token-a"`)
			cfg := Config{Home: home}
			if strings.HasSuffix(name, "ours") {
				cfg.Home, cfg.LookupEnv = t.TempDir(), env(map[string]string{"JULIA_DEPOT_PATH": filepath.Join(home, ".julia") + string(filepath.ListSeparator) + "/other"})
			}
			if _, err := h.clientWith(t, cfg).Jobs(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExplicitToken(t *testing.T) {
	h, home := newAuthHub(t, "id-token-env"), t.TempDir()
	path := h.file(t, home, "id-token-file", time.Now().Add(time.Hour), "")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := h.clientWith(t, Config{Home: home, LookupEnv: env(map[string]string{"JULIAHUB_TOKEN": " id-token-env\n", "JULIA_PKG_SERVER": h.URL + basePath})})
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file was written: %v", err)
	}
}

// TestTokenOfAnotherServer: the token of the environment is for the server of
// the environment, and for no other.
func TestTokenOfAnotherServer(t *testing.T) {
	for _, named := range []string{"", "https://hub.example.org", "pkg.julialang.org", "http://unsafe.example.org"} {
		h := newAuthHub(t, "id-token-env")
		c := h.clientWith(t, Config{LookupEnv: env(map[string]string{"JULIAHUB_TOKEN": "id-token-env", "JULIA_PKG_SERVER": named})})
		_, err := c.Jobs(t.Context(), 0)
		if e, ok := errors.AsType[*AuthError](err); !ok || e.Problem != NotSignedIn || len(h.asked()) > 0 {
			t.Errorf("%q: %v after %q", named, err, h.asked())
		}
	}
}

func TestUnusableTokens(t *testing.T) {
	for name, token := range map[string]string{"two lines": "a\r\nX-Evil: 1", "space": "id token", "not ASCII": "tökén"} {
		h := newAuthHub(t)
		_, err := h.clientWith(t, Config{Token: token}).Jobs(t.Context(), 0)
		if e, ok := errors.AsType[*AuthError](err); !ok || e.Problem != TokenUnusable || len(h.asked()) > 0 || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNotSignedIn(t *testing.T) {
	h := newAuthHub(t)
	home := t.TempDir()
	_, err := h.clientWith(t, Config{Home: home}).Jobs(t.Context(), 0)
	e, ok := errors.AsType[*AuthError](err)
	if want := filepath.Join(home, ".julia", "servers", depot.ServerDir(h.URL), "auth.toml"); !ok || e.Problem != NotSignedIn || e.Path != want {
		t.Errorf("%#v; want path %s", e, want)
	}
	_, err = h.clientWith(t, Config{LookupEnv: env(map[string]string{"JULIA_DEPOT_PATH": ""})}).Jobs(t.Context(), 0)
	if e, ok := errors.AsType[*AuthError](err); !ok || e.Path != "" || !strings.Contains(err.Error(), "JULIAHUB_TOKEN") {
		t.Errorf("no depot: %v", err)
	}
	if len(h.asked()) > 0 {
		t.Errorf("asked %q", h.asked())
	}
}

// TestRefreshEarly: before a token ends it is refreshed, and what the file says
// afterwards is right for all who read it.
func TestRefreshEarly(t *testing.T) {
	h, home := newAuthHub(t, "id-token-a"), t.TempDir()
	now := time.Now().Truncate(time.Second)
	path := h.file(t, home, "id-token-a", now.Add(time.Minute), "expires = 12\nexpires_in = 99999\nplan = [\"a\", \"b\"]\n[nested]\nwhen = 2020-01-01T00:00:00Z\n")
	c := h.clientWith(t, Config{Home: home, Now: func() time.Time { return now }})
	for range 3 {
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	if h.refreshed() != 1 {
		t.Errorf("%d refreshes", h.refreshed())
	}
	got := readTOML(t, path)
	for key, want := range map[string]any{
		"id_token": "id-token-new-1", "access_token": "access-token-1", "refresh_token": "refresh-token-2", "refresh_url": h.URL + basePath + "/refresh",
		"expires_in": int64(3600), "expires_at": now.Unix() + 3600, "expires": now.Unix() + 3600, "user_name": "ada", "plan": []any{"a", "b"},
		"nested": map[string]any{"when": time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if fmt.Sprint(got[key]) != fmt.Sprint(want) || fmt.Sprintf("%T", got[key]) != fmt.Sprintf("%T", want) {
			t.Errorf("%s = %T %v, want %T %v", key, got[key], got[key], want, want)
		}
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestRefreshAnswers: what the answer lacks is kept, but never an old expiry.
func TestRefreshAnswers(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for answer, want := range map[string]map[string]any{
		`id_token = "id-token-new"`:                                                              {"id_token": "id-token-new", "access_token": "access-token-0", "refresh_token": "refresh-token-1", "expires_at": nil, "expires": nil, "expires_in": nil},
		"id_token = \"id-token-new\"\nrefresh_token = \"\"":                                      {"refresh_token": "refresh-token-1"},
		"id_token = \"id-token-new\"\nexpires_in = 60.0":                                         {"expires_in": int64(60), "expires_at": now.Unix() + 60, "expires": now.Unix() + 60},
		"id_token = \"id-token-new\"\nexpires_in = \"60\"":                                       {"expires_in": int64(60), "expires_at": now.Unix() + 60},
		fmt.Sprintf("id_token = \"id-token-new\"\nexpires_at = %d", now.Unix()+90):               {"expires_in": int64(90), "expires": now.Unix() + 90},
		fmt.Sprintf("id_token = \"id-token-new\"\nexpires = %d\nexpires_in = 30", now.Unix()+90): {"expires_in": int64(30), "expires": now.Unix() + 30, "expires_at": now.Unix() + 30},
	} {
		h, home := newAuthHub(t, "id-token-new"), t.TempDir()
		h.reply = func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, answer) }
		path := h.file(t, home, "id-token-a", now.Add(-time.Minute), "expires = 12\nexpires_in = 7")
		if _, err := h.clientWith(t, Config{Home: home, Now: func() time.Time { return now }}).Jobs(t.Context(), 0); err != nil {
			t.Errorf("%s: %v", answer, err)
		}
		got := readTOML(t, path)
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s: %s = %v, want %v", answer, key, got[key], value)
			}
		}
	}
}

func TestExpiry(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		values map[string]any
		want   time.Time
	}{
		{map[string]any{}, time.Time{}},
		{map[string]any{"expires_at": int64(1_700_000_100)}, at.Add(100 * time.Second)},
		{map[string]any{"expires": 1_700_000_100.5}, at.Add(100*time.Second + 500*time.Millisecond)},
		{map[string]any{"expires_at": "1700000100"}, at.Add(100 * time.Second)},
		{map[string]any{"expires_in": int64(50)}, at.Add(50 * time.Second)},
		{map[string]any{"expires_in": int64(50), "expires_at": int64(1_700_000_100)}, at.Add(50 * time.Second)},
		{map[string]any{"expires_in": int64(500), "expires_at": int64(1_700_000_100)}, at.Add(100 * time.Second)},
		{map[string]any{"expires_in": "soon", "expires_at": true}, time.Time{}},
	} {
		f := &authFile{modified: at, values: test.values}
		if got := f.expiry(); !got.Equal(test.want) {
			t.Errorf("%v: %v, want %v", test.values, got, test.want)
		}
	}
}

// TestRefreshOn401: a token that the server no longer takes is refreshed once,
// even by many requests at once.
func TestRefreshOn401(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "")
	c := h.clientWith(t, Config{Home: home})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := c.Jobs(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if h.refreshed() != 1 {
		t.Errorf("%d refreshes", h.refreshed())
	}
}

// TestRefreshByManyClients is what several processes do: only the file and its
// lock are shared.
func TestRefreshByManyClients(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	h.file(t, home, "id-token-a", time.Now().Add(time.Second), "")
	var all sync.WaitGroup
	for range 8 {
		c := h.clientWith(t, Config{Home: home})
		c.wait = wait
		all.Go(func() {
			if _, err := c.Jobs(t.Context(), 0); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if h.refreshed() != 1 {
		t.Errorf("%d refreshes", h.refreshed())
	}
}

// TestFileReplaced: Pkg or the cloud IDE writes a new token; it is used without
// asking, and without a refresh.
func TestFileReplaced(t *testing.T) {
	h, home := newAuthHub(t, "id-token-a"), t.TempDir()
	path := h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "")
	c := h.clientWith(t, Config{Home: home})
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.valid = map[string]bool{"id-token-b": true}
	h.mu.Unlock()
	h.file(t, home, "id-token-b", time.Now().Add(time.Hour), "")
	// Same size and, on a coarse clock, the same time: only the 401 tells.
	old := time.Now().Add(-time.Hour)
	for _, when := range []time.Time{old, old} {
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}
	h.file(t, home, "id-token-c", time.Now().Add(time.Hour), "")
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.valid = map[string]bool{"id-token-c": true}
	h.mu.Unlock()
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if h.refreshed() != 0 {
		t.Errorf("%d refreshes", h.refreshed())
	}
}

// TestFileBeingWritten: a writer that truncates first does not sign us out.
func TestFileBeingWritten(t *testing.T) {
	h, home := newAuthHub(t, "id-token-a"), t.TempDir()
	path := h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "")
	c := h.clientWith(t, Config{Home: home})
	for _, text := range []string{"", "id_tok", "id_token = \"id-tok"} {
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
	// One that starts while the file is cut looks again.
	late := h.clientWith(t, Config{Home: home})
	late.wait = func(context.Context, time.Duration) error {
		h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "")
		return nil
	}
	if _, err := late.Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestFileUnusable(t *testing.T) {
	for name, text := range map[string]string{"no TOML": "id_token = id-token-secret", "no token": `user_name = "x"`, "wrong type": `id_token = 1`} {
		h, home := newAuthHub(t), t.TempDir()
		path := writeAuth(t, home, depot.ServerDir(h.URL), text)
		_, err := h.clientWith(t, Config{Home: home}).Jobs(t.Context(), 0)
		if e, ok := errors.AsType[*AuthError](err); !ok || e.Problem != TokenUnusable || e.Path != path {
			t.Errorf("%s: %v", name, err)
		}
		noSecrets(t, fmt.Sprint(err, errors.Unwrap(err)))
	}
}

// TestRefreshRefused: the person must sign in again; the server is not asked
// again and again.
func TestRefreshRefused(t *testing.T) {
	for name, reply := range map[string]func(int, http.ResponseWriter){
		"401":      func(_ int, w http.ResponseWriter) { w.WriteHeader(401) },
		"400":      func(_ int, w http.ResponseWriter) { w.WriteHeader(400) },
		"no token": func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, "expires_in = 3") },
		"garbage":  func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, "{\"id_token\": \"x\"}") },
		"a page":   func(_ int, w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			h, home := newAuthHub(t), t.TempDir()
			h.reply = reply
			path := h.file(t, home, "id-token-a", time.Now().Add(-time.Hour), "")
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			c := h.clientWith(t, Config{Home: home})
			for range 3 {
				_, err := c.Jobs(t.Context(), 0)
				if e, ok := errors.AsType[*AuthError](err); !ok || e.Problem != TokenExpired {
					t.Error(err)
				}
			}
			if h.refreshed() != 1 {
				t.Errorf("%d refreshes", h.refreshed())
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file was written: %s, %v", after, err)
			}
		})
	}
}

// TestClockWrong: a token that only seems to have ended is good if the server says so.
func TestClockWrong(t *testing.T) {
	h, home := newAuthHub(t, "id-token-a"), t.TempDir()
	h.reply = func(_ int, w http.ResponseWriter) { w.WriteHeader(403) }
	h.file(t, home, "id-token-a", time.Now().Add(-time.Hour), "")
	if _, err := h.clientWith(t, Config{Home: home}).Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

func TestRefreshURLs(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://hub.example.org/refresh": true, "http://127.0.0.1:3/x": true, "http://localhost/x": true, "http://hub.example.org/x": false,
		"": false, "ftp://hub.example.org": false, "file:///x": false, "https://u:p@hub.example.org/x": false, "/refresh": false,
	} {
		f := &authFile{values: map[string]any{"refresh_token": "r", "refresh_url": url}}
		if _, got := f.refreshAt(); got != ok {
			t.Errorf("%s: %v", url, got)
		}
	}
}

// TestRefreshOutlivesItsFirst: who gives up leaves the others their refresh.
func TestRefreshOutlivesItsFirst(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	h.file(t, home, "id-token-a", time.Now().Add(-time.Hour), "")
	reached, release := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	c := h.clientWith(t, Config{Home: home})
	ask := c.tokens.request
	c.tokens.request = func(ctx context.Context, f *authFile) ([]byte, error) {
		if once.CompareAndSwap(false, true) {
			close(reached)
		}
		<-release
		return ask(ctx, f)
	}
	first, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := c.Jobs(first, 0); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		close(release)
	})
	<-reached
	all.Go(func() {
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
	cancel()
	all.Wait()
	if h.refreshed() != 1 {
		t.Errorf("%d refreshes", h.refreshed())
	}
}

// TestRefreshReadOnlyDepot: a depot that cannot be written keeps nobody from working.
func TestRefreshReadOnlyDepot(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	h.file(t, home, "id-token-a", time.Now().Add(-time.Hour), "expires_in = 3600\n")
	c := h.clientWith(t, Config{Home: home})
	c.tokens.write = func(string, map[string]any) (*authFile, error) { return nil, errors.New("read-only file system") }
	for range 3 {
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}
	if h.refreshed() != 1 {
		t.Errorf("%d refreshes", h.refreshed())
	}
}

// TestExplicitRefused: a refused explicit token is the person's to replace.
func TestExplicitRefused(t *testing.T) {
	h := newAuthHub(t)
	_, err := h.clientWith(t, Config{Token: testToken}).Jobs(t.Context(), 0)
	if e, ok := errors.AsType[*AuthError](err); !ok || !e.Explicit || e.Problem != TokenRefused || len(h.asked()) != 1 {
		t.Errorf("%v after %q", err, h.asked())
	}
	noSecrets(t, err.Error())
}

package jobapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/internal/depot"
)

// inProcess answers requests without a network, so that time can be that of a
// synctest bubble.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	p.ServeHTTP(recorder, r)
	return recorder.Result(), r.Context().Err()
}

// signInHub is a server to sign in at.
type signInHub struct {
	t       *testing.T
	mux     *http.ServeMux
	mu      sync.Mutex // guards what follows
	polls   []time.Time
	replies []string // to polls, in order; the last one again and again. "503" is that status
	config  string   // of /auth/configuration; "" = 404
	device  string   // the device answer
	forms   []string
}

const (
	hubPlace     = "http://127.0.0.1:9999/hub"
	deviceConfig = `{"auth_flows":["classic","device"],"device_authorization_endpoint":"` + hubPlace + `/dex/device/code","device_token_endpoint":"` + hubPlace + `/dex/token","device_token_refresh_url":"` + hubPlace + `/refresh","device_token_scope":"openid profile offline_access"}`
	deviceAnswer = `{"device_code":"secret-device","user_code":"ABCD-EFGH","verification_uri":"` + hubPlace + `/device","verification_uri_complete":"` + hubPlace + `/device?user_code=ABCD-EFGH","expires_in":300,"interval":5}`
	deviceToken  = `{"access_token":"access-token-1","id_token":"id-token-1","refresh_token":"refresh-token-1","token_type":"bearer","expires_in":3600,"nothing":null,"extra":{"a":[1,2.5,null]}}`
	pending      = `{"error":"authorization_pending"}`
)

func newSignInHub(t *testing.T, config string, replies ...string) (*signInHub, *Client, string) {
	h := &signInHub{t: t, mux: http.NewServeMux(), config: config, replies: replies, device: deviceAnswer}
	h.mux.HandleFunc("GET /hub/auth/configuration", func(w http.ResponseWriter, _ *http.Request) {
		if h.config == "" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = io.WriteString(w, h.config)
	})
	h.mux.HandleFunc("POST /hub/dex/device/code", func(w http.ResponseWriter, r *http.Request) {
		h.form(r)
		_, _ = io.WriteString(w, h.device)
	})
	h.mux.HandleFunc("POST /hub/dex/token", h.poll)
	h.mux.HandleFunc("POST /hub/auth/challenge", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) != 32 || strings.ContainsFunc(string(body), func(r rune) bool { return r < '0' || r > 'z' }) {
			t.Errorf("challenge %q, %v", body, err)
		}
		h.forms = append(h.forms, string(body))
		_, _ = io.WriteString(w, h.device)
	})
	h.mux.HandleFunc("POST /hub/auth/claimtoken", h.poll)
	server, err := ParseServer(hubPlace)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	c := newTestClient(t, Config{Server: server, Home: home, Transport: inProcess{h.mux}})
	c.wait = wait
	return h, c, filepath.Join(home, ".julia", "servers", "127.0.0.1_9999", "auth.toml")
}

func (h *signInHub) form(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || len(r.Header["Authorization"]) > 0 {
		h.t.Errorf("%v, %v", err, r.Header)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forms = append(h.forms, string(body))
}

func (h *signInHub) poll(w http.ResponseWriter, r *http.Request) {
	h.form(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.polls = append(h.polls, time.Now())
	reply := h.replies[min(len(h.polls), len(h.replies))-1]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case reply == "503":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case strings.Contains(reply, `"error"`) && len(h.polls)%2 == 1:
		w.WriteHeader(http.StatusUnauthorized)
	case strings.Contains(reply, `"error"`):
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = io.WriteString(w, reply)
}

func TestDeviceSignIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, path := newSignInHub(t, deviceConfig, pending, pending, `{"error":"slow_down"}`, pending, "503", pending, deviceToken)
		began := time.Now()
		var prompts []SignInPrompt
		if err := c.SignIn(t.Context(), func(p SignInPrompt) error { prompts = append(prompts, p); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(prompts) != 1 || prompts[0].URL != hubPlace+"/device?user_code=ABCD-EFGH" || prompts[0].Code != "ABCD-EFGH" || prompts[0].Expires.Sub(began) != 5*time.Minute {
			t.Errorf("%+v", prompts)
		}
		want := []string{"client_id=device&scope=openid+profile+offline_access", "client_id=device&device_code=secret-device&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"}
		if len(h.forms) != 8 || h.forms[0] != want[0] || h.forms[1] != want[1] {
			t.Errorf("forms %q, want %q", h.forms, want)
		}
		for i, at := range h.polls {
			gap := at.Sub(began)
			if i > 0 {
				gap = at.Sub(h.polls[i-1])
			}
			if gap < 5*time.Second || i == 3 && gap < 10*time.Second || gap > 20*time.Second {
				t.Errorf("poll %d after %v", i, gap)
			}
		}
		got := readTOML(t, path)
		now := time.Now().Unix()
		for key, want := range map[string]any{
			"id_token": "id-token-1", "access_token": "access-token-1", "refresh_token": "refresh-token-1", "refresh_url": hubPlace + "/refresh",
			"expires_in": int64(3600), "expires": now + 3600, "expires_at": now + 3600, "token_type": "bearer", "nothing": nil,
		} {
			if got[key] != want {
				t.Errorf("%s = %v, want %v", key, got[key], want)
			}
		}
		if token, err := c.tokens.current(t.Context()); err != nil || token != "id-token-1" {
			t.Errorf("%q, %v", token, err)
		}
	})
}

func TestDeviceClientID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, _ := newSignInHub(t, strings.Replace(deviceConfig, `,"device_token_scope":"openid profile offline_access"`, "", 1), deviceToken)
		c.env = env(map[string]string{"JULIA_PKG_AUTHENTICATION_DEVICE_CLIENT_ID": "mine"})
		if err := c.SignIn(t.Context(), func(SignInPrompt) error { return nil }); err != nil || h.forms[0] != "client_id=mine" || !strings.HasPrefix(h.forms[1], "client_id=mine&") {
			t.Errorf("%v, %q", err, h.forms)
		}
	})
}

func TestSignInEnds(t *testing.T) {
	stop := errors.New("the person closed the window")
	for _, test := range []struct {
		name           string
		config, device string
		reply          string
		show           func(SignInPrompt) error
		want           error
	}{
		{"denied", deviceConfig, deviceAnswer, `{"error":"access_denied"}`, nil, ErrSignInDenied},
		{"expired", deviceConfig, deviceAnswer, `{"error":"expired_token"}`, nil, ErrSignInExpired},
		{"never decided", deviceConfig, deviceAnswer, pending, nil, ErrSignInExpired},
		{"not shown", deviceConfig, deviceAnswer, pending, func(SignInPrompt) error { return stop }, stop},
		{"classic, never decided", "", "response", `{"expiry":946684830}`, nil, ErrSignInExpired}, // half a minute from a bubble's beginning
		{"classic, not shown", "", "response", pending, func(SignInPrompt) error { return stop }, stop},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, c, path := newSignInHub(t, test.config, test.reply)
				h.device = test.device
				show := test.show
				if show == nil {
					show = func(SignInPrompt) error { return nil }
				}
				err := c.SignIn(t.Context(), show)
				if !errors.Is(err, test.want) || time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) > 11*time.Minute {
					t.Errorf("%v after %d polls", err, len(h.polls))
				}
				if _, err := os.Stat(path); !missing(err) {
					t.Errorf("a token file: %v", err)
				}
				noSecrets(t, err.Error())
			})
		})
	}
}

func TestSignInRefused(t *testing.T) {
	for _, test := range []struct{ name, config, device, reply string }{
		{"unsafe page", deviceConfig, strings.ReplaceAll(deviceAnswer, "http://127.0.0.1:9999", "http://evil.example.org"), ""},
		{"script page", deviceConfig, strings.ReplaceAll(deviceAnswer, hubPlace, "javascript:"), ""},
		{"no code", deviceConfig, `{"user_code":"x","verification_uri":"` + hubPlace + `"}`, ""},
		{"garbage", deviceConfig, "nonsense", ""},
		{"garbage for a token", deviceConfig, deviceAnswer, "nonsense"},
		{"no token", deviceConfig, deviceAnswer, `{"id_token":"id-token-1"}`},
		{"unknown error", deviceConfig, deviceAnswer, `{"error":"invalid_client","error_description":"who?"}`},
		{"classic garbage", "", "two words", ""},
		{"classic page", "", "<html>log in</html>", ""},
		{"classic nonsense", "", "response", "nonsense"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, c, path := newSignInHub(t, test.config, test.reply)
				h.device = test.device
				err := c.SignIn(t.Context(), func(SignInPrompt) error { return nil })
				if _, ok := errors.AsType[*ServerError](err); !ok {
					t.Errorf("%T %v", err, err)
				}
				if _, err := os.Stat(path); !missing(err) {
					t.Errorf("a token file: %v", err)
				}
				noSecrets(t, err.Error())
			})
		})
	}
}

func TestClassicSignIn(t *testing.T) {
	for name, config := range map[string]string{
		"no configuration": "", "classic only": `{"auth_flows":["classic"]}`, "garbage": `[1]`, "unsafe device": strings.ReplaceAll(deviceConfig, "http://127.0.0.1:9999", "http://evil.example.org"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, c, path := newSignInHub(t, config, `{"expiry":946684900}`, "503", `{"expiry":946684900.5}`, `{"token":`+deviceToken+`}`)
				h.device = "a-response=1"
				var page string
				if err := c.SignIn(t.Context(), func(p SignInPrompt) error { page = p.URL; return nil }); err != nil {
					t.Fatal(err)
				}
				var claim struct{ Challenge, Response string }
				if err := json.Unmarshal([]byte(h.forms[len(h.forms)-1]), &claim); err != nil || claim.Challenge != h.forms[0] || claim.Response != "a-response=1" {
					t.Errorf("claim %q, %v", h.forms, err)
				}
				if got := readTOML(t, path); page != hubPlace+"/auth/response?a-response=1" || got["id_token"] != "id-token-1" || got["expires"] != got["expires_at"] {
					t.Errorf("page %q, %v", page, got)
				}
			})
		})
	}
}

// TestSignInTwice: one window, and everybody gets what it brought.
func TestSignInTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := newSignInHub(t, deviceConfig, pending, deviceToken)
		shown := 0
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := c.SignIn(t.Context(), func(SignInPrompt) error { shown++; return nil }); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if shown != 1 {
			t.Errorf("shown %d times", shown)
		}
	})
}

// TestSignInTwiceRefused: a refusal is one for everybody who waited for it, and
// no reason for the next window.
func TestSignInTwiceRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := newSignInHub(t, deviceConfig, pending, `{"error":"access_denied"}`)
		shown := 0
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := c.SignIn(t.Context(), func(SignInPrompt) error { shown++; return nil }); !errors.Is(err, ErrSignInDenied) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if shown != 1 {
			t.Errorf("shown %d times", shown)
		}
	})
}

// TestSignInGivenUp: when the first no longer needs it, the next one still does;
// when a person called it off, nobody goes on.
func TestSignInGivenUp(t *testing.T) {
	calledOff := errors.New("called off")
	for _, cause := range []error{nil, calledOff} {
		synctest.Test(t, func(t *testing.T) {
			h, c, _ := newSignInHub(t, deviceConfig, pending)
			ctx, cancel := context.WithCancelCause(t.Context())
			first, second := make(chan error, 1), make(chan error, 1)
			shown := 0
			show := func(SignInPrompt) error { shown++; return nil }
			go func() { first <- c.SignIn(ctx, show) }()
			synctest.Wait()
			go func() { second <- c.SignIn(t.Context(), show) }()
			synctest.Wait()
			h.mu.Lock()
			h.replies = append(h.replies, deviceToken)
			h.mu.Unlock()
			cancel(cause)
			if err := <-first; err == nil {
				t.Error("no error")
			}
			if err := <-second; !errors.Is(err, cause) || shown != 1 && cause != nil || shown != 2 && cause == nil {
				t.Errorf("%v, shown %d times", err, shown)
			}
		})
	}
}

func TestSignInCancelled(t *testing.T) {
	for name, config := range map[string]string{"device": deviceConfig, "classic": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, c, _ := newSignInHub(t, config, pending)
				if config == "" {
					h.device = "response"
				}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- c.SignIn(ctx, func(SignInPrompt) error { return nil }) }()
				synctest.Wait()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}

func TestSignInImpossible(t *testing.T) {
	hub := newHub(t)
	if err := hub.client(t).SignIn(t.Context(), nil); !errors.Is(err, ErrExplicitToken) {
		t.Error(err)
	}
	if err := hub.client(t).SignOut(t.Context()); !errors.Is(err, ErrExplicitToken) {
		t.Error(err)
	}
	err := hub.clientWith(t, Config{LookupEnv: env(map[string]string{"JULIA_DEPOT_PATH": ""})}).SignIn(t.Context(), nil)
	if _, ok := errors.AsType[*AuthError](err); !ok || len(hub.asked()) > 0 {
		t.Errorf("%v, %q", err, hub.asked())
	}
}

func TestSignOut(t *testing.T) {
	h, home := newAuthHub(t, "id-token-a"), t.TempDir()
	path := h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "user_email = \"ada@example.org\"\n")
	older := writeAuth(t, home, "127.0.0.1", `id_token = "id-token-a"`)
	c := h.clientWith(t, Config{Home: home})
	state := c.TokenState()
	if !state.Found || state.Expired || !state.Refresh || state.Path != path || state.Name != "ada" || state.Email != "ada@example.org" || state.Expires.Before(time.Now()) {
		t.Errorf("%+v", state)
	}
	if err := c.SignOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, older} {
		if _, err := os.Stat(path); !missing(err) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := c.Jobs(t.Context(), 0); err == nil || c.TokenState().Found {
		t.Errorf("still signed in: %+v", c.TokenState())
	}
	if err := c.SignOut(t.Context()); err != nil {
		t.Errorf("signing out twice: %v", err)
	}
}

func TestTokenState(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	if state := h.client(t).TokenState(); !state.Explicit || !state.Found {
		t.Errorf("%+v", state)
	}
	h.file(t, home, "id-token-a", time.Now().Add(-time.Hour), "")
	if state := h.clientWith(t, Config{Home: home}).TokenState(); !state.Expired || !state.Refresh {
		t.Errorf("%+v", state)
	}
	writeAuth(t, home, strings.ReplaceAll(strings.TrimPrefix(h.URL, "http://"), ":", "_"), "nonsense")
	if state := h.clientWith(t, Config{Home: home}).TokenState(); state.Found || state.Unusable == nil {
		t.Errorf("%+v", state)
	}
	if state := h.clientWith(t, Config{LookupEnv: env(map[string]string{"JULIA_DEPOT_PATH": ""})}).TokenState(); state.Found || state.Path != "" {
		t.Errorf("%+v", state)
	}
}

// TestTokenStateRefused: what the server said of the token last is told, and of
// that token alone.
func TestTokenStateRefused(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	name := depot.ServerDir(h.URL)
	writeAuth(t, home, name, `id_token = "id-token-a"`)
	explicit, kept := h.client(t), h.clientWith(t, Config{Home: home})
	for _, c := range []*Client{explicit, kept} {
		if c.TokenState().Refused {
			t.Error("refused before it was shown")
		}
		if _, err := c.Jobs(t.Context(), 0); err == nil || !c.TokenState().Refused {
			t.Errorf("%v, %+v", err, c.TokenState())
		}
	}
	h.mu.Lock()
	h.valid[explicit.tokens.explicit] = true
	h.mu.Unlock()
	if _, err := explicit.Jobs(t.Context(), 0); err != nil || explicit.TokenState().Refused {
		t.Errorf("%v, %+v", err, explicit.TokenState())
	}
	writeAuth(t, home, name, `id_token = "id-token-other"`)
	if kept.TokenState().Refused {
		t.Error("another token counts as refused")
	}
}

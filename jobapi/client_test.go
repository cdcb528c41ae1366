package jobapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRetry: what passes by itself is tried again, with growing pauses.
func TestRetry(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503, 504} {
		hub := newHub(t)
		calls := 0
		hub.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls < 4 {
				w.WriteHeader(status)
				return
			}
			_, _ = io.WriteString(w, "[]")
		})
		c := hub.client(t)
		var pauses []time.Duration
		c.wait = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Errorf("%d: %v", status, err)
		}
		if len(pauses) != 3 || pauses[0] < 100*time.Millisecond || pauses[2] < 2*pauses[0]/3 {
			t.Errorf("%d: pauses %v", status, pauses)
		}
	}
}

func TestRetryEnds(t *testing.T) {
	for status, calls := range map[int]int{502: 4, 400: 1, 404: 1, 403: 1, 501: 1} {
		hub := newHub(t)
		hub.answer(t, "GET /juliaruncloud/get_jobs", nil, status, `{"message":"no luck"}`)
		_, err := hub.client(t).Jobs(t.Context(), 0)
		if err == nil || !strings.Contains(err.Error(), "no luck") || len(hub.asked()) != calls {
			t.Errorf("%d: %v after %d calls, want %d", status, err, len(hub.asked()), calls)
		}
	}
}

// TestRetryReset: a reset connection, before the answer or within it.
func TestRetryReset(t *testing.T) {
	hub := newWireServer(t, func(n int, conn net.Conn, _ *http.Request, _ []byte) {
		switch n {
		case 1:
			reset(conn)
		case 2:
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[")
			reset(conn)
		default:
			writeAnswer(conn, 200, "", "[]")
		}
	})
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	if _, err := c.Jobs(t.Context(), 0); err != nil || hub.counted("GET /juliaruncloud/get_jobs") != 3 {
		t.Errorf("%v after %d calls", err, hub.counted("GET /juliaruncloud/get_jobs"))
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{"7": 7 * time.Second, "Sun, 22 Nov 2026 10:00:09 GMT": 9 * time.Second, "-3": 0, "soon": 0} {
		hub := newHub(t)
		calls := 0
		hub.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", "Sun, 22 Nov 2026 10:00:00 GMT")
			if calls++; calls == 1 {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			_, _ = io.WriteString(w, "[]")
		})
		c := hub.client(t)
		var waited time.Duration
		c.wait = func(_ context.Context, d time.Duration) error { waited = max(waited, d); return nil }
		if _, err := c.Jobs(t.Context(), 0); err != nil || calls != 2 || waited < want || want > 0 && waited > want+time.Second {
			t.Errorf("%q: %v after %d calls and %v", header, err, calls, waited)
		}
	}
}

// TestRetryAfterLong: nobody waits for minutes inside a call, and until the time
// is over nobody asks.
func TestRetryAfterLong(t *testing.T) {
	hub := newHub(t)
	hub.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	now := time.Now()
	c := hub.clientWith(t, Config{Token: testToken, Now: func() time.Time { return now }})
	_, err := c.Jobs(t.Context(), 0)
	if RetryAfter(err) != 10*time.Minute || !IsTemporary(err) {
		t.Errorf("%v, %v", err, RetryAfter(err))
	}
	now = now.Add(time.Minute)
	if _, err = c.Nodes(t.Context()); RetryAfter(err) != 9*time.Minute || len(hub.asked()) != 1 {
		t.Errorf("%v, %v after %q", err, RetryAfter(err), hub.asked())
	}
	now = now.Add(9 * time.Minute)
	if _, err = c.Nodes(t.Context()); err == nil || len(hub.asked()) != 2 {
		t.Errorf("%v after %q", err, hub.asked())
	}
}

// TestRetryAfterMost: a server whose clock or units are wrong does not shut us
// out for good.
func TestRetryAfterMost(t *testing.T) {
	for _, header := range []string{"86401", "2000000000", "Wed, 21 Oct 2099 07:28:00 GMT"} {
		hub := newHub(t)
		hub.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
			if len(hub.asked()) == 1 {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			_, _ = io.WriteString(w, "[]")
		})
		now := time.Now()
		c := hub.clientWith(t, Config{Token: testToken, Now: func() time.Time { return now }})
		if _, err := c.Jobs(t.Context(), 0); RetryAfter(err) != MostQuiet {
			t.Errorf("%q: %v, %v", header, err, RetryAfter(err))
		}
		now = now.Add(MostQuiet)
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Errorf("%q, a day later: %v", header, err)
		}
	}
}

func TestErrorsIn200(t *testing.T) {
	for body, want := range map[string]string{
		`{"success":false,"internal_error":true,"message":"it broke"}`: "it broke",
		`{"success":false,"reason":"because"}`:                         "because",
		`{"success":false}`:                                            "says that it failed",
		"<!DOCTYPE html><html>login</html>":                            "web page",
		"<html>":                                                       "web page",
		`{"no":"list"}`:                                                "cannot be understood",
		"":                                                             "cannot be understood",
		`[{"jobname":`:                                                 "cannot be understood",
	} {
		hub := newHub(t)
		hub.answer(t, "GET /juliaruncloud/get_jobs", nil, 200, body)
		_, err := hub.client(t).Jobs(t.Context(), 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestMessagesAreTame: what a server says is shown on one line, without our token.
func TestMessagesAreTame(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /juliaruncloud/get_jobs", nil, 400, mustJSON(t, map[string]string{"message": "bad\r\n\x1b[31mtoken " + testToken + strings.Repeat(" x", 1000)}))
	_, err := hub.client(t).Jobs(t.Context(), 0)
	if err == nil || strings.ContainsAny(err.Error(), "\r\n\x1b") || len(err.Error()) > 600 {
		t.Errorf("%q", err)
	}
	noSecrets(t, err.Error())
}

func TestAnswerTooLarge(t *testing.T) {
	hub := newHub(t)
	hub.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(bytes.Repeat([]byte(" "), 4<<20)) // small on the way, large here
		_ = z.Close()
		_, _ = w.Write(packed.Bytes())
	})
	c := hub.client(t)
	c.limits.answer = 1 << 20
	if _, err := c.Jobs(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "more than 1 MB") {
		t.Error(err)
	}
}

func TestGzip(t *testing.T) {
	hub := newHub(t)
	hub.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, `[{"jobname":"jr-1"}]`)
		_ = z.Close()
	})
	if jobs, err := hub.client(t).Jobs(t.Context(), 0); err != nil || len(jobs) != 1 {
		t.Errorf("%v, %v", jobs, err)
	}
}

// TestRedirects: a token stays at home.
func TestRedirects(t *testing.T) {
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Authorization"]) > 0 || len(r.Header["X-Hasura-Role"]) > 0 || strings.Contains(r.URL.String(), testToken) {
			t.Errorf("another server got %v", r.Header)
		}
		_, _ = io.WriteString(w, "data")
	}))
	defer stranger.Close()
	hub := newHub(t)
	redirect := func(from, to string) {
		hub.mux.HandleFunc("GET "+from, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) })
	}
	redirect("/juliaruncloud/get_jobs", basePath+"/moved")
	hub.answer(t, "GET /moved", nil, 200, "[]")
	redirect("/api/rest/jobs/jr-1", stranger.URL)
	redirect("/app/config/nodespecs/info", strings.Replace(stranger.URL, "127.0.0.1", "localhost", 1))
	redirect("/app/packages/registries", basePath+"/app/packages/registries")
	redirect("/jobs/jr-1/files/x", stranger.URL)
	redirect("/jobs/jr-1/files/y", "http://example.invalid/unsafe")
	c := hub.client(t)
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Errorf("within the server: %v", err)
	}
	_, err := c.Job(t.Context(), "jr-1")
	if e, ok := errors.AsType[*ServerError](err); !ok || e.Status != 307 {
		t.Errorf("to another port: %v", err)
	}
	if _, err := c.Nodes(t.Context()); err == nil {
		t.Error("followed to another host")
	}
	if _, err := c.Registries(t.Context()); err == nil {
		t.Error("followed in a circle")
	}
	var file strings.Builder
	if err := c.Download(t.Context(), "jr-1", File{Name: "x", Size: 4}, &file, nil); err != nil || file.String() != "data" {
		t.Errorf("a file elsewhere: %q, %v", file.String(), err)
	}
	if err := c.Download(t.Context(), "jr-1", File{Name: "y", Size: 4}, &file, nil); err == nil {
		t.Error("followed to plain http")
	}
}

func TestStall(t *testing.T) {
	release := make(chan struct{})
	hub := newWireServer(t, func(n int, conn net.Conn, r *http.Request, _ []byte) {
		if strings.Contains(r.URL.Path, "get_jobs") {
			<-release // no answer
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		<-release
	})
	defer close(release)
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	c.limits.stall, c.limits.head, c.limits.attempts = 50*time.Millisecond, 100*time.Millisecond, 2
	if _, err := c.Jobs(t.Context(), 0); !errors.Is(err, errStalled) {
		t.Errorf("no head: %v", err)
	}
	if _, err := c.Nodes(t.Context()); !errors.Is(err, errStalled) {
		t.Errorf("no end: %v", err)
	}
}

func TestCancel(t *testing.T) {
	reached := make(chan struct{}, 1)
	hub := newHub(t)
	hub.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(_ http.ResponseWriter, r *http.Request) {
		reached <- struct{}{}
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	if _, err := hub.client(t).Jobs(ctx, 0); !errors.Is(err, context.Canceled) || IsTemporary(err) {
		t.Error(err)
	}
	if len(hub.asked()) != 1 {
		t.Errorf("asked %q", hub.asked())
	}
}

// TestPrivateAuthority: a server with a certificate of its own.
func TestPrivateAuthority(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/juliaruncloud/get_jobs" && r.ProtoMajor != 2 || r.Method == http.MethodPost && r.ProtoMajor != 1 {
			t.Errorf("%s over %s", r.URL.Path, r.Proto)
		}
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, `{"success":true,"jobname":"jr-1"}`)
			return
		}
		_, _ = io.WriteString(w, "[]")
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is meant
	server.StartTLS()
	defer server.Close()
	place, err := ParseServer(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = newTestClient(t, Config{Server: place, Token: testToken}).Jobs(t.Context(), 0)
	if err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("unknown authority: %v", err)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, Config{Server: place, Token: testToken, LookupEnv: env(map[string]string{"SSL_CERT_FILE": path})})
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if id, err := c.Submit(t.Context(), sampleSubmission()); err != nil || id != "jr-1" {
		t.Errorf("%q, %v", id, err)
	}
	// Julia's own variable will do, and a directory of such files.
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "README"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, names := range []map[string]string{
		{"JULIA_SSL_CA_ROOTS_PATH": path}, {"JULIA_SSL_CA_ROOTS_PATH": filepath.Dir(path)}, {"JULIA_SSL_CA_ROOTS_PATH": "", "SSL_CERT_FILE": path},
	} {
		if _, err := newTestClient(t, Config{Server: place, Token: testToken, LookupEnv: env(names)}).Jobs(t.Context(), 0); err != nil {
			t.Errorf("%v: %v", names, err)
		}
	}
	// A transport of another's making is not used for submissions as it is.
	given, ok := server.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatalf("%T", server.Client().Transport)
	}
	c = newTestClient(t, Config{Server: place, Token: testToken, Transport: given})
	if _, err := c.Jobs(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if id, err := c.Submit(t.Context(), sampleSubmission()); err != nil || id != "jr-1" {
		t.Errorf("%q, %v", id, err)
	}
	for _, bad := range []string{filepath.Join(t.TempDir(), "none"), os.DevNull, t.TempDir()} {
		if _, err := New(Config{Server: place, LookupEnv: env(map[string]string{"SSL_CERT_FILE": bad})}); err == nil {
			t.Errorf("%s holds certificates", bad)
		}
	}
}

func TestUser(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /api/v1", nil, 200, `{"username":"ada","api_version":"0.0.1","timezone":{"abbreviation":"UTC","utc_offset":"+0000"}}`)
	if user, err := hub.client(t).User(t.Context()); err != nil || user != (User{Name: "ada", APIVersion: "0.0.1"}) {
		t.Errorf("%+v, %v", user, err)
	}
}

func TestUserOfOldServer(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /api/v1", nil, 404, `not found`)
	hub.answer(t, "POST /v1/graphql", func(r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.HasPrefix(string(body), `{"operationName":null,"query":"query UserInfo`) || !strings.HasSuffix(string(body), `"variables":{}}`) {
			t.Errorf("body %s, %v", body, err)
		}
		if r.Header.Get("X-Hasura-Role") != "jhuser" || len(r.Header["X-Juliahub-Ensure-Js"]) > 0 {
			t.Errorf("headers %v", r.Header)
		}
	}, 200, `{"data":{"users":[{"id":1,"username":"ada","info":[{"email":"ada@example.org"}]}]}}`)
	if user, err := hub.client(t).User(t.Context()); err != nil || user != (User{Name: "ada", Email: "ada@example.org", APIVersion: "0.0.0"}) {
		t.Errorf("%+v, %v", user, err)
	}
}

func TestRegistries(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /app/packages/registries", nil, 200, `{"success":true,"registries":[{"id":1,"name":"General","uuid":"23338594-aafe-5451-b93e-139f81909106"},{"id":2,"name":null,"uuid":null}]}`)
	got, err := hub.client(t).Registries(t.Context())
	if err != nil || len(got) != 1 || got[0] != (Registry{"General", "23338594-aafe-5451-b93e-139f81909106"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestPing: any answer shows that a server is there, and no token is needed.
func TestPing(t *testing.T) {
	for status, body := range map[int]string{200: "{}", 404: "", 501: "<html>"} {
		hub := newHub(t)
		hub.mux.HandleFunc("GET /auth/configuration", func(w http.ResponseWriter, r *http.Request) {
			if len(r.Header["Authorization"]) > 0 {
				t.Error("the token went along")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		if err := hub.client(t).Ping(t.Context()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	hub := newHub(t)
	c := hub.clientWith(t, Config{})
	hub.Close()
	if err := c.Ping(t.Context()); !IsTemporary(err) {
		t.Error(err)
	}
}

// TestImpatient: who counts requests gets one for one.
func TestImpatient(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /juliaruncloud/get_jobs", nil, 502, "")
	if _, err := hub.client(t).Jobs(Impatient(t.Context()), 0); !IsTemporary(err) || len(hub.asked()) != 1 {
		t.Errorf("%v after %q", err, hub.asked())
	}
}

// TestQuietIsNotCutShort: a later answer that asks for less takes nothing back.
func TestQuietIsNotCutShort(t *testing.T) {
	hub := newHub(t)
	c := hub.client(t)
	c.beQuiet(time.Hour)
	c.beQuiet(time.Second)
	if _, err := c.Jobs(t.Context(), 0); RetryAfter(err) < 59*time.Minute || len(hub.asked()) != 0 {
		t.Errorf("%v after %q", err, hub.asked())
	}
}

package jobapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/internal/depot"
)

// wireServer is a TCP server that counts the requests whose bodies arrived
// whole, on whatever connection, and then does what the test wants.
type wireServer struct {
	listener net.Listener
	reply    func(n int, conn net.Conn, r *http.Request, body []byte)
	handlers sync.WaitGroup

	mu    sync.Mutex // guards what follows
	count map[string]int
	conns int
	seen  []*http.Request
	body  []byte
}

func newWireServer(t *testing.T, reply func(n int, conn net.Conn, r *http.Request, body []byte)) *wireServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &wireServer{listener: listener, reply: reply, count: map[string]int{}}
	s.handlers.Go(s.accept)
	t.Cleanup(func() { _ = listener.Close(); s.handlers.Wait() })
	return s
}

func (s *wireServer) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns++
		s.mu.Unlock()
		s.handlers.Go(func() { s.serve(conn) })
	}
}

func (s *wireServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		key := r.Method + " " + r.URL.Path
		s.mu.Lock()
		s.count[key]++
		n := s.count[key]
		s.seen, s.body = append(s.seen, r), body
		s.mu.Unlock()
		s.reply(n, conn, r, body)
		if r.Close {
			return
		}
	}
}

func (s *wireServer) server(t *testing.T) Server {
	t.Helper()
	server, err := ParseServer("http://" + s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func (s *wireServer) counted(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[key]
}

func (s *wireServer) requests() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*http.Request(nil), s.seen...)
}

func writeAnswer(conn net.Conn, status int, header, body string) {
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), header, body)
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func sampleSubmission() Submission {
	return Submission{
		Code: "println(1)", Args: map[string]string{SubmissionKey: "5f3a9dbe-0000-4000-8000-000000000001"},
		Node: Node{Class: "m6", VCores: 4}, Nodes: 1, LimitHours: 1, ProcessPerNode: true,
	}
}

const submitPath = "POST /juliaruncloud/submit_job"

// TestSubmitOnce: whatever breaks, the job goes over the wire once, and what is
// known about it is what is reported.
func TestSubmitOnce(t *testing.T) {
	const created = `{"success":true,"jobname":"jr-abc","message":""}`
	for _, test := range []struct {
		name  string
		reply func(conn net.Conn)
		want  string // created, refused, unknown
	}{
		{"created", func(c net.Conn) { writeAnswer(c, 200, "", created) }, "created"},
		{"reset after the body", reset, "unknown"},
		{"closed without an answer", func(c net.Conn) { _ = c.Close() }, "unknown"},
		{"half an answer", func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"succ")
			reset(c)
		}, "unknown"},
		{"half a head", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 O"); reset(c) }, "unknown"},
		{"garbage on the wire", func(c net.Conn) { _, _ = io.WriteString(c, "\x16\x03\x01nonsense\r\n\r\n"); _ = c.Close() }, "unknown"},
		{"garbage JSON", func(c net.Conn) { writeAnswer(c, 200, "", `{"success":tru`) }, "unknown"},
		{"an empty answer", func(c net.Conn) { writeAnswer(c, 200, "", "") }, "unknown"},
		{"an empty object", func(c net.Conn) { writeAnswer(c, 200, "", "{}") }, "unknown"},
		{"null", func(c net.Conn) { writeAnswer(c, 200, "", "null") }, "unknown"},
		{"no id", func(c net.Conn) { writeAnswer(c, 200, "", `{"success":true}`) }, "unknown"},
		{"a strange id", func(c net.Conn) { writeAnswer(c, 200, "", `{"success":true,"jobname":"../x"}`) }, "unknown"},
		{"a web page", func(c net.Conn) { writeAnswer(c, 200, "Content-Type: text/html\r\n", "<html>log in</html>") }, "unknown"},
		{"307", func(c net.Conn) { writeAnswer(c, 307, "Location: /elsewhere\r\n", "") }, "unknown"},
		{"308 to another host", func(c net.Conn) { writeAnswer(c, 308, "Location: http://localhost:1/x\r\n", "") }, "unknown"},
		{"302", func(c net.Conn) { writeAnswer(c, 302, "Location: /login\r\n", "") }, "unknown"},
		{"500", func(c net.Conn) { writeAnswer(c, 500, "", "") }, "unknown"},
		{"502", func(c net.Conn) { writeAnswer(c, 502, "", "bad gateway") }, "unknown"},
		{"503 with Retry-After", func(c net.Conn) { writeAnswer(c, 503, "Retry-After: 1\r\n", "") }, "unknown"},
		{"504", func(c net.Conn) { writeAnswer(c, 504, "", "") }, "unknown"},
		{"408", func(c net.Conn) { writeAnswer(c, 408, "", "") }, "unknown"},
		{"an internal error with 200", func(c net.Conn) {
			writeAnswer(c, 200, "", `{"success":false,"internal_error":true,"message":"oops"}`)
		}, "unknown"},
		{"refused with 200", func(c net.Conn) { writeAnswer(c, 200, "", `{"success":false,"message":"Quota exceeded"}`) }, "refused"},
		{"400", func(c net.Conn) { writeAnswer(c, 400, "", `{"message":"bad field"}`) }, "refused"},
		{"401", func(c net.Conn) { writeAnswer(c, 401, "", "") }, "refused"},
		{"403", func(c net.Conn) { writeAnswer(c, 403, "", "") }, "refused"},
		{"404", func(c net.Conn) { writeAnswer(c, 404, "", "") }, "refused"},
		{"413", func(c net.Conn) { writeAnswer(c, 413, "", "") }, "refused"},
		{"429", func(c net.Conn) { writeAnswer(c, 429, "Retry-After: 7\r\n", "") }, "refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := newWireServer(t, func(_ int, conn net.Conn, r *http.Request, _ []byte) {
				if r.Method == http.MethodGet {
					writeAnswer(conn, 200, "", "[]")
					return
				}
				test.reply(conn)
			})
			c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
			// A connection that could be used again, as after any other call.
			if _, err := c.Jobs(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			id, err := c.Submit(t.Context(), sampleSubmission())
			if got := outcomeOf(id, err); got != test.want {
				t.Errorf("outcome %s (%q, %v), want %s", got, id, err, test.want)
			}
			if err != nil {
				noSecrets(t, err.Error())
			}
			if n := hub.counted(submitPath); n != 1 {
				t.Errorf("%d submissions on the wire, want 1", n)
			}
			checkSubmitRequests(t, hub.requests())
		})
	}
}

func outcomeOf(id string, err error) string {
	if err == nil && id != "" {
		return "created"
	}
	if _, ok := errors.AsType[*RefusedError](err); ok && id == "" {
		return "refused"
	}
	if _, ok := errors.AsType[*NotSentError](err); ok && id == "" {
		return "not sent"
	}
	if _, ok := errors.AsType[*UnknownOutcomeError](err); ok && id == "" {
		return "unknown"
	}
	return fmt.Sprintf("%q with %T", id, err)
}

func checkSubmitRequests(t *testing.T, requests []*http.Request) {
	t.Helper()
	for _, r := range requests {
		if r.Method != http.MethodPost {
			if r.URL.Path != "/juliaruncloud/get_jobs" {
				t.Errorf("asked for %s %s", r.Method, r.URL.Path)
			}
			continue
		}
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key", "Expect"} {
			if r.Header.Get(name) != "" {
				t.Errorf("%s: %q", name, r.Header.Get(name))
			}
		}
		if r.ProtoMinor != 1 || !r.Close {
			t.Errorf("%s, Connection: %v; want HTTP/1.1 on a connection of its own", r.Proto, r.Header["Connection"])
		}
		if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("Content-Length %d, Transfer-Encoding %v", r.ContentLength, r.TransferEncoding)
		}
	}
}

// TestSubmitUsesNoOldConnection: even a server that closes idle connections
// under our feet gets every submission on a new one.
func TestSubmitUsesNoOldConnection(t *testing.T) {
	hub := newWireServer(t, func(n int, conn net.Conn, r *http.Request, _ []byte) {
		if r.Method == http.MethodGet {
			writeAnswer(conn, 200, "", "[]")
			reset(conn) // the client thinks that it may use it again
			return
		}
		writeAnswer(conn, 200, "", `{"success":true,"jobname":"jr-`+strconv.Itoa(n)+`"}`)
	})
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	for n := 1; n <= 3; n++ {
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		id, err := c.Submit(t.Context(), sampleSubmission())
		if want := "jr-" + strconv.Itoa(n); err != nil || id != want {
			t.Fatalf("%q, %v; want %s", id, err, want)
		}
	}
	if n := hub.counted(submitPath); n != 3 {
		t.Errorf("%d submissions on the wire, want 3", n)
	}
}

func TestSubmitNotSent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close() // nobody listens there now
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name, server string
		ctx          context.Context
	}{
		{"refused connection", "http://" + address, t.Context()},
		{"no such host", "https://no-such-host.invalid", t.Context()},
		{"cancelled before", "http://" + address, cancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, err := ParseServer(test.server)
			if err != nil {
				t.Fatal(err)
			}
			c := newTestClient(t, Config{Server: server, Token: testToken})
			id, err := c.Submit(test.ctx, sampleSubmission())
			if got := outcomeOf(id, err); got != "not sent" {
				t.Errorf("outcome %s, %v", got, err)
			}
			noSecrets(t, err.Error())
		})
	}
}

// TestSubmitNoTLS: a server that does not speak TLS gets no submission.
func TestSubmitNoTLS(t *testing.T) {
	hub := newWireServer(t, func(int, net.Conn, *http.Request, []byte) {})
	server, err := ParseServer("https://" + hub.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, Config{Server: server, Token: testToken})
	id, err := c.Submit(t.Context(), sampleSubmission())
	if got := outcomeOf(id, err); got != "not sent" {
		t.Errorf("outcome %s, %v", got, err)
	}
}

func TestSubmitWithoutToken(t *testing.T) {
	hub := newWireServer(t, func(int, net.Conn, *http.Request, []byte) {})
	c := newTestClient(t, Config{Server: hub.server(t)})
	id, err := c.Submit(t.Context(), sampleSubmission())
	if auth, ok := errors.AsType[*AuthError](err); outcomeOf(id, err) != "not sent" || !ok || auth.Problem != NotSignedIn {
		t.Errorf("%v", err)
	}
	if n := hub.counted(submitPath); n != 0 {
		t.Errorf("%d submissions on the wire, want none", n)
	}
}

// TestSubmitTimeout: no answer at all.
func TestSubmitTimeout(t *testing.T) {
	release := make(chan struct{})
	hub := newWireServer(t, func(int, net.Conn, *http.Request, []byte) { <-release })
	defer close(release)
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	id, err := c.Submit(ctx, sampleSubmission())
	if got := outcomeOf(id, err); got != "unknown" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("outcome %s, %v", got, err)
	}
	if n := hub.counted(submitPath); n != 1 {
		t.Errorf("%d submissions on the wire, want 1", n)
	}
}

// TestSubmitStalls: the answer begins and never ends.
func TestSubmitStalls(t *testing.T) {
	release := make(chan struct{})
	hub := newWireServer(t, func(_ int, conn net.Conn, _ *http.Request, _ []byte) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
		<-release
	})
	defer close(release)
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	c.limits.stall = 50 * time.Millisecond
	id, err := c.Submit(t.Context(), sampleSubmission())
	if got := outcomeOf(id, err); got != "unknown" || !errors.Is(err, errStalled) {
		t.Errorf("outcome %s, %v", got, err)
	}
}

// TestSubmitRefusedProxy is the wire of a proxy in between: not reaching the
// server through it means not sent.
func TestSubmitRefusedProxy(t *testing.T) {
	proxy := newWireServer(t, func(_ int, conn net.Conn, r *http.Request, _ []byte) {
		if r.Method != http.MethodConnect {
			t.Errorf("the proxy was asked to %s", r.Method)
		}
		writeAnswer(conn, http.StatusProxyAuthRequired, "", "")
		_ = conn.Close()
	})
	server, err := ParseServer("https://hub.example.invalid")
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, Config{Server: server, Token: testToken})
	c.fresh.(*http.Transport).Proxy = http.ProxyURL(proxy.server(t).url())
	c.shared.(*http.Transport).Proxy = c.fresh.(*http.Transport).Proxy
	id, err := c.Submit(t.Context(), sampleSubmission())
	if got := outcomeOf(id, err); got != "not sent" {
		t.Errorf("outcome %s, %v", got, err)
	}
	// A proxy that says no says so again: it is not asked four times.
	_, err = c.Jobs(t.Context(), 0)
	if n := len(proxy.requests()); err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY") || n != 2 {
		t.Errorf("%v after %d requests", err, n)
	}
	for _, r := range proxy.requests() {
		if strings.Contains(fmt.Sprint(r.Header), testToken) {
			t.Error("the proxy saw the token")
		}
	}
}

// TestSubmitOtherToken: a 401 is the one answer after which another token may be
// tried; the file's new one, or a refreshed one, and once.
func TestSubmitOtherToken(t *testing.T) {
	for name, test := range map[string]struct {
		valid     string // the token that the server takes
		expires   time.Duration
		replaced  bool // the file gets that token after the client has read it
		after     string
		submitted int
		outcome   string
	}{
		"refreshed":                    {"id-token-new-1", time.Hour, false, "", 2, "jr-1"},
		"replaced by someone else":     {"id-token-b", time.Hour, true, "", 2, "jr-1"},
		"refused again":                {"id-token-none", time.Hour, false, "", 2, "refused"},
		"and then the connection dies": {"id-token-new-1", time.Hour, false, "die", 2, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			hub := newWireServer(t, func(_ int, conn net.Conn, r *http.Request, _ []byte) {
				switch {
				case r.URL.Path == "/refresh":
					writeAnswer(conn, 200, "", "id_token = \"id-token-new-1\"\naccess_token = \"access-token-1\"\nexpires_in = 3600\n")
				case r.Header.Get("Authorization") != "Bearer "+test.valid:
					writeAnswer(conn, 401, "", "")
				case r.Method == http.MethodGet:
					writeAnswer(conn, 200, "", "[]")
				case test.after == "die":
					reset(conn)
				default:
					writeAnswer(conn, 200, "", `{"success":true,"jobname":"jr-1"}`)
				}
			})
			auth := func(token string) {
				writeAuth(t, home, depot.ServerDir(hub.server(t).String()), fmt.Sprintf("id_token = %q\nrefresh_token = \"refresh-token-1\"\nrefresh_url = %q\nexpires_at = %d\n", token, hub.server(t).String()+"/refresh", time.Now().Add(test.expires).Unix()))
			}
			auth("id-token-a")
			c := newTestClient(t, Config{Server: hub.server(t), Home: home})
			if test.replaced {
				c.fresh.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					auth(test.valid) // the client has read the file by now
					return new(net.Dialer).DialContext(ctx, network, address)
				}
			}
			id, err := c.Submit(t.Context(), sampleSubmission())
			submitted := hub.counted(submitPath)
			if got := outcomeOf(id, err); got != test.outcome && id != test.outcome || submitted != test.submitted {
				t.Errorf("%s %s after %d submissions: %v", got, id, submitted, err)
			}
		})
	}
}

// TestSubmitObeysQuiet: who asked for silence gets no submission either, which
// then certainly did not happen.
func TestSubmitObeysQuiet(t *testing.T) {
	hub := newWireServer(t, func(_ int, conn net.Conn, _ *http.Request, _ []byte) {
		writeAnswer(conn, 429, "Retry-After: 600\r\n", "")
	})
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	if _, err := c.Jobs(t.Context(), 0); RetryAfter(err) != 10*time.Minute {
		t.Fatal(err)
	}
	id, err := c.Submit(t.Context(), sampleSubmission())
	if outcomeOf(id, err) != "not sent" || RetryAfter(err) == 0 || hub.counted(submitPath) != 0 {
		t.Errorf("%v after %d submissions", err, hub.counted(submitPath))
	}
	if err := c.LogStream("jr-1", StreamOptions{}).Run(impatientFor(t, c), func([]LogMessage) error { return nil }); err == nil || len(hub.requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(hub.requests()))
	}
}

// impatientFor ends when the client first waits.
func impatientFor(t *testing.T, c *Client) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	c.wait = func(context.Context, time.Duration) error { cancel(); return context.Canceled }
	return ctx
}

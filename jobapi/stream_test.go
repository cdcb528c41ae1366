package jobapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fakeLog is a job's log on a server: it grows with every look that anybody
// takes at it, and its connections break as the test wants.
type fakeLog struct {
	t     *testing.T
	style string // of the messages' ids: whole, odd, none, mixed, some
	page  int    // messages in an answer
	cut   int    // messages after which a WebSocket breaks; 0 = never
	deaf  bool   // takes offset 0 for every offset
	step  int    // messages that come with every look
	total int
	hold  int // message before which a WebSocket falls silent; 0 = none
	again int // messages up to the asked place that come again

	mu      sync.Mutex // guards what follows
	written int
	sockets int
	offsets []string
	pages   int
	noWS    int // HTTP status instead of a WebSocket; 0 = WebSockets
	token   string
}

func (l *fakeLog) message(i int) map[string]any {
	m := map[string]any{"message": fmt.Sprintf("line %d", i), "keywords": map[string]any{}, "timestamp": 1_700_000_000_000 + int64(i/7)}
	if i%3 == 1 {
		m["timestamp"] = time.UnixMilli(1_700_000_000_000 + int64(i/7)).UTC().Format("2006-01-02T15:04:05.000")
	}
	if i%11 == 5 {
		delete(m, "message")
	}
	switch l.style {
	case "whole":
		m["eventId"] = strconv.Itoa(i + 1)
	case "odd":
		m["eventId"] = fmt.Sprintf("e-%d", i)
	case "mixed":
		m["eventId"] = strconv.Itoa(i ^ 1)
	case "some":
		if i%4 != 0 {
			m["eventId"] = strconv.Itoa(i + 1)
		}
	case "some odd":
		if i%4 == 0 {
			m["eventId"] = fmt.Sprintf("e-%d", i)
		}
		if i%4 == 1 {
			delete(m, "timestamp")
		}
	case "no times":
		m["eventId"] = strconv.Itoa(i + 1)
		delete(m, "timestamp")
	case "rare", "few": // a place every now and then
		if i%60 == 30 || l.style == "rare" && i%9 == 4 {
			m["eventId"] = fmt.Sprintf("e-%d", i)
		} else if i%2 == 0 {
			delete(m, "timestamp")
		}
	case "bare":
		delete(m, "timestamp")
	}
	return m
}

// grow lets the log grow and returns its length.
func (l *fakeLog) grow() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = min(l.total, l.written+l.step)
	return l.written
}

// find returns the index behind the message with that id.
func (l *fakeLog) find(id string) int {
	if l.style == "whole" {
		n, err := strconv.Atoi(id)
		if err != nil {
			l.t.Errorf("event id %q", id)
		}
		return n
	}
	for i := range l.total {
		if l.message(i)["eventId"] == id {
			return i + 1
		}
	}
	return 0
}

func (l *fakeLog) serveLogs(w http.ResponseWriter, r *http.Request) {
	n := l.grow()
	l.mu.Lock()
	l.pages++
	l.mu.Unlock()
	page := l.page
	if asked, err := strconv.Atoi(r.FormValue("nentries")); err == nil {
		page = min(page, asked)
	}
	from, to := max(0, n-page), n
	if id := r.FormValue("event_id"); r.FormValue("start_time") != "" {
		from = max(0, l.find(id)-l.again)
		to = min(n, from+page)
	} else if r.FormValue("end_time") != "" {
		to = max(0, l.find(id)-1)
		from = max(0, to-page)
	}
	list := []map[string]any{}
	if from == 0 {
		list = append(list, map[string]any{"_meta": true, "end": "top", "message": ""})
	}
	for i := from; i < to; i++ {
		list = append(list, l.message(i))
	}
	if to == l.total && l.hold == 0 {
		list = append(list, map[string]any{"_meta": true, "end": "bottom", "message": ""})
	}
	_, _ = io.WriteString(w, mustJSON(l.t, mustJSON(l.t, list)))
}

func (l *fakeLog) serveSocket(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.sockets++
	l.offsets = append(l.offsets, r.FormValue("offset"))
	status := l.noWS
	l.mu.Unlock()
	if got := r.Header.Get("Authorization"); got != "Bearer "+l.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	if r.FormValue("jobname") != "jr-1" || r.FormValue("log_out_type") != "json" || r.FormValue("refresh_interval") != "1" || r.UserAgent() != "test-agent/1" {
		l.t.Errorf("query %q, %v", r.URL.RawQuery, r.Header)
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	from := l.grow() // the present end
	if offset := r.FormValue("offset"); offset == "0" || l.deaf {
		from = 0
	} else if offset != "" {
		from = max(0, l.find(offset)-l.again)
	}
	send := func(text string) bool { return conn.Write(r.Context(), websocket.MessageText, []byte(text)) == nil }
	for sent := 0; ; {
		n := l.grow()
		if !send("") { // a keep-alive
			return
		}
		for ; from < n && (l.hold == 0 || from < l.hold); from++ {
			if l.cut > 0 && sent == l.cut {
				return
			}
			sent++
			if !send(mustJSON(l.t, l.message(from))) {
				return
			}
		}
		if n == l.total && l.hold == 0 {
			send(`{"_meta":true,"end":"bottom","message":""}`)
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return
		}
	}
}

func (l *fakeLog) start(t *testing.T) *Client {
	t.Helper()
	l.t, l.token = t, testToken
	hub := newHub(t)
	hub.mux.HandleFunc("GET /juliaruncloud/get_logs", l.serveLogs)
	hub.mux.HandleFunc("GET /ws/stream_logs", l.serveSocket)
	return hub.client(t)
}

func (l *fakeLog) want() []string {
	var want []string
	for i := range l.total {
		text, _ := l.message(i)["message"].(string)
		want = append(want, text)
	}
	return want
}

func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("%d lines, want %d; line %d: %q, want %q", len(got), len(want), i, at(got, i), at(want, i))
			return
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

// TestLogStream: every line once, in order, whatever the ids look like, wherever
// connections break, by WebSocket and by polling.
func TestLogStream(t *testing.T) {
	for _, style := range []string{"whole", "odd", "none", "mixed", "some", "some odd", "no times", "rare"} {
		for name, l := range map[string]*fakeLog{
			"at once":       {page: 50, step: 500},
			"growing":       {page: 50, step: 7},
			"breaking":      {page: 50, step: 13, cut: 40},
			"breaking soon": {page: 50, step: 3, cut: 3},
			"deaf":          {page: 50, step: 60, cut: 120, deaf: true},
			"no WebSockets": {page: 50, step: 13, noWS: 404},
			"proxy":         {page: 10, step: 500, noWS: 200},
			"small pages":   {page: 5, step: 6, noWS: 400},
		} {
			pages := name == "no WebSockets" || name == "proxy" || name == "small pages"
			if pages && (style == "none" || style == "no times") || style == "rare" && l.page < 10 {
				continue // see TestLogStreamWithoutPlaces
			}
			if name == "deaf" && !slices.Contains([]string{"whole", "odd", "mixed"}, style) || l.cut > 0 && style == "none" {
				continue // what comes again cannot be told from what is new
			}
			t.Run(style+" "+name, func(t *testing.T) {
				l.style, l.total = style, 400
				var got []string
				err := l.start(t).LogStream("jr-1", StreamOptions{}).Run(t.Context(), func(messages []LogMessage) error {
					for _, m := range messages {
						got = append(got, m.Message)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				compareLines(t, got, l.want())
				if style == "whole" && name != "deaf" && pages != (l.pages > 0 && l.sockets <= 1) {
					t.Errorf("%d pages, %d WebSockets", l.pages, l.sockets)
				}
			})
		}
	}
}

// TestLogStreamLost: where there is no way to go on, nothing wrong is shown.
func TestLogStreamLost(t *testing.T) {
	for _, style := range []string{"none", "no times"} {
		l := fakeLog{style: style, page: 50, step: 13, cut: 40, deaf: true, total: 400}
		c := l.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		waits := 0
		c.wait = func(ctx context.Context, _ time.Duration) error {
			if waits++; waits == 20 {
				cancel()
			}
			return context.Cause(ctx)
		}
		var got []string
		err := c.LogStream("jr-1", StreamOptions{}).Run(ctx, func(messages []LogMessage) error {
			for _, m := range messages {
				got = append(got, m.Message)
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || len(got) < 40 {
			t.Errorf("%s: %v after %d lines", style, err, len(got))
		}
		compareLines(t, got, l.want()[:len(got)])
	}
}

// TestLogStreamRestarts: a stream that goes on from a kept position, in another
// process, after every few lines.
func TestLogStreamRestarts(t *testing.T) {
	for _, style := range []string{"whole", "odd", "some", "some odd", "no times"} {
		for name, l := range map[string]*fakeLog{
			"by WebSocket": {page: 50, step: 13}, "by polling": {page: 50, step: 13, noWS: 404},
			"by WebSocket, from the last one on": {page: 50, step: 13, again: 1}, "by polling, from the last one on": {page: 50, step: 13, again: 1, noWS: 404},
			"by WebSocket, from before": {page: 50, step: 13, again: 9}, "by polling, from before": {page: 50, step: 13, again: 9, noWS: 404},
		} {
			switch {
			case style == "no times" && l.noWS != 0:
				continue
			case strings.HasPrefix(style, "some") && l.again > 1: // what has no id and comes out of turn is news
				continue
			}
			t.Run(style+" "+name, func(t *testing.T) {
				l.style, l.total = style, 300
				c := l.start(t)
				enough := errors.New("enough")
				var got []string
				var kept []byte
				for restarts := 0; restarts < 100; restarts++ {
					var from *LogPosition
					if kept != nil {
						from = &LogPosition{}
						if err := json.Unmarshal(kept, from); err != nil {
							t.Fatal(err)
						}
					}
					s := c.LogStream("jr-1", StreamOptions{From: from})
					room := 29
					err := s.Run(t.Context(), func(messages []LogMessage) error {
						if room < 0 {
							return enough // this batch was not taken
						}
						for _, m := range messages {
							got = append(got, m.Message)
							room--
						}
						return nil
					})
					kept = []byte(mustJSON(t, s.Position()))
					if err == nil {
						compareLines(t, got, l.want())
						return
					}
					if !errors.Is(err, enough) {
						t.Fatal(err)
					}
				}
				t.Errorf("no end after %d lines", len(got))
			})
		}
	}
}

// TestLogStreamWithoutPlaces: where WebSockets do not pass and few messages have
// both a time and an id, or none, all that can be known is shown: the whole log
// while a page shows it or overlaps with what was there before, else what the
// last page holds. Nothing comes twice, also in another process.
func TestLogStreamWithoutPlaces(t *testing.T) {
	for _, style := range []string{"none", "no times", "bare", "few", "rare"} {
		for _, test := range []struct {
			page, step int
			want       int // lines, of 400
		}{
			{page: 1000, step: 13, want: 400}, // as of less than 10,000 lines
			{page: 1000, step: 500, want: 400},
			{page: 50, step: 13, want: 400},
			{page: 50, step: 49, want: 400},
			{page: 50, step: 500, want: 50},
		} {
			for _, restarts := range []bool{false, true} {
				switch {
				case style == "rare":
					test.want = 400 // its pages can be asked for
				case style == "few" && test.want < 400, test.step == 49 && (style == "few" || restarts):
					continue // a second look finds more lines than a page shows; see below
				}
				t.Run(fmt.Sprintf("%s, %d a page, %d a look, restarts %v", style, test.page, test.step, restarts), func(t *testing.T) {
					l := &fakeLog{style: style, page: test.page, step: test.step, total: 400, noWS: 404}
					got := l.readAll(t, l.start(t), restarts)
					compareLines(t, got, l.want()[400-test.want:])
					if l.pages > 3*400/min(test.step, 13)+10 {
						t.Errorf("%d pages were asked for", l.pages)
					}
				})
			}
		}
	}
	// With a place in the midst, what lies around it can be asked for, and no more.
	l := &fakeLog{style: "few", page: 50, step: 500, total: 400, noWS: 404}
	got := l.readAll(t, l.start(t), false)
	if all := l.want(); !inOrder(got, all) || len(got) < 50 || got[len(got)-1] != all[399] {
		t.Errorf("%d lines, to %q", len(got), at(got, len(got)-1))
	}
}

// readAll follows the log to its end, with restarts after every few lines.
func (l *fakeLog) readAll(t *testing.T, c *Client, restarts bool) []string {
	t.Helper()
	enough := errors.New("enough")
	var got []string
	var from *LogPosition
	for range 200 {
		s := c.LogStream("jr-1", StreamOptions{From: from})
		room := 29
		err := s.Run(t.Context(), func(messages []LogMessage) error {
			if room < 0 && restarts {
				return enough // this batch was not taken
			}
			for _, m := range messages {
				got = append(got, m.Message)
				room--
			}
			return nil
		})
		if err == nil {
			return got
		}
		if !errors.Is(err, enough) {
			t.Fatal(err)
		}
		from = &LogPosition{}
		if err := json.Unmarshal([]byte(mustJSON(t, s.Position())), from); err != nil {
			t.Fatal(err)
		}
	}
	t.Errorf("no end after %d lines", len(got))
	return got
}

// inOrder reports whether some lines are among all, each once and in their order.
func inOrder(some, all []string) bool {
	for _, line := range some {
		i := slices.Index(all, line)
		if i < 0 {
			return false
		}
		all = all[i+1:]
	}
	return true
}

// TestLogStreamOffsets: a WebSocket is asked for all lines first, then for those
// after the last one seen; never for the present end.
func TestLogStreamOffsets(t *testing.T) {
	l := fakeLog{style: "whole", page: 50, step: 500, cut: 100, total: 250}
	if err := l.start(t).LogStream("jr-1", StreamOptions{}).Run(t.Context(), func([]LogMessage) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0", "100", "200"}; !slices.Equal(l.offsets, want) || l.pages != 0 {
		t.Errorf("offsets %q, want %q; %d pages", l.offsets, want, l.pages)
	}
}

func TestLogStreamPolite(t *testing.T) {
	l := fakeLog{style: "whole", page: 50, total: 100, written: 40, noWS: 502}
	c := l.start(t)
	var pauses []time.Duration
	c.wait = func(_ context.Context, d time.Duration) error {
		if pauses = append(pauses, d); len(pauses) == 12 {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.step = 100
		}
		return nil
	}
	if err := c.LogStream("jr-1", StreamOptions{}).Run(t.Context(), func([]LogMessage) error { return nil }); err != nil {
		t.Fatal(err)
	}
	first, last := pauses[0], pauses[len(pauses)-1]
	if first > 5*time.Second || last < 20*time.Second || last > 40*time.Second {
		t.Errorf("pauses %v", pauses)
	}
}

// TestLogStreamOfLongLines: where a page of the usual number of messages is too
// large, fewer are asked for.
func TestLogStreamOfLongLines(t *testing.T) {
	l := fakeLog{style: "whole", page: 10_000, step: 500, total: 400, noWS: 404}
	c := l.start(t)
	c.limits.answer = 20_000
	n := 0
	if err := c.LogStream("jr-1", StreamOptions{}).Run(t.Context(), func(m []LogMessage) error { n += len(m); return nil }); err != nil || n != 400 {
		t.Errorf("%d lines, %v", n, err)
	}
}

// TestLogStreamsWithoutWebSockets: what one stream learned of the server, the
// others need not try, for a while; what was said of one job alone means nothing.
func TestLogStreamsWithoutWebSockets(t *testing.T) {
	for name, jobHasLog := range map[string]bool{"a server without": true, "a job without": false} {
		l := &fakeLog{t: t, style: "whole", page: 50, step: 500, total: 60, noWS: 404, token: testToken}
		hub := newHub(t)
		hub.mux.HandleFunc("GET /ws/stream_logs", l.serveSocket)
		hub.mux.HandleFunc("GET /juliaruncloud/get_logs", func(w http.ResponseWriter, r *http.Request) {
			if !jobHasLog {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			l.serveLogs(w, r)
		})
		now := time.Now()
		c := hub.clientWith(t, Config{Token: testToken, Now: func() time.Time { return now }})
		follow := func() {
			n := 0
			err := c.LogStream("jr-1", StreamOptions{}).Run(t.Context(), func(m []LogMessage) error { n += len(m); return nil })
			if jobHasLog && (err != nil || n != l.total) || !jobHasLog && !isPermission(err) {
				t.Errorf("%s: %d lines, %v", name, n, err)
			}
		}
		for range 5 {
			follow()
		}
		want := 5
		if jobHasLog {
			want = 1
		}
		if l.sockets != want {
			t.Errorf("%s: %d WebSockets were tried, want %d", name, l.sockets, want)
		}
		now = now.Add(noSocketsFor)
		follow()
		if l.sockets != want+1 {
			t.Errorf("%s: %d WebSockets were tried after a while, want %d", name, l.sockets, want+1)
		}
	}
}

// TestLogStreamEnds: without a marker, the job's end and silence are the log's
// end, be there places in it or not; and nobody keeps asking.
func TestLogStreamEnds(t *testing.T) {
	for _, style := range []string{"whole", "none", "no times", "bare", "few"} {
		for name, status := range map[string]int{"by WebSocket": 0, "by polling": 404} {
			t.Run(style+" "+name, func(t *testing.T) {
				t.Parallel()
				l := fakeLog{style: style, page: 50, step: 20, total: 1000, noWS: status}
				c := l.start(t)
				var got []string
				err := c.LogStream("jr-1", StreamOptions{JobDone: func() bool {
					l.mu.Lock()
					defer l.mu.Unlock()
					if l.written >= 200 {
						l.step = 0 // the job is done, and its log is not closed
					}
					return l.step == 0
				}}).Run(t.Context(), func(messages []LogMessage) error {
					for _, m := range messages {
						got = append(got, m.Message)
					}
					return nil
				})
				l.mu.Lock()
				defer l.mu.Unlock()
				if err != nil || l.written < 200 {
					t.Fatalf("%d lines were written, %v", l.written, err)
				}
				compareLines(t, got, l.want()[:l.written])
				if status == 0 && l.pages > 2 {
					t.Errorf("%d pages were asked for", l.pages)
				}
			})
		}
	}
}

// TestLogStreamThatStalls: a WebSocket that keeps silent about the end of a log
// without places, for long, is not waited for.
func TestLogStreamThatStalls(t *testing.T) {
	l := fakeLog{style: "none", page: 50, step: 500, total: 60, hold: 45}
	s := l.start(t).LogStream("jr-1", StreamOptions{JobDone: func() bool { return true }})
	s.calm, s.looks.InitialInterval = 10*time.Millisecond, time.Millisecond
	s.looks.Reset()
	var got []string
	err := s.Run(t.Context(), func(messages []LogMessage) error {
		for _, m := range messages {
			got = append(got, m.Message)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	compareLines(t, got, l.want())
}

func TestLogStreamStops(t *testing.T) {
	l := fakeLog{style: "whole", page: 50, step: 1, total: 1 << 30}
	l.page = 1
	c := l.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := c.LogStream("jr-1", StreamOptions{}).Run(ctx, func([]LogMessage) error {
		if n++; n == 5 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := c.LogStream("../x", StreamOptions{}).Run(t.Context(), nil); !errors.Is(err, ErrNoSuchJob) {
		t.Error(err)
	}
}

// TestLogStreamRefused: a job that this user may not see, a token that is none.
func TestLogStreamRefused(t *testing.T) {
	hub := newHub(t)
	status := 403
	hub.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	run := func() error {
		return hub.client(t).LogStream("jr-1", StreamOptions{}).Run(t.Context(), func([]LogMessage) error { return nil })
	}
	if err := run(); !isPermission(err) {
		t.Error(err)
	}
	status = 401
	err := run()
	if _, ok := errors.AsType[*AuthError](err); !ok {
		t.Error(err)
	}
}

// TestLogStreamRenewsToken: a WebSocket that is refused for its token is opened with a fresh one.
func TestLogStreamRenewsToken(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "")
	l := fakeLog{t: t, style: "whole", page: 50, step: 500, total: 10, token: "id-token-new-1"}
	h.mux.HandleFunc("GET /ws/stream_logs", l.serveSocket)
	n := 0
	err := h.clientWith(t, Config{Home: home}).LogStream("jr-1", StreamOptions{}).Run(t.Context(), func(m []LogMessage) error { n += len(m); return nil })
	if err != nil || n != 10 || h.refreshed() != 1 {
		t.Errorf("%d lines, %v, %d refreshes", n, err, h.refreshed())
	}
}

// TestLogStreamRedirect: a token does not follow a redirect of a WebSocket.
func TestLogStreamRedirect(t *testing.T) {
	l := fakeLog{t: t, style: "whole", page: 50, step: 500, total: 10}
	stranger := newHub(t)
	stranger.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	hub := newHub(t)
	hub.mux.HandleFunc("GET /ws/stream_logs", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL+basePath+"/ws/stream_logs", http.StatusTemporaryRedirect)
	})
	hub.mux.HandleFunc("GET /juliaruncloud/get_logs", l.serveLogs)
	n := 0
	if err := hub.client(t).LogStream("jr-1", StreamOptions{}).Run(t.Context(), func(m []LogMessage) error { n += len(m); return nil }); err != nil || n != 10 {
		t.Errorf("%d lines, %v", n, err)
	}
}

func TestCursorMemory(t *testing.T) {
	c := newCursor(nil)
	for _, style := range []string{"whole", "none", "odd"} {
		for i := range ringSize + 2*afterSize {
			m := LogMessage{Message: "line", Time: time.UnixMilli(int64(i + 1))}
			if style != "none" {
				m.EventID = map[string]string{"whole": "", "odd": "e"}[style] + strconv.Itoa(i)
			}
			c.commit([]LogMessage{m})
		}
		if len(c.ring) > ringSize || len(c.known) > ringSize || len(c.pos.AfterOffset) > afterSize || len(c.pos.AfterMark) > afterSize {
			t.Errorf("%s: ring %d, known %d, after %d and %d", style, len(c.ring), len(c.known), len(c.pos.AfterOffset), len(c.pos.AfterMark))
		}
	}
	if text := mustJSON(t, c.position()); len(text) > 500_000 || strings.Contains(text, "null") {
		t.Errorf("a position of %d bytes", len(text))
	}
}

// TestLogStreamOfDoneJob: pages fetched at a job's end overtake the WebSocket,
// which then brings the same again, some of it without ids.
func TestLogStreamOfDoneJob(t *testing.T) {
	for _, style := range []string{"whole", "odd", "mixed", "some", "some odd", "no times", "none"} {
		for _, step := range []int{1, 500} { // 500: all is there before anybody looks
			if style == "none" && step == 1 {
				continue // what comes again cannot be told from what is new
			}
			l := &fakeLog{style: style, page: 50, step: step, total: 400}
			c := l.start(t)
			var got []string
			s := c.LogStream("jr-1", StreamOptions{JobDone: func() bool { return true }})
			err := s.Run(t.Context(), func(messages []LogMessage) error {
				for _, m := range messages {
					got = append(got, m.Message)
				}
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", style, err)
			}
			compareLines(t, got, l.want())
		}
	}
}

// TestSameMessage: the ways of reading a log may differ in what they say of times.
func TestSameMessage(t *testing.T) {
	when := time.UnixMilli(1_700_000_000_123)
	for name, test := range map[string]struct {
		a, b LogMessage
		same bool
	}{
		"time rounded":         {LogMessage{EventID: "1", Message: "x", Time: when}, LogMessage{EventID: "1", Message: "x", Time: when.Truncate(time.Second)}, true},
		"time missing":         {LogMessage{EventID: "1", Message: "x", Time: when}, LogMessage{EventID: "1", Message: "x"}, true},
		"one id, two lines":    {LogMessage{EventID: "1", Message: "x", Time: when}, LogMessage{EventID: "1", Message: "y", Time: when}, false},
		"no id, another time":  {LogMessage{Message: "x", Time: when}, LogMessage{Message: "x", Time: when.Add(time.Millisecond)}, false},
		"no id, finer written": {LogMessage{Message: "x", Time: when}, LogMessage{Message: "x", Time: when.Add(time.Microsecond)}, true},
	} {
		c := newCursor(nil)
		c.commit([]LogMessage{test.a})
		if same := checksum(test.a) == checksum(test.b); same != test.same {
			t.Errorf("%s: the same: %v", name, same)
		}
		if test.a.EventID != "" && (len(c.fresh([]LogMessage{test.b})) == 0) != test.same {
			t.Errorf("%s: shown twice, or not at all", name)
		}
	}
}

// TestLogStreamMemory: a long log takes no more memory than a short one, by
// WebSocket and by polling, whether its messages have places or not.
func TestLogStreamMemory(t *testing.T) {
	const total, every = 40_000, 5_000
	for _, style := range []string{"whole", "none"} {
		for name, status := range map[string]int{"by WebSocket": 0, "by polling": 404} {
			if style == "none" && status != 0 {
				continue // no more than a page can be known
			}
			t.Run(style+" "+name, func(t *testing.T) {
				l := &fakeLog{style: style, page: 1000, step: total, total: total, noWS: status}
				n := 0
				var heap []uint64
				err := l.start(t).LogStream("jr-1", StreamOptions{}).Run(t.Context(), func(m []LogMessage) error {
					if n/every != (n+len(m))/every {
						runtime.GC()
						var stats runtime.MemStats
						runtime.ReadMemStats(&stats)
						heap = append(heap, stats.HeapAlloc>>10)
					}
					n += len(m)
					return nil
				})
				if err != nil || n != total {
					t.Fatalf("%d lines, %v", n, err)
				}
				// What is known of the last lines, to see what comes twice, has 3 MB at most.
				if least, most := slices.Min(heap), slices.Max(heap); most-least > 8<<10 {
					t.Errorf("the heap grew from %d to %d kB: %d", least, most, heap)
				}
			})
		}
	}
}

package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// listen opens a log stream.
func (b *bench) listen(id, query string) *websocket.Conn {
	b.t.Helper()
	conn, resp, err := websocket.Dial(b.t.Context(), b.url+"/ws/stream_logs?log_out_type=json&jobname="+id+query,
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + b.Token()}}})
	if err != nil {
		b.t.Fatalf("%v: %v", err, resp)
	}
	b.t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// next reads a message, passing over keep-alives, which it counts.
func next(t *testing.T, conn *websocket.Conn, alive *int) (text string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return "", err
		}
		if kind != websocket.MessageText {
			t.Errorf("a frame of kind %v", kind)
		}
		if len(data) == 0 {
			*alive++
			continue
		}
		var m struct {
			Message string
			EventID string
			Meta    bool `json:"_meta"`
			End     string
		}
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if m.Meta {
			return "<" + m.End + ">", nil
		}
		return m.EventID + " " + m.Message, nil
	}
}

func TestStream(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	alive := 0
	want := func(conn *websocket.Conn, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got, err := next(t, conn, &alive); err != nil || got != text {
				t.Errorf("got %q, %v, want %q", got, err, text)
			}
		}
	}
	whole, tail, from := b.listen(id, "&offset=0"), b.listen(id, ""), b.listen(id, "&offset=1&refresh_interval=0.01")
	want(whole, "1 "+simulatedLine, "2 working")
	want(from, "2 working")
	j := b.jobs.get(id)
	j.logLine(b.now(), "Info", "more")
	want(whole, "3 more")
	want(tail, "3 more")
	want(from, "3 more")
	if _, data, err := from.Read(t.Context()); err != nil || len(data) != 0 {
		t.Errorf("in a quiet while: %q, %v, want a keep-alive", data, err)
	}
	ends <- errors.New("over")
	for _, conn := range []*websocket.Conn{from, whole, tail} {
		want(conn, "4 over", "<bottom>")
		if _, err := next(t, conn, &alive); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("after the bottom: %v", err)
		}
	}
	want(b.listen(id, "&offset=3"), "4 over", "<bottom>") // a job that ended is streamed too
	want(b.listen(id, ""), "<bottom>")
}

func TestStreamIsRefused(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	for query, want := range map[string]int{
		"jobname=jr-none&log_out_type=json": 403, "jobname=" + id: 400,
		"jobname=" + id + "&log_out_type=json&offset=x": 400, "jobname=" + id + "&log_out_type=json&refresh_interval=0": 400,
		"jobname=" + id + "&log_out_type=json": 426, // no WebSocket
	} {
		if a := b.do("GET", "/ws/stream_logs?"+query, nil); a.StatusCode != want {
			t.Errorf("%s: status %d, want %d: %s", query, a.StatusCode, want, a.body)
		}
	}
	if a := b.do("GET", "/ws/stream_logs?log_out_type=json&jobname="+id, nil, "Authorization", "Bearer x"); a.StatusCode != 401 {
		t.Errorf("wrong token: %d", a.StatusCode)
	}
	ends <- nil
}

func TestStreamCut(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	b.inject(Fault{Kind: FaultWebSocketCut, Frames: 1})
	conn, alive := b.listen(id, "&offset=0"), 0
	if got, err := next(t, conn, &alive); err != nil || got != "1 "+simulatedLine {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := next(t, conn, &alive); err == nil || websocket.CloseStatus(err) != -1 {
		t.Errorf("got %q, %v", got, err)
	}
	ends <- nil
}

// Close does not wait for clients that keep a stream open.
func TestCloseEndsStreams(t *testing.T) {
	b, _ := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	conn, alive := b.listen(id, "&offset=0"), 0
	for range 2 {
		if _, err := next(t, conn, &alive); err != nil {
			t.Fatal(err)
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Close waits for a stream")
	}
}

// A long log is streamed whole and in order, whatever the chunks.
func TestLongStream(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	j := b.jobs.get(id)
	const n = 2*streamChunk + 7
	for i := 3; i <= n; i++ {
		j.logLine(b.now(), "Info", fmt.Sprint("line ", i))
	}
	conn, alive := b.listen(id, "&offset=2"), 0
	for i := 3; i <= n; i++ {
		if got, err := next(t, conn, &alive); err != nil || got != fmt.Sprintf("%d line %d", i, i) {
			t.Fatalf("message %d: %q, %v", i, got, err)
		}
	}
	ends <- nil
}

package emulator

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// streamChunk is how many messages a stream reads from the log at a time.
const streamChunk = 1000

// streamQuery is what a client asks of a log stream.
type streamQuery struct {
	from      int // index of the first message to send
	keepAlive time.Duration
}

// parseStream reads the parameters of a log stream, or says what is wrong.
func parseStream(r *http.Request, j *job) (streamQuery, string) {
	q := r.URL.Query()
	if q.Get("log_out_type") != "json" {
		return streamQuery{}, "log_out_type must be json"
	}
	n, _, _ := j.log.view()
	s := streamQuery{from: n, keepAlive: time.Second}
	if text := q.Get("refresh_interval"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0 && seconds <= 3600) {
			return streamQuery{}, "refresh_interval must be a number of seconds"
		}
		s.keepAlive = time.Duration(seconds * float64(time.Second))
	}
	if text := q.Get("offset"); text != "" {
		offset, err := strconv.Atoi(text)
		if err != nil || offset < -1 {
			return streamQuery{}, "offset must be the event id of a message, 0 for the whole log, -1 for its end"
		}
		if offset >= 0 {
			s.from = min(offset, n)
		}
	}
	return s, ""
}

// handleStream streams a job's log over a WebSocket: one text frame for each
// message, empty frames to keep the connection, the bottom marker at the end.
func (e *Emulator) handleStream(w http.ResponseWriter, r *http.Request) {
	j := e.jobs.get(r.URL.Query().Get("jobname"))
	if j == nil {
		plain(w, http.StatusForbidden, noAccess)
		return
	}
	query, problem := parseStream(r, j)
	if problem != "" {
		plain(w, http.StatusBadRequest, problem)
		return
	}
	// The server forgets a connection that became a WebSocket: Close waits for it here.
	over := make(chan struct{})
	defer close(over)
	if !e.running(func() { <-over }) {
		plain(w, http.StatusServiceUnavailable, "the emulator is closing")
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow() //nolint:errcheck // it may be closed already
	ctx, cancel := context.WithCancel(conn.CloseRead(r.Context()))
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	if e.stream(ctx, conn, j, query, faultOf(r)) {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// stream sends messages until the log's end. It reports whether it got there.
func (e *Emulator) stream(ctx context.Context, conn *websocket.Conn, j *job, q streamQuery, f Fault) bool {
	sent := 0
	send := func(frame []byte) bool {
		if f.Kind == FaultWebSocketCut && sent >= f.Frames {
			return false
		}
		sent++
		return conn.Write(ctx, websocket.MessageText, frame) == nil
	}
	beat := time.NewTicker(q.keepAlive)
	defer beat.Stop()
	for {
		n, finished, changed := j.log.view()
		for q.from < n {
			lines, err := j.log.read(q.from, min(n, q.from+streamChunk))
			if err != nil {
				e.log.Error("the emulator could not read a job's log", "job", j.rec.ID, "error", err)
				return false
			}
			if !sendAll(lines, e.quirks.Load(), send) {
				return false
			}
			q.from += len(lines)
		}
		if finished {
			return send(bottomMarker)
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		case <-beat.C:
			if conn.Write(ctx, websocket.MessageText, nil) != nil {
				return false
			}
		}
	}
}

func sendAll(lines []json.RawMessage, q *Quirks, send func([]byte) bool) bool {
	for _, line := range lines {
		if !send(q.message(line)) {
			return false
		}
	}
	return true
}

package emulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"
)

// FaultKind names a way to go wrong.
type FaultKind string

// The kinds of faults. Where Fault.After is set, the endpoint does its work
// first and the fault replaces its answer.
const (
	FaultLatency      FaultKind = "latency"       // waits Delay, then answers as always
	FaultStatus       FaultKind = "status"        // answers with Status, and Retry-After if RetryAfter is set
	FaultReset        FaultKind = "reset"         // resets the connection
	FaultTruncate     FaultKind = "truncate"      // breaks the connection after Bytes of the answer's body
	FaultStall        FaultKind = "stall"         // sends Bytes of the answer's body, then nothing, until the client leaves
	FaultGarbage      FaultKind = "garbage"       // 200 with a body that is no JSON
	FaultHTML         FaultKind = "html"          // 200 with a login page
	FaultExpiredToken FaultKind = "expired-token" // 401
	FaultWrongHash    FaultKind = "wrong-hash"    // job details list wrong hashes; a file arrives with a changed byte
	FaultWebSocketCut FaultKind = "websocket-cut" // a log stream's connection breaks after Frames messages
	FaultClockSkew    FaultKind = "clock-skew"    // from now on the server's clock is Delay ahead; not tied to requests
)

// Fault is one thing to go wrong, at the requests that it matches.
type Fault struct {
	Kind FaultKind `json:"kind"`
	// Method and Path say which requests: "" any; Path is an endpoint as Counters
	// names it (/api/rest/jobs/{id}) or a pattern of path.Match for the request's path.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Skip lets so many matching requests pass first; then Times of them meet the
	// fault (0 stands for one, -1 for all from then on).
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`

	After      bool          `json:"after,omitempty"`
	Delay      time.Duration `json:"delay,omitempty"` // nanoseconds in JSON, or use delay_ms at the control endpoint
	Status     int           `json:"status,omitempty"`
	RetryAfter int           `json:"retry_after,omitempty"` // seconds
	Bytes      int           `json:"bytes,omitempty"`
	Frames     int           `json:"frames,omitempty"`
}

func (f Fault) check() error {
	switch f.Kind {
	case FaultLatency, FaultReset, FaultTruncate, FaultStall, FaultGarbage, FaultHTML, FaultExpiredToken, FaultWrongHash, FaultWebSocketCut, FaultClockSkew:
	case FaultStatus:
		if f.Status < 200 || f.Status > 599 {
			return fmt.Errorf("a fault of kind status needs a status from 200 to 599, not %d", f.Status)
		}
	default:
		return fmt.Errorf("there is no fault of kind %q", f.Kind)
	}
	if _, err := path.Match(f.Path, ""); err != nil {
		return fmt.Errorf("fault's path %q: %w", f.Path, err)
	}
	return nil
}

// matches reports whether the fault is meant for a request at the endpoint.
func (f Fault) matches(r *http.Request, pattern string) bool {
	if f.Method != "" && f.Method != r.Method {
		return false
	}
	if f.Path == "" || pattern == r.Method+" "+f.Path {
		return true
	}
	ok, _ := path.Match(f.Path, r.URL.Path)
	return ok
}

// faults are those that still wait for their request.
type faults struct {
	mu    sync.Mutex // guards what follows
	queue []*Fault
	ahead time.Duration
}

func (fs *faults) add(f Fault) error {
	if err := f.check(); err != nil {
		return err
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.Kind == FaultClockSkew {
		fs.ahead = f.Delay
		return nil
	}
	if f.Times == 0 {
		f.Times = 1
	}
	fs.queue = append(fs.queue, &f)
	return nil
}

func (fs *faults) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.queue, fs.ahead = nil, 0
}

func (fs *faults) skew() time.Duration {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.ahead
}

// take returns the fault that a request meets, if any, and counts it down.
func (fs *faults) take(r *http.Request, pattern string) (Fault, bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for i, f := range fs.queue {
		if !f.matches(r, pattern) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			return Fault{}, false
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				fs.queue = append(fs.queue[:i:i], fs.queue[i+1:]...)
			}
		}
		return *f, true
	}
	return Fault{}, false
}

// Inject makes one thing go wrong.
func (e *Emulator) Inject(f Fault) error { return e.faults.add(f) }

// ClearFaults forgets every fault that waits, and the clock's skew.
func (e *Emulator) ClearFaults() { e.faults.clear() }

type faultKey struct{}

// faultOf is the fault that a handler itself has to act out.
func faultOf(r *http.Request) Fault {
	f, _ := r.Context().Value(faultKey{}).(Fault)
	return f
}

// serveFault answers a request as the fault wants it.
func (e *Emulator) serveFault(w http.ResponseWriter, r *http.Request, f Fault) {
	switch f.Kind {
	case FaultLatency:
		e.wait(r, f.Delay)
		e.mux.ServeHTTP(w, r)
	case FaultWrongHash, FaultWebSocketCut:
		e.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), faultKey{}, f)))
	case FaultTruncate, FaultStall:
		e.mux.ServeHTTP(&shortWriter{ResponseWriter: w, left: f.Bytes, end: func() {
			if f.Kind == FaultStall {
				e.wait(r, -1)
			}
			panic(http.ErrAbortHandler)
		}}, r)
	default:
		if f.After {
			e.mux.ServeHTTP(&deafWriter{header: http.Header{}}, r)
		}
		e.wait(r, f.Delay)
		replace(w, f)
	}
}

// replace sends a fault's answer instead of the endpoint's.
func replace(w http.ResponseWriter, f Fault) {
	switch f.Kind {
	case FaultReset:
		reset(w)
	case FaultStatus:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		plain(w, f.Status, http.StatusText(f.Status))
	case FaultExpiredToken:
		unauthorized(w)
	case FaultGarbage:
		send(w, http.StatusOK, "application/json", []byte(`{"success": tru`+"\x00\xff"))
	case FaultHTML:
		send(w, http.StatusOK, "text/html; charset=utf-8", []byte("<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"))
	}
}

// wait lets time pass, for ever if d is negative, until the client or the
// emulator leaves.
func (e *Emulator) wait(r *http.Request, d time.Duration) {
	var after <-chan time.Time
	if d >= 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		after = timer.C
	}
	select {
	case <-after:
	case <-r.Context().Done():
	case <-e.ctx.Done():
	}
}

// reset breaks the connection with a TCP reset, over HTTP/2 the stream.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// shortWriter passes an answer's first bytes on and ends badly.
type shortWriter struct {
	http.ResponseWriter

	left int
	end  func() // does not return
}

// Write passes on what is left to pass, and goes down with the rest.
func (s *shortWriter) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	written, err := s.ResponseWriter.Write(p[:n])
	s.left -= written
	if err != nil {
		return written, err
	}
	if n < len(p) || s.left == 0 {
		if err := http.NewResponseController(s.ResponseWriter).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return written, err
		}
		s.end()
	}
	return written, nil
}

// deafWriter lets a handler do its work and drops its answer.
type deafWriter struct{ header http.Header }

// Header is a header that nobody reads.
func (d *deafWriter) Header() http.Header { return d.header }

// Write drops the bytes.
func (d *deafWriter) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader drops the status.
func (d *deafWriter) WriteHeader(int) {}

// counters count requests by endpoint.
type counters struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func (c *counters) add(pattern string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[pattern]++
}

func (c *counters) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.n)
}

// Counters tells how many requests came to each endpoint, faulty ones included,
// by names such as "GET /api/rest/jobs/{id}". Requests to no endpoint count
// under "METHOD (unknown)", those to the control endpoints not at all.
func (e *Emulator) Counters() map[string]int {
	e.counters.mu.Lock()
	defer e.counters.mu.Unlock()
	n := make(map[string]int, len(e.counters.n))
	for pattern, count := range e.counters.n {
		n[pattern] = count
	}
	return n
}

// ClearCounters sets every counter back to zero.
func (e *Emulator) ClearCounters() { e.counters.clear() }

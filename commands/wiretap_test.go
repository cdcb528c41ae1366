package commands_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// wiretap stands between sessions and their server and sees the first bytes of
// every connection before the server does.
type wiretap struct {
	url  string
	seen func(first []byte) // nil = nobody looks

	mu      sync.Mutex // guards what follows
	streams int        // WebSockets that are open
	most    int        // and were at a time
	total   int        // and were opened
	refuse  bool       // a proxy that lets no WebSockets through
	conns   []net.Conn
}

// tap makes the world's sessions talk through a wiretap.
func (w *world) tap(t *testing.T, seen func(first []byte)) *wiretap {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap := &wiretap{url: "http://" + l.Addr().String(), seen: seen}
	server := strings.TrimPrefix(w.url, "http://")
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			wg.Go(func() { tap.serve(conn, server) })
		}
	})
	w.env["JULIA_PKG_SERVER"] = tap.url
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		tap.mu.Lock()
		for _, conn := range tap.conns {
			_ = conn.Close() // most are closed already
		}
		tap.mu.Unlock()
		wg.Wait()
	})
	return tap
}

func (w *wiretap) serve(conn net.Conn, server string) {
	defer conn.Close()
	w.mu.Lock()
	w.conns = append(w.conns, conn)
	w.mu.Unlock()
	first := make([]byte, 64<<10)
	n, err := conn.Read(first)
	if err != nil {
		return
	}
	first = first[:n]
	if w.seen != nil {
		w.seen(first)
	}
	if bytes.HasPrefix(first, []byte("GET /ws/stream_logs")) {
		if !w.stream(1) {
			_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		defer w.stream(-1)
	}
	up, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer up.Close()
	if _, err := up.Write(first); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, conn) // until either side has had enough
		_ = up.Close()
	}()
	_, _ = io.Copy(conn, up)
	_ = conn.Close()
	<-done
}

// stream counts WebSockets; false when they are refused.
func (w *wiretap) stream(change int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if change > 0 {
		w.total++
	}
	if w.refuse && change > 0 {
		return false
	}
	w.streams += change
	w.most = max(w.most, w.streams)
	return true
}

func (w *wiretap) counts() (open, most, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.streams, w.most, w.total
}

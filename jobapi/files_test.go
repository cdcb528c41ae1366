package jobapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func sampleBytes(n int) []byte {
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(data)
	return data
}

func TestDownload(t *testing.T) {
	data := sampleBytes(300_000)
	for _, test := range []struct {
		name  string
		file  File
		total int64
	}{
		{"size known", File{Name: "out.tar.gz", Type: "result", Size: 300_000}, 300_000},
		{"size unknown", File{Name: "out.tar.gz", Type: "result", Size: -1}, 300_000},
		{"hostile name", File{Name: "../../a b/ü?x#%.txt", Type: "result", Size: 300_000}, 300_000},
		{"dots", File{Name: "..", Type: "result", Size: 300_000}, 300_000},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := newHub(t)
			hub.mux.HandleFunc("GET /jobs/jr-1/files/{name}", func(w http.ResponseWriter, r *http.Request) {
				if r.PathValue("name") != test.file.Name || r.URL.RawQuery != "filetype=result" || r.Header.Get("Authorization") != "Bearer "+testToken {
					t.Errorf("%s %q, %v", r.PathValue("name"), r.URL, r.Header)
				}
				if r.Header.Get("Accept-Encoding") != "identity" || r.Header.Get("Range") != "" {
					t.Errorf("headers %v", r.Header)
				}
				http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(data))
			})
			var got bytes.Buffer
			var last, calls int64
			err := hub.client(t).Download(t.Context(), "jr-1", test.file, &got, func(done, total int64) {
				if done <= last || total != test.total {
					t.Errorf("progress %d of %d after %d", done, total, last)
				}
				last = done
				calls++
			})
			if err != nil || !bytes.Equal(got.Bytes(), data) || last != int64(len(data)) || calls < 2 {
				t.Errorf("%d bytes, progress %d in %d calls, %v", got.Len(), last, calls, err)
			}
		})
	}
}

// TestDownloadResumes: a transfer that breaks three times arrives whole.
func TestDownloadResumes(t *testing.T) {
	data := sampleBytes(1000)
	for name, ranges := range map[string]bool{"with ranges": true, "without ranges": false} {
		for _, size := range []int64{1000, -1} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				var asked []string
				hub := newWireServer(t, func(n int, conn net.Conn, r *http.Request, _ []byte) {
					asked = append(asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
					from := 0
					if text, ok := strings.CutPrefix(strings.TrimSuffix(r.Header.Get("Range"), "-"), "bytes="); ok && ranges {
						from, _ = strconv.Atoi(text)
						_, _ = fmt.Fprintf(conn, "HTTP/1.1 206 X\r\nContent-Range: bytes %d-999/1000\r\nContent-Length: %d\r\n\r\n", from, 1000-from)
					} else {
						_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 X\r\nETag: \"v1\"\r\nContent-Length: 1000\r\n\r\n")
					}
					end := min(1000, n*300)
					_, _ = conn.Write(data[from:end])
					if end < 1000 {
						_ = conn.Close()
					}
				})
				c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
				var got bytes.Buffer
				err := c.Download(t.Context(), "jr-1", File{Name: "x", Type: "result", Size: size}, &got, nil)
				if err != nil || !bytes.Equal(got.Bytes(), data) {
					t.Errorf("%d bytes, %v", got.Len(), err)
				}
				want := []string{" ", `bytes=300- "v1"`, `bytes=600- "v1"`, `bytes=900- "v1"`}
				if strings.Join(asked, ",") != strings.Join(want, ",") {
					t.Errorf("asked %q, want %q", asked, want)
				}
			})
		}
	}
}

// TestDownloadChanged: a file that became another one is not glued together.
func TestDownloadChanged(t *testing.T) {
	first, second := bytes.Repeat([]byte("a"), 1000), bytes.Repeat([]byte("b"), 1000)
	for name, second206 := range map[string]string{
		"whole": "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n", "wrong part": "HTTP/1.1 206 X\r\nContent-Range: bytes 0-999/1000\r\nContent-Length: 1000\r\n\r\n",
		"other size": "HTTP/1.1 206 X\r\nContent-Range: bytes 300-2000/2001\r\nContent-Length: 1701\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			hub := newWireServer(t, func(n int, conn net.Conn, _ *http.Request, _ []byte) {
				if n == 1 {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n"+string(first[:300]))
					_ = conn.Close()
					return
				}
				_, _ = io.WriteString(conn, second206+string(second))
			})
			c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
			var got bytes.Buffer
			err := c.Download(t.Context(), "jr-1", File{Name: "x", Size: -1}, &got, nil)
			if err == nil || got.Len() != 300 {
				t.Errorf("%d bytes, %v", got.Len(), err)
			}
		})
	}
}

func TestDownloadFails(t *testing.T) {
	page := func(kind, body string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, test := range []struct {
		name    string
		file    File
		handler http.HandlerFunc
		check   func(error) bool
	}{
		{"none", File{Name: "x", Size: 5}, page("text/plain", "no", 404), func(err error) bool { return errors.Is(err, ErrNoSuchFile) }},
		{"forbidden", File{Name: "x", Size: 5}, page("text/plain", "no", 403), isPermission},
		{"login page", File{Name: "x", Size: 5}, page("text/html; charset=utf-8", "<html>", 200), isHTMLError},
		{"login page, size unknown", File{Name: "x", Size: -1}, page("text/html", "<html>", 200), isHTMLError},
		{"error object", File{Name: "x", Size: 5}, page("application/json", `{"success":false,"message":"gone"}`, 200), func(err error) bool { return err != nil && strings.Contains(err.Error(), "gone") }},
		{"too long", File{Name: "x", Size: 5}, page("text/plain", "123456", 200), isMismatch},
		{"too short", File{Name: "x", Size: 5}, page("text/plain", "1234", 200), isMismatch},
		{"too long, chunked", File{Name: "x", Size: 5}, func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "123456")
		}, isMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := newHub(t)
			hub.mux.HandleFunc("GET /jobs/jr-1/files/x", test.handler)
			if err := hub.client(t).Download(t.Context(), "jr-1", test.file, io.Discard, nil); !test.check(err) {
				t.Error(err)
			}
		})
	}
}

func isHTMLError(err error) bool {
	e, ok := errors.AsType[*ServerError](err)
	return ok && e.HTML
}

func isMismatch(err error) bool {
	_, ok := errors.AsType[*MismatchError](err)
	return ok
}

// TestDownloadOfSuchFiles: a result may well be a web page or JSON.
func TestDownloadOfSuchFiles(t *testing.T) {
	for name, body := range map[string]string{"a.html": "<html>", "b.json": `{"success":false}`, "c.txt": `{"success":false}`, "page": "<html>"} {
		hub := newHub(t)
		hub.mux.HandleFunc("GET /jobs/jr-1/files/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", map[byte]string{'<': "text/html", '{': "application/json"}[body[0]])
			_, _ = io.WriteString(w, body)
		})
		var got strings.Builder
		err := hub.client(t).Download(t.Context(), "jr-1", File{Name: name, Size: int64(len(body))}, &got, nil)
		if err != nil || got.String() != body {
			t.Errorf("%s: %q, %v", name, got.String(), err)
		}
	}
}

func TestDownloadGivesUp(t *testing.T) {
	hub := newWireServer(t, func(_ int, conn net.Conn, _ *http.Request, _ []byte) {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
		_ = conn.Close()
	})
	c := newTestClient(t, Config{Server: hub.server(t), Token: testToken})
	err := c.Download(t.Context(), "jr-1", File{Name: "x", Size: 1000}, io.Discard, nil)
	if _, ok := errors.AsType[*NetworkError](err); !ok || hub.counted("GET /jobs/jr-1/files/x") != c.limits.attempts {
		t.Errorf("%v after %d requests", err, hub.counted("GET /jobs/jr-1/files/x"))
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestDownloadDiskFull(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /jobs/jr-1/files/x", nil, 200, "12345")
	err := hub.client(t).Download(t.Context(), "jr-1", File{Name: "x", Size: 5}, failingWriter{}, nil)
	if err == nil || !strings.Contains(err.Error(), "disk full") || len(hub.asked()) != 1 {
		t.Errorf("%v after %q", err, hub.asked())
	}
}

func TestFileCheck(t *testing.T) {
	sum := sha256.Sum256([]byte("12345"))
	for _, test := range []struct {
		name     string
		file     File
		size     int64
		verified bool
		bad      bool
	}{
		{"right", File{Size: 5, SHA256: sum[:]}, 5, true, false},
		{"size unknown", File{Size: -1, SHA256: sum[:]}, 5, true, false},
		{"no hash", File{Size: 5}, 5, false, false},
		{"wrong size", File{Size: 6, SHA256: sum[:]}, 5, false, true},
		{"wrong hash", File{Size: 5, SHA256: make([]byte, 32)}, 5, false, true},
	} {
		verified, err := test.file.Check(test.size, sum[:])
		if verified != test.verified || isMismatch(err) != test.bad {
			t.Errorf("%s: %v, %v", test.name, verified, err)
		}
	}
}

func TestDigest(t *testing.T) {
	sum, err := hex.DecodeString(sampleHex)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{sampleHex, strings.ToUpper(sampleHex), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"} {
		if got := digest(text); !bytes.Equal(got, sum) {
			t.Errorf("%s: %x", text, got)
		}
	}
	for _, text := range []string{"", "abc", sampleHex[2:], sampleHex + "00", "sha256:" + sampleHex, "AAAA"} {
		if got := digest(text); got != nil {
			t.Errorf("%q: %x", text, got)
		}
	}
}

package jobapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// storage is the other host that bundles are put on.
type storage struct {
	*httptest.Server
	mu    sync.Mutex // guards what follows
	puts  []string   // the paths
	got   []byte
	reply func(n int, w http.ResponseWriter)
}

func newStorage(t *testing.T, reply func(n int, w http.ResponseWriter)) *storage {
	t.Helper()
	s := &storage{reply: reply}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		for name := range r.Header {
			switch name {
			case "Content-Length", "User-Agent", "Accept-Encoding":
			default:
				t.Errorf("the storage got %s: %q", name, r.Header[name])
			}
		}
		if r.Method != http.MethodPut || r.ContentLength <= 0 {
			t.Errorf("%s with Content-Length %d", r.Method, r.ContentLength)
		}
		s.mu.Lock()
		s.puts = append(s.puts, r.URL.String())
		if err == nil { // whole
			s.got = body
		}
		n := len(s.puts)
		s.mu.Unlock()
		if reply != nil {
			reply(n, w)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *storage) paths() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.puts, " ")
}

func (s *storage) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// uploadHub hands out a new signed URL with every call.
func uploadHub(t *testing.T, place string, u Upload) *fakeHub {
	t.Helper()
	hub := newHub(t)
	n := 0
	hub.mux.HandleFunc("GET /jobs/appbundle_upload_url", func(w http.ResponseWriter, r *http.Request) {
		want := fmt.Sprintf("file_name=appbundle.tar&file_size=%d&file_type=input&hash=%s&hash_alg=sha2_256", u.Size, u.SHA256)
		if r.URL.RawQuery != want || r.Header.Get("Authorization") != "Bearer "+testToken {
			t.Errorf("query %q, want %q; %v", r.URL.RawQuery, want, r.Header)
		}
		n++
		_, _ = io.WriteString(w, mustJSON(t, map[string]any{"success": true, "message": map[string]string{"upload_url": fmt.Sprintf("%s/upload/%d?sig=1%%2F", place, n)}}))
	})
	return hub
}

func sampleUpload(data []byte) (Upload, func() (io.ReadCloser, error)) {
	sum := sha256.Sum256(data)
	return Upload{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func TestUpload(t *testing.T) {
	data := sampleBytes(500_000)
	u, open := sampleUpload(data)
	store := newStorage(t, nil)
	var last int64
	err := uploadHub(t, store.URL, u).client(t).UploadBundle(t.Context(), u, open, func(sent, total int64) {
		if sent <= last || total != 500_000 {
			t.Errorf("progress %d of %d after %d", sent, total, last)
		}
		last = sent
	})
	if err != nil || !bytes.Equal(store.bytes(), data) || last != 500_000 || store.paths() != "/upload/1?sig=1%2F" {
		t.Errorf("%v, %d bytes, progress %d, %s", err, len(store.bytes()), last, store.paths())
	}
}

// TestUploadAgain: another attempt goes to a new URL, with the same bytes.
func TestUploadAgain(t *testing.T) {
	data := sampleBytes(100_000)
	u, open := sampleUpload(data)
	store := newStorage(t, func(n int, w http.ResponseWriter) {
		switch n {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusForbidden) // the signature ran out
		case 3:
			panic(http.ErrAbortHandler) // a reset
		}
	})
	err := uploadHub(t, store.URL, u).client(t).UploadBundle(t.Context(), u, open, nil)
	if err != nil || !bytes.Equal(store.bytes(), data) || store.paths() != "/upload/1?sig=1%2F /upload/2?sig=1%2F /upload/3?sig=1%2F /upload/4?sig=1%2F" {
		t.Errorf("%v, %d bytes, %s", err, len(store.bytes()), store.paths())
	}
}

func TestUploadFails(t *testing.T) {
	data := sampleBytes(1000)
	u, open := sampleUpload(data)
	for name, test := range map[string]struct {
		status, puts int
		location     string
	}{
		"bad request": {400, 1, ""}, "never": {500, 4, ""}, "redirect": {307, 1, "https://example.invalid/x"}, "not found": {404, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStorage(t, func(_ int, w http.ResponseWriter) {
				w.Header().Set("Location", test.location)
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, "<Error>sig=1</Error>")
			})
			err := uploadHub(t, store.URL, u).client(t).UploadBundle(t.Context(), u, open, nil)
			if _, ok := errors.AsType[*ServerError](err); !ok || len(strings.Fields(store.paths())) != test.puts {
				t.Errorf("%v after %s", err, store.paths())
			}
			noSecrets(t, err.Error())
		})
	}
}

func TestUploadUnreachable(t *testing.T) {
	u, open := sampleUpload(sampleBytes(10))
	err := uploadHub(t, "http://127.0.0.1:1", u).client(t).UploadBundle(t.Context(), u, open, nil)
	if !IsTemporary(err) {
		t.Error(err)
	}
	noSecrets(t, err.Error())
}

// TestUploadChanged: other bytes than those announced are not sent to the end.
func TestUploadChanged(t *testing.T) {
	data := sampleBytes(1000)
	u, _ := sampleUpload(data)
	for name, other := range map[string][]byte{"longer": append(bytes.Clone(data), 1), "shorter": data[:999], "different": append(bytes.Clone(data[:999]), data[999]+1), "empty": nil} {
		t.Run(name, func(t *testing.T) {
			store := newStorage(t, nil)
			err := uploadHub(t, store.URL, u).client(t).UploadBundle(t.Context(), u, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(other)), nil }, nil)
			if err == nil || !strings.Contains(err.Error(), "changed while it was uploaded") {
				t.Error(err)
			}
			if strings.Count(store.paths(), "/upload/") > 1 || bytes.Equal(store.bytes(), other) && other != nil {
				t.Errorf("sent %d bytes to %s", len(store.bytes()), store.paths())
			}
		})
	}
}

func TestUploadUnreadable(t *testing.T) {
	u, _ := sampleUpload(sampleBytes(10))
	want := errors.New("no such file")
	err := uploadHub(t, newStorage(t, nil).URL, u).client(t).UploadBundle(t.Context(), u, func() (io.ReadCloser, error) { return nil, want }, nil)
	if !errors.Is(err, want) {
		t.Error(err)
	}
}

func TestUploadURLsRefused(t *testing.T) {
	u, open := sampleUpload(sampleBytes(10))
	for _, place := range []string{"http://example.invalid/x", "/upload/1", "", "file:///etc/passwd", "ftp://example.invalid/"} {
		hub := newHub(t)
		hub.answer(t, "GET /jobs/appbundle_upload_url", nil, 200, mustJSON(t, map[string]any{"success": true, "message": map[string]string{"upload_url": place}}))
		err := hub.client(t).UploadBundle(t.Context(), u, open, nil)
		if err == nil || !strings.Contains(err.Error(), "no URL that is safe") {
			t.Errorf("%q: %v", place, err)
		}
	}
}

package jobapi

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// endless is a file of any size whose every byte is known by its place.
type endless struct{ size, at int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.at >= e.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.size-e.at)]
	for n := 0; n < len(p); {
		n += copy(p[n:], pattern[(e.at+int64(n))%int64(len(pattern)):])
	}
	e.at += int64(len(p))
	return len(p), nil
}

func (e *endless) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += e.at
	case io.SeekEnd:
		offset += e.size
	}
	e.at = offset
	return e.at, nil
}

var pattern = sampleBytes(1<<16 + 1) // not a power of two: no piece begins alike

// TestLargeDownload: a file of any size passes through little memory, also when
// the connection breaks in its midst. What is counted is all that is taken from
// the heap meanwhile, by the server of the test, too.
func TestLargeDownload(t *testing.T) {
	const size = 200 << 20
	var mu sync.Mutex // guards ranges
	var ranges []string
	hub := newHub(t)
	hub.mux.HandleFunc("GET /jobs/jr-1/files/big", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		first := len(ranges) == 1
		mu.Unlock()
		if first {
			w = &breaking{w, size / 2}
		}
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "", time.Time{}, &endless{size: size})
	})
	sum := sha256.New()
	if _, err := io.Copy(sum, &endless{size: size}); err != nil {
		t.Fatal(err)
	}
	c := hub.client(t)
	got := sha256.New()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := c.Download(t.Context(), "jr-1", File{Name: "big", Type: "result", Size: size}, got, nil)
	runtime.ReadMemStats(&after)
	if err != nil || !bytes.Equal(got.Sum(nil), sum.Sum(nil)) {
		t.Fatalf("%v, or other bytes", err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
		t.Errorf("%d MB of memory were taken for a file of %d MB", taken>>20, size>>20)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("asked for the ranges %q", ranges)
	}
}

// breaking is an answer whose connection breaks after so many bytes.
type breaking struct {
	http.ResponseWriter

	left int64
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

// TestDownloadBeyondFourGiB: places in a file of 5 GiB do not fit into 32 bits.
func TestDownloadBeyondFourGiB(t *testing.T) {
	const size, have = 5 << 30, 5<<30 - 1000
	hub := newHub(t)
	hub.mux.HandleFunc("GET /jobs/jr-1/files/big", func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.Header.Get("Range"), fmt.Sprintf("bytes=%d-", int64(have)); got != want {
			t.Errorf("range %q, want %q", got, want)
		}
		http.ServeContent(w, r, "", time.Time{}, &endless{size: size})
	})
	c := hub.client(t)
	var rest bytes.Buffer
	d := &download{client: c, file: File{Name: "big", Size: size}, w: &rest, sum: sha256.New(), done: have, total: size}
	d.request = c.get("download big", nil, "jobs", "jr-1", "files", "big")
	if err := d.run(t.Context()); err != nil || d.done != size {
		t.Fatalf("%d bytes, %v", d.done, err)
	}
	want, err := io.ReadAll(&endless{size: size, at: have})
	if err != nil || !bytes.Equal(rest.Bytes(), want) {
		t.Errorf("%d bytes, or others, %v", rest.Len(), err)
	}
}

// TestLargeUpload: an appbundle passes through little memory, too.
func TestLargeUpload(t *testing.T) {
	const size = 64 << 20
	sum := sha256.New()
	if _, err := io.Copy(sum, &endless{size: size}); err != nil {
		t.Fatal(err)
	}
	got := sha256.New()
	store := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(got, r.Body); n != size || err != nil || r.ContentLength != size {
			t.Errorf("%d bytes of %d, %v", n, r.ContentLength, err)
		}
	}))
	defer store.Close()
	u := Upload{Size: size, SHA256: fmt.Sprintf("%x", sum.Sum(nil))}
	c := uploadHub(t, store.URL, u).client(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := c.UploadBundle(t.Context(), u, func() (io.ReadCloser, error) { return io.NopCloser(&endless{size: size}), nil }, nil)
	runtime.ReadMemStats(&after)
	if err != nil || !bytes.Equal(got.Sum(nil), sum.Sum(nil)) {
		t.Errorf("%v, or other bytes", err)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
		t.Errorf("%d MB of memory were taken for an appbundle of %d MB", taken>>20, size>>20)
	}
}

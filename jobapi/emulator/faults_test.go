package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// send is a request whose failure is the point.
func (b *bench) send(method, path string, body io.Reader, contentType string) (*http.Response, []byte, error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.Token())
	req.Header.Set("Content-Type", contentType)
	resp, err := (&http.Transport{}).RoundTrip(req) // a fresh connection: nothing is sent again
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp, data, err
}

func (b *bench) inject(f Fault) {
	b.t.Helper()
	if err := b.Inject(f); err != nil {
		b.t.Fatal(err)
	}
}

func TestResetBeforeAndAfterTheJobExists(t *testing.T) {
	for after, jobs := range map[bool]int{false: 0, true: 1} {
		b := open(t, Config{})
		b.inject(Fault{Kind: FaultReset, Path: "/juliaruncloud/submit_job", After: after})
		body, contentType := encode(t, script("1"))
		_, _, err := b.send("POST", "/juliaruncloud/submit_job", body, contentType)
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("after %v: %v", after, err)
		}
		if n := len(b.jobs.newest(10)); n != jobs {
			t.Errorf("after %v: %d jobs", after, n)
		}
		b.job(script("2")) // the fault is used up
	}
}

func TestFaultyAnswers(t *testing.T) {
	b := open(t, Config{})
	get := func(f Fault) (*http.Response, string, error) {
		t.Helper()
		b.inject(f)
		resp, body, err := b.send("GET", "/app/config/nodespecs/info", nil, "")
		return resp, string(body), err
	}
	if resp, _, err := get(Fault{Kind: FaultStatus, Status: 429, RetryAfter: 7}); err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "7" {
		t.Errorf("429: %v %v", resp, err)
	}
	if resp, body, err := get(Fault{Kind: FaultHTML}); err != nil || resp.StatusCode != 200 || !strings.Contains(body, "<html>") {
		t.Errorf("html: %v %s %v", resp, body, err)
	}
	if resp, body, err := get(Fault{Kind: FaultGarbage}); err != nil || resp.StatusCode != 200 || json.Valid([]byte(body)) {
		t.Errorf("garbage: %v %s %v", resp, body, err)
	}
	if resp, _, err := get(Fault{Kind: FaultExpiredToken}); err != nil || resp.StatusCode != 401 {
		t.Errorf("expired token: %v %v", resp, err)
	}
	if _, body, err := get(Fault{Kind: FaultTruncate, Bytes: 10}); !errors.Is(err, io.ErrUnexpectedEOF) || len(body) != 10 {
		t.Errorf("truncated: %d bytes, %v", len(body), err)
	}
	start := time.Now()
	if _, _, err := get(Fault{Kind: FaultLatency, Delay: 30 * time.Millisecond}); err != nil || time.Since(start) < 30*time.Millisecond {
		t.Errorf("latency: %v after %s", err, time.Since(start))
	}
	for _, bad := range []Fault{{Kind: "x"}, {Kind: FaultStatus}, {Kind: FaultReset, Path: "["}} {
		if b.Inject(bad) == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestStalledBody(t *testing.T) {
	b := open(t, Config{})
	b.inject(Fault{Kind: FaultStall, Bytes: 5})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", b.url+"/api/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() { _, err := resp.Body.Read(make([]byte, 1)); read <- err }()
	select {
	case err := <-read:
		t.Fatalf("the body went on: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-read; !errors.Is(err, context.Canceled) {
		t.Errorf("after leaving: %v", err)
	}
}

func TestFaultsCount(t *testing.T) {
	b := open(t, Config{})
	b.inject(Fault{Kind: FaultStatus, Status: 503, Method: "GET", Path: "/api/rest/jobs/{id}", Skip: 1, Times: 2})
	b.inject(Fault{Kind: FaultStatus, Status: 500, Path: "/app/*/registries", Times: -1})
	for i, want := range []int{200, 503, 503, 200} {
		if a := b.do("GET", "/api/rest/jobs/jr-abc", nil); a.StatusCode != want {
			t.Errorf("request %d: status %d, want %d", i, a.StatusCode, want)
		}
	}
	for range 3 {
		if a := b.do("GET", "/app/packages/registries", nil); a.StatusCode != 500 {
			t.Errorf("status %d", a.StatusCode)
		}
	}
	b.do("GET", "/nowhere", nil)
	got := b.Counters()
	if got["GET /api/rest/jobs/{id}"] != 4 || got["GET /app/packages/registries"] != 3 || got["GET (unknown)"] != 1 || len(got) != 3 {
		t.Errorf("counters: %v", got)
	}
	b.ClearFaults()
	b.ClearCounters()
	if a := b.do("GET", "/app/packages/registries", nil); a.StatusCode != 200 || len(b.Counters()) != 1 {
		t.Errorf("after clearing: %d, %v", a.StatusCode, b.Counters())
	}
}

func TestControlEndpoints(t *testing.T) {
	b := open(t, Config{})
	post := func(body string) answer { return b.do("POST", "/emulator/faults", strings.NewReader(body)) }
	if a := post(`{"kind":"status","status":502,"path":"/api/v1","times":1}`); a.StatusCode != 200 {
		t.Errorf("inject: %d %s", a.StatusCode, a.body)
	}
	if a := b.do("GET", "/api/v1", nil); a.StatusCode != 502 {
		t.Errorf("status %d", a.StatusCode)
	}
	for _, bad := range []string{`{"kind":"x"}`, `{"kind":"status","status":502,"x":1}`, `x`} {
		if a := post(bad); a.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, a.StatusCode, a.body)
		}
	}
	post(`{"kind":"clock-skew","delay_ms":3600000}`)
	a := b.do("GET", "/api/v1", nil)
	if date, err := http.ParseTime(a.Header.Get("Date")); err != nil || time.Until(date) < 50*time.Minute {
		t.Errorf("skewed date: %v %v", date, err)
	}
	if a := b.do("DELETE", "/emulator/faults", nil); a.StatusCode != 200 || time.Until(b.now()) > time.Minute {
		t.Errorf("clearing: %d", a.StatusCode)
	}
	if a := b.do("GET", "/emulator/counters", nil); !strings.Contains(a.body, `"GET /api/v1":2`) {
		t.Errorf("counters: %s", a.body)
	}
	if a := b.do("GET", "/emulator/counters", nil, "Authorization", ""); a.StatusCode != 401 {
		t.Errorf("without a token: %d", a.StatusCode)
	}
	if a := b.do("POST", "/emulator/auth.toml", nil); a.StatusCode != 200 || parseAuth(t, a.body).RefreshURL != b.url+"/auth/renew/token.toml/v2/" {
		t.Errorf("auth.toml: %d %s", a.StatusCode, a.body)
	}
	if a := b.do("POST", "/emulator/expire", nil); a.StatusCode != 200 || b.do("GET", "/api/v1", nil).StatusCode != 401 {
		t.Errorf("expire: %d", a.StatusCode)
	}
}

func TestWrongHash(t *testing.T) {
	b := open(t, Config{})
	id := b.job(script("1+1"))
	b.ended(id, completed)
	hash := func() any {
		return b.details(id)["files"].([]any)[0].(map[string]any)["hash"].(map[string]any)["value"]
	}
	right := hash()
	b.inject(Fault{Kind: FaultWrongHash, Path: "/api/rest/jobs/{id}"})
	if wrong := hash(); wrong == right || hash() != right {
		t.Errorf("hashes %v, %v", right, wrong)
	}
	b.inject(Fault{Kind: FaultWrongHash, Path: "/jobs/{id}/files/{name...}"})
	if a := b.do("GET", "/jobs/"+id+"/files/code.jl?filetype=input", nil); a.body == "1+1" || !bytes.HasSuffix([]byte(a.body), []byte("+1")) {
		t.Errorf("changed file: %q", a.body)
	}
}

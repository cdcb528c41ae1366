package jobapi

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

func TestRequest(t *testing.T) {
	calls := 0
	status := 200
	job := &Job{ID: "jr-1", ProxyLink: "https://xyz.launch.juliahub.app/"}
	server, err := ParseServer("juliahub.com")
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, Config{Server: server, Token: testToken, Transport: inProcess{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.URL.String() != "https://xyz.launch.juliahub.app/a%20b?x=1" || r.Host != "xyz.launch.juliahub.app" || r.Method != "PUT" {
			t.Errorf("%s %s of %s", r.Method, r.URL, r.Host)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "data" || r.Header.Get("Authorization") != "Bearer "+testToken || r.Header.Get("X-Mine") != "1" {
			t.Errorf("%q, %v, %v", body, err, r.Header)
		}
		w.Header().Set("Location", "https://elsewhere.example.org/")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "answer")
	})}})
	for _, status = range []int{200, 302, 307, 401, 404, 500, 502} {
		calls = 0
		answer, err := c.Request(t.Context(), job, "put", "/a%20b?x=1", map[string]string{"X-Mine": "1", "Authorization": "Bearer other"}, []byte("data"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil || string(body) != "answer" || answer.Status != status || answer.Listening() == (status == 502) || calls != 1 {
			t.Errorf("%d: %q, %+v, %v after %d calls", status, body, answer, err, calls)
		}
	}
}

func TestRequestRefused(t *testing.T) {
	server, err := ParseServer("juliahub.com")
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, Config{Server: server, Token: testToken, Transport: inProcess{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("sent to %s", r.URL) })}})
	job := &Job{ID: "jr-1", ProxyLink: "https://xyz.launch.juliahub.app/"}
	for _, path := range []string{"", "x", "//evil.example.org/", "https://evil.example.org/", "@evil.example.org/", ":80/", "/%zz", "/x#y"} {
		if _, err := c.Request(t.Context(), job, "GET", path, nil, nil); err == nil {
			t.Errorf("%q was sent", path)
		}
	}
	for _, link := range []string{"", "http://evil.example.org/", "https://evil.example.org/x", "https://u:p@evil.example.org/", "https://evil.example.org:x/"} {
		if _, err := c.Request(t.Context(), &Job{ID: "jr-1", ProxyLink: link}, "GET", "/", nil, nil); !errors.Is(err, ErrNoPort) {
			t.Errorf("%q: %v", link, err)
		}
	}
}

func TestJobURL(t *testing.T) {
	for link, want := range map[string]string{
		"https://a.b.c": "https://a.b.c/", "http://x.launch.localhost:8000/": "http://x.launch.localhost:8000/", "http://127.0.0.5:80": "http://127.0.0.5:80/",
		"http://localhost.example.org/": "", "http://a.b.c/": "", "": "",
	} {
		if got := (&Job{ProxyLink: link}).URL(); got != want {
			t.Errorf("%q: %q, want %q", link, got, want)
		}
	}
}

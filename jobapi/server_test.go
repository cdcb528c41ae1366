package jobapi

import (
	"strings"
	"testing"
)

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"juliahub.com":                  "https://juliahub.com",
		" juliahub.com/ ":               "https://juliahub.com",
		"https://JuliaHub.com///":       "https://juliahub.com",
		"HTTPS://juliahub.com":          "https://juliahub.com",
		"https://hub.example.org:8443/": "https://hub.example.org:8443",
		"hub.example.org:8443":          "https://hub.example.org:8443",
		"https://example.org/hub/":      "https://example.org/hub",
		"http://127.0.0.1:4000":         "http://127.0.0.1:4000",
		"http://127.8.9.1:4000":         "http://127.8.9.1:4000",
		"http://localhost:4000/":        "http://localhost:4000",
		"http://[::1]:4000":             "http://[::1]:4000",
		"localhost:4000":                "https://localhost:4000",
	} {
		server, err := ParseServer(text)
		if err != nil || server.String() != want {
			t.Errorf("ParseServer(%q) = %q, %v; want %q", text, server, err, want)
		}
		if again, err := ParseServer(server.String()); err != nil || again != server {
			t.Errorf("%q read again is %q, %v", server, again, err)
		}
	}
}

func TestParseServerRefuses(t *testing.T) {
	for _, text := range []string{
		"", "  ", "http://juliahub.com", "http://127.0.0.1.example.org", "http://localhost.example.org",
		"ftp://juliahub.com", "https://", "https:///x", "https://user:hunter2@juliahub.com", "user@juliahub.com",
		"https://juliahub.com?x=1", "https://juliahub.com/?", "https://juliahub.com#x", "https://juliahub.com/#",
		"https://juliahub.com:0", "https://juliahub.com:99999", "https://juliahub.com:", "https://julia hub.com",
		"https://julia\nhub.com", "::1", "https://juliahub.com:https", "https://%6auliahub.com/%zz", `https://a\b`,
	} {
		server, err := ParseServer(text)
		if err == nil {
			t.Errorf("ParseServer(%q) = %q; want an error", text, server)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestDefaultServer(t *testing.T) {
	for value, want := range map[string]string{
		"":                                     "https://juliahub.com",
		"  ":                                   "https://juliahub.com",
		"pkg.julialang.org":                    "https://juliahub.com",
		"https://pkg.julialang.org/":           "https://juliahub.com",
		"https://us-west.pkg.julialang.org":    "https://juliahub.com",
		"HTTPS://EU-central.pkg.julialang.org": "https://juliahub.com",
		"hub.example.org":                      "https://hub.example.org",
		"https://hub.example.org/":             "https://hub.example.org",
		"http://127.0.0.1:1234":                "http://127.0.0.1:1234",
		"https://notpkg.julialang.org":         "https://notpkg.julialang.org",
	} {
		server, err := DefaultServer(env(map[string]string{"JULIA_PKG_SERVER": value}))
		if err != nil || server.String() != want {
			t.Errorf("JULIA_PKG_SERVER=%q: %q, %v; want %q", value, server, err, want)
		}
	}
	if server, err := DefaultServer(env(nil)); err != nil || server.String() != "https://juliahub.com" {
		t.Errorf("unset: %q, %v", server, err)
	}
	if server, err := DefaultServer(env(map[string]string{"JULIA_PKG_SERVER": "http://hub.example.org"})); err == nil {
		t.Errorf("plain http: %q; want an error", server)
	}
}

func TestJoinEscapes(t *testing.T) {
	server := Server{"https://example.org/hub"}
	got := server.join("jobs", "jr-1", "files", "../a b?c#d/..")
	if want := "https://example.org/hub/jobs/jr-1/files/..%2Fa%20b%3Fc%23d%2F.."; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := server.join(".."), "https://example.org/hub/%2E%2E"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

package jobapi

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// DefaultHost is the server when nothing names another.
const DefaultHost = "juliahub.com"

// Server is the base URL of a JuliaHub server: scheme, host, perhaps a path,
// without a slash at the end. Two Servers are equal when they compare equal.
// The zero Server is none.
type Server struct{ base string }

// String returns the base URL.
func (s Server) String() string { return s.base }

// Host returns the host with its port, as a person would name the server.
func (s Server) Host() string { return s.url().Host }

// IsZero reports whether s names no server.
func (s Server) IsZero() bool { return s.base == "" }

func (s Server) url() *url.URL {
	u, err := url.Parse(s.base)
	if err != nil {
		return &url.URL{} // ParseServer, the only maker, has parsed it before
	}
	return u
}

// join returns the URL of an endpoint below the server. Each segment is escaped
// whole, so that a name with a slash or dots in it stays one segment.
func (s Server) join(segments ...string) string {
	var b strings.Builder
	b.WriteString(s.base)
	for _, segment := range segments {
		b.WriteByte('/')
		switch segment {
		case ".", "..":
			b.WriteString(strings.ReplaceAll(segment, ".", "%2E"))
		default:
			b.WriteString(url.PathEscape(segment))
		}
	}
	return b.String()
}

// ParseServer reads what a person or a configuration gave as server: a URL or a
// bare host, which gets https. User info, query and fragment are refused, and so
// is plain http, except on loopback.
func ParseServer(text string) (Server, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Server{}, errors.New("the server's name is empty")
	}
	raw := text
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return Server{}, fmt.Errorf("server %q is no URL", redactUserInfo(text))
	}
	refuse := func(why string) (Server, error) {
		return Server{}, fmt.Errorf("server %q %s", redactUserInfo(text), why)
	}
	switch {
	case u.User != nil || strings.Contains(u.Host, "@"):
		return refuse("must not hold a user name or password")
	case u.RawQuery != "" || u.ForceQuery:
		return refuse("must not have a query (?…)")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return refuse("must not have a fragment (#…)")
	case !validHost(u):
		return refuse("has no valid host name")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("must begin with https://")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return refuse("must use https: http is for servers on this machine only")
	}
	u.Host = strings.ToLower(u.Host)
	path := strings.TrimRight(u.EscapedPath(), "/")
	return Server{u.Scheme + "://" + u.Host + path}, nil
}

// redactUserInfo keeps what may be a password out of messages.
func redactUserInfo(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return text
	}
	scheme, _, found := strings.Cut(text[:at], "://")
	if !found {
		return "…" + text[at:]
	}
	return scheme + "://…" + text[at:]
}

func validHost(u *url.URL) bool {
	host := u.Hostname()
	if host == "" || strings.ContainsAny(host, " \t<>\"\\|?*%^`{}") || strings.HasPrefix(host, ".") {
		return false
	}
	if strings.Contains(host, ":") { // an IPv6 address stands in brackets
		if _, err := netip.ParseAddr(host); err != nil || !strings.HasPrefix(u.Host, "[") {
			return false
		}
	}
	if port := u.Port(); port != "" {
		n, err := strconv.Atoi(port)
		return err == nil && 0 < n && n < 1<<16
	}
	return !strings.HasSuffix(u.Host, ":")
}

// isLoopback reports whether the host is this machine by its very name: no
// look-up is made, since a resolver's answer must not loosen a rule.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// DefaultServer returns the server that the environment names:
// JULIA_PKG_SERVER, unless it is empty or the public package server (or one of
// its regional mirrors), which runs no jobs; else juliahub.com.
func DefaultServer(lookupEnv func(string) (string, bool)) (Server, error) {
	standard := Server{"https://" + DefaultHost}
	value, _ := lookupEnv("JULIA_PKG_SERVER")
	if strings.TrimSpace(value) == "" || isPublicPackageServer(value) {
		return standard, nil
	}
	server, err := ParseServer(value)
	if err != nil {
		return Server{}, fmt.Errorf("JULIA_PKG_SERVER: %w", err)
	}
	return server, nil
}

func isPublicPackageServer(value string) bool {
	host := strings.TrimSpace(value)
	if _, rest, found := strings.Cut(host, "://"); found {
		host = rest
	}
	host, _, _ = strings.Cut(host, "/")
	host, _, _ = strings.Cut(host, ":")
	host = strings.ToLower(host)
	return host == "pkg.julialang.org" || strings.HasSuffix(host, ".pkg.julialang.org")
}

// sameOrigin reports whether two URLs have the same scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// secureEnough reports whether a secret may travel to u: over https, or on loopback.
func secureEnough(u *url.URL) bool {
	return u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}

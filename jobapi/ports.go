package jobapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrNoPort says that the job exposes no port.
var ErrNoPort = errors.New("the job exposes no port")

// portPatience is how long a job's program may take to answer: it may compute.
const portPatience = 5 * time.Minute

// PortAnswer is what the program behind a job's exposed port answered. Any
// status is an answer. Close the body.
type PortAnswer struct {
	Status int
	Header map[string][]string
	Body   io.ReadCloser
}

// Listening reports whether the program in the job listens: until then, the
// job's host answers 502.
func (a *PortAnswer) Listening() bool { return a.Status != http.StatusBadGateway }

// URL returns the address of the job's exposed port, "" when the job exposes none.
func (j *Job) URL() string {
	if u := j.exposed(); u != nil {
		return u.String()
	}
	return ""
}

// Host returns the host of the job's exposed port, "" when the job exposes none.
func (j *Job) Host() string {
	if u := j.exposed(); u != nil {
		return u.Host
	}
	return ""
}

// exposed reads the job's link. Links of other forms exist, and are no ports.
// Plain http is a server on this machine.
func (j *Job) exposed() *url.URL {
	u, err := url.Parse(j.ProxyLink)
	if err != nil || !validHost(u) || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && isLocal(u.Hostname())) {
		return nil
	}
	u.Path = "/"
	return u
}

// isLocal reports whether a host is this machine by its name; also the names
// below localhost are (RFC 6761).
func isLocal(host string) bool {
	return isLoopback(host) || strings.HasSuffix(strings.ToLower(host), ".localhost")
}

// Request sends a request to the program behind a job's exposed port, with our
// token, to that host alone: redirects are answers, too. path begins with "/"
// and may have a query. It is sent once, whatever becomes of it.
//
// Source: JuliaHub.jl, src/jobs/request.jl.
func (c *Client) Request(ctx context.Context, job *Job, method, path string, header map[string]string, body []byte) (*PortAnswer, error) {
	place := job.exposed()
	if place == nil {
		return nil, fmt.Errorf("job %s: %w", job.ID, ErrNoPort)
	}
	target, err := url.Parse(path)
	if err != nil || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || target.Host != "" || target.Fragment != "" {
		return nil, fmt.Errorf("%q is no path: it must begin with one /", plain(path))
	}
	target.Scheme, target.Host = place.Scheme, place.Host
	if place.Scheme == "http" {
		if err := c.onThisMachine(ctx, place.Hostname()); err != nil {
			return nil, err
		}
	}
	token, err := c.tokens.current(ctx)
	if err != nil {
		return nil, err
	}
	r := &request{what: "reach job " + job.ID, method: strings.ToUpper(method), header: http.Header{}, bearer: token, bearerFor: place, single: true, patience: portPatience}
	for name, value := range header {
		r.header.Set(name, value)
	}
	if len(body) > 0 {
		r.withBody(body)
	}
	got, err := c.roundTrip(ctx, r, target, token)
	if err != nil {
		return nil, err
	}
	return &PortAnswer{Status: got.status, Header: got.header, Body: got.body}, nil
}

// onThisMachine makes sure that a plain http host, which only its name says to
// be here, is not somewhere else by the word of some resolver.
func (c *Client) onThisMachine(ctx context.Context, host string) error {
	addresses, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return &NetworkError{What: "reach the job", Host: host, Err: err}
	}
	for _, address := range addresses {
		if !address.IP.IsLoopback() {
			return &NetworkError{What: "reach the job", Host: host, Err: errors.New("it is not on this machine, and without https")}
		}
	}
	return nil
}

package emulator

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// launchDomain is below which jobs with exposed ports have their host names.
// Every name in it stands for this machine, by RFC 6761, if its resolver knows.
const launchDomain = ".launch.localhost"

// resolvesLaunch finds out, once, whether this machine knows names in the
// launch domain. Where it does not, jobs get an address instead of a name.
var resolvesLaunch = sync.OnceValue(func() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, "emulator"+launchDomain)
	return err == nil && len(found) > 0 && loopback(found[0])
})

// label is the first part of the job's host name.
func (x *expose) label(id string) string {
	if x.Prefix != "" {
		return x.Prefix
	}
	return strings.TrimPrefix(id, "jr-")
}

// host is the job's host name: its label, in the launch domain.
func (x *expose) host(id string) string { return x.label(id) + launchDomain }

// publish gives an exposed port its public address: a name in the launch
// domain, or an address of its own where such names lead nowhere.
func (e *Emulator) publish(j *job, base string) error {
	x := j.rec.Expose
	if x == nil {
		return nil
	}
	u, err := url.Parse(base)
	if err != nil {
		return fmt.Errorf("address %q: %w", base, err)
	}
	x.Link = u.Scheme + "://" + x.host(j.rec.ID)
	if u.Port() != "" {
		x.Link += ":" + u.Port()
	}
	x.Link += "/"
	if resolvesLaunch() {
		return nil
	}
	ln, err := e.listenBeside(u)
	if err != nil {
		return err
	}
	link, unpublish, err := e.serve(ln, u.Hostname(), u.Scheme == "https", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.proxy(w, r, j)
	}))
	if err != nil {
		return err
	}
	x.Link, j.unpublish = link+"/", unpublish
	return nil
}

// extraAddresses is how many loopback addresses beside 127.0.0.1 jobs may get.
const extraAddresses = 32

// listenBeside listens at another loopback address with the server's own port,
// as clients drop the port of a job's host, or at any free port.
func (e *Emulator) listenBeside(u *url.URL) (net.Listener, error) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	for i := range extraAddresses {
		if ln, err := e.listenAt(net.JoinHostPort(extraAddress(i).String(), port)); err == nil {
			return ln, nil
		}
	}
	ln, err := e.listenAt("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("give a job's port an address: %w", err)
	}
	return ln, nil
}

func extraAddress(i int) net.IP { return net.IPv4(127, 0, 0, byte(i+2)) }

// choosePort finds the port that a job's program is to listen at: the one that
// was asked for, unless something else on this machine has it.
func (e *Emulator) choosePort(j *job) error {
	x := j.rec.Expose
	if x == nil {
		return nil
	}
	port := x.Port
	if !e.claim(j, port) {
		ln, err := e.listenAt("127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		port = ln.Addr().(*net.TCPAddr).Port
		if err := ln.Close(); err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		j.logLine(e.now(), "Warn", fmt.Sprintf("Port %d is taken on the emulator's machine: the job has to listen at port %d, as its environment says.", x.Port, port))
	}
	j.setPort(port)
	return nil
}

// claim gives the port to the job if it is free on this machine and no other job's.
func (e *Emulator) claim(j *job, port int) bool {
	e.jobs.mu.Lock()
	defer e.jobs.mu.Unlock()
	for _, other := range e.jobs.list {
		if other != j && other.listenPort() == port {
			return false
		}
	}
	ln, err := e.listenAt(net.JoinHostPort("127.0.0.1", itoa(port)))
	if err != nil {
		return false
	}
	if ln.Close() != nil {
		return false
	}
	j.setPort(port)
	return true
}

func (j *job) setPort(port int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.port = port
}

// listenPort is the port that the job's program is told to listen at, 0 for
// none: it has not started, or has ended.
func (j *job) listenPort() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.port
}

// exposed finds the job whose host name a request came for.
func (e *Emulator) exposed(host string) *job {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if !strings.HasSuffix(name, launchDomain) {
		return nil
	}
	e.jobs.mu.Lock()
	defer e.jobs.mu.Unlock()
	for i := len(e.jobs.list) - 1; i >= 0; i-- { // of several with one prefix, the newest has it
		j := e.jobs.list[i]
		if x := j.rec.Expose; x != nil && x.host(j.rec.ID) == name {
			return j
		}
	}
	return nil
}

// mayEnter reports whether a request may come to a job's port.
func (e *Emulator) mayEnter(x *expose, r *http.Request) bool {
	if !x.Authentication || e.tokens.valid(bearer(r)) {
		return true
	}
	_, password, ok := r.BasicAuth()
	return ok && x.Password != "" && subtle.ConstantTimeCompare([]byte(password), []byte(x.Password)) == 1
}

// proxy passes a request on to a job's program. Until it listens, the answer is 502.
func (e *Emulator) proxy(w http.ResponseWriter, r *http.Request, j *job) {
	if !e.mayEnter(j.rec.Expose, r) {
		if j.rec.Expose.Password != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="job"`)
		}
		plain(w, http.StatusUnauthorized, "This port is not open to everyone")
		return
	}
	port := j.listenPort()
	if port == 0 {
		plain(w, http.StatusBadGateway, "The job is not listening")
		return
	}
	target := &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", itoa(port))}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			p.Out.Header.Del("Authorization") // the credentials were for the gate
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			plain(w, http.StatusBadGateway, "The job is not listening")
		},
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(w, r)
}

// knownHost reports whether a Host header is one that this server goes by.
func (e *Emulator) knownHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if loopback(name) {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hosts[name]
}

package jobapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// newTransports returns the transport for all requests, and the one for those
// that must be on the wire once: HTTP/1.1, every request on a connection of its
// own, so that nothing below us has a reason to send it again. How long an
// answer may take is the Client's to watch.
func newTransports(roots *x509.CertPool) (shared, fresh *http.Transport) {
	shared = newTransport(roots)
	shared.ForceAttemptHTTP2 = true
	// A connection that died unseen (sleep, change of network) is found by a
	// ping and not by the next request's time-out.
	shared.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}

	return shared, makeFresh(newTransport(roots))
}

// makeFresh makes a transport speak HTTP/1.1 alone, and never twice on one
// connection. A clone of one that has HTTP/2 would still offer that in its TLS
// handshakes, so that is taken away, too.
func makeFresh(t *http.Transport) *http.Transport {
	t.DisableKeepAlives = true
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = nil
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = nil
	}
	return t
}

func newTransport(roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: refusedByProxy,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    15 * time.Second,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 1 << 20,
	}
}

// proxyError says that a proxy on the way made no connection to the server.
type proxyError struct{ status int }

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy refused it: HTTP %d %s", e.status, http.StatusText(e.status))
}

func refusedByProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode != http.StatusOK {
		return &proxyError{answer.StatusCode}
	}
	return nil
}

// rootCAs adds the certificates that the environment names for private
// authorities to the system's. nil = the system's alone. As in Julia, a name may
// be that of a directory.
func rootCAs(lookupEnv func(string) (string, bool)) (*x509.CertPool, error) {
	var pool *x509.CertPool
	for _, name := range []string{"SSL_CERT_FILE", "JULIA_SSL_CA_ROOTS_PATH"} {
		path, _ := lookupEnv(name)
		if path == "" {
			continue
		}
		certificates, err := readCertificates(path)
		if err != nil {
			return nil, fmt.Errorf("the certificates of %s: %w", name, err)
		}
		if pool == nil {
			if pool, err = x509.SystemCertPool(); err != nil {
				pool = x509.NewCertPool()
			}
		}
		if !pool.AppendCertsFromPEM(certificates) {
			return nil, fmt.Errorf("%s names a place without certificates: %s", name, path)
		}
	}
	return pool, nil
}

// readCertificates returns what stands in a file, or in the files of a directory.
func readCertificates(path string) ([]byte, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return os.ReadFile(path)
	}
	var all []byte
	for _, entry := range entries {
		// What is no file there, or not for us to read, does not count.
		if text, err := os.ReadFile(filepath.Join(path, entry.Name())); err == nil {
			all = append(append(all, text...), '\n')
		}
	}
	return all, nil
}

// hopeless reports whether an error of the network stays when the same is tried
// again at once.
func hopeless(err error) bool {
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return true
	}
	if e, ok := errors.AsType[*proxyError](err); ok && e.status < 500 {
		return true
	}
	return certificateProblem(err)
}

func certificateProblem(err error) bool {
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// networkAdvice says what a person can do about an error of the network.
func networkAdvice(err error) string {
	if certificateProblem(err) {
		return " (if the server uses a certificate of your own organisation, name it in SSL_CERT_FILE)"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return " (is the server's name right, and is there a network?)"
	}
	if e, ok := errors.AsType[*proxyError](err); ok && e.status == http.StatusProxyAuthRequired {
		return " (name yourself in HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT)"
	}
	return ""
}

func traced(ctx context.Context, r *request) context.Context {
	if r.gotConnection == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { r.gotConnection() }})
}

// watch cancels a transfer that does not move. No time-out stands over a
// transfer as a whole: a slow one that moves goes on.
type watch struct {
	cancel context.CancelCauseFunc

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	ended bool
}

// allow lets nothing move for at most limit from now on.
func (w *watch) allow(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case w.timer == nil:
		w.timer = time.AfterFunc(limit, func() { w.cancel(errStalled) })
	default:
		w.timer.Reset(limit)
	}
}

// pause stops the count until allow is called again.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end stops the count for good: the transport may still be reading a request's
// body when the answer is there.
func (w *watch) end() {
	w.pause()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
}

// watchedUpload is a request's body. The transport reads it only as fast as the
// other side takes it, so a pause between two reads is a pause on the wire.
type watchedUpload struct {
	io.ReadCloser
	watch       *watch
	stall, head time.Duration
}

func (u *watchedUpload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if err == nil {
		u.watch.allow(u.stall)
	} else {
		u.watch.allow(u.head) // the body is through: now the answer is awaited
	}
	return n, err
}

// watchedBody is an answer's body. Time counts only while a read waits: the
// reader may be slow.
type watchedBody struct {
	io.ReadCloser
	watch *watch
	stall time.Duration
	fail  func(error) error
	done  func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.allow(b.stall)
	n, err := b.ReadCloser.Read(p)
	b.watch.pause()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.fail(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.watch.end()
	err := b.ReadCloser.Close()
	b.done()
	return err
}

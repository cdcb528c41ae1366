package emulator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// serving is an emulator whose jobs serve HTTP at their port once they are told to.
func serving(t *testing.T) (*bench, chan struct{}) {
	t.Helper()
	begin := make(chan struct{})
	return open(t, Config{Simulate: func(ctx context.Context, s *Stage) error {
		s.Print("started")
		select {
		case <-begin:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", s.Port))
		if err != nil {
			return err
		}
		srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(w, "%s %s %s auth=%q", r.Method, r.URL, body, r.Header.Get("Authorization"))
		})}
		defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
		s.Print("listening")
		_ = srv.Serve(ln)
		return context.Cause(ctx)
	}}), begin
}

func exposing(args string, more ...string) map[string]string {
	return with(script("1"), append([]string{"product_name", "standard-interactive", "appArgs", args}, more...)...)
}

// visit asks a job's host, by its name if this machine does not know it.
func (b *bench) visit(link, method, path, body string, headers ...string) (int, string) {
	b.t.Helper()
	a := b.do(method, strings.TrimSuffix(link, "/")+path, strings.NewReader(body), headers...)
	return a.StatusCode, a.body
}

func freePort(t *testing.T) int {
	t.Helper()
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		if port %= 6000; allowedPort(port + 2000) {
			return port + 2000
		}
	}
}

func TestExposedPort(t *testing.T) {
	b, begin := serving(t)
	id := b.job(exposing(fmt.Sprintf(`{"port":%d,"authentication":true,"authorization":"me"}`, freePort(t))))
	link, _ := b.details(id)["proxy_link"].(string)
	if !strings.HasPrefix(link, "http://") || !strings.HasSuffix(link, "/") {
		t.Fatalf("link %q", link)
	}
	b.await(id, working)
	if status, body := b.visit(link, "GET", "/", ""); status != 502 {
		t.Errorf("before it listens: %d %s", status, body)
	}
	begin <- struct{}{}
	b.await(id, func(_ record, n int) bool { return strings.Contains(b.text(id), "listening") })
	if status, body := b.visit(link, "POST", "/a/b?c=d", "data"); status != 200 || body != `POST /a/b?c=d data auth=""` {
		t.Errorf("through the proxy: %d %s", status, body)
	}
	if status, _ := b.visit(link, "GET", "/", "", "Authorization", ""); status != 401 {
		t.Errorf("without a token: %d", status)
	}
	b.do("GET", "/juliaruncloud/kill_job?jobname="+id, nil)
	b.ended(id, stopped)
}

func TestExposedPortModes(t *testing.T) {
	b, begin := serving(t)
	close(begin)
	for args, wants := range map[string][3]int{ // without anything, with the token, with the password
		`"authentication":true,"authorization":"anyone"`:                     {401, 200, 401},
		`"authentication":false,"authorization":"anyone"`:                    {200, 200, 200},
		`"authentication":true,"authorization":"anyone","password":"s3cret"`: {401, 200, 200},
	} {
		id := b.job(exposing(fmt.Sprintf(`{"port":%d,%s}`, freePort(t), args)))
		b.await(id, func(_ record, n int) bool { return strings.Contains(b.text(id), "listening") })
		link := b.details(id)["proxy_link"].(string)
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("x:s3cret"))
		for i, header := range []string{"", "Bearer " + b.Token(), basic} {
			if status, _ := b.visit(link, "GET", "/", "", "Authorization", header); status != wants[i] {
				t.Errorf("%s with %q: %d, want %d", args, header, status, wants[i])
			}
		}
	}
}

// Names in the launch domain lead to jobs at the emulator's own address, too.
func TestExposedPortByName(t *testing.T) {
	b, begin := serving(t)
	close(begin)
	id := b.job(exposing(fmt.Sprintf(`{"port":%d,"authentication":false,"authorization":"anyone"}`, freePort(t)), "dns_prefix", "my-app"))
	b.await(id, func(_ record, n int) bool { return strings.Contains(b.text(id), "listening") })
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/named", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "my-app.launch.localhost"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.HasPrefix(string(body), "GET /named") {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
}

// Two jobs that ask for one port get two.
func TestExposedPortTaken(t *testing.T) {
	b, begin := serving(t)
	close(begin)
	form := exposing(fmt.Sprintf(`{"port":%d,"authentication":true,"authorization":"me"}`, freePort(t)))
	for range 2 {
		id := b.job(form)
		b.await(id, func(_ record, n int) bool { return strings.Contains(b.text(id), "listening") })
		if status, body := b.visit(b.details(id)["proxy_link"].(string), "GET", "/"+id, ""); status != 200 || !strings.Contains(body, id) {
			t.Errorf("%d %s", status, body)
		}
	}
}

// overTLS is an emulator that speaks TLS, and a client that trusts it.
func overTLS(t *testing.T, cfg Config) (*bench, *http.Client) {
	t.Helper()
	b := open(t, cfg)
	url, err := b.Start("", true)
	if err != nil || !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Fatalf("%s %v", url, err)
	}
	text, err := b.CertificatePEM()
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) || b.Info().Certificate == "" {
		t.Fatalf("certificate: %v", err)
	}
	b.url = url
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	return b, client
}

// A job's host is under the same certificate as the server, whatever its address.
func TestExposedPortOverTLS(t *testing.T) {
	b, client := overTLS(t, Config{Simulate: func(ctx context.Context, s *Stage) error {
		return s.Wait(ctx, time.Hour)
	}})
	b.client = client
	id := b.job(exposing(fmt.Sprintf(`{"port":%d,"authentication":true,"authorization":"me"}`, freePort(t))))
	link := b.details(id)["proxy_link"].(string)
	if !strings.HasPrefix(link, "https://") {
		t.Errorf("link %s", link)
	}
	if status, body := b.visit(link, "GET", "/", ""); status != 502 {
		t.Errorf("%d %s", status, body)
	}
}

// The library that HTTP.jl 1.0 speaks TLS with looks for a host among the
// DNS names alone, and links of exposed ports are addresses where names do not resolve.
func TestCertificateNamesAddressesTwice(t *testing.T) {
	b, _ := overTLS(t, Config{})
	text, err := b.CertificatePEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", extraAddress(0).String(), extraAddress(extraAddresses - 1).String()} {
		if !slices.Contains(cert.DNSNames, host) {
			t.Errorf("%s is not among the DNS names", host)
		}
		if err := cert.VerifyHostname(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTLS(t *testing.T) {
	e, client := overTLS(t, Config{})
	url := e.url
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.Token())
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("%d over %s", resp.StatusCode, resp.Proto)
	}
	// A WebSocket goes over HTTP/1.1, whatever else the server speaks.
	_, ws, err := websocket.Dial(t.Context(), url+"/ws/stream_logs?jobname=jr-none", &websocket.DialOptions{
		HTTPClient: client, HTTPHeader: http.Header{"Authorization": {"Bearer " + e.Token()}},
	})
	if err == nil || ws == nil || ws.StatusCode != 403 || ws.ProtoMajor != 1 {
		t.Errorf("stream: %v, %v", ws, err)
	}
}

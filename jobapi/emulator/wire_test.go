package emulator

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The requests in testdata/wire were sent by JuliaHub.jl 0.1.17, recorded at a
// loopback server. They are sent again, byte for byte but for the token, the
// length, and the appbundle, whose bytes were not recorded.
func TestRecordedRequestsAreAccepted(t *testing.T) {
	b := open(t, Config{Token: "tok123", NewID: counted("jr-toy%07d")})
	bundle := tarball(t, map[string]string{"app/Project.toml": "[deps]\n", "app/main.jl": "1"})
	recorded, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(recorded) != 15 {
		t.Fatalf("%d recorded requests, %v", len(recorded), err)
	}
	upload := ""
	for _, file := range recorded {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw := prepare(t, file, bundle, upload)
			resp, body := b.raw(t, raw)
			if resp.StatusCode != http.StatusOK || strings.Contains(body, `"success":false`) {
				t.Fatalf("status %d: %s\nfor\n%s", resp.StatusCode, body, raw)
			}
			if m := regexp.MustCompile(`"upload_url":"http://[^/]*([^"]*)"`).FindStringSubmatch(body); m != nil {
				upload = strings.ReplaceAll(m[1], `\u0026`, "&")
			}
			if strings.Contains(file, "submit_job") && !strings.Contains(body, `"jobname":"jr-toy`) {
				t.Errorf("no job: %s", body)
			}
			if strings.Contains(file, "GET-api_rest") && !strings.Contains(body, `"details":[{`) {
				t.Errorf("no details: %s", body)
			}
		})
	}
	if n := b.Counters()["POST /juliaruncloud/submit_job"]; n != 3 {
		t.Errorf("%d submissions counted, want 3", n)
	}
	if alias := b.details("jr-toy0000002")["jobname_alias"]; alias != "my alias" {
		t.Errorf("alias is %v", alias)
	}
}

// counted makes ids by counting.
func counted(format string) func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf(format, n) }
}

// prepare completes a recorded request.
func prepare(t *testing.T, file string, bundle []byte, upload string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	text = strings.NewReplacer(
		"cb343fb5cfe3767e6b2093f5b8952ac34ad64ca3891b4518ec783cbc2672901f", sum(bundle),
		"9728", fmt.Sprint(len(bundle)), "/upload/abc?sig=1", upload,
	).Replace(text)
	head, body, _ := strings.Cut(text, "\n\n")
	body = strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", "\r\n")
	if strings.HasPrefix(head, "PUT") {
		body = string(bundle)
	}
	if strings.Contains(file, "POST") {
		body += "\r\n"
		head = strings.Replace(head, "Content-Length: N", fmt.Sprintf("Content-Length: %d", len(body)), 1)
	}
	return []byte(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)
}

// raw sends bytes and reads one response.
func (b *bench) raw(t *testing.T, request []byte) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.Copy(conn, bytes.NewReader(request)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// A session of JuliaHub.jl 0.1.17 with what the toy server of the other
// recording could not answer: images, logs, files, limits, exposed ports, streams.
// Its jobs are played, and its appbundle has an empty manifest here.
func TestRecordedSessionIsServed(t *testing.T) {
	b := open(t, Config{Token: "tok123", NewID: counted("jr-toy%07d"), Simulate: func(ctx context.Context, s *Stage) error {
		s.Print("one")
		s.Print("two")
		if s.Code == "wait()" {
			return s.Wait(ctx, time.Hour)
		}
		return s.Result("answer.txt", []byte("42"))
	}})
	bundle := tarball(t, map[string]string{"app/Project.toml": "[deps]\n", "app/Manifest.toml": ""})
	recorded, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(recorded) != 24 {
		t.Fatalf("%d recorded requests, %v", len(recorded), err)
	}
	wanted := map[string]string{
		"_get_logs": `"[{\"`, "files_code.jl": "1", "answer.txt.txt": "42", "_upload_url": `"success":true`,
		"_extend_": `"success":true`, "_kill_": `"status":true`, "_get_jobs": `[{"`, "_groups": `"image_groups"`, "_default": `"defaultApps"`,
	}
	upload, submissions := "", 0
	for _, file := range recorded {
		raw := prepare(t, file, bundle, upload)
		resp, body := b.raw(t, raw)
		status := http.StatusOK
		if strings.Contains(file, "stream_logs") {
			status = http.StatusSwitchingProtocols
		}
		if resp.StatusCode != status || strings.Contains(body, `"success":false`) {
			t.Fatalf("%s: status %d: %s\nfor\n%s", file, resp.StatusCode, body, raw)
		}
		for part, want := range wanted {
			if strings.Contains(file, part) && !strings.Contains(body, want) {
				t.Errorf("%s: %s is missing in %s", file, want, body)
			}
		}
		if m := regexp.MustCompile(`"upload_url":"http://[^/]*([^"]*)"`).FindStringSubmatch(body); m != nil {
			upload = strings.ReplaceAll(m[1], `\u0026`, "&")
		}
		if strings.Contains(file, "submit_job") {
			submissions++
			id := fmt.Sprintf("jr-toy%07d", submissions)
			if !strings.Contains(body, id) {
				t.Fatalf("%s: %s", file, body)
			}
			if bytes.Contains(raw, []byte("wait()")) {
				b.await(id, working)
			} else {
				b.ended(id, "Completed")
			}
		}
	}
	first := b.details("jr-toy0000001")
	if first["jobname_alias"] != `naïve "alias"` {
		t.Errorf("alias %q", first["jobname_alias"])
	}
	if submissions != 10 {
		t.Errorf("%d submissions", submissions)
	}
	for id, exposed := range map[string]bool{"jr-toy0000005": false, "jr-toy0000006": true, "jr-toy0000007": true, "jr-toy0000008": true, "jr-toy0000009": true} {
		if link, _ := b.details(id)["proxy_link"].(string); (link != "") != exposed {
			t.Errorf("%s: link %q", id, link)
		}
	}
}

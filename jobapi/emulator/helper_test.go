package emulator

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/internal/testjulia"
)

// bench is an emulator that listens, and a client of it.
type bench struct {
	*Emulator

	t      *testing.T
	url    string
	client *http.Client
}

func open(t *testing.T, cfg Config) *bench {
	t.Helper()
	if cfg.Julia == "" {
		cfg.Julia = "none"
	}
	if cfg.Pace == 0 {
		cfg.Pace = time.Millisecond
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	url, err := e.Start("", false)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{Emulator: e, t: t, url: url, client: http.DefaultClient}
}

// realJulia is the Julia that tests run jobs with. They take their time, so they
// take it together.
func realJulia(t *testing.T) string {
	t.Helper()
	t.Parallel()
	return testjulia.Find(t)
}

// answer is a response with its body read.
type answer struct {
	*http.Response

	body string
}

func (b *bench) do(method, path string, body io.Reader, headers ...string) answer {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.Token())
	req.Header.Set("X-Hasura-Role", "jhuser")
	req.Header.Set("X-JuliaHub-Ensure-JS", "true")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp, string(text)}
}

// get wants a 200 and decodes the answer.
func (b *bench) get(path string, into any) {
	b.t.Helper()
	a := b.do("GET", path, nil)
	if a.StatusCode != http.StatusOK {
		b.t.Fatalf("GET %s: status %d: %s", path, a.StatusCode, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		b.t.Fatalf("GET %s: %v in %s", path, err, a.body)
	}
}

// script is a submission that is right in every field.
func script(code string) map[string]string {
	return map[string]string{
		"customcode": "true", "usercode": code, "args": "{}", "node_class": "m6", "cpu": "4", "nworkers": "0",
		"isthreaded": "true", "elastic": "false", "limit_type": "time", "limit_value": "1", "effective_time_limit": "1", "est_cost": "0",
	}
}

// with is a form with some fields changed; an empty value takes the field out.
func with(form map[string]string, fields ...string) map[string]string {
	form = maps.Clone(form)
	for i := 0; i+1 < len(fields); i += 2 {
		form[fields[i]] = fields[i+1]
		if fields[i+1] == "" {
			delete(form, fields[i])
		}
	}
	return form
}

func encode(t *testing.T, form map[string]string) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if err := w.WriteField(name, form[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

func (b *bench) submit(form map[string]string) answer {
	b.t.Helper()
	body, contentType := encode(b.t, form)
	return b.do("POST", "/juliaruncloud/submit_job", body, "Content-Type", contentType)
}

// job submits a form that is right and returns the job's id.
func (b *bench) job(form map[string]string) string {
	b.t.Helper()
	a := b.submit(form)
	var in struct {
		Success bool
		Jobname string
	}
	if err := json.Unmarshal([]byte(a.body), &in); err != nil || a.StatusCode != http.StatusOK || !in.Success {
		b.t.Fatalf("submit: status %d: %s", a.StatusCode, a.body)
	}
	return in.Jobname
}

// details is a job as the API shows it.
func (b *bench) details(id string) map[string]any {
	b.t.Helper()
	var in struct{ Details []map[string]any }
	b.get("/api/rest/jobs/"+id, &in)
	if len(in.Details) != 1 {
		b.t.Fatalf("job %s has %d details", id, len(in.Details))
	}
	return in.Details[0]
}

// await waits until the job's log, or its state, is as wanted.
func (b *bench) await(id string, want func(record, int) bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer cancel()
	j := b.jobs.get(id)
	for {
		n, _, changed := j.log.view()
		if rec := j.snapshot(); want(rec, n) {
			return
		} else if done(rec.Status) {
			b.t.Fatalf("job %s ended as %s before what was awaited:\n%s", id, rec.Status, b.text(id))
		}
		select {
		case <-changed:
		case <-ctx.Done():
			b.t.Fatalf("job %s: nothing more happened:\n%s", id, b.text(id))
		}
	}
}

// ended waits for the job's end and wants it to be of the given status.
func (b *bench) ended(id, status string) map[string]any {
	b.t.Helper()
	b.await(id, func(r record, _ int) bool { return done(r.Status) })
	d := b.details(id)
	if d["status"] != status {
		b.t.Fatalf("job ended as %v, want %s:\n%s", d["status"], status, b.text(id))
	}
	return d
}

// page is one answer of get_logs.
func (b *bench) page(id, query string) []map[string]any {
	b.t.Helper()
	var text string
	b.get("/juliaruncloud/get_logs?log_output_type=content&log_out_type=json&jobname="+id+query, &text)
	var list []map[string]any
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		b.t.Fatalf("log: %v in %s", err, text)
	}
	return list
}

// text is the job's log as lines, markers as <top> and <bottom>.
func (b *bench) text(id string) string {
	b.t.Helper()
	return lines(b.page(id, ""))
}

func lines(page []map[string]any) string {
	var out strings.Builder
	for _, m := range page {
		if m["_meta"] == true {
			fmt.Fprintf(&out, "<%s>\n", m["end"])
			continue
		}
		fmt.Fprintf(&out, "%v\n", m["message"])
	}
	return out.String()
}

// files are the job's files as NAME (TYPE).
func files(d map[string]any) string {
	var list []string
	for _, f := range d["files"].([]any) {
		f := f.(map[string]any)
		list = append(list, fmt.Sprintf("%s (%s)", f["name"], f["type"]))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// tarball packs files; names that end in / are directories, values that start
// with -> are links.
func tarball(t *testing.T, content map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(content)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content[name])), Typeflag: tar.TypeReg}
		target, link := strings.CutPrefix(content[name], "->")
		switch {
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Size = tar.TypeDir, 0
		case link:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, content[name]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// uploadURL asks for a place to put the bytes.
func (b *bench) uploadURL(data []byte) string {
	b.t.Helper()
	var in struct {
		Success bool
		Message struct {
			URL string `json:"upload_url"`
		}
	}
	b.get(fmt.Sprintf("/jobs/appbundle_upload_url?file_type=input&file_name=appbundle.tar&file_size=%d&hash=%s&hash_alg=sha2_256", len(data), sum(data)), &in)
	return in.Message.URL
}

// bundle is a submission of an appbundle whose bytes are uploaded first.
func (b *bench) bundle(driver string, data []byte) map[string]string {
	b.t.Helper()
	a := b.do("PUT", b.uploadURL(data), bytes.NewReader(data), "Authorization", "")
	if a.StatusCode != http.StatusOK || a.body != "" {
		b.t.Fatalf("upload: status %d: %s", a.StatusCode, a.body)
	}
	return with(script(driver), "appbundle", "__APPBUNDLE_EXTERNAL_UPLOAD__", "appbundle_upload_info",
		fmt.Sprintf(`{"file_type":"input","file_name":"appbundle.tar","file_size":%d,"hash":"%s","hash_alg":"sha2_256"}`, len(data), sum(data)))
}

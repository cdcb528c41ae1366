package jobapi

import (
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// submitted serves submit_job and returns the form that came.
func submitForm(t *testing.T, s Submission) map[string]string {
	t.Helper()
	hub := newHub(t)
	var form map[string]string
	hub.answer(t, "POST /juliaruncloud/submit_job", func(r *http.Request) { form = readForm(t, r) }, 200, `{"success":true,"jobname":"jr-toy0000001","message":""}`)
	id, err := hub.client(t).Submit(t.Context(), s)
	if err != nil || id != "jr-toy0000001" {
		t.Fatalf("%q, %v", id, err)
	}
	return form
}

func readForm(t *testing.T, r *http.Request) map[string]string {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		t.Errorf("Content-Type %q", r.Header.Get("Content-Type"))
	}
	form := map[string]string{}
	for reader := multipart.NewReader(r.Body, params["boundary"]); ; {
		part, err := reader.NextPart()
		if err != nil {
			return form
		}
		value, err := io.ReadAll(part)
		if err != nil || part.FileName() != "" || part.Header.Get("Content-Type") != "" {
			t.Errorf("part %q: %v, %v", part.FormName(), err, part.Header)
		}
		if _, twice := form[part.FormName()]; twice {
			t.Errorf("%s twice", part.FormName())
		}
		form[part.FormName()] = string(value)
	}
}

func compareForms(t *testing.T, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s = %q, want %q", name, got[name], value)
		}
	}
	for name, value := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s = %q, want none", name, value)
		}
	}
}

// The forms are those that JuliaHub.jl v0.1.17 sent, less the sysimage_build
// that it sends as "nothing" and that means nothing.

func TestScriptForm(t *testing.T) {
	got := submitForm(t, Submission{Code: "1+1", Node: Node{Class: "m6", VCores: 4}, Nodes: 1, LimitHours: 1, ProcessPerNode: true})
	compareForms(t, got, map[string]string{
		"isthreaded": "true", "est_cost": "0", "elastic": "false", "cpu": "4", "args": "{}", "customcode": "true", "node_class": "m6",
		"effective_time_limit": "1", "usercode": "1+1", "nworkers": "0", "limit_type": "time", "limit_value": "1",
	})
}

func TestBundleForm(t *testing.T) {
	const sum = "cb343fb5cfe3767e6b2093f5b8952ac34ad64ca3891b4518ec783cbc2672901f"
	got := submitForm(t, Submission{
		Code: "driver", Bundle: &Upload{Size: 9728, SHA256: strings.ToUpper(sum)}, Args: map[string]string{"A": "b c", "jobname": "my alias"},
		Node: Node{Class: "m6", VCores: 4}, Nodes: 1, LimitHours: 2, ProcessPerNode: true,
	})
	compareForms(t, got, map[string]string{
		"isthreaded": "true", "est_cost": "0", "elastic": "false", "cpu": "4", "appbundle": "__APPBUNDLE_EXTERNAL_UPLOAD__",
		"args": `{"A":"b c","jobname":"my alias"}`, "customcode": "true", "node_class": "m6", "effective_time_limit": "2", "usercode": "driver",
		"nworkers": "0", "limit_type": "time", "limit_value": "2",
		"appbundle_upload_info": `{"file_name":"appbundle.tar","file_size":9728,"file_type":"input","hash":"` + sum + `","hash_alg":"sha2_256"}`,
	})
}

func TestEveryField(t *testing.T) {
	digest := strings.Repeat("0a", 32)
	got := submitForm(t, Submission{
		Code: "α = \"é\"\r\n\x00--boundary--", ProjectTOML: "name = \"x\"\n", ManifestTOML: "# m\n", ProjectID: "5F3A9DBE-0000-4000-8000-000000000001",
		Image:    &Image{Product: "standard-batch", Key: "julia-1-10", Tag: "2024", SHA256: "sha256:" + digest},
		Sysimage: true, ManifestSHA256: strings.ToUpper(digest), Node: Node{Class: "m6", VCores: 8}, Nodes: 4, MinNodes: 2,
		Expose: &Expose{Port: 8080, Access: "password", Password: "p<&>\"", DNSPrefix: "mine", Product: "standard-interactive"},
	})
	compareForms(t, got, map[string]string{
		"customcode": "true", "usercode": "α = \"é\"\r\n\x00--boundary--", "projecttoml": "name = \"x\"\n", "manifesttoml": "# m\n", "args": "{}",
		"projectid": "5f3a9dbe-0000-4000-8000-000000000001", "product_name": "standard-interactive", "image": "julia-1-10", "image_tag": "2024",
		"image_sha256": "sha256:" + digest, "sysimage_build": "true", "sysimage_manifest_sha": digest, "node_class": "m6", "cpu": "8",
		"nworkers": "3", "min_workers_required": "1", "elastic": "false", "isthreaded": "false", "limit_type": "unlimited", "est_cost": "0", "dns_prefix": "mine",
		"appArgs": `{"authentication":true,"authorization":"anyone","password":"p\u003c\u0026\u003e\"","port":8080}`,
	})
}

func TestExposeModes(t *testing.T) {
	for access, want := range map[string]string{
		"":          `{"authentication":true,"authorization":"me","port":1025}`,
		"me":        `{"authentication":true,"authorization":"me","port":1025}`,
		"logged-in": `{"authentication":true,"authorization":"anyone","port":1025}`,
		"public":    `{"authentication":false,"authorization":"anyone","port":1025}`,
	} {
		s := sampleSubmission()
		s.Expose = &Expose{Port: 1025, Access: access}
		fields, err := s.fields()
		if err != nil || fields["appArgs"] != want || fields["product_name"] != "standard-interactive" {
			t.Errorf("%s: %q, %q, %v", access, fields["appArgs"], fields["product_name"], err)
		}
	}
}

func TestValidPort(t *testing.T) {
	for port, want := range map[int]bool{
		-1: false, 80: false, 1024: false, 1025: true, 9008: true, 9009: false, 9010: true, 23399: true, 23400: false, 23499: false, 23500: true, 32767: true, 32768: false,
	} {
		if ValidPort(port) != want {
			t.Errorf("ValidPort(%d) = %v", port, !want)
		}
	}
}

// TestNoSubmission: what is no submission is not sent.
func TestNoSubmission(t *testing.T) {
	digest := strings.Repeat("0", 64)
	for name, change := range map[string]func(*Submission){
		"no code":            func(s *Submission) { s.Code = "" },
		"no node":            func(s *Submission) { s.Node = Node{} },
		"no nodes":           func(s *Submission) { s.Nodes = 0 },
		"minimum too high":   func(s *Submission) { s.Nodes, s.MinNodes = 2, 2 },
		"negative minimum":   func(s *Submission) { s.MinNodes = -1 },
		"elastic minimum":    func(s *Submission) { s.Nodes, s.MinNodes, s.Elastic = 3, 1, true },
		"negative limit":     func(s *Submission) { s.LimitHours = -1 },
		"project":            func(s *Submission) { s.ProjectID = "mine" },
		"project with urn":   func(s *Submission) { s.ProjectID = "urn:uuid:5f3a9dbe-0000-4000-8000-000000000001" },
		"image digest":       func(s *Submission) { s.Image = &Image{SHA256: digest} },
		"sysimage":           func(s *Submission) { s.Sysimage = true },
		"sysimage digest":    func(s *Submission) { s.Sysimage, s.ManifestSHA256 = true, "abc" },
		"bundle and project": func(s *Submission) { s.Bundle, s.ProjectTOML = &Upload{Size: 1, SHA256: digest}, "x" },
		"bundle empty":       func(s *Submission) { s.Bundle = &Upload{SHA256: digest} },
		"bundle too large":   func(s *Submission) { s.Bundle = &Upload{Size: MaxBundle + 1, SHA256: digest} },
		"bundle digest":      func(s *Submission) { s.Bundle = &Upload{Size: 1, SHA256: "0"} },
		"port":               func(s *Submission) { s.Expose = &Expose{Port: 80} },
		"access":             func(s *Submission) { s.Expose = &Expose{Port: 8080, Access: "all"} },
		"no password":        func(s *Submission) { s.Expose = &Expose{Port: 8080, Access: "password"} },
		"needless password":  func(s *Submission) { s.Expose = &Expose{Port: 8080, Access: "me", Password: "x"} },
		"image cannot expose": func(s *Submission) {
			s.Expose, s.Image = &Expose{Port: 8080}, &Image{Product: "standard-batch", Key: "k"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newHub(t)
			s := sampleSubmission()
			change(&s)
			id, err := hub.client(t).Submit(t.Context(), s)
			if got := outcomeOf(id, err); got != "refused" || len(hub.asked()) != 0 {
				t.Errorf("outcome %s, %v; asked for %q", got, err, hub.asked())
			}
		})
	}
}

package emulator

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestStrictSubmission changes one thing of a good submission at a time.
func TestStrictSubmission(t *testing.T) {
	b := open(t, Config{})
	good := script("1+1")
	manifest := "manifest_format = \"2.0\"\n"
	image := []string{"product_name", "standard-batch", "image", "stable-cpu", "image_tag", "1.0.0"}
	port := []string{"product_name", "standard-interactive", "appArgs", `{"port":8080,"authentication":true,"authorization":"me"}`}
	args := func(text string) []string { return []string{"product_name", "standard-interactive", "appArgs", text} }
	for _, c := range []struct {
		name string
		set  []string // field, value, …
		want string   // part of the refusal, "" = accepted
	}{
		{"as it is", nil, ""},
		{"empty code", []string{"usercode", " "}, ""},
		{"environment", []string{"projecttoml", "[deps]\n", "manifesttoml", manifest}, ""},
		{"alias and variables", []string{"args", `{"jobname":"x","A":"1 = \n"}`}, ""},
		{"sysimage as the reference says no", []string{"sysimage_build", "nothing"}, ""},
		{"unlimited", []string{"limit_type", "unlimited", "limit_value", "", "effective_time_limit", ""}, ""},
		{"nodes with a minimum", []string{"nworkers", "3", "min_workers_required", "2"}, ""},
		{"project", []string{"projectid", "0f6c2f8c-6ad1-4b1e-8f0a-3e0b2c1d4e5f"}, ""},
		{"image", image, ""},
		{"legacy image", []string{"product_name", "@legacy", "image", "modelling-legacy"}, ""},
		{"legacy default image", []string{"product_name", "standard-batch", "image", "julia"}, ""},
		{"digest", append([]string{"image_sha256", stableSHA}, image...), ""},
		{"port", port, ""},
		{"port with image and prefix", append([]string{"image", "stable-cpu", "dns_prefix", "my-app"}, port...), ""},
		{"public port", args(`{"port":1025,"authentication":false,"authorization":"anyone"}`), ""},
		{"port with password", args(`{"port":32767,"authentication":true,"authorization":"anyone","password":"p"}`), ""},
		{"sysimage", []string{"manifesttoml", manifest, "sysimage_build", "true", "sysimage_manifest_sha", sum([]byte(manifest))}, ""},

		{"unknown field", []string{"colour", "red"}, `Unknown field "colour"`},
		{"no customcode", []string{"customcode", ""}, "customcode is missing"},
		{"no code", []string{"usercode", ""}, "usercode is missing"},
		{"no args", []string{"args", ""}, "args is missing"},
		{"no cost", []string{"est_cost", ""}, "est_cost is missing"},
		{"no node", []string{"node_class", ""}, "node_class is missing"},
		{"customcode false", []string{"customcode", "false"}, "customcode"},
		{"cost", []string{"est_cost", "1.5"}, "est_cost"},
		{"project file", []string{"projecttoml", "[deps"}, "projecttoml is not valid TOML"},
		{"manifest", []string{"manifesttoml", "x = "}, "manifesttoml is not valid TOML"},
		{"args no object", []string{"args", `["A"]`}, "args"},
		{"args null", []string{"args", `null`}, "args"},
		{"args with a number", []string{"args", `{"A":1}`}, "args"},
		{"args with null", []string{"args", `{"A":null}`}, "args"},
		{"args twice", []string{"args", `{} {}`}, "args"},
		{"args no variable", []string{"args", `{"A=B":"1"}`}, "args"},
		{"project id", []string{"projectid", "my-project"}, "projectid"},
		{"project id in braces", []string{"projectid", "{0f6c2f8c-6ad1-4b1e-8f0a-3e0b2c1d4e5f}"}, "projectid"},
		{"node class", []string{"node_class", "m7"}, "no node"},
		{"cpu of no node", []string{"cpu", "3"}, "no node"},
		{"cpu as float", []string{"cpu", "4.0"}, "cpu"},
		{"cpu zero", []string{"cpu", "0"}, "cpu"},
		{"nworkers negative", []string{"nworkers", "-1"}, "nworkers"},
		{"nworkers text", []string{"nworkers", "one"}, "nworkers"},
		{"isthreaded", []string{"isthreaded", "True"}, "isthreaded"},
		{"elastic", []string{"elastic", "1"}, "elastic"},
		{"minimum alone", []string{"min_workers_required", "0"}, "less than nworkers"},
		{"minimum as large", []string{"nworkers", "2", "min_workers_required", "2"}, "less than nworkers"},
		{"minimum negative", []string{"nworkers", "2", "min_workers_required", "-1"}, "min_workers_required"},
		{"minimum and elastic", []string{"nworkers", "2", "min_workers_required", "1", "elastic", "true"}, "elastic"},
		{"limit type", []string{"limit_type", "hours"}, "limit_type"},
		{"no limit", []string{"limit_value", ""}, "limit_value"},
		{"no effective limit", []string{"effective_time_limit", ""}, "effective_time_limit"},
		{"limits differ", []string{"effective_time_limit", "2"}, "effective_time_limit"},
		{"limit zero", []string{"limit_value", "0", "effective_time_limit", "0"}, "limit_value"},
		{"limit in parts of hours", []string{"limit_value", "1.5", "effective_time_limit", "1.5"}, "limit_value"},
		{"unlimited with a limit", []string{"limit_type", "unlimited"}, "unlimited"},
		{"image without product", []string{"image", "stable-cpu"}, "product_name"},
		{"no such image", []string{"product_name", "standard-batch", "image", "x"}, `no image "x"`},
		{"other product's image", []string{"product_name", "small-batch", "image", "stable-cpu"}, "no image"},
		{"no such product", []string{"product_name", "x"}, "no product"},
		{"product for no code", []string{"product_name", "pluto"}, "no product"},
		{"digest without prefix", []string{"image_sha256", stableSHA[7:]}, "image_sha256"},
		{"digest too short", []string{"image_sha256", stableSHA[:70]}, "image_sha256"},
		{"tag without image", []string{"image_tag", "1"}, "image_tag"},
		{"sysimage without manifest", []string{"sysimage_build", "true", "sysimage_manifest_sha", sum(nil)}, "needs a Manifest"},
		{"sysimage without hash", []string{"sysimage_build", "true", "manifesttoml", manifest}, "sysimage_manifest_sha"},
		{"sysimage of another manifest", []string{"sysimage_build", "true", "manifesttoml", manifest, "sysimage_manifest_sha", sum(nil)}, "not the SHA-256"},
		{"sysimage word", []string{"sysimage_build", "yes"}, "sysimage_build"},
		{"hash without sysimage", []string{"sysimage_manifest_sha", sum(nil)}, "goes with"},
		{"appArgs without product", []string{"appArgs", `{"port":8080,"authentication":true,"authorization":"me"}`}, "product_name"},
		{"appArgs with a batch product", []string{"product_name", "standard-batch", "appArgs", `{"port":8080,"authentication":true,"authorization":"me"}`}, "interactive"},
		{"interactive without appArgs", []string{"product_name", "standard-interactive"}, "appArgs"},
		{"prefix alone", []string{"dns_prefix", "x"}, "dns_prefix"},
		{"prefix no label", append([]string{"dns_prefix", "a.b"}, port...), "dns_prefix"},
		{"port as text", args(`{"port":"8080","authentication":true,"authorization":"me"}`), "appArgs"},
		{"port below", args(`{"port":1024,"authentication":true,"authorization":"me"}`), "Port 1024"},
		{"port in the first gap", args(`{"port":9009,"authentication":true,"authorization":"me"}`), "Port 9009"},
		{"port in the second gap", args(`{"port":23400,"authentication":true,"authorization":"me"}`), "Port 23400"},
		{"port above", args(`{"port":32768,"authentication":true,"authorization":"me"}`), "Port 32768"},
		{"authorization", args(`{"port":8080,"authentication":true,"authorization":"all"}`), "authorization"},
		{"me without authentication", args(`{"port":8080,"authentication":false,"authorization":"me"}`), "authorization"},
		{"password for me", args(`{"port":8080,"authentication":true,"authorization":"me","password":"p"}`), "password"},
		{"unknown in appArgs", args(`{"port":8080,"authentication":true,"authorization":"me","x":1}`), "appArgs"},
		{"bundle without info", []string{"appbundle", "__APPBUNDLE_EXTERNAL_UPLOAD__"}, "go together"},
		{"info without bundle", []string{"appbundle_upload_info", "{}"}, "go together"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.submit(with(good, c.set...))
			var in struct {
				Success *bool
				Message string
				Jobname string
			}
			if err := json.Unmarshal([]byte(a.body), &in); err != nil || a.StatusCode != http.StatusOK || in.Success == nil {
				t.Fatalf("status %d: %s", a.StatusCode, a.body)
			}
			if c.want == "" && (!*in.Success || !strings.HasPrefix(in.Jobname, "jr-")) {
				t.Errorf("refused: %s", a.body)
			}
			if c.want != "" && (*in.Success || in.Jobname != "" || !strings.Contains(in.Message, c.want)) {
				t.Errorf("got %s, want a refusal with %q", a.body, c.want)
			}
		})
	}
}

func TestBodiesThatAreNoForm(t *testing.T) {
	b := open(t, Config{})
	body, contentType := encode(t, script("1"))
	if a := b.do("POST", "/juliaruncloud/submit_job", bytes.NewReader(body.Bytes()), "Content-Type", "application/json"); a.StatusCode != http.StatusBadRequest {
		t.Errorf("JSON: status %d: %s", a.StatusCode, a.body)
	}
	half := bytes.NewReader(body.Bytes()[:body.Len()/2])
	if a := b.do("POST", "/juliaruncloud/submit_job", half, "Content-Type", contentType); a.StatusCode != http.StatusBadRequest {
		t.Errorf("half a form: status %d: %s", a.StatusCode, a.body)
	}
	for name, add := range map[string]func(*multipart.Writer) error{
		"given twice": func(w *multipart.Writer) error { return w.WriteField("cpu", "4") },
		"not a file":  func(w *multipart.Writer) error { _, err := w.CreateFormFile("usercode", "code.jl"); return err },
	} {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for field, value := range script("1") {
			if field != "usercode" || name != "not a file" {
				if err := w.WriteField(field, value); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := add(w); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if a := b.do("POST", "/juliaruncloud/submit_job", &body, "Content-Type", w.FormDataContentType()); !strings.Contains(a.body, name) {
			t.Errorf("want %q refused, got %s", name, a.body)
		}
	}
	if list := b.jobs.newest(100); len(list) != 0 {
		t.Errorf("%d jobs came of it", len(list))
	}
}

func TestUploadURLExpires(t *testing.T) {
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b := open(t, Config{Now: c.now})
	data := []byte("data")
	link := b.uploadURL(data)
	c.t = c.t.Add(uploadLife)
	if a := b.do("PUT", link, bytes.NewReader(data), "Authorization", ""); a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "expired") {
		t.Errorf("%d %s", a.StatusCode, a.body)
	}
}

func TestOldUploadsGo(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Config{Data: dir})
	kept, old := tarball(t, map[string]string{"kept/x": "1"}), tarball(t, map[string]string{"old/x": "1"})
	form := b.bundle("1", old)
	id := b.job(form)
	b.ended(id, completed)
	b.bundle("1", kept)
	long := time.Now().Add(-2 * keepUploads)
	if err := os.Chtimes(b.uploadPath(sum(old)), long, long); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "uploads", "part-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, Config{Data: dir})
	if left, err := filepath.Glob(filepath.Join(dir, "uploads", "*")); err != nil || len(left) != 1 || left[0] != b.uploadPath(sum(kept)) {
		t.Errorf("left: %v, %v", left, err)
	}
	if a := b.do("GET", "/jobs/"+id+"/files/appbundle.tar?filetype=input", nil); a.body != string(old) {
		t.Errorf("the job's own copy: %d, %d bytes", a.StatusCode, len(a.body))
	}
}

func TestUploads(t *testing.T) {
	b := open(t, Config{})
	data := tarball(t, map[string]string{"app/main.jl": "1", "app/Manifest.toml": "julia_version = \"1.5.3\"\n"})
	info := `{"file_type":"input","file_name":"appbundle.tar","file_size":SIZE,"hash":"HASH","hash_alg":"sha2_256"}`
	info = strings.NewReplacer("SIZE", itoa(len(data)), "HASH", sum(data)).Replace(info)
	form := with(script("1"), "appbundle", "__APPBUNDLE_EXTERNAL_UPLOAD__", "appbundle_upload_info", info)

	if a := b.submit(form); !strings.Contains(a.body, "No appbundle with this hash was uploaded") {
		t.Errorf("before the upload: %s", a.body)
	}
	link := b.uploadURL(data)
	for _, c := range []struct {
		name    string
		link    string
		body    []byte
		headers []string
		status  int
	}{
		{"our token", link, data, []string{"Authorization", "Bearer " + b.Token()}, http.StatusBadRequest},
		{"other bytes", link, bytes.Repeat([]byte("x"), len(data)), nil, http.StatusBadRequest},
		{"too few bytes", link, data[:len(data)-1], nil, http.StatusBadRequest},
		{"too many bytes", link, append(bytes.Clone(data), 0), nil, http.StatusBadRequest},
		{"changed size", strings.Replace(link, "size=", "size=1", 1), data, nil, http.StatusForbidden},
		{"changed hash", strings.Replace(link, sum(data), sum(nil), 1), data, nil, http.StatusForbidden},
		{"no signature", link[:strings.Index(link, "?")], data, nil, http.StatusForbidden},
	} {
		headers := append([]string{"Authorization", ""}, c.headers...)
		if a := b.do("PUT", c.link, bytes.NewReader(c.body), headers...); a.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, a.StatusCode, c.status, a.body)
		}
	}
	if a := b.do("PUT", link, struct{ *bytes.Reader }{bytes.NewReader(data)}, "Authorization", ""); a.StatusCode != http.StatusLengthRequired {
		t.Errorf("without Content-Length: status %d", a.StatusCode)
	}
	form = b.bundle("1", data)
	for _, c := range [][3]string{
		{"appbundle", "other", "__APPBUNDLE_EXTERNAL_UPLOAD__"},
		{"projecttoml", "[deps]", "does not go with an appbundle"},
		{"appbundle_upload_info", "[]", "JSON object"},
		{"appbundle_upload_info", strings.Replace(info, `"input"`, `"result"`, 1), "file_type"},
		{"appbundle_upload_info", strings.Replace(info, "appbundle.tar", "x.tar", 1), "file_name"},
		{"appbundle_upload_info", strings.Replace(info, itoa(len(data)), `"`+itoa(len(data))+`"`, 1), "wrong type for file_size"},
		{"appbundle_upload_info", strings.Replace(info, itoa(len(data)), "1", 1), "bytes, not 1"},
		{"appbundle_upload_info", strings.Replace(info, sum(data), sum(nil), 1), "No appbundle"},
		{"appbundle_upload_info", strings.Replace(info, sum(data), "abc", 1), "64"},
		{"appbundle_upload_info", strings.Replace(info, "sha2_256", "md5", 1), "hash_alg"},
		{"appbundle_upload_info", strings.Replace(info, `"file_type":"input",`, "", 1), "lacks file_type"},
		{"appbundle_upload_info", strings.Replace(info, "{", `{"x":1,`, 1), "unknown key"},
	} {
		if a := b.submit(with(form, c[0], c[1])); !strings.Contains(a.body, c[2]) || !strings.Contains(a.body, `"success":false`) {
			t.Errorf("%s = %s: got %s, want a refusal with %q", c[0], c[1], a.body, c[2])
		}
	}
	sysimage := with(form, "sysimage_build", "true", "sysimage_manifest_sha", sum([]byte("julia_version = \"1.5.3\"\n")))
	if a := b.submit(with(sysimage, "sysimage_manifest_sha", sum(nil))); !strings.Contains(a.body, "not the SHA-256 of the appbundle's") {
		t.Errorf("wrong hash of the bundle's manifest: %s", a.body)
	}
	b.job(sysimage)
	for query, want := range map[string]string{
		"file_size=x&file_type=input&file_name=appbundle.tar&hash_alg=sha2_256&hash=" + sum(data):          "file_size",
		"file_size=2147483649&file_type=input&file_name=appbundle.tar&hash_alg=sha2_256&hash=" + sum(data): "2 GiB",
		"file_size=0&file_type=input&file_name=appbundle.tar&hash_alg=sha2_256&hash=" + sum(data):          "file_size",
		"file_size=1&file_type=input&file_name=appbundle.tar&hash_alg=sha2_256":                            "hash",
		"file_size=1&file_type=input&file_name=a.tar&hash_alg=sha2_256&hash=" + sum(data):                  "file_name",
		"file_size=1&x=1&file_type=input&file_name=appbundle.tar&hash_alg=sha2_256&hash=" + sum(data):      "unknown parameter",
	} {
		if a := b.do("GET", "/jobs/appbundle_upload_url?"+query, nil); a.StatusCode != http.StatusOK || !strings.Contains(a.body, `"success":false`) || !strings.Contains(a.body, want) {
			t.Errorf("%s: got %d %s, want %q", query, a.StatusCode, a.body, want)
		}
	}
}

package jobapi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

const sampleJob = `{"id":123,"jobname":"jr-abc","jobname_alias":null,"status":"Running","submittimestamp":"2023-03-15T07:56:50.974+00:00",
 "starttimestamp":"2023-03-15T09:56:51.251+02:00","endtimestamp":null,"inputs":"{\"jobname\":\"x\",\"JULIAHUB_LSP_SUBMISSION\":\"u-1\"}","outputs":"",
 "proxy_link":"https://xyz.launch.juliahub.app/","limit_type":"time","new_field":{"a":[1]},
 "files":[{"name":"code.jl","type":"input","size":3,"hash":{"algorithm":"sha2_256","value":"` + sampleHex + `"},"upload_timestamp":"2023-03-15T07:59:29.473898+00:00"},
          {"name":"out.tar.gz","type":"result","size":null,"hash":{"algorithm":null,"value":null},"upload_timestamp":null},
          {"name":"b64","type":"result","size":7.0,"hash":{"algorithm":"sha2_256","value":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}},
          {"name":"other","type":"novel","size":"9","hash":{"algorithm":"md5","value":"abc"}},
          {"name":"nohash","type":"result","size":-4,"hash":null}, null, 3]}`

const sampleHex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestJob(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /api/rest/jobs/jr-abc", func(r *http.Request) {
		if r.Header.Get("X-Hasura-Role") != "jhuser" || r.Header.Get("X-JuliaHub-Ensure-JS") != "true" {
			t.Errorf("headers %v", r.Header)
		}
	}, 200, `{"details":[`+sampleJob+`]}`)
	job, err := hub.client(t).Job(t.Context(), "jr-abc")
	if err != nil {
		t.Fatal(err)
	}
	if job.Number != 123 || job.ID != "jr-abc" || job.Alias != "" || job.Status != Running || job.Status.Done() || job.Outputs != "" || job.LimitType != "time" {
		t.Errorf("%+v", job)
	}
	if want := time.Date(2023, 3, 15, 7, 56, 50, 974e6, time.UTC); !job.Submitted.Equal(want) || job.Started.Sub(want) != 277*time.Millisecond || !job.Ended.IsZero() {
		t.Errorf("times %v %v %v", job.Submitted, job.Started, job.Ended)
	}
	if job.Host() != "xyz.launch.juliahub.app" || !job.IsSubmission("u-1") || job.IsSubmission("u-2") || job.IsSubmission("") {
		t.Errorf("host %q, submission %q", job.Host(), job.Inputs)
	}
	if string(job.Unknown["new_field"]) != `{"a":[1]}` || len(job.Unknown) != 1 {
		t.Errorf("unknown fields %s", job.Unknown)
	}
	var files []string
	for _, f := range job.Files {
		files = append(files, fmt.Sprintf("%s %s %d %s", f.Name, f.Type, f.Size, hex.EncodeToString(f.SHA256)))
	}
	want := []string{"code.jl input 3 " + sampleHex, "out.tar.gz result -1 ", "b64 result 7 " + sampleHex, "other novel 9 ", "nohash result -1 "}
	if strings.Join(files, "\n") != strings.Join(want, "\n") {
		t.Errorf("files %q, want %q", files, want)
	}
}

func TestJobSparse(t *testing.T) {
	job, err := parseJob([]byte(`{"jobname":"jr-1","id":null,"status":"Paused","inputs":null,"outputs":null,"files":null,"proxy_link":null,"submittimestamp":"2023-03-15T07:56:50"}`))
	if err != nil || job.Status != "Paused" || job.Status.Done() || job.Inputs != "" || job.Files != nil || job.Env() != nil || job.Submitted.IsZero() {
		t.Errorf("%+v, %v", job, err)
	}
	for _, bad := range []string{`{}`, `null`, `[]`, `{"jobname":null}`, `{"jobname":""}`} {
		if job, err := parseJob([]byte(bad)); err == nil {
			t.Errorf("%s is job %+v", bad, job)
		}
	}
}

func TestJobEnv(t *testing.T) {
	want := map[string]string{"a": `say "hi"`, "n": "1"}
	for _, inputs := range []string{`{"a":"say \"hi\"","n":1}`, `{\"a\":\"say \\\"hi\\\"\",\"n\":\"1\"}`} {
		if got := (&Job{Inputs: inputs}).Env(); !maps.Equal(got, want) {
			t.Errorf("%s: %q", inputs, got)
		}
	}
}

func TestJobHost(t *testing.T) {
	for link, want := range map[string]string{
		"https://a.b.c": "a.b.c", "https://a.b.c/": "a.b.c", "http://a.b.c/": "", "https://a.b.c/x": "", "https://a.b.c/?q": "", "https://a.b.c/?": "",
		"https://a.b.c/#f": "", "https:///": "", "": "", "https://u:p@a.b.c/": "", "/x": "",
	} {
		if got := (&Job{ProxyLink: link}).Host(); got != want {
			t.Errorf("%q: %q, want %q", link, got, want)
		}
	}
}

func TestNoSuchJob(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /api/rest/jobs/jr-none", nil, 200, `{"details":[]}`)
	hub.answer(t, "GET /juliaruncloud/kill_job", nil, 403, `{"message":"no"}`)
	hub.answer(t, "POST /juliaruncloud/extend_job_time_limit", nil, 200, `{"success":false,"message":"Invalid jobname jr-none"}`)
	c := hub.client(t)
	_, err := c.Job(t.Context(), "jr-none")
	for what, err := range map[string]error{
		"job": err, "kill": c.Kill(t.Context(), "jr-none"), "extend": c.Extend(t.Context(), "jr-none", 1),
		"hostile id": c.Kill(t.Context(), "../../x"), "empty id": c.Kill(t.Context(), ""),
	} {
		if !errors.Is(err, ErrNoSuchJob) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := len(hub.asked()); n != 3 {
		t.Errorf("%d requests: %q", n, hub.asked())
	}
}

func TestJobWithoutDetails(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /api/rest/jobs/jr-1", nil, 200, `{"other":[]}`)
	hub.answer(t, "GET /api/rest/jobs/jr-2", nil, 200, `{"details":[{"jobname":"jr-9"}]}`)
	for _, id := range []string{"jr-1", "jr-2"} {
		if _, err := hub.client(t).Job(t.Context(), id); err == nil || errors.Is(err, ErrNoSuchJob) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestJobs(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /juliaruncloud/get_jobs", func(r *http.Request) {
		if got := r.URL.RawQuery; got != "limit=7" && got != "" {
			t.Errorf("query %q", got)
		}
	}, 200, `[`+sampleJob+`,{"status":"x"},{"jobname":"jr-2","status":"Completed"}]`)
	for _, limit := range []int{0, 7} {
		jobs, err := hub.client(t).Jobs(t.Context(), limit)
		if err != nil || len(jobs) != 2 || jobs[1].ID != "jr-2" || !jobs[1].Status.Done() {
			t.Errorf("%v, %v", jobs, err)
		}
	}
}

func TestKillAndExtend(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /juliaruncloud/kill_job", func(r *http.Request) {
		if r.URL.RawQuery != "jobname=jr-1" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
	}, 200, `{"status":true,"message":"killed"}`)
	hub.answer(t, "POST /juliaruncloud/extend_job_time_limit", func(r *http.Request) {
		body := make([]byte, 100)
		n, _ := r.Body.Read(body)
		if string(body[:n]) != `{"extendby":3,"jobname":"jr-1"}` || r.Header.Get("Content-Type") != "" {
			t.Errorf("body %q, headers %v", body[:n], r.Header)
		}
	}, 200, `{"success":true}`)
	c := hub.client(t)
	if err := c.Kill(t.Context(), "jr-1"); err != nil {
		t.Error(err)
	}
	if err := c.Extend(t.Context(), "jr-1", 3); err != nil {
		t.Error(err)
	}
	if err := c.Extend(t.Context(), "jr-1", 0); err == nil {
		t.Error("extended by nothing")
	}
}

// TestExtendOnce: extending twice is not what was asked for.
func TestExtendOnce(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "POST /juliaruncloud/extend_job_time_limit", nil, 502, "")
	if err := hub.client(t).Extend(t.Context(), "jr-1", 3); err == nil || len(hub.asked()) != 1 {
		t.Errorf("%v after %q", err, hub.asked())
	}
}

func TestKillFails(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /juliaruncloud/kill_job", nil, 200, `{"status":"no","message":"cannot"}`)
	if err := hub.client(t).Kill(t.Context(), "jr-1"); err == nil || !strings.Contains(err.Error(), "cannot") {
		t.Error(err)
	}
}

// TestFindSubmission looks as far back as the submission, and no further.
func TestFindSubmission(t *testing.T) {
	now := time.Now()
	const all = 500
	for _, test := range []struct {
		name  string
		at    int           // where the job is in the list; -1 = nowhere
		every time.Duration // between two jobs
		ago   time.Duration // since the submission
		limit int           // the largest limit that was asked for
		bad   int           // every so many-th job has no name; 0 = none
	}{
		{"first", 0, time.Minute, time.Minute, 20, 0},
		{"on the second page", 70, time.Second, 71 * time.Second, 320, 0},
		{"behind malformed jobs", 70, time.Second, 71 * time.Second, 320, 7},
		{"nowhere", -1, time.Minute, 5 * time.Minute, 20, 0},
		{"nowhere on a busy server", -1, time.Second, time.Minute, 320, 0},
		{"nowhere at all", -1, 0, time.Minute, 1280, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := newHub(t)
			largest := 0
			hub.mux.HandleFunc("GET /juliaruncloud/get_jobs", func(w http.ResponseWriter, r *http.Request) {
				limit, err := strconv.Atoi(r.FormValue("limit"))
				if err != nil {
					t.Errorf("limit %v", err)
				}
				largest = max(largest, limit)
				var list []map[string]any
				for i := range min(limit, all) {
					inputs := "{}"
					if i == test.at {
						inputs = `{\"JULIAHUB_LSP_SUBMISSION\":\"u-1\"}`
					}
					list = append(list, map[string]any{"jobname": fmt.Sprintf("jr-%d", i), "inputs": inputs, "submittimestamp": now.Add(-time.Duration(i) * test.every)})
					if test.bad > 0 && i%test.bad == 1 {
						delete(list[i], "jobname")
					}
				}
				_, _ = w.Write([]byte(mustJSON(t, list)))
			})
			job, err := hub.client(t).FindSubmission(t.Context(), "u-1", now.Add(-test.ago))
			if err != nil || (job != nil) != (test.at >= 0) || job != nil && job.ID != fmt.Sprintf("jr-%d", test.at) {
				t.Errorf("%+v, %v", job, err)
			}
			if largest != test.limit {
				t.Errorf("asked for %d jobs, want %d", largest, test.limit)
			}
		})
	}
}

// TestFindSubmissionOldest: who runs a job again elsewhere takes our UUID along.
func TestFindSubmissionOldest(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		ages []time.Duration // of the jobs with our UUID, newest first
		want string
	}{
		"one":                    {[]time.Duration{5 * time.Minute}, "jr-0"},
		"run again later":        {[]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute}, "jr-2"},
		"and one from before it": {[]time.Duration{time.Minute, 5 * time.Minute, 2 * time.Hour}, "jr-1"},
		"clocks far apart":       {[]time.Duration{3 * time.Hour}, "jr-0"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newHub(t)
			var list []map[string]any
			for i, age := range test.ages {
				list = append(list, map[string]any{"jobname": fmt.Sprintf("jr-%d", i), "inputs": "u-1", "submittimestamp": now.Add(-age)})
			}
			hub.answer(t, "GET /juliaruncloud/get_jobs", nil, 200, mustJSON(t, list))
			job, err := hub.client(t).FindSubmission(t.Context(), "u-1", now.Add(-5*time.Minute))
			if err != nil || job == nil || job.ID != test.want {
				t.Errorf("%+v, %v", job, err)
			}
		})
	}
}

// TestExtendOnceAfter500: old servers say 500 of a bad token, and any server
// says it after it has acted: no reason to extend twice.
func TestExtendOnceAfter500(t *testing.T) {
	h, home := newAuthHub(t), t.TempDir()
	h.file(t, home, "id-token-a", time.Now().Add(time.Hour), "")
	h.mux.HandleFunc("POST /juliaruncloud/extend_job_time_limit", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) })
	if err := h.clientWith(t, Config{Home: home}).Extend(t.Context(), "jr-1", 3); err == nil {
		t.Error("no error")
	}
	if asked := h.asked(); len(asked) != 1 {
		t.Errorf("sent %q", asked)
	}
}

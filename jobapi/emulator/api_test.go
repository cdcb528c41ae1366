package emulator

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

func TestTokens(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := open(t, Config{Token: "root", Now: func() time.Time { return now }, TokenLife: time.Minute})
	status := func(token string) int {
		t.Helper()
		return b.do("GET", "/api/v1", nil, "Authorization", token).StatusCode
	}
	for token, want := range map[string]int{"Bearer root": 200, "": 401, "Bearer": 401, "Bearer wrong": 401, "Basic root": 401, "root": 401} {
		if got := status(token); got != want {
			t.Errorf("Authorization %q: status %d, want %d", token, got, want)
		}
	}
	text, err := b.AuthTOML()
	if err != nil {
		t.Fatal(err)
	}
	auth := parseAuth(t, text)
	if auth.ExpiresAt != now.Unix()+60 || auth.Expires != auth.ExpiresAt || auth.ExpiresIn != 60 {
		t.Errorf("expiry: %+v", auth)
	}
	if got := status("Bearer " + auth.IDToken); got != 200 {
		t.Errorf("fresh id token: status %d", got)
	}
	now = now.Add(time.Minute)
	if got := status("Bearer " + auth.IDToken); got != 401 {
		t.Errorf("id token at its end: status %d", got)
	}
	refreshed := b.do("GET", auth.RefreshURL, nil, "Authorization", "Bearer "+auth.RefreshToken)
	again := parseAuth(t, refreshed.body)
	if refreshed.StatusCode != 200 || again.IDToken == auth.IDToken || again.ExpiresAt != now.Unix()+60 || status("Bearer "+again.IDToken) != 200 {
		t.Errorf("refresh: %d %s", refreshed.StatusCode, refreshed.body)
	}
	if a := b.do("GET", auth.RefreshURL, nil, "Authorization", "Bearer "+auth.RefreshToken); a.StatusCode != 401 {
		t.Errorf("a refresh token is good once, got %d", a.StatusCode)
	}
	if a := b.do("GET", auth.RefreshURL, nil, "Authorization", "Bearer "+again.IDToken); a.StatusCode != 401 {
		t.Errorf("an id token refreshes nothing, got %d", a.StatusCode)
	}
	if err := b.ExpireTokens(); err != nil {
		t.Fatal(err)
	}
	if status("Bearer root") != 401 || status("Bearer "+again.IDToken) != 401 {
		t.Error("expired tokens still work")
	}
	if a := b.do("GET", "/emulator/info", nil); a.StatusCode != 200 {
		t.Errorf("control: status %d", a.StatusCode)
	}
}

func parseAuth(t *testing.T, text string) grant {
	t.Helper()
	var g grant
	if _, err := toml.Decode(text, &g); err != nil || g.IDToken == "" || g.AccessToken == "" || g.RefreshToken == "" || g.RefreshURL == "" {
		t.Fatalf("auth.toml: %v in %s", err, text)
	}
	return g
}

func TestHeadersOfJobDetails(t *testing.T) {
	b := open(t, Config{})
	for _, header := range []string{"X-Hasura-Role", "X-JuliaHub-Ensure-JS"} {
		for _, value := range []string{"", "x"} {
			if a := b.do("GET", "/api/rest/jobs/jr-none", nil, header, value); a.StatusCode != http.StatusBadRequest {
				t.Errorf("%s: %q: status %d", header, value, a.StatusCode)
			}
		}
	}
	if a := b.do("GET", "/api/rest/jobs/jr-none", nil); a.StatusCode != 200 || a.body != `{"details":[]}` {
		t.Errorf("no such job: %d %s", a.StatusCode, a.body)
	}
}

func TestJobsList(t *testing.T) {
	b := open(t, Config{NewID: counted("jr-n%d")})
	for range 25 {
		b.job(script("1"))
	}
	for query, want := range map[string][2]int{"": {20, 25}, "?limit=3": {3, 25}, "?limit=100": {25, 25}} {
		var list []map[string]any
		b.get("/juliaruncloud/get_jobs"+query, &list)
		if len(list) != want[0] || list[0]["jobname"] != fmt.Sprintf("jr-n%d", want[1]) {
			t.Errorf("%s: %d jobs, first %v", query, len(list), list[0]["jobname"])
		}
	}
	for _, bad := range []string{"0", "-1", "x"} {
		if a := b.do("GET", "/juliaruncloud/get_jobs?limit="+bad, nil); a.StatusCode != 400 {
			t.Errorf("limit %s: status %d", bad, a.StatusCode)
		}
	}
}

func TestSimulatedJobSaysSo(t *testing.T) {
	b := open(t, Config{})
	id := b.job(with(script("println(1)"), "projecttoml", "[deps]\n", "args", `{"jobname":"my job","A":"b"}`))
	d := b.ended(id, completed)
	if d["jobname_alias"] != "my job" || d["inputs"] != `{"A":"b","jobname":"my job"}` || d["outputs"] != `{"simulated":true}` {
		t.Errorf("job: %v", d)
	}
	if got, want := files(d), "Project.toml (project), code.jl (input), code.jl (source), simulated.json (result)"; got != want {
		t.Errorf("files: %s", got)
	}
	log := strings.Split(b.text(id), "\n")
	if log[0] != "<top>" || log[1] != simulatedLine || log[len(log)-2] != "<bottom>" {
		t.Errorf("log: %q", log)
	}
	for _, when := range []string{"submittimestamp", "starttimestamp", "endtimestamp"} {
		if _, err := time.Parse("2006-01-02T15:04:05.000-07:00", fmt.Sprint(d[when])); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	a := b.do("GET", "/jobs/"+id+"/files/code.jl?filetype=source", nil)
	if a.StatusCode != 200 || a.body != "println(1)" {
		t.Errorf("code: %d %s", a.StatusCode, a.body)
	}
	if a := b.do("GET", "/jobs/"+id+"/files/code.jl?filetype=source", nil, "Range", "bytes=5-"); a.StatusCode != 206 || a.body != "ln(1)" {
		t.Errorf("the rest of the code: %d %s", a.StatusCode, a.body)
	}
	if a := b.do("GET", "/jobs/"+id+"/files/code.jl?filetype=result", nil); a.StatusCode != 404 {
		t.Errorf("no such file: %d", a.StatusCode)
	}
}

// Inputs whose JSON has backslashes arrive escaped once more, as clients expect
// that take one level off.
func TestInputsSurviveUnescaping(t *testing.T) {
	if got, want := inputs(map[string]string{"A": "x\"\n"}), `{\"A\":\"x\\\"\\n\"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// scripted is an emulator whose jobs run until they are told how to end.
func scripted(t *testing.T, cfg Config) (*bench, chan error) {
	t.Helper()
	ends := make(chan error)
	cfg.Simulate = func(ctx context.Context, s *Stage) error {
		s.Print("working")
		select {
		case err := <-ends:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return open(t, cfg), ends
}

func working(r record, n int) bool { return r.Status == running && n >= 2 }

func TestKill(t *testing.T) {
	for generation, want := range map[int]string{0: stopped, 1: stopped, 2: completed} {
		b, _ := scripted(t, Config{Generation: generation, Pace: 50 * time.Millisecond})
		id := b.job(script("1"))
		b.await(id, working)
		var in struct {
			Status  bool
			Message string
		}
		b.get("/juliaruncloud/kill_job?jobname="+id, &in)
		if !in.Status || in.Message == "" {
			t.Errorf("kill: %+v", in)
		}
		if d := b.details(id); d["status"] != running {
			t.Errorf("killing changed the status at once, to %v", d["status"])
		}
		b.ended(id, want)
		b.get("/juliaruncloud/kill_job?jobname="+id, &in)
		if !in.Status {
			t.Errorf("killing again: %+v", in)
		}
	}
	b := open(t, Config{})
	if a := b.do("GET", "/juliaruncloud/kill_job?jobname=jr-none", nil); a.StatusCode != 403 {
		t.Errorf("no such job: %d", a.StatusCode)
	}
}

// A job that is stopped before it has started says what it would have been.
func TestKillBeforeTheStart(t *testing.T) {
	b := open(t, Config{Pace: 100 * time.Millisecond})
	id := b.job(script("1"))
	b.do("GET", "/juliaruncloud/kill_job?jobname="+id, nil)
	d := b.ended(id, stopped)
	if log := b.text(id); d["starttimestamp"] != nil || !strings.HasPrefix(log, "<top>\n"+simulatedLine+"\n") {
		t.Errorf("started at %v:\n%s", d["starttimestamp"], log)
	}
}

func TestTimeLimitAndExtension(t *testing.T) {
	extend := func(b *bench, body string) answer {
		return b.do("POST", "/juliaruncloud/extend_job_time_limit", strings.NewReader(body))
	}
	b, _ := scripted(t, Config{Hour: 50 * time.Millisecond})
	id := b.job(script("1"))
	b.ended(id, stopped)
	if !strings.Contains(b.text(id), "reached its time limit") {
		t.Errorf("log: %s", b.text(id))
	}
	if a := extend(b, `{"jobname":"`+id+`","extendby":1}`); !strings.Contains(a.body, `"success":false`) {
		t.Errorf("extending a job that ended: %s", a.body)
	}

	b, ends := scripted(t, Config{})
	id = b.job(script("1"))
	b.await(id, working)
	if a := extend(b, `{"jobname":"`+id+`","extendby":2}`); a.StatusCode != 200 || !strings.Contains(a.body, `"success":true`) {
		t.Errorf("extend: %d %s", a.StatusCode, a.body)
	}
	if d := b.details(id); d["limit_value"] != 3.0 {
		t.Errorf("limit is %v", d["limit_value"])
	}
	for body, want := range map[string]string{
		`{"jobname":"` + id + `","extendby":0}`: "at least one", `{"jobname":"` + id + `","extendby":"1"}`: "whole hours",
		`{"jobname":"` + id + `"}`: "whole hours", `{"jobname":"` + id + `","extendby":1.5}`: "whole hours", `x`: "JSON",
	} {
		if a := extend(b, body); a.StatusCode != 200 || !strings.Contains(a.body, `"success":false`) || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.StatusCode, a.body)
		}
	}
	if a := extend(b, `{"jobname":"jr-none","extendby":1}`); a.StatusCode != 403 {
		t.Errorf("no such job: %d", a.StatusCode)
	}
	ends <- nil
	b.ended(id, completed)
	unlimited := b.job(with(script("1"), "limit_type", "unlimited", "limit_value", "", "effective_time_limit", ""))
	b.await(unlimited, working)
	if a := extend(b, `{"jobname":"`+unlimited+`","extendby":1}`); !strings.Contains(a.body, "no time limit") {
		t.Errorf("extending an unlimited job: %s", a.body)
	}
	ends <- fmt.Errorf("it went wrong")
	b.ended(unlimited, failed)
}

func TestLogPages(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	j := b.jobs.get(id)
	for i := 3; i <= 20; i++ {
		j.logLine(b.now(), "Info", fmt.Sprint("line ", i))
	}
	mark := func(page []map[string]any, i int) string {
		return fmt.Sprintf("%.0f&event_id=%s", page[i]["timestamp"], page[i]["eventId"])
	}
	last := b.page(id, "&nentries=5")
	if got := lines(last); got != "line 16\nline 17\nline 18\nline 19\nline 20\n" {
		t.Fatalf("the last ones: %s", got)
	}
	before := b.page(id, "&nentries=5&end_time="+mark(last, 0))
	if got := lines(before); got != "line 11\nline 12\nline 13\nline 14\nline 15\n" {
		t.Errorf("before: %s", got)
	}
	if got := lines(b.page(id, "&nentries=3&start_time="+mark(before, 0))); got != "line 12\nline 13\nline 14\n" {
		t.Errorf("after: %s", got)
	}
	if got := lines(b.page(id, "&end_time="+mark(before, 0))); !strings.HasPrefix(got, "<top>\n"+simulatedLine+"\nworking\nline 3\n") || strings.Contains(got, "line 11\n") {
		t.Errorf("to the top: %s", got)
	}
	if got := lines(b.page(id, "&start_time="+mark(last, 4))); got != "" {
		t.Errorf("after the last one of a running job: %s", got)
	}
	if got := lines(b.page(id, "&start_time=0&event_id=0&nentries=1")); got != "<top>\n"+simulatedLine+"\n" {
		t.Errorf("from the start: %s", got)
	}
	ends <- nil
	b.ended(id, completed)
	if got := lines(b.page(id, "&start_time="+mark(last, 4))); got != "<bottom>\n" {
		t.Errorf("after the last one of a job that ended: %s", got)
	}
	for query, want := range map[string]string{
		"&nentries=10001": "10000", "&nentries=0": "nentries", "&start_time=1&end_time=2&event_id=1": "exclude",
		"&start_time=1": "event_id", "&event_id=1": "event_id", "&start_time=x&event_id=1": "milliseconds",
	} {
		a := b.do("GET", "/juliaruncloud/get_logs?log_output_type=content&log_out_type=json&jobname="+id+query, nil)
		if a.StatusCode != 200 || !strings.Contains(a.body, `"success":false`) || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", query, a.StatusCode, a.body)
		}
	}
	if a := b.do("GET", "/juliaruncloud/get_logs?log_output_type=content&log_out_type=json&jobname=jr-none", nil); a.StatusCode != 403 {
		t.Errorf("no such job: %d", a.StatusCode)
	}
	if a := b.do("GET", "/juliaruncloud/get_logs?jobname="+id, nil); !strings.Contains(a.body, `"success":false`) {
		t.Errorf("without the output's type: %s", a.body)
	}
}

// However many entries are asked for, an answer stays within bounds, and no
// message is lost on the way from page to page.
func TestLogPagesOfLongLines(t *testing.T) {
	b, ends := scripted(t, Config{})
	id := b.job(script("1"))
	b.await(id, working)
	b.jobs.get(id).log.maxPage = 32 << 10
	long := strings.Repeat("x", 1<<10)
	for range 40 {
		b.jobs.get(id).logLine(b.now(), "Info", long)
	}
	ends <- nil
	b.ended(id, completed)
	var seen, pages int
	mark := "0&event_id=0"
	for {
		page := b.page(id, "&start_time="+mark)
		pages++
		for _, m := range page {
			if m["_meta"] == nil {
				seen++
				mark = fmt.Sprintf("%.0f&event_id=%s", m["timestamp"], m["eventId"])
			}
		}
		if page[len(page)-1]["end"] == "bottom" {
			break
		}
	}
	if seen != 42 || pages != 2 {
		t.Errorf("%d messages in %d pages", seen, pages)
	}
	if last := b.page(id, ""); last[0]["_meta"] != nil || last[len(last)-1]["end"] != "bottom" || len(last) > 33 {
		t.Errorf("the last page has %d entries", len(last))
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	b, ends := scripted(t, Config{Data: dir})
	finished := b.job(script("first"))
	b.await(finished, working)
	ends <- nil
	b.ended(finished, completed)
	want := b.text(finished)
	interrupted := b.job(script("second"))
	b.await(interrupted, working)
	token := b.Token()
	if _, err := New(Config{Data: dir, Julia: "none"}); err == nil || !strings.Contains(err.Error(), "another emulator") {
		t.Errorf("a second emulator in the same directory: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash leaves a record that says Running, and half a line in the log.
	crashed := filepath.Join(dir, "jobs", interrupted)
	edit(t, filepath.Join(crashed, "job.json"), func(s string) string { return strings.Replace(s, `"Failed"`, `"Running"`, 1) })
	edit(t, filepath.Join(crashed, "log.jsonl"), func(s string) string { return s + `{"message":"ha` })

	again := open(t, Config{Data: dir})
	if again.Token() != token {
		t.Error("the token changed")
	}
	if got := again.text(finished); got != want {
		t.Errorf("log:\n%s\nwas\n%s", got, want)
	}
	if a := again.do("GET", "/jobs/"+finished+"/files/code.jl?filetype=input", nil); a.body != "first" {
		t.Errorf("code: %s", a.body)
	}
	again.ended(interrupted, failed)
	log := again.text(interrupted)
	if strings.Count(log, errClosing.Error()) != 2 || strings.Contains(log, "ha\n") || !strings.HasSuffix(log, "<bottom>\n") {
		t.Errorf("log of the interrupted job:\n%s", log)
	}
	third := again.job(script("third"))
	if d := again.details(third); d["id"] != 3.0 {
		t.Errorf("the third job's number is %v", d["id"])
	}
}

func edit(t *testing.T, path string, f func(string) string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(f(string(data))), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedBundlesFailTheJob(t *testing.T) {
	b := open(t, Config{})
	for name, data := range map[string][]byte{
		"no tarball":         []byte(strings.Repeat("not a tarball ", 100)),
		"leads out":          tarball(t, map[string]string{"app/x": "1", "../evil": "1"}),
		"link that leads":    tarball(t, map[string]string{"app/x": "->../../etc/passwd"}),
		"more than one top":  tarball(t, map[string]string{"app/x": "1", "other/x": "1"}),
		"holds no directory": tarball(t, map[string]string{"app": "1"}),
	} {
		id := b.job(b.bundle("1", data))
		b.ended(id, failed)
		if !strings.Contains(b.text(id), name) {
			t.Errorf("%s: log is\n%s", name, b.text(id))
		}
	}
	if _, err := os.Stat(filepath.Join(b.dir, "jobs", "evil")); err == nil {
		t.Error("a bundle wrote outside its directory")
	}
}

func TestCatalogue(t *testing.T) {
	b := open(t, Config{})
	var nodes struct {
		Success bool
		Specs   [][]any `json:"node_specs"`
	}
	b.get("/app/config/nodespecs/info", &nodes)
	if !nodes.Success || len(nodes.Specs) != len(nodeSpecs) || len(nodes.Specs[0]) != 11 {
		t.Errorf("nodes: %+v", nodes)
	}
	if a := b.do("GET", "/app/config/nodespecs/info", nil); !strings.Contains(a.body, `["m6",false,4.0,16.0,`) {
		t.Errorf("whole numbers are written as floats: %s", a.body)
	}
	var apps struct{ DefaultApps []map[string]any }
	b.get("/app/applications/default", &apps)
	var groups struct {
		Groups map[string][]map[string]any `json:"image_groups"`
	}
	b.get("/juliaruncloud/product_image_groups?extended=true", &groups)
	for _, app := range apps.DefaultApps {
		if p, _ := findProduct(app["product_name"].(string)); p.batch() && len(groups.Groups[app["image_group"].(string)]) == 0 {
			t.Errorf("product %v has no images", app["product_name"])
		}
	}
	for _, path := range []string{"/juliaruncloud/get_image_options", "/app/packages/registries"} {
		if a := b.do("GET", path, nil); a.StatusCode != 200 || !strings.Contains(a.body, `"success":true`) {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	if a := b.do("POST", "/v1/graphql", strings.NewReader(`{"operationName":null,"variables":{},"query":"query { users { id } }"}`)); !strings.Contains(a.body, `"username":"emulator"`) {
		t.Errorf("graphql: %s", a.body)
	}
}

package emulator

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestQuirks(t *testing.T) {
	b := open(t, Config{})
	id := b.job(with(script("1"), "args", `{"A":"b"}`))
	b.ended(id, completed)
	set := func(q Quirks) {
		t.Helper()
		if err := b.SetQuirks(q); err != nil {
			t.Fatal(err)
		}
	}
	hash := func() (f, h map[string]any) {
		f = b.details(id)["files"].([]any)[0].(map[string]any)
		return f, f["hash"].(map[string]any)
	}
	_, plainHash := hash()

	set(Quirks{OldAPI: true, ClassicOnly: true, BadToken500: true})
	for path, want := range map[string]int{"/api/v1": 404, "/juliaruncloud/product_image_groups": 404, "/auth/configuration": 501, "/juliaruncloud/get_image_options": 200} {
		if a := b.do("GET", path, nil); a.StatusCode != want {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	if a := b.do("GET", "/juliaruncloud/get_jobs", nil, "Authorization", "Bearer x"); a.StatusCode != 500 {
		t.Errorf("bad token: %d", a.StatusCode)
	}
	set(Quirks{NoUsername: true, Inputs: "escaped", Hashes: "base64", Status: map[string]string{completed: "Archived"}, UnknownFields: true})
	if a := b.do("GET", "/api/v1", nil); strings.Contains(a.body, "username") {
		t.Errorf("user: %s", a.body)
	}
	d := b.details(id)
	raw, _ := hex.DecodeString(plainHash["value"].(string))
	if _, h := hash(); h["value"] != base64.StdEncoding.EncodeToString(raw) {
		t.Errorf("hash: %v", h)
	}
	if d["inputs"] != `{\"A\":\"b\"}` || d["status"] != "Archived" || d["labels"] == nil {
		t.Errorf("job: %v", d)
	}
	set(Quirks{Inputs: "null", Hashes: "md5"})
	if _, h := hash(); h["algorithm"] != "md5" || b.details(id)["inputs"] != nil {
		t.Errorf("hash: %v", h)
	}
	set(Quirks{NoSizes: true})
	if f, h := hash(); f["size"] != nil || h["value"] != nil {
		t.Errorf("file: %v", f)
	}
	if err := b.SetQuirks(Quirks{Hashes: "x"}); err == nil {
		t.Error("an unknown quirk was accepted")
	}
	if a := b.do("PUT", "/emulator/quirks", strings.NewReader(`{"hashes":"null"}`)); a.StatusCode != 200 {
		t.Errorf("control: %d %s", a.StatusCode, a.body)
	}
	if _, h := hash(); h["value"] != nil || h["algorithm"] != nil {
		t.Errorf("hash: %v", h)
	}
	if a := b.do("PUT", "/emulator/quirks", strings.NewReader(`{"x":1}`)); a.StatusCode != 400 {
		t.Errorf("control: %d %s", a.StatusCode, a.body)
	}
}

func TestForeignJobsAndGzip(t *testing.T) {
	b := open(t, Config{Quirks: Quirks{ForeignJobs: 2, Gzip: true}})
	id := b.job(script("1"))
	var list []map[string]any
	b.get("/juliaruncloud/get_jobs?limit=3", &list)
	if len(list) != 3 || list[0]["jobname"] != "jr-foreign000" || list[2]["jobname"] != id {
		t.Errorf("list: %v", list)
	}
	if a := b.do("GET", "/juliaruncloud/kill_job?jobname=jr-foreign000", nil); a.StatusCode != 403 {
		t.Errorf("killing another one's job: %d", a.StatusCode)
	}
	raw := b.do("GET", "/juliaruncloud/get_jobs", nil, "Accept-Encoding", "gzip") // set by hand, nothing is decompressed
	if raw.Header.Get("Content-Encoding") != "gzip" || !strings.HasPrefix(raw.body, "\x1f\x8b") {
		t.Errorf("header %v, body %q", raw.Header, raw.body)
	}
	if a := b.do("GET", "/jobs/"+id+"/files/code.jl?filetype=input", nil); a.body != "1" || a.Header.Get("Content-Encoding") != "" {
		t.Errorf("file: %q", a.body)
	}
	conn, alive := b.listen(id, "&offset=0"), 0 // streams are left alone
	if got, err := next(t, conn, &alive); err != nil || got != "1 "+simulatedLine {
		t.Errorf("streamed %q, %v", got, err)
	}
}

func TestLogQuirks(t *testing.T) {
	b, ends := scripted(t, Config{Quirks: Quirks{Timestamps: "isoz", OpaqueEventIDs: true, NoEmptyMessages: true}})
	id := b.job(script("1"))
	b.await(id, working)
	b.jobs.get(id).logLine(b.now(), "Info", "")
	page := b.page(id, "")
	if m := page[3]; m["eventId"] != "ev-3" || !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(fmt.Sprint(m["timestamp"])) || m["message"] != nil {
		t.Errorf("message: %v", m)
	}
	if got := lines(b.page(id, "&start_time=0&event_id=ev-1")); got != "working\n<nil>\n" {
		t.Errorf("after the first: %q", got)
	}
	if err := b.SetQuirks(Quirks{Timestamps: "some"}); err != nil {
		t.Fatal(err)
	}
	page = b.page(id, "")
	if page[2]["timestamp"] == nil || page[3]["timestamp"] != nil {
		t.Errorf("page: %v", page)
	}
	conn, alive := b.listen(id, "&offset=2"), 0
	if got, err := next(t, conn, &alive); err != nil || got != "3 " {
		t.Errorf("streamed %q, %v", got, err)
	}
	ends <- nil
}

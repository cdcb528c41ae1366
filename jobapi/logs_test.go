package jobapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const sampleLog = `[{"_meta":true,"end":"top","message":""},
 {"message":"hello","timestamp":1678867210974,"eventId":"1","keywords":{"jrun_worker_id":12345678901234567,"mine":"x"},"metadata":{"level":1000,"line":12,"filepath":"a.jl"}},
 {"timestamp":"2023-03-15T08:00:10.974Z","eventId":"2","metadata":{"level":"Error","line":"7"}},
 {"message":"say \"hi\"\n\\ é","timestamp":"2023-03-15T08:00:10.974","eventId":"3","keywords":null,"metadata":null,"new":1},
 {"message":null,"eventId":4}, 7,
 {"_meta":true,"end":"bottom","message":""}]`

func TestLogs(t *testing.T) {
	for name, body := range map[string]string{"in a string": mustJSON(t, sampleLog), "as it is": sampleLog} {
		t.Run(name, func(t *testing.T) {
			hub := newHub(t)
			hub.answer(t, "GET /juliaruncloud/get_logs", func(r *http.Request) {
				if r.URL.RawQuery != "jobname=jr-1&log_out_type=json&log_output_type=content" {
					t.Errorf("query %q", r.URL.RawQuery)
				}
			}, 200, body)
			page, err := hub.client(t).Logs(t.Context(), "jr-1", LogQuery{})
			if err != nil || !page.Top || !page.Bottom || len(page.Messages) != 4 {
				t.Fatalf("%+v, %v", page, err)
			}
			checkSampleLog(t, page.Messages)
		})
	}
}

func checkSampleLog(t *testing.T, m []LogMessage) {
	t.Helper()
	at := time.Date(2023, 3, 15, 8, 0, 10, 974e6, time.UTC)
	if m[0].Message != "hello" || !m[0].Time.Equal(at) || m[0].EventID != "1" || *m[0].Level != 1000 || m[0].Line != 12 || m[0].FilePath != "a.jl" {
		t.Errorf("%+v", m[0])
	}
	if m[0].Keywords["mine"] != "x" || m[0].Keywords["jrun_worker_id"] != json.Number("12345678901234567") {
		t.Errorf("keywords %v", m[0].Keywords)
	}
	if m[1].Message != "" || !m[1].Time.Equal(at) || *m[1].Level != 2000 || m[1].Line != 7 {
		t.Errorf("%+v", m[1])
	}
	if m[2].Message != "say \"hi\"\n\\ é" || !m[2].Time.Equal(at) || m[2].Level != nil || m[2].Keywords != nil {
		t.Errorf("%+v", m[2])
	}
	if m[3].Message != "" || m[3].EventID != "4" || !m[3].Time.IsZero() {
		t.Errorf("%+v", m[3])
	}
}

func TestLogsPaging(t *testing.T) {
	at := time.UnixMilli(1678867210974)
	for want, query := range map[string]LogQuery{
		"event_id=7&jobname=jr-1&log_out_type=json&log_output_type=content&nentries=100&start_time=1678867210974": {Entries: 100, After: &Mark{at, "7"}},
		"end_time=1678867210974&event_id=7&jobname=jr-1&log_out_type=json&log_output_type=content":                {Before: &Mark{at, "7"}},
		"end_time=1678867210974&jobname=jr-1&log_out_type=json&log_output_type=content&nentries=10000":            {Entries: 20000, Before: &Mark{Time: at}},
	} {
		hub := newHub(t)
		hub.answer(t, "GET /juliaruncloud/get_logs", func(r *http.Request) {
			if r.URL.RawQuery != want {
				t.Errorf("query %q, want %q", r.URL.RawQuery, want)
			}
		}, 200, `"[]"`)
		if page, err := hub.client(t).Logs(t.Context(), "jr-1", query); err != nil || len(page.Messages) > 0 || page.Top || page.Bottom {
			t.Errorf("%+v, %v", page, err)
		}
	}
	c := newHub(t).client(t)
	for _, query := range []LogQuery{{After: &Mark{EventID: "7"}}, {After: &Mark{Time: at}, Before: &Mark{Time: at}}} {
		if _, err := c.Logs(t.Context(), "jr-1", query); err == nil {
			t.Errorf("%+v was sent", query)
		}
	}
}

func TestLogsFail(t *testing.T) {
	for body, want := range map[string]string{
		`{"success":false,"reason":"no log yet"}`:      "no log yet",
		`{"success":false,"message":"no such thing"}`:  "no such thing",
		`"{\"success\":false,\"message\":\"within\"}"`: "within",
		`{"success":true}`:                             "cannot be understood",
		`"[1,"`:                                        "cannot be understood",
		`"unfinished`:                                  "cannot be understood",
		`null`:                                         "",
	} {
		hub := newHub(t)
		hub.answer(t, "GET /juliaruncloud/get_logs", nil, 200, body)
		_, err := hub.client(t).Logs(t.Context(), "jr-1", LogQuery{})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
	hub := newHub(t)
	hub.answer(t, "GET /juliaruncloud/get_logs", nil, 403, `{}`)
	if _, err := hub.client(t).Logs(t.Context(), "jr-1", LogQuery{}); !isPermission(err) {
		t.Error(err)
	}
}

func isPermission(err error) bool {
	_, ok := errors.AsType[*PermissionError](err)
	return ok
}

func TestTimes(t *testing.T) {
	want := "2023-03-15T08:00:10.5Z"
	for _, text := range []string{`1678867210500`, `1678867210500.0`, `"1678867210500"`, `"2023-03-15T08:00:10.5"`, `"2023-03-15T08:00:10.500Z"`, `"2023-03-15T10:00:10.500+02:00"`, `"2023-03-15T10:00:10.500+0200"`, `"2023-03-15 08:00:10.500"`, `"2023-03-15T10:00:10.500+02"`} {
		if got := (loose{[]byte(text)}).time().UTC().Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for _, text := range []string{`null`, ``, `"soon"`, `{}`, `1e300`, `true`} {
		if got := (loose{[]byte(text)}).time(); !got.IsZero() {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func FuzzParseLogMessage(f *testing.F) {
	f.Add([]byte(`{"message":"x","timestamp":1,"metadata":{"line":1}}`))
	f.Add([]byte(fmt.Sprintf(`{"timestamp":%d,"eventId":[]}`, uint64(1<<63))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if message, end, err := parseLogMessage(data); err == nil && end == "" && message.Line < 0 {
			t.Errorf("%+v", message)
		}
	})
}

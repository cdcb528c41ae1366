package commands

import (
	"encoding/json"
	"math"
	"testing"

	"juliahub-lsp/jobapi"
)

func TestBars(t *testing.T) {
	level := -1
	record := func(id, text string, progress any) *jobapi.LogMessage {
		return &jobapi.LogMessage{
			Message: text, Level: &level, Metadata: map[string]any{"id": id}, Keywords: map[string]any{"progress": progress},
		}
	}
	var b bars
	for i, step := range []struct {
		message *jobapi.LogMessage
		percent float64
		text    string
		ok      bool
	}{
		{record("a", "outer", 0.25), 25, "outer", true},
		{record("b", "inner", "0.9"), 25, "inner", true}, // the oldest drives, the newest speaks
		{record("a", "outer", json.Number("0.5")), 50, "inner", true},
		{record("b", "inner", "done"), 50, "outer", true},
		{record("a", "", nil), 0, "outer", false}, // indeterminate
		{record("a", "", "nothing"), 0, "outer", false},
		{record("a", "", math.NaN()), 0, "outer", false},
		{record("a", "", 0.75), 75, "outer", true},
		{record("a", "", 1.0), 0, "", false}, // closed
		{record("a", "again", 0.1), 10, "again", true},
		{record("a", "", `"done"`), 0, "", false},
		{record("a", "outer", "NaN"), 0, "outer", false},
		{record("b", "inner", 0.9), 0, "inner", false}, // full long before the outer one
		{record("b", "", 1.5), 0, "outer", false},
		{record("a", "", " 0.3 "), 30, "outer", true},
		{record("a", "", -1), 0, "outer", false}, // no number of ours
		{record("a", "", -0.5), 0, "outer", true},
		{record("c", "new", "done"), 0, "outer", true}, // nothing to close
		{record("a", "", "Inf"), 0, "", false},
		{&jobapi.LogMessage{Message: "n", Level: &level, Metadata: map[string]any{"id": json.Number("7")}, Keywords: map[string]any{"progress": 0.2}}, 20, "n", true},
		{record("", "other", 0.4), 20, "other", true},
	} {
		if !b.add(step.message) {
			t.Fatalf("step %d: not taken for progress", i)
		}
		if percent, text, ok := b.now(); percent != step.percent || text != step.text || ok != step.ok {
			t.Errorf("step %d: %v %q %v, want %v %q %v", i, percent, text, ok, step.percent, step.text, step.ok)
		}
	}
	if b.add(&jobapi.LogMessage{Message: "plain"}) {
		t.Error("a printed line was taken for progress")
	}
	info := 0
	if b.add(&jobapi.LogMessage{Level: &info, Keywords: map[string]any{"progress": 0.5}}) {
		t.Error("a record of another level was taken for progress")
	}
}

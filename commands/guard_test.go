package commands

import (
	"context"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands/track"
)

// sayings is an editor that only listens.
type sayings struct {
	UI
	said []string
}

func (s *sayings) Say(_ context.Context, _ Level, text string) { s.said = append(s.said, text) }

// The end of a job's time is told of once, when most of it is used, and again
// only for a later end.
func TestTimeLimitIsToldOfOnce(t *testing.T) {
	start := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	now := start
	ui := &sayings{}
	s, err := New(Config{UI: ui, Home: t.TempDir(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	v := &view{}
	at := func(minutes, hours, want int) {
		t.Helper()
		now = start.Add(time.Duration(minutes) * time.Minute)
		s.guardLimit(&track.Record{Job: "jr-abc", File: "/a/pi.jl", State: track.Running, Started: &start, LimitHours: hours}, v)
		if len(ui.said) != want {
			t.Errorf("after %d minutes of %d h: %q", minutes, hours, ui.said)
		}
	}
	at(47, 1, 0)
	at(48, 1, 1)
	at(55, 1, 1)
	at(56, 2, 1) // extended
	at(95, 2, 1)
	at(96, 2, 2)
	at(400, 0, 2) // without a limit
	if !strings.Contains(ui.said[0], "pi.jl (jr-abc) has used 48m of its 1 h") {
		t.Errorf("%q", ui.said)
	}
	v = &view{}
	at(61, 1, 2) // too late to help
}

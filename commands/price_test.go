package commands_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

// TestPricesSurviveARestart: a hover knows node and price without asking the
// server, and says so when they are old.
func TestPricesSurviveARestart(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	const hub = "[profile.p]\nncpu = 2\ntimelimit = \"2h\"\n"
	path := w.write("JuliaHub.toml", hub)
	text := func(s *commands.Session) string { return s.ProfileText(path, []byte(hub), "p") }
	s, _ := w.session()
	if got := text(s); strings.Contains(got, "$") {
		t.Errorf("nobody asked, and it says %s", got)
	}
	if _, err := s.ListNodes(t.Context(), commands.Input{Args: &commands.ListArgs{Wait: true}}); err != nil {
		t.Fatal(err)
	}
	want := text(s)
	if !strings.Contains(want, "at most $") || strings.Contains(want, "That was") {
		t.Errorf("it says %s", want)
	}
	closeSession(t, s)
	before := w.hub.Counters()["GET /app/config/nodespecs/info"]

	s, _ = w.session()
	if got := text(s); got != want {
		t.Errorf("after a restart: %s", got)
	}
	if rows := s.KnownNodes(path, []byte(hub)); len(rows) == 0 {
		t.Error("no nodes for completion")
	}
	later, err := commands.New(commands.Config{
		UI: newRecorder(t), Logger: slog.New(slog.DiscardHandler), Home: filepath.Dir(w.dir), State: w.state,
		LookupEnv: func(name string) (string, bool) { v, ok := w.env[name]; return v, ok },
		Now:       func() time.Time { return time.Now().Add(72 * time.Hour) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := text(later); !strings.Contains(got, "That was the price on ") {
		t.Errorf("three days later: %s", got)
	}
	if n := w.hub.Counters()["GET /app/config/nodespecs/info"]; n != before {
		t.Errorf("hovers asked the server %d times", n-before)
	}
	kept, err := filepath.Glob(filepath.Join(w.state, "nodes", "*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	data, err := os.ReadFile(kept[0])
	if err != nil {
		t.Fatal(err)
	}
	priceless := strings.ReplaceAll(string(data), `"PriceUnknown":false`, `"PriceUnknown":true`)
	if err := os.WriteFile(kept[0], []byte(priceless), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = w.session()
	if got := text(s); strings.Contains(got, "$") || !strings.Contains(got, "price not known") || !strings.Contains(got, "Time limit 2 h.") {
		t.Errorf("without prices: %s", got)
	}
	if err := os.WriteFile(kept[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = w.session()
	if got := text(s); strings.Contains(got, "$") {
		t.Errorf("of a broken file: %s", got)
	}
}

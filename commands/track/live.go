package track

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Live is what a job's log said last. The process that follows the log tells it
// to the user's other processes, and to the next one that follows it.
type Live struct {
	Line string `json:"line,omitempty"`
	Bars []Bar  `json:"bars,omitempty"` // the open ones, oldest first
}

// Bar is a progress bar of a job.
type Bar struct {
	ID      string  `json:"id"`
	Name    string  `json:"name,omitempty"`
	Percent float64 `json:"percent"`         // 0–100, as last known
	Known   bool    `json:"known,omitempty"` // it is known now
}

// Same reports whether two say the same.
func (l Live) Same(other Live) bool { return l.Line == other.Line && slices.Equal(l.Bars, other.Bars) }

func (l *Ledger) liveDir() string { return filepath.Join(l.dir, "live") }

// Tell gives the user's other processes what a log said last. It does not wait
// for the disk: what a power cut takes, the log says again.
func (l *Ledger) Tell(submission string, live Live) error {
	data, err := json.Marshal(live)
	if err != nil {
		return fmt.Errorf("encode what a job's log says: %w", err)
	}
	path := filepath.Join(l.liveDir(), submission+".json")
	// Of its own for each process: a log may just have changed hands.
	fresh := filepath.Join(l.liveDir(), fmt.Sprintf("%s.%d.new", submission, os.Getpid()))
	err = withDir(fresh, func() error { return os.WriteFile(fresh, data, 0o600) })
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("tell what a job's log says: %w", err)
	}
	return nil
}

// listen takes over what other processes tell of the logs that they follow: one
// look at a directory that has a file for each of these few. Those of jobs that
// have ended are removed by the lead.
func (t *Tracker) listen(lead bool) {
	entries, err := os.ReadDir(t.cfg.Ledger.liveDir())
	if err != nil {
		return // nothing was told yet
	}
	for _, e := range entries {
		id, kind, _ := strings.Cut(e.Name(), ".")
		r, ok := t.cfg.Ledger.Get(id)
		if ok && !r.State.Ended() {
			if kind == "json" {
				t.hear(id, e)
			}
			continue
		}
		delete(t.heard, id)
		if lead {
			_ = os.Remove(filepath.Join(t.cfg.Ledger.liveDir(), e.Name())) // or the next time
		}
	}
}

// hear takes over what another process tells of a log that is not read here.
func (t *Tracker) hear(id string, e os.DirEntry) {
	if f := t.readingOf(id); f != nil && !f.over() {
		return
	}
	info, err := e.Info()
	if err != nil || t.heard[id].same(info) {
		return
	}
	data, st, err := readFile(filepath.Join(t.cfg.Ledger.liveDir(), e.Name()))
	if err != nil {
		return // it is being replaced
	}
	t.heard[id] = st
	var live Live
	if err := json.Unmarshal(data, &live); err != nil {
		t.cfg.Logger.Debug("cannot read what another process tells of a log", "submission", id, "error", err)
		return
	}
	t.cfg.Heard(id, live)
}

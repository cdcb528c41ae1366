package commands

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

const liveID = "11111111-2222-4333-8444-555555555555"

// runningJob is a session that knows one running script job and its log's reader.
func runningJob(t *testing.T) *Session {
	t.Helper()
	s, _ := shelfSession(t)
	err := s.ledger.Create(track.Record{
		Submission: liveID, State: track.Running, Job: "jr-1", Server: "s", Kind: track.KindScript, File: "/home/ada/a.jl", Created: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.changed(liveID)
	return s
}

func progress(done float64) jobapi.LogMessage {
	level := -1
	return jobapi.LogMessage{Message: "train", Level: &level, Metadata: map[string]any{"id": "a"}, Keywords: map[string]any{"progress": done}}
}

// TestOthersAreToldOnceASecond: however much a job says, the file that tells
// other processes is written once a second at most, with the last word in it,
// and not at all while nothing changes.
func TestOthersAreToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := runningJob(t)
		path := filepath.Join(s.ledger.Dir(), "live", liveID+".json")
		writes := 0
		var last os.FileInfo
		look := func() {
			synctest.Wait()
			if info, err := os.Stat(path); err == nil && (last == nil || !os.SameFile(info, last)) {
				last, writes = info, writes+1
			}
		}
		for i := range 100 {
			s.logMessages(liveID, []jobapi.LogMessage{progress(float64(i) / 200), {Message: fmt.Sprint("step ", i)}})
			<-time.After(50 * time.Millisecond)
			look()
		}
		<-time.After(2 * time.Second)
		look()
		if writes < 4 || writes > 7 {
			t.Errorf("%d writes in 7 s", writes)
		}
		before := writes
		for range 100 {
			s.logMessages(liveID, []jobapi.LogMessage{progress(99.0 / 200), {Message: "step 99"}})
			<-time.After(50 * time.Millisecond)
			look()
		}
		if writes != before {
			t.Errorf("%d writes of nothing new", writes-before)
		}
		var live track.Live
		data, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(data, &live)
		}
		if want := (track.Live{Line: "step 99", Bars: []track.Bar{{ID: "a", Name: "train", Percent: 49.5, Known: true}}}); err != nil || !live.Same(want) {
			t.Errorf("told %+v, %v", live, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestWarningsAreKeptAsTheyCome: warnings are in the record when the batch of the
// log that has them is done with, each once, at most fifty; a restart goes on
// from there.
func TestWarningsAreKeptAsTheyCome(t *testing.T) {
	s := runningJob(t)
	warn := 1000
	warning := func(line int, text string) jobapi.LogMessage {
		return jobapi.LogMessage{Message: text, Level: &warn, FilePath: "/home/jovyan/code.jl", Line: line}
	}
	kept := func() []track.Place { // as another process reads it
		other := track.NewLedger(s.ledger.Dir())
		if _, err := other.Scan(time.Now()); err != nil {
			t.Fatal(err)
		}
		r, _ := other.Get(liveID)
		return r.Warnings
	}
	s.logMessages(liveID, []jobapi.LogMessage{{Message: "hello"}, warning(3, "careful")})
	if w := kept(); len(w) != 1 || w[0].Line != 3 || w[0].File != "/home/ada/a.jl" {
		t.Fatalf("%+v", w)
	}
	before, err := os.Stat(s.ledger.SideFile(liveID, ".json"))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 { // the same again, and one elsewhere
		s.logMessages(liveID, []jobapi.LogMessage{warning(3, "careful"), {Message: "x", Level: &warn, FilePath: "/opt/x/other.jl", Line: 2}})
	}
	if after, err := os.Stat(s.ledger.SideFile(liveID, ".json")); err != nil || !os.SameFile(before, after) {
		t.Errorf("what is known was written again: %v", err)
	}
	again, err := New(Config{UI: silentUI{}, Home: t.TempDir(), State: s.ledger.Dir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.ledger.Scan(time.Now()); err != nil {
		t.Fatal(err)
	}
	again.changed(liveID)
	for i := range 100 {
		again.logMessages(liveID, []jobapi.LogMessage{warning(3, "careful"), warning(10+i, "many")})
	}
	if w := kept(); len(w) != mostWarnings || w[0].Line != 3 || w[1].Line != 10 {
		t.Errorf("%d warnings: %+v", len(w), w)
	}
	// The end adds what only the end knows, and takes nothing away.
	if err := again.jobEnded(t.Context(), track.Record{Submission: liveID, Job: "jr-1", Kind: track.KindScript, File: "/home/ada/a.jl"}, said("bye")); err != nil {
		t.Fatal(err)
	}
	if w := kept(); len(w) != mostWarnings {
		t.Errorf("%d warnings after the end", len(w))
	}
	for _, session := range []*Session{s, again} {
		if err := session.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

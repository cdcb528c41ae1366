package track_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"juliahub-lsp/commands/track"
)

// many is a ledger with so many records of running jobs.
func many(t *testing.T, n int) (l *track.Ledger, ids []string) {
	t.Helper()
	l = track.NewLedger(t.TempDir())
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		id := fmt.Sprintf("%08d", i)
		// Some at the same time, and none in the order of their names.
		created := began.Add(time.Duration(i*7%n/2) * time.Second)
		if err := l.Create(track.Record{Submission: id, State: track.Running, Job: "jr-" + id, File: "/home/ada/" + id + ".jl", Created: created}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return l, ids
}

// TestReadersHoldNoLock: whoever goes through all records keeps nobody from
// them, not even from changing one.
func TestReadersHoldNoLock(t *testing.T) {
	t.Parallel()
	l, ids := many(t, 3)
	looked := 0
	look := func(r *track.Record) bool {
		looked++
		before := r.Trouble
		if _, ok := l.Note(ids[1], func(r *track.Record) { r.Trouble += "!" }); !ok {
			t.Error("no such record")
		}
		if _, err := l.Update(ids[2], func(r *track.Record) { r.Status += "!" }); err != nil {
			t.Error(err)
		}
		if r.Trouble != before {
			t.Error("a record changed while it was looked at")
		}
		return false
	}
	l.Select(look)
	l.Newest(look)
	l.Count(look)
	if looked != 9 {
		t.Errorf("looked at %d records", looked)
	}
	if r, _ := l.Get(ids[1]); len(r.Trouble) != 9 {
		t.Errorf("trouble %q", r.Trouble)
	}
}

// TestRecordsAreSortedOnce: reading is cheap with a thousand records, and their
// order is right whoever comes and goes.
func TestRecordsAreSortedOnce(t *testing.T) {
	l, ids := many(t, 300) // not in parallel: it counts allocations
	newestFirst := func(all []*track.Record) bool {
		return slices.IsSortedFunc(all, func(a, b *track.Record) int {
			if c := b.Created.Compare(a.Created); c != 0 {
				return c
			}
			if a.Submission > b.Submission {
				return -1
			}
			return 1
		})
	}
	if all := l.All(); len(all) != len(ids) || !newestFirst(all) {
		t.Fatalf("%d records, or in disorder", len(all))
	}
	if err := l.Create(track.Record{Submission: "a", State: track.Running, Created: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Fatal(err)
	}
	if all := l.All(); len(all) != len(ids)+1 || all[len(ids)].Submission != "a" || !newestFirst(all) {
		t.Fatalf("%d records, or in disorder", len(all))
	}
	none := func(*track.Record) bool { return false }
	if n := testing.AllocsPerRun(10, func() { l.Newest(none); l.Count(none); l.Select(none) }); n > 3 {
		t.Errorf("%v allocations for a look at all records", n)
	}
	if n := testing.AllocsPerRun(10, func() { l.All() }); n > 1 {
		t.Errorf("%v allocations for all records", n)
	}
}

// TestRecordsAreShared: a record that did not change is the same one, and one that
// did is another, while the old one stays as it was.
func TestRecordsAreShared(t *testing.T) {
	t.Parallel()
	l, ids := many(t, 3)
	before := l.All()
	l.Note(ids[0], func(r *track.Record) { r.Seen = time.Unix(1, 0) })
	l.Note(ids[1], func(*track.Record) {})
	after := l.All()
	for i, r := range after {
		if changed := r.Submission == ids[0]; (r != before[i]) != changed || changed && !before[i].Seen.IsZero() {
			t.Errorf("%s: %v, before %v", r.Submission, r.Seen, before[i].Seen)
		}
	}
}

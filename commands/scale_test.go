package commands

import (
	"fmt"
	"testing"
	"time"

	"juliahub-lsp/commands/track"
)

// BenchmarkThousandJobs measures what a request costs that shows cached state,
// and what a tick costs, with a thousand tracked jobs.
func BenchmarkThousandJobs(b *testing.B) {
	s, err := New(Config{UI: silentUI{}, Home: b.TempDir(), State: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	var ids []string
	for i := range 1000 {
		id := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		now := time.Now()
		r := track.Record{
			Submission: id, Job: fmt.Sprint("jr-", i), State: track.Running, Kind: track.KindScript,
			File: fmt.Sprintf("/home/ada/file%d.jl", i%100), Created: now, Sent: &now,
		}
		if err := s.ledger.Create(r); err != nil {
			b.Fatal(err)
		}
		ids = append(ids, id)
	}
	b.Run("JobsOf", func(b *testing.B) {
		for b.Loop() {
			s.JobsOf("/home/ada/file7.jl")
		}
	})
	b.Run("Jobs", func(b *testing.B) {
		for b.Loop() {
			s.Jobs()
		}
	})
	b.Run("tick", func(b *testing.B) {
		for b.Loop() {
			for _, id := range ids {
				s.changed(id)
			}
		}
	})
}

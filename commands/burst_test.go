package commands_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

// A program that edits and submits without waiting for answers is no person
// with second thoughts: nothing is asked, and every job carries its own text.
func TestBurstOfSubmissionsCarriesEachItsText(t *testing.T) {
	const n = 60
	var mu sync.Mutex
	codes := map[string]string{}
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		mu.Lock()
		defer mu.Unlock()
		codes[s.Args["JULIAHUB_LSP_SUBMISSION"]] = s.Code
		return nil
	}})
	path := w.write("a.jl", "")
	s, ui := w.session()
	var wg sync.WaitGroup
	texts, start := sync.Map{}, make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			text := fmt.Sprintf("x = %d\n", i)
			in := script(path, commands.SubmitArgs{})
			in.File.Open, in.File.Unsaved, in.File.Text = true, true, text
			sub, err := s.SubmitScript(t.Context(), in)
			if err != nil {
				t.Error(err)
			}
			texts.Store(sub.Submission, text)
		})
	}
	began := time.Now()
	close(start)
	wg.Wait()
	t.Log("answered after", time.Since(began))
	ui.await("all jobs", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(codes) == n
	})
	texts.Range(func(id, text any) bool {
		if codes[id.(string)] != text.(string) {
			t.Errorf("submission %s carried %q, not %q", id, codes[id.(string)], text)
		}
		return true
	})
	if len(ui.asked) > 0 {
		t.Errorf("asked %q", ui.asked)
	}
}

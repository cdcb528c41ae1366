package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"
)

// page is an output that tests watch while it is written.
type page struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	changed chan struct{}
}

func newPage() *page { return &page{changed: make(chan struct{})} }

func (p *page) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	return p.text.Write(data)
}

func (p *page) Close() error { return nil }

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *page) await(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		p.mu.Lock()
		text, changed := p.text.String(), p.changed
		p.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%q was not printed:\n%s", want, text)
		}
	}
}

// TestFollowOneStream follows logs as they come, to their end, over one stream
// each: of a job of this computer's, of one submitted elsewhere, and until Ctrl-C.
func TestFollowOneStream(t *testing.T) {
	t.Parallel()
	const streams, pages = "GET /ws/stream_logs", "GET /juliaruncloud/get_logs"
	say := make(chan string)
	hub := startEmulator(t, emulator.Config{Julia: "none", Simulate: func(ctx context.Context, s *emulator.Stage) error {
		for {
			select {
			case line := <-say:
				if line == "" {
					return nil
				}
				s.Print(line)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}})
	script := filepath.Join(t.TempDir(), "say.jl")
	if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// begin runs a command that tests watch; the result is its exit status.
	begin := func(ctx context.Context, sh *shell, out, err *page, args ...string) <-chan int {
		done := make(chan int, 1)
		go func() {
			done <- run(ctx, args, terminal{out: out, err: err, lookupEnv: func(name string) (string, bool) {
				value, ok := sh.env[name]
				return value, ok
			}})
		}()
		return done
	}
	for name, follow := range map[string]string{"own": "logs", "elsewhere": "logs", "submit": "submit", "interrupted": "logs"} {
		t.Run(name, func(t *testing.T) {
			sh := newShell(t, hub)
			args := []string{"submit", script, "--follow"}
			if follow == "logs" {
				if status := sh.run("submit", script, "--json"); status != statusDone {
					t.Fatal(sh.err.String())
				}
				var doc submitted
				if err := json.Unmarshal(sh.out.Bytes(), &doc); err != nil {
					t.Fatal(err)
				}
				args = []string{"logs", doc.Job, "--follow"}
			}
			if name == "elsewhere" {
				sh = newShell(t, hub)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			hub.ClearCounters()
			out, problems := newPage(), newPage()
			done := begin(ctx, sh, out, problems, args...)
			for _, line := range []string{"one", "two", "three"} {
				say <- line
				out.await(t, line+"\n") // while the job runs
			}
			want := statusDone
			if name == "interrupted" {
				want = statusFailed
				cancel()
			} else {
				say <- ""
			}
			if status := <-done; status != want {
				t.Errorf("exit status %d, want %d\n%s", status, want, problems)
			}
			if name == "interrupted" {
				say <- "" // the job goes on
				if problems.String() != "juliahub-lsp: interrupted\n" {
					t.Errorf("after Ctrl-C: %s", problems)
				}
			}
			if got := out.String(); !strings.HasSuffix(got, "one\ntwo\nthree\n") || strings.Count(got, "two\n") != 1 {
				t.Errorf("printed\n%s", got)
			}
			if n := hub.Counters(); n[streams] != 1 || n[pages] > 1 {
				t.Errorf("%d streams and %d pages were asked for", n[streams], n[pages])
			}
		})
	}
}

package lsp_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"juliahub-lsp/internal/watch"
	"juliahub-lsp/lsp"
	"juliahub-lsp/lsp/lsptest"
)

// Rules that match nothing get a hint, which goes as soon as something matches:
// that shows what the server knows of the disk.

// dead awaits that just these lines of an ignore file match nothing.
func dead(uri string, lines ...int) lsptest.Expectation {
	return lsptest.That(fmt.Sprintf("dead rules %v in %s", lines, uri), func(s *lsptest.State) bool {
		var got []int
		for _, d := range s.Diagnostics[uri] {
			if d.Code == "ignore-dead" {
				got = append(got, d.Range.Start.Line)
			}
		}
		slices.Sort(got)
		return slices.Equal(got, lines)
	})
}

// planned is a desk with a project whose ignore file has two dead rules, and a
// second ignore file in a directory of its own.
func planned(t *testing.T) (d *desk, top, sub string) {
	t.Helper()
	d = newDesk(t, nil)
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	d.file("Manifest.toml", "")
	d.file("sub/data.bin", "1")
	return d, d.file(".juliabundleignore", "*.one\n*.two\n"), d.file("sub/.juliabundleignore", "*.log\n")
}

// remove removes files and directories of the project.
func (d *desk) remove(names ...string) {
	d.t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(d.dir, filepath.FromSlash(name))); err != nil {
			d.t.Fatal(err)
		}
	}
}

// TestDiskIsWatched follows the disk for an editor that does not: files that come
// and go, an ignore file that another program edits, and a directory that is
// deleted and made anew.
func TestDiskIsWatched(t *testing.T) {
	d, top, sub := planned(t)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(top, "plaintext", d.read(".juliabundleignore"))
	e.Await(lsptest.AllOf(dead(top, 0, 1), dead(sub, 0)))
	d.file("a.one", "")
	e.Await(dead(top, 1))
	d.remove("a.one")
	e.Await(dead(top, 0, 1))
	d.file("sub/.juliabundleignore", "*.log\n*.bin\n*.no\n")
	e.Await(dead(sub, 0, 2))

	d.remove("sub")
	e.Await(dead(sub))
	d.file("sub/.juliabundleignore", "*.log\n")
	e.Await(dead(sub, 0))
	d.file("sub/x.log", "")
	e.Await(dead(sub))

	// At once, as a checkout does it: the same name, and another directory.
	d.remove("sub")
	d.file("sub/.juliabundleignore", "*.log\n*.no\n")
	e.Await(dead(sub, 0, 1))
	d.file("sub/x.log", "")
	e.Await(dead(sub, 1))
	e.Shutdown()
}

// TestDiskFlood has thousands of events at once, as of a checkout: told by the
// client in many messages, and seen by ourselves.
func TestDiskFlood(t *testing.T) {
	for name, tell := range map[string]bool{"told": true, "seen": false} {
		t.Run(name, func(t *testing.T) {
			d, top, sub := planned(t)
			if tell {
				d.prepare = func(s *lsp.Server) { lsp.SetWatcher(s, nil) }
			}
			e := d.editor(lsptest.Options{})
			e.OpenBuffer(top, "plaintext", d.read(".juliabundleignore"))
			e.Await(lsptest.AllOf(dead(top, 0, 1), dead(sub, 0)))
			var changes []any
			for i := range 2500 {
				uri := d.file(fmt.Sprintf("sub/f%d.jl", i), "")
				changes = append(changes, map[string]any{"uri": uri, "type": 1})
			}
			changes = append(changes, map[string]any{"uri": d.file("sub/x.log", ""), "type": 1}, map[string]any{"uri": d.file("a.two", ""), "type": 1})
			if tell {
				for some := range slices.Chunk(changes, 100) {
					e.Notify("workspace/didChangeWatchedFiles", map[string]any{"changes": some})
				}
			}
			e.Await(lsptest.AllOf(dead(top, 0), dead(sub)))
			if got := lensText(e, top); !strings.Contains(got, "250") {
				t.Errorf("lens %q", got)
			}
			e.Shutdown()
		})
	}
}

// watcher is a watcher that sees nothing.
type watcher struct {
	bursts chan watch.Burst
	refuse error

	mu   sync.Mutex // guards dirs
	dirs []string
}

func (w *watcher) Set(dirs []string) ([]string, error) {
	if w.refuse != nil {
		return dirs, w.refuse
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirs = dirs
	return nil, nil
}

func (w *watcher) Bursts() <-chan watch.Burst { return w.bursts }
func (w *watcher) Close() error               { return nil }

func (w *watcher) watched() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dirs
}

// TestWatchLimit says once that the system watches no more, and looks at the
// disk when it needs to know.
func TestWatchLimit(t *testing.T) {
	limit := fmt.Errorf("add: %w", watch.ErrLimit)
	for name, open := range map[string]func() (lsp.FileWatcher, error){
		"no watcher": func() (lsp.FileWatcher, error) { return nil, limit },
		"no watches": func() (lsp.FileWatcher, error) { return &watcher{refuse: limit}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			d, top, sub := planned(t)
			d.prepare = func(s *lsp.Server) { lsp.SetWatcher(s, open) }
			e := d.editor(lsptest.Options{})
			e.OpenBuffer(top, "plaintext", d.read(".juliabundleignore"))
			e.Await(lsptest.AllOf(dead(top, 0, 1), dead(sub, 0), lsptest.Says("limit of watched directories")))
			d.file("sub/.juliabundleignore", "*.bin\n*.log\n") // in place: no directory tells of it
			d.file("a.two", "")
			e.SetBuffer(top, "*.one\n*.two\n*.three\n")
			s := e.Await(lsptest.AllOf(dead(top, 0, 2), dead(sub, 1)))
			said := 0
			for _, m := range s.Messages {
				if strings.Contains(m.Message, "limit of watched") {
					said++
				}
			}
			if said != 1 {
				t.Errorf("said %d times", said)
			}
			e.Shutdown()
		})
	}
}

// TestWatchBesideClient leaves the workspace to a client that watches it, and
// watches only packages outside.
func TestWatchBesideClient(t *testing.T) {
	d, top, sub := planned(t)
	uuid := "0d733eb5-97ac-4a4a-9738-000000000001"
	d.file("../Dep/Project.toml", "name = \"Dep\"\nuuid = \""+uuid+"\"\n")
	d.file("Manifest.toml", "manifest_format = \"2.0\"\n[[deps.Dep]]\npath = \"../Dep\"\nuuid = \""+uuid+"\"\n")
	w := &watcher{bursts: make(chan watch.Burst)}
	d.prepare = func(s *lsp.Server) { lsp.SetWatcher(s, func() (lsp.FileWatcher, error) { return w, nil }) }
	e := d.editor(lsptest.Options{Name: "Visual Studio Code", Capabilities: lsptest.Full()})
	e.OpenBuffer(top, "plaintext", d.read(".juliabundleignore"))
	e.Await(lsptest.AllOf(dead(top, 0, 1), dead(sub, 0)))
	outside := filepath.Join(filepath.Dir(d.dir), "Dep")
	e.Await(lsptest.That("the package to be watched", func(*lsptest.State) bool { return slices.Equal(w.watched(), []string{outside}) }))

	// Its word is taken as a hint.
	path := filepath.Join(d.dir, "sub", ".juliabundleignore")
	if err := errors.Join(os.WriteFile(path, []byte("*.log\n*.no\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	e.Notify("workspace/didChangeWatchedFiles", map[string]any{"changes": []any{map[string]any{"uri": sub, "type": 2}}})
	e.Await(dead(sub, 0, 1))
	e.Shutdown()
}

// TestBadPattern shows a pattern that is none at its line, and what the plan
// says again when it is mended.
func TestBadPattern(t *testing.T) {
	d, top, _ := planned(t)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(top, "plaintext", "*.one\n[[:nope:]]\n")
	e.Await(lsptest.Diagnosed(top, 1, "[:nope:]"))
	if got := lensText(e, top); got != "" {
		t.Errorf("lens before any plan: %q", got)
	}
	e.SetBuffer(top, "*.one\n")
	e.Await(dead(top, 0))
	lens, hover, paths := lensText(e, top), hoverText(e, top, 0, 1), labels(e, top, 1, 0)
	if !strings.HasPrefix(lens, "Bundle: ") || !strings.HasPrefix(hover, "Keeps out 0 files") || !slices.Contains(paths, "sub/") {
		t.Fatalf("lens %q, hover %q, completion %q", lens, hover, paths)
	}
	// While it cannot be read, the last plan that could serves.
	e.SetBuffer(top, "*.one\n[[:nope:]]\n")
	e.Await(lsptest.Diagnosed(top, 1, "[:nope:]"))
	if got := lensText(e, top); got != lens {
		t.Errorf("lens %q, before %q", got, lens)
	}
	if got := hoverText(e, top, 0, 1); got != hover {
		t.Errorf("hover %q, before %q", got, hover)
	}
	if got := hoverText(e, top, 1, 1); got != "" {
		t.Errorf("hover at the rule that is none: %q", got)
	}
	if got := labels(e, top, 2, 0); !slices.Equal(got, paths) {
		t.Errorf("completion %q, before %q", got, paths)
	}
	e.CloseBuffer(top)
	e.Await(lsptest.Undiagnosed(top))
	e.OpenBuffer(top, "plaintext", "[[:nope:]]\n")
	e.Await(lsptest.Diagnosed(top, 0, "[:nope:]"))
	if got := lensText(e, top); got != "" {
		t.Errorf("lens of a plan that was closed: %q", got)
	}
	e.Shutdown()
}

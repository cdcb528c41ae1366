package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

const (
	loadJobs  = 1000   // tracked, running
	loadLines = 10_000 // of each open script
	loadBytes = 2_100_000_000
)

// BenchmarkUnderLoad asks for what an editor asks for at every keystroke, while
// an upload of 2 GB is under way, 1,000 jobs are tracked and scripts of 10,000
// lines are open. It reports how long half of the answers, and all but the slowest in
// a hundred, take at most, in milliseconds, and how many uploads were begun. The
// server, the cloud and the editor share the machine.
func BenchmarkUnderLoad(b *testing.B) {
	e, dir := loadedEditor(b)
	uri := func(name string) string { return "file://" + filepath.ToSlash(filepath.Join(dir, name)) }
	big, ignore, hub := uri("big0.jl"), uri(".juliabundleignore"), uri("JuliaHub.toml")
	uploads := keepUploading(b, e, uri("run.jl"))
	took := map[string][]time.Duration{}
	timed := func(what, method string, params any) {
		p := e.Start(method, params)
		if err := p.Wait(nil); err != nil {
			b.Fatal(what, err)
		}
		took[what] = append(took[what], p.Took())
	}
	middle := lsptest.Range{Start: lsptest.Position{Line: loadLines / 2}, End: lsptest.Position{Line: loadLines / 2}}
	about := map[string]any{"textDocument": map[string]any{"uri": big}, "range": middle, "context": map[string]any{"diagnostics": []any{}}}
	for b.Loop() {
		e.EditBuffer(big, middle, "y")
		timed("codeLens", "textDocument/codeLens", about)
		timed("codeAction", "textDocument/codeAction", about)
		timed("hover", "textDocument/hover", position(ignore, 0, 1))
		timed("completion", "textDocument/completion", position(hub, 2, 0))
		timed("status", "juliahub/status", nil)
		timed("jobs", "juliahub/jobs", nil)
	}
	for what, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms/"+what)
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms/"+what)
	}
	b.ReportMetric(uploads(), "uploads-begun")
}

// asCloud makes the test binary be a cloud whose jobs run until it ends. It
// ends with its standard input.
const asCloud = "JULIAHUB_LSP_TEST_AS_CLOUD"

func beCloud() error {
	cloud, err := emulator.New(emulator.Config{Julia: "none", Simulate: func(ctx context.Context, _ *emulator.Stage) error { <-ctx.Done(); return ctx.Err() }})
	if err != nil {
		return err
	}
	if _, err := cloud.Start("127.0.0.1:0", false); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(cloud.Info()); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return cloud.Close()
}

// startCloud starts a cloud in a process of its own.
func startCloud(b *testing.B) emulator.Info {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asCloud+"=1")
	cmd.Stderr = os.Stderr
	cloud, err := startProcess(cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cloud.Close()
		_ = cloud.wait()
	})
	var info emulator.Info
	if err := json.NewDecoder(cloud).Decode(&info); err != nil {
		b.Fatal(err)
	}
	return info
}

// loadedEditor is an editor with much to do.
func loadedEditor(b *testing.B) (e *lsptest.Editor, dir string) {
	b.Helper()
	cloud := startCloud(b)
	home := b.TempDir()
	dir = filepath.Join(home, "work")
	text := strings.Repeat("x = [1, 2, 3] # some line of a script\n", loadLines)
	files := map[string]string{
		"Project.toml": "", "run.jl": "1\n", ".juliabundleignore": "*.jl\n!run.jl\n",
		"JuliaHub.toml": "default-profile = \"p\"\n[profile.p]\n\n",
	}
	for i := range loadJobs {
		files[fmt.Sprintf("big%d.jl", i)] = text
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	for name, text := range files {
		if strings.HasPrefix(name, "big") && name != "big0.jl" {
			text = "1\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	large, err := os.Create(filepath.Join(dir, "data.bin"))
	if err == nil {
		err = large.Truncate(loadBytes) // a file with a hole: it costs no disk
	}
	if err != nil {
		b.Fatal(err)
	}
	_ = large.Close()

	cmd := command(b)
	cmd.Env = append(cmd.Env, "JULIA_PKG_SERVER="+cloud.URL, "JULIAHUB_TOKEN="+cloud.Token, "JULIA_DEPOT_PATH="+filepath.Join(home, "depot"))
	server, err := startProcess(cmd)
	if err != nil {
		b.Fatal(err)
	}
	e = lsptest.Open(b, server, lsptest.Options{Folders: []string{"file://" + filepath.ToSlash(dir)}})
	b.Cleanup(func() {
		e.Shutdown()
		if err := server.wait(); err != nil {
			b.Error(err)
		}
	})
	uri := func(name string) string { return "file://" + filepath.ToSlash(filepath.Join(dir, name)) }
	for i := range 10 {
		e.OpenBuffer(uri(fmt.Sprintf("big%d.jl", i)), "julia", text)
	}
	for _, name := range []string{"run.jl", ".juliabundleignore", "JuliaHub.toml"} {
		e.OpenBuffer(uri(name), "plaintext", files[name])
	}
	for i := range loadJobs {
		e.Execute("juliahub.submitScript", map[string]any{
			"uri": uri(fmt.Sprintf("big%d.jl", i)), "settings": map[string]any{"environment": "none"}, "show": false,
		}, nil)
	}
	awaitLoad(b, e, "all jobs", func(s *lsptest.State) bool { return len(s.Diagnostics) >= loadJobs })
	return e, dir
}

// keepUploading submits an appbundle, and the next one when that is up, until the
// benchmark ends. It returns when the first upload is under way; begun says how
// many there were.
func keepUploading(b *testing.B, e *lsptest.Editor, uri string) (begun func() float64) {
	b.Helper()
	var count atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			count.Add(1)
			upload := e.StartExecute("juliahub.submitAppBundle", map[string]any{"uri": uri, "wait": true, "show": false})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_ = upload.Wait(nil) // cancelled in the end
			}()
			select {
			case <-ended:
			case <-stop:
				upload.Cancel()
				<-ended
				return
			}
		}
	}()
	b.Cleanup(func() { close(stop); <-stopped })
	awaitLoad(b, e, "the upload", func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Work, func(w *lsptest.Work) bool { return w.Percent != nil && *w.Percent > 30 && !w.Ended })
	})
	return func() float64 { return float64(count.Load()) }
}

// awaitLoad awaits what takes longer than an editor's patience in tests.
func awaitLoad(b *testing.B, e *lsptest.Editor, what string, holds func(*lsptest.State) bool) {
	b.Helper()
	deadline := time.After(10 * time.Minute)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		if s := e.State(); holds(&s) {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			b.Fatalf("no %s", what)
		}
	}
}

// position are the parameters of a request about a place.
func position(uri string, line, character int) map[string]any {
	return map[string]any{"textDocument": map[string]any{"uri": uri}, "position": map[string]any{"line": line, "character": character}}
}

package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

func TestLocalName(t *testing.T) {
	for _, name := range []string{"a.csv", "ünï cöde.png", "a..b", ".hidden", "-rf", "a b (1).txt", "comet", "nullable.txt", "x.git"} {
		if got, err := localName(name); err != nil || got != name {
			t.Errorf("%q became %q, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "...", " ", "/etc/passwd", "../a", "a/b", `a\b`, `C:\a`, "c:a", "a\x00b", "a\nb", "a\x7f", "\xff",
		"CON", "con.txt", "Aux", "nul.tar.gz", "COM1", "lpt9.log", "a.", "a ", ".git", ".GIT", "git~1", strings.Repeat("a", 300),
	} {
		var refused *NameError
		if got, err := localName(name); !errors.As(err, &refused) {
			t.Errorf("%q became %q, %v", name, got, err)
		}
	}
}

// shelf is a server that has one job with files.
type shelf struct {
	Client
	job  jobapi.Job
	data map[string]string
}

func (s *shelf) Job(context.Context, string) (*jobapi.Job, error) { return &s.job, nil }

func (s *shelf) Download(_ context.Context, _ string, f jobapi.File, w io.Writer, _ func(done, total int64)) error {
	_, err := io.WriteString(w, s.data[f.Name])
	return err
}

func (s *shelf) put(name, data string) {
	sum := sha256.Sum256([]byte(data))
	s.data[name] = data
	s.job.Files = append(s.job.Files, jobapi.File{Name: name, Type: "result", Size: int64(len(data)), SHA256: sum[:]})
}

type silentUI struct{ UI }

func (silentUI) Begin(context.Context, Work) Task   { return silentTask{} }
func (silentUI) Say(context.Context, Level, string) {}
func (silentUI) JobChanged(Job)                     {}
func (silentUI) ProblemsChanged(string, []Problem)  {}
func (silentUI) ShowFile(context.Context, string)   {}

type silentTask struct{}

func (silentTask) Report(string, float64) {}
func (silentTask) End(string)             {}

func shelfSession(t *testing.T) (*Session, *shelf) {
	t.Helper()
	hub := &shelf{job: jobapi.Job{ID: "jr-1", Status: jobapi.Completed}, data: map[string]string{}}
	s, err := New(Config{
		UI: silentUI{}, Home: t.TempDir(), State: t.TempDir(),
		Connect: func(string) (Client, error) { return hub, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, hub
}

func TestDownload(t *testing.T) {
	s, hub := shelfSession(t)
	base := t.TempDir()
	hub.put("a.csv", "1,2")
	hub.put("../evil", "x")
	hub.put("CON", "x")
	hub.put("big.bin", "right")
	hub.data["big.bin"] = "wrong" // as long, and not what was promised
	hub.job.Outputs = `{"x":1}`
	d := &download{s: s, record: track.Record{Job: "jr-1", Server: "s", ResultsIn: base, ResultsDir: "juliahub-results"}}
	files, err := d.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Fetched{}
	for _, f := range files {
		byName[f.Name] = f
	}
	dir := filepath.Join(base, "juliahub-results", "jr-1")
	if f := byName["a.csv"]; f.Path != filepath.Join(dir, "a.csv") || !f.Verified {
		t.Errorf("a.csv: %+v", f)
	}
	for _, name := range []string{"../evil", "CON", "big.bin"} {
		if f := byName[name]; f.Error == "" || f.Path != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	want := []string{"a.csv", "results.json"}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(want) {
		t.Fatalf("the directory holds %v, %v", entries, err)
	}
	if entries, err := os.ReadDir(filepath.Join(base, "juliahub-results")); err != nil || len(entries) != 3 {
		t.Errorf("beside it are %v, %v", entries, err)
	}
}

func TestExistingFilesStay(t *testing.T) {
	s, hub := shelfSession(t)
	base := t.TempDir()
	hub.put("a.txt", "new")
	run := func() Fetched {
		t.Helper()
		d := &download{s: s, record: track.Record{Job: "jr-1", Server: "s", ResultsIn: base, ResultsDir: "out"}}
		files, err := d.run(t.Context())
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		return files[0]
	}
	mine := filepath.Join(base, "out", "jr-1", "a.txt")
	if err := os.MkdirAll(filepath.Dir(mine), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := run(); filepath.Base(f.Path) != "a (2).txt" || f.Kept {
		t.Errorf("first: %+v", f)
	}
	if f := run(); filepath.Base(f.Path) != "a (2).txt" || !f.Kept {
		t.Errorf("again: %+v", f)
	}
	if data, err := os.ReadFile(mine); err != nil || string(data) != "mine" {
		t.Errorf("the user's file holds %q, %v", data, err)
	}
	// A directory that was there is the user's: no marker files.
	if _, err := os.Stat(filepath.Join(base, "out", ".gitignore")); err == nil {
		t.Error("a marker file in a directory that we did not make")
	}
}

func TestNoLinkLeadsOut(t *testing.T) {
	s, hub := shelfSession(t)
	base, outside := t.TempDir(), t.TempDir()
	hub.put("a.txt", "x")
	if err := os.Symlink(outside, filepath.Join(base, "out")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	d := &download{s: s, record: track.Record{Job: "jr-1", Server: "s", ResultsIn: base, ResultsDir: "out"}}
	if files, err := d.run(t.Context()); err == nil {
		t.Errorf("downloaded through a link: %+v", files)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside there are %v, %v", entries, err)
	}
}

func TestHashLessFileIsSaidToBeUnverified(t *testing.T) {
	s, hub := shelfSession(t)
	hub.put("a.txt", "x")
	hub.job.Files[0].SHA256, hub.job.Files[0].Size = nil, -1
	sum := sha256.Sum256([]byte("x"))
	d := &download{s: s, dir: t.TempDir(), record: track.Record{Job: "jr-1", Server: "s"}}
	files, err := d.run(t.Context())
	if err != nil || len(files) != 1 || files[0].Verified || files[0].Size != 1 {
		t.Errorf("%+v, %v", files, err)
	}
	if data, err := os.ReadFile(files[0].Path); err != nil || sha256Of(data) != hex.EncodeToString(sum[:]) {
		t.Errorf("%q, %v", data, err)
	}
}

func TestAutomaticDownloadObeysItsGlobs(t *testing.T) {
	s, hub := shelfSession(t)
	for _, name := range []string{"a.png", "b.csv", "c.bin"} {
		hub.put(name, name)
	}
	d := &download{s: s, dir: t.TempDir(), globs: []string{"*.png", "**/*.csv"}, most: autoMost, record: track.Record{Job: "jr-1", Server: "s"}}
	files, err := d.run(t.Context())
	if err != nil || len(files) != 2 {
		t.Errorf("%+v, %v", files, err)
	}
}

// TestAutomaticDownloadTakesWhatFits: one large file keeps no small one back, and
// what the server says of a size is not believed.
func TestAutomaticDownloadTakesWhatFits(t *testing.T) {
	s, hub := shelfSession(t)
	for _, name := range []string{"a.png", "large", "b.csv", "unknown", "c.csv"} {
		hub.put(name, strings.Repeat(name, map[string]int{"large": 100, "unknown": 100}[name]+1))
	}
	hub.job.Files[3].Size = -1
	d := &download{s: s, dir: t.TempDir(), most: 50, record: track.Record{Job: "jr-1", Server: "s"}}
	files, err := d.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range files {
		got[f.Name] = f.Error == ""
	}
	want := map[string]bool{"a.png": true, "b.csv": true, "c.csv": true, "unknown": false}
	if !maps.Equal(got, want) || !slices.Equal(d.left, []string{"large (505 B)"}) {
		t.Errorf("%v, left %q; want %v", got, d.left, want)
	}
}

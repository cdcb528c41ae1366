package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// same compares the plan of an index with one made from scratch.
func same(t *testing.T, x *Index, o Options, after string) {
	t.Helper()
	got, gotErr := x.Plan(context.Background())
	want, wantErr := NewPlan(context.Background(), o)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("after %s: error %v, want %v", after, gotErr, wantErr)
	}
	if wantErr != nil {
		return
	}
	a, errA := json.MarshalIndent(got, "", " ")
	b, errB := json.MarshalIndent(want, "", " ")
	if errA != nil || errB != nil || string(a) != string(b) {
		t.Fatalf("after %s: the index says\n%s\nwant\n%s", after, a, b)
	}
	if got.TarSize != want.TarSize || strings.Join(got.dirs, " ") != strings.Join(want.dirs, " ") {
		t.Fatalf("after %s: %d bytes with %v, want %d with %v", after, got.TarSize, got.dirs, want.TarSize, want.dirs)
	}
}

// TestIndexFollows changes a tree at random and compares, after each change that
// the index is told of, its plan with a new one.
func TestIndexFollows(t *testing.T) {
	for seed := range uint64(6) {
		followChanges(t, rand.New(rand.NewPCG(seed, 7)))
	}
}

func followChanges(t *testing.T, r *rand.Rand) {
	manifest := manifestHead + "[[deps.DevA]]\npath = \"../a\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"
	dir := lay(t, map[string]string{"p/Project.toml": "", "p/Manifest.toml": manifest, "a/Project.toml": packageA})
	o := Options{Dir: filepath.Join(dir, "p")}
	x := NewIndex(o)
	same(t, x, o, "nothing")
	names := []string{"a", "b", "c.csv", "d.log", "e"}
	patterns := []string{"*.csv", "*.log", "a/", "b", "!b/", "!*/d.log", "*", "!*.csv", "e/*", "# no", "[[:bad:]]", "!a", "!e"}
	somewhere := func() string {
		path := []string{"p", "p", "a"}[r.IntN(3)]
		for range r.IntN(4) {
			path += "/" + names[r.IntN(len(names))]
		}
		return path
	}
	for step := range 120 {
		path := somewhere()
		abs := filepath.Join(dir, filepath.FromSlash(path))
		var err error
		what := ""
		switch r.IntN(10) {
		case 8, 9:
			what = "a line of an ignore file"
			abs = filepath.Join(abs, ignoreName)
			text, readErr := os.ReadFile(abs)
			if readErr != nil {
				continue
			}
			lines := strings.SplitAfter(string(text), "\n")
			at := r.IntN(len(lines))
			end := at + r.IntN(2) // one line takes its place, or comes before it
			lines = slices.Replace(lines, at, min(end, len(lines)-1), patterns[r.IntN(len(patterns))]+"\n")
			err = os.WriteFile(abs, []byte(strings.Join(lines, "")), 0o644)
		case 0, 1:
			what = "an ignore file"
			text := ""
			for range r.IntN(4) {
				text += patterns[r.IntN(len(patterns))] + "\n"
			}
			if !isDir(abs) {
				continue
			}
			abs = filepath.Join(abs, ignoreName)
			err = os.WriteFile(abs, []byte(text), 0o644)
		case 2:
			what = "removal"
			if path == "p" || path == "a" {
				continue
			}
			err = os.RemoveAll(abs)
		case 3:
			what = "removal of an ignore file"
			abs = filepath.Join(abs, ignoreName)
			if err = os.Remove(abs); errors.Is(err, os.ErrNotExist) || !isDir(filepath.Dir(abs)) {
				continue
			}
		case 4:
			what = "an unsaved text"
			if isDir(abs) || !isDir(filepath.Dir(abs)) {
				continue
			}
			o.Unsaved = map[string][]byte{abs: []byte(strings.Repeat("x", r.IntN(9)))}
			x.SetUnsaved(o.Unsaved)
			same(t, x, o, fmt.Sprintf("step %d, %s at %s", step, what, abs))
			continue
		case 5:
			what = "all saved"
			o.Unsaved = nil
			x.SetUnsaved(nil)
		case 6:
			what = "a directory"
			if isFile(abs) || !isDir(filepath.Dir(abs)) {
				continue
			}
			err = os.MkdirAll(filepath.Join(abs, names[r.IntN(len(names))], "deep"), 0o755)
		default:
			what = "a file"
			if isDir(abs) || !isDir(filepath.Dir(abs)) {
				continue
			}
			err = os.WriteFile(abs, []byte(strings.Repeat("y", r.IntN(50))), 0o644)
		}
		if err != nil && !strings.Contains(err.Error(), "not a directory") {
			t.Fatal(err)
		}
		x.Changed(abs)
		same(t, x, o, fmt.Sprintf("step %d, %s at %s", step, what, abs))
	}
}

// TestIndexKeeps makes no new plan without a reason, and knows what to watch.
func TestIndexKeeps(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", "sub/" + ignoreName: "", "sub/deep/x": "", "other/Manifest.toml": "", "plain/x": ""})
	x := NewIndex(Options{Dir: dir})
	first, err := x.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := x.Plan(context.Background()); again != first {
		t.Error("a new plan without a reason")
	}
	x.Revalidate()
	if again, _ := x.Plan(context.Background()); again != first {
		t.Error("a new plan although no directory changed")
	}
	expect(t, "watched", x.WatchDirs(), []string{dir, filepath.Join(dir, "other"), filepath.Join(dir, "sub")})
	if err := os.WriteFile(filepath.Join(dir, "plain", "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	x.Revalidate()
	same(t, x, Options{Dir: dir}, "a file that nobody told of")

	// An ignore file that was written in place where nobody watches.
	ignore := filepath.Join(dir, "sub", ignoreName)
	if err := os.WriteFile(ignore, []byte("*\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	x.Revalidate(filepath.Dir(ignore))
	same(t, x, Options{Dir: dir}, "an edit that nobody told of")

	// A flood of hints, as of a checkout, and a directory that is not there any more.
	if err := os.RemoveAll(filepath.Join(dir, "sub")); err != nil {
		t.Fatal(err)
	}
	var flood []string
	for i := range manyHints + 1 {
		flood = append(flood, filepath.Join(dir, "sub", fmt.Sprint(i)))
	}
	x.Changed(flood...)
	same(t, x, Options{Dir: dir}, "a flood")
	x.Reset()
	same(t, x, Options{Dir: dir}, "a reset")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x.Reset()
	if _, err := x.Plan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	same(t, x, Options{Dir: dir}, "a cancellation")
}

// TestIndexParks lets a directory go and come back under other rules.
func TestIndexParks(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", "d/x.csv": "", "d/e/y.csv": "", "d/e/z": "", "d/own/" + ignoreName: "z", "d/own/y.csv": ""})
	o := Options{Dir: dir}
	x := NewIndex(o)
	file := filepath.Join(dir, ignoreName)
	for _, text := range []string{"", "d/", "*.csv", "d", "!d\nz\n*/e/", "d/e", "*.csv\n!*y.csv", "*\n!d/", ""} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		x.Changed(file)
		same(t, x, o, text)
	}
}

// TestIndexOtherName takes hints that name the directory without its links.
func TestIndexOtherName(t *testing.T) {
	dir := lay(t, map[string]string{"real/Project.toml": "", "real/sub/a": "", "real/sub/b": ""})
	named := filepath.Join(dir, "named")
	if err := os.Symlink("real", named); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	o := Options{Dir: named}
	x := NewIndex(o)
	same(t, x, o, "nothing")
	file := filepath.Join(dir, "real", "sub", ignoreName)
	if err := os.WriteFile(file, []byte("a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	x.Changed(file)
	same(t, x, o, "a hint by the other name")
}

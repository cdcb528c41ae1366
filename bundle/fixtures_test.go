package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// difference says where our result is not the reference's, on purpose.
type difference struct {
	why         string // the number in the list of differences (docs/bundle.md), or the rule
	plus, minus []string
	fails       any  // an error type that is wanted instead
	fromScratch bool // the reference fails here: plus is all there is
	manifest    bool // the manifest is not the reference's either
}

var differences = map[string]difference{
	"dev-missing":            {why: "an error on both sides", fails: new(*PackageError)},
	"dev-outside-rootignore": {why: "2", plus: []string{"proj/.bundle/dev/DevA/junk.log", "proj/.bundle/dev/DevA/test/t.jl"}},
	"dev-sibling-prefix":     {why: "3", manifest: true, plus: []string{"proj/.bundle/dev/DevA/Project.toml", "proj/.bundle/dev/DevA/src/DevA.jl"}},
	"dev-symlinks":           {why: "7", plus: []string{"proj/.bundle/dev/DevA/l-dir/DevA.jl", "proj/.bundle/dev/DevA/l-file"}},
	"has-dotbundle":          {why: "9", minus: []string{"proj/.bundle/dev/Old/x.jl", "proj/.bundle/old.txt"}},
	"has-dotbundle-conflict": {why: "9", fromScratch: true, plus: []string{
		"proj/.bundle/dev/DevA/Project.toml", "proj/.bundle/dev/DevA/src/DevA.jl", "proj/Manifest.toml", "proj/Project.toml"}},
	"ignore-dotbundle": {why: "1", plus: []string{"proj/.bundle/dev/DevA/Project.toml", "proj/.bundle/dev/DevA/src/DevA.jl"}},
	"juliaproject":     {why: "5", manifest: true, minus: []string{"proj/Manifest.toml"}},
	"noproject-allow":  {why: "the empty manifest is of format 1.0, which every Julia reads", manifest: true},
	"noproject":        {why: "an empty project is made", fromScratch: true, plus: []string{"proj/Manifest.toml", "proj/Project.toml", "proj/a.jl"}},
	"package-itself":   {why: "Pkg adds the project's hash", manifest: true},
	"syntax-badclass":  {why: "an error on both sides", fails: new(*IgnoreError)},
	"syntax-bom":       {why: "a byte-order mark is no part of a pattern", minus: []string{"proj/a.txt"}},
}

// TestReferenceBundles compares the set of files with JuliaHub.jl's, case by case.
func TestReferenceBundles(t *testing.T) {
	cases, err := os.ReadDir("testdata/bundles")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name(), func(t *testing.T) {
			testReferenceBundle(t, filepath.Join("testdata/bundles", c.Name()), differences[c.Name()])
		})
	}
}

func testReferenceBundle(t *testing.T, dir string, want difference) {
	top := t.TempDir()
	unpack(t, readFile(t, filepath.Join(dir, "input.tar")), top)
	project := filepath.Join(top, strings.TrimSpace(string(readFile(t, filepath.Join(dir, "project-dir.txt")))))
	before := snapshot(t, top)
	plan, err := NewPlan(context.Background(), Options{Dir: project})
	if want.fails != nil {
		if !errors.As(err, want.fails) {
			t.Fatalf("error %v, want a %T", err, want.fails)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	if !want.fromScratch {
		files = strings.Fields(string(readFile(t, filepath.Join(dir, "files.txt"))))
	}
	files = slices.DeleteFunc(append(files, want.plus...), func(f string) bool { return slices.Contains(want.minus, f) })
	slices.Sort(files)
	entries := readTar(t, pack(t, plan))
	var got []string
	for _, e := range entries {
		if e.Typeflag == tar.TypeReg {
			got = append(got, e.Name)
		}
	}
	if !slices.Equal(got, files) {
		t.Errorf("files\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(files, "\n  "))
	}
	if !want.manifest && !want.fromScratch {
		compareManifest(t, filepath.Join(dir, "bundled-Manifest.toml"), entries)
	}
	if after := snapshot(t, top); !slices.Equal(before, after) {
		t.Errorf("the user's tree was changed:\n%s\nbefore:\n%s", after, before)
	}
}

// compareManifest compares the manifest with the reference's. That one is written
// anew by Pkg, ours changes the paths alone: for these inputs that is the same
// but for empty lines at the end.
func compareManifest(t *testing.T, file string, entries []tarEntry) {
	t.Helper()
	i := slices.IndexFunc(entries, func(e tarEntry) bool { return e.Name == "proj/Manifest.toml" })
	want, err := os.ReadFile(file)
	if i < 0 && errors.Is(err, fs.ErrNotExist) {
		return // neither of us sends one
	}
	if err != nil || i < 0 || !bytes.Equal(bytes.TrimRight(entries[i].data, "\n"), bytes.TrimRight(want, "\n")) {
		t.Errorf("our manifest (entry %d) is not the reference's (%v):\n%s", i, err, want)
	}
}

type tarEntry struct {
	*tar.Header
	data []byte
}

func pack(t *testing.T, p *Plan) []byte {
	t.Helper()
	spool, err := p.Spool(context.Background(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	r, err := spool.Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != p.TarSize || spool.Size != p.TarSize {
		t.Errorf("the tar has %d bytes, Spool says %d, the plan %d", len(data), spool.Size, p.TarSize)
	}
	return data
}

func readTar(t *testing.T, data []byte) []tarEntry {
	t.Helper()
	var entries []tarEntry
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, tarEntry{h, content})
	}
}

// unpack makes the files of a tar below dir.
func unpack(t *testing.T, data []byte, dir string) {
	t.Helper()
	for _, e := range readTar(t, data) {
		path := filepath.Join(dir, filepath.FromSlash(e.Name))
		var err error
		switch e.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeSymlink:
			err = os.Symlink(e.Linkname, path)
		default:
			if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
				err = os.WriteFile(path, e.data, e.FileInfo().Mode().Perm())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// snapshot lists every path below dir with its size and time.
func snapshot(t *testing.T, dir string) []string {
	t.Helper()
	var seen []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			seen = append(seen, path+" "+info.Mode().String()+" "+info.ModTime().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

package bundle

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// randomTree makes a tree with ignore files, links and names of every kind.
func randomTree(t *testing.T, r *rand.Rand) string {
	t.Helper()
	dir := lay(t, map[string]string{"p/Project.toml": "", "p/Manifest.toml": ""})
	names := []string{"a", "b.csv", "c d", "é", "e\u0301", "日本", ".hidden", ".git", "-x", "a'b\"c", "$HOME", "Ω.log", "n" + strings.Repeat("x", 120)}
	if runtime.GOOS != "windows" {
		names = append(names, "back\\slash", "new\nline", "tab\t", "star*", "q?", "[x]", "colon:", " lead", "trail ", "dot.")
	}
	rules := []string{"*.csv", "*.log", "!*/b.csv", "a/", "é", "[[:alpha:]]", "* *", "\\*x", "!c d/", ".*", "!.hidden"}
	dirs := []string{filepath.Join(dir, "p")}
	for range 120 {
		at := filepath.Join(dirs[r.IntN(len(dirs))], names[r.IntN(len(names))])
		var err error
		switch r.IntN(6) {
		case 0, 1:
			if err = os.Mkdir(at, 0o755); err == nil {
				dirs = append(dirs, at)
			}
		case 2:
			if runtime.GOOS != "windows" {
				target := filepath.Join(dirs[r.IntN(len(dirs))], names[r.IntN(len(names))])
				err = os.Symlink(target, at)
			}
		case 3:
			text := ""
			for range r.IntN(3) {
				text += rules[r.IntN(len(rules))] + []string{"\n", "\r\n", "  \n"}[r.IntN(3)]
			}
			err = os.WriteFile(filepath.Join(filepath.Dir(at), ignoreName), []byte(text), 0o644)
		default:
			if _, statErr := os.Lstat(at); statErr == nil {
				continue
			}
			err = os.WriteFile(at, []byte(strings.Repeat("z", r.IntN(2000))), []fs.FileMode{0o644, 0o755, 0o600}[r.IntN(3)])
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "p")
}

// TestTarIsPlan unpacks bundles of random trees: what comes out is what the plan
// says, byte for byte what is on disk, and everything on disk is accounted for.
func TestTarIsPlan(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testTarIsPlan(t, randomTree(t, rand.New(rand.NewPCG(seed, 99)))) })
	}
}

func testTarIsPlan(t *testing.T, root string) {
	p := mustPlan(t, Options{Dir: root})
	sizes, dirs := map[string]int64{}, map[string]bool{}
	last := ""
	for _, e := range readTar(t, pack(t, p)) {
		path := strings.TrimPrefix(e.Name, p.Name+"/")
		key := path
		if e.Typeflag == tar.TypeDir {
			key += "/"
			dirs[path] = true
		} else {
			sizes[path] = e.Size
		}
		if key <= last {
			t.Errorf("%q comes after %q", key, last)
		}
		last = key
		if e.Typeflag == tar.TypeDir {
			continue
		}
		disk, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		if err != nil || string(disk) != string(e.data) {
			t.Errorf("%q is not what is on disk (%v)", path, err)
		}
	}
	var total int64
	for _, f := range p.Files {
		if sizes[f.Path] != f.Bytes {
			t.Errorf("%q has %d bytes, the plan says %d", f.Path, sizes[f.Path], f.Bytes)
		}
		total += f.Bytes
	}
	if len(p.Files) != len(sizes) || total != p.Bytes {
		t.Errorf("%d files with %d bytes, the plan says %d with %d", len(sizes), total, len(p.Files), p.Bytes)
	}
	excluded := map[string]bool{}
	for _, e := range p.Excluded {
		if excluded[e.Path] || (e.Rule == nil) == (e.Reason == "") {
			t.Errorf("%+v", e)
		}
		excluded[e.Path] = true
	}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		path, _ := pathIn(root, file)
		_, sent := sizes[path]
		switch {
		case err != nil || path == "":
			return err
		case excluded[path]:
			if sent {
				t.Errorf("%q is excluded and sent", path)
			}
			if d.IsDir() {
				return filepath.SkipDir
			}
		case !d.IsDir() && !sent && d.Type()&fs.ModeSymlink == 0:
			t.Errorf("%q is neither sent nor excluded", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNormalForms keeps names as the disk has them: a composed and a decomposed
// é are two files, and a rule means the one that it writes.
func TestNormalForms(t *testing.T) {
	const composed, decomposed = "caf\u00e9.jl", "cafe\u0301.jl"
	if runtime.GOOS == "darwin" {
		t.Skip("this file system takes both names for one")
	}
	p := mustPlan(t, Options{Dir: lay(t, map[string]string{"Project.toml": "", composed: "1", decomposed: "22", "x/" + composed: "", "x/" + decomposed: "", "x/" + ignoreName: composed})})
	files := filePaths(p)
	for path, want := range map[string]bool{composed: true, decomposed: true, "x/" + composed: false, "x/" + decomposed: true} {
		if slices.Contains(files, path) != want {
			t.Errorf("%+q goes in: %v", path, !want)
		}
	}
	sent := map[string]int64{}
	for _, e := range readTar(t, pack(t, p)) {
		sent[strings.TrimPrefix(e.Name, p.Name+"/")] = e.Size
	}
	if sent[composed] != 1 || sent[decomposed] != 2 {
		t.Errorf("%+v", sent)
	}
}

// TestDeep packs a tree of 100 levels.
func TestDeep(t *testing.T) {
	path := strings.Repeat("level/", 100)
	p := mustPlan(t, Options{Dir: lay(t, map[string]string{"Project.toml": "", path + "f": "x", "level/" + ignoreName: "*.csv", path + "g.csv": ""})})
	if !slices.Contains(filePaths(p), path+"f") || slices.Contains(filePaths(p), path+"g.csv") {
		t.Errorf("%v", filePaths(p))
	}
	if entries := readTar(t, pack(t, p)); entries[len(entries)-1].Name != p.Name+"/"+path+"f" {
		t.Errorf("%q", entries[len(entries)-1].Name)
	}
}

// TestIgnoreText covers what a line can look like.
func TestIgnoreText(t *testing.T) {
	text := "\ufeff*.a\r\n  *.b\t \n#*.c\n\n\\#d\n\\!e\n! f\n!\n\u00a0*.g\u2003\nh h\n\\\\i"
	names := map[string]bool{"x.a": false, "x.b": false, "x.c": true, "#d": false, "!e": false, " f": true, "x.g": false, "h h": false, "\\i": false, "x": true}
	files := map[string]string{"Project.toml": "", "Manifest.toml": "", ignoreName: text}
	for name := range names {
		if runtime.GOOS == "windows" && strings.Contains(name, "\\") {
			continue
		}
		files[name] = ""
	}
	p := mustPlan(t, Options{Dir: lay(t, files)})
	for name, in := range names {
		if _, ok := files[name]; ok && slices.Contains(filePaths(p), name) != in {
			t.Errorf("%q: in %v, want %v", name, !in, in)
		}
	}
	if last := p.Rules[len(p.Rules)-1]; last.Line != 11 || last.Pattern != `\\i` {
		t.Errorf("%+v", last)
	}
}

// TestWindowsNames refuses for a job on Windows what Windows cannot hold.
func TestWindowsNames(t *testing.T) {
	for name, refused := range map[string]bool{
		"a/b.txt": false, "a:b": true, "con": true, "x/NUL.txt": true, "COM1": true, "COM0": false, "COMX": false, "a.": true, "a /b": true, "q?": true, "tab\tx": true, ".bundle/dev": false, "console": false,
	} {
		if got := refusedByWindows(name); (got != "") != refused {
			t.Errorf("%s: %q", name, got)
		}
	}
}

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "new", "secret")
	for _, text := range []string{"one", "two"} {
		if err := Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text {
			t.Fatalf("read %q, %v; want %q", got, err, text)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries beside the file, %v; want it alone", len(entries), err)
	}
}

func TestWriteThroughLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip("this system makes no symbolic links:", err)
	}
	if err := Write(link, []byte("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "new" {
		t.Errorf("target holds %q, %v", got, err)
	}
}

// TestDirectoriesAreSynced: an entry is safe when the directory that holds it
// is synced, up to the one that was there before.
func TestDirectoriesAreSynced(t *testing.T) {
	var synced []string
	syncDir = func(dir string) error { synced = append(synced, dir); return SyncDir(dir) }
	t.Cleanup(func() { syncDir = SyncDir })
	dir := t.TempDir()
	within := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	for _, test := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"three are made", func() error { return Write(within("a", "b", "c", "file"), nil, 0o600) }, []string{within("a", "b"), within("a"), dir, within("a", "b", "c")}},
		{"all are there", func() error { return Write(within("a", "b", "c", "file"), nil, 0o600) }, []string{within("a", "b", "c")}},
		{"one is made", func() error { return MkdirAll(within("a", "d")+"/", 0o700) }, []string{within("a")}},
		{"none is made", func() error { return MkdirAll(within("a", "d"), 0o700) }, nil},
	} {
		synced = nil
		if err := test.do(); err != nil || !slices.Equal(synced, test.want) {
			t.Errorf("%s: synced %q, want %q; %v", test.what, synced, test.want, err)
		}
	}
	for broken, fatal := range map[error]bool{fs.ErrPermission: false, errors.New("disk on fire"): true} {
		syncDir = func(string) error { return broken }
		if err := MkdirAll(filepath.Join(t.TempDir(), "new"), 0o700); (err != nil) != fatal {
			t.Errorf("%v: %v", broken, err)
		}
	}
	if err := MkdirAll(within("a", "b", "c", "file", "x"), 0o700); err == nil {
		t.Error("a directory was made below a file")
	}
}

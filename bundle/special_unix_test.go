//go:build unix

package bundle

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSpecialFiles leaves out pipes and sockets, with a word.
func TestSpecialFiles(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", ignoreName: "quiet\n"})
	for _, name := range []string{"pipe", "quiet"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := errors.Join(os.Symlink("pipe", filepath.Join(dir, "link")), os.Symlink("/dev/null", filepath.Join(dir, "null"))); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, Options{Dir: dir})
	expect(t, "files", filePaths(p), []string{ignoreName, "Manifest.toml", "Project.toml"})
	expect(t, "warnings", codes(p), []string{"special-file link", "special-file null", "special-file pipe", "special-file s"})
	pack(t, p)
}

// TestNotUTF8 refuses a name that no other machine would read alike.
func TestNotUTF8(t *testing.T) {
	dir := lay(t, map[string]string{"Project.toml": "", ignoreName: "*\xfe\n"})
	for _, name := range []string{"bad\xff", "out\xfe"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Skipf("the file system refuses such names: %v", err)
		}
	}
	_, err := NewPlan(context.Background(), Options{Dir: dir})
	var bad *NameError
	if !errors.As(err, &bad) || bad.Path != "bad\xff" {
		t.Errorf("%v", err)
	}
}

//go:build unix

package bundle

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
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

// asOrdinaryUser drops the rights of root for a while: nothing is unreadable for it.
func asOrdinaryUser(t *testing.T, work func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		work()
		return
	}
	const nobody = 65534
	if err := syscall.Seteuid(nobody); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Seteuid(0); err != nil {
			t.Fatal(err)
		}
	}()
	work()
}

// TestUnreadable names what cannot be read: a directory when the plan is made, a
// file when it is packed. What a rule leaves out need not be readable.
func TestUnreadable(t *testing.T) {
	top := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chmod(top, 0o777)); err != nil {
		t.Fatal(err)
	}
	root, closed, secret := filepath.Join(top, "p"), filepath.Join(top, "p", "closed"), filepath.Join(top, "p", "secret")
	var planned, packed, without error
	asOrdinaryUser(t, func() {
		packed = errors.Join(os.MkdirAll(closed, 0o755), os.WriteFile(secret, nil, 0), os.WriteFile(filepath.Join(root, "Project.toml"), nil, 0o644))
		if packed != nil {
			return
		}
		p := mustPlan(t, Options{Dir: root})
		_, packed = p.Spool(t.Context(), top, nil)
		planned = os.Chmod(closed, 0)
		defer func() { without = errors.Join(without, os.Chmod(closed, 0o755)) }() // so that it can be removed
		if planned != nil {
			return
		}
		_, planned = NewPlan(t.Context(), Options{Dir: root})
		without = os.WriteFile(filepath.Join(root, ignoreName), []byte("closed/\nsecret\n"), 0o644)
		if without == nil {
			_, without = mustPlan(t, Options{Dir: root}).Spool(t.Context(), top, nil)
		}
	})
	var read *ReadError
	if !errors.As(packed, &read) || read.Path != secret || !errors.Is(packed, os.ErrPermission) {
		t.Errorf("an unreadable file: %v", packed)
	}
	if !errors.As(planned, &read) || read.Path != closed || !errors.Is(planned, os.ErrPermission) {
		t.Errorf("an unreadable directory: %v", planned)
	}
	if without != nil {
		t.Error(without)
	}
}

// TestDiskFull says where the bundle did not fit, and leaves nothing there.
func TestDiskFull(t *testing.T) {
	// The limit is the whole process's: far above what go test itself writes.
	const limit = 64 << 20
	dir := lay(t, map[string]string{"Project.toml": "", "a": ""})
	if err := os.Truncate(filepath.Join(dir, "a"), limit+1); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, Options{Dir: dir})
	tmp := t.TempDir()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limited := before
	limited.Cur = limit
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	_, err := p.Spool(t.Context(), tmp, nil)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	var full *SpoolError
	if !errors.As(err, &full) || full.Dir != tmp || !errors.Is(err, unix.EFBIG) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

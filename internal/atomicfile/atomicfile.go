// Package atomicfile writes files whole or not at all.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/moby/sys/atomicwriter"
)

// Write replaces the file at path by data: a reader sees the old bytes or the
// new ones, also after a crash (file and directory are synced). Missing parent
// directories are made with mode 0700, and survive one, too. A symbolic link is
// followed, so that the file that it names is replaced and not the link.
func Write(path string, data []byte, perm fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir := filepath.Dir(path)
	if err := MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := atomicwriter.WriteFile(path, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// MkdirAll is os.MkdirAll for directories that must survive a power cut: each
// one that is made is synced into the one above it.
func MkdirAll(dir string, perm fs.FileMode) error {
	var made []string // innermost first
	for path := filepath.Clean(dir); ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			break
		}
		made = append(made, path)
	}
	if err := os.MkdirAll(dir, perm); err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	for _, path := range made {
		// One that lets us write and not look cannot be synced by us.
		if err := syncDir(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

// syncDir is SyncDir; the tests watch it.
var syncDir = SyncDir

// SyncDir makes the directory's entries survive a power cut. Windows has no
// such call for directories, and its renames are journalled. Nor do some file
// systems of networks, which is no reason to fail.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync directory: %w", errors.Join(err, d.Close()))
	}
	return d.Close()
}

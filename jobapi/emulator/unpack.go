package emulator

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// unpack writes the tarball's content below dir and returns the name of its one
// top directory. What is no tar, has several top entries, leads out of dir or
// is neither file nor directory nor link within is an error.
func unpack(bundle, dir string) (string, error) {
	f, err := os.Open(bundle)
	if err != nil {
		return "", fmt.Errorf("open the appbundle: %w", err)
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", fmt.Errorf("unpack the appbundle: %w", err)
	}
	defer root.Close()
	top := ""
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("the appbundle is no tarball: %w", err)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
		if name == "" || name == "." {
			continue
		}
		if err := safeName(name); err != nil {
			return "", err
		}
		first, _, _ := strings.Cut(name, "/")
		if top != "" && first != top {
			return "", fmt.Errorf("the appbundle has more than one top directory: %q and %q", top, first)
		}
		top = first
		if err := extract(root, name, h, r); err != nil {
			return "", fmt.Errorf("unpack %q: %w", name, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, top))
	if top == "" || err != nil || !info.IsDir() {
		return "", errors.New("the appbundle holds no directory")
	}
	return top, nil
}

func safeName(name string) error {
	if path.IsAbs(name) || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") || !filepath.IsLocal(filepath.FromSlash(name)) {
		return fmt.Errorf("the appbundle has an entry that leads out of it: %q", name)
	}
	return nil
}

func extract(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) || !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(name), h.Linkname))) {
			return fmt.Errorf("a link that leads out of the appbundle, to %q", h.Linkname)
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		return root.Symlink(filepath.FromSlash(h.Linkname), name)
	default:
		return fmt.Errorf("an entry of a kind that no appbundle has (%q)", h.Typeflag)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if h.Mode&0o100 != 0 {
		mode = 0o755
	}
	out, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}

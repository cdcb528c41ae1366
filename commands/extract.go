package commands

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Bounds of what an archive may unpack to. Text packs to a tenth, sparse data
// to a hundredth; a thousandth is a bomb.
const (
	mostUnpacked  = 32 << 30
	mostRatio     = 200
	ratioFrom     = 64 << 20 // small archives may have any ratio
	mostEntries   = 200_000
	deepestEntry  = 64
	extractBuffer = 256 << 10
)

// ArchiveError says why an archive was not extracted. The archive itself is there.
type ArchiveError struct{ Name, Reason string }

func (e *ArchiveError) Error() string {
	return fmt.Sprintf("%s was not extracted: %s", e.Name, e.Reason)
}

// extraction is one archive being extracted into a directory of its own.
type extraction struct {
	root    *os.Root // that directory
	name    string   // of the archive
	packed  int64
	total   int64
	entries int
	folded  map[string]string // names that differ in case alone are one file on some systems
	isFile  map[string]bool   // what each of those names is: a file, or a directory
	left    []string          // entries that were left out, and why
}

// extract extracts an archive, recognised by its bytes, beside itself. dir is
// "" when it is none. Everything is checked before it gets its name: a name that
// leads elsewhere, or an archive that unpacks without measure, leaves nothing.
func extract(ctx context.Context, root *os.Root, file string) (dir string, left []string, err error) {
	f, err := root.Open(file)
	if err != nil {
		return "", nil, fmt.Errorf("open %s: %w", file, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, fmt.Errorf("open %s: %w", file, err)
	}
	unpack := archiveKind(f)
	if unpack == nil {
		return "", nil, nil
	}
	temp := ".juliahub-" + rand.Text()
	if err := root.Mkdir(temp, 0o755); err != nil {
		return "", nil, fmt.Errorf("extract %s: %w", file, err)
	}
	defer func() { _ = root.RemoveAll(temp) }() // gone already when all went well
	inner, err := root.OpenRoot(temp)
	if err != nil {
		return "", nil, fmt.Errorf("extract %s: %w", file, err)
	}
	x := &extraction{root: inner, name: file, packed: info.Size(), folded: map[string]string{}, isFile: map[string]bool{}}
	err = errors.Join(unpack(ctx, x, f), inner.Close())
	if err != nil {
		return "", nil, err
	}
	dir, err = placeDir(root, temp, stemOf(file))
	return dir, x.left, err
}

// archiveKind looks at the first bytes of a file; nil = no archive.
func archiveKind(f *os.File) func(context.Context, *extraction, *os.File) error {
	head := make([]byte, 512)
	n, err := io.ReadFull(io.NewSectionReader(f, 0, 512), head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return func(ctx context.Context, x *extraction, f *os.File) error { return x.zip(ctx, f) }
	case isTar(head):
		return func(ctx context.Context, x *extraction, f *os.File) error {
			return x.tar(ctx, io.NewSectionReader(f, 0, 1<<62))
		}
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(io.NewSectionReader(f, 0, 1<<62))
		if err != nil {
			return nil
		}
		inner := make([]byte, 512)
		if _, err := io.ReadFull(z, inner); err != nil || !isTar(inner) {
			return nil // a single file that was packed
		}
		return func(ctx context.Context, x *extraction, f *os.File) error {
			z, err := gzip.NewReader(bufio.NewReader(io.NewSectionReader(f, 0, 1<<62)))
			if err != nil {
				return &ArchiveError{x.name, "it is damaged"}
			}
			return x.tar(ctx, z)
		}
	}
	return nil
}

// isTar tells a tar's first header by its checksum: that of an archive from
// before 1988, or of a program that still writes such ones, names no format.
func isTar(head []byte) bool {
	const at, size = 148, 8 // of the checksum, which counts as spaces itself
	if len(head) < 512 {
		return false
	}
	want, err := strconv.ParseInt(strings.Trim(string(head[at:at+size]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	unsigned, signed := int64(size*' '), int64(size*' ') // some old programs took bytes for signed ones
	for i, b := range head[:512] {
		if i < at || i >= at+size {
			unsigned, signed = unsigned+int64(b), signed+int64(int8(b))
		}
	}
	return want == unsigned || want == signed
}

// stemOf is an archive's name without what says that it is one.
func stemOf(name string) string {
	for _, ext := range []string{".tar.gz", ".tgz", ".tar", ".zip"} {
		if stem, ok := strings.CutSuffix(name, ext); ok && stem != "" {
			return stem
		}
	}
	return name + " (extracted)"
}

func placeDir(root *os.Root, temp, name string) (string, error) {
	for i := 1; i < 1000; i++ {
		candidate := name
		if i > 1 {
			candidate = fmt.Sprintf("%s (%d)", name, i)
		}
		if _, err := root.Lstat(candidate); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := root.Rename(temp, candidate); err != nil {
			return "", fmt.Errorf("extract %s: %w", name, err)
		}
		return filepath.Join(root.Name(), candidate), nil
	}
	return "", fmt.Errorf("extract %s: too many directories of that name", name)
}

func (x *extraction) tar(ctx context.Context, r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &ArchiveError{x.name, "it is damaged"}
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue // says something of the archive, and is no entry
		}
		if err := x.entry(ctx, h.Name, tarMode(h), archive); err != nil {
			return err
		}
	}
}

// tarMode is the mode of an entry. The library takes hard links, and kinds that
// it does not know, for regular files, which would come out empty.
func tarMode(h *tar.Header) fs.FileMode {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse, tar.TypeDir:
		if strings.HasSuffix(h.Name, "/") { // how old archives say that it is a directory
			return fs.ModeDir | 0o755
		}
		return h.FileInfo().Mode()
	}
	return h.FileInfo().Mode() | fs.ModeIrregular
}

func (x *extraction) zip(ctx context.Context, f *os.File) error {
	archive, err := zip.NewReader(f, x.packed)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return &ArchiveError{x.name, "it is damaged"}
	}
	for _, h := range archive.File {
		content, err := h.Open()
		if err != nil {
			return &ArchiveError{x.name, "it is damaged"}
		}
		err = x.entry(ctx, h.Name, h.Mode(), content)
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return nil
}

// entry extracts one entry. Links and devices are left out: nothing that a job
// sends needs to name a place of this machine.
func (x *extraction) entry(ctx context.Context, name string, mode fs.FileMode, content io.Reader) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if x.entries++; x.entries > mostEntries {
		return &ArchiveError{x.name, fmt.Sprintf("it has more than %d entries", mostEntries)}
	}
	clean, err := x.cleanName(name)
	if err != nil || clean == "." {
		return err
	}
	if mode.IsDir() || mode.IsRegular() {
		if err := x.claim(clean, mode.IsRegular()); err != nil {
			return err
		}
	}
	switch {
	case mode.IsDir():
		if err := x.root.MkdirAll(filepath.FromSlash(clean), 0o755); err != nil {
			return fmt.Errorf("extract %s: %w", x.name, err)
		}
		return nil
	case !mode.IsRegular():
		x.left = append(x.left, fmt.Sprintf("%q is no file", name))
		return nil
	}
	return x.file(clean, mode, content)
}

// cleanName checks each part of an entry's name as a result's own name is checked.
func (x *extraction) cleanName(name string) (string, error) {
	refuse := func(why string) (string, error) {
		return "", &ArchiveError{x.name, fmt.Sprintf("its entry %q %s", firstLine(name), why)}
	}
	if path.IsAbs(name) || strings.Contains(name, `\`) {
		return refuse("leads elsewhere")
	}
	trimmed := strings.TrimSuffix(name, "/")
	parts := strings.Split(trimmed, "/")
	if len(parts) > deepestEntry {
		return refuse("lies too deep")
	}
	kept := parts[:0]
	for _, part := range parts {
		if part == "." || part == "" {
			continue
		}
		if _, err := localName(part); err != nil {
			if part == ".." {
				return refuse("leads elsewhere")
			}
			return refuse("cannot be a file here: " + err.Error())
		}
		kept = append(kept, part)
	}
	clean := path.Join(kept...)
	if clean == "" {
		return ".", nil
	}
	if other, ok := x.folded[strings.ToLower(clean)]; ok && other != clean {
		return refuse(fmt.Sprintf("differs from %q in case alone", other))
	}
	x.folded[strings.ToLower(clean)] = clean
	return clean, nil
}

// claim notes what a name and the directories above it are: no name is both a
// file and a directory, nor are two that differ in case alone.
func (x *extraction) claim(clean string, file bool) error {
	for name, isFile := clean, file; name != "."; name, isFile = path.Dir(name), false {
		folded := strings.ToLower(name)
		was, known := x.isFile[folded]
		if known && was != isFile {
			return &ArchiveError{x.name, fmt.Sprintf("it holds %q both as a file and as a directory", firstLine(name))}
		}
		if known && name != clean {
			return nil // what is above is known, too
		}
		x.isFile[folded] = isFile
	}
	return nil
}

func (x *extraction) file(name string, mode fs.FileMode, content io.Reader) error {
	local := filepath.FromSlash(name)
	if dir := filepath.Dir(local); dir != "." {
		if err := x.root.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("extract %s: %w", x.name, err)
		}
	}
	f, err := x.root.OpenFile(local, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644|mode.Perm()&0o111)
	if errors.Is(err, fs.ErrExist) {
		return &ArchiveError{x.name, fmt.Sprintf("it holds %q twice", name)}
	}
	if err != nil {
		return fmt.Errorf("extract %s: %w", x.name, err)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{&measured{f, x}}, content, make([]byte, extractBuffer))
	if err = errors.Join(err, f.Close()); err == nil {
		return nil
	}
	if _, ok := errors.AsType[*ArchiveError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("extract %s: %w", x.name, err)
	}
	return &ArchiveError{x.name, "it is damaged"}
}

// measured counts what an archive unpacks to, and stops what has no measure.
type measured struct {
	w io.Writer
	x *extraction
}

func (m *measured) Write(p []byte) (int, error) {
	x := m.x
	x.total += int64(len(p))
	if x.total > mostUnpacked || x.total > ratioFrom && x.total > mostRatio*x.packed {
		return 0, &ArchiveError{x.name, fmt.Sprintf("it unpacks to more than %s", megabytes(x.total))}
	}
	return m.w.Write(p)
}

package commands

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type packedEntry struct {
	name, text string
	kind       byte
}

func tarOf(t *testing.T, entries ...packedEntry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: 0o644, Size: int64(len(e.text))}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			h.Linkname, h.Size, e.text = e.text, 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipOf(t *testing.T, entries ...packedEntry) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		f, err := w.Create(e.name)
		if err == nil {
			_, err = f.Write([]byte(e.text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// extracted extracts data as a file and returns the directory's files.
func extracted(t *testing.T, name, data string) (map[string]string, []string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	out, left, err := extract(t.Context(), root, name)
	entries, readErr := os.ReadDir(dir)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if want := 1 + min(1, len(out)); len(entries) != want {
		t.Errorf("%s: %d entries beside it", name, len(entries))
	}
	files := map[string]string{}
	if out == "" {
		return files, left, err
	}
	walkErr := filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(out, path)
		files[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if walkErr != nil {
		t.Fatal(walkErr)
	}
	return files, left, err
}

func TestExtract(t *testing.T) {
	good := []packedEntry{{"a.txt", "a", tar.TypeReg}, {"sub/b.txt", "b", tar.TypeReg}}
	for name, data := range map[string]string{
		"r.tar": tarOf(t, good...), "r.tar.gz": gzipOf(t, tarOf(t, good...)), "r.zip": zipOf(t, good...), "by its bytes.bin": gzipOf(t, tarOf(t, good...)),
	} {
		files, left, err := extracted(t, name, data)
		if err != nil || len(left) > 0 || len(files) != 2 || files["a.txt"] != "a" || files["sub/b.txt"] != "b" {
			t.Errorf("%s: %v, left %v, %v", name, files, left, err)
		}
	}
	for name, data := range map[string]string{"a.csv": "1,2,3", "empty": "", "one.gz": gzipOf(t, "just text")} {
		if files, _, err := extracted(t, name, data); err != nil || len(files) > 0 {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
}

func TestExtractRefuses(t *testing.T) {
	for why, data := range map[string]string{
		"parent":    tarOf(t, packedEntry{"../evil", "x", tar.TypeReg}),
		"middle":    tarOf(t, packedEntry{"a/../../evil", "x", tar.TypeReg}),
		"absolute":  tarOf(t, packedEntry{"/tmp/evil", "x", tar.TypeReg}),
		"zip":       zipOf(t, packedEntry{"../evil", "x", 0}),
		"backslash": zipOf(t, packedEntry{`..\evil`, "x", 0}),
		"device":    tarOf(t, packedEntry{"NUL", "x", tar.TypeReg}),
		"git":       tarOf(t, packedEntry{".git/config", "x", tar.TypeReg}),
		"case":      tarOf(t, packedEntry{"a", "x", tar.TypeReg}, packedEntry{"A", "y", tar.TypeReg}),
		"twice":     tarOf(t, packedEntry{"a", "x", tar.TypeReg}, packedEntry{"a", "y", tar.TypeReg}),
		"bomb":      gzipOf(t, tarOf(t, packedEntry{"zeros", strings.Repeat("\x00", ratioFrom+1), tar.TypeReg})),
		"cut":       tarOf(t, packedEntry{"a", strings.Repeat("x", 4000), tar.TypeReg})[:2000],
	} {
		var refused *ArchiveError
		if files, _, err := extracted(t, "r.tar", data); !errors.As(err, &refused) {
			t.Errorf("%s: extracted %d files, %v", why, len(files), err)
		}
	}
	files, left, err := extracted(t, "r.tar", tarOf(t,
		packedEntry{"link", "/etc/passwd", tar.TypeSymlink}, packedEntry{"ok", "ok", tar.TypeReg}, packedEntry{"pipe", "", tar.TypeFifo}, packedEntry{"hard", "ok", tar.TypeLink}))
	if err != nil || len(left) != 3 || len(files) != 1 {
		t.Errorf("links and pipes: %v, left %v, %v", files, left, err)
	}
}

// TestExtractFileAndDirectory: a name that is a file and a directory at once.
func TestExtractFileAndDirectory(t *testing.T) {
	file, inside := packedEntry{"a", "x", tar.TypeReg}, packedEntry{"a/b", "x", tar.TypeReg}
	folder, folded := packedEntry{"a/", "", tar.TypeDir}, packedEntry{"A/deep/b", "x", tar.TypeReg}
	for name, data := range map[string]string{
		"file first.tar":  tarOf(t, file, inside),
		"file last.tar":   tarOf(t, inside, file),
		"file.zip":        zipOf(t, file, inside),
		"then folder.tar": tarOf(t, file, folder),
		"folder then.tar": tarOf(t, folder, file),
		"by case.tar":     tarOf(t, file, folded),
	} {
		files, _, err := extracted(t, name, data)
		refused, ok := errors.AsType[*ArchiveError](err)
		if !ok || len(files) > 0 || !strings.Contains(refused.Reason, "both as a file and as a directory") {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
	if files, _, err := extracted(t, "r.tar", tarOf(t, inside, folder, packedEntry{"a/c", "y", tar.TypeReg})); err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
}

// oldTar is an archive as tar wrote it before there was "ustar": a header of
// name, numbers and checksum, and nothing behind the link's name.
func oldTar(signed bool, entries ...packedEntry) string {
	var b strings.Builder
	for _, e := range entries {
		head := make([]byte, 512)
		copy(head, e.name)
		copy(head[100:], "000644 \x00  1750 \x00  1750 \x00")
		copy(head[124:], fmt.Sprintf("%11o ", len(e.text)))
		copy(head[136:], "00000000000 ")
		head[156] = e.kind
		copy(head[148:], "        ")
		sum := 0
		for _, c := range head {
			if signed {
				sum += int(int8(c))
			} else {
				sum += int(c)
			}
		}
		copy(head[148:], fmt.Sprintf("%6o\x00 ", sum))
		b.Write(head)
		b.WriteString(e.text + strings.Repeat("\x00", (512-len(e.text)%512)%512))
	}
	return b.String() + strings.Repeat("\x00", 1024)
}

// TestExtractOldTars: an archive is recognised by its checksum where it does
// not say what it is.
func TestExtractOldTars(t *testing.T) {
	entries := []packedEntry{{"a.txt", "a", 0}, {"sub/", "", '0'}, {"sub/bä.txt", "b", '0'}}
	for name, data := range map[string]string{
		"r.tar": oldTar(false, entries...), "r.tgz": gzipOf(t, oldTar(false, entries...)), "signed": oldTar(true, entries...),
	} {
		if strings.Contains(data, "ustar") {
			t.Fatal("this is no old one")
		}
		files, left, err := extracted(t, name, data)
		if err != nil || len(left) > 0 || len(files) != 2 || files["a.txt"] != "a" || files["sub/bä.txt"] != "b" {
			t.Errorf("%s: %v, left %v, %v", name, files, left, err)
		}
	}
	damaged := []byte(oldTar(false, entries...))
	damaged[0] = 'b'
	for name, data := range map[string]string{
		"damaged.tar": string(damaged), "zeros.tar": strings.Repeat("\x00", 2048), "spaces.tar": strings.Repeat(" ", 2048), "short.tar": oldTar(false, entries...)[:400],
	} {
		if files, _, err := extracted(t, name, data); err != nil || len(files) > 0 {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
}

// TestExtractPaxHeaders: what headers say of the whole archive, as git writes
// it, or of the next entry, is no entry itself, and holds.
func TestExtractPaxHeaders(t *testing.T) {
	long := strings.Repeat("n", 120) + "/" + strings.Repeat("ü", 60)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "0123456789abcdef0123456789abcdef01234567"}},
		{Typeflag: tar.TypeReg, Name: long, Size: 1, Mode: 0o644, Format: tar.FormatPAX, PAXRecords: map[string]string{"ACME.mood": "fine"}},
		{Typeflag: tar.TypeXGlobalHeader, Name: "again", PAXRecords: map[string]string{"path": "../../evil"}},
		{Typeflag: tar.TypeReg, Name: "last", Size: 1, Mode: 0o644},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("x")[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"r.tar": b.String(), "r.tar.gz": gzipOf(t, b.String())} {
		files, left, err := extracted(t, name, data)
		if err != nil || len(left) > 0 || len(files) != 2 || files[long] != "x" || files["last"] != "x" {
			t.Errorf("%s: %v, left %v, %v", name, files, left, err)
		}
	}
	// With nothing but such a header, it still is an archive.
	if _, left, err := extracted(t, "empty.tar", tarOf(t)); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

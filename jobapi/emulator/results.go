package emulator

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

const (
	maxOutputs = 1000     // characters of RESULTS that are kept
	maxResult  = 5 << 30  // bytes of a result file
	maxSummary = 16 << 20 // bytes of the summary file that are read
)

// blob is where the bytes of a file are, relative to the job's directory, ""
// when the job has no such file.
func (j *job) blob(name, kind string) string {
	for _, f := range j.snapshot().Files {
		if f.Name == name && f.Type == kind {
			return f.Blob
		}
	}
	return ""
}

// addBytes gives the job a file.
func (e *Emulator) addBytes(j *job, name, kind string, data []byte) error {
	return e.addStream(j, name, kind, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// addUpload gives the job the appbundle that was uploaded. The bytes are
// shared with the upload where the file system can.
func (e *Emulator) addUpload(j *job, b bundleInfo) error {
	blob, path, err := j.newBlob()
	if err != nil {
		return err
	}
	if os.Link(e.uploadPath(b.Hash), path) == nil {
		j.addFile(file{Name: b.Name, Type: b.Type, Size: b.Size, SHA256: b.Hash, Uploaded: e.now(), Blob: blob})
		return nil
	}
	return e.addPath(j, b.Name, b.Type, e.uploadPath(b.Hash))
}

func (e *Emulator) addPath(j *job, name, kind, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("take the file %s: %w", name, err)
	}
	defer in.Close()
	return e.addStream(j, name, kind, func(w io.Writer) error {
		_, err := io.Copy(w, in)
		return err
	})
}

// addStream gives the job a file with the bytes that write writes.
func (e *Emulator) addStream(j *job, name, kind string, write func(io.Writer) error) error {
	blob, path, err := j.newBlob()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the file %s: %w", name, err)
	}
	sum, count := sha256.New(), &counter{}
	err = write(io.MultiWriter(out, sum, count))
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("keep the file %s: %w", name, errors.Join(err, os.Remove(path)))
	}
	j.addFile(file{Name: name, Type: kind, Size: count.n, SHA256: hex.EncodeToString(sum.Sum(nil)), Uploaded: e.now(), Blob: blob})
	return nil
}

// counter counts bytes and refuses more than a result may have.
type counter struct{ n int64 }

// Write counts the bytes.
func (c *counter) Write(p []byte) (int, error) {
	if c.n += int64(len(p)); c.n > maxResult {
		return 0, errors.New("over the limit of 5 GiB")
	}
	return len(p), nil
}

// newBlob finds a place for a file's bytes: relative to the job's directory, and whole.
func (j *job) newBlob() (blob, path string, err error) {
	if err := os.MkdirAll(filepath.Join(j.dir, "files"), 0o700); err != nil {
		return "", "", fmt.Errorf("make the job's directory: %w", err)
	}
	blob = filepath.Join("files", randomText(16))
	return blob, filepath.Join(j.dir, blob), nil
}

// addFile lists a file. One of the same name and type is replaced.
func (j *job) addFile(f file) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, old := range j.rec.Files {
		if old.Name == f.Name && old.Type == f.Type {
			j.rec.Files[i] = f
			return
		}
	}
	j.rec.Files = append(j.rec.Files, f)
}

// collect brings in what the program left as results, also of one that failed.
// What cannot be brought in is said in the job's log.
func (e *Emulator) collect(j *job, w *workspace) error {
	outputs := ""
	if e.cfg.Generation != 2 {
		outputs = cut(readSmall(filepath.Join(w.out, "RESULTS")), maxOutputs)
		if path := readSmall(filepath.Join(w.out, "RESULTS_FILE")); path != "" {
			e.collectPath(j, path)
		}
	}
	if e.cfg.Generation != 1 {
		if text := readSmall(w.summary); text != "" {
			outputs = text
		}
		e.collectDir(j, w.upload)
	}
	return j.change(func(r *record) { r.Outputs = outputs })
}

// readSmall reads a file that may be missing.
func readSmall(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSummary))
	if err != nil {
		return ""
	}
	return string(data)
}

// cut keeps the first n characters.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return strings.ToValidUTF8(s, string(utf8.RuneError))
}

// collectPath takes the file that RESULTS_FILE names, or the directory, packed.
func (e *Emulator) collectPath(j *job, path string) {
	info, err := os.Stat(path)
	name := filepath.Base(path)
	switch {
	case err != nil:
	case info.IsDir():
		name += ".tar.gz"
		err = e.addStream(j, name, "result", func(w io.Writer) error {
			gz := gzip.NewWriter(w)
			return errors.Join(packDir(gz, path), gz.Close())
		})
	default:
		err = e.addPath(j, name, "result", path)
	}
	e.sayResult(j, name, err)
}

// collectDir takes the files of the upload directory: one as it is, several in a tarball.
func (e *Emulator) collectDir(j *job, dir string) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	switch {
	case err != nil:
		e.sayResult(j, "results", err)
	case len(files) == 1:
		name := filepath.Base(files[0])
		e.sayResult(j, name, e.addPath(j, name, "result", files[0]))
	case len(files) > 1:
		e.sayResult(j, "results.tar", e.addStream(j, "results.tar", "result", func(w io.Writer) error { return packDir(w, dir) }))
	}
}

func (e *Emulator) sayResult(j *job, name string, err error) {
	if err != nil {
		j.logLine(e.now(), "Error", fmt.Sprintf("The result %s could not be uploaded: %v", name, err))
		return
	}
	j.logLine(e.now(), "Info", "Uploaded the result "+name)
}

// packDir writes a directory's content as a tarball, paths relative to it.
func packDir(w io.Writer, dir string) error {
	out := tar.NewWriter(w)
	if err := out.AddFS(os.DirFS(dir)); err != nil {
		return fmt.Errorf("pack the results: %w", err)
	}
	return out.Close()
}

// removeAll removes a directory, also one whose directories the job made read-only.
func removeAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700) //nolint:gosec // a directory needs its x bit
		}
		return nil
	})
	return os.RemoveAll(dir)
}

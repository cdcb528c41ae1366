package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// The tar format, as Tar.jl writes it: ustar, with an extended (PAX) header for
// the paths that do not fit.
const (
	tarBlock     = 512
	maxTarName   = 100
	maxTarPrefix = 155
	modeDir      = 0o755
)

// SizeLimit is what the server takes of a bundle at most, in bytes.
const SizeLimit = 2 << 30

// tarWriter writes a tar into blocks. Only Flush and file contents reach the
// sink: a header is a few hundred bytes.
type tarWriter struct {
	blocks *blockWriter
}

// header writes the header of a file or (with a "/" at the end of its name) a directory.
func (w *tarWriter) header(name string, size int64, mode fs.FileMode) error {
	_, err := w.blocks.Write(appendHeader(make([]byte, 0, 3*tarBlock), name, size, mode))
	return err
}

// file writes a file's header and size bytes of content.
func (w *tarWriter) file(name string, size int64, mode fs.FileMode, content io.Reader) error {
	if err := w.header(name, size, mode); err != nil {
		return err
	}
	if err := w.blocks.readFrom(content, size); err != nil {
		return err
	}
	return w.blocks.zeros(padding(size))
}

func (w *tarWriter) close() error {
	if err := w.blocks.zeros(2 * tarBlock); err != nil {
		return err
	}
	return w.blocks.flush()
}

func padding(size int64) int64 { return -size & (tarBlock - 1) }

// appendHeader adds the header of one entry, and before it an extended one if
// the path needs it.
func appendHeader(b []byte, name string, size int64, mode fs.FileMode) []byte {
	kind := byte('0')
	if trimmed, ok := strings.CutSuffix(name, "/"); ok {
		name, kind = trimmed, '5'
	}
	prefix, last, ok := splitName(name)
	if !ok {
		record := paxRecord("path", name)
		b = appendBlock(b, "", "././@PaxHeader", int64(len(record)), 0, 'x')
		b = append(b, record...)
		b = append(b, make([]byte, padding(int64(len(record))))...)
	}
	return appendBlock(b, prefix, last, size, mode, kind)
}

// splitName divides a path at the slash that leaves the longest name that fits.
func splitName(name string) (prefix, last string, ok bool) {
	if len(name) <= maxTarName {
		return "", name, true
	}
	for i := range len(name) {
		if name[i] == '/' && len(name)-i-1 <= maxTarName {
			return name[:i], name[i+1:], i <= maxTarPrefix && i > 0
		}
	}
	return "", "", false
}

// paxRecord is "LENGTH key=value\n", the length counting itself.
func paxRecord(key, value string) string {
	rest := len(key) + len(value) + len(" =\n")
	length := rest
	for n := 0; n != length; length = rest + len(fmt.Sprint(n)) {
		n = length
	}
	return fmt.Sprintf("%d %s=%s\n", length, key, value)
}

func appendBlock(b []byte, prefix, name string, size int64, mode fs.FileMode, kind byte) []byte {
	var h [tarBlock]byte
	if len(name) <= maxTarName {
		copy(h[:100], name)
	}
	copy(h[100:], fmt.Sprintf("%06o \x00", mode))
	copy(h[108:], "000000 \x00")
	copy(h[116:], "000000 \x00")
	copy(h[124:], fmt.Sprintf("%011o ", size))
	copy(h[136:], "00000000000 ")
	copy(h[148:], "        ")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "000000 \x00")
	copy(h[337:], "000000 \x00")
	if len(prefix) <= maxTarPrefix {
		copy(h[345:], prefix)
	}
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return append(b, h[:]...)
}

// tarSize computes the size of the tar.
func tarSize(p *Plan) int64 {
	size := int64(2 * tarBlock)
	for i := range p.Files {
		f := &p.Files[i]
		size += p.headerSize(f.Path) + f.Bytes + padding(f.Bytes)
	}
	for _, d := range p.dirs {
		size += p.headerSize(strings.TrimSuffix(d, "/"))
	}
	return size
}

// headerSize computes the size of an entry's header or headers.
func (p *Plan) headerSize(path string) int64 {
	if len(p.Name)+1+len(path) <= maxTarName {
		return tarBlock
	}
	name := p.entryName(path)
	if _, _, ok := splitName(name); ok {
		return tarBlock
	}
	record := int64(len(paxRecord("path", name)))
	return 2*tarBlock + record + padding(record)
}

// entryName is the path of an entry in the tar.
func (p *Plan) entryName(path string) string { return p.Name + "/" + path }

// checkNames refuses paths that cannot travel.
func (b *builder) checkNames() error {
	if b.badName != "" {
		return &NameError{Path: b.badName, Reason: "it is not valid UTF-8"}
	}
	if !b.options.WindowsImage {
		return nil
	}
	for i := range b.plan.Files {
		name := b.plan.Files[i].Path
		if reason := refusedByWindows(name); reason != "" {
			return &NameError{Path: name, Reason: reason}
		}
	}
	return nil
}

// refusedByWindows says why a job on Windows cannot unpack a path; "" if it can.
func refusedByWindows(name string) string {
	for part := range strings.SplitSeq(name, "/") {
		stem, _, _ := strings.Cut(strings.ToUpper(part), ".")
		switch {
		case strings.ContainsAny(part, `<>:"\|?*`) || strings.IndexFunc(part, func(r rune) bool { return r < ' ' }) >= 0:
			return "the job's Windows allows none of < > : \" \\ | ? * and control characters"
		case strings.HasSuffix(part, ".") || strings.HasSuffix(part, " "):
			return "on the job's Windows no name ends in a dot or a space"
		case slices.Contains([]string{"CON", "PRN", "AUX", "NUL"}, stem), len(stem) == 4 && (stem[:3] == "COM" || stem[:3] == "LPT") && '1' <= stem[3] && stem[3] <= '9':
			return "it is a device's name on the job's Windows"
		}
	}
	return ""
}

// Check says why the bundle may not be sent: it is too large (*SizeError) or
// holds a secret from outside the directory (*SecretError).
func (p *Plan) Check() error {
	for _, f := range p.Files {
		if f.From != "" && f.marks&markSecret != 0 && !p.isFromDepot(f.Path) {
			return &SecretError{Path: f.Path, From: f.From}
		}
	}
	return p.checkSize(SizeLimit)
}

func (p *Plan) isFromDepot(path string) bool {
	return slices.ContainsFunc(p.depot, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

func (p *Plan) checkSize(limit int64) error {
	if p.TarSize <= limit {
		return nil
	}
	largest := slices.Clone(p.Files)
	slices.SortStableFunc(largest, func(x, y File) int { return int(max(-1, min(1, y.Bytes-x.Bytes))) })
	return &SizeError{Bytes: p.TarSize, Limit: limit, Largest: largest[:min(5, len(largest))]}
}

// write writes the tar's entries in their order; progress may be nil.
func (p *Plan) write(ctx context.Context, w *tarWriter, progress func(done, total int64)) error {
	dirs := p.dirs
	for i := range p.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := &p.Files[i]
		for len(dirs) > 0 && dirs[0] < f.Path {
			if err := w.header(p.entryName(dirs[0]), 0, modeDir); err != nil {
				return err
			}
			dirs = dirs[1:]
		}
		if err := p.writeFile(w, f); err != nil {
			return err
		}
		if progress != nil {
			progress(w.blocks.written, p.TarSize)
		}
	}
	for _, dir := range dirs {
		if err := w.header(p.entryName(dir), 0, modeDir); err != nil {
			return err
		}
	}
	return w.close()
}

// writeFile writes one file. A file may have changed since the plan was made:
// what counts is what it is when it is opened, as long as it stays so.
func (p *Plan) writeFile(w *tarWriter, file *File) error {
	name := file.Path
	if text, ok := p.content[name]; ok {
		return w.file(p.entryName(name), int64(len(text)), file.mode(), bytes.NewReader(text))
	}
	source := p.source(name)
	f, err := os.Open(source)
	if errors.Is(err, fs.ErrNotExist) {
		return &ChangedError{Path: source, How: "vanished"}
	}
	if err != nil {
		return &ReadError{Path: source, Err: cause(err)}
	}
	defer f.Close() // only read
	before, err := f.Stat()
	if err != nil {
		return &ReadError{Path: source, Err: cause(err)}
	}
	if !before.Mode().IsRegular() {
		return &ChangedError{Path: source, How: "was replaced by something else than a file"}
	}
	if before.Size() > SizeLimit { // since the plan; from 8 GiB on no header could hold it
		return &ChangedError{Path: source, How: "grew"}
	}
	err = w.file(p.entryName(name), before.Size(), file.mode(), f)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &ChangedError{Path: source, How: "shrank"}
	case err != nil && w.blocks.failed() != nil:
		return err
	case err != nil:
		return &ReadError{Path: source, Err: cause(err)}
	}
	after, err := f.Stat()
	switch {
	case err != nil:
		return &ReadError{Path: source, Err: cause(err)}
	case after.Size() > before.Size():
		return &ChangedError{Path: source, How: "grew"}
	case !after.ModTime().Equal(before.ModTime()):
		return &ChangedError{Path: source, How: "changed"}
	}
	return nil
}

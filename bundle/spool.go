package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// Spool is a finished tar in a temporary file. Close removes it. (On unix the
// file is unlinked as soon as it is open, so that a crash leaves nothing.)
type Spool struct {
	Size   int64
	SHA256 string // hex

	file *os.File
}

// Spool writes the bundle's tar into a temporary file in dir ("" = the system's)
// in one pass, re-statting every file. progress may be nil; it is called with
// bytes of the tar.
//
// Errors are those of Check, *SpaceError, *SpoolError, *ReadError, *ChangedError
// and the context's.
func (p *Plan) Spool(ctx context.Context, dir string, progress func(done, total int64)) (*Spool, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if dir == "" {
		dir = os.TempDir()
	}
	if free, ok := freeSpace(dir); ok && free < p.TarSize {
		return nil, &SpaceError{Dir: dir, Need: p.TarSize, Free: free}
	}
	file, err := createTemp(dir)
	if err != nil {
		return nil, &SpoolError{Dir: dir, Err: cause(err)}
	}
	size, sum, err := p.WriteTar(ctx, spoolWriter{file, dir}, progress)
	if err == nil && size > SizeLimit {
		grown := *p
		grown.TarSize = size
		err = grown.Check()
	}
	if err != nil {
		_ = closeTemp(file) // the error that counts is the first one
		return nil, err
	}
	return &Spool{Size: size, SHA256: sum, file: file}, nil
}

// spoolWriter says in words that a person can use that the disk takes no more.
type spoolWriter struct {
	file *os.File
	dir  string
}

func (w spoolWriter) Write(data []byte) (int, error) {
	n, err := w.file.Write(data)
	if err != nil {
		err = &SpoolError{Dir: w.dir, Err: cause(err)}
	}
	return n, err
}

// Open returns a reader of the whole tar. Several may be open at once.
func (s *Spool) Open() (io.ReadCloser, error) {
	if s.file == nil {
		return nil, os.ErrClosed
	}
	return io.NopCloser(io.NewSectionReader(s.file, 0, s.Size)), nil
}

// Close removes the temporary file; readers that are still open fail.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := closeTemp(s.file)
	s.file = nil
	return err
}

// WriteTar writes the bundle's tar to w and returns its size and SHA-256 (hex).
// Reading, hashing and writing overlap. Nothing is checked beforehand: see Check.
func (p *Plan) WriteTar(ctx context.Context, w io.Writer, progress func(done, total int64)) (int64, string, error) {
	group, ctx := errgroup.WithContext(ctx)
	sum := sha256.New()
	blocks := newBlockWriter(ctx)
	group.Go(func() error { return blocks.hash(sum) })
	group.Go(func() error { return blocks.sink(w) })
	group.Go(func() error {
		defer blocks.end()
		return p.write(ctx, &tarWriter{blocks}, progress)
	})
	if err := group.Wait(); err != nil {
		return 0, "", err
	}
	return blocks.written, hex.EncodeToString(sum.Sum(nil)), nil
}

// The tar passes through blocks: files are read into them, and each full block
// is hashed and written at the same time by two goroutines. Eight blocks of
// 256 KiB keep both busy, and the memory flat.
const (
	blockSize  = 256 << 10
	blockCount = 8
)

// block is a piece of the tar; it goes back when both readers are done.
type block struct {
	data []byte
	uses atomic.Int32
}

// blockWriter is written by one goroutine.
type blockWriter struct {
	ctx     context.Context
	current *block
	written int64 // bytes so far

	free   chan *block
	hashes chan *block
	sinks  chan *block
}

func newBlockWriter(ctx context.Context) *blockWriter {
	w := &blockWriter{
		ctx:    ctx,
		free:   make(chan *block, blockCount),
		hashes: make(chan *block, blockCount),
		sinks:  make(chan *block, blockCount),
	}
	for range blockCount {
		w.free <- &block{data: make([]byte, 0, blockSize)}
	}
	return w
}

// room returns the unused rest of the current block, which is never empty.
func (w *blockWriter) room() ([]byte, error) {
	if w.current != nil && len(w.current.data) == blockSize {
		if err := w.flush(); err != nil {
			return nil, err
		}
	}
	if w.current == nil {
		select {
		case w.current = <-w.free:
			w.current.data = w.current.data[:0]
		case <-w.ctx.Done():
			return nil, context.Cause(w.ctx)
		}
	}
	return w.current.data[len(w.current.data):blockSize], nil
}

// took says that n bytes of the room were filled.
func (w *blockWriter) took(n int) {
	w.current.data = w.current.data[:len(w.current.data)+n]
	w.written += int64(n)
}

// flush hands the current block on. The channels hold all blocks, so this never waits.
func (w *blockWriter) flush() error {
	if w.current != nil {
		w.current.uses.Store(2)
		w.hashes <- w.current
		w.sinks <- w.current
		w.current = nil
	}
	return nil
}

func (w *blockWriter) Write(data []byte) (int, error) {
	total := len(data)
	for len(data) > 0 {
		room, err := w.room()
		if err != nil {
			return 0, err
		}
		n := copy(room, data)
		w.took(n)
		data = data[n:]
	}
	return total, nil
}

// readFrom takes exactly size bytes from r; io.ErrUnexpectedEOF says that there
// are fewer.
func (w *blockWriter) readFrom(r io.Reader, size int64) error {
	for size > 0 {
		room, err := w.room()
		if err != nil {
			return err
		}
		n, err := r.Read(room[:min(int64(len(room)), size)])
		w.took(n)
		size -= int64(n)
		if errors.Is(err, io.EOF) && size > 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

func (w *blockWriter) zeros(n int64) error {
	_, err := w.Write(make([]byte, n))
	return err
}

// failed returns why the blocks go nowhere any more.
func (w *blockWriter) failed() error { return w.ctx.Err() }

// end tells the readers that no block follows.
func (w *blockWriter) end() {
	close(w.hashes)
	close(w.sinks)
}

func (w *blockWriter) hash(sum hash.Hash) error {
	for b := range w.hashes {
		sum.Write(b.data) // a hash never fails
		w.release(b)
	}
	return nil
}

func (w *blockWriter) sink(to io.Writer) error {
	for b := range w.sinks {
		if _, err := to.Write(b.data); err != nil {
			return err
		}
		w.release(b)
	}
	return nil
}

func (w *blockWriter) release(b *block) {
	if b.uses.Add(-1) == 0 {
		w.free <- b
	}
}

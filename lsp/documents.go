package lsp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"os"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"juliahub-lsp/commands"
)

// world is what the editor has told us, at one moment. It is immutable: the
// loop replaces it, requests keep the one that they started with.
type world struct {
	docs     map[string]*document // open documents by keyOf(URI)
	folders  []folder
	settings *editorSettings
}

// document is an open buffer. It is immutable but for what opened finds out.
type document struct {
	uri      string // as the editor names it
	path     string // absolute; "" if it has no file on this machine
	language string
	version  int64
	text     string
	// changed says that the text changed since the last didOpen or didSave.
	changed bool
	opened  *opening
}

// opening is what a document's file was when the editor last read or wrote it.
// It is found out by a goroutine of its own: reading the disk is no work for
// the loop, and later it might have changed.
type opening struct {
	done    chan struct{} // closed when the rest is known
	differs bool          // the document differs from its file

	mu    sync.Mutex // guards what follows once done is closed
	disk  diskState
	wrote *string // the text that the editor wrote since, without telling
}

// diskState tells one content of a file from another.
type diskState struct {
	exists   bool
	size     int64
	modified time.Time
	sum      [sha256.Size]byte
}

// newOpening looks at the file of a document that was opened with a text, or,
// without one, has just been saved.
func (s *Server) newOpening(path string, text *string) *opening {
	o := &opening{done: make(chan struct{}), differs: text != nil}
	look := func() {
		defer close(o.done)
		if path == "" {
			return
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return // a pipe or a device might be read for ever
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return
		}
		o.disk = stateOf(path, raw)
		o.differs = text != nil && !sameText(raw, *text)
	}
	if path == "" || !s.spawn(look) {
		close(o.done)
	}
	return o
}

func stateOf(path string, raw []byte) diskState {
	state := diskState{exists: true, size: int64(len(raw)), sum: sha256.Sum256(raw)}
	if info, err := os.Stat(path); err == nil {
		state.modified = info.ModTime()
	}
	return state
}

// hasChanged says whether a file is another than it was when the editor read or
// wrote it. One that holds the document's text by now is one that the editor
// wrote without a word: not all clients tell of savings.
func (o *opening) hasChanged(path, text string) (changed, saved bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	info, err := os.Stat(path)
	switch {
	case err != nil || !info.Mode().IsRegular():
		return o.disk.exists, false
	case o.disk.exists && info.Size() == o.disk.size && info.ModTime().Equal(o.disk.modified):
		return false, o.wrote != nil && *o.wrote == text
	}
	raw, err := os.ReadFile(path)
	switch {
	case err != nil:
		return true, false
	case o.disk.exists && sha256.Sum256(raw) == o.disk.sum:
		return false, o.wrote != nil && *o.wrote == text
	case !sameText(raw, text):
		return true, false
	}
	o.disk, o.wrote = stateOf(path, raw), &text
	return false, true
}

// sameText says whether a file holds a text, apart from a byte-order mark and
// the kind of line ends. One that is not UTF-8 does not.
func sameText(raw []byte, text string) bool {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	return utf8.Valid(raw) && plainLines(string(raw)) == plainLines(strings.TrimPrefix(text, "\ufeff"))
}

func plainLines(text string) string {
	if strings.IndexByte(text, '\r') < 0 {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// isJulia says whether a document is a Julia program that can be submitted: a
// file of this machine by its name, whatever an editor that does not know the
// language calls it, a buffer without a file also by its language.
func (d *document) isJulia() bool {
	if d.path != "" {
		return isJuliaName(d.path)
	}
	return isUntitled(d.uri) && (d.language == "julia" || isJuliaName(d.uri))
}

// isJuliaName says whether a URI or path has the extension of Julia programs.
func isJuliaName(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".jl") }

// snapshot is the document as the commands see it. It waits for the comparison
// with the disk, or for ctx to end.
func (d *document) snapshot(ctx context.Context) (commands.Document, error) {
	select {
	case <-d.opened.done:
	case <-ctx.Done():
		return commands.Document{}, ctx.Err()
	}
	snap := commands.Document{
		URI: d.uri, Path: d.path, Open: true, Text: d.text,
		Unsaved: d.changed || d.opened.differs,
	}
	if snap.Unsaved && d.path != "" {
		changed, saved := d.opened.hasChanged(d.path, d.text)
		snap.Unsaved, snap.DiskChanged = !saved, changed
	}
	return snap, nil
}

// document returns the open document that a URI names, nil if there is none.
func (w *world) document(uri string) *document { return w.docs[keyOf(uri)] }

// at returns the open document of a file, nil if there is none.
func (w *world) at(path string) *document {
	if isUntitled(path) {
		return w.docs[path]
	}
	return w.docs[keyOfPath(path)]
}

// sorted returns the open documents in the order of their names.
func (w *world) sorted() []*document {
	all := make([]*document, 0, len(w.docs))
	for _, d := range w.docs {
		all = append(all, d)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].uri < all[j].uri })
	return all
}

// with returns a world that differs in one document; nil closes it.
func (w *world) with(uri string, d *document) *world {
	next := *w
	next.docs = maps.Clone(w.docs)
	if d == nil {
		delete(next.docs, keyOf(uri))
	} else {
		next.docs[keyOf(uri)] = d
	}
	return &next
}

// touch says that the text of a document may have changed.
func (s *Server) touch(d *document) {
	s.diagnostics.touch(cmp.Or(d.path, d.uri))
	s.advice.touch(d.path)
}

func (s *Server) didOpen(p *didOpenParams) {
	t := p.TextDocument
	d := &document{uri: t.URI, language: t.LanguageID, version: t.Version, text: *t.Text}
	d.path, _ = pathOf(t.URI)
	d.opened = s.newOpening(d.path, t.Text)
	s.setWorld(s.world.Load().with(t.URI, d))
	s.touch(d)
}

func (s *Server) didChange(p *didChangeParams) {
	w := s.world.Load()
	old := w.document(p.TextDocument.URI)
	if old == nil {
		s.log.Warn("a change of a document that is not open", "uri", clip(p.TextDocument.URI, 200))
		return
	}
	d := *old
	for _, c := range p.ContentChanges {
		if c.Range == nil {
			d.text = *c.Text
		} else {
			d.text = edit(d.text, *c.Range, *c.Text, s.encoding)
		}
	}
	if p.TextDocument.Version != nil {
		d.version = *p.TextDocument.Version
	}
	d.changed = true
	s.setWorld(w.with(d.uri, &d))
	s.touch(&d)
}

func (s *Server) didSave(p *didSaveParams) {
	w := s.world.Load()
	old := w.document(p.TextDocument.URI)
	if old == nil {
		return
	}
	d := *old
	if p.Text != nil {
		d.text = *p.Text
	}
	d.changed, d.opened = false, s.newOpening(d.path, nil)
	s.setWorld(w.with(d.uri, &d))
	s.touch(&d)
	s.advice.changedOnDisk([]string{d.path}, false)
}

func (s *Server) didClose(p *didCloseParams) {
	w := s.world.Load()
	old := w.document(p.TextDocument.URI)
	s.setWorld(w.with(p.TextDocument.URI, nil))
	if old != nil {
		s.touch(old)
	}
}

// documentArg is the document that a command's argument names: the buffer if
// it is open, else the file.
func (w *world) documentArg(ctx context.Context, uri string) (commands.Document, error) {
	if d := w.document(uri); d != nil && (d.path != "" || isUntitled(uri)) {
		return d.snapshot(ctx)
	}
	if isUntitled(uri) {
		return commands.Document{URI: uri}, nil // gone, but its jobs are not
	}
	path, err := pathOf(uri)
	if err != nil {
		return commands.Document{}, &argumentError{err}
	}
	return commands.Document{URI: uri, Path: path}, nil
}

// inputs fills in what the commands may want to know of the editor.
func (w *world) inputs(ctx context.Context, in *commands.Input) error {
	for _, d := range w.sorted() {
		if d.path == "" && !isUntitled(d.uri) {
			continue // elsewhere: not ours to send
		}
		snap, err := d.snapshot(ctx)
		if err != nil {
			return err
		}
		if d.isJulia() {
			in.OpenJulia = append(in.OpenJulia, snap)
		}
		if snap.Unsaved {
			in.Unsaved = append(in.Unsaved, snap)
		}
	}
	in.Folders = w.paths()
	in.Settings = w.settings.wait
	return nil
}

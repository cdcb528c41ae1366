package lsp

import (
	"bytes"
	"context"
	"maps"
	"os"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"juliahub-lsp/commands"
)

// world is what the editor has told us, at one moment. It is immutable: the
// loop replaces it, requests keep the one that they started with.
type world struct {
	docs     map[string]*document // open documents by keyOf(URI)
	folders  []folder
	settings *settings
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

// opening compares a document with its file, once and only if somebody asks:
// reading the disk is no work for the loop.
type opening struct {
	path, text string
	once       sync.Once
	done       chan struct{}
	differs    bool
}

// newOpening starts the comparison in its own goroutine, so that it sees the
// disk as it is about now and not at some later submission.
func (s *Server) newOpening(path, text string) *opening {
	o := &opening{path: path, text: text, done: make(chan struct{})}
	if path == "" {
		o.settle(true)
		return o
	}
	if !s.spawn(func() { o.settle(!sameText(path, text)) }) {
		o.settle(true)
	}
	return o
}

func (o *opening) settle(differs bool) {
	o.once.Do(func() {
		o.differs, o.text = differs, ""
		close(o.done)
	})
}

// settled is an opening that need not look: the editor has just saved.
func settled() *opening {
	o := &opening{done: make(chan struct{})}
	o.settle(false)
	return o
}

// sameText says whether a file holds a text, apart from a byte-order mark and
// the kind of line ends. A file that is not UTF-8, or cannot be read, does not.
func sameText(path, text string) bool {
	raw, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	return utf8.Valid(raw) && plainLines(string(raw)) == plainLines(strings.TrimPrefix(text, "\ufeff"))
}

func plainLines(text string) string {
	if strings.IndexByte(text, '\r') < 0 {
		return text
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
}

// isJulia says whether a document is a Julia program.
func (d *document) isJulia() bool {
	return d.language == "julia" || d.language == "" && isJuliaName(d.uri)
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
	return commands.Document{
		URI: d.uri, Path: d.path, Open: true, Text: d.text,
		Unsaved: d.changed || d.opened.differs,
	}, nil
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

func (s *Server) didOpen(p *didOpenParams) {
	t := p.TextDocument
	d := &document{uri: t.URI, language: t.LanguageID, version: t.Version, text: *t.Text}
	d.path, _ = pathOf(t.URI)
	d.opened = s.newOpening(d.path, d.text)
	s.setWorld(s.world.Load().with(t.URI, d))
	s.diagnostics.touch(d.path)
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
	s.diagnostics.touch(d.path)
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
	d.changed, d.opened = false, settled()
	s.setWorld(w.with(d.uri, &d))
	s.diagnostics.touch(d.path)
}

func (s *Server) didClose(p *didCloseParams) {
	w := s.world.Load()
	old := w.document(p.TextDocument.URI)
	s.setWorld(w.with(p.TextDocument.URI, nil))
	if old != nil {
		s.diagnostics.touch(old.path)
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

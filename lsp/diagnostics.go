package lsp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"

	"juliahub-lsp/commands"
)

// maxMapped is how much of a file that is not open is read to place problems in it.
const maxMapped = 8 << 20

// typingPause is how long changes of a text are gathered before its problems
// are moved to where their lines are now.
const typingPause = 100 * time.Millisecond

// publisher is the one publisher of diagnostics. It sends a file's whole list
// whenever that differs from what was sent last.
type publisher struct {
	s    *Server
	once sync.Once
	wake chan struct{} // holds one wake-up

	mu       sync.Mutex // guards what follows
	problems map[string][]commands.Problem
	dirty    map[string]bool
	pending  bool               // a timer is about to stir
	failing  map[string]failing // by path: where the file's job failed, as last published

	// sent is the loop's own: what the editor shows, by path.
	sent map[string]publication
}

// failing is the line of a failure in the text of now; -1 = that was changed.
type failing struct {
	submission string
	line       int
}

// codeFailed is the code of the problem at a failing line.
const codeFailed = "job-failed"

// noteFailing remembers where the failure of a file is in the text of now.
func (p *publisher) noteFailing(path string, problems, moved []commands.Problem) {
	isFailure := func(problem commands.Problem) bool { return problem.Code == codeFailed && problem.Submission != "" }
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failing, path)
	at := slices.IndexFunc(problems, isFailure)
	if at < 0 {
		return
	}
	now := failing{problems[at].Submission, -1}
	if i := slices.IndexFunc(moved, isFailure); i >= 0 {
		now.line = moved[i].Line
		if moved[i].Message != problems[at].Message { // it was not found, and says so
			now.line = problems[at].Line
		}
	}
	p.failing[path] = now
}

// failingLine returns where the failure of a file was when its diagnostics were
// last published; false if it is not among these.
func (p *publisher) failingLine(path, submission string) (line int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.failing[path]
	return f.line, ok && f.submission == submission
}

type publication struct {
	uri  string
	list []byte
}

func (p *publisher) init(s *Server) {
	p.s, p.wake = s, make(chan struct{}, 1)
	p.problems, p.dirty, p.sent = map[string][]commands.Problem{}, map[string]bool{}, map[string]publication{}
	p.failing = map[string]failing{}
}

// replace replaces all problems of a file; it does not wait.
func (p *publisher) replace(path string, problems []commands.Problem) {
	p.mu.Lock()
	_, had := p.problems[path]
	if len(problems) == 0 {
		delete(p.problems, path)
	} else {
		p.problems[path] = problems
	}
	p.mu.Unlock()
	if had || len(problems) > 0 {
		p.mark(path)
	}
}

// touch says that a file's text may have changed, or the name that the editor
// has for it.
func (p *publisher) touch(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := len(p.dirty)
	for file, problems := range p.problems {
		if file == path || slices.ContainsFunc(problems, func(problem commands.Problem) bool { return explains(path, problem) }) {
			p.dirty[file] = true
		}
	}
	if len(p.dirty) > waiting && !p.pending {
		p.pending = true
		time.AfterFunc(typingPause, p.stir)
	}
}

// explains says whether a problem names a place in a file as an explanation.
func explains(path string, problem commands.Problem) bool {
	return slices.ContainsFunc(problem.Related, func(r commands.Related) bool { return r.Path == path })
}

// mark has a file published at once.
func (p *publisher) mark(path string) {
	p.mu.Lock()
	p.dirty[path] = true
	p.mu.Unlock()
	p.stir()
}

// stir wakes the loop, which the first call starts.
func (p *publisher) stir() {
	p.once.Do(func() { p.s.spawn(p.loop) })
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *publisher) loop() {
	if !p.s.gate.wait(p.s.ctx) {
		return
	}
	for {
		select {
		case <-p.s.ctx.Done():
			return
		case <-p.wake:
		}
		for _, path := range p.takeDirty() {
			p.publish(path)
		}
	}
}

// takeDirty returns the files to be published, in the order of their names.
func (p *publisher) takeDirty() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var paths []string
	for path := range p.dirty {
		paths = append(paths, path)
	}
	p.dirty, p.pending = map[string]bool{}, false
	sort.Strings(paths)
	return paths
}

// publish sends a file's list if the editor shows another.
func (p *publisher) publish(path string) {
	p.mu.Lock()
	problems := p.problems[path]
	p.mu.Unlock()
	place := p.s.placeOf(path)
	if place.doc == nil && isUntitled(path) {
		problems = nil // a buffer that is closed is no more
	}
	last, shown := p.sent[path]
	if shown && last.uri != place.uri {
		p.send(last.uri, nil, []protocol.Diagnostic{})
		shown = false
	}
	list := []protocol.Diagnostic{}
	moved := p.s.session.Remap(path, place.text, problems, p.s.textOf)
	p.noteFailing(path, problems, moved)
	for _, problem := range moved {
		list = append(list, p.s.diagnostic(place, problem))
	}
	for _, found := range p.s.advice.of(path) {
		list = append(list, p.s.diagnostic(place, asProblem(found)))
	}
	raw, err := protocol.Marshal(protocol.PublishDiagnosticsParams{Diagnostics: list})
	if err != nil {
		p.s.log.Error("diagnostics cannot be written", "error", err)
		return
	}
	if shown && bytes.Equal(raw, last.list) || !shown && len(list) == 0 {
		return
	}
	p.send(place.uri, place.doc, list)
	if len(list) == 0 {
		delete(p.sent, path)
	} else {
		p.sent[path] = publication{place.uri, raw}
	}
}

func (p *publisher) send(target string, doc *document, list []protocol.Diagnostic) {
	params := &protocol.PublishDiagnosticsParams{URI: uri.URI(target), Diagnostics: list}
	if doc != nil && p.s.caps.versions {
		params.Version = protocol.NewOptional(int32(doc.version))
	}
	p.s.notify(p.s.client.PublishDiagnostics(context.Background(), params))
}

// place is a file with the text that lines and columns refer to.
type place struct {
	uri    string
	doc    *document // nil if it is not open
	text   string
	starts []int
}

// placeOf finds a file among the open documents, or else on disk.
func (s *Server) placeOf(path string) place { return s.placeIn(s.world.Load(), path) }

func (s *Server) placeIn(w *world, path string) place {
	if doc := w.at(path); doc != nil {
		return place{uri: doc.uri, doc: doc, text: doc.text, starts: lineStarts(doc.text)}
	}
	at := place{uri: uriOf(path)}
	if isUntitled(path) {
		at.uri = path
	} else if file, err := os.Open(path); err == nil {
		raw, _ := io.ReadAll(io.LimitReader(file, maxMapped))
		_ = file.Close()
		at.text = string(raw)
	}
	at.starts = lineStarts(at.text)
	return at
}

// textOf is a file's text as the editor shows it.
func (s *Server) textOf(path string) string { return s.placeOf(path).text }

// diagnostic makes the wire's form of a problem.
func (s *Server) diagnostic(at place, p commands.Problem) protocol.Diagnostic {
	d := protocol.Diagnostic{
		Range:    s.rangeIn(at, p),
		Severity: protocol.DiagnosticSeverity(p.Severity),
		Source:   protocol.NewOptional("JuliaHub"),
	}
	if p.Code != "" {
		d.Code = protocol.String(p.Code)
	}
	message := plain(p.Message)
	for _, r := range p.Related {
		if s.caps.related {
			d.RelatedInformation = append(d.RelatedInformation, protocol.DiagnosticRelatedInformation{
				Location: protocol.Location{URI: uri.URI(s.nameOf(r.Path)), Range: lineRange(r.Line)},
				Message:  plain(r.Message),
			})
		} else {
			message += fmt.Sprintf("\n%s:%d: %s", filepath.Base(r.Path), r.Line+1, plain(r.Message))
		}
	}
	d.Message = protocol.String(message)
	if s.caps.diagnosticData && p.Job != "" {
		if raw, err := payload(map[string]string{"job": p.Job}); err == nil {
			d.Data = protocol.LSPAny(raw)
		}
	}
	return d
}

// nameOf is the URI of a file, as the editor spells it if it is open.
func (s *Server) nameOf(path string) string {
	if doc := s.world.Load().at(path); doc != nil {
		return doc.uri
	}
	return uriOf(path)
}

// rangeIn places a problem in a text. A line beyond its end is its last one.
func (s *Server) rangeIn(at place, p commands.Problem) protocol.Range {
	clamp := func(line int) int { return max(0, min(line, len(at.starts)-1)) }
	first, last := clamp(p.Line), clamp(max(p.Line, p.EndLine))
	if at.doc != nil && strings.HasPrefix(at.text, byteOrderMark) && !p.WholeLine {
		if first == 0 {
			p.Col++
		}
		if last == 0 {
			p.EndCol++
		}
	}
	from := columnIn(lineOf(at.text, at.starts, first), p.Col, s.encoding)
	endLine := lineOf(at.text, at.starts, last)
	to := columnIn(endLine, p.EndCol, s.encoding)
	if p.WholeLine {
		to = columnAt(endLine, len(endLine), s.encoding)
	}
	if last == first {
		to = max(from, to)
	}
	return protocol.Range{
		Start: protocol.Position{Line: uint32(first), Character: uint32(from)},
		End:   protocol.Position{Line: uint32(last), Character: uint32(to)},
	}
}

// columnIn turns a UTF-16 column into the client's, within the line.
func columnIn(line string, column int, to encoding) int {
	return columnAt(line, columnOffset(line, int64(column), utf16Units), to)
}

func lineRange(line int) protocol.Range {
	at := protocol.Position{Line: uint32(max(0, line))}
	return protocol.Range{Start: at, End: at}
}

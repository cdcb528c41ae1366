package lsp

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"

	"juliahub-lsp/commands/lint"
)

// addQuickFixes offers what mends the advice in a range by editing text. What
// would submit something is never a quick fix: those may run unasked.
func (s *Server) addQuickFixes(offer *offered, w *world, p *codeActionParams) {
	path, err := pathOf(p.TextDocument.URI)
	if err != nil || !s.caps.actionLiterals || !offer.wants(protocol.CodeActionKindQuickFix) {
		return
	}
	at := s.placeIn(w, path)
	for _, problem := range s.advice.of(path) {
		d := s.diagnostic(at, asProblem(problem))
		if !isGiven(p, d) {
			continue
		}
		for _, fix := range problem.Fixes {
			if edit, ok := s.workspaceEdit(w, fix.Edits); ok {
				offer.actions = append(offer.actions, &protocol.CodeAction{
					Title: fix.Title, Kind: ptr(protocol.CodeActionKindQuickFix), Diagnostics: []protocol.Diagnostic{d}, Edit: edit,
				})
			}
		}
	}
}

// addBundleFixes offers to submit as an appbundle what a script job would lack.
// It costs money, so it is no quick fix: a person asks for it.
func (s *Server) addBundleFixes(offer *offered, w *world, p *codeActionParams) {
	path, err := pathOf(p.TextDocument.URI)
	if err != nil {
		return
	}
	var mends []protocol.Diagnostic
	title := ""
	at := s.placeIn(w, path)
	for _, problem := range s.advice.of(path) {
		if d := s.diagnostic(at, asProblem(problem)); isGiven(p, d) {
			for _, fix := range problem.Fixes {
				if fix.Command == lint.SubmitAsBundle {
					title, mends = fix.Title+" instead", append(mends, d)
				}
			}
		}
	}
	if len(mends) > 0 {
		offer.addFor(mends, title, "juliahub.submitAppBundle", kindJob+".submit.appbundle", map[string]any{"uri": p.TextDocument.URI}, "")
	}
}

// isGiven says whether a request is about a diagnostic: the client names it, or,
// asked by a person, its range touches it.
func isGiven(p *codeActionParams, d protocol.Diagnostic) bool {
	named := slices.ContainsFunc(p.Context.Diagnostics, func(raw jsontext.Value) bool {
		var given struct {
			Message string `json:"message"`
			Range   span   `json:"range"`
		}
		if json.Unmarshal(raw, &given, lenient) != nil {
			return false
		}
		message, _ := d.Message.(protocol.String)
		return given.Message == string(message) && given.Range.Start.Line == int64(d.Range.Start.Line)
	})
	if named || p.Context.TriggerKind == triggerAutomatic {
		return named
	}
	return p.Range.Start.Line <= int64(d.Range.End.Line) && p.Range.End.Line >= int64(d.Range.Start.Line)
}

// workspaceEdit makes the wire's form of edits; false if the client cannot do them.
func (s *Server) workspaceEdit(w *world, edits []lint.Edit) (*protocol.WorkspaceEdit, bool) {
	if len(edits) == 0 {
		return nil, false
	}
	changes := map[uri.URI][]protocol.TextEdit{}
	for _, e := range edits {
		if e.Append && !w.has(e.File) {
			if !s.caps.createFiles || len(edits) > 1 {
				return nil, false
			}
			return newFileEdit(e), true
		}
		at := s.placeIn(w, e.File)
		name := uri.URI(at.uri)
		changes[name] = append(changes[name], s.textEdit(at, e))
	}
	return &protocol.WorkspaceEdit{Changes: changes}, true
}

func (s *Server) textEdit(at place, e lint.Edit) protocol.TextEdit {
	if !e.Append {
		p := lint.Problem{Line: e.Line, Col: e.Col, EndLine: e.EndLine, EndCol: e.EndCol}
		return protocol.TextEdit{Range: s.rangeIn(at, asProblem(p)), NewText: e.NewText}
	}
	last := len(at.starts) - 1
	line := lineOf(at.text, at.starts, last)
	text := e.NewText + "\n"
	if line != "" {
		text = "\n" + text
	}
	end := protocol.Position{Line: uint32(last), Character: uint32(columnAt(line, len(line), s.encoding))}
	return protocol.TextEdit{Range: protocol.Range{Start: end, End: end}, NewText: text}
}

// newFileEdit creates a file with one line.
func newFileEdit(e lint.Edit) *protocol.WorkspaceEdit {
	name := uri.URI(uriOf(e.File))
	return &protocol.WorkspaceEdit{DocumentChanges: []protocol.DocumentChange{
		&protocol.CreateFile{Kind: "create", URI: name, Options: &protocol.CreateFileOptions{IgnoreIfExists: ptr(true)}},
		&protocol.TextDocumentEdit{
			TextDocument: protocol.OptionalVersionedTextDocumentIdentifier{TextDocumentIdentifier: protocol.TextDocumentIdentifier{URI: name}},
			Edits:        []protocol.TextDocumentEditElement{&protocol.TextEdit{NewText: e.NewText + "\n"}},
		},
	}}
}

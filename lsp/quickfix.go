package lsp

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"

	"juliahub-lsp/commands/lint"
)

// addQuickFixes offers what mends the advice in a range by editing text, or by
// letting Julia write a manifest. What would submit something is never a quick
// fix: those may run unasked.
func (s *Server) addQuickFixes(offer *offered, w *world, p *codeActionParams) {
	if !offer.wants(protocol.CodeActionKindQuickFix) {
		return
	}
	s.eachFix(w, p, func(d protocol.Diagnostic, fix lint.Fix) {
		switch {
		case fix.Command == lint.ResolveManifest:
			args := map[string]any{"uri": p.TextDocument.URI}
			if fix.Julia != "" {
				args["julia"] = fix.Julia
			}
			offer.addFor([]protocol.Diagnostic{d}, fix.Title, commandResolve, protocol.CodeActionKindQuickFix, args, "")
		case s.caps.actionLiterals:
			if edit, ok := s.workspaceEdit(w, fix.Edits); ok {
				offer.actions = append(offer.actions, &protocol.CodeAction{
					Title: fix.Title, Kind: ptr(protocol.CodeActionKindQuickFix), Diagnostics: []protocol.Diagnostic{d}, Edit: edit,
				})
			}
		}
	})
}

// commandResolve lets the Julia of this computer write a manifest.
const commandResolve = "juliahub.resolveManifest"

// eachFix visits the fixes of all advice that a request is about.
func (s *Server) eachFix(w *world, p *codeActionParams, visit func(protocol.Diagnostic, lint.Fix)) {
	path, err := pathOf(p.TextDocument.URI)
	if err != nil {
		return
	}
	found := s.advice.of(path)
	if len(found) == 0 {
		return
	}
	at := s.placeIn(w, path)
	for _, problem := range found {
		if d := s.diagnostic(at, asProblem(problem)); isGiven(p, d) {
			for _, fix := range problem.Fixes {
				visit(d, fix)
			}
		}
	}
}

// addSubmitFixes offers to submit in another way what would lack something. It
// costs money, so it is no quick fix: a person asks for it.
func (s *Server) addSubmitFixes(offer *offered, w *world, p *codeActionParams) {
	mends := map[lint.Command][]protocol.Diagnostic{}
	titles := map[lint.Command]string{}
	s.eachFix(w, p, func(d protocol.Diagnostic, fix lint.Fix) {
		mends[fix.Command], titles[fix.Command] = append(mends[fix.Command], d), fix.Title
	})
	for _, how := range []lint.Command{lint.SubmitAsBundle, lint.WithoutManifest} {
		if title, ok := titles[how]; ok {
			s.addSubmitFix(offer, w, p.TextDocument.URI, how, title, mends[how])
		}
	}
}

// addSubmitFix offers one of them: for a script, or at a project's file for the
// open scripts of that project.
func (s *Server) addSubmitFix(offer *offered, w *world, uri string, how lint.Command, title string, mends []protocol.Diagnostic) {
	const script, bundled = kindJob + ".submit.script", kindJob + ".submit.appbundle"
	if w.isJulia(uri) {
		offer.addFor(mends, title+" instead", commandBundle, bundled, map[string]any{"uri": uri}, "")
		return
	}
	path, err := pathOf(uri)
	if err != nil {
		return
	}
	scripts := s.advice.scriptsOf(filepath.Dir(path))
	if len(scripts) == 0 {
		offer.addFor(mends, title, commandScript, script, map[string]any{"uri": uri}, "open the script that is to be submitted")
	}
	for _, open := range scripts {
		command, kind, args := commandScript, script, map[string]any{"uri": s.nameOf(open.path)}
		if how == lint.WithoutManifest {
			args["withoutManifest"] = true
		}
		if how == lint.SubmitAsBundle || open.way == wayBundle {
			command, kind = commandBundle, bundled
		}
		offer.addFor(mends, fmt.Sprintf("%s: %s", title, plain(filepath.Base(open.path))), command, kind, args, "")
	}
}

// The commands that submit.
const (
	commandScript = "juliahub.submitScript"
	commandBundle = "juliahub.submitAppBundle"
)

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
		if !e.Fits(at.text) {
			return nil, false // typed over since: there will be another advice soon
		}
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
	end := protocol.Position{Line: uint32(last), Character: uint32(columnAt(line, len(line), s.encoding))}
	return protocol.TextEdit{Range: protocol.Range{Start: end, End: end}, NewText: lint.Appended(at.text, e.NewText)}
}

// newFileEdit creates a file with one line.
func newFileEdit(e lint.Edit) *protocol.WorkspaceEdit {
	name := uri.URI(uriOf(e.File))
	return &protocol.WorkspaceEdit{DocumentChanges: []protocol.DocumentChange{
		&protocol.CreateFile{Kind: "create", URI: name, Options: &protocol.CreateFileOptions{IgnoreIfExists: ptr(true)}},
		&protocol.TextDocumentEdit{
			TextDocument: protocol.OptionalVersionedTextDocumentIdentifier{TextDocumentIdentifier: protocol.TextDocumentIdentifier{URI: name}},
			Edits:        []protocol.TextDocumentEditElement{&protocol.TextEdit{NewText: lint.Appended("", e.NewText)}},
		},
	}}
}

package lsptest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// This file holds the server to the editor's capabilities: what was not
// announced must not come, whatever this editor could make of it.

// announced returns what the editor announced at a path, nil if nothing.
func (e *Editor) announced(path string) any {
	var at any = e.capabilities
	for _, name := range strings.Split(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[name]
	}
	return at
}

// knows says whether the editor announced something: true, or more than nothing.
func (e *Editor) knows(path string) bool {
	switch v := e.announced(path).(type) {
	case bool:
		return v
	default:
		return v != nil
	}
}

// knowsOf says whether a list that the editor announced has a member.
func (e *Editor) knowsOf(path, member string) bool {
	list, _ := e.announced(path).([]any)
	return slices.Contains(list, any(member))
}

// capabilityOf are the requests and notifications that take a capability.
var capabilityOf = map[string]string{
	"workspace/configuration":        "workspace.configuration",
	"workspace/codeLens/refresh":     "workspace.codeLens.refreshSupport",
	"workspace/applyEdit":            "workspace.applyEdit",
	"window/showDocument":            "window.showDocument.support",
	"window/workDoneProgress/create": "window.workDoneProgress",
	"juliahub/jobDidChange":          "experimental.juliahub",
	"juliahub/statusDidChange":       "experimental.juliahub",
}

// mayCome complains of a message that takes a capability which the editor lacks.
func (e *Editor) mayCome(m message) {
	if needs := capabilityOf[m.Method]; needs != "" && !e.knows(needs) {
		e.violation("%s without %s", m.Method, needs)
	}
	switch m.Method {
	case "client/registerCapability":
		var p struct{ Registrations []Registration }
		e.decode(m, &p)
		for _, r := range p.Registrations {
			if needs := strings.ReplaceAll(r.Method, "/", ".") + ".dynamicRegistration"; !e.knows(needs) {
				e.violation("%s registered without %s", r.Method, needs)
			}
		}
	case "textDocument/publishDiagnostics":
		e.mayPublish(m)
	}
}

// mayPublish complains of diagnostics with members that the editor does not know.
func (e *Editor) mayPublish(m message) {
	var p struct {
		Version     json.RawMessage
		Diagnostics []map[string]json.RawMessage
	}
	e.decode(m, &p)
	all := []map[string]json.RawMessage{{"version": p.Version}}
	for _, d := range append(all, p.Diagnostics...) {
		for member, needs := range map[string]string{
			"version": "versionSupport", "relatedInformation": "relatedInformation", "data": "dataSupport",
			"codeDescription": "codeDescriptionSupport", "tags": "tagSupport",
		} {
			if d[member] != nil && !e.knows("textDocument.publishDiagnostics."+needs) {
				e.violation("diagnostics with %s without %s", member, needs)
			}
		}
		if bytes.HasPrefix(d["message"], []byte("{")) && !e.knows("textDocument.diagnostic.markupMessageSupport") {
			e.violation("a diagnostic whose message is not a string")
		}
	}
}

// mayAnswer complains of an answer with members that the editor does not know.
func (e *Editor) mayAnswer(method string, result json.RawMessage) {
	switch method {
	case "textDocument/codeAction":
		var actions []struct {
			Command  json.RawMessage
			Disabled json.RawMessage
			Data     json.RawMessage
			Edit     *struct {
				DocumentChanges []struct{ Kind string }
			}
		}
		_ = json.Unmarshal(result, &actions) // whoever asked says what is wrong with it
		for _, a := range actions {
			isCommand := bytes.HasPrefix(a.Command, []byte(`"`))
			if !isCommand && !e.knows("textDocument.codeAction.codeActionLiteralSupport") {
				e.violation("a code action that is more than a command")
			}
			if a.Disabled != nil && !e.knows("textDocument.codeAction.disabledSupport") {
				e.violation("a disabled code action")
			}
			if a.Edit != nil {
				e.mayEdit(a.Edit.DocumentChanges)
			}
		}
	case "textDocument/hover":
		var hover struct{ Contents struct{ Kind string } }
		_ = json.Unmarshal(result, &hover) // another form of contents has no kind
		if kind := hover.Contents.Kind; kind != "" && !e.knowsOf("textDocument.hover.contentFormat", kind) {
			e.violation("a hover in the format %s", kind)
		}
	case "textDocument/completion":
		e.mayComplete(result)
	}
}

func (e *Editor) mayEdit(changes []struct{ Kind string }) {
	for _, c := range changes {
		switch {
		case c.Kind != "" && !e.knowsOf("workspace.workspaceEdit.resourceOperations", c.Kind):
			e.violation("an edit with the operation %q", c.Kind)
		case c.Kind == "" && !e.knows("workspace.workspaceEdit.documentChanges") && !e.knows("workspace.workspaceEdit.resourceOperations"):
			e.violation("an edit with documentChanges")
		}
	}
}

func (e *Editor) mayComplete(result json.RawMessage) {
	type item struct {
		InsertTextFormat int
		TextEdit         struct{ Insert json.RawMessage }
		Documentation    json.RawMessage
		Tags             json.RawMessage
		CommitCharacters json.RawMessage
	}
	var items []item
	if json.Unmarshal(result, &items) != nil {
		var list struct{ Items []item }
		_ = json.Unmarshal(result, &list) // whoever asked says what is wrong with it
		items = list.Items
	}
	const of = "textDocument.completion.completionItem."
	for _, i := range items {
		switch {
		case i.InsertTextFormat == 2 && !e.knows(of+"snippetSupport"):
			e.violation("a completion that is a snippet")
		case i.TextEdit.Insert != nil && !e.knows(of+"insertReplaceSupport"):
			e.violation("a completion that inserts or replaces")
		case bytes.HasPrefix(i.Documentation, []byte("{")) && !e.knows(of+"documentationFormat"):
			e.violation("a completion whose documentation is not a string")
		case i.Tags != nil && !e.knows(of+"tagSupport"):
			e.violation("a completion with tags")
		case i.CommitCharacters != nil && !e.knows(of+"commitCharactersSupport"):
			e.violation("a completion with commit characters")
		}
	}
}

package lsptest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// OpenBuffer opens a document.
func (e *Editor) OpenBuffer(uri, language, text string) {
	e.mu.Lock()
	e.versions[uri], e.texts[uri] = 1, text
	e.mu.Unlock()
	e.Notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": uri, "languageId": language, "version": 1, "text": text,
	}})
}

// SetBuffer replaces a document's whole text.
func (e *Editor) SetBuffer(uri, text string) {
	e.Change(uri, map[string]any{"text": text})
	e.mu.Lock()
	e.texts[uri] = text
	e.mu.Unlock()
}

// EditBuffer replaces a range of a document.
func (e *Editor) EditBuffer(uri string, r Range, text string) {
	e.Change(uri, map[string]any{"range": r, "text": text})
}

// Change sends content changes as they are.
func (e *Editor) Change(uri string, changes ...map[string]any) {
	e.mu.Lock()
	e.versions[uri]++
	version := e.versions[uri]
	e.mu.Unlock()
	e.Notify("textDocument/didChange", map[string]any{
		"textDocument": map[string]any{"uri": uri, "version": version}, "contentChanges": changes,
	})
}

// SaveBuffer says that a document was saved.
func (e *Editor) SaveBuffer(uri string) {
	e.Notify("textDocument/didSave", map[string]any{"textDocument": map[string]any{"uri": uri}})
}

// CloseBuffer closes a document.
func (e *Editor) CloseBuffer(uri string) {
	e.Notify("textDocument/didClose", map[string]any{"textDocument": map[string]any{"uri": uri}})
}

// Action is a code action, or a command where the editor knows no more.
type Action struct {
	Title    string `json:"title"`
	Kind     string `json:"kind"`
	Disabled *struct {
		Reason string `json:"reason"`
	} `json:"disabled"`
	IsPreferred bool            `json:"isPreferred"`
	Command     json.RawMessage `json:"command"`
	Arguments   []any           `json:"arguments"`
	Edit        json.RawMessage `json:"edit"`
}

// Lens is a code lens.
type Lens struct {
	Range   Range    `json:"range"`
	Command *Command `json:"command"`
}

// Command is a command to be executed.
type Command struct {
	Title     string            `json:"title"`
	Command   string            `json:"command"`
	Arguments []json.RawMessage `json:"arguments"`
}

// Actions asks for the code actions of a range, with a context's members.
func (e *Editor) Actions(uri string, r Range, context map[string]any) []Action {
	e.t.Helper()
	if context == nil {
		context = map[string]any{}
	}
	if context["diagnostics"] == nil {
		context["diagnostics"] = []any{}
	}
	var actions []Action
	e.Call("textDocument/codeAction", map[string]any{
		"textDocument": map[string]any{"uri": uri}, "range": r, "context": context,
	}, &actions)
	return actions
}

// AwaitAction asks for the actions of a document until one has a title.
func (e *Editor) AwaitAction(uri, title string) {
	e.t.Helper()
	e.ask(fmt.Sprintf("action %q on %s", title, uri), func() bool {
		return slices.ContainsFunc(e.Actions(uri, Range{}, nil), func(a Action) bool { return a.Title == title && a.Disabled == nil })
	})
}

// AwaitLens asks for the lenses of a document until the title of one begins so.
func (e *Editor) AwaitLens(uri, title string) {
	e.t.Helper()
	e.ask(fmt.Sprintf("lens %q on %s", title, uri), func() bool {
		return slices.ContainsFunc(e.Lenses(uri), func(l Lens) bool { return strings.HasPrefix(l.Command.Title, title) })
	})
}

// AwaitLenses asks for the lenses of a document until their titles, joined by a
// dot, are these.
func (e *Editor) AwaitLenses(uri, want string) {
	e.t.Helper()
	var got string
	e.ask(fmt.Sprintf("lenses %q on %s", want, uri), func() bool {
		var titles []string
		for _, l := range e.Lenses(uri) {
			titles = append(titles, l.Command.Title)
		}
		got = strings.Join(titles, " · ")
		return got == want
	})
}

// AwaitNoLens asks for the lenses of a document until it has none.
func (e *Editor) AwaitNoLens(uri string) {
	e.t.Helper()
	e.ask("lens any more on "+uri, func() bool { return len(e.Lenses(uri)) == 0 })
}

// ask asks again and again until the answer is there.
func (e *Editor) ask(what string, answered func() bool) {
	e.t.Helper()
	timeout := time.NewTimer(Timeout)
	defer timeout.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !answered() {
		select {
		case <-again.C:
		case <-timeout.C:
			e.t.Fatalf("no %s\n%s", what, e.Dump())
			return
		}
	}
}

// Lenses asks for the code lenses of a document.
func (e *Editor) Lenses(uri string) []Lens {
	e.t.Helper()
	var lenses []Lens
	e.Call("textDocument/codeLens", map[string]any{"textDocument": map[string]any{"uri": uri}}, &lenses)
	return lenses
}

// Execute executes a command with one argument, or none if that is nil.
func (e *Editor) Execute(command string, argument, result any) {
	e.t.Helper()
	e.Call("workspace/executeCommand", executeParams(command, argument), result)
}

// TryExecute is Execute for commands that may fail.
func (e *Editor) TryExecute(command string, argument, result any) error {
	return e.Try("workspace/executeCommand", executeParams(command, argument), result)
}

// StartExecute executes a command without waiting.
func (e *Editor) StartExecute(command string, argument any) *Pending {
	return e.Start("workspace/executeCommand", executeParams(command, argument))
}

func executeParams(command string, argument any) map[string]any {
	params := map[string]any{"command": command}
	if argument != nil {
		params["arguments"] = []any{argument}
	}
	return params
}

// Do picks the action with a title and executes it, as a person would.
func (e *Editor) Do(uri, title string, result any) {
	e.t.Helper()
	for _, a := range e.Actions(uri, Range{}, nil) {
		if a.Title != title || a.Disabled != nil {
			continue
		}
		var c Command
		if json.Unmarshal(a.Command, &c) != nil {
			break
		}
		e.Call("workspace/executeCommand", map[string]any{"command": c.Command, "arguments": c.Arguments}, result)
		return
	}
	e.t.Fatalf("no action %q on %s\n%s", title, uri, e.Dump())
}

// CancelWork cancels the progress with a title, as a person would.
func (e *Editor) CancelWork(title string) {
	e.t.Helper()
	now := e.State()
	w := now.FindWork(title)
	if w == nil {
		e.t.Fatalf("no progress %q to cancel\n%s", title, e.Dump())
		return
	}
	e.Notify("window/workDoneProgress/cancel", map[string]any{"token": json.RawMessage(w.Token)})
}

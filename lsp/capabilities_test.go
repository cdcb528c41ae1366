package lsp_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// optional are the capabilities that change what the server does. What a client
// does not announce is not used (the fake editor sees to that), and something
// plainer takes its place, to which the journey below holds the server.
var optional = []string{
	"window.workDoneProgress", "window.showDocument", "workspace.configuration", "workspace.didChangeConfiguration",
	"workspace.didChangeWatchedFiles", "workspace.codeLens", "textDocument.codeAction.codeActionLiteralSupport",
	"textDocument.codeAction.disabledSupport", "textDocument.publishDiagnostics.relatedInformation",
	"textDocument.publishDiagnostics.versionSupport", "textDocument.publishDiagnostics.dataSupport", "textDocument.publishDiagnostics",
	"textDocument.hover", "textDocument.completion", "textDocument.synchronization", "general.positionEncodings", "general",
	"workspace.workspaceFolders", "workspace.executeCommand", "window.showMessage", "workspace", "window", "textDocument", "experimental",
}

// everything are the capabilities of an editor that has all of them, and more
// than the server makes use of.
func everything() map[string]any {
	caps := plugin()
	of := func(name string) map[string]any { return caps[name].(map[string]any) }
	of("textDocument")["hover"] = map[string]any{"contentFormat": []string{"markdown", "plaintext"}}
	of("textDocument")["completion"] = map[string]any{"completionItem": map[string]any{"snippetSupport": true, "insertReplaceSupport": true}}
	of("textDocument")["synchronization"] = map[string]any{"didSave": true, "dynamicRegistration": true}
	of("textDocument")["codeLens"] = map[string]any{"dynamicRegistration": true}
	of("workspace")["applyEdit"] = true
	of("workspace")["workspaceEdit"] = map[string]any{"documentChanges": true, "resourceOperations": []string{"create"}}
	of("general")["staleRequestSupport"] = map[string]any{"cancel": true, "retryOnContentModified": []string{}}
	return caps
}

// capability looks at a path of capabilities.
func capability(caps map[string]any, path string) any {
	var at any = caps
	for _, name := range strings.Split(path, ".") {
		object, _ := at.(map[string]any)
		at = object[name]
	}
	return at
}

// lacking are capabilities without one of them.
func lacking(caps map[string]any, path string) map[string]any {
	name, rest, deeper := strings.Cut(path, ".")
	caps = maps.Clone(caps)
	if inner, ok := caps[name].(map[string]any); ok && deeper {
		caps[name] = lacking(inner, rest)
	} else {
		delete(caps, name)
	}
	return caps
}

// A person's whole way, by commands alone, in an editor that lacks one capability
// after the other, and in one that announces nothing.
func TestStoryWithoutACapability(t *testing.T) {
	t.Parallel()
	variants := map[string]map[string]any{"nothing lacks": everything(), "everything lacks": {}}
	for _, path := range optional {
		if capability(everything(), path) == nil {
			t.Fatalf("%s is not among the capabilities", path)
		}
		variants["no "+path] = lacking(everything(), path)
	}
	for name, caps := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journey(t, caps)
		})
	}
}

// Kinds of actions are announced to a client that knows kinds.
func TestActionKindsAreAnnounced(t *testing.T) {
	t.Parallel()
	for _, caps := range []map[string]any{everything(), lacking(everything(), "textDocument.codeAction.codeActionLiteralSupport"), {}} {
		d := newDesk(t, nil)
		var result struct {
			Capabilities struct{ CodeActionProvider any }
		}
		e := d.connect(lsptest.Options{})
		e.Call("initialize", map[string]any{"processId": nil, "capabilities": caps}, &result)
		knows := capability(caps, "textDocument.codeAction.codeActionLiteralSupport") != nil
		if got := result.Capabilities.CodeActionProvider; (got == true) == knows || got == nil {
			t.Errorf("knows kinds: %t, told %v", knows, got)
		}
		e.Shutdown()
	}
}

// journey goes from opening the files to a result, and to a failing line.
func journey(t *testing.T, caps map[string]any) {
	release := make(chan struct{})
	d := newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		if s.Code == "boom()\n" {
			s.Print("ERROR: LoadError: boom\nStacktrace:\n [1] f() at /home/jrun/code.jl:1\n [2] top-level scope at /home/jrun/code.jl:1")
			return errors.New("exit status 1")
		}
		s.Print("hello")
		<-release
		return s.Result("answer.txt", []byte("42\n"))
	})
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	hub := d.file("JuliaHub.toml", "[profile.small]\nncpu = 2\n")
	ignore := d.file(".juliabundleignore", "*.log\n")
	uri := d.file("pi.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: caps})
	has := func(path string) bool { return capability(caps, path) != nil }
	e.OpenBuffer(uri, "julia", "1\n")
	e.OpenBuffer(hub, "toml", "[profile.small]\nncpu = 2\n")
	e.OpenBuffer(ignore, "plaintext", "*.log\n")

	// What is shown of the files.
	e.Await(hasCode(ignore, "ignore-dead"))
	var hover struct {
		Contents struct{ Kind, Language, Value string }
	}
	e.Call("textDocument/hover", at(hub, 1, 1), &hover)
	if kind := hover.Contents.Kind; !strings.Contains(hover.Contents.Value, "ncpu") || (kind == "plaintext") != has("textDocument.hover") {
		t.Errorf("hover %+v", hover.Contents)
	}
	if got := labels(e, hub, 1, 1); !slices.Contains(got, "ngpu") {
		t.Errorf("completion %q", got)
	}
	e.AwaitLens(uri, "▶ Submit")
	plain := true
	disabled := 0
	for _, a := range e.Actions(uri, lsptest.Range{End: lsptest.Position{Character: 1}}, nil) {
		plain = plain && strings.HasPrefix(string(a.Command), `"`)
		if a.Disabled != nil {
			disabled++
		}
	}
	literals := has("textDocument.codeAction.codeActionLiteralSupport")
	if plain == literals || (disabled > 0) != (literals && has("textDocument.codeAction.disabledSupport")) {
		t.Errorf("actions: commands alone: %t, %d disabled", plain, disabled)
	}

	// A job, its progress, its log and its result.
	var sub commands.Submission
	e.Execute("juliahub.submitScript", map[string]any{"uri": uri}, &sub)
	e.Await(hasCode(uri, "job-running"))
	if has("window.workDoneProgress") {
		e.Await(lsptest.WorkBegun("pi.jl"))
	} else if !has("experimental.juliahub") {
		e.Await(lsptest.Says("was submitted to JuliaHub as jr-"))
	}
	close(release)
	e.Await(hasCode(uri, "job-completed"))
	var log commands.LogAnswer
	e.Execute("juliahub.logs", map[string]any{"uri": uri, "wait": true, "show": true}, &log)
	if raw, err := os.ReadFile(log.Path); err != nil || !strings.Contains(string(raw), "hello") {
		t.Errorf("the log is %q, %v", raw, err)
	}
	if has("window.showDocument") {
		e.Await(lsptest.Shows("job.log"))
	} else {
		e.Await(lsptest.Says("job.log"))
	}
	var got commands.Downloaded
	e.Execute("juliahub.downloadResults", map[string]any{"uri": uri, "wait": true}, &got)
	if raw, err := os.ReadFile(filepath.Join(got.Dir, "answer.txt")); err != nil || string(raw) != "42\n" {
		t.Errorf("the result is %q, %v", raw, err)
	}
	var known commands.Submissions
	if e.Execute("juliahub.submissions", nil, &known); len(known.Jobs) != 1 || known.Jobs[0].Submission != sub.Submission {
		t.Errorf("submissions %+v", known)
	}

	// What someone else changes on disk is seen, and so is a change of settings.
	d.file("out.log", "now there is one\n")
	e.Await(lacksCode(ignore, "ignore-dead"))
	settings := map[string]any{"juliahub": map[string]any{"codeLens": map[string]any{"enabled": false}}}
	e.SetSettings(settings)
	e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": settings})
	e.AwaitNoLens(uri)

	// A failure stands at its line.
	e.SetBuffer(uri, "boom()\n")
	e.Execute("juliahub.submitScript", map[string]any{"uri": uri}, nil)
	s := e.Await(lsptest.AllOf(lsptest.Diagnosed(uri, 0, "boom"), lsptest.NoWork()))
	for _, x := range s.Diagnostics[uri] {
		var data struct{ Job string }
		if x.Data != nil && json.Unmarshal(x.Data, &data) != nil || (data.Job != "") != has("textDocument.publishDiagnostics.dataSupport") {
			t.Errorf("diagnostic with the data %s", x.Data)
		}
	}
	e.Shutdown()
	used(t, e.State(), has)
}

// used checks what else the editor was told or asked for.
func used(t *testing.T, s lsptest.State, has func(path string) bool) {
	t.Helper()
	registered := func(method string) bool {
		return slices.ContainsFunc(s.Registrations, func(r lsptest.Registration) bool { return r.Method == method })
	}
	for path, seen := range map[string]bool{
		"window.workDoneProgress":                        len(s.Work) > 0,
		"window.showDocument":                            len(s.Shown) > 0,
		"workspace.didChangeConfiguration":               registered("workspace/didChangeConfiguration"),
		"workspace.didChangeWatchedFiles":                registered("workspace/didChangeWatchedFiles"),
		"workspace.codeLens.refreshSupport":              s.LensRefreshes > 0,
		"experimental.juliahub":                          len(s.Jobs) > 0,
		"textDocument.publishDiagnostics.versionSupport": s.Versioned > 0,
	} {
		if seen != has(path) {
			t.Errorf("%s: announced %t, used %t", path, has(path), seen)
		}
	}
}

package lsp_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/lsp/lsptest"
)

// hoverText asks for the hover at a place, "" if there is none.
func hoverText(e *lsptest.Editor, uri string, line, character int) string {
	var hover *struct {
		Contents struct{ Kind, Value string }
	}
	e.Call("textDocument/hover", at(uri, line, character), &hover)
	if hover == nil {
		return ""
	}
	return hover.Contents.Value
}

func labels(e *lsptest.Editor, uri string, line, character int) []string {
	var items []struct{ Label string }
	e.Call("textDocument/completion", at(uri, line, character), &items)
	var all []string
	for _, item := range items {
		all = append(all, item.Label)
	}
	return all
}

func at(uri string, line, character int) map[string]any {
	return map[string]any{"textDocument": map[string]any{"uri": uri}, "position": lsptest.Position{Line: line, Character: character}}
}

func TestAdviceOnHubFile(t *testing.T) {
	d := newDesk(t, nil)
	uri := d.file("JuliaHub.toml", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "toml", "[profile.small]\nncpus = 2\n")
	s := e.Await(lsptest.Diagnosed(uri, 1, "ncpu"))
	given := s.Diagnostics[uri]
	var fix lsptest.Action
	for _, unasked := range []int{1, 2} {
		actions := e.Actions(uri, lsptest.Range{Start: lsptest.Position{Line: 1}, End: lsptest.Position{Line: 1}}, map[string]any{
			"diagnostics": given, "triggerKind": unasked, "only": []string{"quickfix"},
		})
		if len(actions) != 1 || actions[0].Kind != "quickfix" || actions[0].IsPreferred || actions[0].Command != nil {
			t.Fatalf("%+v\n%s", actions, e.Dump())
		}
		fix = actions[0]
	}
	var edit struct {
		Changes map[string][]struct {
			Range   lsptest.Range
			NewText string
		}
	}
	if err := json.Unmarshal(fix.Edit, &edit); err != nil {
		t.Fatal(err)
	}
	changes := edit.Changes[uri]
	if len(changes) != 1 || changes[0].NewText != "ncpu" {
		t.Fatalf("%s", fix.Edit)
	}
	if got := e.Actions(uri, lsptest.Range{}, map[string]any{"triggerKind": 2}); len(got) != 0 {
		t.Errorf("unasked, for no diagnostic: %+v", got)
	}
	if got := e.Actions(uri, changes[0].Range, map[string]any{"only": []string{"source.fixAll"}}); len(got) != 0 {
		t.Errorf("on saving: %+v", got)
	}
	e.EditBuffer(uri, changes[0].Range, changes[0].NewText)
	e.Await(lsptest.Undiagnosed(uri))
	if got := hoverText(e, uri, 1, 1); !strings.Contains(got, "ncpu (integer)") {
		t.Errorf("hover %q", got)
	}
	e.EditBuffer(uri, lsptest.Range{Start: lsptest.Position{Line: 2}, End: lsptest.Position{Line: 2}}, "mem")
	if got := labels(e, uri, 2, 3); !slices.Contains(got, "memory") || slices.Contains(got, "ncpu") {
		t.Errorf("completion %q", got)
	}
	e.CloseBuffer(uri)
	e.Shutdown()
}

func TestAdviceOnIgnoreFile(t *testing.T) {
	d := newDesk(t, nil)
	d.file("Project.toml", "name = \"P\"\n[deps]\n")
	d.file("Manifest.toml", "")
	d.file("data/big.csv", strings.Repeat("1,2\n", 1000))
	d.file("data/more.csv", "1,2\n")
	d.file("src/P.jl", "module P end\n")
	uri := d.file(".juliabundleignore", "*.csv\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "*.csv\n*.nothing\n/data\n")
	e.Await(lsptest.That("a hint at the dead rule", func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return d.Range.Start.Line == 1 })
	}))
	if got := hoverText(e, uri, 0, 2); !strings.HasPrefix(got, "Keeps out 2 files, 4.0 kB.") || !strings.Contains(got, "data/big.csv") {
		t.Errorf("hover %q", got)
	}
	if got := labels(e, uri, 3, 0); !slices.Contains(got, "src/") || !slices.Contains(got, "data/") {
		t.Errorf("completion %q", got)
	}
	if got := lensText(e, uri); !strings.HasPrefix(got, "Bundle: ") || !strings.Contains(got, "files") {
		t.Errorf("lens %q", got)
	}
	e.Do(uri, "Preview bundle", nil)
	e.Await(lsptest.Shows("bundle.txt"))
	e.SetBuffer(uri, "*.csv\n")
	e.Await(lsptest.That("the hint to go", func(s *lsptest.State) bool {
		return !slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return d.Range.Start.Line == 1 })
	}))
	e.CloseBuffer(uri)
	e.Shutdown()
}

func TestAdviceOnScript(t *testing.T) {
	d := newDesk(t, nil)
	uri := d.file("pi.jl", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "x = 1\nENV[\"RESULTS\"] = \"{}\"\n")
	e.Await(lsptest.Diagnosed(uri, 1, "results from a file"))
	for _, a := range e.Actions(uri, lsptest.Range{Start: lsptest.Position{Line: 1}, End: lsptest.Position{Line: 1}}, map[string]any{"only": []string{"quickfix"}}) {
		if a.Command != nil || a.Edit == nil {
			t.Errorf("a quick fix that runs something: %+v", a)
		}
	}
	if got := hoverText(e, uri, 0, 0) + strings.Join(labels(e, uri, 0, 0), ""); got != "" {
		t.Errorf("something is said about Julia code: %q", got)
	}
	e.CloseBuffer(uri)
	e.Await(lsptest.Undiagnosed(uri))
	e.Shutdown()
}

func TestProfilesAreActions(t *testing.T) {
	d := newDesk(t, nil)
	hub := d.file("JuliaHub.toml", "[profile.small]\nncpu = 2\n")
	uri := d.file("pi.jl", "x\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "x\n")
	offered := func(title string) {
		t.Helper()
		e.AwaitAction(uri, title)
	}
	offered("Submit as script, profile small")
	selected := lsptest.Range{End: lsptest.Position{Character: 1}}
	if !slices.ContainsFunc(e.Actions(uri, selected, nil), func(a lsptest.Action) bool {
		return a.Title == "Submit selection as script, profile small" && strings.Contains(string(a.Command), `"profile":"small","range":{`)
	}) {
		t.Error("no selection with a profile")
	}
	e.OpenBuffer(hub, "toml", "[profile.small]\nncpu = 2\n[profile.gpu]\nngpu = 1\n")
	offered("Submit project as appbundle, profile gpu")
	e.Shutdown()
}

// actionsAt are the actions at the first diagnostic with a code, by title.
func actionsAt(e *lsptest.Editor, uri, code string, context map[string]any) map[string]lsptest.Action {
	all := map[string]lsptest.Action{}
	for _, d := range e.State().Diagnostics[uri] {
		if d.Code == code {
			if context == nil {
				context = map[string]any{}
			}
			context["diagnostics"] = []any{d}
			for _, a := range e.Actions(uri, d.Range, context) {
				all[a.Title] = a
			}
			break
		}
	}
	return all
}

// A manifest that is missing, older than its project, or of another Julia is
// resolved by a quick fix, or left here by a submission.
func TestManifestFixes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	const uuid = "7876af07-990d-54b4-ab0e-23690620f79a"
	text := "[deps]\nExample = \"" + uuid + "\"\n"
	project := d.file("Project.toml", text)
	script := d.file("run.jl", "1\n")
	d.file("JuliaHub.toml", "default-profile = \"p\"\n[profile.p]\njulia = \"1.10\"\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(project, "toml", text)
	e.Await(hasCode(project, "no-manifest"))
	for _, context := range []map[string]any{nil, {"only": []string{"quickfix"}}, {"triggerKind": 2}} {
		fix, ok := actionsAt(e, project, "no-manifest", context)["Resolve with Julia 1.10"]
		if !ok || fix.Kind != "quickfix" || fix.IsPreferred || !strings.Contains(string(fix.Command), `"juliahub.resolveManifest"`) || !strings.Contains(string(fix.Command), `"julia":"1.10"`) {
			t.Fatalf("%v: %+v", context, fix)
		}
	}
	if got := actionsAt(e, project, "no-manifest", map[string]any{"only": []string{"source.fixAll"}}); len(got) > 0 {
		t.Errorf("on saving: %v", got)
	}

	manifestText := "julia_version = \"1.9.4\"\nmanifest_format = \"2.0\"\n\n[deps]\n"
	manifest := d.file("Manifest.toml", manifestText)
	e.OpenBuffer(manifest, "toml", manifestText)
	e.SetBuffer(project, text+"\n")
	e.Await(lsptest.AllOf(hasCode(project, "manifest-stale"), hasCode(manifest, "manifest-julia")))
	const without = "Send without a manifest"
	if got := actionsAt(e, manifest, "manifest-julia", nil)[without]; got.Disabled == nil || !strings.Contains(got.Disabled.Reason, "open the script") {
		t.Errorf("%+v", got)
	}
	e.OpenBuffer(script, "julia", "1\n")
	e.AwaitAction(script, "Submit as script, profile p") // the script has been looked at
	for uri, code := range map[string]string{project: "manifest-stale", manifest: "manifest-julia"} {
		actions := actionsAt(e, uri, code, nil)
		if got := actions[without+": run.jl"]; got.Kind != "juliahub.job.submit.script" || got.IsPreferred || !strings.Contains(string(got.Command), `"withoutManifest":true`) {
			t.Errorf("%s: %+v of %v", code, got, actions)
		}
		if actions["Resolve with Julia 1.10"].Kind != "quickfix" {
			t.Errorf("%s: %v", code, actions)
		}
		for _, context := range []map[string]any{{"only": []string{"quickfix"}}, {"triggerKind": 2}} {
			for title, a := range actionsAt(e, uri, code, context) {
				if strings.Contains(string(a.Command), "juliahub.submit") {
					t.Errorf("%v: %s", context, title)
				}
			}
		}
	}

	// There is no Julia at this desk: the fix says so.
	var run lsptest.Command
	if err := json.Unmarshal(actionsAt(e, manifest, "manifest-julia", nil)["Resolve with Julia 1.10"].Command, &run); err != nil {
		t.Fatal(err)
	}
	err := e.Try("workspace/executeCommand", map[string]any{"command": run.Command, "arguments": run.Arguments}, nil)
	if err == nil || !strings.Contains(err.Error(), "no Julia on this computer") {
		t.Errorf("%v", err)
	}
	if err := json.Unmarshal(actionsAt(e, manifest, "manifest-julia", nil)[without+": run.jl"].Command, &run); err != nil {
		t.Fatal(err)
	}
	e.Call("workspace/executeCommand", map[string]any{"command": run.Command, "arguments": run.Arguments}, nil)
	e.Await(lsptest.Says("completed"))
	e.Shutdown()
}

// A file that an edit has to create first: that goes to editors which create
// files for us. Neovim does, and says so without versioned edits.
func TestFixInANewFile(t *testing.T) {
	t.Parallel()
	recorded, err := lsptest.Clients()
	if err != nil {
		t.Fatal(err)
	}
	const uuid = "1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d"
	const fix = "Add .env to .juliabundleignore"
	for name, want := range map[string]bool{"neovim": true, "helix": true, "vscode": true, "eglot": false} {
		d := newDesk(t, nil)
		d.file("p/Project.toml", "[deps]\nNear = \""+uuid+"\"\n")
		d.file("p/Manifest.toml", "manifest_format = \"2.0\"\n[[deps.Near]]\npath = \"../near\"\nuuid = \""+uuid+"\"\nversion = \"0.1.0\"\n")
		near := d.file("near/Project.toml", "name = \"Near\"\nuuid = \""+uuid+"\"\nversion = \"0.1.0\"\n")
		d.file("near/src/Near.jl", "module Near end\n")
		d.file("near/.env", "SECRET=1\n")
		uri := d.file("p/.juliabundleignore", "*.csv\n")
		e := d.editor(lsptest.Options{Capabilities: recorded[name].Capabilities})
		e.OpenBuffer(uri, "plaintext", "*.csv\n")
		s := e.Await(lsptest.That("the secret", func(s *lsptest.State) bool {
			return slices.ContainsFunc(s.Diagnostics[uri], func(d lsptest.Diagnostic) bool { return strings.Contains(d.Message, ".env") })
		}))
		var edit string
		for _, a := range e.Actions(uri, lsptest.Range{}, map[string]any{"diagnostics": s.Diagnostics[uri], "only": []string{"quickfix"}}) {
			if a.Title == fix {
				edit = string(a.Edit)
			}
		}
		file := strings.TrimSuffix(near, "Project.toml") + ".juliabundleignore"
		created := strings.Contains(edit, `"kind":"create"`) && strings.Contains(edit, file) && strings.Contains(edit, `"version":null`) && !strings.Contains(edit, `"changes"`)
		if want && !created || !want && edit != "" {
			t.Errorf("%s: %q", name, edit)
		}
		e.Shutdown()
	}
}

// An editor that knows commands alone gets the fix as one.
func TestManifestFixesAsCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	text := "[deps]\nExample = \"7876af07-990d-54b4-ab0e-23690620f79a\"\n"
	project := d.file("Project.toml", text)
	caps := lsptest.Full()
	delete(caps["textDocument"].(map[string]any), "codeAction")
	e := d.editor(lsptest.Options{Capabilities: caps})
	e.OpenBuffer(project, "toml", text)
	e.Await(hasCode(project, "no-manifest"))
	if got := actionsAt(e, project, "no-manifest", nil)["Resolve with Julia"]; string(got.Command) != `"juliahub.resolveManifest"` || got.Kind != "" {
		t.Errorf("%+v", got)
	}
	e.Shutdown()
}

// A project above the home directory is nobody's: the bundle of a directory
// without one is that directory.
func TestIgnoreFileBelowHome(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	home := filepath.Dir(d.dir)
	if err := os.WriteFile(filepath.Join(filepath.Dir(home), "Project.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.file("a.csv", "1\n")
	d.file("b.csv", "1\n")
	uri := d.file(".juliabundleignore", "a.csv\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "a.csv\n")
	e.AwaitLens(uri, "Bundle: 4 files")
	if got := hoverText(e, uri, 0, 1); !strings.HasPrefix(got, "Keeps out 1 file") {
		t.Errorf("hover %q", got)
	}
	var preview struct{ Root string }
	e.Execute("juliahub.previewBundle", map[string]any{"uri": uri, "wait": true}, &preview)
	if preview.Root != d.dir {
		t.Errorf("the preview is of %q", preview.Root)
	}
	e.Shutdown()
}

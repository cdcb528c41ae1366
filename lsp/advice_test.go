package lsp_test

import (
	"encoding/json"
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
	e.OpenBuffer(hub, "toml", "[profile.small]\nncpu = 2\n[profile.gpu]\nngpu = 1\n")
	offered("Submit project as appbundle, profile gpu")
	e.Shutdown()
}

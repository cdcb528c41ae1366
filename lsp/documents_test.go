package lsp

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp/lsptest"
)

// seen is what a submit command was given.
type seen struct{ commands.Input }

// watching is an editor whose submit command answers with what it was given.
func watching(t *testing.T, options lsptest.Options) (*lsptest.Editor, *running, func(arg any) seen) {
	t.Helper()
	inputs := make(chan commands.Input, 1)
	e, r := open(t, options, func(_ *Server, f *fakeSession) {
		f.do = func(_ context.Context, _ commands.Command, in commands.Input) (any, error) {
			inputs <- in
			return nil, nil
		}
	})
	return e, r, func(arg any) seen {
		t.Helper()
		e.Execute("juliahub.submitScript", arg, nil)
		return seen{<-inputs}
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnsavedDocuments(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b%#é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	crlf := write(t, filepath.Join(dir, "crlf.jl"), "\ufeffx = 1\r\ny = 2\r\n")
	differs := write(t, filepath.Join(dir, "differs.jl"), "x = 1\n")
	latin := write(t, filepath.Join(dir, "latin.jl"), "# \xe9\n")
	never := filepath.Join(dir, "never.jl")
	e, _, submit := watching(t, lsptest.Options{Folders: []string{uriOf(dir)}})

	e.OpenBuffer(uriOf(crlf), "julia", "x = 1\ny = 2\n")
	e.OpenBuffer(uriOf(differs), "julia", "x = 2\n")
	e.OpenBuffer(uriOf(latin), "julia", "# é\n")
	e.OpenBuffer(uriOf(never), "julia", "1")
	e.OpenBuffer("untitled:one", "julia", "1")
	e.OpenBuffer("vscode-remote://host/x.jl", "julia", "1")
	unsaved := func(in seen) []string {
		var names []string
		for _, d := range in.Unsaved {
			names = append(names, strings.TrimPrefix(d.URI[strings.LastIndex(d.URI, "/")+1:], "untitled:"))
		}
		return names
	}
	in := submit(map[string]any{"uri": uriOf(crlf)})
	if got, want := unsaved(in), []string{"differs.jl", "latin.jl", "never.jl", "one"}; !slices.Equal(got, want) {
		t.Errorf("unsaved %v, want %v", got, want)
	}
	if in.File.Path != crlf || !in.File.Open || in.File.Unsaved || len(in.OpenJulia) != 5 || !slices.Equal(in.Folders, []string{dir}) {
		t.Errorf("%+v", in)
	}

	e.EditBuffer(uriOf(crlf), lsptest.Range{End: lsptest.Position{Character: 1}}, "z")
	e.SaveBuffer(uriOf(differs))
	e.SaveBuffer(uriOf(never))
	in = submit(map[string]any{"uri": uriOf(crlf)})
	if got, want := unsaved(in), []string{"crlf.jl", "latin.jl", "one"}; !slices.Equal(got, want) {
		t.Errorf("unsaved %v, want %v", got, want)
	}
	if in.File.Text != "z = 1\ny = 2\n" || !in.File.Unsaved {
		t.Errorf("%+v", in.File)
	}

	if in.File.DiskChanged {
		t.Error("nobody changed the file")
	}
	write(t, crlf, "someone = else\n")
	if in = submit(map[string]any{"uri": uriOf(crlf)}); !in.File.DiskChanged {
		t.Error("the change of the file was not seen")
	}
	e.SaveBuffer(uriOf(crlf))
	e.EditBuffer(uriOf(crlf), lsptest.Range{}, "a")
	if in = submit(map[string]any{"uri": uriOf(crlf)}); in.File.DiskChanged || !in.File.Unsaved {
		t.Errorf("saved, then changed: %+v", in.File)
	}

	e.SaveBuffer(uriOf(crlf))
	e.CloseBuffer(uriOf(latin))
	in = submit(map[string]any{"uri": uriOf(latin)})
	if got, want := unsaved(in), []string{"one"}; !slices.Equal(got, want) {
		t.Errorf("unsaved %v, want %v", got, want)
	}
	if in.File.Open || in.File.Path != latin || in.File.Text != "" {
		t.Errorf("%+v", in.File)
	}
	// A change of what is not open, and one beyond the text, do no harm.
	e.SetBuffer("file:///not/open.jl", "1")
	e.EditBuffer("untitled:one", lsptest.Range{Start: lsptest.Position{Line: 70}, End: lsptest.Position{Line: 80}}, "2")
	if in = submit(map[string]any{"uri": "untitled:one"}); in.File.Text != "12" || in.File.Path != "" {
		t.Errorf("%+v", in.File)
	}
}

// A client that does not tell of its savings leaves every document that was ever
// edited changed: what it wrote is no one else's change, and nothing to ask about.
func TestSavedWithoutAWord(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "pi.jl"), "\ufeffx = 1\r\n")
	e, _, submit := watching(t, lsptest.Options{Capabilities: map[string]any{}})
	uri := uriOf(path)
	e.OpenBuffer(uri, "julia", "x = 1\n")
	e.SetBuffer(uri, "x = 22\n")
	if in := submit(map[string]any{"uri": uri}); !in.File.Unsaved || in.File.DiskChanged {
		t.Errorf("edited: %+v", in.File)
	}
	write(t, path, "\ufeffx = 22\r\n")
	if in := submit(map[string]any{"uri": uri}); in.File.Unsaved || in.File.DiskChanged || len(in.Unsaved) > 0 {
		t.Errorf("saved: %+v", in.File)
	}
	e.SetBuffer(uri, "x = 3\n") // the next one counts from what was saved
	if in := submit(map[string]any{"uri": uri}); !in.File.Unsaved || in.File.DiskChanged {
		t.Errorf("edited again: %+v", in.File)
	}
	write(t, path, "x = 4\n")
	if in := submit(map[string]any{"uri": uri}); !in.File.Unsaved || !in.File.DiskChanged {
		t.Errorf("changed by someone else: %+v", in.File)
	}
}

// Documents come and go in any order.
func TestOddOrder(t *testing.T) {
	e, r, submit := watching(t, lsptest.Options{})
	const uri = "untitled:one"
	text := func() string { t.Helper(); return submit(map[string]any{"uri": uri}).File.Text }
	e.CloseBuffer(uri)
	e.SaveBuffer(uri)
	e.OpenBuffer(uri, "julia", "first")
	e.OpenBuffer(uri, "julia", "second")
	if got := text(); got != "second" {
		t.Errorf("opened twice: %q", got)
	}
	e.Change(uri) // no change at all
	e.Change(uri, map[string]any{"text": "a\nb\n"}, map[string]any{"range": lsptest.Range{}, "text": "x"}, map[string]any{"range": lsptest.Range{End: lsptest.Position{Character: 1}}, "text": ""})
	if got := text(); got != "a\nb\n" {
		t.Errorf("changes at once: %q", got)
	}
	e.EditBuffer(uri, lsptest.Range{Start: lsptest.Position{Line: 1, Character: 1}, End: lsptest.Position{Character: 1}}, "-")
	if got := text(); got != "a-\n" {
		t.Errorf("a range that ends before it begins: %q", got)
	}
	e.Notify("textDocument/didSave", map[string]any{"textDocument": map[string]any{"uri": uri}, "text": "saved"})
	if got := text(); got != "saved" {
		t.Errorf("saved with its text: %q", got)
	}
	e.CloseBuffer(uri)
	e.CloseBuffer(uri)
	e.SetBuffer(uri, "late")
	if err := e.TryExecute("juliahub.submitScript", map[string]any{"uri": uri}, nil); code(err) != -32602 {
		t.Errorf("closed: %v", err)
	}
	e.Notify("notebookDocument/didOpen", map[string]any{"notebookDocument": map[string]any{"uri": "file:///a.ipynb"}, "cellTextDocuments": []any{}})
	if got := e.Lenses("file:///x.jl"); len(got) == 0 {
		t.Error("no lenses after all that")
	}
	e.Shutdown()
	r.exit(t, 0)
}

func TestSelectionInTheClientsEncoding(t *testing.T) {
	caps := lsptest.Full()
	caps["general"] = map[string]any{"positionEncodings": []string{"utf-8", "utf-16"}}
	e, _, submit := watching(t, lsptest.Options{Capabilities: caps})
	e.OpenBuffer("untitled:one", "julia", "x = 𝒻(é)\ny")
	in := submit(map[string]any{"uri": "untitled:one", "range": lsptest.Range{End: lsptest.Position{Line: 0, Character: 12}}})
	if got := in.Args.(*commands.SubmitArgs).Range.End; got != (commands.Position{Line: 0, Character: 9}) {
		t.Errorf("the selection ends at %v", got)
	}
	e.EditBuffer("untitled:one", lsptest.Range{Start: lsptest.Position{Character: 8}, End: lsptest.Position{Character: 8}}, "!")
	if in = submit(map[string]any{"uri": "untitled:one"}); in.File.Text != "x = 𝒻!(é)\ny" {
		t.Errorf("%q", in.File.Text)
	}
}

func TestArguments(t *testing.T) {
	e, _, submit := watching(t, lsptest.Options{})
	for _, bad := range []any{
		map[string]any{"url": "file:///x.jl"}, map[string]any{"URI": "file:///x.jl"}, map[string]any{"uri": 5}, "file:///x.jl", []any{}, 5, true,
		map[string]any{"uri": "vscode-remote://ssh-remote%2Bhost/x.jl"}, map[string]any{"uri": "untitled:not open"}, map[string]any{"uri": "%zz"},
		map[string]any{"uri": "file:///x.jl", "range": map[string]any{"start": 1}},
	} {
		err := e.TryExecute("juliahub.submitScript", bad, nil)
		if code(err) != -32602 || !strings.Contains(err.Error(), " ") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	for command, said := range map[string]string{ // what was meant, and what there is
		"juliahub.submitscript": `did you mean "juliahub.submitScript"?`, "juliahub.log": `did you mean "juliahub.logs"?`, "other.thing": `"other.thing" is not a command of this server`,
	} {
		if err := e.TryExecute(command, nil, nil); code(err) != -32602 || !strings.HasSuffix(err.Error(), said) {
			t.Errorf("%s: %v", command, err)
		}
	}
	for member, said := range map[string]string{
		"profil": `did you mean "profile"?: it takes uri, range, profile, settings`, "Uri": `did you mean "uri"?`, "colour": `has no member "colour": it takes uri, range`,
	} {
		if err := e.TryExecute("juliahub.submitScript", map[string]any{member: 1}, nil); code(err) != -32602 || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", member, err)
		}
	}
	for _, params := range []map[string]any{
		{"command": "juliahub.none"},
		{"command": "juliahub.submitScript", "arguments": map[string]any{}},
		{"command": "juliahub.submitScript", "arguments": []any{[]any{}}},
		{"command": "juliahub.submitScript", "arguments": []any{map[string]any{"range": map[string]any{"start": map[string]any{"lin": 1}}}}},
		{"command": "juliahub.logs", "arguments": []any{map[string]any{}, map[string]any{}}},
		{"command": "juliahub.logs", "arguments": []any{nil}},
	} {
		if got := code(e.Try("workspace/executeCommand", params, nil)); got != -32602 {
			t.Errorf("%v: code %d", params, got)
		}
	}
	if in := submit(nil); in.File != nil || !in.Show {
		t.Errorf("%+v", in)
	}
	if in := submit(map[string]any{"show": false, "settings": map[string]any{"ncpu": 4}}); in.Show {
		t.Errorf("%+v", in)
	}
}

// Nothing said is nothing said, however a client writes that.
func TestNoArguments(t *testing.T) {
	inputs := make(chan commands.Input, 1)
	e, _ := open(t, lsptest.Options{}, func(_ *Server, f *fakeSession) {
		f.do = func(_ context.Context, _ commands.Command, in commands.Input) (any, error) {
			inputs <- in
			return nil, nil
		}
	})
	for _, arguments := range []string{"null", "[]", "[{}]", `[{"uri":"","range":null,"show":null,"wait":null,"settings":null}]`} {
		e.Call("workspace/executeCommand", map[string]any{"command": "juliahub.submitScript", "arguments": json.RawMessage(arguments)}, nil)
		if in := <-inputs; in.File != nil || !in.Show || in.Args.(*commands.SubmitArgs).Range != nil {
			t.Errorf("%s: %+v", arguments, in)
		}
	}
}

func TestFolders(t *testing.T) {
	_, r, _ := watching(t, lsptest.Options{Folders: []string{"file:///a", "vscode-vfs://github/x"}})
	e := r.server
	e.didChangeFolders(&didChangeFoldersParams{})
	p := &didChangeFoldersParams{}
	p.Event.Added = []workspaceFolder{{URI: "file:///b"}, {URI: "file:///b"}, {URI: "file:///c%20d"}}
	p.Event.Removed = []workspaceFolder{{URI: "file:///a/"}}
	e.didChangeFolders(p)
	if got, want := e.world.Load().paths(), []string{filepath.FromSlash("/b"), filepath.FromSlash("/c d")}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSettings(t *testing.T) {
	ask := func(submit func(any) seen) string {
		return string(submit(nil).Settings(t.Context()))
	}
	t.Run("pulled", func(t *testing.T) {
		e, r, submit := watching(t, lsptest.Options{
			InitializationOptions: map[string]any{"juliahub": map[string]any{"profile": "initial"}},
			Settings:              map[string]any{"juliahub": map[string]any{"profile": "pulled"}},
		})
		if got := ask(submit); got != `{"profile":"pulled"}` {
			t.Error(got)
		}
		e.SetSettings(map[string]any{"juliahub": map[string]any{"profile": "changed"}})
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
		if got := ask(submit); got != `{"profile":"changed"}` {
			t.Error(got)
		}
		e.SetSettings(nil)
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
		if got := ask(submit); got != `{"profile":"initial"}` {
			t.Error(got)
		}
		e.SetSettings(nil)
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": nil})
		ask(submit)
		e.Await(lsptest.That("registrations", func(s *lsptest.State) bool { return len(s.Registrations) == 2 }))
		e.Shutdown()
		r.exit(t, 0)
		if got := r.settings[len(r.settings)-1]; got != `{"profile":"initial"}` {
			t.Errorf("the session knows %s", got)
		}
	})
	t.Run("a submission waits for the pull under way", func(t *testing.T) {
		hold := make(chan struct{})
		_, _, submit := watching(t, lsptest.Options{
			HoldConfiguration: hold,
			Settings:          map[string]any{"juliahub": map[string]any{"profile": "late"}},
		})
		in := submit(nil) // the command itself is not held up
		close(hold)
		if got := string(in.Settings(t.Context())); got != `{"profile":"late"}` {
			t.Error(got)
		}
	})
	t.Run("pushed to one who pulls", func(t *testing.T) {
		e, _, submit := watching(t, lsptest.Options{
			InitializationOptions: map[string]any{"juliahub": map[string]any{"profile": "initial"}},
		})
		for pushed, want := range map[string]string{"first": "first", "second": "second"} {
			e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": map[string]any{"juliahub": map[string]any{"profile": pushed}, "other": 1}})
			if got := ask(submit); got != `{"profile":"`+want+`"}` {
				t.Error(got)
			}
			e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": map[string]any{"other": map[string]any{"profile": "another server's"}}})
			if got := ask(submit); got != `{"profile":"`+want+`"}` {
				t.Error(got)
			}
		}
	})
	t.Run("pushed", func(t *testing.T) {
		e, _, submit := watching(t, lsptest.Options{
			Capabilities:          map[string]any{},
			InitializationOptions: map[string]any{"profile": "initial"},
		})
		if got := ask(submit); got != `{"profile":"initial"}` {
			t.Error(got)
		}
		e.Notify("workspace/didChangeConfiguration", map[string]any{"settings": map[string]any{"juliahub": map[string]any{"profile": "pushed"}}})
		if got := ask(submit); got != `{"profile":"pushed"}` {
			t.Error(got)
		}
	})
}

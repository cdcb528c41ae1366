package lsp

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp/lsptest"
)

// The folders of a workspace are what the client says, in whichever of the ways
// that the protocol has had.
func TestFoldersOfAClient(t *testing.T) {
	folder := func(uri string) map[string]any { return map[string]any{"uri": uri, "name": "x"} }
	for name, c := range map[string]struct {
		params map[string]any
		want   []string
	}{
		"several":           {map[string]any{"workspaceFolders": []any{folder("file:///a%20b"), folder("file:///c%23d%25/%C3%A9"), folder("file:///e#f é")}}, []string{"/a b", "/c#d%/é", "/e#f é"}},
		"one elsewhere":     {map[string]any{"workspaceFolders": []any{folder("vscode-vfs://github/x"), folder("file:///a")}}, []string{"/a"}},
		"all elsewhere":     {map[string]any{"workspaceFolders": []any{folder("vscode-remote://ssh-remote%2Bx/a")}, "rootUri": "file:///b"}, nil},
		"a root":            {map[string]any{"rootUri": "file:///a", "rootPath": "/b", "workspaceFolders": nil}, []string{"/a"}},
		"a root and a list": {map[string]any{"rootUri": "file:///a", "workspaceFolders": []any{folder("file:///b")}}, []string{"/b"}},
		"an empty list":     {map[string]any{"rootUri": "file:///a", "workspaceFolders": []any{}}, []string{"/a"}},
		"a path":            {map[string]any{"rootPath": "/a b"}, []string{"/a b"}},
		"a null root":       {map[string]any{"rootUri": nil, "rootPath": nil}, nil},
		"a root elsewhere":  {map[string]any{"rootUri": "http://x/y"}, nil},
		"nothing":           {map[string]any{}, nil},
	} {
		if onWindows {
			t.Skip("the names are those of other systems")
		}
		r := serve(t, nil)
		e := lsptest.Connect(t, r.editor, lsptest.Options{Capabilities: map[string]any{}})
		c.params["processId"], c.params["capabilities"] = nil, map[string]any{}
		e.Call("initialize", c.params, nil)
		if got := r.server.world.Load().paths(); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		e.Notify("initialized", map[string]any{})
		e.Shutdown()
		r.exit(t, 0)
		if last := r.folders[len(r.folders)-1]; !slices.Equal(last, c.want) {
			t.Errorf("%s: the session knows %q", name, last)
		}
	}
}

// Folders come and go, however their names are spelled.
func TestFoldersChange(t *testing.T) {
	e, r, submit := watching(t, lsptest.Options{Folders: []string{"file:///a", "file:///b%20c"}})
	change := func(added, removed []string) {
		list := func(uris []string) []any {
			all := []any{}
			for _, uri := range uris {
				all = append(all, map[string]any{"uri": uri, "name": ""})
			}
			return all
		}
		e.Notify("workspace/didChangeWorkspaceFolders", map[string]any{"event": map[string]any{"added": list(added), "removed": list(removed)}})
	}
	for _, c := range []struct{ added, removed, want []string }{
		{nil, nil, []string{"/a", "/b c"}},
		{[]string{"file:///d", "file:///d/", "file:///%64"}, nil, []string{"/a", "/b c", "/d"}},
		{nil, []string{"file:///b c/", "file:///none"}, []string{"/a", "/d"}},
		{[]string{"vsls:/x", ""}, []string{"file:///a"}, []string{"/d"}},
		{[]string{"file:///a"}, []string{"file:///d", "vsls:/x"}, []string{"/a"}},
		{nil, []string{"file:///a"}, nil},
	} {
		change(c.added, c.removed)
		var want []string
		for _, path := range c.want {
			want = append(want, filepath.FromSlash(path))
		}
		if in := submit(nil); !slices.Equal(in.Folders, want) {
			t.Errorf("added %q, removed %q: %q, want %q", c.added, c.removed, in.Folders, want)
		}
	}
	e.Shutdown()
	r.exit(t, 0)
	if last := r.folders[len(r.folders)-1]; len(last) > 0 {
		t.Errorf("the session knows %q", last)
	}
}

// A panic is logged with its stack; the others' requests are answered.
func TestPanicIsLogged(t *testing.T) {
	var log bytes.Buffer // read when the server has ended
	e, r := open(t, lsptest.Options{}, func(s *Server, f *fakeSession) {
		s.log = slog.New(slog.NewTextHandler(&log, nil))
		f.own = func(string) []commands.Job { panic("no such luck") }
	})
	if got := code(e.Try("textDocument/codeLens", map[string]any{"textDocument": map[string]any{"uri": "file:///x.jl"}}, nil)); got != -32603 {
		t.Errorf("code %d", got)
	}
	e.Execute("juliahub.logs", nil, nil)
	e.Shutdown()
	r.exit(t, 0)
	for _, want := range []string{"level=ERROR", "no such luck", "textDocument/codeLens", "codelens.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

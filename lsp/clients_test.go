package lsp

import (
	"maps"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"juliahub-lsp/lsp/lsptest"
)

// What the server makes of the capabilities that real editors sent.
func TestRecordedClients(t *testing.T) {
	recorded, err := lsptest.Clients()
	if err != nil {
		t.Fatal(err)
	}
	all := clientCaps{
		progress: true, showDocument: true, configuration: true, registerConfig: true, registerWatchers: true, lensRefresh: true,
		actionLiterals: true, actionDisabled: true, related: true, diagnosticData: true, versions: true, createFiles: true,
		plainHover: true,
	}
	neovim := all
	neovim.client = "Neovim"
	neovim.registerConfig, neovim.registerWatchers, neovim.versions = false, false, false
	neovimPlugin := neovim
	neovimPlugin.juliahub = true
	helix := all
	helix.client = "helix"
	helix.registerConfig, helix.lensRefresh, helix.related, helix.diagnosticData = false, false, false, false
	eglot := helix
	helix.plainHover = false
	eglot.client = "Eglot"
	eglot.actionDisabled, eglot.versions, eglot.createFiles = false, false, false
	vscode := all
	vscode.client, vscode.versions, vscode.juliahub = "code-server", false, true
	want := map[string]struct {
		caps     clientCaps
		encoding encoding
		watches  bool
	}{
		"neovim":        {neovim, utf8Bytes, false},
		"neovim-plugin": {neovimPlugin, utf8Bytes, false},
		"helix":         {helix, utf8Bytes, false}, // it tells of its own saves alone
		"eglot":         {eglot, utf8Bytes, false},
		"vscode":        {vscode, utf16Units, true},
	}
	for name, c := range recorded {
		raw, err := json.Marshal(c.Capabilities)
		if err != nil {
			t.Fatal(err)
		}
		caps, enc := decodeCaps(raw)
		caps.client = c.Info.Name
		if w := want[name]; caps != w.caps || enc != w.encoding || caps.watchesDisk() != w.watches {
			t.Errorf("%s: %+v, %v, watches the disk: %t", name, caps, enc, caps.watchesDisk())
		}
	}
	if len(want) != len(recorded) {
		t.Errorf("recorded are %q", slices.Sorted(maps.Keys(recorded)))
	}
}

package lsp

import (
	"maps"
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
	}
	neovim := all
	neovim.client = "Neovim"
	neovim.registerConfig, neovim.registerWatchers, neovim.versions, neovim.createFiles = false, false, false, false
	want := map[string]struct {
		caps     clientCaps
		encoding encoding
		watches  bool
	}{
		"neovim": {neovim, utf8Bytes, false},
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
		t.Errorf("%d clients are recorded: %v", len(recorded), maps.Keys(recorded))
	}
}

//go:build editors

package drive

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"juliahub-lsp/lsp/lsptest"
)

// Recorder makes a program that is the language server, and keeps what the
// editor says to it. It returns its path.
func (w *World) Recorder(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "juliahub-lsp")
	script := fmt.Sprintf("#!/bin/sh\ntee -a '%s.said' | '%s' \"$@\"\n", path, w.Server)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// initialized is what matters of a recorded initialize.
type initialized struct {
	Params struct {
		ClientInfo struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"clientInfo"`
		Capabilities map[string]any `json:"capabilities"`
	} `json:"params"`
}

// CheckClient holds the recorded client of lsptest, with which the server's own
// tests play this editor, to what the editor just said to the recorder: what
// the server reads of it must be the same, and all of it if the version is.
func CheckClient(t *testing.T, recorder, name string) {
	t.Helper()
	clients, err := lsptest.Clients()
	if err != nil {
		t.Fatal(err)
	}
	want, ok := clients[name]
	if !ok {
		t.Fatalf("lsptest has no client %s", name)
	}
	got := firstMessage(t, recorder+".said")
	if got.Params.ClientInfo.Name != want.Info.Name {
		t.Errorf("the editor calls itself %q, the recorded one %q", got.Params.ClientInfo.Name, want.Info.Name)
	}
	for _, path := range read {
		if g, w := at(got.Params.Capabilities, path), at(want.Capabilities, path); !reflect.DeepEqual(g, w) {
			t.Errorf("%s is %v now, and %v in the recorded client: record it anew", path, g, w)
		}
	}
	if got.Params.ClientInfo.Version != want.Info.Version {
		t.Logf("%s %s; recorded was %s", name, got.Params.ClientInfo.Version, want.Info.Version)
		return
	}
	// What juliahub.el adds is its own.
	delete(got.Params.Capabilities, "experimental")
	delete(want.Capabilities, "experimental")
	if !reflect.DeepEqual(got.Params.Capabilities, want.Capabilities) {
		now, _ := json.MarshalIndent(got.Params.Capabilities, "", " ")
		t.Errorf("the recorded client %s is out of date; the editor says\n%s", name, now)
	}
}

// read are the capabilities that the server looks at.
var read = []string{
	"window.workDoneProgress", "window.showDocument.support", "workspace.configuration",
	"workspace.didChangeConfiguration.dynamicRegistration", "workspace.didChangeWatchedFiles.dynamicRegistration",
	"workspace.codeLens.refreshSupport", "textDocument.codeAction.codeActionLiteralSupport",
	"textDocument.codeAction.disabledSupport", "textDocument.publishDiagnostics.relatedInformation",
	"textDocument.publishDiagnostics.dataSupport", "textDocument.publishDiagnostics.versionSupport",
	"workspace.workspaceEdit.documentChanges", "workspace.workspaceEdit.resourceOperations", "general.positionEncodings",
}

func at(value any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		m, _ := value.(map[string]any)
		value = m[name]
	}
	return value
}

func firstMessage(t *testing.T, path string) initialized {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	header, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var m initialized
	if err := json.NewDecoder(io.LimitReader(r, length)).Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

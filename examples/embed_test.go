package examples

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEverythingTracked fails when an example is added to the directory and
// forgotten in the list of embedded files.
func TestEverythingTracked(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Skip("not a git checkout, so the list of files to compare with is not known:", err)
	}
	for _, name := range strings.Split(string(bytes.TrimRight(out, "\x00")), "\x00") {
		if filepath.Ext(name) == ".go" || filepath.Ext(name) == ".md" && !strings.Contains(name, "/") {
			continue
		}
		if _, err := FS.ReadFile(name); err != nil {
			t.Errorf("%s is not embedded: %v", name, err)
		}
	}
}

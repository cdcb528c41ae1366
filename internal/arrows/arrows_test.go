// Package arrows holds the picture of ARCHITECTURE.md: who may import whom.
package arrows

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says which of our packages each room may import, besides its own
// subpackages and internal/. Tests may also use the emulator, everybody's double.
var allowed = map[string][]string{
	"cmd":             {"lsp", "commands", "jobapi", "jobapi/emulator", "examples"},
	"lsp":             {"commands"},
	"commands":        {"jobapi", "bundle"},
	"jobapi":          {},
	"jobapi/emulator": {"jobapi"},
	"bundle":          {},
	"internal":        {},
	"examples":        {},
	"editors":         {"lsp/lsptest", "jobapi/emulator", "examples"},
}

// outside says which rooms alone may import a library, by prefix of its path.
var outside = map[string][]string{
	"go.lsp.dev/":                  {"lsp"},
	"net/http":                     {"jobapi"},
	"github.com/coder/websocket":   {"jobapi"},
	"github.com/fsnotify/fsnotify": {"internal/watch"},
}

const module = "juliahub-lsp/"

type pkg struct {
	ImportPath                         string
	Name                               string
	Imports, TestImports, XTestImports []string
}

func TestArrows(t *testing.T) {
	cmd := exec.Command("go", "list", "-tags", "editors", "-json=ImportPath,Name,Imports,TestImports,XTestImports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		check(t, p)
	}
	if seen < 5 {
		t.Errorf("go list showed %d packages only", seen)
	}
}

func check(t *testing.T, p pkg) {
	from := strings.TrimPrefix(p.ImportPath, module)
	tests := slices.Concat(p.TestImports, p.XTestImports)
	for _, path := range slices.Concat(p.Imports, tests) {
		for prefix, rooms := range outside {
			if (path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")) && !slices.ContainsFunc(rooms, func(r string) bool { return within(from, r) }) {
				t.Errorf("%s imports %s: only %s may", from, path, strings.Join(rooms, ", "))
			}
		}
		to, ours := strings.CutPrefix(path, module)
		if !ours || within(to, "internal") && !within(from, "internal") {
			continue
		}
		if slices.Contains(tests, path) && !slices.Contains(p.Imports, path) && to == "jobapi/emulator" && from != "bundle" {
			continue
		}
		if !may(from, to) {
			t.Errorf("%s imports %s against the arrows of ARCHITECTURE.md", from, to)
		}
	}
}

func may(from, to string) bool {
	room := roomOf(from)
	if room == "" {
		return false
	}
	if within(to, room) && roomOf(to) == room {
		return true
	}
	return slices.ContainsFunc(allowed[room], func(r string) bool { return within(to, r) && roomOf(to) == roomOf(r) })
}

// roomOf returns the innermost row of allowed that holds the package.
func roomOf(path string) string {
	best := ""
	for room := range allowed {
		if within(path, room) && len(room) > len(best) {
			best = room
		}
	}
	return best
}

func within(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

// Package testjulia finds the Julia that tests work with.
package testjulia

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Find returns the path of a real Julia: the one that the variable JULIA names,
// else that of PATH. Without one the test is skipped, and fails where CI is set:
// there has to be one.
func Find(t testing.TB) string {
	t.Helper()
	name := os.Getenv("JULIA")
	if name == "" {
		name = "julia"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path) // a test may run it somewhere else
	}
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("CI has no Julia: %v", err)
	}
	t.Skipf("no Julia (%v): `make julia` installs one, `make test` uses it", err)
	return ""
}

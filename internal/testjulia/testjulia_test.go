package testjulia

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// verdict is a test that keeps what became of it. What ends a test ends only
// the goroutine that it is used in.
type verdict struct {
	testing.TB

	said string
}

func (v *verdict) Helper() {}
func (v *verdict) Fatalf(format string, args ...any) {
	v.said = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (v *verdict) Skipf(format string, args ...any) {
	v.said = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// find returns what Find found, or what it said.
func find(t *testing.T) string {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	found := ""
	go func() {
		defer close(done)
		found = Find(v)
	}()
	<-done
	return found + v.said
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	name := "julia"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	onPath, named := filepath.Join(dir, "bin", name), filepath.Join(dir, "mine", name)
	for _, path := range []string{onPath, named} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, test := range []struct{ julia, path, ci, want string }{
		{named, "", "", named},
		{filepath.Join(".", "mine", name), filepath.Dir(onPath), "1", named},
		{"", filepath.Dir(onPath), "1", onPath},
		{"", "", "", "skipped: no Julia"},
		{"", "", "1", "failed: CI has no Julia"},
		{filepath.Join(dir, "gone"), filepath.Dir(onPath), "1", "failed: CI has no Julia"},
	} {
		t.Setenv("JULIA", test.julia)
		t.Setenv("PATH", test.path)
		t.Setenv("CI", test.ci)
		if got := find(t); got != test.want && (len(got) < len(test.want) || got[:len(test.want)] != test.want) {
			t.Errorf("%+v: got %q", test, got)
		}
	}
}

package bundle

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	for name, want := range map[string]bool{
		".env": true, "a/auth.toml": true, "id_rsa": true, "id_rsa.pub": false, "id_dsa": true, "id_ecdsa_sk": true, "id_ed25519": true, "id_ed25519.pub": false,
		"x.pem": true, "x.KEY": true, "credentials": true, "credentials.json": true, ".netrc": true, ".aws/credentials": true,
		".env.example": false, "keys.jl": false, "pem": false, "environment": false,
	} {
		if isSecret(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

// TestWarnings lists what a person should know, and refuses secrets from outside.
func TestWarnings(t *testing.T) {
	manifest := manifestHead + "[[deps.DevA]]\npath = \"../a\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n"
	dir := lay(t, map[string]string{
		"p/Project.toml": "", "p/Manifest.toml": manifest, "p/.env": "", "p/docs/build/x.html": "12", "p/docs/build/y/z": "3", "p/web/node_modules/a/b": "",
		"p/src/a.jl.123.cov": "", "p/src/a.cov": "", "p/build.jl": "",
		"p/LocalPreferences.toml": "[MPIPreferences]\nbinary = \"system\"\nlibmpi = \"/usr/lib/libmpi.so\"\n[Zlib_jll]\nx = 1\n",
		"p/" + ignoreName:         "*.log\n!*.txt\nnever\n",
		"a/Project.toml":          packageA, "a/deps/build.jl": "", "a/deps/deps.jl": "", "a/x.log": "", "a/sub/" + ignoreName: "", "a/sub/y.log": "",
	})
	big, err := os.Create(filepath.Join(dir, "p", "[big]"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(big.Truncate(largeFile+1), big.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("the package is in a git repository: no git here")
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "deps/build.jl"}} {
		if out, err := exec.Command("git", append([]string{"-C", filepath.Join(dir, "a")}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p")})
	expect(t, "warnings", codes(p), []string{
		"build-output docs/build", "build-output src/a.jl.123.cov", "build-output web/node_modules",
		"large-file [big]", "local-preferences LocalPreferences.toml", "package-build .bundle/dev/DevA/deps/build.jl", "rule-not-applied .bundle/dev/DevA/x.log", "secret .env"})
	message := func(code string) string {
		return p.Warnings[slices.IndexFunc(p.Warnings, func(w Warning) bool { return w.Code == code })].Message
	}
	for code, want := range map[string]string{
		"build-output":      "(3 bytes)",
		"large-file":        `add the line \[big] to ` + filepath.Join(dir, "p", ignoreName),
		"local-preferences": `it sets MPIPreferences (this machine's MPI; libmpi = "/usr/lib/libmpi.so"), Zlib_jll`,
		"package-build":     "not in git and travel as they are here: deps/deps.jl",
	} {
		if !strings.Contains(message(code), want) {
			t.Errorf("%s: %s\nwant %s", code, message(code), want)
		}
	}
	if err := p.Check(); err != nil {
		t.Errorf("the project's own secret is only warned of: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "id_rsa"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p = mustPlan(t, Options{Dir: filepath.Join(dir, "p")})
	_, err = p.Spool(context.Background(), t.TempDir(), nil)
	var secret *SecretError
	if !errors.As(err, &secret) || secret.From != filepath.Join(dir, "a", "id_rsa") {
		t.Errorf("a secret from outside: %v", err)
	}
}

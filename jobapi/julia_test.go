package jobapi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/internal/testjulia"
)

// TestJuliaReadsTheTokenFile: what is written for Pkg, Pkg can read, and it
// would send the token.
func TestJuliaReadsTheTokenFile(t *testing.T) {
	julia := testjulia.Find(t)
	depot := t.TempDir()
	path := filepath.Join(depot, "servers", "hub.example.org", "auth.toml")
	now := time.Now()
	values := map[string]any{
		"id_token": "a.b-c_\"\\x", "access_token": "for-pkg", "refresh_token": "r", "refresh_url": "https://hub.example.org/refresh",
		"user name": "é\n\t", "ratio": 1.0, "when": now, "list": []any{int64(1), int64(2)}, "nested": map[string]any{"when": now, "α": true},
		"tables": []map[string]any{{"a": int64(1)}, {"when": now}}, "empty": map[string]any{},
	}
	setExpiry(values, map[string]any{"expires_in": int64(3600)}, now)
	if _, err := writeAuthFile(path, values); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(julia, "--startup-file=no", "-e", `
		import Pkg
		toml = Pkg.TOML.parsefile(ARGS[1])
		toml["id_token"] == "a.b-c_\"\\x" || error("id_token")
		toml["user name"] == "é\n\t" || error("user name")
		toml["expires_at"] isa Integer && toml["expires_at"] == toml["expires"] || error("expires")
		toml["tables"][1]["a"] == 1 && toml["nested"]["α"] === true || error("tables")
		header = Pkg.PlatformEngines.get_auth_header("https://hub.example.org/registries")
		header === nothing && error("no header")
		print(header isa Pair ? last(header) : header)`, path)
	cmd.Env = append(os.Environ(), "JULIA_DEPOT_PATH="+depot, "JULIA_PKG_SERVER=https://hub.example.org")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "Bearer for-pkg") {
		t.Errorf("%s, %v", out, err)
	}
}

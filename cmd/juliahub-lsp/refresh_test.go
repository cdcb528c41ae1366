package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi/emulator"
)

// TestProcessesRefreshOnce: several processes find at once that the token has
// ended, be it by the file or by the server's word. One of them refreshes it.
func TestProcessesRefreshOnce(t *testing.T) {
	t.Parallel()
	for name, expires := range map[string]time.Time{"refused": time.Now().Add(time.Hour), "over": time.Now().Add(-time.Minute)} {
		t.Run(name, func(t *testing.T) {
			hub := startEmulator(t, emulator.Config{Julia: "none"})
			depots := t.TempDir()
			path := filepath.Join(depots, "servers", depot.ServerDir(hub.Info().URL), "auth.toml")
			text, err := hub.AuthTOML()
			if err != nil {
				t.Fatal(err)
			}
			text = regexp.MustCompile(`(?m)^(expires|expires_at) = \d+$`).ReplaceAllString(text, fmt.Sprint("$1 = ", expires.Unix()))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text+"\nkept = \"yes\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := hub.ExpireTokens(); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 5 {
				cmd := command(t, "whoami")
				cmd.Env = append(cmd.Env, "JULIA_PKG_SERVER="+hub.Info().URL, "JULIAHUB_TOKEN=", "JULIA_DEPOT_PATH="+depots)
				all.Go(func() {
					var out bytes.Buffer
					cmd.Stderr = &out
					if err := cmd.Run(); err != nil {
						t.Errorf("%v: %s", err, &out)
					}
				})
			}
			all.Wait()
			refreshes := 0
			for endpoint, n := range hub.Counters() {
				if strings.Contains(endpoint, "/auth/renew/") {
					refreshes += n
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || refreshes != 1 || !strings.Contains(string(after), `kept = "yes"`) {
				t.Errorf("%d refreshes, %v\n%d bytes are left", refreshes, err, len(after))
			}
		})
	}
}

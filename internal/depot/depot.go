// Package depot knows where Julia's depots are and how Pkg names things in them.
package depot

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Paths returns the depots that JULIA_DEPOT_PATH names, the user's own first,
// as Julia 1.11 reads it: a first empty entry is the default depot, a later one
// stands for the depots bundled with Julia (which hold nothing of interest here),
// "~" is the home directory. Unset means the default, set but empty no depot.
//
// Source: base/initdefs.jl, init_depot_path.
func Paths(lookupEnv func(string) (string, bool), home string) []string {
	standard := filepath.Join(home, ".julia")
	value, set := lookupEnv("JULIA_DEPOT_PATH")
	if !set {
		return []string{standard}
	}
	if value == "" {
		return nil
	}
	var paths []string
	entries := strings.Split(value, string(filepath.ListSeparator))
	if entries[0] == "" {
		paths = append(paths, standard)
	}
	for _, entry := range entries {
		if entry == "" {
			continue
		}
		if path := expand(entry, home); !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths
}

// expand replaces a leading "~" as Julia's expanduser does; "~name" stays.
func expand(path, home string) string {
	if path == "~" {
		return home
	}
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok && runtime.GOOS == "windows" {
		rest, ok = strings.CutPrefix(path, `~\`)
	}
	if ok {
		return filepath.Join(home, rest)
	}
	return path
}

// ServerDir returns the name of the directory below DEPOT/servers that holds
// the token of a server, as Pkg computes it: what stands between "://" and the
// next "/", with the characters that file systems refuse replaced by "_".
//
// Source: Pkg.PlatformEngines.get_server_dir.
func ServerDir(server string) string {
	_, host, found := strings.Cut(server, "://")
	if !found {
		host = server
	}
	host, _, _ = strings.Cut(host, "/")
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`:/<>"\|?*`, r) {
			return '_'
		}
		return r
	}, host)
}

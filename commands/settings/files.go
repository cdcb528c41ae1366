package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// HubFile is the name of the project's settings file.
const HubFile = "JuliaHub.toml"

// FindHubFile returns the path of the JuliaHub.toml nearest to dir upwards, not
// past home (home itself is looked at, nothing above it); "" when there is none.
// One of the open files need not be on disk yet.
func FindHubFile(dir, home string, open ...string) string {
	dir = filepath.Clean(dir)
	if home != "" {
		home = filepath.Clean(home)
	}
	for {
		file := filepath.Join(dir, HubFile)
		if slices.Contains(open, file) {
			return file
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		parent := filepath.Dir(dir)
		if dir == home || parent == dir {
			return ""
		}
		dir = parent
	}
}

// checkResults reports a results directory that is not strictly below its base.
func checkResults(rel string) error {
	clean := path.Clean(rel)
	switch {
	case rel == "" || clean == ".":
		return fail("the results need a directory of their own below this one, such as \"juliahub-results\"")
	case strings.ContainsAny(rel, "\\\x00") || path.IsAbs(rel) || len(rel) > 1 && rel[1] == ':' || strings.HasPrefix(rel, "~"):
		return fail("%q must be relative to the directory of %s, with / between names", rel, HubFile)
	case slices.Contains(strings.Split(rel, "/"), ".."):
		return fail("%q must not contain \"..\": results stay below the directory of %s", rel, HubFile)
	}
	for name := range strings.SplitSeq(clean, "/") {
		switch {
		case strings.EqualFold(name, ".git"):
			return fail("%q lies in git's own directory", rel)
		case !portable(name):
			return fail("%q is no name of a directory on Windows, and the file is meant for everyone in the team", name)
		}
	}
	return nil
}

// device are the names that Windows has taken, whatever follows behind a dot.
var device = regexp.MustCompile(`(?i)^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)`)

// portable reports whether a directory can have a name on every system. Windows
// drops spaces and dots at the end: "..." would be another directory there.
func portable(name string) bool {
	return strings.TrimRight(name, ". ") == name && !device.MatchString(name) &&
		strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`<>:"|?*`, r) }) < 0
}

// ResultsDir returns the absolute directory for results: rel below base. It
// fails if rel is not strictly below base, or a link on the way leads out of it.
// Nothing is created.
func ResultsDir(base, rel string) (string, error) {
	if err := checkResults(rel); err != nil {
		return "", err
	}
	realBase, err := filepath.EvalSymlinks(base)
	if err != nil {
		return "", fmt.Errorf("results directory: %w", err)
	}
	dir := base
	for name := range strings.SplitSeq(path.Clean(rel), "/") {
		dir = filepath.Join(dir, name)
		target, err := filepath.EvalSymlinks(dir)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(dir); err == nil {
				return "", fail("%q is a link to something that does not exist", dir)
			}
			break // from here on we create it
		}
		if err != nil {
			return "", fmt.Errorf("results directory: %w", err)
		}
		inside, err := filepath.Rel(realBase, target)
		if err != nil || inside == "." || inside == ".." || strings.HasPrefix(inside, ".."+string(filepath.Separator)) {
			return "", fail("%q is a link out of %s", dir, base)
		}
	}
	return filepath.Join(base, filepath.FromSlash(rel)), nil
}

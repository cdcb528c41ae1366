package commands

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// findJulia returns a julia of this computer: the one of the setting, else what
// juliaup has of version X.Y ("" = its default), else the first on PATH, whose
// version nobody has asked for; "" if there is none. It runs nothing.
func (s *Session) findJulia(setting, version string) string {
	if setting != "" {
		if rest, ok := strings.CutPrefix(filepath.ToSlash(setting), "~/"); ok {
			setting = filepath.Join(s.cfg.Home, filepath.FromSlash(rest))
		}
		if exe, err := exec.LookPath(setting); err == nil {
			return exe
		}
		return ""
	}
	path := s.juliaOnPath()
	if version == "" && path != "" && !isJuliaup(path) {
		return path
	}
	if exe := s.readJuliaup().find(version); exe != "" {
		return exe
	}
	return path
}

func (s *Session) juliaOnPath() string {
	path, _ := s.cfg.LookupEnv("PATH")
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // a workspace must not bring its own
		}
		if exe, err := exec.LookPath(filepath.Join(dir, "julia")); err == nil {
			return exe
		}
	}
	return ""
}

// isJuliaup reports whether a julia is juliaup's launcher: which Julia that
// starts depends on the project.
func isJuliaup(exe string) bool {
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	_, err := exec.LookPath(filepath.Join(filepath.Dir(exe), "juliaup"))
	return err == nil
}

// juliaup is what juliaup.json tells of the Julias that juliaup installed.
type juliaup struct {
	Default           string
	InstalledVersions map[string]struct{ Path string }
	InstalledChannels map[string]struct{ Version string }

	home string
}

// readJuliaup reads juliaup's own notes; they are empty where there is no juliaup.
func (s *Session) readJuliaup() juliaup {
	base, _ := s.cfg.LookupEnv("JULIAUP_DEPOT_PATH")
	if base = strings.TrimSpace(base); !filepath.IsAbs(base) {
		base = filepath.Join(s.cfg.Home, ".julia")
	}
	j := juliaup{home: filepath.Join(base, "juliaup")}
	data, err := os.ReadFile(filepath.Join(j.home, "juliaup.json"))
	if err == nil {
		err = json.Unmarshal(data, &j)
	}
	if err != nil {
		return juliaup{}
	}
	return j
}

// find returns the newest installed release of Julia X.Y, or the default of
// juliaup; "" if that is not there.
func (j juliaup) find(version string) string {
	if version == "" {
		return j.program(j.InstalledChannels[j.Default].Version)
	}
	newest, found := -1, ""
	for installed := range j.InstalledVersions {
		release, _, _ := strings.Cut(installed, "+") // 1.10.4+0.x64.linux.gnu
		patch, ok := strings.CutPrefix(release, minorVersion(version)+".")
		n, err := strconv.Atoi(patch)
		if !ok || err != nil || n <= newest { // a release candidate is no release
			continue
		}
		if exe := j.program(installed); exe != "" {
			newest, found = n, exe
		}
	}
	return found
}

// program is where the julia of an installed version is, "" if it is not there.
func (j juliaup) program(version string) string {
	at, ok := j.InstalledVersions[version]
	if !ok || at.Path == "" {
		return ""
	}
	dir := filepath.FromSlash(at.Path)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(j.home, dir)
	}
	candidates := []string{filepath.Join(dir, "bin", "julia")}
	apps, _ := filepath.Glob(filepath.Join(dir, "*.app", "Contents", "Resources", "julia", "bin", "julia")) // on a Mac
	for _, candidate := range append(candidates, apps...) {
		if exe, err := exec.LookPath(candidate); err == nil {
			return exe
		}
	}
	return ""
}

// minorVersion returns "X.Y" of a Julia version.
func minorVersion(version string) string {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	return major + "." + minor
}

package emulator

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// startupFile is loaded before every program that a job runs.
//
//go:embed startup.jl
var startupFile []byte

// juliaVersion is a Julia's version.
type juliaVersion struct {
	major, minor, patch int
	suffix              string // -rc1 and such
}

func (v juliaVersion) String() string {
	return fmt.Sprintf("%d.%d.%d%s", v.major, v.minor, v.patch, v.suffix)
}

// before reports whether v is older than major.minor.patch.
func (v juliaVersion) before(major, minor, patch int) bool {
	if v.major != major {
		return v.major < major
	}
	if v.minor != minor {
		return v.minor < minor
	}
	return v.patch < patch
}

// juliaBinary is the Julia that runs jobs.
type juliaBinary struct {
	path    string
	version juliaVersion

	stdlibs func() (map[string]string, error) // uuid → name; asked for once
}

var versionLine = regexp.MustCompile(`^julia version (\d+)\.(\d+)\.(\d+)(\S*)`)

// findJulia looks for the Julia that the setting names; nil means that there is
// none and that there need not be one. One on PATH that does not run, a launcher
// with nothing to launch say, counts as none.
func findJulia(setting string, log *slog.Logger) (*juliaBinary, error) {
	switch setting {
	case "none":
		return nil, nil
	case "", "auto":
		path, _ := exec.LookPath("julia") // the error says no more than that there is none
		if path == "" {
			return nil, nil
		}
		j, err := askJulia(path)
		if err != nil {
			log.Warn("the julia on PATH is of no use: jobs are simulated", "error", err)
			return nil, nil
		}
		return j, nil
	}
	return askJulia(setting)
}

// askJulia asks a Julia for its version.
func askJulia(setting string) (*juliaBinary, error) {
	path, err := exec.LookPath(setting)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return nil, fmt.Errorf("julia %q: %w", setting, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s does not run: %w", path, err)
	}
	m := versionLine.FindStringSubmatch(string(out))
	if m == nil {
		return nil, fmt.Errorf("%s is no Julia: it does not tell its version", path)
	}
	v := juliaVersion{suffix: m[4]}
	for i, into := range []*int{&v.major, &v.minor, &v.patch} {
		*into, _ = strconv.Atoi(m[i+1]) // digits, by the pattern
	}
	j := &juliaBinary{path: path, version: v}
	j.stdlibs = sync.OnceValues(j.findStdlibs)
	return j, nil
}

// findStdlibs reads which standard libraries this Julia comes with.
func (j *juliaBinary) findStdlibs() (map[string]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, j.path, "--startup-file=no", "-e", "print(Sys.STDLIB)").Output()
	if err != nil {
		return nil, fmt.Errorf("ask Julia for its standard libraries: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(string(out), "*", "Project.toml"))
	if err != nil {
		return nil, fmt.Errorf("list Julia's standard libraries: %w", err)
	}
	libs := map[string]string{}
	for _, file := range found {
		name, id, err := projectName(file)
		if err != nil {
			return nil, err
		}
		libs[id] = name
	}
	if len(libs) == 0 {
		return nil, errors.New("the standard libraries of Julia were not found")
	}
	return libs, nil
}

// depotPath is a job's JULIA_DEPOT_PATH: its own depot, the bundle's, and from
// Julia 1.11 on, where an empty entry at the end means them alone, those that
// come with Julia.
func (j *juliaBinary) depotPath(own string, bundled string) string {
	list := []string{own}
	if bundled != "" {
		list = append(list, bundled)
	}
	if !j.version.before(1, 11, 0) {
		list = append(list, "")
	}
	return strings.Join(list, string(os.PathListSeparator))
}

// emptyRegistry is a registry without packages. Without any registry, Pkg would
// try to clone General, which the job cannot reach.
const emptyRegistry = `name = "Empty"
uuid = "00000000-0000-4000-8000-000000000001"
repo = ""

[packages]
`

// makeDepot prepares a job's own depot.
func makeDepot(dir string) error {
	registry := filepath.Join(dir, "registries", "Empty")
	if err := os.MkdirAll(registry, 0o700); err != nil {
		return fmt.Errorf("make the job's depot: %w", err)
	}
	if err := os.WriteFile(filepath.Join(registry, "Registry.toml"), []byte(emptyRegistry), 0o600); err != nil {
		return fmt.Errorf("make the job's depot: %w", err)
	}
	return nil
}

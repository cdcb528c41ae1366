package commands

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"juliahub-lsp/bundle"
	"juliahub-lsp/internal/depot"
)

// environment is what a script job carries of its project.
type environment struct {
	dir          string // "" = none
	project      string // text of the project file, "" = none
	projectFile  string
	manifest     string // text of the manifest, "" = none
	manifestFile string
	ignored      []string // versioned manifests, passed over because the job's Julia is not known
}

func (e *environment) manifestSHA256() string {
	if e.manifest == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(e.manifest))
	return hex.EncodeToString(sum[:])
}

// environmentDir is the directory of the project that counts for files in dir:
// the nearest upwards, "" when there is none.
func environmentDir(dir, home string) string { return bundle.FindEnvironment(dir, home) }

// environmentOf finds the environment of a script as the profile wants it.
func (s *Session) environmentOf(q *request) (environment, error) {
	if project, manifest, ok := plutoEnvironment(q.whole); ok {
		return environment{project: project, manifest: manifest}.without(q), nil
	}
	dir, err := s.environmentDirOf(q)
	if err != nil || dir == "" {
		return environment{}, err
	}
	e, err := s.readEnvironment(q.in, dir, q.settings.Profile.Julia)
	return e.without(q), err
}

// without leaves the manifest out if that was asked for.
func (e environment) without(q *request) environment {
	if q.args.WithoutManifest {
		e.manifest, e.manifestFile, e.ignored = "", "", nil
	}
	return e
}

// environmentDirOf is the directory that the profile's key "environment" means.
func (s *Session) environmentDirOf(q *request) (string, error) {
	switch wanted := q.settings.Profile.Environment; {
	case wanted == "none":
		return "", nil
	case wanted == "" || wanted == "auto":
		if q.file == "" {
			return "", nil
		}
		return environmentDir(q.dir(), s.cfg.Home), nil
	case strings.HasPrefix(wanted, "@"):
		for _, d := range depot.Paths(s.cfg.LookupEnv, s.cfg.Home) {
			dir := filepath.Join(d, "environments", strings.TrimPrefix(wanted, "@"))
			if environmentDir(dir, dir) != "" {
				return dir, nil
			}
		}
		return "", argumentError("there is no environment %s in the depot", wanted)
	default:
		dir := filepath.FromSlash(wanted)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(cmpDir(q.settings.ResultsBase, q.dir()), dir)
		}
		if environmentDir(dir, dir) == "" {
			return "", argumentError("the environment %s has no Project.toml", dir)
		}
		return dir, nil
	}
}

// projectNames are the names of project files, the stronger first.
var projectNames = []string{"JuliaProject.toml", "Project.toml"}

// readEnvironment reads project and manifest as the editor shows them.
func (s *Session) readEnvironment(in Input, dir, julia string) (environment, error) {
	e := environment{dir: dir}
	for _, name := range projectNames {
		path := filepath.Join(dir, name)
		text, err := s.fileText(in, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return e, fmt.Errorf("read the environment: %w", err)
		}
		e.project, e.projectFile = string(text), path
		break
	}
	if e.projectFile == "" {
		return e, nil
	}
	file, ignored, err := bundle.FindManifest(dir, julia, s.cfg.Home, unsavedTexts(in))
	if err != nil {
		return e, err
	}
	e.ignored = ignored
	if file == "" {
		return e, nil
	}
	text, err := s.fileText(in, file)
	if err != nil {
		return e, fmt.Errorf("read the environment: %w", err)
	}
	e.manifest, e.manifestFile = string(text), file
	return e, nil
}

// unsavedTexts are the texts that take the place of what is on disk.
func unsavedTexts(in Input) map[string][]byte {
	texts := map[string][]byte{}
	for _, d := range in.Unsaved {
		if d.Path != "" {
			texts[d.Path] = []byte(d.Text)
		}
	}
	return texts
}

// plutoHeader begins every Pluto notebook.
const plutoHeader = "### A Pluto.jl notebook ###"

// The last two cells of a notebook hold its environment.
var (
	plutoProject  = plutoConstant("PLUTO_PROJECT_TOML_CONTENTS")
	plutoManifest = plutoConstant("PLUTO_MANIFEST_TOML_CONTENTS")
)

func plutoConstant(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?ms)^` + name + ` = """\r?\n(.*?)"""`)
}

// plutoEnvironment returns the environment that a Pluto notebook carries.
func plutoEnvironment(text string) (project, manifest string, ok bool) {
	if !strings.HasPrefix(strings.TrimPrefix(text, "\ufeff"), plutoHeader) {
		return "", "", false
	}
	found := plutoProject.FindStringSubmatch(text)
	if found == nil {
		return "", "", false
	}
	if of := plutoManifest.FindStringSubmatch(text); of != nil {
		manifest = of[1]
	}
	return found[1], manifest, true
}

package commands

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/commands/lint"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/internal/depot"
)

// Facts are what a script, or a project, would be submitted with, as far as
// that can be known without sending anything.
type Facts struct {
	HubFile      string   // the JuliaHub.toml that counts, "" = none
	Profiles     []string // of that
	Julia        string   // the job's Julia "1.10", "" = not known
	Environment  string   // directory, "" = none
	Asked        bool     // the profile names the environment itself, or that there is none
	Package      string   // the package that the environment is, "" = none
	PathPackages []string // packages that its manifest tracks by a path
	Shared       string   // the newest shared environment of the depot, "" = none
}

// Facts looks at the surroundings of in.File, or of in.Dir, as the editor shows
// them. What cannot be read is left out: that is told when it is submitted.
func (s *Session) Facts(ctx context.Context, in Input) Facts {
	q := &request{in: in}
	if in.File != nil {
		q.file, q.uri, q.whole = in.File.Path, in.File.URI, in.File.Text
	}
	if err := s.resolve(ctx, q); err != nil {
		return Facts{}
	}
	return s.factsOf(q)
}

// factsOf is Facts of a request that is resolved.
func (s *Session) factsOf(q *request) Facts {
	in := q.in
	wanted := q.settings.Profile.Environment
	f := Facts{
		HubFile: q.hubFile, Profiles: q.settings.Profiles, Julia: q.settings.Profile.Julia,
		Asked: wanted != "" && wanted != "auto", Shared: s.sharedEnvironment(),
	}
	if _, _, ok := plutoEnvironment(q.whole); ok {
		f.Asked = true
		return f
	}
	var err error
	f.Environment = in.Dir
	if q.key() != "" {
		f.Environment, err = s.environmentDirOf(q)
	}
	if err != nil || f.Environment == "" {
		return f
	}
	env, err := s.readEnvironment(in, f.Environment, f.Julia)
	if err != nil {
		return f
	}
	var project struct{ Name, UUID string }
	if _, err := toml.Decode(env.project, &project); err == nil && project.UUID != "" {
		f.Package = project.Name
	}
	f.PathPackages = pathPackages(env.manifest)
	return f
}

// lacks says what a script would lack in a job, because a script job takes along
// no file but the script. It is empty for an appbundle.
func (s *Session) lacks(q *request) (all []string) {
	if q.kind != track.KindScript {
		return nil
	}
	facts := s.factsOf(q)
	said := map[string]bool{}
	for _, p := range lint.Script(lint.ScriptInput{
		File: q.file, Text: q.text, WithoutBundle: true, OwnPackage: facts.Package, PathPackages: facts.PathPackages,
		NoEnvironment: facts.Environment == "" && !facts.Asked, Shared: facts.Shared,
		Exists: func(path string) bool { _, err := os.Stat(path); return err == nil },
	}) {
		if p.Severity != lint.Warning && p.Code != lint.CodeNoEnvironment {
			continue // a hint on how it is written
		}
		if said[p.Message] {
			continue
		}
		said[p.Message] = true
		all = append(all, fmt.Sprintf("line %d: %s", p.Line+1, p.Message))
	}
	for _, name := range facts.PathPackages {
		if message := lint.PackageStays(name); !said[message] && name != facts.Package {
			all = append(all, "the manifest: "+message)
		}
	}
	return all
}

// pathPackages are the packages that a manifest tracks by a path.
func pathPackages(manifest string) (names []string) {
	tree := map[string]any{}
	if _, err := toml.Decode(manifest, &tree); err != nil {
		return nil
	}
	if deps, ok := tree["deps"].(map[string]any); ok { // since manifest format 2
		tree = deps
	}
	for name, entries := range tree {
		list, _ := entries.([]map[string]any)
		if slices.ContainsFunc(list, func(entry map[string]any) bool { return entry["path"] != nil }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// sharedEnvironment is the environment of the newest Julia in the depot.
func (s *Session) sharedEnvironment() string {
	newest := ""
	for _, d := range depot.Paths(s.cfg.LookupEnv, s.cfg.Home) {
		entries, _ := os.ReadDir(filepath.Join(d, "environments"))
		for _, e := range entries {
			if name := e.Name(); strings.HasPrefix(name, "v") && olderVersion(newest, name) {
				if _, err := os.Stat(filepath.Join(d, "environments", name, "Project.toml")); err == nil {
					newest = name
				}
			}
		}
	}
	if newest == "" {
		return ""
	}
	return "@" + newest
}

// olderVersion compares v1.9 and v1.10.
func olderVersion(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}

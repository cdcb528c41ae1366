package commands

import (
	"context"
	"encoding/json"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi"
)

// provenancePrefix begins the names of all variables that we add to a job.
const provenancePrefix = "JULIAHUB_LSP_"

// gitTime is how long git may take to say whether a tree is clean.
const gitTime = 3 * time.Second

// addProvenance adds to a job, and to its record, what was submitted and where
// it comes from, so that the job finds its file again on another machine.
func (s *Session) addProvenance(f *flight, sub *jobapi.Submission) error {
	q := f.request
	root := ""
	if q.file != "" {
		root = s.bundleDir(q)
	}
	facts := map[string]string{"VERSION": s.cfg.Version, "KIND": q.kind, "CODE_SHA256": sha256Of([]byte(q.text))}
	if q.file != "" {
		facts["FILE"] = filepath.Base(q.file)
		if rel, err := filepath.Rel(root, q.file); err == nil && filepath.IsLocal(rel) {
			facts["FILE"] = filepath.ToSlash(rel)
		}
		facts["PROJECT"] = filepath.Base(root)
	}
	facts["PROFILE"] = q.settings.ProfileName
	facts["MANIFEST_SHA256"] = sub.ManifestSHA256
	if sub.Bundle != nil {
		facts["BUNDLE_SHA256"] = sub.Bundle.SHA256
	}
	s.addGit(f, root, facts)
	kept := map[string]string{}
	for name, value := range facts {
		if value == "" {
			continue
		}
		kept[strings.ToLower(name)] = value
		if q.settings.Provenance {
			sub.Args[provenancePrefix+name] = value
		}
	}
	_, err := s.update(f.id, func(r *track.Record) { r.Provenance = kept })
	return err
}

// gitState is where a package that travels stands in git.
type gitState struct {
	Commit string `json:"commit"`
	Dirty  *bool  `json:"dirty,omitempty"` // nil = git did not say in time
}

// addGit adds commit and state of the project and of each package that travels
// from a working tree; all of git together has gitTime.
func (s *Session) addGit(f *flight, root string, facts map[string]string) {
	ctx, cancel := context.WithTimeout(f.ctx, gitTime)
	defer cancel()
	states := make([]gitState, 1+len(f.along))
	var group errgroup.Group
	group.SetLimit(gitAtOnce)
	look := func(state *gitState, dir string) {
		if _, state.Commit = gitHead(dir); state.Commit != "" {
			group.Go(func() error {
				state.Dirty = gitDirty(ctx, dir)
				return nil
			})
		}
	}
	if root != "" {
		look(&states[0], root)
	}
	depots := depot.Paths(s.cfg.LookupEnv, s.cfg.Home)
	for i, pkg := range f.along {
		// An installed package is no working tree, even where the depot lies in one.
		if !slices.ContainsFunc(depots, func(d string) bool { return within(filepath.Join(d, "packages"), pkg.From) }) {
			look(&states[1+i], pkg.From)
		}
	}
	_ = group.Wait() // it returns no error
	if facts["GIT_COMMIT"] = states[0].Commit; states[0].Dirty != nil {
		facts["GIT_DIRTY"] = strconv.FormatBool(*states[0].Dirty)
	}
	packages := map[string]gitState{}
	for i, pkg := range f.along {
		if states[1+i].Commit != "" {
			packages[path.Base(pkg.To)] = states[1+i]
		}
	}
	if len(packages) > 0 {
		if text, err := json.Marshal(packages); err == nil {
			facts["GIT_PACKAGES"] = string(text)
		}
	}
}

// gitAtOnce is how many git programs run at a time.
const gitAtOnce = 4

// gitDirty says whether a working tree differs from its commit; nil when git does
// not say in time.
func gitDirty(ctx context.Context, dir string) *bool {
	// Optional locks would make other git programs of the user wait, and a
	// monitor is a program that the repository names.
	cmd := exec.CommandContext(ctx, "git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", dir, "status", "--porcelain", "--untracked-files=normal", "--", ".")
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	dirty := len(out) > 0
	return &dirty
}

package commands

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"juliahub-lsp/commands/track"
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
		root = cmpDir(q.in.Dir, environmentDir(q.dir(), s.cfg.Home), q.dir())
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
	if root != "" {
		if _, commit := gitHead(root); commit != "" {
			facts["GIT_COMMIT"] = commit
			facts["GIT_DIRTY"] = gitDirty(f.ctx, root)
		}
	}
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

// gitDirty says whether a working tree differs from its commit: "true",
// "false", or "" when git does not say in time.
func gitDirty(ctx context.Context, dir string) string {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	// Optional locks would make other git programs of the user wait, and a
	// monitor is a program that the repository names.
	cmd := exec.CommandContext(ctx, "git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", dir, "status", "--porcelain", "--untracked-files=normal", "--", ".")
	out, err := cmd.Output()
	switch {
	case err != nil:
		return ""
	case len(out) > 0:
		return "true"
	default:
		return "false"
	}
}

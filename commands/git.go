package commands

import (
	"os"
	"path/filepath"
	"strings"
)

// gitHead returns branch and commit of the working tree that dir is in, by
// reading git's files: no program is run for it. Empty outside of git.
func gitHead(dir string) (branch, commit string) {
	git, common := gitDirs(dir)
	if git == "" {
		return "", ""
	}
	head := readLine(filepath.Join(git, "HEAD"))
	ref, isRef := strings.CutPrefix(head, "ref: ")
	if !isRef {
		return "", head
	}
	if branch = strings.TrimPrefix(ref, "refs/heads/"); branch == ".invalid" {
		return "", "" // git keeps its refs in another form, and says so in this way
	}
	for _, base := range []string{git, common} {
		if commit = readLine(filepath.Join(base, filepath.FromSlash(ref))); commit != "" {
			return branch, commit
		}
	}
	return branch, packedRef(filepath.Join(common, "packed-refs"), ref)
}

// gitDirs returns git's directory of the working tree around dir, and the one
// that all its working trees share.
func gitDirs(dir string) (git, common string) {
	for {
		path := filepath.Join(dir, ".git")
		if info, err := os.Stat(path); err == nil {
			git = path
			if !info.IsDir() { // a file that says where it is: a worktree or submodule
				target, ok := strings.CutPrefix(readLine(path), "gitdir: ")
				if !ok {
					return "", ""
				}
				git = joinIfRelative(dir, target)
			}
			common = git
			if target := readLine(filepath.Join(git, "commondir")); target != "" {
				common = joinIfRelative(git, target)
			}
			return git, common
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ""
		}
		dir = parent
	}
}

func joinIfRelative(dir, path string) string {
	path = filepath.FromSlash(path)
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func packedRef(path, ref string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		commit, name, found := strings.Cut(strings.TrimSpace(line), " ")
		if found && name == ref {
			return commit
		}
	}
	return ""
}

// readLine returns the first line of a small file, "" if there is none.
func readLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

package lint

import (
	"path"
	"slices"
	"strings"

	"juliahub-lsp/bundle"
)

// RuleInfo is what a rule of an ignore file does, for a hover.
type RuleInfo struct {
	bundle.Rule
	// Paths are the first of what it excludes, relative to the bundle's root,
	// sorted. A rule with "!" excludes nothing.
	Paths []string
}

// shown is how many paths a hover lists.
const shown = 10

// RuleAt returns the rule at a line (1-based) of an ignore file (its path in the
// bundle).
func RuleAt(plan *bundle.Plan, file string, line int) (RuleInfo, bool) {
	for _, r := range plan.Rules {
		if r.File != file || r.Line != line {
			continue
		}
		info := RuleInfo{Rule: r}
		for _, e := range plan.Excluded {
			if e.Rule != nil && *e.Rule == r.RuleRef && len(info.Paths) < shown {
				info.Paths = append(info.Paths, e.Path)
			}
		}
		return info, true
	}
	return RuleInfo{}, false
}

// IgnorePaths lists what can be written in an ignore file (its path in the
// bundle) behind what is typed: the paths next to that, relative to the ignore
// file, directories with "/" at the end, sorted, special characters escaped.
func IgnorePaths(plan *bundle.Plan, file, typed string) []string {
	typed = strings.TrimPrefix(typed, "!")
	base := path.Dir(file)
	dir := ""
	if i := strings.LastIndexByte(typed, '/'); i >= 0 {
		dir = typed[:i+1]
	}
	seen := map[string]bool{}
	add := func(p string, isDir bool) {
		if strings.HasPrefix(p, ".bundle/") {
			return
		}
		if base != "." {
			rest, ok := strings.CutPrefix(p, base+"/")
			if !ok {
				return
			}
			p = rest
		}
		rest, ok := strings.CutPrefix(p, dir)
		if !ok || rest == "" {
			return
		}
		name, _, below := strings.Cut(rest, "/")
		choice := dir + name
		if below || isDir {
			choice += "/"
		}
		if strings.HasPrefix(choice, typed) {
			seen[ignoreLine(choice)] = true
		}
	}
	for _, f := range plan.Files {
		add(f.Path, false)
	}
	for _, e := range plan.Excluded {
		add(strings.TrimSuffix(e.Path, "/"), strings.HasSuffix(e.Path, "/"))
	}
	out := make([]string, 0, len(seen))
	for p := range seen {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

package lint

import (
	"maps"
	"path"
	"slices"
	"strings"

	"juliahub-lsp/bundle"
)

// RuleInfo is what a rule of an ignore file does, for a hover.
type RuleInfo struct {
	bundle.Rule
	// Paths are the first of the files that it excludes, relative to the bundle's
	// root. A rule with "!" excludes nothing.
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
			switch {
			case len(info.Paths) >= shown:
			case e.Rule == nil || *e.Rule != r.RuleRef:
			case len(e.Below) > 0:
				info.Paths = append(info.Paths, e.Below[:min(len(e.Below), shown-len(info.Paths))]...)
			case !e.Dir:
				info.Paths = append(info.Paths, e.Path)
			}
		}
		return info, true
	}
	return RuleInfo{}, false
}

// IgnorePaths lists what can be written in an ignore file (its path in the
// bundle) behind what is typed: the paths next to that, relative to the ignore
// file, as rules. Directories come first, with "/" at the end.
func IgnorePaths(plan *bundle.Plan, file, typed string) []string {
	typed, ok := literally(strings.TrimPrefix(typed, "!"))
	if !ok {
		return nil
	}
	below := path.Dir(file) + "/"
	if below == "./" {
		below = ""
	}
	dir := typed[:strings.LastIndexByte(typed, '/')+1]
	dirs, files := map[string]bool{}, map[string]bool{}
	last := "" // the directory that the path before lies in, with "/"
	add := func(p string, isDir bool) {
		if last != "" && strings.HasPrefix(p, last) || !strings.HasPrefix(p, below) || !strings.HasPrefix(p[len(below):], typed) || strings.HasPrefix(p, ".bundle/") {
			return
		}
		name, _, deeper := strings.Cut(p[len(below)+len(dir):], "/")
		switch choice := dir + name; {
		case name == "":
		case deeper || isDir:
			dirs[choice+"/"] = true
			last = below + choice + "/"
		default:
			files[choice] = true
		}
	}
	for i := range plan.Files {
		add(plan.Files[i].Path, false)
	}
	for i := range plan.Excluded {
		add(plan.Excluded[i].Path, plan.Excluded[i].Dir)
	}
	out := append(slices.Sorted(maps.Keys(dirs)), slices.Sorted(maps.Keys(files))...)
	for i, p := range out {
		out[i] = ignoreLine(p)
	}
	return out
}

// literally is what the beginning of a rule stands for, as ignoreLine writes it;
// false if it has wildcards.
func literally(typed string) (string, bool) {
	if !strings.ContainsAny(typed, `\*?[`) {
		return typed, true
	}
	var b strings.Builder
	for i := 0; i < len(typed); i++ {
		switch c := typed[i]; {
		case c == '\\' && i+1 < len(typed):
			i++
			b.WriteByte(typed[i])
		case c == '\\': // what it is for follows
		case c == '[' && i+2 < len(typed) && typed[i+2] == ']':
			b.WriteByte(typed[i+1])
			i += 2
		case strings.IndexByte(`*?[`, c) >= 0:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), true
}

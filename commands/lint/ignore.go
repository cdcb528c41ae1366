package lint

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"juliahub-lsp/bundle"
)

// ignoreName is the name of ignore files.
const ignoreName = ".juliabundleignore"

// bundleLimit is what the server takes, in bytes; nearLimit is where the warning begins.
const (
	bundleLimit = 2 << 30
	nearLimit   = bundleLimit / 4 * 3
)

// Read gives the text of a local file as the editor shows it.
type Read func(path string) (body []byte, ok bool)

// Ignore finds what is doubtful in the ignore files of a plan, and what a plan
// would send that it should not. Problems stand at the rules; what has no rule
// stands on the root's ignore file, or on its project file if there is none.
func Ignore(plan *bundle.Plan, read Read) []Problem {
	l := ignoreLint{plan: plan, read: read, texts: map[string]text{}}
	for _, r := range plan.Rules {
		l.rule(r)
	}
	l.shadows()
	l.projectFiles()
	l.packageRules()
	l.secrets()
	l.size()
	return sorted(l.problems)
}

// ExcludedScripts finds which of some scripts, given by their absolute paths, a
// rule keeps out of the bundle: a job could not run them.
func ExcludedScripts(plan *bundle.Plan, read Read, scripts []string) []Problem {
	l := ignoreLint{plan: plan, read: read, texts: map[string]text{}}
	for _, script := range scripts {
		rel, err := filepath.Rel(plan.Root, script)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		rel = filepath.ToSlash(rel)
		for _, out := range plan.Excluded {
			if dir := strings.TrimSuffix(out.Path, "/"); out.Rule != nil && ours(out.Rule.File) && (rel == dir || strings.HasPrefix(rel, dir+"/")) {
				l.at(*out.Rule, Error, CodeIgnoreScript, "This excludes the script %s: the job could not run it.", rel)
				break
			}
		}
	}
	return sorted(l.problems)
}

type ignoreLint struct {
	plan     *bundle.Plan
	read     Read
	texts    map[string]text
	problems []Problem
}

func (l *ignoreLint) local(inBundle string) string {
	return filepath.Join(l.plan.Root, filepath.FromSlash(inBundle))
}

func (l *ignoreLint) text(file string) text {
	t, ok := l.texts[file]
	if !ok {
		body, _ := l.read(file)
		t = newText(string(body))
		l.texts[file] = t
	}
	return t
}

// ours reports whether an ignore file is the project's, not a bundled package's.
func ours(file string) bool { return !strings.HasPrefix(file, ".bundle/") }

// at makes a problem at a rule's line.
func (l *ignoreLint) at(r bundle.RuleRef, severity Severity, code, format string, args ...any) *Problem {
	file := l.local(r.File)
	p := Problem{File: file, Severity: severity, Code: code, Message: fmt.Sprintf(format, args...)}
	t := l.text(file)
	from, to := t.line(r.Line)
	t.place(&p, from, to)
	l.problems = append(l.problems, p)
	return &l.problems[len(l.problems)-1]
}

// rule looks at one rule.
func (l *ignoreLint) rule(r bundle.Rule) {
	if !ours(r.File) {
		return
	}
	pattern := strings.TrimPrefix(r.Pattern, "!")
	switch parent, excludedBy := l.excludedParent(r); {
	case strings.HasPrefix(pattern, "/"):
		p := l.at(r.RuleRef, Warning, CodeIgnoreSlash, "%s matches nothing: paths have no slash at their beginning.", r.Pattern)
		bare := strings.TrimLeft(pattern, "/")
		if bare == "" {
			return
		}
		mended := strings.Repeat("!", len(r.Pattern)-len(pattern)) + bare
		from, to := l.text(p.File).line(r.Line)
		p.Fixes = []Fix{{Title: "Replace by " + mended, Edits: []Edit{l.text(p.File).edit(p.File, from, to, mended)}}}
	case r.Decided:
	case r.Negated && parent != "":
		p := l.at(r.RuleRef, Warning, CodeIgnoreParent, "%s cannot be included again: line %d (%s) excludes its directory %s, which is not entered.",
			pattern, excludedBy.Line, excludedBy.Pattern, parent)
		if excludedBy.File == r.File && strings.TrimSuffix(excludedBy.Pattern, "/") == path.Base(parent) && path.Dir(parent) == path.Dir(r.File) {
			from, to := l.text(p.File).line(excludedBy.Line)
			p.Fixes = []Fix{{Title: "Exclude the directory's content instead", Edits: []Edit{l.text(p.File).edit(p.File, from, to, path.Base(parent)+"/*")}}}
		}
	default:
		l.at(r.RuleRef, Hint, CodeIgnoreDead, "%s decides nothing: no file or directory matches it, or later rules overrule it.", r.Pattern)
	}
}

// excludedParent finds the excluded directory that a rule's pattern lies in.
func (l *ignoreLint) excludedParent(r bundle.Rule) (string, *bundle.RuleRef) {
	pattern := strings.TrimPrefix(r.Pattern, "!")
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		pattern = pattern[:i]
	}
	full := path.Join(path.Dir(r.File), pattern)
	if strings.HasSuffix(pattern, "/") {
		full += "/" // data/* lies in data
	}
	for _, e := range l.plan.Excluded {
		dir := strings.TrimSuffix(e.Path, "/")
		if e.Rule != nil && strings.HasPrefix(full, dir+"/") {
			return dir, e.Rule
		}
	}
	return "", nil
}

// shadows tells of ignore files that replace an outer one.
func (l *ignoreLint) shadows() {
	files := map[string]bool{}
	for _, r := range l.plan.Rules {
		files[r.File] = true
	}
	inner := map[string]bool{}
	for _, f := range l.plan.Files {
		if path.Base(f.Path) == ignoreName {
			inner[f.Path] = true
		}
	}
	for file := range files {
		inner[file] = true
	}
	for file := range inner {
		if !ours(file) {
			continue
		}
		for dir := path.Dir(file); dir != "."; {
			dir = path.Dir(dir)
			outer := path.Join(dir, ignoreName)
			if files[outer] {
				p := l.at(bundle.RuleRef{File: file, Line: 1}, Hint, CodeIgnoreShadows,
					"For everything below %s only this file counts: the rules of %s are replaced.", path.Dir(file), outer)
				p.WholeLine = true
				break
			}
		}
	}
}

// projectFiles tells of rules that leave out what the job's environment is made of.
func (l *ignoreLint) projectFiles() {
	env := l.plan.Environment
	for _, e := range l.plan.Excluded {
		if e.Rule == nil || !ours(e.Rule.File) {
			continue
		}
		for _, name := range []string{"JuliaProject.toml", "Project.toml", "JuliaManifest.toml", "Manifest.toml"} {
			file := path.Join(env, name)
			dir := strings.TrimSuffix(e.Path, "/")
			if file == dir || strings.HasPrefix(file, dir+"/") {
				if _, ok := l.read(l.local(file)); ok {
					l.at(*e.Rule, Warning, CodeIgnoreProject, "This excludes %s: the job would run in another environment.", file)
				}
			}
		}
	}
}

// anchor makes a problem that belongs to the bundle as a whole.
func (l *ignoreLint) anchor(severity Severity, code, message string) *Problem {
	file := l.local(ignoreName)
	if _, ok := l.read(file); !ok {
		for _, name := range []string{"Project.toml", "JuliaProject.toml"} {
			if _, ok := l.read(l.local(name)); ok {
				file = l.local(name)
				break
			}
		}
	}
	l.problems = append(l.problems, Problem{File: file, WholeLine: true, Severity: severity, Code: code, Message: message})
	return &l.problems[len(l.problems)-1]
}

// size compares the bundle with what the server takes.
func (l *ignoreLint) size() {
	size := max(l.plan.TarSize, l.plan.Bytes)
	switch {
	case size > bundleLimit:
		l.anchor(Error, CodeBundleSize, fmt.Sprintf("The bundle has %.2f GiB, more than the 2 GiB that the server takes.", gib(size)))
	case size > nearLimit:
		l.anchor(Warning, CodeBundleSize, fmt.Sprintf("The bundle has %.2f GiB; the server takes 2 GiB.", gib(size)))
	}
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// PlanError turns the error of bundle.NewPlan into problems where it says which
// file is to blame; nil for other errors, which the submission itself reports.
func PlanError(root string, err error, read Read) []Problem {
	l := ignoreLint{plan: &bundle.Plan{Root: root}, read: read, texts: map[string]text{}}
	var (
		ignore *bundle.IgnoreError
		script *bundle.ScriptError
		syntax *bundle.TOMLError
		size   *bundle.SizeError
		pkg    *bundle.PackageError
	)
	switch {
	case errors.As(err, &ignore):
		l.atLine(ignore.File, ignore.Line, CodeIgnoreSyntax, fmt.Sprintf("%s is no pattern: %s.", ignore.Pattern, strings.TrimSuffix(ignore.Reason, ".")))
	case errors.As(err, &script) && script.Rule != nil:
		l.at(*script.Rule, Error, CodeIgnoreScript, "This excludes the script %s: the job could not run it.", filepath.Base(script.Script))
	case errors.As(err, &syntax):
		l.atLine(syntax.File, max(1, syntax.Line), CodeProjectTOML, "This is not TOML: "+strings.TrimSuffix(syntax.Message, ".")+".")
	case errors.As(err, &size):
		l.anchor(Error, CodeBundleSize, sizeMessage(size))
	case errors.As(err, &pkg) && pkg.Manifest != "":
		l.packageProblem(pkg)
	}
	return l.problems
}

func (l *ignoreLint) atLine(file string, line int, code, message string) {
	p := Problem{File: file, Severity: Error, Code: code, Message: message}
	t := l.text(file)
	from, to := t.line(line)
	t.place(&p, from, to)
	l.problems = append(l.problems, p)
}

func sizeMessage(e *bundle.SizeError) string {
	var names []string
	for _, f := range e.Largest {
		names = append(names, f.Path)
	}
	return fmt.Sprintf("The bundle has %.2f GiB, more than the %.0f GiB that the server takes. The largest files: %s.", gib(e.Bytes), gib(e.Limit), strings.Join(names, ", "))
}

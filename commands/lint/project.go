package lint

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/bundle"
	"juliahub-lsp/internal/tomlpos"
)

// ProjectInput is what the lint of a project looks at.
type ProjectInput struct {
	ProjectFile  string // absolute
	ManifestFile string // absolute; "" = there is none
	Read         Read
	IsFile       func(path string) bool

	AsScript  bool   // the project goes with a script job: no files travel
	Undecided bool   // it may go with a script job: what that would lack are hints
	Julia     string // the job's Julia "1.10"; "" = unknown
}

// Project finds what is wrong with a project and its manifest.
func Project(in ProjectInput) []Problem {
	l := projectLint{in: in}
	project, body := l.parse(in.ProjectFile)
	if project != nil {
		l.project(project, body)
	}
	if in.ManifestFile != "" {
		if manifest, layout := l.parse(in.ManifestFile); manifest != nil {
			l.manifest(manifest, layout)
			if project != nil {
				l.stale(project, body, manifest)
			}
		}
	}
	return sorted(l.problems)
}

type projectLint struct {
	in       ProjectInput
	problems []Problem
}

// parse reads a TOML file; nil when it is not there or is broken (which is reported).
func (l *projectLint) parse(file string) (map[string]any, *tomlpos.Layout) {
	body, ok := l.in.Read(file)
	if !ok {
		return nil, nil
	}
	tree := map[string]any{}
	if _, err := toml.Decode(string(body), &tree); err != nil {
		l.syntax(file, string(body), err)
		return nil, nil
	}
	return tree, tomlpos.Scan(string(body))
}

func (l *projectLint) syntax(file, body string, err error) {
	p := Problem{File: file, Severity: Error, Code: CodeProjectTOML, Message: "This is not TOML: " + err.Error() + "."}
	var parse toml.ParseError
	if errors.As(err, &parse) {
		p.Message = "This is not TOML: " + strings.TrimSuffix(parse.Message, ".") + "."
		from := parse.Position.Start
		if strings.HasPrefix(body, "\ufeff") {
			from += len("\ufeff") // the parser counts from behind the mark
		}
		newText(body).place(&p, from, from+max(1, parse.Position.Len))
	}
	l.problems = append(l.problems, p)
}

// add makes a problem at the value of a path, or at the nearest key above it.
func (l *projectLint) add(file string, at *tomlpos.Layout, path []string, severity Severity, code, message string, fixes ...Fix) {
	p := Problem{File: file, Severity: severity, Code: code, Message: message, Fixes: fixes}
	for n := len(path); n > 0; n-- {
		if e, ok := at.Find(path[:n]...); ok {
			p.Line, p.Col = at.Position(e.Value.From)
			p.EndLine, p.EndCol = at.Position(e.Value.To)
			break
		}
	}
	l.problems = append(l.problems, p)
}

func (l *projectLint) project(tree map[string]any, at *tomlpos.Layout) {
	file := l.in.ProjectFile
	if deps, _ := tree["deps"].(map[string]any); len(deps) > 0 && l.in.ManifestFile == "" {
		l.add(file, at, []string{"deps"}, Warning, CodeNoManifest, "This project has no manifest: the job will resolve the newest versions of its packages. Pkg.resolve() writes one.", l.resolveFix())
	}
	sources, _ := tree["sources"].(map[string]any)
	for _, name := range sortedNames(sources) {
		source, _ := sources[name].(map[string]any)
		l.pathPackage(file, at, name, source, []string{"sources", name, "path"})
	}
	compat, _ := tree["compat"].(map[string]any)
	spec, _ := compat["julia"].(string)
	if ok, known := allows(spec, l.in.Julia); spec != "" && known && !ok {
		l.add(file, at, []string{"compat", "julia"}, Warning, CodeCompatJulia, fmt.Sprintf("The job runs Julia %s, which %q does not allow.", l.in.Julia, spec))
	}
}

func (l *projectLint) manifest(tree map[string]any, at *tomlpos.Layout) {
	file := l.in.ManifestFile
	if version, ok := tree["julia_version"].(string); ok && l.in.Julia != "" && minor(version) != minor(l.in.Julia) {
		l.add(file, at, []string{"julia_version"}, Warning, CodeManifestJulia,
			fmt.Sprintf("This manifest was resolved with Julia %s; the job runs %s.", version, l.in.Julia), l.resolveFix(), withoutManifestFix)
	}
	entries, prefix := packagesOf(tree)
	for _, name := range sortedNames(entries) {
		list, _ := entries[name].([]map[string]any)
		for i, entry := range list {
			l.pathPackage(file, at, name, entry, append(slices.Clone(prefix), name, fmt.Sprintf("[%d]", i), "path"))
		}
	}
}

// packagesOf are the packages of a manifest by name, and the path to them.
func packagesOf(tree map[string]any) (entries map[string]any, prefix []string) {
	if _, ok := tree["manifest_format"]; !ok {
		return tree, nil
	}
	entries, _ = tree["deps"].(map[string]any)
	return entries, []string{"deps"}
}

// stale finds what the project asks for and its manifest does not have: it was
// resolved before that was added.
func (l *projectLint) stale(project map[string]any, at *tomlpos.Layout, manifest map[string]any) {
	deps, _ := project["deps"].(map[string]any)
	entries, _ := packagesOf(manifest)
	for _, name := range sortedNames(deps) {
		list, _ := entries[name].([]map[string]any)
		if uuid, ok := deps[name].(string); ok && !slices.ContainsFunc(list, func(entry map[string]any) bool { return entry["uuid"] == nil || entry["uuid"] == uuid }) {
			l.add(l.in.ProjectFile, at, []string{"deps", name}, Warning, CodeManifestStale,
				fmt.Sprintf("The manifest does not have %s: it was resolved before that was added, and the job will not find the package.", name), l.resolveFix(), withoutManifestFix)
		}
	}
}

// resolveFix lets Julia write the manifest, with the job's version if that is known.
func (l *projectLint) resolveFix() Fix {
	if l.in.Julia == "" {
		return Fix{Title: "Resolve with Julia", Command: ResolveManifest}
	}
	version := minor(l.in.Julia)
	return Fix{Title: "Resolve with Julia " + version, Command: ResolveManifest, Julia: version}
}

// withoutManifestFix lets the job resolve the newest versions.
var withoutManifestFix = Fix{Title: "Send without a manifest", Command: WithoutManifest}

// pathPackage looks at a package that is tracked by a path.
func (l *projectLint) pathPackage(file string, at *tomlpos.Layout, name string, entry map[string]any, where []string) {
	rel, ok := entry["path"].(string)
	if !ok {
		return
	}
	dir := filepath.FromSlash(rel)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(file), dir)
	}
	switch {
	case !l.in.IsFile(filepath.Join(dir, "Project.toml")) && !l.in.IsFile(filepath.Join(dir, "JuliaProject.toml")):
		l.add(file, at, where, Error, CodePackageMissing, fmt.Sprintf("There is no package %s at %s.", name, dir))
	case l.in.AsScript, l.in.Undecided:
		severity := Warning
		if !l.in.AsScript {
			severity = Hint
		}
		l.add(file, at, where, severity, CodePackageStays,
			fmt.Sprintf("%s is tracked by a path: a script job will not have it. Submit the project as appbundle instead.", name), bundleFix)
	}
}

// packageProblem turns a failed plan's package into a problem in the manifest.
func (l *ignoreLint) packageProblem(e *bundle.PackageError) {
	p := Problem{File: e.Manifest, Severity: Error, Code: CodePackageMissing, Message: fmt.Sprintf("Package %s: %s.", e.Package, strings.TrimSuffix(e.Reason, "."))}
	body, _ := l.read(e.Manifest)
	at := tomlpos.Scan(string(body))
	for _, path := range [][]string{
		{"deps", e.Package, "[0]", "path"}, {e.Package, "[0]", "path"}, {"sources", e.Package, "path"},
		{"deps", e.Package}, {e.Package},
	} {
		if entry, ok := at.Find(path...); ok {
			p.Line, p.Col = at.Position(entry.Value.From)
			p.EndLine, p.EndCol = at.Position(entry.Value.To)
			break
		}
	}
	l.problems = append(l.problems, p)
}

func sortedNames(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// minor cuts a version to "X.Y".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

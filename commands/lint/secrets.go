package lint

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/settings"
)

// mostFiles is how many files of one kind are findings of their own: beyond
// that one says how many more there are.
const mostFiles = 10

// fileKinds says how the plan's warnings about files are shown.
var fileKinds = []struct {
	plan, code string
	severity   Severity
	one, more  string
}{
	{"secret", CodeSecret, Warning, "%s would be sent: it is called as files with secrets are.", "%d more files would be sent that are called as files with secrets are."},
	{"large-file", CodeLargeFile, Information, "%s would be sent: it has more than 50 MiB.", "%d more files of more than 50 MiB would be sent."},
	{"build-output", CodeBuildOutput, Information, "%s would be sent: it looks like build output.", "%d more would be sent that look like build output."},
}

// secrets tells of files that would be sent and look as if they should not.
func (l *ignoreLint) secrets() {
	for _, kind := range fileKinds {
		count := 0
		for _, w := range l.plan.Warnings {
			if w.Code != kind.plan || w.Path == "" {
				continue
			}
			if count++; count > mostFiles {
				continue
			}
			p := l.anchor(kind.severity, kind.code, fmt.Sprintf(kind.one, w.Path))
			p.Fixes = l.leaveOut(w.Path)
		}
		if count > mostFiles {
			l.anchor(kind.severity, kind.code, fmt.Sprintf(kind.more, count-mostFiles))
		}
	}
}

// leaveOut offers to exclude a path of the bundle: in the ignore file that counts
// for it, of the project or of the package that it belongs to.
func (l *ignoreLint) leaveOut(inBundle string) []Fix {
	root, rest := l.plan.Root, inBundle
	if strings.HasPrefix(inBundle, ".bundle/") {
		at := l.packageOf(inBundle)
		if at == nil || strings.HasPrefix(inBundle, ".bundle/depot/") {
			return nil
		}
		root, rest = at.From, strings.TrimPrefix(inBundle, at.To+"/")
	}
	dir := l.ignoreDir(root, rest)
	file := filepath.Join(root, filepath.FromSlash(dir), ignoreName)
	if dir != "." {
		rest = strings.TrimPrefix(rest, dir+"/")
	}
	return []Fix{{
		Title: fmt.Sprintf("Add %s to %s", rest, path.Join(dir, ignoreName)),
		Edits: []Edit{{File: file, NewText: ignoreLine(rest), Append: true}},
	}}
}

// ignoreDir is the directory, below a root, of the ignore file that counts for a
// path: the nearest that there is, else the root, ".".
func (l *ignoreLint) ignoreDir(root, rel string) string {
	for dir := path.Dir(rel); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if _, ok := l.read(filepath.Join(root, filepath.FromSlash(dir), ignoreName)); ok {
			return dir
		}
	}
	return "."
}

func (l *ignoreLint) packageOf(inBundle string) *bundle.Package {
	for i := range l.plan.Packages {
		if p := &l.plan.Packages[i]; strings.HasPrefix(inBundle, p.To+"/") {
			return p
		}
	}
	return nil
}

// packageRules tells of rules that keep a package from where the job looks for
// it, or that count for the project alone.
func (l *ignoreLint) packageRules() {
	for _, w := range l.plan.Warnings {
		if w.File == "" || !ours(w.File) {
			continue
		}
		at := bundle.RuleRef{File: w.File, Line: w.Line}
		switch w.Code {
		case "package-excluded":
			l.at(at, Warning, CodeIgnorePackage, "%s", sentence(w.Message))
		case "rule-not-applied":
			l.at(at, Information, CodeIgnoreNotThere, "%s", sentence(w.Message))
		}
	}
}

// sentence makes a plan's message one.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return settings.Capital(strings.TrimSuffix(s, ".")) + "."
}

// special are the characters that mean something in a rule, and the ends of
// lines, which no rule can hold.
var special = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, "\n", "?", "\r", "?")

// ignoreLine is the rule that excludes one path alone, next to the ignore file
// of the path's root. White space at its ends would be no part of it otherwise.
func ignoreLine(p string) string {
	line := special.Replace(p)
	if first, size := utf8.DecodeRuneInString(line); unicode.IsSpace(first) {
		line = "[" + line[:size] + "]" + line[size:]
	}
	if last, size := utf8.DecodeLastRuneInString(line); unicode.IsSpace(last) {
		line = line[:len(line)-size] + "[" + line[len(line)-size:] + "]"
	}
	if strings.HasPrefix(line, "!") || strings.HasPrefix(line, "#") {
		return `\` + line
	}
	return line
}

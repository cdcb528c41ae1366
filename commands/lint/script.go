package lint

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// ScriptInput is what the lint of a script looks at.
type ScriptInput struct {
	File string // absolute; "" = a buffer without a file
	Text string

	WithoutBundle bool     // it is to go as a script job
	Undecided     bool     // it may go as a script job: what that would lack are hints
	PathPackages  []string // packages that its environment tracks by a path
	OwnPackage    string   // name of the package that its environment is; "" = none
	NoEnvironment bool     // no project was found for it, and none was asked for
	Shared        string   // the shared environment to name in the hint, e.g. "@v1.10"
	Exists        func(path string) bool
}

// bundleFix is the way out of most of these findings.
var bundleFix = Fix{Title: "Submit as appbundle", Command: SubmitAsBundle}

// Script finds what will not work as it does here when a script is submitted.
func Script(in ScriptInput) []Problem {
	list := tokenLists.Get().(*[]token)
	*list = tokens((*list)[:0], in.Text)
	defer func() {
		clear(*list) // they hold the script
		tokenLists.Put(list)
	}()
	l := scriptLint{in: in, text: newText(in.Text), tokens: *list}
	used := l.packages()
	if in.WithoutBundle || in.Undecided {
		l.files()
		l.ownPackage(used)
		l.pathPackages(used)
		l.mainGuard()
	}
	if !in.WithoutBundle {
		soften(l.problems)
	}
	l.noEnvironment(used)
	l.results()
	l.port()
	return sorted(l.problems)
}

// soften makes hints of what counts only if the job goes without a bundle.
func soften(problems []Problem) {
	for i := range problems {
		problems[i].Severity = Hint
	}
}

// tokenLists are lists of tokens that nobody needs any more.
var tokenLists = sync.Pool{New: func() any { return new([]token) }}

type scriptLint struct {
	in       ScriptInput
	text     text
	tokens   []token
	problems []Problem
}

// add makes a problem from the start of one token to the end of another.
func (l *scriptLint) add(from, to token, severity Severity, code, message string, fixes ...Fix) {
	p := Problem{File: l.in.File, Severity: severity, Code: code, Message: message, Fixes: fixes}
	l.text.place(&p, from.from, to.to)
	l.problems = append(l.problems, p)
}

// at returns a token, or a line end where there is none.
func (l *scriptLint) at(i int) token {
	if i < 0 || i >= len(l.tokens) {
		return token{kind: newline, text: "\n"}
	}
	return l.tokens[i]
}

// files finds the local files that a script names.
func (l *scriptLint) files() {
	reported := map[int]bool{} // by offset: one finding for one string
	for i, t := range l.tokens {
		switch {
		case t.is("include") && l.at(i+1).is("("):
			if arg, ok := l.includeArgument(i + 1); ok && !filepath.IsAbs(arg.text) {
				reported[arg.from] = true
				l.add(arg, arg, Warning, CodeScriptInclude, fmt.Sprintf("%s is not sent with a script job: submit as appbundle.", arg.text), bundleFix)
			}
		case t.is("@__DIR__"):
			if arg, ok := l.joined(i); ok && !reported[arg.from] {
				reported[arg.from] = true
				l.add(arg, arg, Warning, CodeScriptDir, fmt.Sprintf("The file %s is not sent with a script job: submit as appbundle.", arg.text), bundleFix)
			}
		case t.kind == literal && !t.command && !t.prefix && strings.HasPrefix(t.text, "$(@__DIR__)/") && !strings.Contains(t.text[len("$(@__DIR__)/"):], "$"):
			l.add(t, t, Warning, CodeScriptDir, fmt.Sprintf("The file %s is not sent with a script job: submit as appbundle.", t.text[len("$(@__DIR__)/"):]), bundleFix)
		case t.plain() && l.localPath(t.text):
			l.add(t, t, Warning, CodeScriptAbsolute, fmt.Sprintf("%s is on this machine: the job will not have it.", t.text), bundleFix)
		}
	}
}

// includeArgument finds the path in include("x"), include(f, "x") and
// Base.include(Main, "x"): the last argument, if it is a plain string.
func (l *scriptLint) includeArgument(open int) (token, bool) {
	depth := 0
	for i := open; i < len(l.tokens); i++ {
		switch t := l.tokens[i]; {
		case t.is("(") || t.is("["):
			depth++
		case t.is(")") || t.is("]"):
			depth--
			if depth == 0 {
				before := l.at(i - 1)
				alone := l.at(i-2).is("(") || l.at(i-2).is(",")
				return before, before.plain() && alone
			}
		}
	}
	return token{}, false
}

// joined finds the string that is put behind @__DIR__: joinpath(@__DIR__, "x"),
// @__DIR__() and @__DIR__ * "/x" too.
func (l *scriptLint) joined(i int) (token, bool) {
	next := i + 1
	if l.at(next).is("(") && l.at(next+1).is(")") {
		next += 2
	}
	if l.at(next).is(")") && l.at(i-1).is("(") {
		next++
	}
	t := l.at(next + 1)
	return t, (l.at(next).is(",") || l.at(next).is("*")) && t.plain()
}

// everywhere are directories that a job's machine has as well.
var everywhere = []string{"/dev", "/proc", "/sys", "/tmp", "/usr", "/bin", "/lib", "/etc", "/opt"}

// localPath reports whether a string names something on this machine alone.
func (l *scriptLint) localPath(s string) bool {
	if !filepath.IsAbs(s) || l.in.Exists == nil || strings.ContainsAny(s, "\n*?") || len(s) > 1000 {
		return false
	}
	clean := filepath.Clean(s)
	slash := filepath.ToSlash(clean)
	if filepath.Dir(clean) == clean || slices.Contains(everywhere, slash) {
		return false
	}
	for _, dir := range []string{"/dev/", "/proc/", "/sys/"} {
		if strings.HasPrefix(slash, dir) {
			return false
		}
	}
	return l.in.Exists(clean)
}

// use is a package that a script loads.
type use struct {
	name string
	at   token
}

// packages finds what using and import load, relative modules left out.
func (l *scriptLint) packages() []use {
	var out []use
	for i := 0; i < len(l.tokens); i++ {
		before := l.at(i - 1)
		starts := before.kind == newline || before.is(";") || before.kind == ident
		if t := l.tokens[i]; starts && (t.is("using") || t.is("import")) {
			out = append(out, l.useList(i+1)...)
		}
	}
	return out
}

func (l *scriptLint) useList(i int) (out []use) {
	for ; ; i++ {
		for l.at(i-1).is(",") && l.at(i).kind == newline && i < len(l.tokens) {
			i++ // a list goes on behind a comma
		}
		t := l.at(i)
		if t.kind == ident {
			out = append(out, use{t.text, t})
		} else if !t.is(".") {
			return out
		}
		for l.at(i).kind == ident || l.at(i).is(".") {
			i++ // A.B.C, .Local
		}
		if !l.at(i).is(",") {
			return out
		}
	}
}

func (l *scriptLint) ownPackage(used []use) {
	for _, u := range used {
		if u.name == l.in.OwnPackage {
			l.add(u.at, u.at, Warning, CodeScriptPackage, fmt.Sprintf("%s is the package of this environment: its code is not sent with a script job. Submit as appbundle.", u.name), bundleFix)
		}
	}
}

// pathPackages finds packages that stay on this machine.
func (l *scriptLint) pathPackages(used []use) {
	for _, u := range used {
		if u.name != l.in.OwnPackage && slices.Contains(l.in.PathPackages, u.name) {
			l.add(u.at, u.at, Warning, CodePackageStays, PackageStays(u.name), bundleFix)
		}
	}
}

// PackageStays says that a script job will lack a package.
func PackageStays(name string) string {
	return name + " is tracked by a path: a script job will not have it. Submit as appbundle."
}

// mainGuard finds code that runs only when the file is the program.
func (l *scriptLint) mainGuard() {
	for i, t := range l.tokens {
		switch {
		case t.is("@main"):
			l.add(t, t, Warning, CodeScriptMain, "A script job does not call @main: call it yourself, or submit as appbundle.", bundleFix)
		case t.is("PROGRAM_FILE") && l.comparedToFile(i):
			l.add(t, t, Warning, CodeScriptMain, "In a script job PROGRAM_FILE is another program: what this guards is skipped. Submit as appbundle, or call it without the guard.", bundleFix)
		}
	}
}

// comparedToFile looks for @__FILE__ in the line of a token.
func (l *scriptLint) comparedToFile(i int) bool {
	for _, step := range []int{-1, 1} {
		for j := i + step; l.at(j).kind != newline; j += step {
			if l.at(j).is("@__FILE__") {
				return true
			}
		}
	}
	return false
}

// standard are the modules that every Julia has, and what job images bring.
var standard = strings.Fields(`Base Core Main ArgTools Artifacts Base64 CRC32c Dates DelimitedFiles Distributed Downloads
	FileWatching Future InteractiveUtils JuliaHubDistributed JuliaSyntaxHighlighting LazyArtifacts LibCURL LibGit2 Libdl
	LinearAlgebra Logging Markdown Mmap NetworkOptions Pkg Printf Profile REPL Random SHA Serialization SharedArrays
	Sockets SparseArrays Statistics StyledStrings SuiteSparse TOML Tar Test UUIDs Unicode`)

func (l *scriptLint) noEnvironment(used []use) {
	if !l.in.NoEnvironment {
		return
	}
	var names []string
	var first use
	for _, u := range used {
		if slices.Contains(standard, u.name) || strings.HasSuffix(u.name, "_jll") || slices.Contains(names, u.name) {
			continue
		}
		if names = append(names, u.name); len(names) == 1 {
			first = u
		}
	}
	if len(names) == 0 {
		return
	}
	shared := l.in.Shared
	if shared == "" {
		shared = "@v1.x"
	}
	l.add(first.at, first.at, Hint, CodeNoEnvironment, fmt.Sprintf(
		"No project was found for this script: the job will not have %s. Put a Project.toml beside it, or set the profile's environment to %q.", strings.Join(names, ", "), shared))
}

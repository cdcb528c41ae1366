package bundle

import (
	"strings"
)

// ignoreName is the name of the files that say what stays out of a bundle.
const ignoreName = ".juliabundleignore"

// ignoreFile holds the rules of one ignore file in their order.
type ignoreFile struct {
	file  string // absolute
	dir   string // of the tree, relative to its root with "/", "" for the root
	rules []*rule

	content string

	// from is the version of the file before this one, nil if it is not known:
	// its first head rules and its last tail ones are the same.
	from       *ignoreFile
	head, tail int
}

// rule is one line of an ignore file. The same rule is tried on many paths:
// what it decided is counted in the plan, not here.
type rule struct {
	file    *ignoreFile
	line    int // 1-based
	at      int // in the file's rules
	text    string
	negated bool
	glob    *glob
}

// parseIgnore reads the text of an ignore file that stands in dir.
func parseIgnore(file, dir string, text []byte) (*ignoreFile, error) {
	f := &ignoreFile{file: file, dir: dir, content: string(text)}
	body := strings.TrimPrefix(f.content, "\ufeff")
	number := 0
	for line := range strings.SplitSeq(body, "\n") {
		number++
		r, err := parseRule(line)
		if err != nil {
			return nil, &IgnoreError{File: file, Line: number, Pattern: strings.TrimFunc(line, isSpace), Reason: err.Error()}
		}
		if r != nil {
			r.file, r.line, r.at = f, number, len(f.rules)
			f.rules = append(f.rules, r)
		}
	}
	return f, nil
}

// parseRule returns nil for an empty line and a comment.
func parseRule(line string) (*rule, error) {
	text := strings.TrimFunc(line, isSpace)
	if text == "" || text[0] == '#' {
		return nil, nil
	}
	r := &rule{text: text}
	pattern := text
	switch {
	case text[0] == '!':
		r.negated, pattern = true, text[1:]
	case strings.HasPrefix(text, `\!`), strings.HasPrefix(text, `\#`):
		pattern = text[1:]
	}
	var err error
	r.glob, err = compileGlob(pattern)
	return r, err
}

// decide returns the last rule that matches the path (relative to the tree's
// root, with "/"), nil if none does. A directory is also tried with a "/" at its
// end.
func (f *ignoreFile) decide(path string, isDir bool) *rule {
	if f == nil {
		return nil
	}
	return f.decideBy(path, isDir, 0, len(f.rules))
}

// decideBy is decide with some of the rules alone: from the first up to the last,
// which is not among them.
func (f *ignoreFile) decideBy(path string, isDir bool, first, last int) *rule {
	if first >= last {
		return nil
	}
	rel := path
	if f.dir != "" {
		rel = path[len(f.dir)+1:]
	}
	withSlash := ""
	if isDir {
		withSlash = rel + "/"
	}
	for i := last - 1; i >= first; i-- {
		r := f.rules[i]
		if r.glob.match(rel) || isDir && r.glob.match(withSlash) {
			return r
		}
	}
	return nil
}

// follow notes which rules this version of an ignore file has in common with the
// one before.
func (f *ignoreFile) follow(before *ignoreFile) {
	before.from = nil // one version back is enough: nobody asks for more
	f.from = before
	most := min(len(f.rules), len(before.rules))
	for f.head < most && f.rules[f.head].text == before.rules[f.head].text {
		f.head++
	}
	for f.tail < most-f.head && f.rules[len(f.rules)-1-f.tail].text == before.rules[len(before.rules)-1-f.tail].text {
		f.tail++
	}
}

// decideAgain is decide for a path on which another ignore file, or nil, decided
// before. After an edit only the rules that are new have to be tried, mostly:
// people edit one line, and a tree has many paths.
func (f *ignoreFile) decideAgain(path string, isDir bool, by *ignoreFile, before *rule) *rule {
	if f == nil || by == nil || f.from != by || before != nil && before.file != by {
		return f.decide(path, isDir)
	}
	if before != nil && before.at >= len(by.rules)-f.tail {
		return f.rules[before.at-len(by.rules)+len(f.rules)] // what comes after it did not match, and does not now
	}
	if r := f.decideBy(path, isDir, f.head, len(f.rules)-f.tail); r != nil || before == nil {
		return r
	}
	if before.at < f.head {
		return f.rules[before.at]
	}
	return f.decideBy(path, isDir, 0, f.head)
}

// excludes reports whether a verdict of decide leaves the path out.
func (r *rule) excludes() bool { return r != nil && !r.negated }

// ignoreLine returns the line that excludes exactly one path when it stands in
// the ignore file of the path's root.
func ignoreLine(path string) string {
	escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
	if escaped[0] == '!' || escaped[0] == '#' {
		escaped = `\` + escaped
	}
	return escaped
}

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
}

// rule is one line of an ignore file. The same rule is tried on many paths:
// what it decided is counted in the plan, not here.
type rule struct {
	file    *ignoreFile
	line    int // 1-based
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
			r.file, r.line = f, number
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
	if f == nil || len(f.rules) == 0 {
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
	for i := len(f.rules) - 1; i >= 0; i-- {
		r := f.rules[i]
		if r.glob.match(rel) || isDir && r.glob.match(withSlash) {
			return r
		}
	}
	return nil
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

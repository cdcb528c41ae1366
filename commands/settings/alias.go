package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AliasValues take the place of an alias template's placeholders.
type AliasValues struct {
	File    string    // {file}: name of the submitted file
	Project string    // {project}: name of the project's directory or package
	Branch  string    // {branch}: git branch; "" outside git
	Commit  string    // {commit}: git commit, cut to 8 digits; "" outside git
	Profile string    // {profile}
	Time    time.Time // {date}: YYYY-MM-DD in its own zone
}

// Placeholders are the names that an alias template knows.
var Placeholders = []string{"file", "project", "branch", "commit", "date", "profile"}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// ExpandAlias fills a template in. Placeholders without a value vanish together
// with the spaces around them; unknown ones stay as they are.
func ExpandAlias(template string, v AliasValues) string {
	commit := v.Commit
	if len(commit) > 8 {
		commit = commit[:8]
	}
	values := map[string]string{
		"file": v.File, "project": v.Project, "branch": v.Branch,
		"commit": commit, "profile": v.Profile, "date": v.Time.Format(time.DateOnly),
	}
	filled := placeholder.ReplaceAllStringFunc(template, func(m string) string {
		if value, ok := values[m[1:len(m)-1]]; ok {
			return value
		}
		return m
	})
	return strings.Join(strings.Fields(filled), " ")
}

// checkAlias reports the first placeholder that does not exist.
func checkAlias(template string) error {
	for _, m := range placeholder.FindAllStringSubmatch(template, -1) {
		if slices.Contains(Placeholders, m[1]) {
			continue
		}
		known := "{" + strings.Join(Placeholders, "} {") + "}"
		e := &valueError{message: fmt.Sprintf("{%s} means nothing here; known are %s", m[1], known)}
		if near := Nearest(m[1], Placeholders); near != "" {
			e.message += fmt.Sprintf(". Did you mean {%s}?", near)
			e.suggestion = quote(strings.ReplaceAll(template, m[0], "{"+near+"}"))
		}
		return e
	}
	return nil
}

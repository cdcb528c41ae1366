package lint

import (
	"fmt"
	"strings"
)

// secrets tells of files that would be sent and look as if they should not.
func (l *ignoreLint) secrets() {
	for _, w := range l.plan.Warnings {
		if w.Path == "" || w.Code != "secret" && w.Code != "large-file" || strings.HasPrefix(w.Path, ".bundle/") {
			continue
		}
		p := l.anchor(Warning, CodeSecret, fmt.Sprintf("%s would be sent: it is called as files with secrets are.", w.Path))
		if w.Code == "large-file" {
			p.Severity, p.Code = Information, CodeLargeFile
			p.Message = fmt.Sprintf("%s would be sent: it has more than 50 MiB.", w.Path)
		}
		p.Fixes = []Fix{{
			Title: fmt.Sprintf("Add %s to %s", w.Path, ignoreName),
			Edits: []Edit{{File: l.local(ignoreName), NewText: l.lineEnd() + ignoreLine(w.Path) + "\n", Append: true}},
		}}
	}
}

// lineEnd is what the root's ignore file lacks at its end before a line can be added.
func (l *ignoreLint) lineEnd() string {
	body, _ := l.read(l.local(ignoreName))
	if len(body) == 0 || body[len(body)-1] == '\n' {
		return ""
	}
	return "\n"
}

// ignoreLine is the rule that excludes one path alone, next to the root's ignore file.
func ignoreLine(p string) string {
	line := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
	if strings.HasPrefix(line, "!") || strings.HasPrefix(line, "#") {
		return `\` + line
	}
	return line
}

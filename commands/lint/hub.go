package lint

import (
	"fmt"

	"juliahub-lsp/commands/settings"
)

// Hub finds what is wrong in a JuliaHub.toml. path is absolute; body is the text
// as the editor shows it.
func Hub(path string, body []byte) []Problem {
	_, found := settings.Resolve(settings.Layers{HubPath: path, HubText: body})
	var out []Problem
	for _, f := range found {
		if f.Layer != settings.LayerFile {
			continue
		}
		p := Problem{
			File: path, Line: f.Line, Col: f.Col, EndLine: f.EndLine, EndCol: f.EndCol,
			Severity: Severity(f.Severity), Code: f.Code, Message: f.Message,
		}
		if f.Suggestion != "" {
			p.Fixes = []Fix{{
				Title: fmt.Sprintf("Replace by %s", f.Suggestion),
				Edits: []Edit{{
					File: path, Line: f.Line, Col: f.Col, EndLine: f.EndLine, EndCol: f.EndCol,
					Was: linesOf(string(body), f.Line, f.EndLine), NewText: f.Suggestion,
				}},
			}}
		}
		out = append(out, p)
	}
	return out
}

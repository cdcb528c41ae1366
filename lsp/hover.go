package lsp

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.lsp.dev/protocol"

	"juliahub-lsp/commands/settings"
)

// hover says what stands in JuliaHub.toml and what a rule of an ignore file
// does. On Julia code it says nothing: that is the Julia server's.
func (s *Server) hover(_ context.Context, w *world, p *positionParams) (any, error) {
	doc := w.document(p.TextDocument.URI)
	if doc == nil || doc.path == "" {
		return nil, nil
	}
	text := ""
	switch filepath.Base(doc.path) {
	case settings.HubFile:
		text = s.hubHover(doc, s.utf16Of(doc, *p.Position))
	case ignoreFile:
		text = s.ignoreHover(doc, s.utf16Of(doc, *p.Position))
	}
	if text == "" {
		return nil, nil
	}
	return &protocol.Hover{Contents: s.hoverText(text)}, nil
}

// hoverText is plain text as the client takes it. Where it knows only Markdown
// (Helix), or does not say, a block of code keeps the asterisks of patterns.
func (s *Server) hoverText(text string) protocol.HoverContents {
	if s.caps.plainHover {
		return &protocol.MarkupContent{Kind: protocol.MarkupKindPlainText, Value: text}
	}
	text = strings.ReplaceAll(text, "```", "'''")                            // would end the block
	return &protocol.MarkedStringWithLanguage{Language: "text", Value: text} //nolint:staticcheck // deprecated, and the only plain form that needs no capability
}

// byteOrderMark at the beginning of a text is a character of it for editors that
// leave it there. The commands do not count it.
const byteOrderMark = "\ufeff"

// utf16Of is a client's position with its column as the commands count: in
// UTF-16 units, a byte-order mark not among them.
func (s *Server) utf16Of(doc *document, at position) position {
	here := spanOf(rangeOf(doc.text, span{at, at}, s.encoding)).Start
	if here.Line == 0 && here.Character > 0 && strings.HasPrefix(doc.text, byteOrderMark) {
		here.Character--
	}
	return here
}

// hubHover says what a key means, and of a profile's name what it comes to.
func (s *Server) hubHover(doc *document, at position) string {
	cursor := settings.ParseHub([]byte(doc.text)).At(int(at.Line), int(at.Character))
	if name, ok := cursor.Profile(); ok {
		whole := settings.Mend([]byte(doc.text)) // the line below may be half typed
		if slices.Contains(settings.ParseHub(whole).Profiles, name) {
			return plain("Profile " + name + "\n\n" + s.session.ProfileText(doc.path, whole, name))
		}
	}
	key, field, ok := cursor.KeyAt()
	if !ok {
		return ""
	}
	name, kind, about, values := key.Name, key.Type, key.Doc, key.Values
	if field.Name != "" {
		name, kind, about, values = key.Name+"."+field.Name, field.Type, field.Doc, field.Values
	}
	lines := []string{name + " (" + kind + ")", about}
	if len(values) > 0 {
		lines = append(lines, "One of: "+strings.Join(values, ", ")+".")
	}
	if key.Default != nil && key.Default != "" && field.Name == "" {
		lines = append(lines, fmt.Sprintf("Default: %v.", key.Default))
	}
	if key.Example != "" && field.Name == "" {
		lines = append(lines, key.Name+" = "+key.Example)
	}
	return strings.Join(lines, "\n\n")
}

func (s *Server) ignoreHover(doc *document, at position) string {
	plan := s.advice.planOf(doc.path)
	if plan == nil {
		return ""
	}
	rule, ok := plan.rule(plan.inBundle(doc.path), int(at.Line)+1)
	if !ok || strings.TrimSpace(ignoreText(doc, at.Line)) != strings.TrimSpace(rule.Pattern) {
		return "" // the plan is of an earlier text
	}
	verb := "Keeps out"
	if rule.Negated {
		verb = "Lets back in"
	}
	out := fmt.Sprintf("%s %s, %s.", verb, plural(rule.MatchedFiles, "file"), bytesText(rule.MatchedBytes))
	if len(rule.Paths) > 0 {
		out += "\n\n" + strings.Join(rule.Paths, "\n")
		if more := rule.MatchedFiles - len(rule.Paths); more > 0 {
			out += "\n…"
		}
	}
	return plain(out)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bytesText says a size as people do.
func bytesText(n int64) string {
	switch {
	case n < 1000:
		return plural(int(n), "byte")
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

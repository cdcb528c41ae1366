package lsp

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/settings"
)

// completion offers keys and values in JuliaHub.toml and paths in an ignore
// file; nothing anywhere else.
func (s *Server) completion(_ context.Context, w *world, p *positionParams) (any, error) {
	items := []protocol.CompletionItem{}
	doc := w.document(p.TextDocument.URI)
	if doc == nil || doc.path == "" {
		return items, nil
	}
	switch filepath.Base(doc.path) {
	case settings.HubFile:
		at := s.utf16Of(doc, *p.Position)
		hub := settings.ParseHub([]byte(doc.text))
		cursor := hub.At(int(at.Line), int(at.Character))
		choices := hub.Choices(cursor)
		if cursor.Line == cursor.EndLine {
			choices = append(s.serverChoices(doc, hub, cursor), choices...)
		}
		for _, c := range choices {
			edit := commands.Problem{Line: cursor.Line, Col: cursor.Col, EndLine: cursor.EndLine, EndCol: cursor.EndCol}
			item := s.item(w, doc, edit, c.Label, c.Insert, protocol.CompletionItemKindProperty)
			if c.Doc != "" {
				item.Documentation = protocol.String(c.Doc)
			}
			items = append(items, item)
		}
	case ignoreFile:
		items = append(items, s.ignoreItems(w, doc, *p.Position)...)
	}
	if len(items) > mostItems {
		return &protocol.CompletionList{IsIncomplete: true, Items: items[:mostItems]}, nil
	}
	return items, nil
}

// mostItems is how many completions an editor gets at once: it asks again as
// more is typed.
const mostItems = 1000

// serverChoices are the values of a profile's key that the server offers, as far
// as that is known: sizes of nodes with their price, job images.
func (s *Server) serverChoices(doc *document, hub *settings.Hub, cursor settings.Cursor) []settings.Choice {
	key, field, ok := cursor.KeyAt()
	if !ok || !cursor.Value {
		return nil
	}
	var all []settings.Choice
	add := func(label, insert, about string) {
		known := func(c settings.Choice) bool { return c.Insert == insert }
		if insert != "" && !slices.ContainsFunc(all, known) {
			all = append(all, settings.Choice{Label: plain(label), Insert: insert, Doc: plain(about)})
		}
	}
	text := settings.Mend([]byte(doc.text))
	switch {
	case key.Name == "ncpu" || key.Name == "memory":
		nodes := s.session.KnownNodes(doc.path, text)
		slices.SortStableFunc(nodes, func(a, b commands.NodeRow) int { return cmp.Compare(a.PricePerHour, b.PricePerHour) })
		for _, n := range nodes {
			size := n.NCPU
			if key.Name == "memory" {
				size = n.Memory
			}
			what := fmt.Sprintf("%s: %d vCPU, %d GB, %s", n.Class, n.NCPU, n.Memory, n.Price())
			if n.GPU {
				what += ", GPU"
			}
			add(fmt.Sprintf("%d (%s)", size, what), fmt.Sprint(size), n.Description)
		}
	case key.Name == "image":
		for _, i := range s.session.KnownImages(doc.path, text) {
			whole := fmt.Sprintf(`{ product = "%s", name = "%s" }`, i.Product, i.Name)
			product := hub.Beside(cursor, "product")
			switch {
			case strings.ContainsAny(i.Product+i.Name, "\"\\\n"):
			case field.Name == "":
				add(whole, whole, "")
			case field.Name == "product":
				add(i.Product, `"`+i.Product+`"`, "")
			case field.Name == "name" && (product == "" || product == i.Product):
				add(i.Name, `"`+i.Name+`"`, "Product "+i.Product)
			}
		}
	}
	return all
}

// ignoreItems are the paths next to what is typed in a line of an ignore file.
func (s *Server) ignoreItems(w *world, doc *document, at position) []protocol.CompletionItem {
	plan := s.advice.planOf(doc.path)
	if plan == nil {
		return nil
	}
	here := s.utf16Of(doc, at)
	line := ignoreText(doc, here.Line)
	typed := line[:columnOffset(line, here.Character, utf16Units)]
	rule := strings.TrimPrefix(strings.TrimLeft(typed, " \t"), "!")
	if strings.HasPrefix(strings.TrimLeft(typed, " \t"), "#") {
		return nil
	}
	begin := columnAt(typed, len(typed)-len(rule), utf16Units)
	paths := plan.paths(plan.inBundle(doc.path), rule)
	items := make([]protocol.CompletionItem, 0, min(len(paths), mostItems+1))
	for _, path := range paths[:min(len(paths), mostItems+1)] {
		kind := protocol.CompletionItemKindFile
		if strings.HasSuffix(path, "/") {
			kind = protocol.CompletionItemKindFolder
		}
		edit := commands.Problem{Line: int(here.Line), Col: begin, EndLine: int(here.Line), EndCol: int(here.Character)}
		item := s.item(w, doc, edit, path, path, kind)
		item.SortText = protocol.NewOptional(fmt.Sprintf("%04d", len(items))) // directories first
		items = append(items, item)
	}
	return items
}

// ignoreText is a line of an ignore file as the commands count it: without a
// byte-order mark.
func ignoreText(doc *document, line int64) string {
	return strings.TrimPrefix(lineOf(doc.text, lineStarts(doc.text), int(line)), byteOrderMark)
}

// item is a completion that replaces a range, given as a problem's.
func (s *Server) item(w *world, doc *document, at commands.Problem, label, insert string, kind protocol.CompletionItemKind) protocol.CompletionItem {
	return protocol.CompletionItem{
		Label: label, Kind: kind, FilterText: protocol.NewOptional(insert),
		TextEdit: &protocol.TextEdit{Range: s.rangeIn(s.placeIn(w, doc.path), at), NewText: insert},
	}
}

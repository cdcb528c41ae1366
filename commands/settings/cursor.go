package settings

import (
	"slices"
	"strings"

	"juliahub-lsp/internal/tomlpos"
)

// Cursor is what stands at a place in a JuliaHub.toml, finished or not: what an
// editor needs for completion and hovers.
type Cursor struct {
	// Path is the key that the place belongs to, with the tables around it:
	// [profile gpu image product]. Where a key is being begun, its last part is
	// what is there of it, perhaps "".
	Path []string
	// Value says that the place is in the key's value, Header in a [table].
	Value, Header bool
	// Quoted says that the value at the place is a string.
	Quoted bool
	// Text is what stands there, a string without its quotes.
	Text string
	// Its range: 0-based lines and UTF-16 columns, the end exclusive, the quotes
	// of a string included.
	Line, Col, EndLine, EndCol int
}

// At says what stands at a place (0-based line, UTF-16 column).
func (h *Hub) At(line, col int) Cursor {
	l := h.layout
	offset := l.Offset(line, col)
	best := -1
	for i, e := range l.Entries {
		key := e.Key.From <= offset && offset <= e.Key.To
		value := e.Value.From <= offset && offset <= e.Value.To
		if key || value && (best < 0 || size(e.Value) <= size(l.Entries[best].Value)) {
			best = i // the innermost: later entries of a line are further inside
		}
	}
	if best >= 0 {
		e := l.Entries[best]
		inKey := e.Key.From <= offset && offset <= e.Key.To && (e.Header || e.Key != e.Value || !isElement(e.Path))
		if inKey || e.Header {
			return h.cursor(e.Path, e.Key, false, e.Header)
		}
		if !h.insideTable(e, offset) {
			return h.cursor(e.Path, e.Value, true, false)
		}
		return h.cursor(append(slices.Clone(e.Path), ""), tomlpos.Span{From: offset, To: offset}, false, false)
	}
	return h.between(offset)
}

func size(s tomlpos.Span) int { return s.To - s.From }

func isElement(path []string) bool {
	last := path[len(path)-1]
	return strings.HasPrefix(last, "[") && strings.HasSuffix(last, "]")
}

// insideTable reports whether a place is between the braces of an inline table.
func (h *Hub) insideTable(e tomlpos.Entry, offset int) bool {
	value := h.layout.Text[e.Value.From:e.Value.To]
	closed := strings.HasSuffix(value, "}")
	return strings.HasPrefix(value, "{") && offset > e.Value.From && (!closed || offset < e.Value.To)
}

func (h *Hub) cursor(path []string, s tomlpos.Span, value, header bool) Cursor {
	c := Cursor{Path: slices.Clone(path), Value: value, Header: header, Text: h.layout.Text[s.From:s.To]}
	c.Line, c.Col = h.layout.Position(s.From)
	c.EndLine, c.EndCol = h.layout.Position(s.To)
	if strings.HasPrefix(c.Text, `"`) || strings.HasPrefix(c.Text, "'") {
		c.Quoted = true
		c.Text = strings.Trim(c.Text, c.Text[:1])
	}
	return c
}

// between is a place at which nothing stands: behind "key =", or where a new key
// of the table above could begin.
func (h *Hub) between(offset int) Cursor {
	l := h.layout
	lineStart := strings.LastIndexByte(l.Text[:offset], '\n') + 1
	here := tomlpos.Span{From: offset, To: offset}
	var table []string
	for _, e := range l.Entries {
		if e.Key.From > offset {
			break
		}
		if e.Header {
			table = e.Path
		} else if e.Key.From >= lineStart && strings.TrimSpace(l.Text[e.Key.To:offset]) == "=" {
			return h.cursor(e.Path, here, true, false)
		}
	}
	before := strings.TrimSpace(l.Text[lineStart:offset])
	if strings.HasPrefix(before, "[") && !strings.Contains(before, "]") {
		return h.cursor([]string{""}, here, false, true)
	}
	return h.cursor(append(slices.Clone(table), ""), here, false, false)
}

// KeyAt returns the row of the table, and the field of a table's value, that a
// cursor's key names.
func (c Cursor) KeyAt() (Key, Field, bool) {
	path := slices.DeleteFunc(slices.Clone(c.Path), func(p string) bool { return strings.HasPrefix(p, "[") })
	profile := len(path) >= 3 && path[0] == "profile"
	switch {
	case profile:
		path = path[2:]
	case len(path) >= 2 && path[0] == "bundle":
		path = []string{path[0] + "." + path[1]}
	}
	if len(path) == 0 {
		return Key{}, Field{}, false
	}
	k, ok := lookup(path[0], profile)
	if !ok || len(path) == 1 {
		return k, Field{}, ok
	}
	for _, f := range k.Fields {
		if f.Name == path[1] && len(path) == 2 {
			return k, f, true
		}
	}
	return Key{}, Field{}, false
}

// Profile returns the profile that a cursor is on: the header of its table, or
// its name as the value of default-profile or inherits.
func (c Cursor) Profile() (string, bool) {
	switch {
	case len(c.Path) == 2 && c.Path[0] == "profile" && !c.Value:
		return c.Path[1], c.Path[1] != ""
	case c.Value && len(c.Path) == 1 && c.Path[0] == "default-profile",
		c.Value && len(c.Path) == 3 && c.Path[0] == "profile" && c.Path[2] == "inherits":
		return c.Text, c.Text != ""
	}
	return "", false
}

// Choice is something that can be written at a cursor.
type Choice struct {
	Label  string // the key or value as people see it
	Insert string // takes the place of the cursor's range
	Doc    string
}

// Choices lists what can be written at a cursor, as far as the table and the
// file know: keys that are not there yet, the names of profiles, fixed values.
// (Images and nodes are the server's.)
func (h *Hub) Choices(c Cursor) []Choice {
	switch {
	case c.Value:
		return h.values(c)
	case c.Header:
		out := []Choice{{"bundle", "bundle", "What bundles are made of."}, {"profile.NAME", "profile.", "How a job runs."}}
		if len(c.Path) > 1 {
			return nil
		}
		return out
	case len(c.Path) == 3 && c.Path[0] == "profile":
		return h.keyChoices(c, true)
	case len(c.Path) == 1:
		return h.keyChoices(c, false)
	case len(c.Path) == 4 && c.Path[0] == "profile":
		return h.fieldChoices(c)
	}
	return nil
}

// taken reports whether a key is in the file already, elsewhere than at the cursor.
func (h *Hub) taken(c Cursor, name string) bool {
	path := append(slices.Clone(c.Path[:len(c.Path)-1]), name)
	_, ok := h.layout.Find(path...)
	return ok && name != c.Path[len(c.Path)-1]
}

func (h *Hub) keyChoices(c Cursor, profile bool) []Choice {
	var out []Choice
	for _, k := range Keys {
		if k.Name == "" || k.Profile != profile || strings.Contains(k.Name, ".") || h.taken(c, k.Name) {
			continue
		}
		insert := k.Name
		if !h.hasValue(c) {
			insert += " = " + k.Example
		}
		out = append(out, Choice{k.Name, insert, k.Doc})
	}
	return out
}

// hasValue reports whether the key at the cursor has its "=" already.
func (h *Hub) hasValue(c Cursor) bool {
	rest := h.layout.Text[h.layout.Offset(c.EndLine, c.EndCol):]
	return strings.HasPrefix(strings.TrimLeft(rest, " \t"), "=")
}

func (h *Hub) fieldChoices(c Cursor) []Choice {
	k, ok := lookup(c.Path[2], true)
	if !ok {
		return nil
	}
	var out []Choice
	for _, f := range k.Fields {
		if h.taken(c, f.Name) {
			continue
		}
		insert := f.Name
		if !h.hasValue(c) {
			insert += " = "
		}
		out = append(out, Choice{f.Name, insert, f.Doc})
	}
	return out
}

// values lists the values that are known for the key at the cursor.
func (h *Hub) values(c Cursor) []Choice {
	k, f, ok := c.KeyAt()
	if !ok {
		return nil
	}
	var out []Choice
	add := func(doc string, values ...string) {
		for _, v := range values {
			out = append(out, Choice{v, quote(v), doc})
		}
	}
	switch {
	case f.Name != "":
		add(f.Doc, f.Values...)
	case k.Name == "default-profile":
		add("", h.Profiles...)
	case k.Name == "inherits":
		add("", slices.DeleteFunc(slices.Clone(h.Profiles), func(p string) bool { return p == c.Path[1] })...)
	case k.Type == "boolean":
		out = []Choice{{"true", "true", k.Doc}, {"false", "false", k.Doc}}
	case k.Name == "timelimit":
		add(k.Doc, "1h", "2h", "8h", "24h", "unlimited")
	case k.Name == "environment":
		add(k.Doc, "auto", "none")
	case k.Example != "":
		out = []Choice{{k.Example, k.Example, k.Doc}}
	}
	return out
}

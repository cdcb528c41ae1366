package settings

import (
	"regexp"
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
	if slices.ContainsFunc(l.Comments, func(s tomlpos.Span) bool { return s.From < offset && offset <= s.To }) {
		return h.nothing(offset)
	}
	best := -1
	for i, e := range l.Entries {
		key := e.Key.From <= offset && offset <= e.Key.To
		value := e.Value.From <= offset && offset <= e.Value.To
		if key || value && (best < 0 || size(e.Value) <= size(l.Entries[best].Value)) {
			best = i // the innermost: later entries of a line are further inside
		}
	}
	if best < 0 {
		return h.between(offset)
	}
	e := l.Entries[best]
	inKey := e.Key.From <= offset && offset <= e.Key.To && (e.Header || e.Key != e.Value || !isElement(e.Path))
	switch {
	case inKey || e.Header:
		return h.cursor(e.Path, e.Key, false, e.Header)
	case h.inside(e, offset, "{", "}"):
		if c, ok := h.behindEquals(offset); ok {
			return c
		}
		return h.cursor(append(slices.Clone(e.Path), ""), tomlpos.Span{From: offset, To: offset}, false, false)
	case h.inside(e, offset, "[", "]"):
		return h.cursor(append(slices.Clone(e.Path), "[]"), tomlpos.Span{From: offset, To: offset}, true, false)
	}
	return h.cursor(e.Path, e.Value, true, false)
}

func size(s tomlpos.Span) int { return s.To - s.From }

func isElement(path []string) bool {
	last := path[len(path)-1]
	return strings.HasPrefix(last, "[") && strings.HasSuffix(last, "]")
}

// inside reports whether a place is between the brackets of an entry's value,
// closed or not.
func (h *Hub) inside(e tomlpos.Entry, offset int, opening, closing string) bool {
	value := h.layout.Text[e.Value.From:e.Value.To]
	closed := strings.HasSuffix(value, closing)
	return strings.HasPrefix(value, opening) && offset > e.Value.From && (!closed || offset < e.Value.To)
}

func (h *Hub) cursor(path []string, s tomlpos.Span, value, header bool) Cursor {
	c := Cursor{Path: slices.Clone(path), Value: value, Header: header, Text: strings.TrimLeft(h.layout.Text[s.From:s.To], " \t")}
	c.Line, c.Col = h.layout.Position(s.From)
	c.EndLine, c.EndCol = h.layout.Position(s.To)
	if strings.HasPrefix(c.Text, `"`) || strings.HasPrefix(c.Text, "'") {
		c.Quoted = true
		c.Text = strings.Trim(c.Text, c.Text[:1])
	}
	return c
}

// nothing is a place at which nothing can be said or written: a comment, or
// behind what is complete.
func (h *Hub) nothing(offset int) Cursor {
	return h.cursor(nil, tomlpos.Span{From: offset, To: offset}, false, false)
}

// behindEquals is a place right behind "key =", where a value is to be begun, or
// before one that is there.
func (h *Hub) behindEquals(offset int) (Cursor, bool) {
	for _, e := range slices.Backward(h.layout.Entries) {
		if e.Header || e.Key.To > offset {
			continue
		}
		before := h.layout.Text[e.Key.To:offset]
		if strings.Trim(before, " \t") != "=" {
			return Cursor{}, false
		}
		to := offset
		if size(e.Value) > 0 {
			to = max(offset, e.Value.To)
		}
		return h.cursor(e.Path, tomlpos.Span{From: offset, To: to}, true, false), true
	}
	return Cursor{}, false
}

// between is a place at which nothing stands: behind "key =", or where a new key
// of the table above could begin.
func (h *Hub) between(offset int) Cursor {
	l := h.layout
	if c, ok := h.behindEquals(offset); ok {
		return c
	}
	here := tomlpos.Span{From: offset, To: offset}
	lineStart := strings.LastIndexByte(l.Text[:offset], '\n') + 1
	switch before := strings.TrimSpace(strings.TrimPrefix(l.Text[lineStart:offset], "\ufeff")); before {
	case "":
	case "[":
		return h.cursor([]string{""}, here, false, true)
	default:
		return h.nothing(offset)
	}
	var table []string
	for _, e := range l.Entries {
		if e.Key.From > offset {
			break
		}
		if e.Header {
			table = e.Path
		}
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
// (Images and nodes are the server's.) A choice takes the place of what stands
// in one line.
func (h *Hub) Choices(c Cursor) []Choice {
	inProfile := len(c.Path) > 0 && c.Path[0] == "profile"
	switch {
	case c.Line != c.EndLine:
		return nil
	case c.Value:
		return h.values(c)
	case c.Header:
		return h.headers(c)
	case len(c.Path) == 3 && inProfile:
		return append(h.keyChoices(c, true), h.sections(c)...)
	case len(c.Path) == 2 && c.Path[0] == "bundle", len(c.Path) == 1:
		return append(h.keyChoices(c, false), h.sections(c)...)
	case len(c.Path) == 4 && inProfile:
		return h.fieldChoices(c)
	}
	return nil
}

const (
	bundleDoc  = "What bundles are made of."
	profileDoc = "How a job runs."
)

// headers lists what can stand in a [table].
func (h *Hub) headers(c Cursor) []Choice {
	var out []Choice
	inProfile := c.Path[0] == "profile"
	switch {
	case len(c.Path) == 1:
		out = []Choice{{"bundle", "bundle", bundleDoc}, {"profile.NAME", "profile.", profileDoc}}
		for _, name := range h.missing() {
			out = append(out, Choice{"profile." + name, "profile." + tomlKey(name), profileDoc})
		}
	case len(c.Path) == 2 && inProfile:
		for _, name := range h.missing() {
			out = append(out, Choice{name, tomlKey(name), profileDoc})
		}
	case len(c.Path) == 3 && inProfile:
		for _, k := range Keys {
			if k.Profile && strings.Contains(k.Type, "table") && !h.taken(c, k.Name) {
				out = append(out, Choice{k.Name, k.Name, k.Doc})
			}
		}
	}
	return out
}

// missing are the profiles that the file names and does not have.
func (h *Hub) missing() (names []string) {
	for _, e := range h.layout.Entries {
		named := len(e.Path) == 1 && e.Path[0] == "default-profile" || len(e.Path) == 3 && e.Path[0] == "profile" && e.Path[2] == "inherits"
		name := strings.Trim(h.layout.Text[e.Value.From:e.Value.To], `"'`)
		if named && name != "" && !slices.Contains(h.Profiles, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// tomlKey writes a key as TOML has it.
func tomlKey(name string) string {
	if bareKey.MatchString(name) {
		return name
	}
	return quote(name)
}

// sections are the beginnings of new tables, where a line is begun.
func (h *Hub) sections(c Cursor) []Choice {
	from, to := h.layout.Offset(c.Line, 0), h.layout.Offset(c.EndLine, c.EndCol)
	typed := strings.TrimLeft(h.layout.Text[from:to], " \t")
	if h.hasValue(c) || typed != c.Text {
		return nil // a dotted key, or one of an inline table
	}
	var out []Choice
	begins := func(name string) bool { return strings.HasPrefix(name, typed) }
	if begins("profile") {
		out = append(out, Choice{"[profile.NAME]", "[profile.", profileDoc})
	}
	if _, there := h.layout.Find("bundle"); begins("bundle") && !there {
		out = append(out, Choice{"[bundle]", "[bundle]", bundleDoc})
	}
	return out
}

// taken reports whether a key is in the file already, elsewhere than at the cursor.
func (h *Hub) taken(c Cursor, name string) bool {
	path := append(slices.Clone(c.Path[:len(c.Path)-1]), name)
	_, ok := h.layout.Find(path...)
	return ok && name != c.Path[len(c.Path)-1]
}

func (h *Hub) keyChoices(c Cursor, profile bool) []Choice {
	var out []Choice
	table := "" // before the names in it
	if !profile && len(c.Path) == 2 {
		table = c.Path[0] + "."
	}
	for _, k := range Keys {
		name, ok := strings.CutPrefix(k.Name, table)
		if name == "" || !ok || k.Profile != profile || strings.Contains(name, ".") || h.taken(c, name) {
			continue
		}
		insert := name
		if !h.hasValue(c) {
			insert += " = " + k.Example
		}
		out = append(out, Choice{name, insert, k.Doc})
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

// Beside returns the string that another key of a cursor's table has, "" if
// there is none.
func (h *Hub) Beside(c Cursor, name string) string {
	if len(c.Path) == 0 {
		return ""
	}
	e, ok := h.layout.Find(append(slices.Clone(c.Path[:len(c.Path)-1]), name)...)
	if !ok {
		return ""
	}
	return strings.Trim(h.layout.Text[e.Value.From:e.Value.To], `"'`)
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
	case k.Name == "ngpu":
		out = []Choice{{"0", "0", k.Doc}, {"1", "1", k.Doc}}
	case k.Name == "timelimit":
		add(k.Doc, "1h", "2h", "8h", "24h", "unlimited")
	case k.Name == "environment":
		add(k.Doc, "auto", "none", "@v1.10")
	case k.Type == "strings" && isElement(c.Path):
		for element := range strings.SplitSeq(strings.Trim(k.Example, "[]"), ", ") {
			out = append(out, Choice{element, element, k.Doc})
		}
	case k.Example != "" && !isElement(c.Path):
		out = []Choice{{k.Example, k.Example, k.Doc}}
	}
	return out
}

package lsp_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"juliahub-lsp/lsp/lsptest"
)

// JuliaHub.toml and ignore files as a person types them: with every kind of
// line end, with a byte-order mark, broken in the middle, unsaved.

// applied is a text with the edits that a quick fix or a completion has for it.
func applied(t *testing.T, text string, edits []textEdit) string {
	t.Helper()
	for _, e := range edits {
		from, to := offsetIn(text, e.Range.Start), offsetIn(text, e.Range.End)
		if from > to {
			t.Fatalf("an edit backwards: %+v", e)
		}
		text = text[:from] + e.NewText + text[to:]
	}
	return text
}

type textEdit struct {
	Range   lsptest.Range
	NewText string
}

// offsetIn counts as the protocol has it: a byte-order mark is a character.
func offsetIn(text string, at lsptest.Position) int {
	offset := 0
	for range at.Line {
		offset += strings.IndexByte(text[offset:], '\n') + 1
	}
	units := utf16.Encode([]rune(text[offset:]))
	return offset + len(string(utf16.Decode(units[:at.Character])))
}

// fixesAt are the quick fixes at the diagnostics with a code: what they make of
// the text, by title.
func fixesAt(t *testing.T, e *lsptest.Editor, uri, code, text string) map[string]string {
	t.Helper()
	fixed := map[string]string{}
	for title, a := range actionsAt(e, uri, code, map[string]any{"only": []string{"quickfix"}}) {
		var edit struct{ Changes map[string][]textEdit }
		if err := json.Unmarshal(a.Edit, &edit); err != nil {
			t.Errorf("%s: %s", title, a.Edit)
		}
		fixed[title] = applied(t, text, edit.Changes[uri])
	}
	return fixed
}

// manners are ways in which a text can be written down.
func manners(text string) map[string]string {
	return map[string]string{"BOM and CRLF": "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"), "no end": strings.TrimSuffix(text, "\n")}
}

// like writes a text in the manner of another.
func like(manner, text string) string {
	if strings.Contains(manner, "BOM") {
		text = "\ufeff" + text
	}
	if strings.Contains(manner, "CRLF") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

func TestStoryHubFixes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	uri := d.file("JuliaHub.toml", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "toml", "")
	for _, c := range []struct{ before, code, after string }{
		{"servr = \"a.test\"\n", "hub-unknown-key", "server = \"a.test\"\n"},
		{"default-profile = \"smal\"\n[profile.small]\n", "no-profile", "default-profile = \"small\"\n[profile.small]\n"},
		{"[profile.\"é😀\"]\nalias = \"😀\"\nncpus = 2\n", "hub-unknown-key", "[profile.\"é😀\"]\nalias = \"😀\"\nncpu = 2\n"},
		{"[profile.a]\nexpose = { port = 8080, access = \"logged_in\" }\n", "hub-value", "[profile.a]\nexpose = { port = 8080, access = \"logged-in\" }\n"},
		{"[profile.a]\nimage = { product = \"😀\", \"nam\" = \"x\" }\n", "hub-unknown-key", "[profile.a]\nimage = { product = \"😀\", name = \"x\" }\n"},
		{"[profile.a]\njulia = 1.10\n", "hub-value", "[profile.a]\njulia = \"1.10\"\n"},
		{"[profile.a]\nalias = \"{fiel} {branch}\"\n", "hub-value", "[profile.a]\nalias = \"{file} {branch}\"\n"},
		{"[profile.small]\n[profile.b]\ninherits = \"smal\"\n", "hub-inherits", "[profile.small]\n[profile.b]\ninherits = \"small\"\n"},
		{"[profile.a]\ndownload = \"*.png\"\n", "hub-value", "[profile.a]\ndownload = [\"*.png\"]\n"},
		{"[profile.a]\nenv.\"A B\" = 1\nelastic = \"true\"\n", "hub-value", "[profile.a]\nenv.\"A B\" = 1\nelastic = true\n"},
	} {
		for manner, before := range manners(c.before) {
			e.SetBuffer(uri, before)
			e.Await(hasCode(uri, c.code))
			want := like(manner, c.after)
			if manner == "no end" {
				want = strings.TrimSuffix(want, "\n")
			}
			fixes := fixesAt(t, e, uri, c.code, before)
			if len(fixes) != 1 {
				t.Errorf("%s: %q: fixes %q", manner, before, fixes)
			}
			for title, got := range fixes {
				if got != want {
					t.Errorf("%s: %s: %q, want %q", manner, title, got, want)
				}
			}
			e.SetBuffer(uri, want)
			e.Await(lsptest.Undiagnosed(uri))
		}
	}
	e.Shutdown()
}

func TestStoryIgnoreFixes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.file("Project.toml", "")
	d.file("Manifest.toml", "")
	d.file("data/keep.csv", "1")
	d.file("made/x.bin", "1")
	secret := d.file("a b/[1].pem", "1")
	d.file("src/.juliabundleignore", "")
	d.file("src/id_rsa", "1")
	uri := d.file(".juliabundleignore", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "")
	for _, c := range []struct{ before, code, title, after string }{
		{"/made\nsrc/\n", "ignore-leading-slash", "Replace by made", "made\nsrc/\n"},
		{"src/\n  !/made  \n", "ignore-leading-slash", "Replace by !made", "src/\n  !made  \n"},
		{"data\nsrc/\n!data/keep.csv\n", "ignore-excluded-parent", "Exclude the directory's content instead", "data/*\nsrc/\n!data/keep.csv\n"},
		{"src/\n", "secret", "Add a b/[1].pem to .juliabundleignore", "src/\na b/\\[1].pem\n"},
		{"", "secret", "Add a b/[1].pem to .juliabundleignore", "a b/\\[1].pem\n"},
	} {
		for manner, before := range manners(c.before) {
			e.SetBuffer(uri, before)
			e.Await(hasCode(uri, c.code))
			want := like(manner, c.after)
			switch {
			case manner == "no end" && c.code == "secret" && c.before != "": // the line that is added has one
			case manner == "no end" && c.before != "":
				want = strings.TrimSuffix(want, "\n")
			case !strings.Contains(before, "\n"):
				want = strings.ReplaceAll(want, "\r\n", "\n")
			}
			if got := fixesAt(t, e, uri, c.code, before)[c.title]; got != want {
				t.Errorf("%s: %q, want %q of %q", manner, got, want, fixesAt(t, e, uri, c.code, before))
			}
			e.SetBuffer(uri, "# nothing\n*.log\n") // whatever stood here is gone
			e.Await(hasCode(uri, "ignore-dead"))
		}
	}
	// A rule of the root does nothing for what has an ignore file of its own.
	inner := strings.Replace(uri, ".juliabundleignore", "src/.juliabundleignore", 1)
	e.Await(hasCode(uri, "secret"))
	found := ""
	for _, a := range e.Actions(uri, lsptest.Range{}, map[string]any{"only": []string{"quickfix"}}) {
		if a.Title == "Add id_rsa to src/.juliabundleignore" {
			found = string(a.Edit)
		}
	}
	if !strings.Contains(found, inner) || !strings.Contains(found, `"id_rsa\n"`) {
		t.Errorf("the fix in the inner file: %q; the secret is %s", found, secret)
	}
	e.Shutdown()
}

// completions are what is offered at a place, in the editor's order, as what
// the text becomes.
func completions(t *testing.T, e *lsptest.Editor, uri, text string, line, character int) []string {
	t.Helper()
	var items []struct {
		Label, SortText string
		TextEdit        textEdit
	}
	e.Call("textDocument/completion", at(uri, line, character), &items)
	if !slices.IsSortedFunc(items, func(a, b struct {
		Label, SortText string
		TextEdit        textEdit
	}) int {
		return strings.Compare(a.SortText, b.SortText)
	}) {
		t.Errorf("not in the order in which they are sorted: %+v", items)
	}
	var all []string
	for _, item := range items {
		if r := item.TextEdit.Range; r.Start.Line != line || r.End.Line != line || r.End.Character < character || r.Start.Character > character {
			t.Errorf("%s: the range %+v is not around %d:%d", item.Label, r, line, character)
		}
		all = append(all, applied(t, text, []textEdit{item.TextEdit}))
	}
	return all
}

func TestStoryIgnoreCompletion(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.file("Project.toml", "")
	for _, name := range []string{"data/a.csv", ".hidden/x", "a b/c d", "[x]/y", `back\slash`, "é/😀/z", "abc", "sub/.juliabundleignore", "sub/deep/x", "sub/own.txt", "#hash", "!bang", "out/a/b"} {
		d.file(name, "1\n")
	}
	uri := d.file(".juliabundleignore", "")
	inner := strings.Replace(uri, ".juliabundleignore", "sub/.juliabundleignore", 1)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "out\n")
	e.OpenBuffer(inner, "plaintext", "")
	e.AwaitLens(uri, "Bundle: ")
	e.AwaitLens(inner, "Bundle: ")
	for _, c := range []struct {
		uri, typed string // ‸ is the cursor
		want       []string
	}{
		{uri, "da‸", []string{"data/"}},
		{uri, "  da‸", []string{"  data/"}},
		{uri, "!da‸", []string{"!data/"}},
		{uri, "\ufeffda‸", []string{"\ufeffdata/"}},
		{uri, "out\n!o‸", []string{"out\n!out/"}},
		{uri, "x\r\nda‸\r\ny", []string{"x\r\ndata/\r\ny"}},
		{uri, "data/‸", []string{"data/a.csv"}},
		{uri, "a‸", []string{"a b/", "abc"}},
		{uri, "a b/‸", []string{"a b/c d"}},
		{uri, `\[‸`, []string{`\[x]/`}},
		{uri, `\[x]/‸`, []string{`\[x]/y`}},
		{uri, "back‸", []string{`back\\slash`}},
		{uri, `back\\‸`, []string{`back\\slash`}},
		{uri, "é/‸", []string{"é/😀/"}},
		{uri, "é/😀/‸", []string{"é/😀/z"}},
		{uri, ".h‸", []string{".hidden/"}},
		{uri, `\#‸`, []string{`\#hash`}},
		{uri, `\!‸`, []string{`\!bang`}},
		{uri, "# da‸", nil},
		{uri, "*/‸", nil},
		{uri, "x\n‸", []string{"x\n.hidden/", "x\n\\[x]/", "x\na b/", "x\ndata/", "x\nout/", "x\nsub/", "x\né/", "x\n\\!bang", "x\n\\#hash", "x\n.juliabundleignore", "x\nManifest.toml", "x\nProject.toml", "x\nabc", `x` + "\n" + `back\\slash`}},
		{inner, "‸", []string{"deep/", ".juliabundleignore", "own.txt"}},
		{inner, "deep/‸", []string{"deep/x"}},
		{inner, "da‸", nil},
	} {
		before, after, _ := strings.Cut(c.typed, "‸")
		text := before + after
		e.SetBuffer(c.uri, text)
		line := strings.Count(before, "\n")
		col := len(utf16.Encode([]rune(before[strings.LastIndexByte(before, '\n')+1:])))
		got := completions(t, e, c.uri, text, line, col)
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasSuffix(s, "Manifest.toml") })
		want := slices.DeleteFunc(slices.Clone(c.want), func(s string) bool { return strings.HasSuffix(s, "Manifest.toml") })
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", c.typed, got, c.want)
		}
	}
	e.Shutdown()
}

// An editor is not flooded: it gets the first of very many, and asks again.
func TestStoryManyCompletions(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	for i := range 1100 {
		d.file(fmt.Sprintf("f%04d", i), "")
	}
	uri := d.file(".juliabundleignore", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "f\n")
	e.AwaitLens(uri, "Bundle: ")
	var list struct {
		IsIncomplete bool
		Items        []struct{ Label string }
	}
	e.Call("textDocument/completion", at(uri, 0, 1), &list)
	if !list.IsIncomplete || len(list.Items) != 1000 || list.Items[0].Label != "f0000" {
		t.Errorf("%v, %d", list.IsIncomplete, len(list.Items))
	}
	e.SetBuffer(uri, "f109\n")
	if got := labels(e, uri, 0, 4); len(got) != 10 {
		t.Errorf("%q", got)
	}
	e.Shutdown()
}

func TestStoryIgnoreHover(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.file("Project.toml", "")
	for i := range 12 {
		d.file(fmt.Sprintf("data/%02d.csv", i), "12345")
	}
	d.file("sub/a.tmp", "1")
	d.file("notes.md", "12")
	uri := d.file(".juliabundleignore", "")
	inner := d.file("sub/.juliabundleignore", "")
	e := d.editor(lsptest.Options{})
	text := "\ufeff# data\ndata/\n  *.md  \r\n!notes.md\n*.none\n\n*.[\n"
	e.OpenBuffer(uri, "plaintext", text)
	e.OpenBuffer(inner, "plaintext", "*.tmp")
	e.AwaitLens(uri, "Bundle: ")
	e.Await(hasCode(inner, "ignore-shadows"))
	for line, want := range map[int]string{
		0: "", 1: "Keeps out 12 files, 60 bytes.\n\ndata/00.csv\ndata/01.csv\ndata/02.csv\ndata/03.csv\ndata/04.csv\ndata/05.csv\ndata/06.csv\ndata/07.csv\ndata/08.csv\ndata/09.csv\n…",
		2: "Keeps out 0 files, 0 bytes.", 3: "Lets back in 1 file, 2 bytes.", 4: "Keeps out 0 files, 0 bytes.", 5: "", 6: "Keeps out 0 files, 0 bytes.", 9: "",
	} {
		if got := hoverText(e, uri, line, 2); got != want {
			t.Errorf("line %d: %q, want %q", line, got, want)
		}
	}
	if got := hoverText(e, inner, 0, 0); got != "Keeps out 1 file, 1 byte.\n\nsub/a.tmp" {
		t.Errorf("in the nested file: %q", got)
	}
	// What is known of another rule is not said of this one, while it is typed.
	e.SetBuffer(uri, strings.Replace(text, "data/", "data/1", 1))
	if got := hoverText(e, uri, 1, 2); strings.Contains(got, "12 files") {
		t.Errorf("of the rule before: %q", got)
	}
	e.Shutdown()
}

// A quick fix is for the text that is there: one that was made for a text that
// has been typed over since is not offered.
func TestStoryFixOfAnEarlierText(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.file("Project.toml", "")
	d.file(".env", "")
	uri := d.file(".juliabundleignore", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "plaintext", "/made\n")
	e.Await(lsptest.AllOf(hasCode(uri, "ignore-leading-slash"), hasCode(uri, "secret")))
	e.SetBuffer(uri, "out\n/made")
	for title, got := range fixesAt(t, e, uri, "ignore-leading-slash", "out\n/made") {
		if got != "out\nmade" && got != "out\n/made\n.env\n" {
			t.Errorf("%s: %q", title, got)
		}
	}
	if got := fixesAt(t, e, uri, "secret", "out\n/made")["Add .env to .juliabundleignore"]; got != "out\n/made\n.env\n" {
		t.Errorf("%q", got)
	}
	e.Shutdown()
}

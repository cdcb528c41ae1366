package lsp_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
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

// The profiles are those of the file as the editor shows it, and go with it.
func TestStoryProfilesComeAndGo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	script := d.file("src/run.jl", "1\n")
	hub := strings.Replace(script, "src/run.jl", "JuliaHub.toml", 1)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(script, "julia", "1\n")
	offered := func(want ...string) {
		t.Helper()
		var got []string
		awaitAnswer(t, func() bool {
			got = nil
			for _, a := range e.Actions(script, lsptest.Range{}, nil) {
				if name, ok := strings.CutPrefix(a.Title, "Submit as script, profile "); ok {
					got = append(got, name)
				}
			}
			return slices.Equal(got, want)
		}, func() string { return fmt.Sprintf("offered %q, want %q\n%s", got, want, e.Dump()) })
	}
	e.OpenBuffer(hub, "toml", "[profile.small]\nncpu = 2\n") // it was never saved
	offered("small")
	var list struct {
		Profiles, Problems []string
		Default            string
	}
	e.Execute("juliahub.profiles", map[string]any{"uri": script}, &list)
	if !slices.Equal(list.Profiles, []string{"small"}) || list.Problems != nil {
		t.Errorf("%+v", list)
	}
	e.SetBuffer(hub, "default-profile = \"gpu\"\n[profile.gpu]\nngpu = 2\n[profile.\"two words\"]\n")
	offered("gpu", "two words")
	e.Execute("juliahub.profiles", map[string]any{"uri": script}, &list)
	if list.Default != "gpu" || len(list.Problems) != 1 || list.Problems[0] != "JuliaHub.toml:3: This must be from 0 to 1." {
		t.Errorf("%+v", list)
	}
	e.SetBuffer(hub, "[profile.gpu]\nngpu = \n") // broken: no profile counts
	offered()
	e.SetBuffer(hub, "[profile.gpu]\n")
	offered("gpu")
	e.CloseBuffer(hub) // nothing is left of it
	offered()

	// What is wrong in the file is said whether it is open or not.
	d.file("JuliaHub.toml", "[profile.small]\nncpus = 2\n")
	e.Notify("workspace/didChangeWatchedFiles", map[string]any{"changes": []any{map[string]any{"uri": hub, "type": 1}}})
	offered("small")
	e.Await(hasCode(hub, "hub-unknown-key"))
	e.OpenBuffer(hub, "toml", "[profile.small]\nncpus = 2\n")
	e.EditBuffer(hub, lsptest.Range{Start: lsptest.Position{Line: 1, Character: 4}, End: lsptest.Position{Line: 1, Character: 5}}, "")
	e.Await(lsptest.Undiagnosed(hub))
	e.CloseBuffer(hub)
	e.Await(hasCode(hub, "hub-unknown-key"))
	e.CloseBuffer(script)
	e.Await(lsptest.Undiagnosed(hub))
	e.Shutdown()
}

// awaitAnswer asks until the answer is as wanted.
func awaitAnswer(t *testing.T, wanted func() bool, otherwise func() string) {
	t.Helper()
	deadline, again := time.After(lsptest.Timeout), time.NewTicker(20*time.Millisecond)
	defer again.Stop()
	for !wanted() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal(otherwise())
		}
	}
}

// A preview tells all that is sent and what it costs, in whatever state the
// world is, and sends nothing.
func TestStoryPreview(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	uri := d.file("run.jl", "1\n")
	own := d.env["JULIA_PKG_SERVER"]
	profile := "[profile.p]\nncpu = 4\nmemory = 8\ntimelimit = \"90m\"\nnnodes = { min = 2, max = 3 }\nprocess-per-node = true\nsysimage = true\n" +
		"env = { DATASET = \"big\", API_TOKEN = \"hunter2hunter2\" }\nalias = \"train {file} {branch} {profile}\"\nproject = \"7ed96f69-a765-4de6-ac00-04a38684ce1c\"\n" +
		"expose = { port = 8080, access = \"public\" }\nimage = { product = \"standard-batch\", name = \"Julia\" }\njulia = \"1.10\"\nelastic = 3\n"
	d.file("JuliaHub.toml", "server = \""+own+"\"\ndefault-profile = \"p\"\n"+profile)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "1\n")
	preview := func(args map[string]any) (text string) {
		t.Helper()
		before := len(e.State().Shown)
		args["uri"], args["wait"] = uri, true
		e.Execute("juliahub.previewJob", args, nil)
		s := e.Await(lsptest.That("another preview", func(s *lsptest.State) bool { return len(s.Shown) > before }))
		path, err := url.Parse(s.Shown[before].URI)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(path.Path)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	text := preview(map[string]any{})
	for _, want := range []string{
		"Kind         script", "Profile      p", "Name         train run.jl p", "Julia        1.10", "Node         3 × ", " an hour", "Limit        2 h, so at most $",
		"Setting      image standard-batch Julia", "Setting      a system image is built first", "Setting      starts with 2 nodes", "Setting      one process a node", "Setting      exposes port 8080 for public",
		"Setting      belongs to the project 7ed96f69-a765-4de6-ac00-04a38684ce1c", "Variable     DATASET=big", "Wrong        JuliaHub.toml:16: This must be true or false", "\nCode\n\n1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, "Since the last") {
		t.Errorf("too much is told:\n%s", text)
	}
	if got := preview(map[string]any{"kind": "appbundle"}); !strings.Contains(got, "Bundle       ") || !strings.Contains(got, "Activates    .") {
		t.Errorf("an appbundle:\n%s", got)
	}
	if got := preview(map[string]any{"profile": "p", "settings": map[string]any{"timelimit": "unlimited"}}); !strings.Contains(got, "Limit        none\n") {
		t.Errorf("unlimited:\n%s", got)
	}

	// A server that nobody allowed yet is not asked, and all else is told.
	d.file("JuliaHub.toml", "server = \"other.example\"\n")
	if got := preview(map[string]any{}); !strings.Contains(got, "Node         not known: other.example is a server that you have not allowed yet") || !strings.Contains(got, "Limit        1 h\n") {
		t.Errorf("a strange server:\n%s", got)
	}
	// Without a network the node is the one that was known.
	d.file("JuliaHub.toml", "")
	if err := d.hub.Close(); err != nil {
		t.Fatal(err)
	}
	if got := preview(map[string]any{}); !strings.Contains(got, "Node         1 × ") {
		t.Errorf("offline:\n%s", got)
	}
	for path, n := range d.hub.Counters() {
		if n > 0 && !strings.HasSuffix(path, "/app/config/nodespecs/info") {
			t.Errorf("%s was asked %d times", path, n)
		}
	}
	e.Shutdown()
}

// A job's name is filled in with what there is: of git's files in each of their
// forms, and of nothing where there is none.
func TestStoryAlias(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	uri := d.file("work/run.jl", "1\n")
	d.file("JuliaHub.toml", "default-profile = \"p\"\n[profile.p]\nalias = \"a {file} ({branch}) {commit} {profile} {x} {\"\n")
	e := d.editor(lsptest.Options{})
	const commit = "0123456789abcdef0123456789abcdef01234567"
	name := func() string {
		t.Helper()
		var preview struct{ Alias string }
		e.Execute("juliahub.previewJob", map[string]any{"uri": uri, "wait": true}, &preview)
		return preview.Alias
	}
	// {x} is no placeholder: the alias does not count, the file's name does.
	if got := name(); got != "run.jl" {
		t.Errorf("with {x}: %q", got)
	}
	d.file("JuliaHub.toml", "default-profile = \"p\"\n[profile.p]\nalias = \"a {file} {branch} {commit} {profile}\"\n")
	for _, c := range []struct {
		what, want string
		files      map[string]string
	}{
		{"no git", "a run.jl p", nil},
		{"a branch without commits", "a run.jl feature/x p", map[string]string{".git/HEAD": "ref: refs/heads/feature/x\n"}},
		{"a branch", "a run.jl feature/x 01234567 p", map[string]string{".git/refs/heads/feature/x": commit + "\n"}},
		{"a packed branch", "a run.jl main 01234567 p", map[string]string{".git/HEAD": "ref: refs/heads/main\n", ".git/packed-refs": "# pack-refs\n" + commit + " refs/heads/main\n^" + commit + "\n"}},
		{"a detached head", "a run.jl 01234567 p", map[string]string{".git/HEAD": commit + "\n"}},
		{"refs in a table", "a run.jl p", map[string]string{".git/HEAD": "ref: refs/heads/.invalid\n"}},
		{"a worktree", "a run.jl side 01234567 p", map[string]string{
			"work/.git": "gitdir: ../.git/worktrees/side\n", ".git/worktrees/side/HEAD": "ref: refs/heads/side\n", ".git/worktrees/side/commondir": "../..\n", ".git/refs/heads/side": commit + "\n",
		}},
	} {
		for file, text := range c.files {
			d.file(file, text)
		}
		if got := name(); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	e.Shutdown()
}

// The environment that a profile names is the one that goes along.
func TestStoryEnvironment(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	uri := d.file("sub/run.jl", "1\n")
	for _, project := range []string{"Project.toml", "sub/Project.toml", "env é/JuliaProject.toml", "../depot/environments/v1.10/Project.toml"} {
		d.file(project, "")
	}
	e := d.editor(lsptest.Options{})
	depot := d.env["JULIA_DEPOT_PATH"]
	for environment, want := range map[string]string{
		"auto": filepath.Join(d.dir, "sub"), "none": "", ".": d.dir, "env é": filepath.Join(d.dir, "env é"), "@v1.10": filepath.Join(depot, "environments", "v1.10"),
		"nowhere": "has no Project.toml", "@v1.11": "there is no environment @v1.11", "@../x": filepath.Join(d.dir, "sub"), "": filepath.Join(d.dir, "sub"),
	} {
		d.file("JuliaHub.toml", fmt.Sprintf("default-profile = \"p\"\n[profile.p]\nenvironment = %q\n", environment))
		var preview struct{ Environment string }
		if err := e.TryExecute("juliahub.previewJob", map[string]any{"uri": uri, "wait": true, "kind": "script"}, &preview); err != nil {
			preview.Environment = err.Error()
		}
		if got := preview.Environment; got != want && (want == "" || filepath.IsAbs(want) || !strings.Contains(got, want)) {
			t.Errorf("%q: %q, want %q", environment, got, want)
		}
	}
	e.Shutdown()
}

// A server that only a project names hears nothing, whatever is looked at.
func TestStoryStrangeServer(t *testing.T) {
	t.Parallel()
	d := newDesk(t, quick)
	text := "server = \"" + d.env["JULIA_PKG_SERVER"] + "\"\ndefault-profile = \"p\"\n[profile.p]\nncpu = 4\nimage = { product = \"\" }\n"
	d.env["JULIA_PKG_SERVER"] = "https://mine.example"
	hub := d.file("JuliaHub.toml", text)
	script := d.file("run.jl", "1\n")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(hub, "toml", text)
	e.OpenBuffer(script, "julia", "1\n")
	e.AwaitAction(script, "Submit as script, profile p")
	if got := hoverText(e, hub, 2, 10); !strings.Contains(got, "Wants 4 vCPU") || strings.Contains(got, "$") {
		t.Errorf("hover %q", got)
	}
	labels(e, hub, 3, 8)
	labels(e, hub, 4, 21)
	e.Lenses(script)
	var preview struct{ NodeUnknown string }
	e.Execute("juliahub.previewJob", map[string]any{"uri": script, "wait": true}, &preview)
	if !strings.Contains(preview.NodeUnknown, "not allowed") {
		t.Errorf("preview: %q", preview.NodeUnknown)
	}
	if asked := d.hub.Counters(); len(asked) > 0 {
		t.Errorf("asked: %v", asked)
	}
	e.Shutdown()
}

// What does not count of a profile is marked where it stands, in the editor's
// units, whatever its form.
func TestStoryWrongProfiles(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	text := "[profile.a]\n" +
		"timelimit = \"soon\"\n" +
		"nnodes = { min = 4, max = 2 }\n" +
		"expose = { port = 80, access = \"everybody\" }\n" +
		"inherits = \"b\"\n" +
		"[profile.b]\n" +
		"inherits = \"a\"\n" +
		"env = { \"😀\" = \"x\", API_TOKEN = \"hunter2hunter2\" }\n" +
		"download = [\"*.png\", 3]\n" +
		"ncpu = nan\n" +
		"alias = \"{file} {brnch}\"\n" +
		"environment = \"@\"\n"
	uri := d.file("JuliaHub.toml", text)
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "toml", text)
	for line, want := range map[int]string{
		1: "soon", 2: "min is more than max", 3: "A port that can be exposed", 4: "a → b → a", 6: "b → a → b",
		7: "secret", 8: "a string, not a number", 9: "a whole number", 10: "{branch}", 11: "shared environment",
	} {
		e.Await(lsptest.Diagnosed(uri, line, want))
	}
	given := e.State().Diagnostics[uri]
	for _, d := range given {
		if row := []rune(strings.Split(text, "\n")[d.Range.Start.Line]); d.Range.Start.Line == 7 {
			if got := string(row[d.Range.Start.Character-1 : d.Range.End.Character-1]); got != `"hunter2hunter2"` { // a pair of units before it is one character
				t.Errorf("the secret is marked at %q", got)
			}
		}
	}
	e.Shutdown()
}

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/lint"
	"juliahub-lsp/commands/settings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the generated documents instead of comparing them")

const docs = "../../docs"

// TestGenerated fails when a generated document does not match its table.
func TestGenerated(t *testing.T) {
	manifest := filepath.Join("..", "..", "editors", "vscode", "package.json")
	words := filepath.Join("..", "..", "editors", "vscode", "package.nls.json")
	for path, text := range map[string]string{
		filepath.Join(docs, "commands.md"):    commandsDoc(),
		filepath.Join(docs, "settings.md"):    settings.Markdown(),
		filepath.Join(docs, "diagnostics.md"): diagnosticsDoc(),
		manifest:                              withSettings(t, manifest),
		words:                                 withStrings(t, words),
	} {
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%s is stale: run make generate", path)
		}
	}
}

// withSettings returns the VS Code extension's manifest with the table's
// settings in the place of its own.
func withSettings(t *testing.T, manifest string) string {
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	const before = `"title": "JuliaHub",
        "properties": `
	at := bytes.Index(text, []byte(before))
	if at < 0 {
		t.Fatalf("%s has no section of settings with the title JuliaHub", manifest)
	}
	at += len(before)
	var old json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text[at:]))
	if err := dec.Decode(&old); err != nil {
		t.Fatal(err)
	}
	properties, err := settings.PackageProperties()
	if err != nil {
		t.Fatal(err)
	}
	indented := strings.ReplaceAll(string(properties), "\n", "\n        ")
	return string(text[:at]) + indented + string(text[at+int(dec.InputOffset()):])
}

// withStrings returns the extension's words for translators with the table's
// descriptions of the settings, at the end, in the place of its own.
func withStrings(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for line := range strings.Lines(strings.Trim(string(text), "{}\n")) {
		if line = strings.Trim(line, " ,\n"); line != "" && !strings.HasPrefix(line, `"juliahub.`) {
			members = append(members, line)
		}
	}
	generated, err := settings.PackageStrings()
	if err != nil {
		t.Fatal(err)
	}
	return "{\n  " + strings.Join(append(members, generated...), ",\n  ") + "\n}\n"
}

const diagnosticsIntro = `# Diagnostics

What the server says at a place in a file: the code (it stands beside the message), why it is said, and what to do.
Hints on scripts can be switched off (` + "`juliahub.diagnostics.hints`" + `), the states of jobs too
(` + "`juliahub.diagnostics.jobStatus`" + `). (This page is generated from the tables in commands/problems.go and commands/lint/codes.go.)

`

func diagnosticsDoc() string {
	return diagnosticsIntro + "## Of jobs\n\n" + lint.Markdown(commands.JobCodes) +
		"\n## Before a submission\n\n" + lint.Markdown(lint.Codes)
}

const commandsIntro = `# Commands

What the server can do, as ` + "`workspace/executeCommand`" + ` takes it: the id and one JSON object. An editor's code actions and
lenses call these; so can a key of yours. Without an argument a command takes the only sensible target: the one open ` + "`.jl`" + ` file, the newest job.
Nothing waits for the network unless ` + "`wait`" + ` is true. (This page is generated from the table in commands/commands.go.)

`

func commandsDoc() string {
	var b strings.Builder
	b.WriteString(commandsIntro)
	b.WriteString("| command | does | argument |\n| --- | --- | --- |\n")
	for _, c := range commands.Table() {
		fmt.Fprintf(&b, "| **%s**<br>`%s` | %s | %s |\n", c.Title, c.ID, c.Doc, arguments(c.Args()))
	}
	return b.String()
}

// arguments spells the fields of an argument type; "?" marks those that may be missing.
func arguments(args any) string {
	typ := reflect.TypeOf(args).Elem()
	var fields []string
	for _, field := range reflect.VisibleFields(typ) {
		if field.Anonymous {
			continue // its fields follow
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if strings.Contains(options, "omitempty") {
			name += "?"
		}
		fields = append(fields, name)
	}
	return "`{" + strings.Join(fields, ", ") + "}`"
}

// TestCommandLineDocumented fails when docs/cli.md leaves out a command or a flag.
func TestCommandLineDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		for name := range strings.SplitSeq(title, ", ") {
			name, _, _ = strings.Cut(name, " ")
			sections[name] = body
		}
	}
	for _, cmd := range newRoot(terminal{lookupEnv: os.LookupEnv}).Commands() {
		checkDocumented(t, cmd, sections)
	}
}

func checkDocumented(t *testing.T, cmd *cobra.Command, sections map[string]string) {
	section, ok := sections[cmd.Name()]
	if !ok {
		t.Errorf("docs/cli.md has no section on %s", cmd.Name())
		return
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if !strings.Contains(section, "--"+f.Name) && (f.Shorthand == "" || !strings.Contains(section, "`-"+f.Shorthand+" ")) {
			t.Errorf("docs/cli.md says nothing of %s --%s", cmd.Name(), f.Name)
		}
	})
}

// TestProvenanceDocumented: docs/job.md has every variable that jobs are told.
func TestProvenanceDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "job.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join("..", "..", "commands", "provenance.go"))
	if err != nil {
		t.Fatal(err)
	}
	// The names are keys: "FILE": in the first facts, facts["FILE"] later.
	names := regexp.MustCompile(`"([A-Z][A-Z0-9_]+)"(?:\]|:)`).FindAllStringSubmatch(string(source), -1)
	if len(names) < 10 {
		t.Errorf("found %d names, and there are more", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(page), "`JULIAHUB_LSP_"+name[1]+"`") {
			t.Errorf("docs/job.md does not have JULIAHUB_LSP_%s", name[1])
		}
	}
}

// TestLibrariesExplained fails when a library comes in without a line in
// ARCHITECTURE.md that says why it, or stays there after it has gone.
func TestLibrariesExplained(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}
{{join .TestImports "\n"}}
{{join .XTestImports "\n"}}`, "juliahub-lsp/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, libraries, _ := strings.Cut(string(page), "## Libraries")
	named := regexp.MustCompile(`[\w.-]+\.\w+/[\w./-]+`)
	var explained []string
	for line := range strings.Lines(libraries) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			explained = append(explained, named.FindAllString(cells[1], -1)...)
		}
	}
	used := map[string]bool{}
	for _, path := range strings.Fields(string(out)) {
		if host, _, _ := strings.Cut(path, "/"); !strings.Contains(host, ".") {
			continue // the standard library, or ours
		}
		i := slices.IndexFunc(explained, func(library string) bool { return path == library || strings.HasPrefix(path, library+"/") })
		if i < 0 {
			t.Errorf("ARCHITECTURE.md does not say why %s", path)
			continue
		}
		used[explained[i]] = true
	}
	for _, library := range explained {
		if !used[library] {
			t.Errorf("ARCHITECTURE.md explains %s, which nothing imports", library)
		}
	}
}

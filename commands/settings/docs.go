package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Markdown writes docs/settings.md from the table.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Settings\n\n" +
		"Four layers, the later wins: built-in defaults; the editor's settings (`juliahub.*`); the project's `JuliaHub.toml`;\n" +
		"a command's own arguments. A value that is wrong is reported where it stands, and the layer below counts.\n\n" +
		"`JuliaHub.toml` is the nearest one upwards from the script, not past the home directory. It is meant to be committed:\n" +
		"how this project runs on JuliaHub, for everyone in the team. Secrets do not belong in it.\n")
	b.WriteString("\n## In the editor\n\n| setting | type | default | what it does |\n| --- | --- | --- | --- |\n")
	for _, k := range Keys {
		if k.Editor != "" {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Editor, k.typeText(), k.defaultText(), cell(k.Doc))
		}
	}
	b.WriteString("\n## At the top of JuliaHub.toml\n\n| key | type | example | what it does |\n| --- | --- | --- | --- |\n")
	keyRows(&b, false)
	b.WriteString("\n## In a profile\n\n" +
		"A profile is a table `[profile.NAME]`. The same keys are the `settings` argument of the submit and preview commands.\n\n" +
		"| key | type | default | example | what it does |\n| --- | --- | --- | --- | --- |\n")
	keyRows(&b, true)
	return b.String()
}

// keyRows writes the keys of JuliaHub.toml's top level, or of a profile.
func keyRows(b *strings.Builder, profile bool) {
	for _, k := range Keys {
		if k.Name == "" || k.Profile != profile {
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s |", k.Name, k.typeText())
		if profile {
			fmt.Fprintf(b, " %s |", k.defaultText())
		}
		doc := k.Doc
		for _, f := range k.Fields {
			doc += fmt.Sprintf(" `%s`: %s", f.Name, f.Doc)
		}
		fmt.Fprintf(b, " `%s` | %s |\n", cell(k.Example), cell(doc))
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func (k Key) typeText() string {
	if k.Values != nil {
		return "`" + strings.Join(k.Values, "`, `") + "`"
	}
	if k.Type == "strings" {
		return "list of strings"
	}
	return k.Type
}

func (k Key) defaultText() string {
	if k.Default == nil || k.Default == "" {
		return ""
	}
	return fmt.Sprintf("`%v`", k.Default)
}

// PackageProperties writes the properties of contributes.configuration in the
// VS Code extension's package.json: a JSON object in the order of the table. The
// descriptions are references to PackageStrings.
func PackageProperties() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("{")
	comma := ""
	for _, k := range Keys {
		if k.Editor == "" {
			continue
		}
		one, err := json.Marshal(k.schema())
		if err != nil {
			return nil, fmt.Errorf("settings: %s: %w", k.Editor, err)
		}
		fmt.Fprintf(&b, "%s%q:%s", comma, k.Editor, one)
		comma = ","
	}
	b.WriteString("}")
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return out.Bytes(), nil
}

// PackageStrings returns the descriptions of the settings as the members of the
// extension's package.nls.json, which is what translators translate.
func PackageStrings() ([]string, error) {
	var members []string
	for _, k := range Keys {
		if k.Editor == "" {
			continue
		}
		text, err := json.Marshal(k.Doc)
		if err != nil {
			return nil, fmt.Errorf("settings: %s: %w", k.Editor, err)
		}
		members = append(members, fmt.Sprintf("%q: %s", k.Editor, text))
	}
	return members, nil
}

// property is a setting in the form of VS Code's manifest.
type property struct {
	Type        string    `json:"type"`
	Items       *property `json:"items,omitempty"`
	Default     any       `json:"default,omitempty"`
	Enum        []string  `json:"enum,omitempty"`
	Description string    `json:"markdownDescription,omitempty"`
	Scope       string    `json:"scope,omitempty"`
}

func (k Key) schema() property {
	p := property{Type: k.Type, Default: k.Default, Enum: k.Values, Description: "%" + k.Editor + "%", Scope: "resource"}
	if k.Type == "strings" {
		p.Type, p.Items = "array", &property{Type: "string"}
	}
	if k.Editor == "juliahub.trace" || k.Editor == "juliahub.progress.jobs" || k.Editor == "juliahub.cancelKillsJob" {
		p.Scope = "window"
	}
	if k.Editor == "juliahub.juliaPath" { // a workspace must not name a program that is run
		p.Scope = "machine"
	}
	return p
}

package lsp_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
	"juliahub-lsp/lsp/lsptest"
)

// What a submission carries of what the editor shows.

// carried is what a job was sent with.
type carried struct{ code, project, manifest string }

// carrying is a desk whose jobs tell what they were sent with.
func carrying(t *testing.T) (*desk, <-chan carried) {
	t.Helper()
	jobs := make(chan carried, 16)
	return newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		jobs <- carried{s.Code, s.Project, s.Manifest}
		return nil
	}), jobs
}

// between is a range by its lines and columns.
func between(line, character, toLine, toCharacter int) lsptest.Range {
	return lsptest.Range{
		Start: lsptest.Position{Line: line, Character: character}, End: lsptest.Position{Line: toLine, Character: toCharacter},
	}
}

// failedWith is the code of the server's error, 0 if there is none.
func failedWith(err error) int {
	if failed, ok := errors.AsType[*lsptest.Error](err); ok {
		return failed.Code
	}
	return 0
}

// A selection is sent as whole lines, each where it stands in the file.
func TestStorySelection(t *testing.T) {
	t.Parallel()
	d, jobs := carrying(t)
	uri := d.file("pi.jl", "")
	e := d.editor(lsptest.Options{})
	e.OpenBuffer(uri, "julia", "")
	for name, c := range map[string]struct {
		text string
		r    lsptest.Range
		want string
	}{
		"within a line":                 {"a\nbcd\ne\n", between(1, 1, 1, 2), "\nbcd\n"},
		"to the beginning of the next":  {"a\nb\nc\nd\n", between(1, 0, 3, 0), "\nb\nc\n"},
		"upwards":                       {"a\nb\nc\nd\n", between(3, 0, 1, 1), "\nb\nc\n"},
		"backwards in a line":           {"a\nbcd\ne\n", between(1, 2, 1, 1), "\nbcd\n"},
		"beyond the end":                {"a\nb", between(1, 0, 99, 99), "\nb"},
		"from before the beginning":     {"a\nb\n", between(-3, -1, 0, 1), "a\n"},
		"everything":                    {"a\nb\n", between(0, 0, 2, 0), "a\nb\n"},
		"of a file of Windows":          {"a\r\nb\r\nc\r\nd\r\n", between(1, 0, 3, 0), "\nb\r\nc\r\n"},
		"of a file of an old Macintosh": {"a\rb\rc\rd", between(1, 0, 2, 1), "\nb\rc\r"},
	} {
		e.SetBuffer(uri, c.text)
		e.Execute("juliahub.submitScript", map[string]any{"uri": uri, "range": c.r, "wait": true}, nil)
		if got := <-jobs; got.code != c.want {
			t.Errorf("%s: sent %q, want %q", name, got.code, c.want)
		}
	}
	// What holds no code costs nothing.
	e.SetBuffer(uri, "a\n\n  \nb\n")
	for name, r := range map[string]lsptest.Range{"empty lines": between(1, 0, 3, 0), "behind the end": between(70, 0, 80, 0)} {
		err := e.TryExecute("juliahub.submitScript", map[string]any{"uri": uri, "range": r, "wait": true}, nil)
		if failedWith(err) != -32602 || !strings.Contains(err.Error(), "selection") {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.Shutdown()
}

// notebook is as Pluto 0.19 writes it.
const notebook = `### A Pluto.jl notebook ###
# v0.19.40

using Markdown
using InteractiveUtils

# ╔═╡ 5e6f3f5e-0f1e-11ef-1c3d-7d3a1b2c4d5e
using Example

# ╔═╡ 9a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d
hello("you")

# ╔═╡ 00000000-0000-0000-0000-000000000001
PLUTO_PROJECT_TOML_CONTENTS = """
[deps]
Example = "7876af07-990d-54b4-ab0e-23690620f79a"

[compat]
Example = "~0.5.3"
"""

# ╔═╡ 00000000-0000-0000-0000-000000000002
PLUTO_MANIFEST_TOML_CONTENTS = """
# This file is machine-generated - editing it directly is not advised

julia_version = "1.9.4"
manifest_format = "2.0"
project_hash = "2e5b9a0a6bbd2d2fe0ed5d1f1b8c9d5b9a0b5c1e"

[[deps.Example]]
git-tree-sha1 = "46e44e869b4d90b96bd8ed1fdcf32244fddfb6cc"
uuid = "7876af07-990d-54b4-ab0e-23690620f79a"
version = "0.5.3"
"""

# ╔═╡ Cell order:
# ╠═5e6f3f5e-0f1e-11ef-1c3d-7d3a1b2c4d5e
# ╠═9a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d
# ╟─00000000-0000-0000-0000-000000000001
# ╟─00000000-0000-0000-0000-000000000002
`

// A Pluto notebook goes with the environment that it carries, not with that of
// its directory.
func TestStoryPlutoNotebook(t *testing.T) {
	t.Parallel()
	d, jobs := carrying(t)
	d.file("Project.toml", "name = \"Other\"\n[deps]\n")
	d.file("Manifest.toml", "")
	uri := d.file("nb.jl", notebook)
	e := d.editor(lsptest.Options{})
	const cell = "\n\n\n\n\n\n\n\n\n\nhello(\"you\")\n"
	for name, c := range map[string]struct {
		text string
		args map[string]any
		code string
	}{
		"as Pluto writes it":  {notebook, nil, notebook},
		"with Windows' lines": {strings.ReplaceAll(notebook, "\n", "\r\n"), nil, strings.ReplaceAll(notebook, "\n", "\r\n")},
		"behind a mark":       {"\ufeff" + notebook, nil, notebook},
		"a cell of it":        {notebook, map[string]any{"range": between(10, 0, 11, 0)}, cell},
	} {
		args := map[string]any{"uri": uri, "wait": true}
		for k, v := range c.args {
			args[k] = v
		}
		e.OpenBuffer(uri, "julia", c.text)
		var preview commands.JobPreview
		e.Execute("juliahub.previewJob", args, &preview)
		if preview.Project != "" || preview.Environment != "" {
			t.Errorf("%s: the preview names %q", name, preview.Project)
		}
		var sub commands.Submission
		e.Execute("juliahub.submitScript", args, &sub)
		got := <-jobs
		project, manifest := strings.ReplaceAll(got.project, "\r\n", "\n"), strings.ReplaceAll(got.manifest, "\r\n", "\n")
		if !strings.HasPrefix(project, "[deps]\nExample = ") || !strings.HasSuffix(project, "Example = \"~0.5.3\"\n") {
			t.Errorf("%s: the project is %q", name, got.project)
		}
		if !strings.HasPrefix(manifest, "# This file is machine") || !strings.HasSuffix(manifest, "version = \"0.5.3\"\n") {
			t.Errorf("%s: the manifest is %q", name, got.manifest)
		}
		if got.code != c.code {
			t.Errorf("%s: the code is %q", name, got.code)
		}
		if len(sub.Lacks) > 0 {
			t.Errorf("%s: lacks %q", name, sub.Lacks)
		}
	}
	e.Shutdown()
}

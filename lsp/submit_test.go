package lsp_test

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

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

// timely executes every command of the table and holds it to the second in which
// it must answer, whatever it answers.
func timely(t *testing.T, e *lsptest.Editor, uri string, but ...string) {
	t.Helper()
	for _, c := range commands.Table() {
		if slices.Contains(but, c.ID) {
			continue
		}
		arg := map[string]any{"uri": uri}
		if _, lists := c.Args().(*commands.ListArgs); lists {
			arg = map[string]any{}
		}
		began := time.Now()
		err := e.TryExecute(c.ID, arg, nil)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s took %v (%v)", c.ID, took, err)
		}
		if code := failedWith(err); err != nil && (code == 0 || code == -32603) {
			t.Errorf("%s: %v", c.ID, err)
		}
	}
}

// No command waits for the network, for a person or for a bundle.
func TestStoryNoCommandWaits(t *testing.T) {
	t.Parallel()
	t.Run("the network hangs", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		d := newDesk(t, func(context.Context, *emulator.Stage) error { <-release; return nil })
		t.Cleanup(func() { close(release) })
		d.file("Project.toml", "[deps]\n")
		uri := d.file("pi.jl", "1\n")
		e := d.editor(lsptest.Options{Capabilities: plugin()})
		e.OpenBuffer(uri, "julia", "1\n")
		e.Execute("juliahub.submitScript", map[string]any{"uri": uri}, nil)
		e.Await(lsptest.JobIn("running"))
		if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultStall, Times: -1}); err != nil {
			t.Fatal(err)
		}
		timely(t, e, uri)
		e.Shutdown()
	})
	t.Run("a sign-in is pending", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		delete(d.env, "JULIAHUB_TOKEN")
		d.file("Project.toml", "[deps]\n")
		uri := d.file("pi.jl", "1\n")
		e := d.editor(lsptest.Options{Capabilities: plugin()})
		e.OpenBuffer(uri, "julia", "1\n")
		e.Execute("juliahub.submitScript", map[string]any{"uri": uri}, nil)
		e.Await(lsptest.Says("Sign in to"))
		timely(t, e, uri)
		e.Shutdown()
	})
	t.Run("another process refreshes the token", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		delete(d.env, "JULIAHUB_TOKEN")
		at, err := url.Parse(d.env["JULIA_PKG_SERVER"])
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(d.env["JULIA_DEPOT_PATH"], "servers", at.Hostname())
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "auth.toml"), []byte("id_token = \"x\"\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
		lock := flock.New(filepath.Join(dir, "auth.toml.lock"))
		if err := lock.Lock(); err != nil {
			t.Fatal(err)
		}
		e := d.editor(lsptest.Options{Capabilities: plugin()})
		began := time.Now()
		var out commands.SignInAnswer
		e.Execute("juliahub.signOut", nil, &out)
		if took := time.Since(began); took > time.Second || out.State != "pending" {
			t.Errorf("%+v after %v", out, took)
		}
		if err := lock.Unlock(); err != nil {
			t.Fatal(err)
		}
		e.Execute("juliahub.signOut", map[string]any{"wait": true}, &out)
		if _, err := os.Stat(filepath.Join(dir, "auth.toml")); out.State != "signed-out" || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v, %v", out, err)
		}
		e.Shutdown()
	})
	t.Run("the bundle is large", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, nil)
		d.file("Project.toml", "[deps]\n")
		d.file("Manifest.toml", "")
		uri := d.file("pi.jl", "1\n")
		large := filepath.Join(d.dir, "large.bin")
		if err := errors.Join(os.WriteFile(large, nil, 0o600), os.Truncate(large, 1<<30)); err != nil {
			t.Fatal(err)
		}
		e := d.editor(lsptest.Options{Capabilities: plugin()})
		e.OpenBuffer(uri, "julia", "1\n")
		began := time.Now()
		var sub commands.Submission
		e.Execute("juliahub.submitAppBundle", map[string]any{"uri": uri}, &sub)
		if took := time.Since(began); took > time.Second || sub.State != commands.StateBundling || sub.Job != "" {
			t.Errorf("%+v after %v", sub, took)
		}
		timely(t, e, uri, "juliahub.submitScript", "juliahub.submitAppBundle", "juliahub.rerun") // and the bundle's submission is cancelled
		e.Await(lsptest.JobIn("cancelled"))
		e.Shutdown()
	})
}

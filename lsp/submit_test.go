package lsp_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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

// What an appbundle holds of documents: clean ones byte for byte as on disk,
// unsaved ones as shown, with their file's mark, and files that were never saved.
func TestStoryBundleOfDocuments(t *testing.T) {
	t.Parallel()
	d, bundles := bundling(t)
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	text := map[string]string{ // on disk
		"run.jl": "1\n", "clean.jl": "\ufeffx = 1\r\n", "unsaved.jl": "\ufeffx = 1\r\n", "latin.jl": "# \xe9\n", "disk.jl": "x = 1\n", "latin-clean.jl": "y = \"\xe9\"\n",
	}
	uris := map[string]string{}
	for name, on := range text {
		uris[name] = d.file(name, on)
	}
	answer := make(chan string, 8)
	e := d.editor(lsptest.Options{Capabilities: plugin(), Answer: func(lsptest.Question) string { return <-answer }})
	for name, shown := range map[string]string{"run.jl": "1\n", "clean.jl": "x = 1\n", "unsaved.jl": "x = 1\n", "disk.jl": "x = 1\n"} {
		e.OpenBuffer(uris[name], "julia", shown)
	}
	never := strings.Replace(uris["run.jl"], "run.jl", "new.jl", 1)
	e.OpenBuffer(never, "julia", "n = 1\n")
	e.OpenBuffer("file:///elsewhere/not-ours.jl", "julia", "secret\n")
	e.SetBuffer(uris["unsaved.jl"], "x = 2\n")
	submit := func() (sub commands.Submission, err error) {
		return sub, e.TryExecute("juliahub.submitAppBundle", map[string]any{"uri": uris["run.jl"], "wait": true}, &sub)
	}
	sub, err := submit()
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, path := range sub.Unsaved {
		named = append(named, filepath.Base(path))
	}
	if !slices.Equal(named, []string{"new.jl", "unsaved.jl"}) {
		t.Errorf("the answer names %q as unsaved", named)
	}
	got := <-bundles
	for name, want := range map[string]string{
		"clean.jl": "\ufeffx = 1\r\n", "unsaved.jl": "\ufeffx = 2\n", "new.jl": "n = 1\n", "latin-clean.jl": "y = \"\xe9\"\n", "latin.jl": "# \xe9\n",
	} {
		if got[name] != want {
			t.Errorf("%s went as %q, want %q", name, got[name], want)
		}
	}
	for name := range got {
		if strings.Contains(name, "not-ours") {
			t.Errorf("%s went along", name)
		}
	}

	// Where the text shown may not be the whole truth, the person is asked.
	for name, text := range map[string]string{"disk.jl": "was changed on disk", "latin.jl": "is not UTF-8"} {
		if name == "disk.jl" {
			e.SetBuffer(uris[name], "x = 3\n")
			d.file(name, "someone else wrote this\n")
		} else {
			e.OpenBuffer(uris[name], "julia", "# é\n")
		}
		answer <- ""
		if _, err := submit(); err == nil || failedWith(err) != 2 || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
		e.Await(lsptest.Asks(text))
		answer <- "Send the editor's text"
		if _, err := submit(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := (<-bundles)[name]; got != map[string]string{"disk.jl": "x = 3\n", "latin.jl": "# é\n"}[name] {
			t.Errorf("%s went as %q", name, got)
		}
		e.SaveBuffer(uris[name])
	}
	e.Shutdown()
}

// The text of a package that travels along from elsewhere goes as it is shown, too.
func TestStoryUnsavedPackage(t *testing.T) {
	t.Parallel()
	d, bundles := bundling(t)
	const uuid = "1a0b5c1e-3d7f-4f0a-8c2d-0f6f3a1b2c4d"
	d.file("proj/Project.toml", "[deps]\nNear = \""+uuid+"\"\n")
	d.file("proj/Manifest.toml", "julia_version = \"1.9.4\"\nmanifest_format = \"2.0\"\n[[deps.Near]]\npath = \"../near\"\nuuid = \""+uuid+"\"\nversion = \"0.1.0\"\n")
	d.file("near/Project.toml", "name = \"Near\"\nuuid = \""+uuid+"\"\nversion = \"0.1.0\"\n")
	near := d.file("near/src/Near.jl", "module Near end\n")
	uri := d.file("proj/run.jl", "using Near\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "using Near\n")
	e.OpenBuffer(near, "julia", "module Near end # new\n")
	var sub commands.Submission
	e.Execute("juliahub.submitAppBundle", map[string]any{"uri": uri, "wait": true}, &sub)
	if len(sub.Unsaved) != 1 || !strings.HasSuffix(filepath.ToSlash(sub.Unsaved[0]), "/near/src/Near.jl") {
		t.Errorf("the answer names %q as unsaved", sub.Unsaved)
	}
	files := <-bundles
	if !slices.Contains(slices.Collect(maps.Values(files)), "module Near end # new\n") || slices.Contains(slices.Collect(maps.Values(files)), "module Near end\n") {
		t.Errorf("the bundle holds %q", files)
	}
	e.Shutdown()
}

// bundling is a desk whose jobs tell which files their bundle holds.
func bundling(t *testing.T) (*desk, <-chan map[string]string) {
	t.Helper()
	bundles := make(chan map[string]string, 4)
	return newDesk(t, func(_ context.Context, s *emulator.Stage) error {
		files, err := filesOf(s.Bundle)
		bundles <- files
		return err
	}), bundles
}

// filesOf reads a bundle.
func filesOf(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	files := map[string]string{}
	for in := tar.NewReader(file); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		_, name, _ := strings.Cut(header.Name, "/")
		files[name] = string(raw)
	}
}

// A buffer without a file goes as a script, without the environment of whatever
// folder is open.
func TestStoryUntitled(t *testing.T) {
	t.Parallel()
	d, jobs := carrying(t)
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	const uri = "untitled:Untitled-1"
	e.OpenBuffer(uri, "julia", "println(1)\n")
	e.Do(uri, "Submit as script", nil)
	if got := <-jobs; got != (carried{code: "println(1)\n"}) {
		t.Errorf("sent %+v", got)
	}
	e.Await(lsptest.AllOf(lsptest.JobIn("completed"), hasCode(uri, "job-completed")))
	err := e.TryExecute("juliahub.submitAppBundle", map[string]any{"uri": uri}, nil)
	if failedWith(err) != -32602 || !strings.Contains(err.Error(), "save it") {
		t.Errorf("as appbundle: %v", err)
	}
	e.SetBuffer(uri, "println(2)\n")
	e.Do(uri, "Run job again", nil)
	if got := <-jobs; got.code != "println(2)\n" {
		t.Errorf("again: sent %+v, not what the buffer is now", got)
	}
	e.Await(lsptest.JobIn("completed"))
	e.CloseBuffer(uri)
	e.Await(lsptest.Undiagnosed(uri))
	var again commands.Submission
	e.Execute("juliahub.rerun", map[string]any{"uri": uri, "wait": true}, &again) // as it was sent
	if got := <-jobs; got.code != "println(2)\n" {
		t.Errorf("closed: sent %+v", got)
	}
	e.Shutdown()
}

// Names of all kinds, as the client spells them: what is shown comes back under
// its spelling, and the file is one however it is spelled.
func TestStoryNames(t *testing.T) {
	t.Parallel()
	d, jobs := carrying(t)
	for _, name := range []string{"a b.jl", "100%.jl", "c#1.jl", "q?x.jl", "été ∀ 𝒻.jl", "+&=.jl", "[x]{y}.jl", "UPPER.JL"} {
		d.file(name, "1\n")
		path := filepath.ToSlash(filepath.Join(d.dir, name))
		plain := "file://" + strings.NewReplacer("%", "%25", " ", "%20").Replace(path) // as little as can be escaped
		var all strings.Builder                                                        // as much
		for _, b := range []byte(path) {
			if b == '/' {
				all.WriteByte(b)
			} else {
				fmt.Fprintf(&all, "%%%02x", b)
			}
		}
		for _, uri := range []string{plain, "file://" + all.String()} {
			e := d.editor(lsptest.Options{})
			e.OpenBuffer(uri, "julia", "2\n")
			e.Do(uri, "Submit as script", nil)
			if got := <-jobs; got.code != "2\n" {
				t.Errorf("%s: sent %+v", uri, got)
			}
			var preview commands.JobPreview // the same file by its other names
			for _, other := range []string{plain, "file://" + all.String(), strings.Replace(plain, "file://", "file://localhost", 1)} {
				if e.Execute("juliahub.previewJob", map[string]any{"uri": other, "wait": true}, &preview); preview.Code != "2\n" || len(preview.Unsaved) != 1 {
					t.Errorf("%s is not %s: %+v", other, uri, preview)
				}
			}
			e.Await(hasCode(uri, "job-completed"))
			e.AwaitLens(uri, "✓ Completed")
			var job commands.Job
			if e.Execute("juliahub.job", map[string]any{"uri": uri}, &job); filepath.ToSlash(job.File) != path {
				t.Errorf("%s: the job's file is %q", uri, job.File)
			}
			e.Do(uri, "Dismiss job", nil)
			e.Await(lsptest.Undiagnosed(uri))
			e.Shutdown()
		}
	}
}

// What is not said is the only sensible thing, or asked for, or told how to say.
func TestStoryMissingArguments(t *testing.T) {
	t.Parallel()
	d, jobs := carrying(t)
	one, two := d.file("one.jl", "1\n"), d.file("two.jl", "2\n")
	answer := ""
	e := d.editor(lsptest.Options{Capabilities: map[string]any{}, Answer: func(q lsptest.Question) string {
		for _, a := range q.Answers {
			if answer != "" && strings.HasSuffix(a, answer) {
				return a
			}
		}
		return ""
	}})
	fails := func(command, says string) {
		t.Helper()
		if err := e.TryExecute("juliahub."+command, nil, nil); failedWith(err) != -32602 || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", command, err)
		}
	}
	fails("submitScript", `pass {"uri": "file:///…/script.jl"}`)
	fails("submitAppBundle", `pass {"uri": "file:///…/script.jl"}`)
	fails("previewJob", `pass {"uri": "file:///…/script.jl"}`)
	fails("logs", `pass {"job": "jr-…"}`)
	fails("cancelJob", `pass {"job": "jr-…"}`)

	e.OpenBuffer(one, "julia", "1\n")
	e.OpenBuffer(d.file("JuliaHub.toml", ""), "toml", "") // no script
	e.Execute("juliahub.submitScript", map[string]any{"wait": true}, nil)
	if got := <-jobs; got.code != "1\n" {
		t.Errorf("the one that is open: sent %+v", got)
	}
	e.Await(hasCode(one, "job-completed"))
	e.OpenBuffer(two, "julia", "2\n")
	var sub commands.Submission
	e.Execute("juliahub.submitScript", map[string]any{"wait": true}, &sub)
	if sub.State != commands.StateCancelled || len(jobs) > 0 {
		t.Errorf("nothing was chosen: %+v", sub)
	}
	if q := asked(e, "Which script"); len(q) != 1 || len(q[0].Answers) != 3 || q[0].Answers[0] != "None" {
		t.Errorf("asked %+v", q)
	}
	answer = "two.jl"
	e.Execute("juliahub.submitScript", nil, &sub)
	if sub.State != commands.StateChoosing {
		t.Errorf("the choice was waited for: %+v", sub)
	}
	if got := <-jobs; got.code != "2\n" {
		t.Errorf("the one that was chosen: sent %+v", got)
	}
	e.Await(hasCode(two, "job-completed"))
	// A command on a job takes the newest; with one script open, that one's.
	var job commands.Job
	if e.Execute("juliahub.job", nil, &job); job.URI != two {
		t.Errorf("the newest job is of %s", job.URI)
	}
	e.CloseBuffer(two)
	if e.Execute("juliahub.job", nil, &job); job.URI != one {
		t.Errorf("of the one that is open: %s", job.URI)
	}
	for i := range 8 {
		e.OpenBuffer(d.file(fmt.Sprintf("many%d.jl", i), ""), "julia", "")
	}
	fails("submitScript", `pass {"uri": "file:///…/script.jl"}`)
	e.Shutdown()
}

// The same again while it is under way is the same submission; another text of
// the file is asked for first.
func TestStorySubmittedTwice(t *testing.T) {
	t.Parallel()
	d, jobs := carrying(t)
	uri := d.file("pi.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: plugin()})
	e.OpenBuffer(uri, "julia", "1\n")
	nodes := emulator.Fault{Kind: emulator.FaultStall, Path: "/app/config/nodespecs/info", Times: -1}
	if err := d.hub.Inject(nodes); err != nil {
		t.Fatal(err)
	}
	var first, again, other commands.Submission
	args := map[string]any{"uri": uri, "settings": map[string]any{"ncpu": 2}}
	e.Execute("juliahub.submitScript", args, &first)
	e.Execute("juliahub.submitScript", args, &again)
	if !again.Joined || again.Submission != first.Submission || first.Joined {
		t.Errorf("the same: %+v, then %+v", first, again)
	}
	e.Execute("juliahub.cancelJob", map[string]any{"submission": first.Submission}, nil)
	e.Await(lsptest.JobIn("cancelled"))

	two := d.file("two.jl", "1\n") // three commands on one file come from a program
	e.OpenBuffer(two, "julia", "1\n")
	e.Execute("juliahub.submitScript", map[string]any{"uri": two}, &first)
	<-time.After(50 * time.Millisecond) // nobody edits and submits faster
	e.SetBuffer(two, "2\n")
	e.Execute("juliahub.submitScript", map[string]any{"uri": two}, &other)
	if other.Joined || other.Submission == first.Submission {
		t.Errorf("another text: %+v", other)
	}
	e.Await(lsptest.Asks("Submit it once more?"))
	e.Await(lsptest.That("the other one cancelled", func(s *lsptest.State) bool {
		return slices.ContainsFunc(s.Jobs, func(j map[string]any) bool { return j["submission"] == other.Submission && j["state"] == "cancelled" })
	}))
	e.Execute("juliahub.cancelJob", map[string]any{"submission": first.Submission}, nil)
	e.Await(lsptest.JobIn("cancelled"))
	if len(jobs) > 0 {
		t.Errorf("sent %+v", <-jobs)
	}
	e.Shutdown()
}

// The jobs of a folder are shown while it is open, whoever submitted them.
func TestStoryFolders(t *testing.T) {
	t.Parallel()
	d, _ := carrying(t)
	elsewhere := d.file("../other work/pi.jl", "1\n")
	first := d.editor(lsptest.Options{Capabilities: plugin()})
	first.OpenBuffer(elsewhere, "julia", "1\n")
	first.Do(elsewhere, "Submit as script", nil)
	first.Await(hasCode(elsewhere, "job-completed"))
	first.Shutdown()

	e := d.editor(lsptest.Options{Capabilities: plugin()})
	here := d.file("here.jl", "1\n")
	e.OpenBuffer(here, "julia", "1\n")
	e.Do(here, "Submit as script", nil)
	if s := e.Await(hasCode(here, "job-completed")); len(s.Diagnostics[elsewhere]) > 0 {
		t.Errorf("a job of no folder is shown: %+v", s.Diagnostics[elsewhere])
	}
	folder := []any{map[string]any{"uri": strings.TrimSuffix(elsewhere, "/pi.jl"), "name": "other work"}}
	e.Notify("workspace/didChangeWorkspaceFolders", map[string]any{"event": map[string]any{"added": folder, "removed": []any{}}})
	e.Await(hasCode(elsewhere, "job-completed"))
	e.Notify("workspace/didChangeWorkspaceFolders", map[string]any{"event": map[string]any{"added": []any{}, "removed": folder}})
	e.Await(lsptest.AllOf(lsptest.Undiagnosed(elsewhere), hasCode(here, "job-completed")))
	e.Shutdown()
}

// Editors show nothing of a command's answer: each command shows it by itself,
// unless it is told not to.
func TestStoryEachCommandShows(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(ctx context.Context, s *emulator.Stage) error {
		s.Print("hello")
		if s.Code != "1\n" {
			return s.Result("answer.txt", []byte("42\n"))
		}
		<-ctx.Done()
		return ctx.Err()
	})
	d.file("Project.toml", "[deps]\n")
	d.file("Manifest.toml", "")
	hub := "[profile.small]\nncpu = 2\n"
	d.file("JuliaHub.toml", hub)
	uri := d.file("pi.jl", "1\n")
	e := d.editor(lsptest.Options{Capabilities: map[string]any{}})
	e.OpenBuffer(uri, "julia", "1\n")
	seen := map[string]bool{}
	shows := func(command string, arg any, texts ...string) {
		t.Helper()
		seen["juliahub."+command] = true
		before := len(e.State().Messages)
		e.Execute("juliahub."+command, arg, nil)
		for _, text := range texts {
			e.Await(lsptest.That(fmt.Sprintf("%s to show %q", command, text), func(s *lsptest.State) bool {
				return slices.ContainsFunc(s.Messages[before:], func(m lsptest.Message) bool {
					path, written := strings.CutPrefix(m.Message, "It was written to ")
					raw, _ := os.ReadFile(path) // none where the message is all there is
					return strings.Contains(m.Message, text) || written && strings.Contains(string(raw), text)
				})
			}))
		}
	}
	shows("submissions", nil, "none")
	shows("submitScript", map[string]any{"uri": uri}, "submitted to JuliaHub as jr-")
	e.Await(hasCode(uri, "job-running"))
	shows("previewJob", map[string]any{"uri": uri}, "Kind         script")
	shows("previewBundle", map[string]any{"uri": uri}, "Appbundle of ")
	shows("profiles", map[string]any{"uri": uri}, "small")
	shows("submissions", nil, "pi.jl")
	shows("jobs", nil, "pi.jl")
	shows("job", map[string]any{"uri": uri}, "State        running")
	shows("logs", map[string]any{"uri": uri}, "job.log")
	shows("nodes", nil, "vCPU")
	shows("images", nil, "standard-batch")
	shows("restartTracking", nil, "Asking for all jobs again")
	shows("openJob", map[string]any{"uri": uri}, "http://127.0.0.1")
	shows("extendJob", map[string]any{"uri": uri, "hours": 2}, "was extended by 2 h")
	shows("stopWatching", map[string]any{"uri": uri}, "not watched any more; the job goes on")
	shows("cancelJob", map[string]any{"uri": uri}, "killing the job")
	e.Await(hasCode(uri, "job-stopped"))
	shows("dismissJob", map[string]any{"uri": uri}, "dismissed")
	e.SetBuffer(uri, "2\n")
	shows("submitAppBundle", map[string]any{"uri": uri}, "submitted to JuliaHub as jr-", "completed")
	shows("downloadResults", map[string]any{"uri": uri}, "answer.txt")
	shows("rerun", map[string]any{"uri": uri}, "submitted to JuliaHub as jr-", "completed")
	e.Await(hasCode(uri, "job-completed"))

	// Told not to, they answer and are silent.
	before := len(e.State().Messages)
	for _, c := range []string{"submissions", "jobs", "job", "logs", "nodes", "images", "profiles", "previewJob", "previewBundle", "openJob", "downloadResults", "restartTracking", "stopWatching"} {
		arg := map[string]any{"show": false, "wait": true}
		if c == "previewJob" || c == "previewBundle" {
			arg["uri"] = uri
		}
		e.Execute("juliahub."+c, arg, nil)
	}
	e.Lenses(uri)
	for _, m := range e.State().Messages[before:] {
		t.Errorf("told not to show, and said %q", m.Message)
	}

	// A token from the environment is nothing to sign in or out of: that is said.
	for _, c := range []string{"signIn", "signOut", "resolveManifest"} {
		seen["juliahub."+c] = true
		if err := e.TryExecute("juliahub."+c, map[string]any{"wait": true}, nil); err == nil || failedWith(err) == -32603 {
			t.Errorf("%s: %v", c, err)
		}
	}
	for _, c := range commands.Table() {
		if !seen[c.ID] {
			t.Errorf("%s was not tried", c.ID)
		}
	}
	e.Shutdown()
}

// A submission that is waited for is called off with its request, as long as
// nothing was sent; after that its job is killed as soon as there is one.
func TestStoryCancelledRequest(t *testing.T) {
	t.Parallel()
	for path, end := range map[string]string{"/app/config/nodespecs/info": "cancelled", "/juliaruncloud/submit_job": "stopped"} {
		d := newDesk(t, func(ctx context.Context, _ *emulator.Stage) error { <-ctx.Done(); return ctx.Err() })
		if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Path: path, Delay: time.Second}); err != nil {
			t.Fatal(err)
		}
		uri := d.file("pi.jl", "1\n")
		e := d.editor(lsptest.Options{Capabilities: plugin()})
		e.OpenBuffer(uri, "julia", "1\n")
		p := e.StartExecute("juliahub.submitScript", map[string]any{"uri": uri, "wait": true})
		before := map[string]string{"cancelled": "bundling", "stopped": "submitting"}[end]
		e.Await(lsptest.JobIn(before))
		p.Cancel()
		if err := p.Wait(nil); failedWith(err) != -32800 {
			t.Errorf("%s: %v", path, err)
		}
		e.Await(lsptest.JobIn(end))
		if n := d.counted("POST /juliaruncloud/submit_job"); (n == 0) != (end == "cancelled") {
			t.Errorf("%s: sent %d times", path, n)
		}
		e.Shutdown()
	}
}

// However the connection ends, an upload ends with it, and nothing of it is left.
func TestStoryEndsWhileUploading(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*lsptest.Editor){
		"by the book":      func(e *lsptest.Editor) { e.Shutdown() },
		"without shutdown": func(e *lsptest.Editor) { e.Notify("exit", nil) },
		"input closed":     func(e *lsptest.Editor) { e.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			d.file("Project.toml", "[deps]\n")
			d.file("Manifest.toml", "")
			uri := d.file("pi.jl", "1\n")
			if err := d.hub.Inject(emulator.Fault{Kind: emulator.FaultLatency, Method: "PUT", Delay: time.Hour, Times: -1}); err != nil {
				t.Fatal(err)
			}
			e := d.editor(lsptest.Options{Capabilities: plugin()})
			e.OpenBuffer(uri, "julia", "1\n")
			e.Execute("juliahub.submitAppBundle", map[string]any{"uri": uri}, nil)
			e.Await(lsptest.JobIn("uploading"))
			end(e)
			again := d.editor(lsptest.Options{Capabilities: plugin()})
			again.Await(lsptest.JobIn("cancelled"))
			if n := d.counted("POST /juliaruncloud/submit_job"); n > 0 {
				t.Errorf("sent %d times", n)
			}
			again.Shutdown()
		})
	}
}

// A place that there is not is nothing to fail about.
func TestStoryPlacesBeyond(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.file("Project.toml", "[deps]\n")
	for name, text := range map[string]string{"JuliaHub.toml": "[profile.small]\nncpu = 2\n", ".juliabundleignore": "*.log\nda"} {
		uri := d.file(name, text)
		e := d.editor(lsptest.Options{})
		e.OpenBuffer(uri, "plaintext", text)
		for _, place := range [][2]int{{0, 0}, {0, 1 << 40}, {1, 1}, {99, 0}, {1 << 40, 1 << 40}, {-1, -1}, {1, -7}} {
			hoverText(e, uri, place[0], place[1])
			labels(e, uri, place[0], place[1])
			e.Actions(uri, between(place[0], place[1], place[1], place[0]), nil)
		}
		e.Shutdown()
	}
}

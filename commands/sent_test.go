package commands_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/jobapi/emulator"
)

// TestPreviewNamesWhatChanged compares settings, variables and the manifest's
// packages one by one with what was sent.
func TestPreviewNamesWhatChanged(t *testing.T) {
	const before = `julia_version = "1.10.4"
manifest_format = "2.0"

[[deps.CSV]]
git-tree-sha1 = "6c834533dc1fabd820c1db03c839bf97e45a3fab"
uuid = "336ed68f-0bac-5ca0-87d4-7b16caf5d00b"
version = "0.10.14"
[[deps.Dates]]
uuid = "ade2ca70-3891-5945-98fb-dc099432e06a"
[[deps.Gone]]
uuid = "336ed68f-0bac-5ca0-87d4-7b16caf5d001"
version = "1.0.0"
[[deps.Same]]
git-tree-sha1 = "6c834533dc1fabd820c1db03c839bf97e45a3fab"
uuid = "336ed68f-0bac-5ca0-87d4-7b16caf5d002"
version = "2.0.0"
`
	after := strings.NewReplacer("1.10.4", "1.11.2", "0.10.14", "0.10.15", "Gone", "New",
		"fab\"\nuuid = \"336ed68f-0bac-5ca0-87d4-7b16caf5d002", "fac\"\nuuid = \"336ed68f-0bac-5ca0-87d4-7b16caf5d002").Replace(before)
	const (
		hubBefore = "[profile.p]\nenv = { DATA = \"big\", OLD = \"1\", API_TOKEN = \"first-of-all\" }\ntimelimit = \"2h\"\n"
		hubAfter  = "[profile.p]\nenv = { DATA = \"small\", NEW = \"2\", API_TOKEN = \"second-of-all\" }\ntimelimit = \"3h\"\nnnodes = 2\nelastic = true\nimage = { product = \"standard-batch\", name = \"Julia\" }\nexpose = { port = 8080, access = \"me\" }\n"
	)
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "[deps]\n")
	path := w.write("a.jl", "1\n")
	for _, kind := range []string{"script", "appbundle"} {
		w.write("Manifest.toml", before)
		w.write("JuliaHub.toml", hubBefore)
		s, ui := w.session()
		submit := s.SubmitScript
		if kind == "appbundle" {
			submit = s.SubmitAppBundle
			w.write(".juliabundleignore", "JuliaHub.toml\n")
		}
		in := script(path, commands.SubmitArgs{Wait: true, Profile: "p"})
		// An appbundle of packages that no depot has is refused, so only the script has them.
		if kind == "appbundle" {
			w.write("Manifest.toml", "manifest_format = \"2.0\"\n")
		}
		if _, err := submit(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		preview := func() []string {
			t.Helper()
			again := in
			again.Args = &commands.PreviewArgs{SubmitArgs: commands.SubmitArgs{Wait: true, Profile: "p"}, Kind: kind}
			p, err := s.PreviewJob(t.Context(), again)
			if err != nil {
				t.Fatal(err)
			}
			return p.Changes
		}
		if got := preview(); len(got) > 0 {
			t.Errorf("%s: nothing changed, and it says %q", kind, got)
		}
		w.write("JuliaHub.toml", hubAfter)
		want := []string{
			"elastic: false → true", "exposed port: none → 8080 for me", "image: the default → standard-batch Julia", "nodes: 1 → 2", "time limit: 2 h → 3 h",
			"variable API_TOKEN: a secret → a secret", `variable DATA: "big" → "small"`, `variable NEW added: "2"`, `variable OLD removed (it was "1")`,
		}
		if kind == "script" {
			w.write("Manifest.toml", after)
			want = append(want, "the manifest's Julia: 1.10.4 → 1.11.2", "package CSV: 0.10.14 → 0.10.15", "package Gone removed (it was 1.0.0)",
				"package New added: 1.0.0", "package Same: 2.0.0 with other content")
		}
		if got := preview(); !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", kind, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		var shown string
		ui.await("the preview", func() bool {
			shown = ui.shown[len(ui.shown)-1]
			return true
		})
		if !strings.Contains(shown, "elastic: false → true") || strings.Contains(shown, "first-of-all") {
			t.Errorf("shown: %s", shown)
		}
	}
}

// TestPreviewLooksAtLines says nothing of a Julia file that was only touched, and
// sees one whose change the editor has not saved.
func TestPreviewLooksAtLines(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "")
	helper := w.write("helper.jl", "f() = 1\n")
	path := w.write("a.jl", "1\n")
	s, _ := w.session()
	in := script(path, commands.SubmitArgs{Wait: true})
	if _, err := s.SubmitAppBundle(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(helper, later, later); err != nil {
		t.Fatal(err)
	}
	for _, unsaved := range []string{"f() = 1\n", "f() = 2\n"} {
		in.Unsaved = []commands.Document{{Path: helper, URI: "file://" + helper, Open: true, Text: unsaved, Unsaved: true}}
		p, err := s.PreviewJob(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.Changes, "\n"); (got == "") != (unsaved == "f() = 1\n") || got != "" && got != "files changed or touched: 1 (helper.jl)" {
			t.Errorf("with %q: %q", unsaved, got)
		}
	}
}

// TestJuliaOfTheLastJob: what a finished job showed counts for the next one with
// the same image, also after a restart, and not for another image.
func TestJuliaOfTheLastJob(t *testing.T) {
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		s.Print("Julia Version 1.9.3\nCommit bed2cd540a1")
		s.Print("ERROR: LoadError: ArgumentError: no such thing\nand more of it")
		s.Print("Stacktrace:\n [1] top-level scope at /home/jovyan/code.jl:1\nin expression starting at /home/jovyan/code.jl:1")
		return errors.New("exit status 1")
	}})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest-v1.9.toml", "manifest_format = \"2.0\"\n")
	w.write("JuliaHub.toml", "[profile.other]\nimage = { product = \"standard-batch\", name = \"Julia\" }\n[profile.mine]\njulia = \"1.10\"\n")
	path := w.write("a.jl", "1\n")
	s, ui := w.session()
	if got := s.Facts(t.Context(), script(path, commands.SubmitArgs{})).Julia; got != "" {
		t.Errorf("nothing ran yet, and it is Julia %q", got)
	}
	sub, err := s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the end", func() bool { return ui.jobs[sub.Submission].Settled })
	if got := ui.job(sub.Submission).Reason; got != "ArgumentError: no such thing" {
		t.Errorf("the reason is %q", got)
	}
	closeSession(t, s)

	s, ui = w.session()
	ui.await("the record", func() bool { return ui.jobs[sub.Submission].Reason != "" })
	for profile, want := range map[string]string{"": "1.9", "other": "", "mine": "1.10"} {
		w.write("JuliaHub.toml", "default-profile = \""+profile+"\"\n[profile.other]\nimage = { product = \"standard-batch\", name = \"Julia\" }\n[profile.mine]\njulia = \"1.10\"\n")
		if profile == "" {
			w.write("JuliaHub.toml", "")
		}
		if got := s.Facts(t.Context(), script(path, commands.SubmitArgs{})).Julia; got != want {
			t.Errorf("with the profile %q it is Julia %q, want %q", profile, got, want)
		}
	}
	w.write("JuliaHub.toml", "")
	p, err := s.PreviewJob(t.Context(), script(path, commands.SubmitArgs{Wait: true}))
	if err != nil || filepath.Base(p.Manifest) != "Manifest-v1.9.toml" {
		t.Errorf("the manifest is %q, %v", p.Manifest, err)
	}
}

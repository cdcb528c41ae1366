package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"juliahub-lsp/commands"
	"juliahub-lsp/internal/testjulia"
	"juliahub-lsp/jobapi/emulator"
)

const oldManifest = "julia_version = \"1.9.0\"\nmanifest_format = \"2.0\"\n\n[[deps.Dev]]\npath = \"../Dev\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\nversion = \"0.1.0\"\n"

// stubJulia makes a program that calls itself Julia of a version, and does what
// the shell script says in the directory of the project, $dir.
func stubJulia(t *testing.T, dir, version, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in for julia is a shell script")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := "#!/bin/sh\nfor arg; do case $arg in --version) echo 'julia version " + version + "'; exit;; --project=*) dir=${arg#--project=};; esac; done\n" + script
	if err := os.WriteFile(filepath.Join(dir, "julia"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// touchUp stands for Pkg: it puts its version into the manifest.
func touchUp(version string) string {
	return "echo '  Resolving things'\nsed 's/^julia_version.*/julia_version = \"" + version + "\"/' \"$dir/Manifest.toml\" > \"$dir/new\" && mv \"$dir/new\" \"$dir/Manifest.toml\"\n"
}

// julias puts a Julia 1.11 on PATH and two 1.10 into juliaup, and returns their directory.
func (w *world) julias() string {
	home := filepath.Dir(w.dir)
	bin, up := filepath.Join(home, "bin"), filepath.Join(home, ".julia", "juliaup")
	stubJulia(w.t, bin, "1.11.2", touchUp("1.11.2"))
	versions := ""
	for _, v := range []string{"1.10.4", "1.10.10", "1.12.0-rc1"} {
		stubJulia(w.t, filepath.Join(up, "julia-"+v, "bin"), v, touchUp(v))
		versions += fmt.Sprintf(`%q: {"Path": "./julia-%s"}, `, v+"+0.x64.linux.gnu", v)
	}
	notes := `{"Default": "lts", "InstalledVersions": {` + strings.TrimSuffix(versions, ", ") + `}, "InstalledChannels": {"lts": {"Version": "1.10.4+0.x64.linux.gnu"}, "dev": {"Command": "/x"}}}`
	if err := os.WriteFile(filepath.Join(up, "juliaup.json"), []byte(notes), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.env["PATH"] = bin
	return bin
}

func resolving(path string, args commands.ResolveArgs) commands.Input {
	args.URI = "file://" + path
	return commands.Input{Args: &args, File: &commands.Document{URI: args.URI, Path: path}, Show: true}
}

func TestResolveManifest(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	w.julias()
	project := w.write("Project.toml", "name = \"P\"\nmanifest = \"deep/Manifest.toml\"\n\n[deps]\nDev = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n")
	manifest := w.write("deep/Manifest.toml", oldManifest)
	script := w.write("src/run.jl", "println(1)\n")
	s, ui := w.session()
	for _, c := range []struct {
		file  string
		args  commands.ResolveArgs
		hub   string
		julia string
	}{
		{project, commands.ResolveArgs{}, "", "1.11.2"},                                                           // what is on PATH
		{manifest, commands.ResolveArgs{Julia: "1.10"}, "", "1.10.10"},                                            // the newest one that juliaup has of it
		{script, commands.ResolveArgs{}, "[profile.p]\njulia = \"1.11\"\n", "1.11.2"},                             // the job's, which juliaup lacks
		{script, commands.ResolveArgs{}, "default-profile = \"q\"\n[profile.q]\njulia = \"1.10.4\"\n", "1.10.10"}, // the job's
	} {
		if c.hub != "" {
			w.write("JuliaHub.toml", c.hub)
		}
		c.args.Wait = true
		got, err := s.ResolveManifest(t.Context(), resolving(c.file, c.args))
		if err != nil || got.State != "done" || got.Julia != c.julia || got.Manifest != manifest || got.Project != project {
			t.Fatalf("%s with %+v: %+v, %v", filepath.Base(c.file), c.args, got, err)
		}
		want := strings.Replace(oldManifest, "1.9.0", c.julia, 1)
		if text, err := os.ReadFile(manifest); err != nil || string(text) != want {
			t.Fatalf("%s (%v)\nwant\n%s", text, err, want)
		}
	}
	got, err := s.ResolveManifest(t.Context(), resolving(script, commands.ResolveArgs{Wait: true}))
	if err != nil || got.Changed {
		t.Errorf("nothing was to be done: %+v, %v", got, err)
	}
	// Where nobody waits, it is said.
	if got, err := s.ResolveManifest(t.Context(), resolving(project, commands.ResolveArgs{Julia: "1.11"})); err != nil || got.State != "pending" {
		t.Fatalf("%+v, %v", got, err)
	}
	ui.await("the message", func() bool { return len(ui.said) == 1 && strings.Contains(ui.said[0], "Julia 1.11.2") })
	ui.await("progress with its end", func() bool {
		last := ui.tasks[len(ui.tasks)-1]
		return len(last.ended) == 1 && last.ended[0] == "done" && strings.Contains(strings.Join(last.reports, "\n"), "Resolving things")
	})

	in := resolving(project, commands.ResolveArgs{Wait: true})
	in.Unsaved = []commands.Document{{Path: manifest, Text: "x = 1\n", Open: true, Unsaved: true}}
	if _, err := s.ResolveManifest(t.Context(), in); err == nil || !strings.Contains(err.Error(), "unsaved changes") {
		t.Errorf("an unsaved manifest was overwritten: %v", err)
	}
}

// TestResolveManifestWithout says clearly what there is not, and leaves
// everything as it was.
func TestResolveManifestWithout(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	bin := w.julias()
	home := filepath.Dir(w.dir)
	stubJulia(t, filepath.Join(home, "bad"), "1.11.0", "echo 'ERROR: it does not resolve' >&2; exit 1\n")
	stubJulia(t, filepath.Join(home, "rash"), "1.11.0", touchUp("1.11.0")+"echo '# changed' >> '"+filepath.Join(w.dir, "Project.toml")+"'\n")
	project := w.write("Project.toml", "[deps]\n")
	manifest := w.write("Manifest.toml", oldManifest)
	for _, c := range []struct {
		path, juliaup, setting string
		args                   commands.ResolveArgs
		want                   string
	}{
		{path: bin, args: commands.ResolveArgs{Julia: "1.9"}, want: "juliaup add 1.9"},
		{path: bin, args: commands.ResolveArgs{Julia: "1.12"}, want: "juliaup add 1.12"}, // a release candidate is none
		{path: "", juliaup: "/none", want: "no Julia on this computer"},
		{path: "bin", juliaup: "/none", want: "no Julia on this computer"}, // a workspace's own program
		{path: bin, setting: filepath.Join(bin, "gone"), want: "juliahub.juliaPath names"},
		{setting: filepath.Join(home, "bad", "julia"), want: "it does not resolve"},
		{setting: "~/rash/julia", want: "Project.toml has changed in the meantime"},
	} {
		w.env["PATH"], w.env["JULIAUP_DEPOT_PATH"] = c.path, c.juliaup
		s, _ := w.session()
		s.SettingsChanged([]byte(fmt.Sprintf(`{"juliaPath": %q}`, c.setting)))
		c.args.Wait = true
		if _, err := s.ResolveManifest(t.Context(), resolving(project, c.args)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
		if text, err := os.ReadFile(manifest); err != nil || string(text) != oldManifest {
			t.Errorf("%+v wrote %s (%v)", c, text, err)
		}
	}
	s, _ := w.session()
	orphan := filepath.Join(filepath.Dir(w.dir), "orphan.jl")
	if err := os.WriteFile(orphan, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResolveManifest(t.Context(), resolving(orphan, commands.ResolveArgs{})); err == nil || !strings.Contains(err.Error(), "belongs to no project") {
		t.Errorf("a script of no project: %v", err)
	}
}

// TestResolveManifestCancelled writes nothing, and resolves a project once at a time.
func TestResolveManifestCancelled(t *testing.T) {
	w := newWorld(t, emulator.Config{})
	stubJulia(t, filepath.Join(filepath.Dir(w.dir), "bin"), "1.11.2", touchUp("1.11.2")+"echo here\nexec sleep 600\n")
	w.env["PATH"], w.env["JULIAUP_DEPOT_PATH"] = filepath.Join(filepath.Dir(w.dir), "bin"), "/none"
	project := w.write("Project.toml", "[deps]\n")
	manifest := w.write("Manifest.toml", oldManifest)
	s, ui := w.session()
	for range 2 {
		if got, err := s.ResolveManifest(t.Context(), resolving(project, commands.ResolveArgs{})); err != nil || got.State != "pending" {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	var task *recordedTask
	ui.await("Julia at work", func() bool {
		if len(ui.tasks) == 1 {
			task = ui.tasks[0]
		}
		return task != nil && strings.Contains(strings.Join(task.reports, " "), "here")
	})
	task.work.Cancel()
	ui.await("the end", func() bool { return len(task.ended) == 1 && task.ended[0] == "cancelled" })
	if text, err := os.ReadFile(manifest); err != nil || string(text) != oldManifest {
		t.Errorf("a cancelled one wrote %s (%v)", text, err)
	}
	ui.await("nothing said", func() bool { return len(ui.said) == 0 })
}

// TestResolveManifestWithJulia lets a real Julia resolve a package that is
// tracked by a path.
func TestResolveManifestWithJulia(t *testing.T) {
	exe := testjulia.Find(t)
	depot := t.TempDir()
	registry := filepath.Join(depot, "registries", "Empty")
	text := "name = \"Empty\"\nuuid = \"00000000-0000-4000-8000-000000000001\"\nrepo = \"\"\n\n[packages]\n"
	if err := errors.Join(os.MkdirAll(registry, 0o755), os.WriteFile(filepath.Join(registry, "Registry.toml"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JULIA_DEPOT_PATH", depot)
	w := newWorld(t, emulator.Config{})
	project := w.write("app/Project.toml", "[deps]\nDev = \"0d733eb5-97ac-4a4a-9738-000000000001\"\n")
	manifest := w.write("app/Manifest.toml", "[[Dev]]\npath = \"../Dev\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\nversion = \"0.1.0\"\n")
	w.write("Dev/Project.toml", "name = \"Dev\"\nuuid = \"0d733eb5-97ac-4a4a-9738-000000000001\"\nversion = \"0.2.0\"\n\n[deps]\nPrintf = \"de0858da-6303-5e67-8744-51eddeeeb8d7\"\n")
	w.write("Dev/src/Dev.jl", "module Dev end\n")
	s, _ := w.session()
	s.SettingsChanged([]byte(fmt.Sprintf(`{"juliaPath": %q}`, exe)))
	got, err := s.ResolveManifest(t.Context(), resolving(project, commands.ResolveArgs{Wait: true}))
	if err != nil || !got.Changed {
		t.Fatalf("%+v, %v", got, err)
	}
	after, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`path = "../Dev"`, `version = "0.2.0"`, "Printf"} {
		if !strings.Contains(string(after), want) {
			t.Errorf("%s is missing in\n%s", want, after)
		}
	}
}

// TestSubmitWithoutManifest keeps the manifest here, in both kinds of jobs.
func TestSubmitWithoutManifest(t *testing.T) {
	var manifests []string
	w := newWorld(t, emulator.Config{Simulate: func(_ context.Context, s *emulator.Stage) error {
		manifests = append(manifests, s.Manifest)
		if s.Bundle != "" {
			tar, err := os.ReadFile(s.Bundle)
			has := func(name string) bool { return bytes.Contains(tar, []byte("work/"+name)) }
			manifests = append(manifests, fmt.Sprint(err, has("Project.toml"), has("Manifest.toml")))
		}
		return nil
	}})
	w.write("Project.toml", "[deps]\n")
	w.write("Manifest.toml", "manifest_format = \"2.0\"\n")
	path := w.write("run.jl", "println(1)\n")
	s, ui := w.session()
	for _, submit := range []func(context.Context, commands.Input) (commands.Submission, error){s.SubmitScript, s.SubmitAppBundle} {
		sub, err := submit(t.Context(), script(path, commands.SubmitArgs{WithoutManifest: true, Wait: true}))
		if err != nil {
			t.Fatal(err)
		}
		ui.await("the job's end", func() bool { return ui.jobs[sub.Submission].Settled })
	}
	if got := strings.Join(manifests, "|"); got != "||<nil> true false" {
		t.Errorf("the jobs had %q", got)
	}
	again, err := s.Rerun(t.Context(), ofJob(commands.JobArgs{Wait: true}))
	if err != nil {
		t.Fatal(err)
	}
	ui.await("the job's end", func() bool { return ui.jobs[again.Submission].Settled })
	if last := manifests[len(manifests)-1]; last != "<nil> true false" {
		t.Errorf("the job that ran again had %q", last)
	}
	_, err = s.SubmitScript(t.Context(), script(path, commands.SubmitArgs{WithoutManifest: true, Settings: map[string]json.RawMessage{"sysimage": []byte("true")}}))
	if err == nil || !strings.Contains(err.Error(), "system image") {
		t.Errorf("a system image of nothing: %v", err)
	}
}

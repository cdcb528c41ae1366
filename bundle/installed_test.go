package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/internal/testjulia"
)

const (
	uuidG = "0d733eb5-97ac-4a4a-9738-0000000000a1" // in General
	uuidP = "0d733eb5-97ac-4a4a-9738-0000000000a2" // in a private registry
	uuidU = "0d733eb5-97ac-4a4a-9738-0000000000a3" // in none
	hash1 = "0123456789abcdef0123456789abcdef01234567"

	privateRegistry = "0d733eb5-97ac-4a4a-9738-0000000000b1"
)

func slugOf(t *testing.T, id, treeHash string) string {
	t.Helper()
	u, ok := parseUUID(id)
	if !ok {
		t.Fatal(id)
	}
	hash := make([]byte, 20)
	if _, err := fmt.Sscanf(treeHash, "%40x", &hash); err != nil {
		t.Fatal(err)
	}
	return slugs(u, hash)[0]
}

// TestSlugs compares the names of directories in the depot with Julia's own.
func TestSlugs(t *testing.T) {
	ids := []string{uuidG, "7876af07-990d-54b4-ab0e-23690620f79a", "ffffffff-ffff-ffff-ffff-ffffffffffff"}
	code := "for (u, h) in ["
	var want []string
	for _, id := range ids {
		for _, hash := range []string{hash1, strings.Repeat("0", 40), "46e44e869b4d90b96bd8ed1fdcf32244fddfb6cc"} {
			code += fmt.Sprintf("(%q, %q), ", id, hash)
			u, _ := parseUUID(id)
			raw := make([]byte, 20)
			if _, err := fmt.Sscanf(hash, "%40x", &raw); err != nil {
				t.Fatal(err)
			}
			want = append(want, strings.Join(slugs(u, raw), " "))
		}
	}
	code += "]\nprintln(Base.version_slug(Base.UUID(u), Base.SHA1(h), 5), ' ', Base.version_slug(Base.UUID(u), Base.SHA1(h), 4))\nend"
	j := &job{julia: testjulia.Find(t), start: t.TempDir(), depot: t.TempDir()}
	out, err := j.run(t, "", code)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, "slugs", strings.Split(strings.TrimSpace(out), "\n"), want)
}

// packRegistry makes a registry as Pkg keeps it packed.
func packRegistry(t *testing.T, dir, name, registry string) {
	t.Helper()
	var tarball bytes.Buffer
	z := gzip.NewWriter(&tarball)
	w := tar.NewWriter(z)
	for _, file := range []string{"A/A/Package.toml", "Registry.toml"} {
		text := registry
		if file != "Registry.toml" {
			text = "[packages]\n" + uuidU + " = {}\n"
		}
		if err := w.WriteHeader(&tar.Header{Name: file, Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	id, _, err := scanRegistry(strings.NewReader(registry))
	info := fmt.Sprintf("git-tree-sha1 = %q\nuuid = %q\npath = \"%s.tar.gz\"\n", hash1, id, name)
	if err := errors.Join(err, w.Close(), z.Close(), os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, name+".tar.gz"), tarball.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, name+".toml"), []byte(info), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func registryText(id string, packages ...string) string {
	text := "name = \"R\"\nuuid = \"" + id + "\"\nrepo = \"x\"\n\n[packages]\n"
	for _, p := range packages {
		text += p + " = { name = \"X\", path = \"X\" }\n"
	}
	return text + "\n[other]\n" + uuidU + " = 1\n"
}

// TestRegistries tells what the server can install from what has to travel.
func TestRegistries(t *testing.T) {
	depot := lay(t, map[string]string{
		"registries/Private/Registry.toml": registryText(privateRegistry, uuidP),
		"registries/Broken.toml":           "uuid = ",
		"registries/Empty.toml":            "",
		"registries/junk.txt":              "",
	})
	packRegistry(t, filepath.Join(depot, "registries"), "General", registryText(generalRegistry, uuidG))
	cache := t.TempDir()
	has := func(server []string, id string) bool {
		u, _ := parseUUID(id)
		return openRegistries([]string{filepath.Join(depot, "none"), depot}, server, cache).has(u)
	}
	general, both := []string{strings.ToUpper(generalRegistry)}, []string{generalRegistry, privateRegistry}
	for range 2 { // the second time from the cache
		for _, c := range []struct {
			server []string
			id     string
			want   bool
		}{{nil, uuidG, true}, {nil, uuidP, false}, {general, uuidG, true}, {both, uuidP, true}, {both, uuidU, false}, {[]string{}, uuidG, false}} {
			if got := has(c.server, c.id); got != c.want {
				t.Errorf("%v has %s: %v", c.server, c.id, got)
			}
		}
		if err := os.Remove(filepath.Join(depot, "registries", "General.tar.gz")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	// A damaged cache is not believed.
	file := filepath.Join(cache, "registries", hash1+".uuids")
	if err := os.WriteFile(file, append(readFile(t, file), 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := openRegistries([]string{depot}, nil, cache); r.has(uuid{}) || len(r.unread) != 2 || len(r.missing()) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestUnregistered copies from the depot what the server cannot install, and makes
// path entries of it.
func TestUnregistered(t *testing.T) {
	slug := slugOf(t, uuidU, hash1)
	depot := lay(t, map[string]string{
		"registries/General/Registry.toml":                    registryText(generalRegistry, uuidG),
		"packages/U/" + slug + "/Project.toml":                "name = \"U\"\nuuid = \"" + uuidU + "\"\n",
		"packages/U/" + slug + "/key.pem":                     "",
		"packages/U/" + slug + "/" + ignoreName:               "*.tmp\n",
		"packages/U/" + slug + "/x.tmp":                       "",
		"packages/U/" + slug[:4] + "/Project.toml":            "name = \"Older\"\n",
		"packages/R/" + slugOf(t, uuidP, hash1) + "/src/R.jl": "",
	})
	head := "manifest_format = \"2.1\"\n\n[registries.General]\nurl = \"x\"\nuuid = \"" + generalRegistry + "\"\n[registries.Mine]\nuuid = \"" + privateRegistry + "\"\n\n"
	entry := func(name, id, rest string) string {
		return "[[deps." + name + "]]\ndeps = [\"X\"]\n" + rest + "uuid = \"" + id + "\"\nversion = \"1.0.0\"\n\n    [deps." + name + ".weakdeps]\n    path = \"y\"\n\n"
	}
	hash := "git-tree-sha1 = \"" + hash1 + "\" # hash\n"
	manifest := head +
		entry("G", uuidG, hash) + // looked up
		entry("S", uuidP, hash+"registries = [\"Mine\", \"General\"]\n") + // the manifest says so
		entry("Stdlib", uuidU, "") +
		entry("U", uuidU, hash+"registries = \"Mine\"\n") +
		entry("R", uuidP, "git-tree-sha1 = \""+hash1+"\"\nrepo-rev = \"main\"\nrepo-url = \"git@github.com:me/R.git\"\n") +
		entry("Pub", uuidP, hash+"repo-url = \"https://GitHub.com/x/Pub.jl\"\n")
	project := "[deps]\nR = \"" + uuidP + "\"\n\n[sources]\nR = {url = \"git@github.com:me/R.git\", rev = \"main\"}\nPub = {url = \"https://github.com/x/Pub.jl\"}\n"
	dir := lay(t, map[string]string{"p/Project.toml": project, "p/Manifest.toml": manifest})
	p := mustPlan(t, Options{Dir: filepath.Join(dir, "p"), Depots: []string{t.TempDir(), depot}, CacheDir: t.TempDir(), Registries: []string{generalRegistry}})
	want := head + entry("G", uuidG, hash) + entry("S", uuidP, hash+"registries = [\"Mine\", \"General\"]\n") + entry("Stdlib", uuidU, "") +
		entry("U", uuidU, "path = \".bundle/dev/U\" # hash\n") +
		entry("R", uuidP, "path = \".bundle/dev/R\"\n") +
		entry("Pub", uuidP, hash+"repo-url = \"https://GitHub.com/x/Pub.jl\"\n")
	if got := string(p.content["Manifest.toml"]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	wantProject := "[deps]\nR = \"" + uuidP + "\"\n\n[sources]\nR = {path = \".bundle/dev/R\"}\nPub = {url = \"https://github.com/x/Pub.jl\"}\n"
	if got := string(p.content["Project.toml"]); got != wantProject {
		t.Errorf("got\n%s\nwant\n%s", got, wantProject)
	}
	expect(t, "files", filePaths(p), []string{".bundle/dev/R/src/R.jl", ".bundle/dev/U/.juliabundleignore", ".bundle/dev/U/Project.toml", ".bundle/dev/U/key.pem", "Manifest.toml", "Project.toml"})
	expect(t, "warnings", codes(p), []string{"cloned-by-job Manifest.toml"})
	if err := p.Check(); err != nil {
		t.Errorf("a published package has no secrets: %v", err)
	}

	// What the job cannot clone has to be installed here.
	_, err := NewPlan(context.Background(), Options{Dir: filepath.Join(dir, "p"), Depots: []string{t.TempDir()}, CacheDir: t.TempDir()})
	var missing *PackageError
	if !errors.As(err, &missing) || missing.Package != "R" || !strings.Contains(err.Error(), "instantiate") {
		t.Errorf("not installed: %v", err)
	}
}

// TestNotInstalled tells a package that no registry has from one that cannot be
// looked up, on a machine where Julia never was.
func TestNotInstalled(t *testing.T) {
	const other = "0d733eb5-97ac-4a4a-9738-0000000000b2"
	dir := lay(t, map[string]string{
		"p/Project.toml":  "",
		"p/Manifest.toml": "[[U]]\ngit-tree-sha1 = \"" + hash1 + "\"\nuuid = \"" + uuidU + "\"\n\n[[G]]\ngit-tree-sha1 = \"" + hash1 + "\"\nuuid = \"" + uuidG + "\"\n",
	})
	options := Options{Dir: filepath.Join(dir, "p"), Depots: []string{t.TempDir()}, CacheDir: t.TempDir(), Registries: []string{generalRegistry, other}}
	p := mustPlan(t, options)
	expect(t, "warnings", codes(p), []string{"registry-missing "})
	expect(t, "files", filePaths(p), []string{"Manifest.toml", "Project.toml"})

	for name, change := range map[string]func(*Options){
		"the registry does not have it": func(o *Options) {
			o.Depots = []string{lay(t, map[string]string{"registries/General/Registry.toml": registryText(generalRegistry, uuidG)})}
		},
		"the server has no registries": func(o *Options) { o.Registries = []string{} },
	} {
		o := options
		change(&o)
		_, err := NewPlan(context.Background(), o)
		var missing *PackageError
		if !errors.As(err, &missing) || missing.Package != "U" || !strings.Contains(err.Error(), "instantiate") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPrivateGit decides whether the job can clone a repository.
func TestPrivateGit(t *testing.T) {
	b := &builder{}
	for repo, private := range map[string]bool{
		"https://github.com/x/y": false, "https://gitlab.com/x/y.git": false, "http://github.com/x": false, "git://github.com/x": false, "https://GITHUB.com:443/x": false,
		"git@github.com:x/y.git": true, "ssh://git@github.com/x": true, "https://token@github.com/x": true, "https://git.corp.example/x": true,
		"/home/me/x": true, "../x": true, "file:///x": true, `C:\x`: true, "host:x/y": true, "": true,
	} {
		if got := b.privateGit(repo) != ""; got != private {
			t.Errorf("%s: %v", repo, got)
		}
	}
	b.options.PublicGitHosts = []string{"git.corp.example"}
	if b.privateGit("https://git.corp.example/x") != "" || b.privateGit("https://github.com/x") == "" {
		t.Error("the setting does not count")
	}
}

// TestArtifacts takes what a job on Linux can use, whatever the host.
func TestArtifacts(t *testing.T) {
	hash := func(c string) string { return strings.Repeat(c, 40) }
	variant := func(name, c, rest string) string {
		return "[[" + name + "]]\ngit-tree-sha1 = \"" + hash(c) + "\"\n" + rest + "\n"
	}
	linux := "os = \"linux\"\narch = \"x86_64\"\n"
	download := "[[%s.download]]\nurl = \"https://x\"\nsha256 = \"y\"\n"
	artifacts := "[any]\ngit-tree-sha1 = \"" + hash("a") + "\"\n" +
		variant("bin", "b", linux+"libc = \"glibc\"\nlibgfortran_version = \"4.0.0\"") + variant("bin", "c", linux+"libc = \"glibc\"\nlibgfortran_version = \"5.0.0\"") +
		variant("bin", "d", linux+"libc = \"musl\"") + variant("bin", "e", "os = \"macos\"\narch = \"x86_64\"") + variant("bin", "f", "os = \"linux\"\narch = \"aarch64\"") +
		variant("net", "0", linux) + fmt.Sprintf(download, "net") +
		variant("lazy", "1", linux+"lazy = true") + variant("lazy", "2", linux+"lazy = true")
	files := map[string]string{"artifacts/Overrides.toml": ""}
	for _, c := range []string{"a", "b", "c", "d", "e", "f", "2", "3", "4"} {
		files["artifacts/"+hash(c)+"/f"] = c
		files["artifacts/"+hash(c)+"/"+ignoreName] = "f"
	}
	depot := lay(t, files)
	if err := os.MkdirAll(filepath.Join(depot, "artifacts", hash("5")), 0o755); err != nil {
		t.Fatal(err)
	}
	entry := func(name, id, path string) string {
		return "[[deps." + name + "]]\npath = \"" + path + "\"\nuuid = \"" + id + "\"\n"
	}
	dir := lay(t, map[string]string{
		"p/Project.toml": "", "p/Artifacts.toml": artifacts,
		"p/Manifest.toml":         manifestHead + entry("In", uuidG, "in") + entry("Out", uuidU, "../out"),
		"p/in/Artifacts.toml":     variant("x", "3", ""),
		"out/Project.toml":        "name = \"Out\"\nuuid = \"" + uuidU + "\"\n",
		"out/Artifacts.toml":      "not = toml = at all",
		"out/JuliaArtifacts.toml": variant("y", "4", "") + variant("z", "5", ""),
	})
	o := Options{Dir: filepath.Join(dir, "p"), Depots: []string{depot}}
	p := mustPlan(t, o)
	var got []string
	for _, e := range readTar(t, pack(t, p)) {
		if rest, ok := strings.CutPrefix(e.Name, "p/"+artifactsDir+"/"); ok && !strings.HasSuffix(rest, ignoreName) {
			got = append(got, rest[:1]+strings.TrimPrefix(rest, rest[:1]+hash(rest[:1])[1:]))
		}
	}
	expect(t, "artifacts", got, []string{"2/f", "3/f", "4/f", "5", "a/f", "b/f", "c/f"})
	expect(t, "warnings", codes(p), []string{"artifact-overrides "})

	if err := os.RemoveAll(filepath.Join(depot, "artifacts", hash("a"))); err != nil {
		t.Fatal(err)
	}
	_, err := NewPlan(context.Background(), o)
	var missing *ArtifactError
	if !errors.As(err, &missing) || missing.Name != "any" {
		t.Errorf("not to be had: %v", err)
	}
}

// TestEverythingRuns bundles path packages, an unregistered package with an
// artifact, and a package that has still to be cloned (so that instantiating
// cannot end early), and runs it elsewhere with an empty depot and no network.
func TestEverythingRuns(t *testing.T) {
	repo, treeHash := gitPackage(t)
	slug := slugOf(t, uuidU, hash1)
	artifactHash := strings.Repeat("7", 40)
	depot := lay(t, map[string]string{
		"packages/U/" + slug + "/Project.toml":   "name = \"U\"\nuuid = \"" + uuidU + "\"\nversion = \"1.0.0\"\n\n[deps]\nPkg = \"44cfe95a-1eb2-52ea-b672-e2afdf69b78f\"\n",
		"packages/U/" + slug + "/src/U.jl":       "module U\nusing Pkg.Artifacts\nanswer() = read(joinpath(artifact\"data\", \"answer\"), String)\nend\n",
		"packages/U/" + slug + "/Artifacts.toml": "[data]\ngit-tree-sha1 = \"" + artifactHash + "\"\n",
		"artifacts/" + artifactHash + "/answer":  "42",
	})
	uuidA := "0d733eb5-97ac-4a4a-9738-0000000000a4"
	const cloned = "https://git.example/G.git"
	// Format 1.0, which every Julia reads. The standard libraries stand in it, too.
	manifest := "[[A]]\ndeps = [\"U\"]\npath = \"../A\"\nuuid = \"" + uuidA + "\"\nversion = \"0.1.0\"\n\n" +
		"[[G]]\ngit-tree-sha1 = \"" + treeHash + "\"\nrepo-rev = \"master\"\nrepo-url = \"" + cloned + "\"\nuuid = \"" + uuidG + "\"\nversion = \"0.1.0\"\n\n" +
		"[[U]]\ndeps = [\"Pkg\"]\ngit-tree-sha1 = \"" + hash1 + "\"\nuuid = \"" + uuidU + "\"\nversion = \"1.0.0\"\n\n" + standardLibraries
	dir := lay(t, map[string]string{
		"p p/Project.toml":  "[deps]\nA = \"" + uuidA + "\"\nG = \"" + uuidG + "\"\n",
		"p p/Manifest.toml": manifest,
		"p p/run.jl":        "using A, G\nprintln(A.answer(), \" \", G.answer())\n",
		"A/Project.toml":    "name = \"A\"\nuuid = \"" + uuidA + "\"\nversion = \"0.1.0\"\n\n[deps]\nU = \"" + uuidU + "\"\n",
		"A/src/A.jl":        "module A\nimport U\nanswer() = U.answer()\nend\n",
	})
	root := filepath.Join(dir, "p p")
	p := mustPlan(t, Options{Dir: root, Script: filepath.Join(root, "run.jl"), Depots: []string{depot}, CacheDir: t.TempDir(), PublicGitHosts: []string{"git.example"}})
	j := newJob(t, p, false)
	// There is no network: the public host is this machine.
	file := filepath.Join(j.start, "Manifest.toml")
	if err := os.WriteFile(file, bytes.Replace(readFile(t, file), []byte(cloned), []byte(filepath.ToSlash(repo)), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	j.depot += string(os.PathListSeparator) + filepath.Join(j.start, ".bundle", "depot")
	out, err := j.run(t, ".", "using Pkg\nPkg.instantiate()\n"+p.Driver())
	if err != nil || !strings.HasSuffix(out, "42 cloned\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// gitPackage makes a repository with a package and returns it with its tree hash.
func gitPackage(t *testing.T) (repo, treeHash string) {
	t.Helper()
	testjulia.Find(t) // nobody else needs it
	repo = lay(t, map[string]string{
		"Project.toml": "name = \"G\"\nuuid = \"" + uuidG + "\"\nversion = \"0.1.0\"\n", "src/G.jl": "module G\nanswer() = \"cloned\"\nend\n",
	})
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "master")
	git("add", ".")
	git("commit", "-q", "-m", "x")
	return repo, git("rev-parse", "HEAD^{tree}")
}

const standardLibraries = `[[Pkg]]
uuid = "44cfe95a-1eb2-52ea-b672-e2afdf69b78f"
`

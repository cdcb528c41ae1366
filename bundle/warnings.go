package bundle

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// largeFile is the size in bytes above which a file is warned of.
const largeFile = 50 << 20

// isSecret reports whether a file is called as files with secrets are.
func isSecret(file string) bool {
	name := strings.ToLower(file[strings.LastIndexByte(file, '/')+1:])
	switch name {
	case ".env", "auth.toml", "id_rsa", "id_dsa", "credentials", "credentials.json", ".netrc":
		return true
	}
	if strings.HasPrefix(name, "id_ecdsa") || strings.HasPrefix(name, "id_ed25519") {
		return !strings.HasSuffix(name, ".pub")
	}
	return strings.HasSuffix(name, ".pem") || strings.HasSuffix(name, ".key")
}

// buildDirs are directories that programs make again by themselves.
var buildDirs = []string{"node_modules", "__pycache__", ".venv", ".ipynb_checkpoints", ".tox", ".pytest_cache"}

// isBuildOutput reports whether a directory of a tree is one of build output.
func isBuildOutput(dir string) bool {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	if name == "build" {
		parent := path.Base(path.Dir(dir))
		return parent == "." || parent == "docs"
	}
	return slices.Contains(buildDirs, name)
}

// isCounts reports whether a file is called as those that hold the coverage or
// allocation counts of a source file.
func isCounts(name string) bool {
	return (strings.HasSuffix(name, ".cov") || strings.HasSuffix(name, ".mem")) && strings.Contains(name, ".jl.")
}

// warnOfFiles warns of files that a person may not want to send.
func (b *builder) warnOfFiles() {
	for i := range b.plan.Files {
		f := &b.plan.Files[i]
		large, counts, secret := f.Bytes > largeFile, f.marks&markCounts != 0, f.marks&markSecret != 0
		if !secret && !large && !counts || b.plan.isFromDepot(f.Path) {
			continue
		}
		if secret {
			b.warn("secret", f.Path, "%s looks like a secret; to leave it out, add the line %s", f.Path, b.advice(f.Path))
		}
		if large {
			b.warn("large-file", f.Path, "%s has %s; to leave it out, add the line %s", f.Path, human(f.Bytes), b.advice(f.Path))
		}
		if counts {
			b.output[f.Path] += f.Bytes
		}
	}
	for what, bytes := range b.output {
		if !b.plan.isFromDepot(what) {
			b.warn("build-output", what, "%s looks like build output (%s); to leave it out, add the line %s", what, human(bytes), b.advice(what))
		}
	}
}

// advice says which line of which ignore file leaves a path out: that of the
// tree that it belongs to.
func (b *builder) advice(path string) string {
	for _, s := range b.plan.sources {
		if rest, ok := strings.CutPrefix(path, s.prefix); ok {
			return ignoreLine(rest) + " to " + filepath.Join(s.dir, ignoreName)
		}
	}
	return ignoreLine(path) + " to " + ignoreName
}

// warnOfPackages warns of packages whose build step counts on what only this
// machine has.
func (b *builder) warnOfPackages() {
	for _, pkg := range b.packages {
		if n := pkg.tree.find("deps/build.jl"); n == nil || n.excluded() {
			continue
		}
		text := fmt.Sprintf("package %s has a build step (deps/build.jl), which the job runs", pkg.name)
		if untracked := untrackedDeps(b.ctx, pkg.from); len(untracked) > 0 && !pkg.fromDepot {
			text += "; these files below deps are not in git and travel as they are here: " + strings.Join(untracked, ", ")
		}
		b.warn("package-build", pkg.to+"/deps/build.jl", "%s", text)
	}
}

// untrackedDeps lists the files below deps that git does not know, such as what
// a build on this machine made. Without git it lists none.
func untrackedDeps(ctx context.Context, dir string) []string {
	// A repository's own settings must not run programs here.
	cmd := exec.CommandContext(ctx, "git", "-c", "core.fsmonitor=false", "-C", dir, "ls-files", "--others", "-z", "--", "deps")
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
}

// preferencesNames are the names of local preferences, the stronger first.
var preferencesNames = []string{"JuliaLocalPreferences.toml", "LocalPreferences.toml"}

// warnOfPreferences names the preferences that were meant for this machine.
func (b *builder) warnOfPreferences() {
	for _, at := range unique("", b.env.dir) {
		for _, name := range preferencesNames {
			file := join(at, name)
			n := b.root.find(file)
			if n == nil || n.path != file || n.excluded() {
				continue
			}
			abs := filepath.Join(b.root.top, filepath.FromSlash(file))
			data, err := b.overlay.readFile(abs)
			if err != nil {
				continue // packing it will say so
			}
			b.warn("local-preferences", file, "%s travels: %s", file, describePreferences(abs, data))
		}
	}
}

// hardware are preferences about the machine itself.
var hardware = map[string]string{
	"MPIPreferences":   "this machine's MPI",
	"CUDA_Runtime_jll": "this machine's CUDA",
}

// describePreferences lists the tables of a preferences file, with what in them
// only fits this machine.
func describePreferences(file string, data []byte) string {
	spans, err := scanTOML(file, data)
	if err != nil {
		return err.Error()
	}
	var tables []string
	notes := map[string][]string{}
	for _, s := range spans {
		table := s.key[0]
		if !slices.Contains(tables, table) {
			tables = append(tables, table)
			if what, ok := hardware[table]; ok {
				notes[table] = append(notes[table], what)
			}
		}
		if s.isString && (strings.HasPrefix(s.text, "/") || filepath.IsAbs(s.text)) {
			notes[table] = append(notes[table], fmt.Sprintf("%s = %q", strings.Join(s.key[1:], "."), s.text))
		}
	}
	slices.Sort(tables)
	for i, table := range tables {
		if len(notes[table]) > 0 {
			tables[i] += " (" + strings.Join(notes[table], "; ") + ")"
		}
	}
	if len(tables) == 0 {
		return "it is empty"
	}
	return "it sets " + strings.Join(tables, ", ")
}

// warnOfRootRules names the project's rules that JuliaHub.jl would apply to the
// packages in .bundle, too: here only a package's own rules count.
func (b *builder) warnOfRootRules() {
	root := b.root.root.rules
	if root == nil {
		return
	}
	first := map[*rule]string{}
	note := func(path string, isDir bool) bool {
		r := root.decide(path, isDir)
		if r.excludes() && first[r] == "" {
			first[r] = path
		}
		return r.excludes()
	}
	if len(b.packages) > 0 && (note(".bundle", true) || note(".bundle/dev", true)) {
		b.noteRules(first)
		return
	}
	for _, pkg := range b.packages {
		if !note(pkg.to, true) {
			noteDir(pkg.tree.root, pkg.to+"/", note)
		}
	}
	b.noteRules(first)
}

// noteDir asks about the entries of a directory without ignore files of its own.
func noteDir(d *dir, prefix string, note func(path string, isDir bool) bool) {
	if d.rules != nil {
		return
	}
	for i := range d.nodes {
		n := &d.nodes[i]
		if n.excluded() || note(prefix+n.path, n.kind == kindDir) || n.dir == nil {
			continue
		}
		noteDir(n.dir, prefix, note)
	}
}

func (b *builder) noteRules(first map[*rule]string) {
	for r, path := range first {
		ref := b.ref(r, "")
		b.plan.Warnings = append(b.plan.Warnings, Warning{Code: "rule-not-applied", Path: path, File: ref.File, Line: ref.Line,
			Message: fmt.Sprintf("the rule %s does not count for packages that travel (JuliaHub.jl would leave out %s): put it into the package's own %s", ref.Pattern, path, ignoreName)})
	}
}

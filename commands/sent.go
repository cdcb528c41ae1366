package commands

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/track"
)

// sentFacts are kept beside a record: how and with what a job was submitted, so
// that a preview can say what is different now.
type sentFacts struct {
	WithoutManifest bool                   `json:"withoutManifest,omitempty"`
	Settings        map[string]string      `json:"settings"`           // in words, by what they are
	Env             map[string]string      `json:"env,omitempty"`      // a value that looks secret only as its hash
	Julia           string                 `json:"julia,omitempty"`    // that resolved the manifest
	Packages        map[string]sentPackage `json:"packages,omitempty"` // of the manifest, by name
}

// sentPackage is a package of a manifest.
type sentPackage struct {
	Version string `json:"version,omitempty"`
	Source  string `json:"source,omitempty"` // a path or repository; "" = a registry
	Tree    string `json:"tree,omitempty"`   // git's hash of its content
}

const (
	sentSuffix = ".sent.gz" // of sentFacts
	treeSuffix = ".tree.gz" // of what an appbundle held: sentEntry by path
)

// sentEntry is a file as an appbundle held it.
type sentEntry struct {
	Size int64 `json:"s"`
	Time int64 `json:"t,omitempty"` // of the local file's last change, Unix nanoseconds; 0 = not known
}

// factsSent says how a request would be submitted, with the text of the manifest
// that it would carry.
func factsSent(q *request, manifest string) sentFacts {
	p := q.settings.Profile
	f := sentFacts{WithoutManifest: q.args.WithoutManifest, Settings: map[string]string{
		"sent as": q.kind, "profile": strconv.Quote(q.settings.ProfileName), "server": q.server,
		"time limit": hoursText(p.LimitHours), "nodes": strconv.Itoa(max(1, p.NNodes)),
		"least number of nodes": numberText(p.MinNodes), "elastic": strconv.FormatBool(p.Elastic),
		"one process a node": strconv.FormatBool(p.ProcessPerNode), "system image": strconv.FormatBool(p.Sysimage),
		"vCPUs": strconv.Itoa(max(1, p.NCPU)), "GB of memory": strconv.Itoa(max(1, p.Memory)), "GPUs": strconv.Itoa(p.NGPU),
		"name": strconv.Quote(p.Alias), "environment": strconv.Quote(cmpDir(p.Environment, "auto")),
		"image": imageText(p.Image), "exposed port": exposeText(p.Expose), "project": cmpDir(p.Project, "none"),
	}}
	for name, value := range p.Env {
		if f.Env == nil {
			f.Env = map[string]string{}
		}
		if settings.LooksSecret(name, value) {
			value = "sha256:" + sha256Of([]byte(name + "\x00" + value))[:16]
		}
		f.Env[name] = value
	}
	f.Julia, f.Packages = packagesOf(manifest)
	return f
}

func hoursText(hours int) string {
	if hours == 0 {
		return "none"
	}
	return fmt.Sprintf("%d h", hours)
}

func numberText(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

func imageText(i *settings.Image) string {
	if i == nil {
		return "the default"
	}
	text := i.Product
	for _, part := range []struct{ before, text string }{{" ", i.Name}, {":", i.Tag}, {"@", i.SHA256}} {
		if part.text != "" {
			text += part.before + part.text
		}
	}
	return text
}

func exposeText(e *settings.Expose) string {
	if e == nil {
		return "none"
	}
	text := fmt.Sprintf("%d for %s", e.Port, cmpDir(e.Access, "me"))
	if e.DNSPrefix != "" {
		text += " as " + e.DNSPrefix
	}
	return text
}

// packagesOf reads the packages of a manifest, and the Julia that resolved it.
func packagesOf(manifest string) (julia string, packages map[string]sentPackage) {
	tree := map[string]any{}
	if _, err := toml.Decode(strings.TrimPrefix(manifest, "\ufeff"), &tree); err != nil {
		return "", nil
	}
	julia, _ = tree["julia_version"].(string)
	if _, ok := tree["manifest_format"]; ok { // since format 2
		tree, _ = tree["deps"].(map[string]any)
	}
	packages = map[string]sentPackage{}
	for name, entries := range tree {
		list, _ := entries.([]map[string]any)
		for i, entry := range list {
			if i > 0 { // two packages of one name
				uuid, _ := entry["uuid"].(string)
				name = fmt.Sprintf("%s (%s)", name, shortHash(uuid))
			}
			packages[name] = packageOf(entry)
		}
	}
	return julia, packages
}

func packageOf(entry map[string]any) sentPackage {
	text := func(key string) string { s, _ := entry[key].(string); return s }
	p := sentPackage{Version: text("version"), Source: text("path"), Tree: text("git-tree-sha1")}
	if url := text("repo-url"); url != "" {
		p.Source = url
		if rev := text("repo-rev"); rev != "" {
			p.Source += "#" + rev
		}
	}
	return p
}

// String is a package's version and where it comes from.
func (p sentPackage) String() string {
	version := cmpDir(p.Version, "no version")
	if p.Source != "" {
		return version + " from " + p.Source
	}
	return version
}

// keepFacts keeps, beside the record, how a job is submitted. It is a comfort:
// failing is no reason not to submit.
func (s *Session) keepFacts(f *flight, manifest string) {
	if err := s.keepBeside(f.id, sentSuffix, factsSent(f.request, manifest)); err != nil {
		s.log.Warn("cannot keep how it was submitted", "error", err)
	}
}

// sentFactsOf reads how a submission was made; false when that was not kept.
func (s *Session) sentFactsOf(submission string) (sentFacts, bool) {
	var f sentFacts
	err := s.readBeside(submission, sentSuffix, &f)
	return f, err == nil
}

// changes says in words what is different in now.
func (f sentFacts) changes(now sentFacts) (all []string) {
	change := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for _, what := range slices.Sorted(maps.Keys(now.Settings)) {
		if old, had := f.Settings[what]; had && old != now.Settings[what] {
			change("%s: %s → %s", what, old, now.Settings[what])
		}
	}
	eachChange(f.Env, now.Env, func(name string, old, value *string) {
		switch {
		case old == nil:
			change("variable %s added: %s", name, shown(*value))
		case value == nil:
			change("variable %s removed (it was %s)", name, shown(*old))
		default:
			change("variable %s: %s → %s", name, shown(*old), shown(*value))
		}
	})
	if f.WithoutManifest != now.WithoutManifest {
		change("the manifest: %s", map[bool]string{true: "it stays here", false: "it goes along"}[now.WithoutManifest])
	}
	if f.Julia != now.Julia {
		change("the manifest's Julia: %s → %s", cmpDir(f.Julia, "unknown"), cmpDir(now.Julia, "unknown"))
	}
	eachChange(f.Packages, now.Packages, func(name string, old, p *sentPackage) {
		switch {
		case old == nil:
			change("package %s added: %s", name, p)
		case p == nil:
			change("package %s removed (it was %s)", name, old)
		case old.String() == p.String():
			change("package %s: %s with other content", name, p)
		default:
			change("package %s: %s → %s", name, old, p)
		}
	})
	return all
}

// shown is a variable's value for people: not the hash that stands for a secret.
func shown(value string) string {
	if strings.HasPrefix(value, "sha256:") {
		return "a secret"
	}
	return track.Plain(strconv.Quote(value))
}

// eachChange calls f, in the order of the names, for what two maps have not in
// common; nil = not there.
func eachChange[T comparable](before, after map[string]T, f func(name string, old, now *T)) {
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		old, had := before[name]
		now, has := after[name]
		switch {
		case !had:
			f(name, nil, &now)
		case !has:
			f(name, &old, nil)
		case old != now:
			f(name, &old, &now)
		}
	}
}

// treeOf is what an appbundle holds, for a comparison later.
func treeOf(plan *bundle.Plan) map[string]sentEntry {
	tree := make(map[string]sentEntry, len(plan.Files))
	for _, file := range plan.Files {
		entry := sentEntry{Size: file.Bytes}
		if info, err := os.Stat(localFile(plan, file)); err == nil {
			entry.Time = info.ModTime().UnixNano()
		}
		tree[file.Path] = entry
	}
	return tree
}

// bundleChanges compares the files of a bundle with those that were sent. A .jl
// file whose lines are the same has not changed, whatever its time says.
func (s *Session) bundleChanges(r *track.Record, plan *bundle.Plan, unsaved map[string][]byte) (changes []string) {
	var before map[string]sentEntry
	if err := s.readBeside(r.Submission, treeSuffix, &before); err != nil {
		s.log.Info("the list of bundled files is not kept", "submission", r.Submission, "error", err)
		return nil
	}
	local := make(map[string]string, len(plan.Files))
	for _, file := range plan.Files {
		local[file.Path] = localFile(plan, file)
	}
	var added, removed, changed []string
	sent := s.sentFiles(r.Submission)
	eachChange(before, treeOf(plan), func(path string, old, now *sentEntry) {
		switch {
		case old == nil:
			added = append(added, path)
		case now == nil:
			removed = append(removed, path)
		default:
			lines := sent[path].Lines
			if lines == nil || !slices.Equal(lines, linesOf(local[path], unsaved)) {
				changed = append(changed, path)
			}
		}
	})
	// The editor's text takes the place of the file's.
	for path, file := range sent {
		text, open := unsaved[local[path]]
		if open && local[path] != "" && !slices.Contains(changed, path) && file.Lines != nil && !slices.Equal(file.Lines, linesOf(local[path], map[string][]byte{local[path]: text})) {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	for _, list := range []struct {
		what  string
		files []string
	}{{"added", added}, {"removed", removed}, {"changed or touched", changed}} {
		if n := len(list.files); n > 0 {
			names := strings.Join(list.files[:min(n, mostNamed)], ", ")
			if n > mostNamed {
				names += ", …"
			}
			changes = append(changes, fmt.Sprintf("files %s: %d (%s)", list.what, n, track.Plain(names)))
		}
	}
	return changes
}

// mostNamed is how many changed files are named.
const mostNamed = 10

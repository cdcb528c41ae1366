package bundle

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// publicGitHosts are where a job can clone from without credentials, if
// Options.PublicGitHosts does not say otherwise.
var publicGitHosts = []string{"github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht"}

// identity is a version of a package.
type identity struct{ name, uuid, treeHash string }

func identityOf(e *manifestEntry) identity {
	return identity{e.name, strings.ToLower(e.text("uuid")), strings.ToLower(e.text("git-tree-sha1"))}
}

// collectInstalled looks at a package that is tracked by a version or a
// repository: one that the job cannot get by itself is taken from the depot.
func (b *builder) collectInstalled(m *travelling, e *manifestEntry) error {
	id := identityOf(e)
	if m.isProject || !m.required || id.treeHash == "" || b.installed[id] != nil {
		return nil // a standard library has no tree hash
	}
	why := ""
	if repo, ok := e.fields["repo-url"]; ok {
		reason := b.privateGit(repo.text)
		if reason == "" {
			b.warn("cloned-by-job", m.path, "package %s is cloned by the job: %s", e.name, repo.text)
			return nil
		}
		why = "the job cannot clone its repository: " + reason
	} else {
		uuid, ok := parseUUID(id.uuid)
		if !ok {
			return &PackageError{Package: e.name, Manifest: m.file, Reason: fmt.Sprintf("its uuid %q is not valid", id.uuid)}
		}
		if b.serverHas(m, e, uuid) {
			return nil
		}
		why = "not in the server's registries"
	}
	dir, err := b.findInstalled(m, e, id)
	if missing, ok := errors.AsType[*PackageError](err); ok && missing.notInstalled && b.trustServer() {
		return nil
	}
	if err != nil {
		return err
	}
	pkg := &bundled{name: e.name, uuid: id.uuid, from: dir, why: why, fromDepot: true}
	b.installed[id] = pkg
	if b.byPath[dir] != nil {
		b.installed[id] = b.byPath[dir]
		return nil
	}
	return b.copyPackage(pkg)
}

// serverHas reports whether the server can install a package from its
// registries. A manifest of format 2.1 says where a package comes from; for
// older ones the depot's copies of the registries do.
func (b *builder) serverHas(m *travelling, e *manifestEntry, id uuid) bool {
	if b.server == nil {
		b.server = openRegistries(b.options.Depots, b.options.Registries, cacheDir(b.options.CacheDir))
		b.warnOfRegistries()
	}
	if names := m.registriesOf(e); len(names) > 0 {
		known := 0
		for _, name := range names {
			uuid, ok := m.registries[name]
			if !ok {
				continue
			}
			known++
			if slices.ContainsFunc(b.server.server, func(s string) bool { return strings.EqualFold(s, uuid) }) {
				return true
			}
		}
		if known == len(names) {
			return false
		}
	}
	return b.server.has(id)
}

// trustServer reports whether packages that are not installed are taken to be
// registered: on a machine without Julia there is no copy of any registry to
// look them up in, and the job says so should one be missing.
func (b *builder) trustServer() bool {
	if b.server == nil || len(b.server.server) == 0 || len(b.server.found) > 0 {
		return false
	}
	if !b.server.trusted {
		b.server.trusted = true
		b.warn("registry-missing", "", "there is no copy of the server's registries on this machine: packages that are not installed here are taken to be registered, and the job installs them")
	}
	return true
}

func (b *builder) warnOfRegistries() {
	if b.server.assumed {
		b.warn("registries-unknown", "", "the server's registries are not known: it is taken to have General alone")
	}
	for _, reason := range b.server.unread {
		b.warn("registry-unreadable", "", "%s", reason)
	}
}

func cacheDir(dir string) string {
	if dir != "" {
		return dir
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "juliahub-lsp")
	}
	return ""
}

// findInstalled returns the directory of an installed version: the newer form of
// the slug before the older one, the first depot first.
//
// Source: Base.explicit_manifest_entry_path.
func (b *builder) findInstalled(m *travelling, e *manifestEntry, id identity) (string, error) {
	uuid, ok := parseUUID(id.uuid)
	hash, err := hex.DecodeString(id.treeHash)
	if !ok || err != nil || len(hash) != 20 {
		return "", &PackageError{Package: e.name, Manifest: m.file, Reason: "its uuid or git-tree-sha1 is not valid"}
	}
	for _, slug := range slugs(uuid, hash) {
		for _, depot := range b.options.Depots {
			if dir := filepath.Join(depot, "packages", e.name, slug); isDir(dir) {
				return dir, nil
			}
		}
	}
	reason := "the server cannot install it, and it is not in the depot; instantiate the environment first (julia --project -e 'import Pkg; Pkg.instantiate()')"
	if b.server != nil && len(b.server.missing()) > 0 && e.text("repo-url") == "" {
		reason += "; the depot has no copy of the server's registry " + strings.Join(b.server.missing(), ", ") +
			" to tell whether it is there (julia -e 'import Pkg; Pkg.Registry.update()')"
	}
	return "", &PackageError{Package: e.name, Manifest: m.file, Reason: reason, notInstalled: e.text("repo-url") == ""}
}

// scpLike are addresses such as git@host:path.
var scpLike = regexp.MustCompile(`^[^/:]+:`)

// privateGit says why the job cannot clone a repository; "" if it can.
func (b *builder) privateGit(repo string) string {
	u, err := url.Parse(repo)
	switch {
	case err != nil && scpLike.MatchString(repo):
		return "it is reached by ssh"
	case err != nil:
		return "its URL is not valid"
	case u.User != nil && u.Scheme != "ssh":
		return "its URL holds a user name"
	case u.Scheme == "" && scpLike.MatchString(repo), u.Scheme == "ssh", u.Scheme == "git+ssh":
		return "it is reached by ssh"
	case u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "git":
		return "it is on this machine"
	}
	hosts := b.options.PublicGitHosts
	if hosts == nil {
		hosts = publicGitHosts
	}
	if !slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, u.Hostname()) }) {
		return fmt.Sprintf("%s is not among the public hosts (setting bundle.public-git-hosts)", u.Hostname())
	}
	return ""
}

// fromElsewhere are the keys of a manifest's entry, and of one of [sources],
// that a package tracked by a path must not have.
var fromElsewhere = []string{"git-tree-sha1", "registries", "repo-url", "repo-rev", "repo-subdir", "url", "rev", "subdir"}

// toPathEntry makes a package tracked by a path of one tracked by a version: the
// first of the keys that go gives its place to the path.
func toPathEntry(m *travelling, e *manifestEntry, path string) []edit {
	var gone []span
	for _, key := range fromElsewhere {
		if s, ok := e.fields[key]; ok {
			gone = append(gone, s)
		}
	}
	slices.SortFunc(gone, func(x, y span) int { return cmp.Compare(x.start, y.start) })
	var edits []edit
	for i, s := range gone {
		switch {
		case i == 0:
			edits = append(edits, edit{s.keyStart, s.end, "path = " + quoteTOML(path)})
		case s.lineEnd > 0:
			edits = append(edits, edit{s.lineStart, s.lineEnd, ""})
		default: // in an inline table: with the comma before it
			start := strings.LastIndexByte(string(m.data[:s.keyStart]), ',')
			edits = append(edits, edit{start, s.end, ""})
		}
	}
	return edits
}

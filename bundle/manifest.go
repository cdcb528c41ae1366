package bundle

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// manifest is a manifest file of format 1.0, 2.0 or 2.1.
type manifest struct {
	file    string // absolute
	data    []byte
	format  string // "1.0" if the file does not say
	entries []manifestEntry

	registries map[string]string // format 2.1: uuids by name

	manifestKey span // of a project file: what it calls its manifest
}

// registriesOf returns the names of the registries that a package comes from, as
// format 2.1 says; none if the manifest does not.
func (m *manifest) registriesOf(e *manifestEntry) []string {
	s, ok := e.fields["registries"]
	if !ok {
		return nil
	}
	if s.isString {
		return []string{s.text}
	}
	var list struct{ V []string }
	if err := decodeTOML(m.file, append([]byte("V = "), m.data[s.start:s.end]...), &list); err != nil {
		return nil // not a list of names: as if it were not there
	}
	return list.V
}

// manifestEntry is a package of a manifest.
type manifestEntry struct {
	name   string
	fields map[string]span // by key; deeper tables are left out
}

func (e *manifestEntry) text(key string) string { return e.fields[key].text }

func parseManifest(file string, data []byte) (*manifest, error) {
	spans, err := scanTOML(file, data)
	if err != nil {
		return nil, err
	}
	m := &manifest{file: file, data: data, format: "1.0", registries: map[string]string{}}
	// Format 1.0 has the packages at the top, the later ones below "deps".
	depth := 0
	for _, s := range spans {
		if len(s.key) == 1 && s.key[0] == "manifest_format" && s.isString {
			m.format, depth = s.text, 1
		}
	}
	index := map[string]int{}
	for _, s := range spans {
		if depth == 1 && len(s.key) == 3 && s.key[0] == "registries" && s.key[2] == "uuid" {
			m.registries[s.key[1]] = s.text
		}
		if depth == 1 && s.key[0] != "deps" || len(s.key) != depth+3 {
			continue
		}
		id := strings.Join(s.key[:depth+2], "\x00")
		i, ok := index[id]
		if !ok {
			i = len(m.entries)
			index[id] = i
			m.entries = append(m.entries, manifestEntry{name: s.key[depth], fields: map[string]span{}})
		}
		m.entries[i].fields[s.key[depth+2]] = s
	}
	return m, nil
}

// parseSources reads the [sources] of a project file as if they were packages of
// a manifest: both have a path relative to their file. The uuids are those of
// the project's dependencies.
func parseSources(file string, data []byte) (*manifest, error) {
	spans, err := scanTOML(file, data)
	if err != nil {
		return nil, err
	}
	m := &manifest{file: file, data: data}
	for _, s := range spans {
		if len(s.key) == 1 && s.key[0] == "manifest" {
			m.manifestKey = s
		}
		if len(s.key) != 3 || s.key[0] != "sources" {
			continue
		}
		i := slices.IndexFunc(m.entries, func(e manifestEntry) bool { return e.name == s.key[1] })
		if i < 0 {
			i = len(m.entries)
			m.entries = append(m.entries, manifestEntry{name: s.key[1], fields: map[string]span{}})
		}
		m.entries[i].fields[s.key[2]] = s
	}
	for _, s := range spans {
		if len(s.key) == 2 && (s.key[0] == "deps" || s.key[0] == "weakdeps" || s.key[0] == "extras") {
			for i := range m.entries {
				if m.entries[i].name == s.key[1] {
					m.entries[i].fields["uuid"] = s
				}
			}
		}
	}
	return m, nil
}

// target returns the absolute path that a path entry means.
func (m *manifest) target(value string) string {
	return resolve(filepath.Dir(m.file), value)
}

// resolve makes the value of a path in a TOML file absolute: such paths are
// relative to the file's directory.
func resolve(dir, value string) string {
	value = filepath.FromSlash(value)
	if !filepath.IsAbs(value) {
		value = filepath.Join(dir, value)
	}
	return filepath.Clean(value)
}

// climbs reports whether a relative value leaves top on its way from dir, which
// is relative to top, with "/".
func climbs(dir, value string) bool {
	for part := range strings.SplitSeq(toSlash(value), "/") {
		switch part {
		case "", ".":
		case "..":
			if dir == "" {
				return true
			}
			dir = parentOf(dir)
		default:
			dir = join(dir, part)
		}
	}
	return false
}

func parentOf(dir string) string {
	return dir[:max(0, strings.LastIndexByte(dir, '/'))]
}

func toSlash(p string) string {
	if runtime.GOOS == "windows" {
		return strings.ReplaceAll(p, `\`, "/")
	}
	return p
}

// relative returns the path from one directory of the bundle to another, with "/".
func relative(from, to string) string {
	up := ""
	for from != "" && to != from && !strings.HasPrefix(to, from+"/") {
		from, up = parentOf(from), up+"../"
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(to, from), "/")
	if rel := strings.TrimSuffix(up+rest, "/"); rel != "" {
		return rel
	}
	return "."
}

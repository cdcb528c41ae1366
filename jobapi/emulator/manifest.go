package emulator

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// manifestNames and projectNames are the files of an environment, the one that
// counts first.
var (
	manifestNames = []string{"JuliaManifest.toml", "Manifest.toml"}
	projectNames  = []string{"JuliaProject.toml", "Project.toml"}
)

// projectName reads the name and uuid of a project file.
func projectName(path string) (name, id string, err error) {
	var p struct {
		Name string `toml:"name"`
		UUID string `toml:"uuid"`
	}
	if _, err := toml.DecodeFile(path, &p); err != nil {
		return "", "", fmt.Errorf("read %s: %w", path, err)
	}
	return p.Name, p.UUID, nil
}

// hasDependencies reports whether the environment in dir needs instantiating.
func hasDependencies(dir string) bool {
	for _, name := range projectNames {
		var p struct {
			Deps map[string]any `toml:"deps"`
		}
		if _, err := toml.DecodeFile(filepath.Join(dir, name), &p); err == nil {
			return len(p.Deps) > 0
		} else if !errors.Is(err, fs.ErrNotExist) {
			return true // Pkg says what is wrong with it
		}
	}
	return false
}

// manifestSum is the SHA-256 of the manifest at the root of an appbundle.
func manifestSum(bundle string) (string, error) {
	f, err := os.Open(bundle)
	if err != nil {
		return "", fmt.Errorf("open the appbundle: %w", err)
	}
	defer f.Close()
	sums := map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("read the appbundle: %w", err)
		}
		_, name, _ := strings.Cut(strings.TrimPrefix(h.Name, "./"), "/")
		if !isManifest(name) || h.Typeflag != tar.TypeReg {
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return "", fmt.Errorf("read the appbundle: %w", err)
		}
		sums[name] = hex.EncodeToString(sum.Sum(nil))
	}
	for _, name := range append(versioned(sums), manifestNames...) {
		if sum, ok := sums[name]; ok {
			return sum, nil
		}
	}
	return "", fs.ErrNotExist
}

// versioned are the names among those of manifests that are for one version of Julia.
func versioned(names map[string]string) []string {
	var list []string
	for _, name := range sortedKeys(names) {
		if !slices.Contains(manifestNames, name) {
			list = append(list, name)
		}
	}
	slices.Reverse(list)
	return list
}

// isManifest reports whether a file name is a manifest's, versioned or not.
func isManifest(name string) bool {
	if slices.Contains(manifestNames, name) {
		return true
	}
	base, ok := strings.CutSuffix(name, ".toml")
	return ok && (strings.HasPrefix(base, "Manifest-v") || strings.HasPrefix(base, "JuliaManifest-v")) && !strings.Contains(base, "/")
}

// writeDown rewrites a manifest of format 2 in format 1.0, which is the only one
// that Julia reads before 1.6.2. It returns what had to be left out: the names
// of standard libraries that this Julia does not have. changed is false where
// the manifest is of format 1.0 already.
func writeDown(data []byte, stdlibs map[string]string) (out []byte, left []string, changed bool, err error) {
	var m struct {
		Format string                      `toml:"manifest_format"`
		Deps   map[string][]map[string]any `toml:"deps"`
	}
	var probe map[string]any
	if _, err := toml.Decode(string(data), &probe); err != nil {
		return nil, nil, false, fmt.Errorf("the manifest is not valid TOML: %w", err)
	}
	if _, ok := probe["manifest_format"].(string); !ok {
		return data, nil, false, nil
	}
	if _, err := toml.Decode(string(data), &m); err != nil {
		return nil, nil, false, fmt.Errorf("the manifest is not what its format says: %w", err)
	}
	if !strings.HasPrefix(m.Format, "2.") {
		return data, nil, false, nil
	}
	for _, name := range sortedKeys(m.Deps) {
		m.Deps[name] = slices.DeleteFunc(m.Deps[name], func(entry map[string]any) bool {
			id, _ := entry["uuid"].(string)
			_, known := stdlibs[id]
			if entry["git-tree-sha1"] == nil && entry["path"] == nil && !known {
				left = append(left, name)
				return true
			}
			return false
		})
	}
	var b strings.Builder
	b.WriteString("# Written down from manifest format " + m.Format + "\n\n")
	for _, name := range sortedKeys(m.Deps) {
		for _, entry := range m.Deps[name] {
			writeEntry(&b, name, entry, m.Deps, stdlibs)
		}
	}
	return []byte(b.String()), left, true, nil
}

// writeEntry writes one package of a manifest in format 1.0.
func writeEntry(b *strings.Builder, name string, entry map[string]any, all map[string][]map[string]any, stdlibs map[string]string) {
	fmt.Fprintf(b, "[[%s]]\n", key(name))
	table := map[string]string{}
	switch deps := entry["deps"].(type) {
	case []any:
		var list []string
		for _, dep := range deps {
			if dep, ok := dep.(string); ok && len(all[dep]) > 0 {
				list = append(list, quote(dep))
			}
		}
		if len(list) > 0 {
			fmt.Fprintf(b, "deps = [%s]\n", strings.Join(list, ", "))
		}
	case map[string]any:
		for dep, id := range deps {
			if id, ok := id.(string); ok && len(all[dep]) > 0 {
				table[dep] = id
			}
		}
	}
	id, _ := entry["uuid"].(string)
	_, stdlib := stdlibs[id]
	for _, k := range []string{"git-tree-sha1", "path", "pinned", "repo-rev", "repo-subdir", "repo-url", "uuid", "version"} {
		if stdlib && entry["path"] == nil && k != "uuid" {
			continue // this Julia's own version of it counts
		}
		switch v := entry[k].(type) {
		case string:
			fmt.Fprintf(b, "%s = %s\n", k, quote(v))
		case bool:
			fmt.Fprintf(b, "%s = %t\n", k, v)
		}
	}
	if len(table) > 0 {
		fmt.Fprintf(b, "\n    [%s.deps]\n", key(name))
		for _, dep := range sortedKeys(table) {
			fmt.Fprintf(b, "    %s = %s\n", key(dep), quote(table[dep]))
		}
	}
	b.WriteByte('\n')
}

// key writes a TOML key, bare where that can be.
func key(s string) string {
	if s != "" && strings.Trim(s, idAlphabet+"ABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == "" {
		return s
	}
	return quote(s)
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// writeDownAll rewrites every manifest below dir that a job may use, and tells
// what it did in sentences for the job's log.
func writeDownAll(dir string, j *juliaBinary) ([]string, error) {
	var said []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".bundle" {
			return fs.SkipDir
		}
		if d.IsDir() || !slices.Contains(manifestNames, d.Name()) {
			return nil
		}
		sentence, err := writeDownFile(dir, path, j)
		if sentence != "" {
			said = append(said, sentence)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("write the job's manifest down: %w", err)
	}
	return said, nil
}

func writeDownFile(dir, path string, j *juliaBinary) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(data), "manifest_format") {
		return "", err
	}
	stdlibs, err := j.stdlibs()
	if err != nil {
		return "", err
	}
	out, left, changed, err := writeDown(data, stdlibs)
	rel, _ := filepath.Rel(dir, path)
	if err != nil {
		return fmt.Sprintf("%s: %v", filepath.ToSlash(rel), err), nil // Julia says so too, in its own words
	}
	if !changed {
		return "", nil
	}
	sentence := fmt.Sprintf("%s is of manifest format 2, which Julia %s cannot read: it was written down to format 1.0 in the job's copy.", filepath.ToSlash(rel), j.version)
	if len(left) > 0 {
		sentence += " Left out, because they are no standard libraries of this Julia: " + strings.Join(left, ", ") + "."
	}
	return sentence, os.WriteFile(path, out, 0o600)
}

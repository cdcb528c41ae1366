package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"juliahub-lsp/internal/atomicfile"
)

// generalRegistry is the uuid of the registry that every server has.
const generalRegistry = "23338594-aafe-5451-b93e-139f81909106"

// uuid is a package's or registry's identity, in the order of its text.
type uuid [16]byte

func parseUUID(s string) (u uuid, ok bool) {
	text := strings.ReplaceAll(s, "-", "")
	if len(s) != 36 || len(text) != 32 {
		return u, false
	}
	_, err := hex.Decode(u[:], []byte(text))
	return u, err == nil
}

// slugs are the names of the directory DEPOT/packages/NAME/SLUG of a version, the
// newer form first.
//
// Source: Base.version_slug.
func slugs(id uuid, treeHash []byte) []string {
	slices.Reverse(id[:]) // Julia hashes the number, little-endian
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Update(0, table, id[:]), table, treeHash)
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	var slug []byte
	for range 5 {
		slug = append(slug, chars[sum%uint32(len(chars))])
		sum /= uint32(len(chars))
	}
	return []string{string(slug), string(slug[:4])}
}

// registries knows which packages the server can install by itself: those of
// its registries, as the depots' copies of them say.
type registries struct {
	server  []string // uuids of the server's registries
	found   []string // those of them that a depot has
	known   []uuidSet
	unread  []string // copies that cannot be read, with the reason
	assumed bool     // the server's set is not known
	trusted bool     // packages were taken to be registered without a look-up
}

// uuidSet is sorted.
type uuidSet []uuid

func (s uuidSet) has(id uuid) bool {
	_, ok := slices.BinarySearchFunc(s, id, func(a, b uuid) int { return bytes.Compare(a[:], b[:]) })
	return ok
}

// openRegistries reads the uuids of the server's registries (nil = unknown:
// General alone) from the depots. What cache holds spares unpacking.
func openRegistries(depots, server []string, cache string) *registries {
	r := &registries{server: server}
	if server == nil {
		r.server, r.assumed = []string{generalRegistry}, true
	}
	for _, depot := range depots {
		dir := filepath.Join(depot, "registries")
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a depot without registries
		}
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if !strings.HasSuffix(path, ".toml") && !isDir(path) {
				continue // a tarball, which its .toml names, or something else's
			}
			if err := r.open(path, cache); err != nil {
				r.unread = append(r.unread, fmt.Sprintf("%s: %v", path, err))
			}
		}
	}
	return r
}

// open reads one entry of a depot's registries: a directory or, for a packed
// registry, NAME.toml.
func (r *registries) open(path, cache string) error {
	if strings.HasSuffix(path, ".toml") {
		return r.openPacked(path, cache)
	}
	file := filepath.Join(path, "Registry.toml")
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no registry
	}
	if err != nil {
		return cause(err)
	}
	id, packages, err := scanRegistry(bytes.NewReader(data))
	if err != nil {
		return err
	}
	r.add(id, func() (uuidSet, error) { return packages, nil })
	return nil
}

// openPacked reads a registry that Pkg keeps as a tarball.
func (r *registries) openPacked(file, cache string) error {
	var info struct {
		UUID     string `toml:"uuid"`
		TreeHash string `toml:"git-tree-sha1"`
		Path     string `toml:"path"`
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return cause(err)
	}
	if err := decodeTOML(file, data, &info); err != nil {
		return err
	}
	if info.UUID == "" || !filepath.IsLocal(info.Path) {
		return nil // no registry
	}
	r.add(info.UUID, func() (uuidSet, error) {
		return packedUUIDs(filepath.Join(filepath.Dir(file), info.Path), info.TreeHash, cache)
	})
	return nil
}

// add takes a registry's packages if the server has the registry.
func (r *registries) add(id string, read func() (uuidSet, error)) {
	i := slices.IndexFunc(r.server, func(s string) bool { return strings.EqualFold(s, id) })
	if i < 0 {
		return
	}
	set, err := read()
	if err != nil {
		r.unread = append(r.unread, fmt.Sprintf("registry %s: %v", id, err))
		return
	}
	r.found = append(r.found, r.server[i])
	r.known = append(r.known, set)
}

// has reports whether the server can install a package.
func (r *registries) has(id uuid) bool {
	return slices.ContainsFunc(r.known, func(s uuidSet) bool { return s.has(id) })
}

// missing lists the server's registries that no depot has a copy of.
func (r *registries) missing() []string {
	return slices.DeleteFunc(slices.Clone(r.server), func(id string) bool { return slices.Contains(r.found, id) })
}

// scanRegistry reads the uuid of a registry and of its packages from the text of
// its Registry.toml. General's has a megabyte: it is read line by line, not as
// TOML.
func scanRegistry(text io.Reader) (id string, packages uuidSet, err error) {
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	section := ""
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.Trim(strings.SplitN(name, "]", 2)[0], " ")
			if key, ok := strings.CutPrefix(section, "packages."); ok {
				packages = appendUUID(packages, key)
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		switch {
		case !ok:
		case section == "packages":
			packages = appendUUID(packages, strings.TrimSpace(key))
		case section == "" && strings.TrimSpace(key) == "uuid":
			id = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	slices.SortFunc(packages, func(a, b uuid) int { return bytes.Compare(a[:], b[:]) })
	return id, packages, lines.Err()
}

func appendUUID(set uuidSet, key string) uuidSet {
	if id, ok := parseUUID(strings.Trim(key, `"'`)); ok {
		return append(set, id)
	}
	return set
}

// packedUUIDs reads the uuids of a packed registry, from the cache if it is there.
func packedUUIDs(tarball, treeHash, cache string) (uuidSet, error) {
	file := ""
	if cache != "" && isHex(treeHash, 20) {
		file = filepath.Join(cache, "registries", treeHash+".uuids")
		if data, err := os.ReadFile(file); err == nil {
			if set, ok := decodeUUIDs(data); ok {
				return set, nil
			}
		}
	}
	set, err := unpackUUIDs(tarball)
	if err == nil && file != "" {
		// A cache that cannot be written costs time, no more.
		if os.MkdirAll(filepath.Dir(file), 0o755) == nil {
			_ = atomicfile.Write(file, encodeUUIDs(set), 0o644)
		}
	}
	return set, err
}

func isHex(s string, bytes int) bool {
	decoded, err := hex.DecodeString(s)
	return err == nil && len(decoded) == bytes
}

func unpackUUIDs(tarball string) (uuidSet, error) {
	f, err := os.Open(tarball)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close() // only read
	unzipped, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil, errors.New("there is no Registry.toml in it")
		}
		if err != nil {
			return nil, err
		}
		if strings.TrimPrefix(h.Name, "./") == "Registry.toml" {
			_, set, err := scanRegistry(r)
			return set, err
		}
	}
}

// The cache holds a checksum and the sorted uuids.
func encodeUUIDs(set uuidSet) []byte {
	data := make([]byte, 4, 4+16*len(set))
	for _, id := range set {
		data = append(data, id[:]...)
	}
	sum := crc32.ChecksumIEEE(data[4:])
	data[0], data[1], data[2], data[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	return data
}

func decodeUUIDs(data []byte) (uuidSet, bool) {
	if len(data) < 4 || len(data)%16 != 4 {
		return nil, false
	}
	sum := crc32.ChecksumIEEE(data[4:])
	if !bytes.Equal(data[:4], []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24)}) {
		return nil, false
	}
	set := make(uuidSet, 0, len(data)/16)
	for data = data[4:]; len(data) > 0; data = data[16:] {
		set = append(set, uuid(data[:16]))
	}
	return set, true
}

package stacktrace

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Paths says which local file a path in a job's trace means.
type Paths struct {
	// Code is the local file that the job ran as code.jl (a script job); "" when
	// code.jl is our own driver (an appbundle job), which is no place of the user's.
	Code string
	// Name is the name of the bundle's root directory, as sent.
	Name string
	// Files are the bundle's files: path in the bundle (relative to its root,
	// with "/") → absolute local path. Bundled packages are in it too.
	Files map[string]string
	// Lines are how many lines the local files had when they were sent, where that
	// is known.
	Lines map[string]int
	// Depots are the local depots, for Depot.
	Depots []string
}

// foreign finds the part of a path below which the files are not the bundle's:
// Julia's own, its standard libraries, packages and artifacts in a depot.
var foreign = regexp.MustCompile(`/(?:stdlib/v\d+\.\d+|packages/[^/]+/[A-Za-z0-9]{4,5}|share/julia|julia/base|opt/juliahub|artifacts/[0-9a-f]{40})/`)

// ownFile reports whether a path is that of Julia's own code, as it prints it.
func ownFile(file string) bool {
	return strings.HasPrefix(file, "./") || strings.HasPrefix(file, `.\`) || foreign.MatchString(strings.ReplaceAll(file, `\`, "/"))
}

// depotPath is a package's place in a depot.
var depotPath = regexp.MustCompile(`/(packages/[^/]+/[A-Za-z0-9]{4,5}/.+)$`)

// Local maps a path as Julia printed it to the file it came from: the longest
// end of it that is a file in the bundle, wherever the bundle was unpacked.
func (p Paths) Local(remote string) (string, bool) {
	remote, absolute := slashed(remote)
	name := path.Base(remote)
	if p.Code != "" && name == "code.jl" && (absolute || remote == "code.jl") && !foreign.MatchString(remote) {
		return p.Code, true
	}
	if !absolute {
		return p.relative(remote)
	}
	limit := 0
	if at := foreign.FindStringIndex(remote); at != nil {
		limit = at[0] + 1
	}
	for i := 0; i < len(remote); {
		slash := strings.IndexByte(remote[i:], '/')
		if slash < 0 {
			break
		}
		i += slash + 1
		if limit > 0 && i > limit {
			break
		}
		if remote[i:] == "code.jl" && p.driver(remote) {
			continue
		}
		if local, ok := p.Files[remote[i:]]; ok {
			return local, true
		}
	}
	return "", false
}

// Of is Local of a frame's file, if that has the frame's line.
func (p Paths) Of(f Frame) (string, bool) {
	local, ok := p.Local(f.File)
	if n := p.Lines[local]; n > 0 && f.Line > n+1 { // the end of a text may stand on a line of its own
		return "", false
	}
	return local, ok
}

// relative maps a path that names no place of its own, as what was started or
// included by such a path is called: from the bundle's root or its parent. Julia's
// own files are printed as ./error.jl, task.jl or strings/io.jl.
func (p Paths) relative(remote string) (string, bool) {
	if !strings.Contains(remote, "/") || strings.HasPrefix(remote, "./") {
		return "", false
	}
	remote = path.Clean(remote)
	for strings.HasPrefix(remote, "../") {
		remote = remote[len("../"):]
	}
	if remote == "code.jl" {
		return "", false // our driver, next to the bundle
	}
	local, ok := p.Files[remote]
	if dir, rest, _ := strings.Cut(remote, "/"); !ok && (dir == p.Name || dir == "appbundle") {
		local, ok = p.Files[rest]
	}
	return local, ok
}

// driver tells our driver from a file code.jl at the bundle's root.
func (p Paths) driver(remote string) bool {
	dir := path.Base(path.Dir(remote))
	return dir != p.Name && dir != "appbundle"
}

// Depot maps the path of a package's file in the job's depot to where it would
// be in each local depot; the caller takes the first that exists. nil when the
// path is no package's.
func (p Paths) Depot(remote string) []string {
	remote, _ = slashed(remote)
	m := depotPath.FindStringSubmatch("/" + remote)
	if m == nil || strings.Contains("/"+m[1]+"/", "/../") {
		return nil
	}
	var out []string
	for _, d := range p.Depots {
		out = append(out, filepath.Join(d, filepath.FromSlash(m[1])))
	}
	return out
}

// slashed gives a path with "/" and says whether it names a place of its own:
// absolute, of a Windows drive or share, or below the home directory (~/).
func slashed(p string) (string, bool) {
	drive := len(p) > 2 && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
	if drive || strings.HasPrefix(p, `\\`) || strings.HasPrefix(p, `.\`) || strings.HasPrefix(p, `~\`) {
		p = strings.ReplaceAll(p, `\`, "/")
	}
	absolute := drive || strings.HasPrefix(p, "/") || strings.HasPrefix(p, "~/")
	if absolute {
		p = path.Clean(p)
	}
	return p, absolute
}

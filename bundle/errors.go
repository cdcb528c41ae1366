package bundle

import (
	"fmt"
	"strings"
)

// DirError says why a directory cannot be bundled.
type DirError struct{ Dir, Reason string }

func (e *DirError) Error() string { return fmt.Sprintf("cannot bundle %s: %s", e.Dir, e.Reason) }

// IgnoreError is a line of an ignore file that is no pattern. Nothing is sent
// until it is mended: the reference would throw in the middle of the walk.
type IgnoreError struct {
	File    string // absolute
	Line    int    // 1-based
	Pattern string
	Reason  string
}

func (e *IgnoreError) Error() string {
	return fmt.Sprintf("%s:%d: the pattern %q is not valid: %s", e.File, e.Line, e.Pattern, e.Reason)
}

// TOMLError is a project, manifest or registry file that cannot be read as TOML.
type TOMLError struct {
	File    string // absolute
	Line    int    // 1-based, 0 = unknown
	Message string
}

func (e *TOMLError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// ScriptError says why a script cannot run from the bundle.
type ScriptError struct {
	Script string // absolute
	Reason string
	Rule   *RuleRef // the rule that leaves it out; nil if none does
}

func (e *ScriptError) Error() string {
	return fmt.Sprintf("the script %s is not in the bundle: %s", e.Script, e.Reason)
}

// PackageError says why a package that the manifest names cannot travel.
type PackageError struct {
	Package  string
	Path     string // where it should be; absolute, "" if unknown
	Manifest string // the file that names it, absolute
	Reason   string

	notInstalled bool // in no depot, and looked for in the server's registries
}

func (e *PackageError) Error() string {
	return fmt.Sprintf("package %s (%s): %s", e.Package, e.Manifest, e.Reason)
}

// OutsideError is content outside the directory that may not be sent without
// the user's consent.
type OutsideError struct {
	Package string
	Target  string // absolute
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("package %s lies outside the directory, in %s, and sending that was not allowed", e.Package, e.Target)
}

// WorkspaceError says that the environment's manifest lies above the directory:
// the workspace's root has to be the bundle.
type WorkspaceError struct {
	Dir      string // what was to be bundled, absolute
	Root     string // what should be bundled instead, absolute
	Manifest string // absolute
}

func (e *WorkspaceError) Error() string {
	return fmt.Sprintf("the environment's manifest is %s, outside %s: bundle %s instead", e.Manifest, e.Dir, e.Root)
}

// ReadError is a file or directory that cannot be read.
type ReadError struct {
	Path string // absolute
	Err  error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("cannot read %s: %v; make it readable or exclude it in %s", e.Path, e.Err, ignoreName)
}

func (e *ReadError) Unwrap() error { return e.Err }

// ChangedError is a file that changed while it was packed.
type ChangedError struct {
	Path string // absolute
	How  string // "shrank", "grew", "vanished"
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s %s while it was packed: try again when nothing writes to it, or exclude it in %s", e.Path, e.How, ignoreName)
}

// NameError is a path that the tar format or the job's machine cannot hold.
type NameError struct{ Path, Reason string }

func (e *NameError) Error() string {
	return fmt.Sprintf("the name %q cannot travel: %s; rename it or exclude it in %s", e.Path, e.Reason, ignoreName)
}

// SizeError is a bundle that the server would refuse.
type SizeError struct {
	Bytes, Limit int64
	Largest      []File // at most five, the largest first
}

func (e *SizeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the bundle has %s, more than the %s that the server takes. The largest files, and the lines of a %s that leave them out:",
		human(e.Bytes), human(e.Limit), ignoreName)
	for _, f := range e.Largest {
		fmt.Fprintf(&b, "\n  %s  %s  %s", human(f.Bytes), f.Path, ignoreLine(f.Path))
	}
	return b.String()
}

// human prints a size for people.
func human(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, units := float64(bytes)/unit, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, units = value/unit, next
	}
	return fmt.Sprintf("%.1f %s", value, units)
}

// SecretError refuses to send what looks like a secret from outside the directory.
type SecretError struct {
	Path string // in the bundle
	From string // absolute
}

func (e *SecretError) Error() string {
	return fmt.Sprintf("%s looks like a secret and lies outside the directory: exclude it with a %s beside it", e.From, ignoreName)
}

// SpaceError says that the temporary directory is too full for the spool file.
type SpaceError struct {
	Dir        string
	Need, Free int64
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%s has %s free, the bundle needs %s: make room or set TMPDIR to another directory", e.Dir, human(e.Free), human(e.Need))
}

// SpoolError says that the spool file cannot be written.
type SpoolError struct {
	Dir string
	Err error
}

func (e *SpoolError) Error() string {
	return fmt.Sprintf("cannot write the bundle in %s: %v; make room or set TMPDIR to another directory", e.Dir, e.Err)
}

func (e *SpoolError) Unwrap() error { return e.Err }

// ArtifactError is an artifact that neither travels nor can be downloaded.
type ArtifactError struct {
	Name string
	File string // absolute
}

func (e *ArtifactError) Error() string {
	return fmt.Sprintf("the artifact %s of %s is not installed for Linux (x86_64, glibc), and the file does not say where to download it", e.Name, e.File)
}

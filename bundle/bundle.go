// Package bundle turns a Julia project directory into a plan (what goes into
// the appbundle, what stays out and why) and a plan into a deterministic tar
// stream. It knows nothing of editors or HTTP: files in, files out.
package bundle

// Options say what to bundle.
type Options struct {
	Dir    string // the bundle's root, absolute
	Script string // absolute; "" = no script. Must be in the bundle.

	// Environment is the directory of the project that the job activates,
	// absolute; "" = the nearest one upwards from Script (or Dir).
	Environment string
	// Unsaved holds the text of documents that the editor has not saved:
	// absolute path → bytes that take the place of what is on disk.
	Unsaved map[string][]byte

	Depots     []string // DEPOT_PATH, first one first
	Registries []string // uuids of the server's registries; nil = unknown: General alone
	Julia      string   // the job's Julia "1.10", "" = unknown
	JuliaExe   string   // a julia to resolve a missing manifest with; "" = none
	Home       string   // the user's home directory: never offered, never searched past

	// WithoutManifest leaves out the manifests of Dir and Environment: the job
	// resolves the newest versions.
	WithoutManifest bool

	// Forbidden are directories whose content never travels, whatever links lead
	// there (the state directory); the depots' "servers" are always among them.
	Forbidden []string

	// AllowOutside decides whether content outside Dir (a link's or path
	// package's target) may be sent; nil = yes. Targets are absolute.
	AllowOutside func(target string) bool

	// CacheDir keeps what is read from packed registries; "" = the user's cache
	// directory.
	CacheDir string

	// WindowsImage says that the job runs on Windows: artifacts for it travel.
	WindowsImage bool

	PublicGitHosts []string // hosts whose repositories the job can clone; nil = the default list
}

// Plan is what an appbundle will hold. See spec of `bundle --json` in docs/cli.md
// for the JSON form; field names there are a contract.
type Plan struct {
	Root           string      `json:"root"`
	Name           string      `json:"name"`
	Bytes          int64       `json:"bytes"`
	Files          []File      `json:"files"`
	Excluded       []Exclusion `json:"excluded"`
	Rules          []Rule      `json:"rules"`
	Packages       []Package   `json:"packages"`
	Warnings       []Warning   `json:"warnings"`
	ManifestSHA256 string      `json:"manifest_sha256,omitempty"`

	// Environment is the activated project's directory relative to Root, "." for Root.
	Environment string `json:"-"`
	// Script is the script's path relative to Root, with "/"; "" = none.
	Script string `json:"-"`
	// Manifest is the path in the bundle of the environment's manifest; "" = none.
	Manifest string `json:"-"`
	// ManifestText is that manifest as it is in the bundle.
	ManifestText []byte `json:"-"`
	// Outside lists what lies outside Root and would be sent or was refused:
	// absolute targets of links and path packages, sorted.
	Outside []string `json:"-"`
	// TarSize is the size of the tar in bytes.
	TarSize int64 `json:"-"`

	dirs    []string          // empty directories, with "/" at the end
	content map[string][]byte // what is written instead of a file's content, by path in the bundle
	depot   []string          // prefixes of what comes from a depot: published, so no secrets
	sources []sourceRoot      // where files come from, the longest prefix first
}

// sourceRoot maps the paths of the bundle that start with prefix ("" or ending
// in "/") to a directory on disk.
type sourceRoot struct{ prefix, dir string }

// File is one file of the bundle. Path is relative to the root, with "/".
type File struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	From  string `json:"from,omitempty"` // where it comes from, when that is not Root/Path

	exec  bool // the owner's execute bit
	marks marks
}

// Exclusion is something left out and why.
type Exclusion struct {
	Path   string   `json:"path"`
	Rule   *RuleRef `json:"rule,omitempty"`
	Reason string   `json:"reason,omitempty"`

	Dir   bool     `json:"-"` // it is a directory
	Below []string `json:"-"` // some of the files in it, where a rule excludes it
}

// RuleRef is a line of an ignore file.
type RuleRef struct {
	File    string `json:"file"`
	Line    int    `json:"line"` // 1-based
	Pattern string `json:"pattern"`
}

// Rule is a rule of an ignore file with what it decided: a rule that a later one
// overrules has decided nothing.
type Rule struct {
	RuleRef
	Negated      bool  `json:"negated"`
	MatchedFiles int   `json:"matched_files"` // those below excluded directories included
	MatchedBytes int64 `json:"matched_bytes"`

	// Decided says whether it decided on anything, a directory included.
	Decided bool `json:"-"`
}

// Package is a package that travels in the bundle's .bundle directory.
type Package struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"`
}

// Warning is something a person should know before sending.
type Warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Path    string `json:"path,omitempty"` // relative to the root
	File    string `json:"file,omitempty"` // a file that causes it
	Line    int    `json:"line,omitempty"` // 1-based
}

// Package settings resolves how a job runs and how the server behaves from
// four layers, the later winning: built-in defaults, the editor's settings,
// the project's JuliaHub.toml, and a command's own arguments.
//
// One table (Keys) names every setting with its type, default and allowed
// values. Defaults, validation, the settings page of the docs and the VS Code
// manifest all come from it. A value that is wrong is reported as a Problem at
// the place where it stands, and the layer below counts.
package settings

import "encoding/json"

// Layers are what settings are made of, beside the built-in defaults.
type Layers struct {
	// Editor is the JSON object of the editor's section "juliahub"; nil = none.
	Editor json.RawMessage
	// HubPath is the absolute path of JuliaHub.toml, HubText its text as the
	// editor shows it; HubPath "" = there is none.
	HubPath string
	HubText []byte
	// Profile is the profile that the command asks for; "" = the default one.
	Profile string
	// Args are the command's own keys of a profile, in the spelling of JuliaHub.toml.
	Args map[string]json.RawMessage
}

// Settings are the values that count.
type Settings struct {
	Server         string // "" = the user's own (JULIA_PKG_SERVER, else juliahub.com)
	ServerFromFile bool   // Server comes from JuliaHub.toml: needs the user's consent

	ProfileName string   // the profile that counts; "" = the defaults
	Profile     Profile  // its values, inherited ones included
	Profiles    []string // all profiles of JuliaHub.toml, in the order of the file

	// ResultsDirectory is where downloads go: relative, with "/", strictly below
	// ResultsBase; it has no "..".
	ResultsDirectory string
	// ResultsBase is the directory of JuliaHub.toml; "" when there is no such
	// file: then it is the script's project directory, or the script's own.
	ResultsBase string

	ResultsAutoDownload  bool
	ResultsExtract       bool
	CodeLensEnabled      bool
	DiagnosticsJobStatus string // all, failures or off
	DiagnosticsHints     bool
	ProgressJobs         bool
	CancelKillsJob       string // ask, always or never
	SaveBeforeSubmit     bool
	Provenance           bool
	PublicGitHosts       []string // hosts whose repositories a job can clone; nil = bundle's own list
	JuliaPath            string   // the local julia that resolves manifests; "" = juliaup's or PATH's
	Trace                string   // off, messages or verbose
}

// Profile says how a job runs.
type Profile struct {
	NCPU       int // least number of virtual CPUs
	Memory     int // least memory in GB
	NGPU       int // 0 or 1
	LimitHours int // 0 = unlimited

	NNodes         int // number of nodes, ≥ 1
	MinNodes       int // least number of nodes to start with; 0 = no minimum
	Elastic        bool
	ProcessPerNode bool

	Env      map[string]string
	Alias    string // a template, see ExpandAlias; "" = the caller's own
	Project  string // JuliaHub project UUID; "" = none given
	Image    *Image
	Sysimage bool
	Expose   *Expose

	Environment string   // auto, none, a directory, or "@name"
	Julia       string   // "1.10"; "" = unknown
	Download    []string // globs of result files that automatic download takes
}

// Image names a job image as people see it.
type Image struct {
	Product string // e.g. standard-batch
	Name    string // display name; "" = the product's default
	Tag     string
	SHA256  string // "sha256:" and 64 hex digits
}

// Expose asks for a port of the job to be reachable from outside.
type Expose struct {
	Port      int
	Access    string // me, logged-in, public or password
	DNSPrefix string
}

// Severity says how grave a Problem is; the numbers are those of the editor protocol.
type Severity int

// The severities of a Problem.
const (
	Error   Severity = 1
	Warning Severity = 2
)

// The layers that a Problem can be in.
const (
	LayerEditor = "editor"
	LayerFile   = "JuliaHub.toml"
	LayerArgs   = "arguments"
)

// Problem is a value that does not count, or a doubtful one.
type Problem struct {
	Layer    string // LayerEditor, LayerFile or LayerArgs
	Key      string // as the layer spells it: juliahub.cancelKillsJob, profile.gpu.ncpu, ncpu
	Code     string // e.g. "hub-value"; Codes documents each
	Severity Severity
	Message  string
	// Suggestion takes the place of the range's text in a quick fix; "" = none.
	Suggestion string
	// The place in JuliaHub.toml: 0-based lines and UTF-16 columns, the end
	// exclusive. All zero in the other layers.
	Line, Col       int
	EndLine, EndCol int
}

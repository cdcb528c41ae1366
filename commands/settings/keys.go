package settings

import "fmt"

// Key is one row of the table of settings.
type Key struct {
	Name    string // in JuliaHub.toml; "" = only the editor has it
	Editor  string // in the editor's settings; "" = only JuliaHub.toml has it
	Profile bool   // Name stands in [profile.NAME], and in a command's settings

	Type    string   // string, boolean, integer, strings, table, or two of them ("integer or table")
	Default any      // as the editor's JSON has it; nil = none
	Values  []string // the only values allowed; nil = any
	Example string   // a value as JuliaHub.toml has it
	Doc     string   // sentences for the docs and for hovers
	Fields  []Field  // of a table

	set func(*Settings, any) error // checks and stores; numbers come as json.Number
}

// Field is a key of a table that is a setting's value.
type Field struct {
	Name, Type, Doc string
	Values          []string
}

// Keys is the one table of settings: the source of the defaults, the checks,
// docs/settings.md, the VS Code manifest, completion and hovers.
var Keys = []Key{
	{
		Name: "server", Editor: "juliahub.server", Type: "string", Default: "", Example: `"juliahub.com"`,
		Doc: "The JuliaHub server. Empty means the user's own: JULIA_PKG_SERVER, else juliahub.com. A server named in JuliaHub.toml counts only after you have said yes once for this workspace.",
		set: func(s *Settings, v any) error { return setServer(&s.Server, v) },
	},
	{
		Name: "default-profile", Editor: "juliahub.profile", Type: "string", Default: "", Example: `"small"`,
		Doc: "The profile that counts when a command names none.",
		set: func(s *Settings, v any) error { return setString(&s.ProfileName, v) },
	},
	{
		Name: "results", Editor: "juliahub.results.directory", Type: "string", Default: "juliahub-results", Example: `"juliahub-results"`,
		Doc: "Where downloads go: a path relative to the directory of JuliaHub.toml (without that file: of the project) and strictly below it, without \"..\" and without a link that leads out.",
		set: func(s *Settings, v any) error { return setResults(&s.ResultsDirectory, v) },
	},
	{
		Name: "bundle.public-git-hosts", Editor: "juliahub.bundle.publicGitHosts", Type: "strings", Example: `["github.com", "gitlab.com"]`,
		Doc: "Hosts whose repositories a job can clone without credentials. Packages from other hosts travel in the appbundle.",
		set: func(s *Settings, v any) error { return setStrings(&s.PublicGitHosts, v, checkHost) },
	},
	{
		Editor: "juliahub.results.autoDownload", Type: "boolean", Default: false,
		Doc: "When a job ends, download the result files that the profile's download patterns name, up to 100 MB a job.",
		set: func(s *Settings, v any) error { return setBool(&s.ResultsAutoDownload, v) },
	},
	{
		Editor: "juliahub.results.extract", Type: "boolean", Default: false,
		Doc: "Unpack downloaded archives beside the archive.",
		set: func(s *Settings, v any) error { return setBool(&s.ResultsExtract, v) },
	},
	{
		Editor: "juliahub.codeLens.enabled", Type: "boolean", Default: true,
		Doc: "Show the line of actions and the newest job's state above the first line of a Julia file.",
		set: func(s *Settings, v any) error { return setBool(&s.CodeLensEnabled, v) },
	},
	{
		Editor: "juliahub.diagnostics.jobStatus", Type: "string", Default: "all", Values: []string{"all", "failures", "off"},
		Doc: "Which states of a job are diagnostics of its file: all of them, failures only, or none.",
		set: func(s *Settings, v any) error {
			return setChoice(&s.DiagnosticsJobStatus, v, "all", "failures", "off")
		},
	},
	{
		Editor: "juliahub.diagnostics.hints", Type: "boolean", Default: true,
		Doc: "Show hints about what a script does before it is submitted, such as results that only one generation of job images understands.",
		set: func(s *Settings, v any) error { return setBool(&s.DiagnosticsHints, v) },
	},
	{
		Editor: "juliahub.progress.jobs", Type: "boolean", Default: true,
		Doc: "Show running jobs as progress in the editor.",
		set: func(s *Settings, v any) error { return setBool(&s.ProgressJobs, v) },
	},
	{
		Editor: "juliahub.cancelKillsJob", Type: "string", Default: "ask", Values: []string{"ask", "always", "never"},
		Doc: "What cancelling a running job's progress does to the job: ask, kill it always, or never (then only watching stops).",
		set: func(s *Settings, v any) error { return setChoice(&s.CancelKillsJob, v, "ask", "always", "never") },
	},
	{
		Editor: "juliahub.saveBeforeSubmit", Type: "boolean", Default: false,
		Doc: "For editor plugins: save open files before submitting. A job runs what the editor shows in any case.",
		set: func(s *Settings, v any) error { return setBool(&s.SaveBeforeSubmit, v) },
	},
	{
		Editor: "juliahub.provenance", Type: "boolean", Default: true,
		Doc: "Tell the job, in environment variables JULIAHUB_LSP_…, which file, profile, git commit and bundle it comes from. The submission's own id always travels.",
		set: func(s *Settings, v any) error { return setBool(&s.Provenance, v) },
	},
	{
		Editor: "juliahub.juliaPath", Type: "string", Default: "",
		Doc: "The julia on this computer that resolves manifests. Empty means the one that juliaup has for the job's Julia, else the one on PATH.",
		set: func(s *Settings, v any) error { return setString(&s.JuliaPath, v) },
	},
	{
		Editor: "juliahub.trace", Type: "string", Default: "off", Values: []string{"off", "messages", "verbose"},
		Doc: "How much of the talk between editor and server is logged.",
		set: func(s *Settings, v any) error { return setChoice(&s.Trace, v, "off", "messages", "verbose") },
	},

	{
		Name: "inherits", Profile: true, Type: "string", Example: `"small"`,
		Doc: "Another profile whose keys count where this one has none. Tables are replaced as a whole, except env, which is merged.",
	},
	{
		Name: "ncpu", Profile: true, Type: "integer", Default: 1, Example: "2",
		Doc: "Least number of virtual CPUs of the node.",
		set: func(s *Settings, v any) error { return setInt(&s.Profile.NCPU, v, 1, 1<<20) },
	},
	{
		Name: "memory", Profile: true, Type: "integer", Default: 1, Example: "8",
		Doc: "Least memory of the node in GB.",
		set: func(s *Settings, v any) error { return setInt(&s.Profile.Memory, v, 1, 1<<20) },
	},
	{
		Name: "ngpu", Profile: true, Type: "integer", Default: 0, Example: "1",
		Doc: "Number of GPUs: 0 or 1.",
		set: func(s *Settings, v any) error { return setInt(&s.Profile.NGPU, v, 0, 1) },
	},
	{
		Name: "timelimit", Profile: true, Type: "string or integer", Default: "1h", Example: `"2h"`,
		Doc: "How long the job may run, rounded up to whole hours: \"2h\", \"90m\", \"1d\", a number of hours, or \"unlimited\".",
		set: func(s *Settings, v any) error { return setLimit(&s.Profile.LimitHours, v) },
	},
	{
		Name: nodesTable.key, Profile: true, Type: "integer or table", Default: 1, Example: nodesTable.example, Fields: nodesTable.fields,
		Doc: "Number of nodes, or the least to start with and the most to use.",
		set: func(s *Settings, v any) error { return setNodes(&s.Profile, v) },
	},
	{
		Name: "elastic", Profile: true, Type: "boolean", Default: false, Example: "true",
		Doc: "Let nodes join while the job runs. Not together with a least number of nodes.",
		set: func(s *Settings, v any) error { return setBool(&s.Profile.Elastic, v) },
	},
	{
		Name: "process-per-node", Profile: true, Type: "boolean", Default: false, Example: "true",
		Doc: "One Julia process a node, with threads, instead of one a CPU.",
		set: func(s *Settings, v any) error { return setBool(&s.Profile.ProcessPerNode, v) },
	},
	{
		Name: envTable.key, Profile: true, Type: "table", Example: envTable.example,
		Doc: "Environment variables of the job. Numbers and booleans become text as they are written. Secrets do not belong here.",
		set: func(s *Settings, v any) error { return setEnv(&s.Profile, v) },
	},
	{
		Name: "alias", Profile: true, Type: "string", Default: "", Example: `"train {file} {branch}"`,
		Doc: "The job's name as people see it. {file} {project} {branch} {commit} {date} {profile} are filled in.",
		set: func(s *Settings, v any) error { return setAlias(&s.Profile.Alias, v) },
	},
	{
		Name: "project", Profile: true, Type: "string", Default: "", Example: `"7ed96f69-a765-4de6-ac00-04a38684ce1c"`,
		Doc: "UUID of the JuliaHub project that the job belongs to. Without it JULIAHUB_PROJECT_UUID counts.",
		set: func(s *Settings, v any) error { return setUUID(&s.Profile.Project, v) },
	},
	{
		Name: imageTable.key, Profile: true, Type: "table", Example: imageTable.example, Fields: imageTable.fields,
		Doc: "The job image.",
		set: func(s *Settings, v any) error { return setImage(&s.Profile, v) },
	},
	{
		Name: "sysimage", Profile: true, Type: "boolean", Default: false, Example: "true",
		Doc: "Build a system image of the project's packages first. Needs a manifest.",
		set: func(s *Settings, v any) error { return setBool(&s.Profile.Sysimage, v) },
	},
	{
		Name: exposeTable.key, Profile: true, Type: "table", Example: exposeTable.example, Fields: exposeTable.fields,
		Doc: "Make a port of the job reachable from outside.",
		set: func(s *Settings, v any) error { return setExpose(&s.Profile, v) },
	},
	{
		Name: "environment", Profile: true, Type: "string", Default: "auto", Example: `"auto"`,
		Doc: "The Julia environment: auto (the nearest project upwards, not past the home directory), none, a directory relative to JuliaHub.toml, or \"@v1.10\" (that one in the depot's environments).",
		set: func(s *Settings, v any) error { return setEnvironment(&s.Profile.Environment, v) },
	},
	{
		Name: "julia", Profile: true, Type: "string", Default: "", Example: `"1.10"`,
		Doc: "The image's Julia version, where it is known; it chooses versioned manifests. Without it, what the image's last finished job showed.",
		set: func(s *Settings, v any) error { return setJulia(&s.Profile.Julia, v) },
	},
	{
		Name: "download", Profile: true, Type: "strings", Example: `["*.png", "**/*.csv"]`,
		Doc: "Patterns of result files that automatic download takes. It happens only if your own juliahub.results.autoDownload is on.",
		set: func(s *Settings, v any) error { return setStrings(&s.Profile.Download, v, checkGlob) },
	},
}

var accessModes = []string{"me", "logged-in", "public", "password"}

// defaults are the settings of the lowest layer.
func defaults() Settings {
	s := Settings{Profile: Profile{Env: map[string]string{}}}
	for _, k := range Keys {
		if k.Default == nil || k.set == nil {
			continue
		}
		if err := k.set(&s, normal(k.Default)); err != nil {
			panic(fmt.Sprintf("settings: default of %s%s: %v", k.Name, k.Editor, err))
		}
	}
	return s
}

// names lists the keys of JuliaHub.toml's top level, or of a profile.
func names(profile bool) []string {
	var out []string
	for _, k := range Keys {
		if k.Name != "" && k.Profile == profile {
			out = append(out, k.Name)
		}
	}
	return out
}

// lookup finds a key of JuliaHub.toml.
func lookup(name string, profile bool) (Key, bool) {
	for _, k := range Keys {
		if k.Name == name && name != "" && k.Profile == profile {
			return k, true
		}
	}
	return Key{}, false
}

var nodesTable = tableValue{key: "nnodes", example: "{ min = 2, max = 4 }", fields: []Field{
	{Name: "min", Type: "integer", Doc: "Nodes that must be there before the job starts."},
	{Name: "max", Type: "integer", Doc: "Nodes that the job asks for."},
}}

var imageTable = tableValue{key: "image", example: `{ product = "standard-batch", name = "Julia" }`, fields: []Field{
	{Name: "product", Type: "string", Doc: "The product that the image belongs to."},
	{Name: "name", Type: "string", Doc: "The image's name; without it the product's default image."},
	{Name: "tag", Type: "string", Doc: "The image's tag."},
	{Name: "sha256", Type: "string", Doc: "The image's digest: sha256: and 64 hex digits."},
}}

var exposeTable = tableValue{key: "expose", example: `{ port = 8080, access = "me" }`, fields: []Field{
	{Name: "port", Type: "integer", Doc: "1025–9008, 9010–23399 or 23500–32767."},
	{Name: "access", Type: "string", Values: accessModes, Doc: "Who may reach it: me, any logged-in user, the public, or who knows the password in the environment variable JULIAHUB_EXPOSE_PASSWORD. Without it: me."},
	{Name: "dns-prefix", Type: "string", Doc: "A fixed prefix of the host name."},
}}

var envTable = tableValue{key: "env", example: `{ DATASET = "big" }`}

// tableValue describes a setting whose value is a table.
type tableValue struct {
	key, example string
	fields       []Field
}

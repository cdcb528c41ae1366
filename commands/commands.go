// Package commands is what a person can do: submit, watch, read logs, download,
// cancel, in plain Go. It knows no protocol, no HTTP details and no rendering.
// The table in this file feeds the dispatcher, the advertised commands, the
// editors' manifests and the docs.
package commands

import (
	"context"
	"encoding/json"
	"time"
)

// Command is one row of the table.
type Command struct {
	ID    string     // juliahub.submitScript
	Title string     // as a person reads it in a menu
	Doc   string     // one sentence for docs/commands.md
	Args  func() any // *SubmitArgs, *PreviewArgs, *ResolveArgs, *JobArgs or *ListArgs: decoded strictly
	Run   func(ctx context.Context, s *Session, in Input) (any, error)
}

// Range is a selection: 0-based lines and UTF-16 columns, end exclusive.
type Range struct {
	Start Position `json:"start"`
	End   Position `json:"end"`
}

// Position is a place in a document.
type Position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

// SubmitArgs are the arguments of the submit and preview commands.
type SubmitArgs struct {
	URI      string                     `json:"uri"`
	Range    *Range                     `json:"range,omitempty"`
	Profile  string                     `json:"profile,omitempty"`
	Settings map[string]json.RawMessage `json:"settings,omitempty"` // the keys of a profile
	// WithoutManifest leaves the project's manifest here: the job resolves the
	// newest versions.
	WithoutManifest bool  `json:"withoutManifest,omitempty"`
	Wait            bool  `json:"wait,omitempty"`
	Show            *bool `json:"show,omitempty"`
}

// PreviewArgs are the arguments of the preview of a job: those of a submission,
// and which. Without a kind it is the one that the file went as last, "script"
// at first.
type PreviewArgs struct {
	SubmitArgs
	Kind string `json:"kind,omitempty"` // script or appbundle
}

// ResolveArgs are the arguments of juliahub.resolveManifest.
type ResolveArgs struct {
	URI   string `json:"uri"`             // a file of the project, the project file or manifest itself included
	Julia string `json:"julia,omitempty"` // "1.10"
	Wait  bool   `json:"wait,omitempty"`
	Show  *bool  `json:"show,omitempty"`
}

// JobArgs are the arguments of the commands on one job.
type JobArgs struct {
	Job        string   `json:"job,omitempty"`        // jr-…
	Submission string   `json:"submission,omitempty"` // UUID
	URI        string   `json:"uri,omitempty"`        // that file's newest job
	Files      []string `json:"files,omitempty"`      // downloadResults
	Type       string   `json:"type,omitempty"`       // downloadResults: files of that type alone
	Dir        string   `json:"dir,omitempty"`        // downloadResults
	Extract    *bool    `json:"extract,omitempty"`    // downloadResults
	Hours      int      `json:"hours,omitempty"`      // extendJob
	Wait       bool     `json:"wait,omitempty"`
	Show       *bool    `json:"show,omitempty"`
}

// Input is a command's decoded argument with the editor's state at the moment
// the request arrived.
type Input struct {
	Args any // what Command.Args made

	// File is the document that the arguments' uri names; nil when they name none.
	File *Document
	// OpenJulia are the open .jl documents, for the default target.
	OpenJulia []Document
	// Unsaved are the documents whose text differs from what is on disk.
	Unsaved []Document
	// Folders are the workspace folders' paths.
	Folders []string
	// Settings waits for the editor's settings (a pull may be under way) and
	// returns them as the JSON object of the section "juliahub"; nil = none.
	Settings func(ctx context.Context) json.RawMessage
	// Show says whether the command shows its own result.
	Show bool

	// Dir is the directory that an appbundle is made of; "" = the project's.
	Dir string
	// AllowOutside are targets outside the bundle's directory that may be sent unasked.
	AllowOutside []string
	// Settle is how long a waiting submit looks for a job whose submission was
	// not answered; 0 = ten minutes.
	Settle time.Duration
}

// Document is a snapshot of an open buffer, or a file that is not open.
type Document struct {
	URI  string
	Path string // absolute; "" for a buffer that has no file (untitled:)
	Open bool   // false: read Path from disk, Text is empty
	Text string
	// Unsaved says that Text differs from what is on disk: changed since its
	// last didOpen or didSave, or different from the disk when it was opened.
	Unsaved bool
	// DiskChanged says that the file was changed by someone else since the
	// editor read it: sending Text would leave that change out.
	DiskChanged bool
}

// Table returns all commands, in the order in which menus show them.
func Table() []Command {
	return []Command{
		{
			ID: "juliahub.submitScript", Title: "Submit as script",
			Doc:  "Submits the file, or the selected lines of it, as a script job with the environment of the nearest project.",
			Args: submitArgs, Run: run((*Session).SubmitScript),
		},
		{
			ID: "juliahub.submitAppBundle", Title: "Submit project as appbundle",
			Doc:  "Submits the project directory as an appbundle that runs the file.",
			Args: submitArgs, Run: run((*Session).SubmitAppBundle),
		},
		{
			ID: "juliahub.previewJob", Title: "Preview job",
			Doc:  "Shows what a submission of the file would send, and what changed since its last one; sends nothing. `kind` is `script` or `appbundle`; without it the kind of the last submission.",
			Args: previewArgs, Run: run((*Session).PreviewJob),
		},
		{
			ID: "juliahub.previewBundle", Title: "Preview bundle",
			Doc:  "Shows what an appbundle of the project holds, what stays out and why.",
			Args: submitArgs, Run: run((*Session).previewBundle),
		},
		{
			ID: "juliahub.resolveManifest", Title: "Resolve manifest with Julia",
			Doc:  "Lets the Julia of this computer resolve the file's project and writes its manifest. `julia` is the version to do it with, such as `1.10`; without it the one that the job will run, where that is known.",
			Args: resolveArgs, Run: run((*Session).ResolveManifest),
		},
		{
			ID: "juliahub.submissions", Title: "List submissions",
			Doc:  "Lists the submissions that this computer remembers, newest first, without asking the server.",
			Args: listArgs, Run: run((*Session).ListSubmissions),
		},
		{
			ID: "juliahub.jobs", Title: "List jobs",
			Doc:  "Lists the newest jobs on the server, also those submitted elsewhere.",
			Args: listArgs, Run: run((*Session).ListJobs),
		},
		{
			ID: "juliahub.job", Title: "Show job",
			Doc:  "Shows what is known of a job; with wait it asks the server.",
			Args: jobArgs, Run: run((*Session).JobState),
		},
		{
			ID: "juliahub.logs", Title: "Show logs",
			Doc:  "Opens the log of a job as a file, which follows the job while it runs.",
			Args: jobArgs, Run: run((*Session).ShowLogs),
		},
		{
			ID: "juliahub.downloadResults", Title: "Download results",
			Doc:  "Downloads the result files of a job, and its outputs as results.json.",
			Args: jobArgs, Run: run((*Session).DownloadResults),
		},
		{
			ID: "juliahub.cancelJob", Title: "Cancel job",
			Doc:  "Cancels a submission before it is sent, and kills the job of one that was.",
			Args: jobArgs, Run: run((*Session).CancelJob),
		},
		{
			ID: "juliahub.stopWatching", Title: "Stop watching job",
			Doc:  "Ends the progress of a job, which goes on.",
			Args: jobArgs, Run: run((*Session).StopWatching),
		},
		{
			ID: "juliahub.dismissJob", Title: "Dismiss job",
			Doc:  "Takes the state of a job off its file.",
			Args: jobArgs, Run: run((*Session).DismissJob),
		},
		{
			ID: "juliahub.extendJob", Title: "Extend time limit",
			Doc:  "Extends the time limit of a job by whole hours, one by default.",
			Args: jobArgs, Run: run((*Session).ExtendJob),
		},
		{
			ID: "juliahub.openJob", Title: "Open job in browser",
			Doc:  "Opens the job's page in the browser.",
			Args: jobArgs, Run: run((*Session).OpenJob),
		},
		{
			ID: "juliahub.rerun", Title: "Run job again",
			Doc:  "Submits the file of an earlier job again, as it is now.",
			Args: jobArgs, Run: run((*Session).Rerun),
		},
		{
			ID: "juliahub.profiles", Title: "List profiles",
			Doc:  "Lists the profiles of the JuliaHub.toml that counts for the file.",
			Args: submitArgs, Run: run((*Session).ListProfiles),
		},
		{
			ID: "juliahub.nodes", Title: "List nodes",
			Doc:  "Lists what the server offers to run jobs on, with prices.",
			Args: listArgs, Run: run((*Session).ListNodes),
		},
		{
			ID: "juliahub.images", Title: "List images",
			Doc:  "Lists the job images that the server offers.",
			Args: listArgs, Run: run((*Session).ListImages),
		},
		{
			ID: "juliahub.signIn", Title: "Sign in",
			Doc:  "Signs in on the server's web page; submitting starts it by itself where it is needed.",
			Args: listArgs, Run: run((*Session).SignIn),
		},
		{
			ID: "juliahub.signOut", Title: "Sign out",
			Doc:  "Forgets the token of the server, also for Julia's own package manager.",
			Args: listArgs, Run: run((*Session).SignOut),
		},
		{
			ID: "juliahub.restartTracking", Title: "Restart tracking",
			Doc:  "Asks the server at once for all jobs, and looks again for submissions whose outcome is not known.",
			Args: listArgs, Run: run((*Session).RestartTracking),
		},
	}
}

func submitArgs() any  { return new(SubmitArgs) }
func previewArgs() any { return new(PreviewArgs) }
func resolveArgs() any { return new(ResolveArgs) }
func jobArgs() any     { return new(JobArgs) }
func listArgs() any    { return new(ListArgs) }

// run makes a row's function of a method.
func run[T any](method func(*Session, context.Context, Input) (T, error)) func(context.Context, *Session, Input) (any, error) {
	return func(ctx context.Context, s *Session, in Input) (any, error) { return method(s, ctx, in) }
}

package commands

import (
	"context"
	"time"

	"juliahub-lsp/commands/track"
)

// Viewer is what a UI may be besides: one that knows whether files that it is
// asked to show are shown, and not just named.
type Viewer interface {
	ShowsFiles() bool
}

// UI is what the commands need of an editor (or of a terminal). All paths are
// absolute local paths; nothing here knows the protocol. Calls do not block on
// the editor except Ask, and none returns an error that a command could use:
// what the editor cannot show, the UI replaces by something plainer or logs.
type UI interface {
	// Begin shows work under way until Task.End. The UI shows nothing for work
	// that ends within half a second.
	Begin(ctx context.Context, work Work) Task
	// Say shows one message where nobody waits for an answer.
	Say(ctx context.Context, level Level, text string)
	// Ask asks a question; the first answer is the harmless one, and comes back
	// when the person dismisses it, the editor cannot ask, or ctx ends.
	Ask(ctx context.Context, level Level, text string, answers ...string) string
	// ShowFile opens a local file in the editor.
	ShowFile(ctx context.Context, path string)
	// ShowText opens text as a document; name is a file name with a telling extension.
	ShowText(ctx context.Context, name, text string)
	// OpenURL opens a web page outside the editor. Only https, or http on loopback.
	OpenURL(ctx context.Context, url string)
	// JobChanged tells that what Session.Job reports for this submission changed.
	JobChanged(job Job)
	// ProblemsChanged replaces all problems that the commands have for one file.
	ProblemsChanged(path string, problems []Problem)
}

// Work describes a Task before it begins.
type Work struct {
	Title   string
	Message string
	// Percent says whether the task knows how far it is. If so every report
	// carries a percentage, else none does.
	Percent bool
	// Cancel is called at most once, when the person cancels; nil = cannot be cancelled.
	Cancel func()
}

// Task is work shown to a person. It begins once and ends once.
type Task interface {
	// Report shows where the work is. percent is 0–100, ignored for a Task without percentages.
	// The Task limits the rate by itself.
	Report(message string, percent float64)
	// End ends the task, saying how: "done", "failed: …", "cancelled". Later calls do nothing.
	End(message string)
}

// Level is how grave a message is.
type Level int

// The levels of a message.
const (
	Info Level = iota
	Warning
	Error
)

// Severity of a Problem, as in the editor: 1 error, 2 warning, 3 information, 4 hint.
type Severity int

// The severities of a Problem.
const (
	SeverityError Severity = iota + 1
	SeverityWarning
	SeverityInformation
	SeverityHint
)

// Problem is something to show at a place in a local file.
type Problem struct {
	// Lines and columns are 0-based; columns count UTF-16 units. EndLine/EndCol
	// are exclusive ends. WholeLine widens the range to the line's end.
	Line, Col       int
	EndLine, EndCol int
	WholeLine       bool
	Severity        Severity
	Code            string // e.g. "job-failed"; documented in docs/diagnostics.md
	Message         string
	Job             string // jr-… when the problem comes from a job
	// Submission is set when the lines are those of what was submitted, and
	// columns its characters: Session.Remap finds them in the text of now.
	Submission string
	// WholeFile: it is about the file, on its first line whatever that says; only
	// the places that explain it move.
	WholeFile bool
	Related   []Related
}

// Related is another place that explains a Problem.
type Related struct {
	Path    string
	Line    int // 0-based
	Message string
}

// Job is what the editor shows of one submission: its record and the last
// state seen on the server. It is the payload of juliahub/jobDidChange.
type Job struct {
	Submission string     `json:"submission"`    // UUID
	ID         string     `json:"job,omitempty"` // jr-…, "" until known
	State      State      `json:"state"`
	Status     string     `json:"status,omitempty"`  // the server's own word
	Reason     string     `json:"reason,omitempty"`  // why it failed, was refused, or is unknown
	Message    string     `json:"message,omitempty"` // of a failed job: its error's first line
	Kind       string     `json:"kind"`              // script or appbundle
	File       string     `json:"file,omitempty"`    // absolute path of the submitted file; "" for an untitled buffer
	URI        string     `json:"uri,omitempty"`     // as the editor named it
	Alias      string     `json:"alias,omitempty"`
	Profile    string     `json:"profile,omitempty"`
	Node       string     `json:"node,omitempty"` // e.g. "m6 (2 vCPU, 8 GB)"
	Price      float64    `json:"pricePerHour,omitempty"`
	Nodes      int        `json:"nodes,omitempty"`
	LimitHours int        `json:"limitHours,omitempty"` // 0 = unlimited
	Server     string     `json:"server"`
	URL        string     `json:"url,omitempty"` // the job's page
	Created    time.Time  `json:"created"`
	Submitted  *time.Time `json:"submitted,omitempty"`
	Started    *time.Time `json:"started,omitempty"`
	Ended      *time.Time `json:"ended,omitempty"`
	Seen       *time.Time `json:"seen,omitempty"` // when the server was last heard of this job
	LastLine   string     `json:"lastLine,omitempty"`
	LogFile    string     `json:"logFile,omitempty"`
	ResultsDir string     `json:"resultsDir,omitempty"`
	Results    []JobFile  `json:"results,omitempty"` // result files the job has
	Outputs    string     `json:"outputs,omitempty"`
	Watched    bool       `json:"watched"`
	// Settled says that the work at the job's end is done: the log file is
	// complete, the place of a failure known, the automatic download over.
	Settled   bool     `json:"settled,omitempty"`
	Dismissed bool     `json:"dismissed,omitempty"` // the person is done with it: no lens, no problems
	Trouble   string   `json:"trouble,omitempty"`   // why the server is not heard: "network lost", "login expired"
	Percent   *float64 `json:"percent,omitempty"`   // 0–100, of a job that reports progress
	FailedAt  *Spot    `json:"failedAt,omitempty"`  // where it failed, when that is known

	// What ran, in the answer of juliahub.job alone, as a list of a thousand jobs is
	// long enough: hex SHA-256 of code, manifest and bundle, the commits that it
	// came from, and the code itself.
	Provenance map[string]string `json:"provenance,omitempty"`
	Source     string            `json:"source,omitempty"`
}

// Spot is a line of a local file.
type Spot struct {
	Path string `json:"path"`
	Line int    `json:"line"` // 0-based
}

// JobFile is one file of a job.
type JobFile struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int64  `json:"size"`           // bytes; -1 unknown
	Path string `json:"path,omitempty"` // where it was downloaded to
}

// State is where a submission is. States only move forward.
type State = track.State

// The states of a submission. The first group is before the server has a job,
// the second repeats the server's status in lower case, the third ends a
// submission that has no job.
const (
	StateBundling   = track.Bundling
	StateUploading  = track.Uploading
	StateSubmitting = track.Submitting
	StateUnknown    = track.Unknown // sent, no answer: being looked for

	StateSubmitted = track.Submitted
	StateRunning   = track.Running
	StateCompleted = track.Completed
	StateFailed    = track.Failed
	StateStopped   = track.Stopped

	StateRefused   = track.Refused   // the server or a check said no
	StateCancelled = track.Cancelled // before anything was sent
)

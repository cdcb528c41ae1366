// Package track remembers the user's submissions and follows their jobs: a
// ledger of records that survives restarts, and one loop that polls for all of
// them. It knows neither editors nor how a submission is made.
package track

import (
	"slices"
	"time"
)

// State is where a submission is. States only move forward.
type State string

// The states of a submission. The first group is before the server has a job,
// the second repeats the server's status in lower case, the third ends a
// submission that has no job.
const (
	Bundling   State = "bundling"
	Uploading  State = "uploading"
	Submitting State = "submitting"
	Unknown    State = "unknown" // sent, no answer: being looked for

	Submitted State = "submitted"
	Running   State = "running"
	Completed State = "completed"
	Failed    State = "failed"
	Stopped   State = "stopped"

	Refused   State = "refused"   // the server or a check said no
	Cancelled State = "cancelled" // before anything was sent
)

// ranks order the states: a record never takes a state of lower rank, and an
// ended one keeps the end that it has.
var ranks = map[State]int{
	Bundling: 1, Uploading: 2, Submitting: 3, Unknown: 4, Submitted: 5, Running: 6,
	Completed: 7, Failed: 7, Stopped: 7, Refused: 7, Cancelled: 7,
}

// Ended reports whether nothing more happens to a submission in this state.
func (s State) Ended() bool { return ranks[s] == 7 }

// Unsent reports whether a submission in this state has sent nothing that
// could have made a job.
func (s State) Unsent() bool { return s == Bundling || s == Uploading }

// later returns the state of the two that a record keeps.
func later(old, new State) State {
	if ranks[new] > ranks[old] {
		return new
	}
	return old
}

// Kinds of submission.
const (
	KindScript    = "script"
	KindAppBundle = "appbundle"
)

// Record is what is remembered of one submission: what was sent, how, and the
// last that was seen of its job. It never holds a token.
type Record struct {
	Version    int    `json:"version"`    // of this format: 1
	Submission string `json:"submission"` // UUID
	State      State  `json:"state"`
	Job        string `json:"job,omitempty"`    // jr-…, "" until known
	Status     string `json:"status,omitempty"` // the server's own word
	Reason     string `json:"reason,omitempty"` // why there is no job, or none known, or why it failed
	Server     string `json:"server"`
	URL        string `json:"url,omitempty"` // the job's page

	Kind    string `json:"kind"`
	File    string `json:"file,omitempty"` // absolute path; "" for an untitled buffer
	URI     string `json:"uri,omitempty"`
	Range   [2]int `json:"range,omitzero"` // first and last line of a selection, 1-based; zero = the whole file
	Dir     string `json:"dir,omitempty"`  // the bundle's root
	Digest  string `json:"digest"`         // of text and settings: equal ones are the same submission
	Alias   string `json:"alias,omitempty"`
	Profile string `json:"profile,omitempty"`

	Image string `json:"image,omitempty"` // the job image that was asked for; "" = the server's default
	Julia string `json:"julia,omitempty"` // the Julia "1.10" that ran it, once its log showed that

	Node       string   `json:"node,omitempty"`
	Price      float64  `json:"pricePerHour,omitempty"` // of one node, US dollars
	Nodes      int      `json:"nodes,omitempty"`
	LimitHours int      `json:"limitHours,omitempty"` // 0 = unlimited
	Download   []string `json:"download,omitempty"`   // globs of automatic download
	ResultsIn  string   `json:"resultsIn,omitempty"`  // directory that the results directory stands in
	ResultsDir string   `json:"resultsDir,omitempty"` // relative to ResultsIn, with "/"

	// What ran: hex SHA-256 of code, manifest and bundle, and the commit that it came from.
	Provenance map[string]string `json:"provenance,omitempty"`

	Created   time.Time  `json:"created"`
	Sent      *time.Time `json:"sent,omitempty"` // when submit_job was about to be sent; nil again once it was refused for its token
	Submitted *time.Time `json:"submitted,omitempty"`
	Started   *time.Time `json:"started,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"`

	Files    []File  `json:"files,omitempty"` // of the job
	Outputs  string  `json:"outputs,omitempty"`
	LastLine string  `json:"lastLine,omitempty"`
	Failure  *Place  `json:"failure,omitempty"`
	Warnings []Place `json:"warnings,omitempty"`

	Kill      bool `json:"kill,omitempty"`      // the person wants the job killed
	KillSent  bool `json:"killSent,omitempty"`  // and the server was told so
	Unwatched bool `json:"unwatched,omitempty"` // the person stopped watching
	Dismissed bool `json:"dismissed,omitempty"` // the person is done with it
	// Settled says that the work at the job's end is done: log fetched,
	// failure found, results downloaded where that is configured.
	Settled bool `json:"settled,omitempty"`

	// Seen is when the server was last heard of this job, Trouble what is wrong
	// with hearing from it. Neither is stored by itself: a tick is no news.
	Seen    time.Time `json:"-"`
	Trouble string    `json:"-"`
	// Line is the log's last line as this process read it, or heard of it from
	// the one that does: newer than LastLine.
	Line string `json:"-"`
}

// Says returns the last line of the job's log, as far as it is known here.
func (r *Record) Says() string {
	if r.Line != "" && !r.Settled {
		return r.Line
	}
	return r.LastLine
}

// File is one file of a job.
type File struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int64  `json:"size"`           // bytes; -1 unknown
	Path string `json:"path,omitempty"` // where it was downloaded to
}

// Place is a message of the job at a place in a local file. Lines and columns
// are 1-based and those of the text that was submitted; Line 0 = no place known.
type Place struct {
	File    string  `json:"file,omitempty"`
	Line    int     `json:"line,omitempty"`
	Col     int     `json:"col,omitempty"`
	EndLine int     `json:"endLine,omitempty"` // 0 = Line
	EndCol  int     `json:"endCol,omitempty"`  // exclusive; 0 = the whole line
	Message string  `json:"message"`
	Error   bool    `json:"error,omitempty"`
	Related []Place `json:"related,omitempty"`
}

// Live reports whether there is something to follow: a job that has not ended,
// or a submission whose outcome is not known.
func (r *Record) Live() bool {
	return !r.State.Ended() && (r.Job != "" || r.State == Unknown || r.State == Submitting)
}

// shown reports whether the person watches the job.
func (r *Record) shown() bool { return !r.Unwatched && !r.Dismissed }

// clone returns a copy whose slices are its own. What pointers and maps lead to
// is never changed in place, only replaced.
func (r *Record) clone() Record {
	c := *r
	c.Download = slices.Clone(r.Download)
	c.Files = slices.Clone(r.Files)
	c.Warnings = slices.Clone(r.Warnings)
	return c
}

// Package jobapi is the client of JuliaHub's job API: sign-in tokens, nodes,
// submission, uploads, jobs, logs and files over HTTP. It knows nothing of
// editors or bundles. Every call takes a context, goes through one choke
// point, and fails with one of the typed errors of errors.go.
package jobapi

import (
	"encoding/json"
	"time"
)

// Job is one job as the server lists it.
type Job struct {
	Number    int64  // the numeric id
	ID        string // "jr-…", the id that people see
	Alias     string // "" when none
	Status    Status
	Submitted time.Time // zero when null
	Started   time.Time // zero when null
	Ended     time.Time // zero when null
	Inputs    string    // JSON in a string as the server sent it, "" when null
	Outputs   string    // conventionally JSON, "" when unset
	Files     []File
	ProxyLink string // "" when none
	LimitType string

	// Unknown keeps the fields that this client has no name for.
	Unknown map[string]json.RawMessage
}

// Status is the server's word for a job's state. Words we do not know are kept.
type Status string

// The states that a job goes through: Submitted, Running, then one of the last three.
const (
	Submitted Status = "Submitted"
	Running   Status = "Running"
	Completed Status = "Completed"
	Failed    Status = "Failed"
	Stopped   Status = "Stopped"
)

// Done reports whether the job has ended. An unknown status is not done.
func (s Status) Done() bool { return s == Completed || s == Failed || s == Stopped }

// File is one file of a job. (Name, Type) identifies it. Name is hostile: it
// comes from the job, and must never become a path unchecked.
type File struct {
	Name     string
	Type     string // input, source, project or result
	Size     int64  // bytes; -1 when the server does not know it yet
	SHA256   []byte // 32 bytes, nil when the server gave none that we can check
	Uploaded time.Time
}

// Node is one row of the server's node specifications.
type Node struct {
	Class        string
	GPU          bool
	VCores       int
	MemoryGB     int
	PricePerHour float64 // US dollars; 0 where it is not known
	PriceUnknown bool
	Description  string
	MemDisplay   string
	ID           int
}

// NodeRequest is the least that a job asks of its node.
type NodeRequest struct {
	NCPU     int  // ≥ 1
	MemoryGB int  // ≥ 1
	GPU      bool // one GPU
}

// Submission is one job to submit. Exactly one of Code alone (script) or
// Code (the driver) with Bundle (appbundle) describes what runs.
type Submission struct {
	Code         string
	ProjectTOML  string  // script jobs; "" leaves the field out
	ManifestTOML string  // script jobs; "" leaves the field out
	Bundle       *Upload // appbundle jobs: what UploadBundle uploaded

	Args      map[string]string // environment of the job; "jobname" is the alias
	ProjectID string            // UUID or ""

	Image          *Image
	Sysimage       bool   // needs ManifestSHA256
	ManifestSHA256 string // hex

	Node           Node
	Nodes          int // ≥ 1
	MinNodes       int // 0 = no minimum
	Elastic        bool
	ProcessPerNode bool
	LimitHours     int // 0 = unlimited

	Expose *Expose
}

// Image names the job image. Empty fields are left out.
type Image struct {
	Product string
	Key     string // image_key_name
	Tag     string
	SHA256  string // "sha256:" + 64 hex, only a digest that the user gave
}

// Expose asks for a port of the job to be reachable from outside.
type Expose struct {
	Port      int
	Access    string // me, logged-in, public or password
	Password  string
	DNSPrefix string
	Product   string // the image's interactive product; "" = standard-interactive
}

// Upload describes an appbundle's bytes.
type Upload struct {
	Size   int64
	SHA256 string // hex
}

// LogQuery says which log messages to fetch. The zero value asks for the last ones.
type LogQuery struct {
	Entries int   // ≤ 10,000; 0 = the server's default
	After   *Mark // messages after that one
	Before  *Mark // messages before that one
}

// Mark is a place in a log.
type Mark struct {
	Time    time.Time `json:"time"`
	EventID string    `json:"eventId"`
}

// LogPage is one answer of the log endpoint.
type LogPage struct {
	Messages []LogMessage
	Top      bool // the log's first message is in hand
	Bottom   bool // the job is done and its last message is in hand
}

// LogMessage is one message of a job's log.
type LogMessage struct {
	Message  string
	Time     time.Time // zero when the server gave none
	EventID  string
	Keywords map[string]any // the user's; internal ones start with "jrun_"
	Level    *int           // from metadata; nil when absent
	FilePath string         // from metadata
	Line     int            // from metadata, 1-based, 0 when absent
	Metadata map[string]any
}

// User is who the token belongs to.
type User struct {
	Name       string // may be ""
	Email      string // may be ""
	APIVersion string // "0.0.0" for servers without one
}

// Registry is a package registry that the server's jobs can install from.
type Registry struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
}

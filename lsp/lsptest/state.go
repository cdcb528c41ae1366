package lsptest

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// State is what a person sees in the editor.
type State struct {
	Diagnostics   map[string][]Diagnostic // by URI
	Published     int                     // how often diagnostics came
	Versioned     int                     // how often for a version of a document
	Messages      []Message
	Questions     []Question
	Work          []*Work // progress, in the order of its tokens
	Shown         []Shown
	Jobs          []map[string]any // juliahub/jobDidChange, oldest first
	Statuses      []map[string]any // juliahub/statusDidChange, oldest first
	Strays        []Stray
	Registrations []Registration
	LensRefreshes int
	Cancels       int // requests of the server that it took back
	Closed        bool
}

// Diagnostic is one squiggle.
type Diagnostic struct {
	Range              Range           `json:"range"`
	Severity           int             `json:"severity"`
	Code               string          `json:"code"`
	Source             string          `json:"source"`
	Message            string          `json:"message"`
	RelatedInformation []Related       `json:"relatedInformation"`
	Data               json.RawMessage `json:"data"`
}

// Related is a place that explains a diagnostic.
type Related struct {
	Location struct {
		URI   string `json:"uri"`
		Range Range  `json:"range"`
	} `json:"location"`
	Message string `json:"message"`
}

// Range is a range in a document.
type Range struct {
	Start Position `json:"start"`
	End   Position `json:"end"`
}

// Position is a place in a document.
type Position struct {
	Line      int `json:"line"`
	Character int `json:"character"`
}

// Message is one of window/showMessage or window/logMessage.
type Message struct {
	Type    int    `json:"type"`
	Message string `json:"message"`
}

// Question is a window/showMessageRequest.
type Question struct {
	Type    int
	Text    string
	Answers []string
}

// Shown is a window/showDocument.
type Shown struct {
	URI       string `json:"uri"`
	External  bool   `json:"external"`
	TakeFocus bool   `json:"takeFocus"`
}

// Stray is a response to nothing that the editor asked: the answer to a body
// without a usable id.
type Stray struct {
	ID     string
	Error  *Error
	Result json.RawMessage
}

// Registration is one of client/registerCapability.
type Registration struct {
	ID              string          `json:"id"`
	Method          string          `json:"method"`
	RegisterOptions json.RawMessage `json:"registerOptions"`
}

// Work is a work-done progress.
type Work struct {
	Token       string // as JSON
	Title       string
	Message     string
	Percent     *int
	Cancellable bool
	Begun       bool
	Ended       bool
	End         string
	Reports     []Report
}

// Report is one report of a progress, or its begin.
type Report struct {
	Message string
	Percent *int
}

type progressValue struct {
	Kind        string `json:"kind"`
	Title       string `json:"title"`
	Message     string `json:"message"`
	Percentage  *int   `json:"percentage"`
	Cancellable bool   `json:"cancellable"`
}

type complain func(format string, args ...any)

// work finds a progress by its token, the newest if one was used twice.
func (s *State) work(token string) *Work {
	for i := len(s.Work) - 1; i >= 0; i-- {
		if s.Work[i].Token == token {
			return s.Work[i]
		}
	}
	return nil
}

func (s *State) createWork(token string, wrong complain) {
	if s.work(token) != nil {
		wrong("the token %s is created twice", token)
	}
	s.Work = append(s.Work, &Work{Token: token})
}

// LendToken makes the editor know a token that goes with a request.
func (e *Editor) LendToken(token string) {
	e.update(func(s *State) { s.createWork(token, e.violationLocked) })
}

// progress takes a $/progress as strictly as the strictest editor.
func (s *State) progress(token string, v progressValue, wrong complain) {
	w := s.work(token)
	if w == nil {
		wrong("progress for a token that nobody created: %s", token)
		return
	}
	if w.Ended {
		wrong("progress after its end: %s %q", w.Title, v.Kind)
	}
	switch v.Kind {
	case "begin":
		if w.Begun {
			wrong("a progress begins twice: %s", v.Title)
		}
		if v.Title == "" {
			wrong("a progress without a title")
		}
		w.Begun, w.Title, w.Cancellable = true, v.Title, v.Cancellable
	case "report":
		if !w.Begun {
			wrong("a report before its begin")
		}
		if (v.Percentage == nil) != (w.Percent == nil) {
			wrong("%s: percentages in some of the reports only", w.Title)
		}
		if v.Percentage != nil && w.Percent != nil && *v.Percentage < *w.Percent {
			wrong("%s: the percentage goes back from %d to %d", w.Title, *w.Percent, *v.Percentage)
		}
	case "end":
		if !w.Begun {
			wrong("an end without a begin")
		}
		w.Ended, w.End = true, v.Message
		return
	default:
		wrong("progress of kind %q", v.Kind)
		return
	}
	if v.Percentage != nil && (*v.Percentage < 0 || *v.Percentage > 100) {
		wrong("%s: a percentage of %d", w.Title, *v.Percentage)
	}
	w.Message, w.Percent = v.Message, v.Percentage
	w.Reports = append(w.Reports, Report{v.Message, v.Percentage})
}

// String shows the state to a person.
func (s *State) String() string {
	var out strings.Builder
	var uris []string
	for uri := range s.Diagnostics {
		uris = append(uris, uri)
	}
	sort.Strings(uris)
	for _, uri := range uris {
		for _, d := range s.Diagnostics[uri] {
			fmt.Fprintf(&out, "diagnostic %s:%d severity %d [%s] %s\n", uri, d.Range.Start.Line+1, d.Severity, d.Code, d.Message)
		}
	}
	for _, w := range s.Work {
		fmt.Fprintf(&out, "progress %s %q begun=%t ended=%t %q (%d reports)\n", w.Token, w.Title, w.Begun, w.Ended, w.End, len(w.Reports))
	}
	for _, m := range s.Messages {
		fmt.Fprintf(&out, "message (%d) %s\n", m.Type, m.Message)
	}
	for _, q := range s.Questions {
		fmt.Fprintf(&out, "question %s %q\n", q.Text, q.Answers)
	}
	for _, d := range s.Shown {
		fmt.Fprintf(&out, "document %s external=%t\n", d.URI, d.External)
	}
	for _, j := range s.Jobs {
		fmt.Fprintf(&out, "job %v %v\n", j["job"], j["state"])
	}
	for _, now := range s.Statuses {
		fmt.Fprintf(&out, "status %v\n", now)
	}
	for _, r := range s.Strays {
		fmt.Fprintf(&out, "stray response id %s: %v\n", r.ID, r.Error)
	}
	return out.String()
}

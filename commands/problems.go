package commands

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"juliahub-lsp/commands/lint"
	"juliahub-lsp/commands/track"
)

// The codes of problems that come from jobs.
const (
	codeUnknown   = "job-unknown"
	codeSubmitted = "job-submitted"
	codeRunning   = "job-running"
	codeCompleted = "job-completed"
	codeStopped   = "job-stopped"
	codeFailed    = "job-failed"
	codeWarning   = "job-warning"
)

// JobCodes documents them for docs/diagnostics.md.
var JobCodes = []lint.Code{
	{Code: codeUnknown, Where: "the submitted file", Severity: lint.Warning, Why: "The submission was sent and no answer came: there may be a job.", Do: "Wait: the job is looked for, for ten minutes and after a restart. Do not submit again unless two jobs do no harm."},
	{Code: codeSubmitted, Where: "the submitted file", Severity: lint.Information, Why: "The server has the job, and it does not run yet.", Do: "Nothing; \"Cancel job\" ends it."},
	{Code: codeRunning, Where: "the submitted file", Severity: lint.Information, Why: "The job runs, on that node and since that time.", Do: "Nothing; \"Show logs\" follows it."},
	{Code: codeCompleted, Where: "the submitted file", Severity: lint.Hint, Why: "The job has ended well; what it left in RESULTS stands there.", Do: "\"Download results\", or \"Dismiss job\"; it goes by itself after a day."},
	{Code: codeStopped, Where: "the submitted file", Severity: lint.Information, Why: "The job was killed, by you, at its time limit, or by the server.", Do: "\"Run job again\", with a longer time limit if that was the reason."},
	{Code: codeFailed, Where: "the failing line, else the first", Severity: lint.Error, Why: "The job ended with this error. The line is found in the job's log; it moves with your edits and goes when you change it.", Do: "Mend it and \"Run job again\"; \"Show logs\" has the whole trace, \"Dismiss job\" takes it away."},
	{Code: codeWarning, Where: "the line that warned", Severity: lint.Warning, Why: "The job logged a warning or an error there (@warn, @error).", Do: "Look at it; it goes when the line is changed or the job dismissed."},
}

// showProblems tells the problems of a file, and of the files that its newest
// submission found problems in, where they changed. The views' lock is held.
func (s *Session) showProblems(file, uri string) {
	key := cmp.Or(file, uri)
	if key == "" {
		return
	}
	var found map[string][]Problem
	if newest := s.newestOf(key); newest != nil {
		found = s.problemsOf(newest)
	}
	before := s.views.found[key]
	if len(found) > 0 {
		s.views.found[key] = found
	} else {
		delete(s.views.found, key)
	}
	for path, problems := range found {
		if !reflect.DeepEqual(problems, before[path]) {
			s.tellProblems(path)
		}
	}
	for path := range before {
		if found[path] == nil {
			s.tellProblems(path)
		}
	}
}

// tellProblems tells all problems of a file, whichever submission found them.
func (s *Session) tellProblems(path string) {
	all := []Problem{}
	for _, key := range slices.Sorted(maps.Keys(s.views.found)) {
		all = append(all, s.views.found[key][path]...)
	}
	s.cfg.UI.ProblemsChanged(path, all)
}

// newestOf returns the submission whose state a file shows; nil = none. One
// that made no job says nothing about the file, but as long as it is on its way
// it takes away what an earlier one said: the file is being run again.
func (s *Session) newestOf(key string) *track.Record {
	r, ok := s.ledger.Newest(func(r *track.Record) bool {
		return cmpDir(r.File, r.URI) == key && (r.Job != "" || !r.State.Ended())
	})
	if r.File == "" && !s.isOwn(r.Submission) {
		return nil // the name of a buffer without a file means another one in another session
	}
	if !ok || r.Dismissed || !s.visible(&r) || r.Ended != nil && s.cfg.Now().Sub(*r.Ended) > keepShowing {
		return nil
	}
	return &r
}

func (s *Session) isOwn(submission string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own[submission]
}

// problemsOf are the problems that a submission shows, by file. They name no
// elapsed time: a text that ticks would be published for ever.
func (s *Session) problemsOf(r *track.Record) map[string][]Problem {
	status := s.userSettings().DiagnosticsJobStatus
	if status == "off" {
		return nil
	}
	problems := map[string][]Problem{}
	if p, ok := stateProblem(r); ok && (status != "failures" || p.Severity == SeverityError) {
		file := cmp.Or(r.File, r.URI)
		problems[file] = append(problems[file], p)
	}
	if r.State == track.Failed {
		s.addFailure(problems, r)
	}
	if status != "failures" {
		for _, w := range r.Warnings {
			p := placeProblem(&w, r)
			p.Severity, p.Code = SeverityWarning, codeWarning
			problems[w.File] = append(problems[w.File], p)
		}
	}
	return problems
}

// stateProblem says on the first line how a submission is.
func stateProblem(r *track.Record) (Problem, bool) {
	p := Problem{WholeLine: true, Job: r.Job, Severity: SeverityInformation}
	switch r.State {
	case track.Unknown:
		p.Severity, p.Code = SeverityWarning, codeUnknown
		p.Message = "It is not known whether JuliaHub has a job of this file: still looking. Do not submit again unless two jobs do no harm."
	case track.Submitted:
		p.Code = codeSubmitted
		p.Message = fmt.Sprintf("JuliaHub job %s is submitted%s.", r.Job, onNode(r))
		if known := strings.EqualFold(r.Status, "submitted"); r.Status != "" && !known {
			p.Message = fmt.Sprintf("JuliaHub job %s is %q%s.", r.Job, r.Status, onNode(r))
		}
	case track.Running:
		p.Code = codeRunning
		p.Message = fmt.Sprintf("JuliaHub job %s is running%s%s.", r.Job, onNode(r), since(r.Started))
	case track.Completed:
		p.Severity, p.Code = SeverityHint, codeCompleted
		p.Message = fmt.Sprintf("JuliaHub job %s completed%s.%s", r.Job, started(r.Started), resultsText(r.Outputs))
	case track.Stopped:
		p.Code = codeStopped
		p.Message = fmt.Sprintf("JuliaHub job %s was stopped%s.", r.Job, started(r.Started))
		if r.Reason != "" {
			p.Message = fmt.Sprintf("JuliaHub job %s: %s.", r.Job, strings.TrimSuffix(r.Reason, "."))
		}
	default:
		return p, false
	}
	return p, true
}

// mostResults is how much of a job's RESULTS is shown at its file: what older job
// images keep of it.
const mostResults = 1000

// resultsText are a job's outputs as they are read where the file is hovered.
func resultsText(outputs string) string {
	text := strings.TrimSpace(track.Plain(outputs))
	if text == "" || text == "{}" {
		return ""
	}
	if runes := []rune(text); len(runes) > mostResults {
		text = string(runes[:mostResults]) + "…"
	}
	return "\nRESULTS: " + text
}

func onNode(r *track.Record) string {
	if r.Node == "" {
		return ""
	}
	if r.Nodes > 1 {
		return fmt.Sprintf(" on %d × %s", r.Nodes, r.Node)
	}
	return " on " + r.Node
}

func since(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " since " + t.Local().Format("15:04")
}

func started(t *time.Time) string {
	if t == nil {
		return ""
	}
	return " (started " + t.Local().Format("2006-01-02 15:04") + ")"
}

// addFailure puts the error where the job failed. It waits for the log to be
// read, so that it does not jump from the first line to the right one.
func (s *Session) addFailure(problems map[string][]Problem, r *track.Record) {
	if r.Failure == nil && !r.Settled {
		return
	}
	failure := track.Place{Message: "it printed no error"}
	if r.Failure != nil {
		failure = *r.Failure
	}
	prefix := fmt.Sprintf("JuliaHub job %s failed: ", r.Job)
	if failure.File != "" && failure.Line > 0 {
		p := placeProblem(&failure, r)
		p.Severity, p.Code, p.Message = SeverityError, codeFailed, prefix+failure.Message
		problems[failure.File] = append(problems[failure.File], p)
	}
	file := cmp.Or(r.File, r.URI)
	if failure.File == file && failure.Line > 0 {
		return
	}
	p := Problem{WholeLine: true, WholeFile: true, Severity: SeverityError, Code: codeFailed, Job: r.Job, Submission: r.Submission, Message: prefix + failure.Message}
	if failure.File != "" {
		p.Related = []Related{{Path: failure.File, Line: max(0, failure.Line-1), Message: "failed here"}}
	} else {
		p.Related = relatedOf(&failure)
	}
	problems[file] = append(problems[file], p)
}

func placeProblem(place *track.Place, r *track.Record) Problem {
	line := max(0, place.Line-1)
	p := Problem{Line: line, EndLine: line, WholeLine: place.EndCol == 0, Message: place.Message, Job: r.Job, Submission: r.Submission}
	p.Col = max(0, place.Col-1)
	if place.EndCol > 0 {
		p.EndLine, p.EndCol = max(line, place.EndLine-1), place.EndCol-1
	}
	p.Related = relatedOf(place)
	return p
}

func relatedOf(place *track.Place) (related []Related) {
	for _, other := range place.Related {
		related = append(related, Related{Path: other.File, Line: max(0, other.Line-1), Message: other.Message})
	}
	return related
}

package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi"
)

// autoMost is how much automatic download takes of one job.
const autoMost = 100e6

// jobEnded does the work at a job's end: the place of the failure, the results
// if that is configured. It runs in one process only. Where nobody read the log
// (nil), its last page tells what there is to tell.
func (s *Session) jobEnded(ctx context.Context, r track.Record, log []jobapi.LogMessage) error {
	if log == nil {
		client, err := s.client(r.Server)
		if err != nil {
			return err
		}
		page, err := client.Logs(ctx, r.Job, jobapi.LogQuery{Entries: jobapi.MaxLogEntries})
		if err != nil && !gone(err) {
			return err
		}
		log = page.Messages
	}
	paths := s.pathsOf(&r)
	last := ""
	for i := range log {
		if text := lastLine(log[i].Message); text != "" {
			last = text
		}
	}
	_, err := s.update(r.Submission, func(r *track.Record) {
		if r.State == track.Failed {
			r.Failure = findFailure(log, paths)
		}
		r.Warnings = addWarnings(r.Warnings, log, paths)
		learn(r, log)
		if last != "" {
			r.LastLine = last
		}
	})
	if err != nil {
		return err
	}
	return s.downloadAtEnd(ctx, r)
}

// gone reports whether a job's log will not come, however often it is asked for.
func gone(err error) bool {
	if errors.Is(err, jobapi.ErrNoSuchJob) {
		return true
	}
	_, ok := errors.AsType[*jobapi.PermissionError](err)
	return ok
}

// downloadAtEnd downloads the results if the person wants that of all jobs.
func (s *Session) downloadAtEnd(ctx context.Context, r track.Record) error {
	if !s.userSettings().ResultsAutoDownload || r.ResultsIn == "" {
		return nil
	}
	d := &download{s: s, record: r, globs: r.Download, most: autoMost}
	_, err := d.run(ctx)
	if err != nil && !jobapi.IsTemporary(err) && ctx.Err() == nil {
		// It will not get better: said once, and the job is done with.
		s.cfg.UI.Say(s.ctx, Warning, "The results were not downloaded: "+err.Error())
		return nil
	}
	if err == nil && len(d.left) > 0 {
		s.cfg.UI.Say(s.ctx, Warning, fmt.Sprintf("Of %s's results, %s were not downloaded automatically, which takes %s a job: Download results fetches them.",
			r.Job, strings.Join(d.left, ", "), megabytes(autoMost)))
	}
	return err
}

// findFailure finds why and where a job failed: the stack trace that ended it,
// else the last error record.
func findFailure(messages []jobapi.LogMessage, paths stacktrace.Paths) *track.Place {
	lines := make([]stacktrace.Line, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		lines = append(lines, stacktrace.Line{Text: asPrinted(m), Worker: workerOf(m), Time: m.Time})
	}
	trace, ok := stacktrace.Failure(stacktrace.Parse(lines))
	if !ok {
		return lastError(messages)
	}
	failure := &track.Place{Message: cmp.Or(cleanMessage(trace.Message), "an error without a message"), Error: true}
	place, _ := paths.Locate(trace)
	failure.File, failure.Line, failure.Col = place.File, place.Line, place.Col
	failure.EndLine, failure.EndCol = place.EndLine, place.EndCol
	failure.Related = relatedPlaces(trace, place, paths)
	return failure
}

// asPrinted is a message's text; that of a record with an exception, which is one
// of its keywords, is as Julia's own logger would print it.
func asPrinted(m *jobapi.LogMessage) string {
	exception, _ := m.Keywords["exception"].(string)
	if exception == "" || m.Level == nil || *m.Level < warnLevel {
		return m.Message
	}
	title := "Warning"
	if *m.Level >= errorLevel {
		title = "Error"
	}
	inside := func(text string) string { return strings.ReplaceAll(text, "\n", "\n│    ") }
	return fmt.Sprintf("┌ %s: %s\n│   exception =\n│    %s\n└ @ %s:%d", title, inside(m.Message), inside(exception), m.FilePath, m.Line)
}

// mostRelated is how many places of a stack trace are shown beside the one that failed.
const mostRelated = 5

// relatedPlaces are the other frames of a trace in files that are here, the
// person's own and those of packages in the local depot, and then the expressions
// in which the including files were, each line once.
func relatedPlaces(trace stacktrace.Trace, place stacktrace.Place, paths stacktrace.Paths) []track.Place {
	type line struct {
		file   string
		number int
	}
	seen := map[line]bool{{place.File, place.Line}: true}
	var related []track.Place
	add := func(frame stacktrace.Frame, name string) (more bool) {
		file, ok := paths.Of(frame)
		if !ok {
			file, ok = inDepot(paths, frame.File)
		}
		if at := (line{file, frame.Line}); ok && frame.Line > 0 && !seen[at] {
			seen[at] = true
			related = append(related, track.Place{File: file, Line: frame.Line, Message: firstLine(name)})
		}
		return len(related) < mostRelated
	}
	for frame := range trace.AllFrames() {
		if !add(frame, cmp.Or(frame.Func, "a frame of the stack trace")) {
			return related
		}
	}
	for frame := range trace.AllIn() {
		if !add(frame, "in the expression that starts here") {
			return related
		}
	}
	return related
}

// inDepot finds the local copy of a package's file by its path in the job's depot.
func inDepot(paths stacktrace.Paths, remote string) (string, bool) {
	for _, path := range paths.Depot(remote) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, true
		}
	}
	return "", false
}

// errorLevel is Julia's Logging.Error.
const errorLevel = 2000

// lastError is the last error record of a log, else its last line.
func lastError(messages []jobapi.LogMessage) *track.Place {
	last := ""
	for i := len(messages) - 1; i >= 0; i-- {
		m := &messages[i]
		text := cleanMessage(m.Message)
		if text == "" {
			continue
		}
		if m.Level != nil && *m.Level >= errorLevel || strings.HasPrefix(text, "ERROR: ") {
			return &track.Place{Message: text, Error: true}
		}
		if last == "" {
			last = text
		}
	}
	if last == "" {
		return nil
	}
	return &track.Place{Message: lastLine(last), Error: true}
}

// mostMessage is how much of an error's text is shown at its line.
const mostMessage = 2000

func cleanMessage(text string) string {
	text = strings.TrimSpace(track.Plain(text))
	if runes := []rune(text); len(runes) > mostMessage {
		return string(runes[:mostMessage]) + "…"
	}
	return text
}

// lastLine is the last line of a text that says anything.
func lastLine(text string) string {
	text = strings.TrimSpace(track.Plain(text))
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text = strings.TrimSpace(text[i+1:])
	}
	return firstLine(text)
}

// mostWarnings is how many warnings of a job are shown.
const mostWarnings = 50

// warnLevel is Julia's Logging.Warn.
const warnLevel = 1000

// warns reports whether a message is a record that warns at some place.
func warns(m *jobapi.LogMessage) bool {
	return m.Level != nil && *m.Level >= warnLevel && m.FilePath != "" && m.Line > 0
}

// addWarnings adds to the warnings of a job those of more messages: the warning
// and error records whose place is in a local file.
func addWarnings(warnings []track.Place, messages []jobapi.LogMessage, paths stacktrace.Paths) []track.Place {
	for i := range messages {
		if len(warnings) >= mostWarnings {
			break
		}
		m := &messages[i]
		if !warns(m) {
			continue
		}
		file, ok := paths.Local(m.FilePath)
		if !ok {
			continue
		}
		text := cleanMessage(m.Message)
		if !slices.ContainsFunc(warnings, func(w track.Place) bool { return w.File == file && w.Line == m.Line && w.Message == text }) {
			warnings = append(warnings, track.Place{File: file, Line: m.Line, Message: text, Error: *m.Level >= errorLevel})
		}
	}
	return warnings
}

// codeFile is what the platform calls the code that it was sent.
const codeFile = "code.jl"

// pathsOf says which local file a path of the job means: in a script job the
// code is the user's file; in an appbundle it is our driver, and the bundle's
// files count.
func (s *Session) pathsOf(r *track.Record) stacktrace.Paths {
	paths := stacktrace.Paths{Depots: depot.Paths(s.cfg.LookupEnv, s.cfg.Home), Lines: map[string]int{}}
	sent := s.sentFiles(r.Submission)
	for _, file := range sent {
		paths.Lines[file.Local] = len(file.Lines)
	}
	if r.Kind == track.KindScript {
		paths.Code = cmpDir(r.File, r.URI)
		return paths
	}
	paths.Name, paths.Files = filepath.Base(r.Dir), map[string]string{}
	for path, file := range sent {
		paths.Files[path] = file.Local
	}
	return paths
}

func textOfValue(v any) string { return firstLine(fmt.Sprint(v)) }

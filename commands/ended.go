package commands

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// autoMost is how much automatic download takes of one job.
const autoMost = 100 << 20

// jobEnded does the work at a job's end: the rest of the log, the place of the
// failure, the results if that is configured. It runs in one process only.
func (s *Session) jobEnded(ctx context.Context, r track.Record) error {
	client, err := s.client(r.Server)
	if err != nil {
		return err
	}
	if !r.Unwatched && !r.Dismissed {
		if _, err := s.tracker.CatchUp(ctx, r); err != nil && !gone(err) {
			return err
		}
	}
	page, err := client.Logs(ctx, r.Job, jobapi.LogQuery{Entries: jobapi.MaxLogEntries})
	if err != nil && !gone(err) {
		return err
	}
	local := s.localFiles(&r)
	last := ""
	for i := range page.Messages {
		if text := lastLine(page.Messages[i].Message); text != "" {
			last = text
		}
	}
	_, err = s.update(r.Submission, func(r *track.Record) {
		if r.State == track.Failed {
			r.Failure = findFailure(page.Messages, local)
		}
		r.Warnings = findWarnings(page.Messages, local)
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
	return err
}

// findFailure finds why and where a job failed: the last stack trace, else the
// last error record.
func findFailure(messages []jobapi.LogMessage, local func(string) (string, bool)) *track.Place {
	lines := make([]stacktrace.Line, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		lines = append(lines, stacktrace.Line{Text: m.Message, Worker: workerOf(m), Time: m.Time})
	}
	traces := stacktrace.Parse(lines)
	for i := len(traces) - 1; i >= 0; i-- {
		place, ok := stacktrace.Locate(traces[i], local)
		if !ok && i > 0 {
			continue
		}
		failure := &track.Place{Message: cleanMessage(traces[i].Message), Error: true}
		if ok {
			failure.File, failure.Line, failure.Col, failure.EndCol = place.File, place.Line, place.Col, place.EndCol
		} else {
			failure.Message = cleanMessage(traces[len(traces)-1].Message)
		}
		return failure
	}
	return lastError(messages)
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

// findWarnings finds the warning and error records whose place is in a local file.
func findWarnings(messages []jobapi.LogMessage, local func(string) (string, bool)) []track.Place {
	var warnings []track.Place
	seen := map[track.Spot]bool{}
	for i := range messages {
		m := &messages[i]
		if m.Level == nil || *m.Level < warnLevel || m.FilePath == "" || m.Line < 1 {
			continue
		}
		file, ok := local(m.FilePath)
		if !ok {
			continue
		}
		w := track.Place{File: file, Line: m.Line, Message: cleanMessage(m.Message), Error: *m.Level >= errorLevel}
		if spot := (track.Spot{File: file, Line: m.Line, Message: w.Message}); !seen[spot] {
			seen[spot] = true
			warnings = append(warnings, w)
		}
		if len(warnings) == mostWarnings {
			break
		}
	}
	return warnings
}

// codeFile is what the platform calls the code that it was sent.
const codeFile = "code.jl"

// localFiles returns the function that finds the local file of a path of the
// job: in a script job the code is the user's file, in an appbundle the longest
// suffix counts that is a file of the bundle; the code is our driver there.
func (s *Session) localFiles(r *track.Record) func(remote string) (string, bool) {
	if r.Kind == track.KindScript {
		return func(remote string) (string, bool) {
			if path.Base(slashed(remote)) == codeFile && r.File != "" {
				return r.File, true
			}
			return "", false
		}
	}
	files := s.sentFiles(r.Submission)
	return func(remote string) (string, bool) {
		remote = strings.TrimPrefix(slashed(remote), "./")
		for rest, more := remote, true; more; _, rest, more = strings.Cut(rest, "/") {
			if sent, ok := files[rest]; ok {
				// The driver is called like a file that the project may have.
				if rest == codeFile && rest != remote && !strings.HasSuffix(path.Dir(remote), filepath.Base(r.Dir)) {
					continue
				}
				return sent.Local, true
			}
		}
		return "", false
	}
}

func slashed(remote string) string { return strings.ReplaceAll(remote, `\`, "/") }

func textOfValue(v any) string { return firstLine(fmt.Sprint(v)) }

package commands

import (
	"regexp"
	"strings"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// learn writes into the record of a job that ended what its log tells of it as a
// whole: why it failed, and which Julia ran it.
func learn(r *track.Record, log []jobapi.LogMessage) {
	if r.State == track.Failed && r.Failure != nil {
		r.Reason = headline(r.Failure.Message)
	}
	if julia := juliaOf(log); julia != "" {
		r.Julia = julia
	}
}

var (
	// What versioninfo() begins with, and the banner has.
	juliaSays = regexp.MustCompile(`\bJulia Version (\d+\.\d+)\.\d+`)
	// Places of Julia's own: its standard library, its installation, and what it
	// precompiled. Environments are left out: a job can name one of another Julia.
	juliaPlace = regexp.MustCompile(`[/\\](?:stdlib[/\\]v(\d+\.\d+)|compiled[/\\]v(\d+\.\d+)|julia-(\d+\.\d+)\.\d+)[/\\]`)
)

// juliaOf finds out which Julia "X.Y" wrote a log; "" when that does not show.
func juliaOf(log []jobapi.LogMessage) string {
	place := ""
	for i := range log {
		if strings.Contains(log[i].Message, "Julia Version ") {
			if m := juliaSays.FindStringSubmatch(log[i].Message); m != nil {
				return m[1]
			}
		}
		for _, text := range []string{log[i].FilePath, log[i].Message} {
			if place == "" && (strings.Contains(text, "stdlib") || strings.Contains(text, "compiled") || strings.Contains(text, "julia-")) {
				if m := juliaPlace.FindStringSubmatch(text); m != nil {
					place = m[1] + m[2] + m[3] // one of them
				}
			}
		}
	}
	return place
}

// imageKey names a job image in a record; "" is the server's default.
func imageKey(i *settings.Image) string {
	if i == nil {
		return ""
	}
	return strings.Join([]string{i.Product, i.Name, i.Tag, i.SHA256}, "\x1f")
}

// ReadRecords reads the records of earlier submissions, which tell what their
// images' Julia is. A session that is started does so by itself, a moment later.
func (s *Session) ReadRecords() { s.readLedger() }

// julia is the Julia "X.Y" that a job will run: the profile's, else what the last
// finished job with the same image on the same server showed; "" = not known.
func (s *Session) julia(server string, p settings.Profile) string {
	if p.Julia != "" {
		return p.Julia
	}
	image := imageKey(p.Image)
	r, _ := s.ledger.Newest(func(r *track.Record) bool { return r.Julia != "" && r.Server == server && r.Image == image })
	return r.Julia
}

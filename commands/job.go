package commands

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// JobState returns what is known of one job, and which source it ran; with wait
// it asks the server. A job that was submitted elsewhere is always asked for.
func (s *Session) JobState(ctx context.Context, in Input) (Job, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return Job{}, err
	}
	if r.Submission == "" {
		return soon(ctx, s, in, s.jobOf(&r), func(ctx context.Context) (Job, error) { return s.jobElsewhere(ctx, r, in.Folders) }, s.showJob)
	}
	if waits(in) && r.Job != "" {
		job, err := s.askJob(ctx, &r)
		if err != nil {
			return Job{}, err
		}
		if r, err = s.update(r.Submission, func(r *track.Record) { track.Apply(r, job) }); err != nil {
			return Job{}, err
		}
	}
	j := s.withPercent(s.jobOf(&r))
	j.Provenance = r.Provenance
	if text, err := s.submittedText(r.Submission); err == nil {
		j.Source = text
		if r.Range[0] > 0 {
			j.Source, _, _ = selection(text, Range{Start: Position{Line: r.Range[0] - 1}, End: Position{Line: r.Range[1] - 1, Character: 1}}) // it held code when it was sent
		}
	}
	if in.Show {
		s.showJob(j)
	}
	return j, nil
}

func (s *Session) askJob(ctx context.Context, r *track.Record) (*jobapi.Job, error) {
	client, err := s.client(r.Server)
	if err != nil {
		return nil, err
	}
	return client.Job(ctx, r.Job)
}

// jobElsewhere tells of a job that was submitted elsewhere what its provenance
// says: which file it ran, and whether that is still the same here.
func (s *Session) jobElsewhere(ctx context.Context, r track.Record, folders []string) (Job, error) {
	job, err := s.askJob(ctx, &r)
	if err != nil {
		return Job{}, err
	}
	track.Apply(&r, job)
	r.Alias = job.Alias
	env := job.Env()
	r.Kind, r.Profile = env[provenancePrefix+"KIND"], env[provenancePrefix+"PROFILE"]
	r.Provenance = map[string]string{}
	for name, value := range env {
		if name, ok := strings.CutPrefix(name, provenancePrefix); ok && name != strings.TrimPrefix(submissionEnv, provenancePrefix) {
			r.Provenance[strings.ToLower(name)] = value
		}
	}
	j := s.jobOf(&r)
	j.Provenance = r.Provenance
	j.LogFile = "" // there is none yet
	j.Submission, j.File = fromElsewhere(env, folders, s.cfg.Home)
	if info, err := os.Stat(j.File); err == nil && info.Size() <= mostKept {
		if text, err := os.ReadFile(j.File); err == nil && sha256Of(text) == r.Provenance["code_sha256"] {
			j.Source = string(text)
		}
	}
	return j, nil
}

func (s *Session) showJob(j Job) { s.cfg.UI.ShowText(s.ctx, "job.txt", describe(&j)) }

// describe renders a job for people.
func describe(j *Job) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, track.Plain(value))
		}
	}
	line("Job", cmpDir(j.ID, "not known yet"))
	line("State", string(j.State))
	line("Reason", j.Reason)
	line("File", j.File)
	line("Kind", j.Kind)
	line("Profile", j.Profile)
	line("Node", j.Node)
	if j.Price > 0 {
		line("Price", fmt.Sprintf("$%.2f an hour", j.Price*float64(max(1, j.Nodes))))
		if j.Started != nil && j.Ended != nil {
			line("Cost", fmt.Sprintf("$%.2f", j.Price*float64(max(1, j.Nodes))*max(0, j.Ended.Sub(*j.Started)).Hours()))
		}
	}
	for _, at := range []struct {
		name string
		when *time.Time
	}{{"Submitted", j.Submitted}, {"Started", j.Started}, {"Ended", j.Ended}, {"Last heard", j.Seen}} {
		if at.when != nil {
			line(at.name, at.when.Local().Format("2006-01-02 15:04:05"))
		}
	}
	line("Trouble", j.Trouble)
	line("Page", j.URL)
	line("Log", j.LogFile)
	for _, f := range j.Results {
		line("Result", fmt.Sprintf("%s (%s)  %s", f.Name, sizeText(f.Size), f.Path))
	}
	line("Outputs", j.Outputs)
	line("Submission", j.Submission)
	describeSource(&b, line, j)
	return b.String()
}

// describeSource says which source a job ran.
func describeSource(b *strings.Builder, line func(name, value string), j *Job) {
	of := j.Provenance
	if len(of) == 0 && j.Source == "" {
		return
	}
	b.WriteString("\nWhat ran\n\n")
	commit := of["git_commit"]
	if commit != "" && of["git_dirty"] == "true" {
		commit += ", with changes that are not in it"
	}
	line("Path", of["file"])
	line("Project", of["project"])
	line("Commit", commit)
	line("Packages", of["git_packages"])
	line("Code", hashText(of["code_sha256"]))
	line("Manifest", hashText(of["manifest_sha256"]))
	line("Bundle", hashText(of["bundle_sha256"]))
	line("Sent by", strings.TrimSpace("juliahub-lsp "+of["version"]))
	if j.Source != "" {
		fmt.Fprintf(b, "\n%s\n", track.Plain(j.Source))
	}
}

func hashText(sum string) string {
	if sum == "" {
		return ""
	}
	return "SHA-256 " + sum
}

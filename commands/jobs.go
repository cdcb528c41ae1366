package commands

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// ListArgs are the arguments of the commands that list something.
type ListArgs struct {
	URI   string `json:"uri,omitempty"`   // submissions of that file alone
	Limit int    `json:"limit,omitempty"` // jobs: how many, 20 by default
	Wait  bool   `json:"wait,omitempty"`
	Show  *bool  `json:"show,omitempty"`
}

// JobAnswer is the answer of a command on one job.
type JobAnswer struct {
	Submission string `json:"submission,omitempty"` // UUID; "" for a job submitted elsewhere
	State      State  `json:"state"`
	Job        string `json:"job,omitempty"`
	URL        string `json:"url,omitempty"`
	Message    string `json:"message,omitempty"` // what happens now
}

// answerTo says how a submission is now.
func (s *Session) answerTo(r *track.Record, message string) JobAnswer {
	if r.Submission != "" {
		if now, ok := s.ledger.Get(r.Submission); ok {
			r = &now
		}
	}
	return JobAnswer{Submission: r.Submission, State: r.State, Job: r.Job, URL: r.URL, Message: message}
}

// jobOfArgs finds the job that a command is about: named by its id or
// submission, or the newest one of the file, or the newest of all.
func (s *Session) jobOfArgs(in Input) (track.Record, error) {
	s.readLedger()
	args, ok := in.Args.(*JobArgs)
	if !ok {
		args = &JobArgs{}
	}
	if args.Submission != "" {
		r, ok := s.ledger.Get(args.Submission)
		if !ok {
			return r, argumentError("there is no submission %s", args.Submission)
		}
		return r, nil
	}
	if args.Job != "" {
		return s.recordOfJob(args.Job)
	}
	newest := func(want func(*track.Record) bool) (track.Record, bool) {
		return s.ledger.Newest(func(r *track.Record) bool { return !r.Dismissed && want(r) })
	}
	switch {
	case in.File != nil:
		key := cmpDir(in.File.Path, in.File.URI)
		if r, ok := newest(func(r *track.Record) bool { return cmpDir(r.File, r.URI) == key }); ok {
			return r, nil
		}
		return track.Record{}, argumentError("%s has no job: submit it first, or pass {\"job\": \"jr-…\"}", filepath.Base(key))
	case len(in.OpenJulia) == 1:
		key := cmpDir(in.OpenJulia[0].Path, in.OpenJulia[0].URI)
		if r, ok := newest(func(r *track.Record) bool { return cmpDir(r.File, r.URI) == key }); ok {
			return r, nil
		}
	}
	if r, ok := newest(s.visible); ok {
		return r, nil
	}
	return track.Record{}, argumentError(`there is no job yet: pass {"job": "jr-…"} or {"submission": "UUID"}`)
}

// readLedger makes the records of other processes known, where no tracker does.
func (s *Session) readLedger() {
	if err := s.ledger.Read(time.Now()); err != nil {
		s.log.Warn("cannot read the submission records", "error", err)
	}
}

// recordOfJob returns the record of a job, one made up for a job that was
// submitted elsewhere.
func (s *Session) recordOfJob(id string) (track.Record, error) {
	if r, ok := s.ledger.Newest(func(r *track.Record) bool { return r.Job == id }); ok {
		return r, nil
	}
	if !plainName(id) {
		return track.Record{}, argumentError("%q is no job id: they look like jr-abc123", firstLine(id))
	}
	server, err := s.serverName(s.userSettings().Server)
	if err != nil {
		return track.Record{}, err
	}
	return track.Record{Job: id, Server: server, State: track.Submitted, ResultsDir: s.userSettings().ResultsDirectory}, nil
}

// plainName reports whether a name from outside is harmless as one part of a path.
func plainName(name string) bool {
	return name != "" && len(name) < 200 && strings.Trim(name, ".") != "" && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}) < 0
}

// soonAfter is how long a command that does not wait gives work that is mostly
// done at once: well within the second in which it must answer.
const soonAfter = 400 * time.Millisecond

// later does work in the background; with wait it is done when later returns.
// Where nobody waits for its failure, that is said in one message.
func (s *Session) later(ctx context.Context, wait bool, work func(context.Context) error) error {
	if wait {
		return work(ctx)
	}
	s.goDo(func() {
		if err := work(s.ctx); err != nil && s.ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			s.cfg.UI.Say(s.ctx, Error, sentence(err.Error()))
		}
	})
	return nil
}

// CancelJob stops a submission before it is sent, or kills its job: now, or as
// soon as its id is known.
func (s *Session) CancelJob(ctx context.Context, in Input) (JobAnswer, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return JobAnswer{}, err
	}
	if r.State.Ended() {
		return JobAnswer{}, &StateError{Job: cmpDir(r.Job, r.Submission), State: r.State,
			Message: fmt.Sprintf("%s has ended already: it is %s", cmpDir(r.Job, "the submission"), r.State)}
	}
	if r.Job == "" {
		return s.shown(in, s.answerTo(&r, s.cancelSubmission(r.Submission))), nil
	}
	err = s.later(ctx, waits(in), func(ctx context.Context) error { return s.killRecord(ctx, &r) })
	return s.shown(in, s.answerTo(&r, "killing the job")), err
}

// shown says what a command on a job does, in an editor that shows nothing of answers.
func (s *Session) shown(in Input, answer JobAnswer) JobAnswer {
	if in.Show {
		s.cfg.UI.Say(s.ctx, Info, fmt.Sprintf("%s: %s.", cmpDir(answer.Job, "the submission"), answer.Message))
	}
	return answer
}

func waits(in Input) bool {
	switch args := in.Args.(type) {
	case *JobArgs:
		return args.Wait
	case *SubmitArgs:
		return args.Wait
	case *PreviewArgs:
		return args.Wait
	case *ResolveArgs:
		return args.Wait
	case *ListArgs:
		return args.Wait
	}
	return false
}

// cancelSubmission cancels a submission whose job is not known, and says what
// happens now.
func (s *Session) cancelSubmission(submission string) string {
	s.mu.Lock()
	f := s.flights[submission]
	s.mu.Unlock()
	if f != nil && f.stop() {
		return "cancelling; nothing was sent"
	}
	r, err := s.update(submission, func(r *track.Record) { r.Kill = true })
	if err == nil && r.Job != "" && !r.State.Ended() { // its id came in the meantime
		_ = s.later(s.ctx, false, func(ctx context.Context) error { return s.kill(ctx, submission) })
	}
	return "it is being submitted: its job will be killed as soon as its id is known"
}

// kill kills the job of a submission as it was wished, unless the tracker has
// done that already.
func (s *Session) kill(ctx context.Context, submission string) error {
	done, ok := s.tracker.Killing(submission)
	if !ok {
		return nil
	}
	defer done()
	r, ok := s.ledger.Get(submission)
	if !ok {
		return track.ErrNoRecord
	}
	if r.KillSent {
		return nil
	}
	return s.sendKill(ctx, &r)
}

// killRecord kills a job that a person wants killed now, whatever was sent before.
func (s *Session) killRecord(ctx context.Context, r *track.Record) error {
	if r.Submission == "" {
		return s.sendKill(ctx, r)
	}
	if _, err := s.update(r.Submission, func(r *track.Record) { r.Kill = true }); err != nil {
		return err
	}
	done, ok := s.tracker.Killing(r.Submission)
	if !ok {
		return nil // and who is at it tries again until it is done
	}
	defer done()
	return s.sendKill(ctx, r)
}

func (s *Session) sendKill(ctx context.Context, r *track.Record) error {
	client, err := s.client(r.Server)
	if err != nil {
		return err
	}
	if err := client.Kill(ctx, r.Job); err != nil || r.Submission == "" {
		return err
	}
	_, err = s.update(r.Submission, func(r *track.Record) { r.KillSent = true })
	s.tracker.Kick()
	return err
}

// taskCancelled does what the person wants who cancels the progress of a job:
// the progress has ended; the job may go on.
func (s *Session) taskCancelled(submission string) {
	s.views.mu.Lock()
	if v := s.views.jobs[submission]; v != nil {
		s.views.endTask(v, "cancelled")
	}
	s.views.mu.Unlock()
	const watch, kill = "Stop watching", "Kill the job"
	choice := s.userSettings().CancelKillsJob
	if choice == "ask" {
		text := "Stop watching the job, which then goes on, or kill it?"
		if s.cfg.UI.Ask(s.ctx, Info, text, watch, kill) == kill {
			choice = "always"
		}
	}
	if choice != "always" {
		_, _ = s.update(submission, func(r *track.Record) { r.Unwatched = true })
		return
	}
	if err := s.kill(s.ctx, submission); err != nil && s.ctx.Err() == nil {
		s.cfg.UI.Say(s.ctx, Error, "The job could not be killed: "+err.Error())
	}
	s.changed(submission) // until the server says that it ended, a new task shows it
}

// StopWatching ends the progress and the log of a job; the job goes on.
func (s *Session) StopWatching(_ context.Context, in Input) (JobAnswer, error) {
	return s.mark(in, "not watched any more; the job goes on", func(r *track.Record) { r.Unwatched = true })
}

// DismissJob takes a job's state off its file. A job that runs goes on.
func (s *Session) DismissJob(_ context.Context, in Input) (JobAnswer, error) {
	return s.mark(in, "dismissed: its file shows nothing of it any more", func(r *track.Record) { r.Dismissed = true })
}

func (s *Session) mark(in Input, message string, change func(*track.Record)) (JobAnswer, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return JobAnswer{}, err
	}
	if r.Submission == "" {
		return JobAnswer{}, argumentError("job %s was submitted elsewhere and is not watched here", r.Job)
	}
	if _, err := s.update(r.Submission, change); err != nil {
		return JobAnswer{}, err
	}
	s.tracker.Kick()
	return s.shown(in, s.answerTo(&r, message)), nil
}

// ExtendJob lengthens a job's time limit by whole hours, one by default.
func (s *Session) ExtendJob(ctx context.Context, in Input) (JobAnswer, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return JobAnswer{}, err
	}
	hours := 1
	if args, ok := in.Args.(*JobArgs); ok && args.Hours != 0 {
		hours = args.Hours
	}
	switch {
	case hours < 1:
		return JobAnswer{}, argumentError("a time limit is extended by one hour or more, not %d", hours)
	case r.Job == "" || r.State.Ended():
		return JobAnswer{}, &StateError{Job: cmpDir(r.Job, r.Submission), State: r.State, Message: "only a job that has not ended can be extended"}
	}
	err = s.later(ctx, waits(in), func(ctx context.Context) error {
		err := s.extend(ctx, &r, hours)
		if err == nil && in.Show {
			s.cfg.UI.Say(s.ctx, Info, fmt.Sprintf("The time limit of %s was extended by %d h.", r.Job, hours))
		}
		return err
	})
	return s.answerTo(&r, fmt.Sprintf("extending by %d h", hours)), err
}

// OpenJob opens the job's page in the browser.
func (s *Session) OpenJob(ctx context.Context, in Input) (JobAnswer, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return JobAnswer{}, err
	}
	if r.Job == "" {
		return JobAnswer{}, &StateError{Job: r.Submission, State: r.State, Message: "there is no job to open: the submission is " + string(r.State)}
	}
	if r.URL == "" {
		client, err := s.client(r.Server)
		if err != nil {
			return JobAnswer{}, err
		}
		r.URL = client.JobURL(r.Job)
	}
	if in.Show {
		s.cfg.UI.OpenURL(ctx, r.URL)
	}
	return JobAnswer{Submission: r.Submission, State: r.State, Job: r.Job, URL: r.URL}, nil
}

func sizeText(n int64) string {
	if n < 0 {
		return "size unknown"
	}
	return megabytes(n)
}

// Submissions is the answer of juliahub.submissions.
type Submissions struct {
	Jobs []Job `json:"jobs"`
}

// ListSubmissions returns the submissions that this user's editors remember,
// newest first. It never asks the server.
func (s *Session) ListSubmissions(_ context.Context, in Input) (Submissions, error) {
	s.readLedger()
	list := Submissions{}
	if in.File != nil {
		list.Jobs = s.JobsOf(cmpDir(in.File.Path, in.File.URI))
	} else {
		list.Jobs = s.Jobs()
	}
	if args, ok := in.Args.(*ListArgs); ok && args.Limit > 0 && len(list.Jobs) > args.Limit {
		list.Jobs = list.Jobs[:args.Limit]
	}
	if in.Show {
		s.cfg.UI.ShowText(s.ctx, "submissions.txt", list.text())
	}
	return list, nil
}

func (l Submissions) text() string {
	var b strings.Builder
	b.WriteString("Submissions from this computer\n\n")
	for _, j := range l.Jobs {
		fmt.Fprintf(&b, "%-16s %-10s %-16s %s\n", cmpDir(j.ID, "-"), j.State, j.Created.Local().Format("2006-01-02 15:04"), cmpDir(j.File, j.URI))
	}
	if len(l.Jobs) == 0 {
		b.WriteString("none\n")
	}
	return b.String()
}

// RestartTracking asks the server at once, whatever pause was due, and begins
// the search for submissions without an answer anew.
func (s *Session) RestartTracking(ctx context.Context, in Input) (Submissions, error) {
	s.Start(context.WithoutCancel(s.ctx))
	s.tracker.Restart()
	if in.Show {
		s.cfg.UI.Say(s.ctx, Info, "Asking for all jobs again.")
		in.Show = false
	}
	return s.ListSubmissions(ctx, in)
}

// ListedJob is one job of the server's list.
type ListedJob struct {
	Job        string    `json:"job"`
	Alias      string    `json:"alias,omitempty"`
	Status     string    `json:"status"`
	Submitted  time.Time `json:"submitted,omitzero"`
	Started    time.Time `json:"started,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	Submission string    `json:"submission,omitempty"` // ours, when it is one of ours
	File       string    `json:"file,omitempty"`       // the local file, where it is known
	URL        string    `json:"url,omitempty"`
	Files      int       `json:"files"`
}

// JobList is the answer of juliahub.jobs.
type JobList struct {
	Server string      `json:"server"`
	Jobs   []ListedJob `json:"jobs"`
	State  string      `json:"state"` // done, or pending: the list is shown when it is there
}

// ListJobs lists the newest jobs on the server, also those submitted elsewhere.
func (s *Session) ListJobs(ctx context.Context, in Input) (JobList, error) {
	server, err := s.serverName(s.userSettings().Server)
	if err != nil {
		return JobList{}, err
	}
	limit := 20
	if args, ok := in.Args.(*ListArgs); ok && args.Limit > 0 {
		limit = args.Limit
	}
	list := func(ctx context.Context) (JobList, error) {
		client, err := s.client(server)
		if err != nil {
			return JobList{}, err
		}
		jobs, err := client.Jobs(ctx, limit)
		if err != nil {
			return JobList{}, err
		}
		return s.jobList(server, client, jobs, in.Folders), nil
	}
	return soon(ctx, s, in, JobList{Server: server, Jobs: []ListedJob{}, State: "pending"}, list,
		func(l JobList) { s.cfg.UI.ShowText(s.ctx, "jobs.txt", l.text()) })
}

func (s *Session) jobList(server string, client Client, jobs []*jobapi.Job, folders []string) JobList {
	s.readLedger()
	ours := map[string]*track.Record{}
	for _, r := range s.ledger.All() {
		if r.Job != "" {
			ours[r.Job] = r
		}
	}
	l := JobList{Server: server, Jobs: []ListedJob{}, State: "done"}
	for _, j := range jobs {
		row := ListedJob{
			Job: j.ID, Alias: j.Alias, Status: string(j.Status), Submitted: j.Submitted, Started: j.Started,
			Ended: j.Ended, URL: client.JobURL(j.ID), Files: len(j.Files),
		}
		if r, ok := ours[j.ID]; ok {
			row.Submission, row.File = r.Submission, r.File
		} else {
			row.Submission, row.File = fromElsewhere(j.Env(), folders, s.cfg.Home)
		}
		l.Jobs = append(l.Jobs, row)
	}
	return l
}

// fromElsewhere tells by a job's provenance which local file it ran, when this
// or another computer's editor submitted it. The project is looked for where the
// workspace folders are: first by its name; one that is called otherwise here has
// to hold the very code that ran.
func fromElsewhere(env map[string]string, folders []string, home string) (submission, file string) {
	submission = env[submissionEnv]
	name, project := filepath.FromSlash(env[provenancePrefix+"FILE"]), env[provenancePrefix+"PROJECT"]
	if submission == "" || name == "" || !filepath.IsLocal(name) {
		return submission, ""
	}
	var named, others []string
	for _, folder := range folders {
		candidates := []string{environmentDir(folder, home), folder, filepath.Join(folder, project)}
		entries, _ := os.ReadDir(folder) // a folder that is gone has no files
		for _, e := range entries[:min(len(entries), mostSearched)] {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				candidates = append(candidates, filepath.Join(folder, e.Name(), project))
			}
		}
		for _, dir := range candidates {
			switch {
			case dir == "":
			case filepath.Base(dir) == project && filepath.IsLocal(project):
				named = append(named, filepath.Join(dir, name))
			case !within(folder, dir) || dir == folder:
				others = append(others, filepath.Join(dir, name))
			}
		}
	}
	for _, path := range named {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return submission, path
		}
	}
	for _, path := range others {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > mostKept {
			continue
		}
		if text, err := os.ReadFile(path); err == nil && sha256Of(text) == env[provenancePrefix+"CODE_SHA256"] {
			return submission, path
		}
	}
	return submission, ""
}

// mostSearched is in how many directories of a workspace folder a project is
// looked for.
const mostSearched = 200

func (l JobList) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Jobs on %s\n\n", l.Server)
	for _, j := range l.Jobs {
		at := ""
		if !j.Submitted.IsZero() {
			at = j.Submitted.Local().Format("2006-01-02 15:04")
		}
		fmt.Fprintf(&b, "%-16s %-10s %-16s %s  %s\n", j.Job, track.Plain(j.Status), at, track.Plain(j.Alias), j.File)
	}
	if len(l.Jobs) == 0 {
		b.WriteString("none\n")
	}
	return b.String()
}

// soon runs work that is quick when the network is: a command that does not
// wait answers with the result if it is there in time, else with pending, and
// the result is shown when it comes.
func soon[T any](ctx context.Context, s *Session, in Input, pending T, work func(context.Context) (T, error), show func(T)) (T, error) {
	if waits(in) {
		result, err := work(ctx)
		if err == nil && in.Show {
			show(result)
		}
		return result, err
	}
	type outcome struct {
		result T
		err    error
	}
	done, left := make(chan outcome, 1), make(chan struct{})
	if !s.goDo(func() {
		result, err := work(s.ctx)
		done <- outcome{result, err}
		select {
		case <-left:
			if err != nil && s.ctx.Err() == nil {
				s.cfg.UI.Say(s.ctx, Error, sentence(err.Error()))
			}
		case <-s.ctx.Done():
			return
		default:
		}
		if err == nil && in.Show {
			show(result)
		}
	}) {
		return pending, errors.New("shutting down")
	}
	timer := time.NewTimer(soonAfter)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-timer.C:
	case <-ctx.Done():
	}
	close(left)
	return pending, ctx.Err()
}

package commands

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/commands/track"
)

// viewBoard is what the person sees of the submissions at this moment.
type viewBoard struct {
	// mu guards what follows. It is held while the UI is told, so that what is
	// told later is newer.
	mu       sync.Mutex
	jobs     map[string]*view
	found    map[string]map[string][]Problem // by submitted file: what its newest submission shows, by file
	troubles map[string]string               // what was said of servers that are not heard
	overflow map[string]bool                 // running jobs beyond the ones with a task of their own
	many     Task                            // stands for these
	tasks    int                             // jobs with a task of their own
}

// view is what is shown of one submission.
type view struct {
	told    Job         // as last told
	watched bool        // it was seen alive by this session: its end is news
	task    Task        // nil = none
	percent bool        // the task has percentages
	message string      // as last reported
	most    float64     // percentages never go back
	bars    bars        // of the job's own progress
	said    bool        // its end was told
	line    string      // the last one of its log
	soon    *time.Timer // shows the line; nil = there is nothing new
	kept    time.Time   // when the line was last written down
	guarded int         // the time limit, in hours, that was warned of
	lapse   func()      // takes the question about that back; nil = there is none

	sharing  *time.Timer // tells other processes what the log says; nil = they know
	shared   track.Live  // what they know
	sharedAt time.Time
	paths    *stacktrace.Paths // of the job, once its log needed them
}

func (b *viewBoard) init() {
	b.jobs, b.found, b.overflow = map[string]*view{}, map[string]map[string][]Problem{}, map[string]bool{}
	b.troubles = map[string]string{}
}

// mostTasks is how many jobs have a progress of their own.
const mostTasks = 3

// keepShowing is how long the end of a job stands at its file.
const keepShowing = 24 * time.Hour

// changed shows what is new of a submission.
func (s *Session) changed(submission string) {
	defer s.statusChanged()
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	r, ok := s.ledger.Get(submission)
	if !ok {
		s.gone(submission)
		return
	}
	v := s.views.jobs[submission]
	if v == nil {
		v = &view{}
		s.views.jobs[submission] = v
	}
	if !r.State.Ended() || (r.Job != "" && !r.Settled) {
		v.watched = true
	}
	if r.State.Ended() {
		v.paths = nil
	}
	job := v.bars.show(s.jobOf(&r))
	if told := job; !sameNews(told, v.told) {
		v.told = told
		if s.visible(&r) {
			s.cfg.UI.JobChanged(job)
		}
	}
	s.showTask(&r, v)
	s.showProblems(r.File, r.URI)
	s.sayEnd(&r, v)
	s.sayTrouble(&r)
	s.guardLimit(&r, v)
}

// sayTrouble tells once that jobs cannot be followed because the sign-in is over.
// That the network is lost shows in the progress alone: it comes back by itself.
func (s *Session) sayTrouble(r *track.Record) {
	if !r.Live() || s.views.troubles[r.Server] == r.Trouble {
		return
	}
	s.views.troubles[r.Server] = r.Trouble
	if r.Trouble == track.LoginExpired && s.visible(r) {
		s.cfg.UI.Say(s.ctx, Warning, fmt.Sprintf("The sign-in to %s has expired: sign in again to follow your jobs. The jobs go on.", hostOf(r.Server)))
	}
}

func hostOf(server string) string {
	if u, err := url.Parse(server); err == nil && u.Host != "" {
		return u.Host
	}
	return server
}

// sameNews reports whether two states of a job look alike; that the server was
// heard again is no news by itself.
func sameNews(a, b Job) bool {
	a.Seen, b.Seen = nil, nil
	return reflect.DeepEqual(a, b)
}

// gone forgets a record that another process dropped.
func (s *Session) gone(submission string) {
	v := s.views.jobs[submission]
	if v == nil {
		return
	}
	delete(s.views.jobs, submission)
	s.views.endTask(v, "forgotten")
	if v.lapse != nil {
		v.lapse()
	}
	s.showMany(submission, false)
	s.showProblems(v.told.File, v.told.URI)
}

// showAgain shows everything anew, after settings or folders changed.
func (s *Session) showAgain() {
	s.statusChanged()
	for _, r := range s.ledger.All() {
		s.changed(r.Submission)
	}
}

// visible reports whether a submission concerns this session.
func (s *Session) visible(r *track.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.own[r.Submission]:
		return true
	case s.ownOnly:
		return false
	case len(s.folders) == 0:
		return true
	}
	for _, folder := range s.folders {
		if r.File != "" && within(folder, r.File) {
			return true
		}
	}
	return false
}

// within reports whether path is dir or below it, by components.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// jobOf is a record as the editor sees it.
func (s *Session) jobOf(r *track.Record) Job {
	j := Job{
		Submission: r.Submission, ID: r.Job, State: r.State, Status: r.Status, Reason: r.Reason, Kind: r.Kind,
		File: r.File, URI: r.URI, Alias: r.Alias, Profile: r.Profile, Node: r.Node, Price: r.Price, Nodes: r.Nodes,
		LimitHours: r.LimitHours, Server: r.Server, URL: r.URL, Created: r.Created,
		Submitted: r.Submitted, Started: r.Started, Ended: r.Ended, LastLine: r.Says(),
		Outputs: r.Outputs, Watched: !r.Unwatched && !r.Dismissed, Dismissed: r.Dismissed, Trouble: r.Trouble, Settled: r.Settled,
	}
	if !r.Seen.IsZero() {
		seen := r.Seen
		j.Seen = &seen
	}
	if r.Job != "" {
		j.LogFile = track.LogFile(s.ledger.LogDir(r.Submission))
		j.ResultsDir = resultsDir(r)
	}
	for _, f := range r.Files {
		if f.Type == "result" {
			j.Results = append(j.Results, JobFile(f))
		}
	}
	if r.State == track.Failed && r.Failure != nil {
		j.Message = headline(r.Failure.Message)
	}
	if r.Failure != nil && r.Failure.Line > 0 {
		j.FailedAt = &Spot{Path: r.Failure.File, Line: r.Failure.Line - 1}
	}
	return j
}

// Jobs returns all known submissions, newest first. Cached state only: it never waits.
func (s *Session) Jobs() []Job {
	known := s.KnownJobs()
	jobs := make([]Job, 0, len(known))
	for _, j := range known {
		jobs = append(jobs, *j)
	}
	return jobs
}

// JobsOf returns the submissions of one file (path or, for untitled buffers, URI), newest first.
func (s *Session) JobsOf(file string) []Job {
	records := s.ledger.Select(func(r *track.Record) bool { return r.File == file || (r.File == "" && r.URI == file) })
	jobs := make([]Job, 0, len(records))
	for i := range records {
		jobs = append(jobs, s.withPercent(s.jobOf(records[i])))
	}
	return jobs
}

// Newest returns the newest submission of one file, without looking at the
// others more than it must: lenses and actions ask for it at every keystroke.
func (s *Session) Newest(file string) (Job, bool) {
	r, ok := s.ledger.Newest(func(r *track.Record) bool { return r.File == file || (r.File == "" && r.URI == file) })
	if !ok {
		return Job{}, false
	}
	return s.withPercent(s.jobOf(&r)), true
}

// AnyRunning says whether a job is running that this session shows.
func (s *Session) AnyRunning() bool {
	_, ok := s.ledger.Newest(func(r *track.Record) bool { return r.State == track.Running && s.visible(r) })
	return ok
}

// Job returns one submission, by its UUID or by its job's id.
func (s *Session) Job(id string) (Job, bool) {
	r, ok := s.ledger.Get(id)
	if !ok {
		r, ok = s.ledger.Newest(func(r *track.Record) bool { return r.Job != "" && r.Job == id })
	}
	if !ok {
		return Job{}, false
	}
	return s.withPercent(s.jobOf(&r)), true
}

func (s *Session) withPercent(j Job) Job {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	if v := s.views.jobs[j.Submission]; v != nil {
		return v.bars.show(j)
	}
	return j
}

// userSettings are the editor's settings without any project's.
func (s *Session) userSettings() settings.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// showTask begins, reports and ends the progress of a job. The views' lock is held.
func (s *Session) showTask(r *track.Record, v *view) {
	alive := r.Job != "" && !r.State.Ended()
	wanted := alive && !r.Unwatched && !r.Dismissed && s.visible(r) && s.userSettings().ProgressJobs
	if !wanted {
		if v.task != nil {
			s.views.endTask(v, endWord(r))
		}
		s.showMany(r.Submission, false)
		return
	}
	percent, text, ok := v.bars.now()
	if v.task != nil && ok && !v.percent { // the bar appears: a new task, with percentages
		s.views.endTask(v, "")
	}
	if v.task == nil {
		s.beginTask(r, v, ok)
	}
	if v.task == nil {
		return
	}
	if ok && percent > v.most {
		v.most = percent
	}
	if message := s.taskMessage(r, text); message != v.message || ok {
		v.message = message
		v.task.Report(message, v.most)
	}
}

func (s *Session) beginTask(r *track.Record, v *view, percent bool) {
	if s.views.tasks >= mostTasks {
		s.showMany(r.Submission, true)
		return
	}
	submission := r.Submission
	v.percent, v.message, v.most = percent, s.taskMessage(r, ""), 0
	v.task = s.cfg.UI.Begin(s.ctx, Work{
		Title: "JuliaHub: " + nameOf(r), Message: v.message, Percent: percent,
		Cancel: func() { s.goDo(func() { s.taskCancelled(submission) }) },
	})
	if v.task != nil {
		s.views.tasks++
	}
	s.showMany(r.Submission, false)
}

// endTask ends the task that a job has, if it has one.
func (b *viewBoard) endTask(v *view, how string) {
	if v.task == nil {
		return
	}
	v.task.End(how)
	v.task = nil
	b.tasks--
}

// showMany keeps the one task that stands for the jobs beyond the first three.
func (s *Session) showMany(submission string, running bool) {
	if s.views.overflow[submission] == running {
		return
	}
	if running {
		s.views.overflow[submission] = true
	} else {
		delete(s.views.overflow, submission)
	}
	n := len(s.views.overflow)
	message := fmt.Sprintf("%d jobs running (%d more)", s.views.tasks+n, n)
	switch {
	case n == 0 && s.views.many != nil:
		s.views.many.End("done")
		s.views.many = nil
	case n > 0 && s.views.many == nil:
		s.views.many = s.cfg.UI.Begin(s.ctx, Work{Title: "JuliaHub", Message: message})
	case n > 0:
		s.views.many.Report(message, 0)
	}
}

// nameOf is what a person calls a submission.
func nameOf(r *track.Record) string {
	name := filepath.Base(r.File)
	if r.File == "" {
		name = cmp.Or(r.Alias, r.URI, "script")
	}
	if r.Range[0] > 0 {
		name = fmt.Sprintf("%s:%d-%d", name, r.Range[0], r.Range[1])
	}
	return name
}

func (s *Session) taskMessage(r *track.Record, text string) string {
	parts := []string{cmp.Or(r.Status, title(string(r.State)))}
	if r.Kill {
		parts[0] += ", being stopped"
	}
	if r.Started != nil {
		if d := s.cfg.Now().Sub(*r.Started); d >= time.Minute {
			parts[0] += " " + minutes(d)
		}
	}
	if r.Trouble != "" {
		trouble := r.Trouble
		if !r.Seen.IsZero() {
			trouble += " since " + r.Seen.Local().Format("15:04")
		}
		parts = append(parts, trouble)
	}
	if line := cmp.Or(text, r.Says()); line != "" {
		parts = append(parts, line)
	}
	return strings.Join(parts, " · ")
}

func title(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// minutes renders a duration of at least a minute: 12m, 1h 05m.
func minutes(d time.Duration) string {
	m := int(d.Minutes())
	if m < 60 {
		return fmt.Sprintf("%dm", m)
	}
	return fmt.Sprintf("%dh %02dm", m/60, m%60)
}

func endWord(r *track.Record) string {
	switch {
	case r.State == track.Completed:
		return "done"
	case r.State == track.Failed:
		return strings.TrimSuffix("failed: "+firstLine(failureText(r)), ": ")
	case r.State == track.Stopped:
		return "cancelled"
	case r.Unwatched:
		return "not watched any more; the job goes on"
	default:
		return string(r.State)
	}
}

func failureText(r *track.Record) string {
	if r.Failure != nil {
		return r.Failure.Message
	}
	return r.Reason
}

// headline is an error's first line, and what comes next as long as a line only
// announces that: "On worker 2:", "DomainError with -1.0:".
func headline(text string) string {
	said := ""
	for line := range strings.Lines(strings.TrimSpace(text)) {
		said += strings.TrimSpace(line)
		if !strings.HasSuffix(said, ":") {
			break
		}
		said += " "
	}
	return firstLine(strings.TrimSuffix(strings.TrimSpace(said), ":"))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const most = 200
	if runes := []rune(line); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return line
}

// sayEnd tells the outcome of a job once, if this session saw it alive.
func (s *Session) sayEnd(r *track.Record, v *view) {
	if !v.watched || v.said || r.Job == "" || !r.State.Ended() || !r.Settled || r.Unwatched || r.Dismissed {
		return
	}
	v.said = true
	if !s.visible(r) {
		return
	}
	name := fmt.Sprintf("%s (%s)", nameOf(r), r.Job)
	switch r.State {
	case track.Completed:
		s.cfg.UI.Say(s.ctx, Info, name+" completed.")
	case track.Failed:
		text := name + " failed"
		if message := headline(failureText(r)); message != "" {
			text += ": " + message
		}
		s.cfg.UI.Say(s.ctx, Error, text)
	default:
		s.cfg.UI.Say(s.ctx, Info, name+" was stopped.")
	}
}

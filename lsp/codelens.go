package lsp

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

// codeLens shows above a Julia file what can be done and how its newest job is,
// and above an ignore file what the bundle holds, from cached state alone.
func (s *Server) codeLens(_ context.Context, w *world, p *codeLensParams) (any, error) {
	uri := p.TextDocument.URI
	above := lenses{s: s, list: []protocol.CodeLens{}, columns: []uint32{0}}
	if doc := w.document(uri); doc != nil {
		above.columns = columnsOf(firstLine(doc.text), s.encoding)
	}
	switch {
	case !w.settings.flag(true, "codeLens", "enabled"):
	case w.isJulia(uri):
		above.script(uri)
	default:
		above.ignore(uri)
	}
	return above.list, nil
}

// lenses collects what stands above the first line of a file.
type lenses struct {
	s       *Server
	list    []protocol.CodeLens
	columns []uint32 // of the first line; at least one
}

// add adds a lens, if the table has its command. Each stands a column behind the
// one before, as far as the line goes: editors sort lenses by their places, and
// not all of them (Neovim) keep the order of those at the same.
func (l *lenses) add(title, command string, args map[string]any) {
	if _, ok := l.s.command(command); !ok {
		return
	}
	at := protocol.Position{Character: l.columns[min(len(l.list), len(l.columns)-1)]}
	l.list = append(l.list, protocol.CodeLens{Range: protocol.Range{Start: at, End: at}, Command: commandOf(title, command, args)})
}

// mostLenses is more lenses than a file has.
const mostLenses = 16

// firstLine is the first line of a text as far as lenses need it: their lines are
// asked for at every keystroke, and the others of a long file are not looked for.
func firstLine(text string) string {
	head := text[:min(len(text), utf8.UTFMax*(mostLenses+1))]
	return lineOf(head, lineStarts(head), 0)
}

// columnsOf are the columns at which the first characters of a line begin, and
// that of its end if it is near.
func columnsOf(line string, enc encoding) []uint32 {
	var columns []uint32
	for i := range line {
		if len(columns) == mostLenses {
			return columns
		}
		columns = append(columns, uint32(columnAt(line, i, enc)))
	}
	return append(columns, uint32(columnAt(line, len(line), enc)))
}

func (l *lenses) script(uri string) {
	l.add("▶ Submit", "juliahub.submitScript", map[string]any{"uri": uri})
	if !isUntitled(uri) {
		l.add("▶ Appbundle", "juliahub.submitAppBundle", map[string]any{"uri": uri})
	}
	job, ok := l.s.newestJob(uri)
	if !ok {
		return
	}
	l.s.followFailure(&job)
	l.job(job, time.Now())
}

// job says how a job is, and then what a person wants of one in that state.
func (l *lenses) job(job commands.Job, now time.Time) {
	target := map[string]any{"submission": job.Submission}
	logs := func() {
		if job.ID != "" {
			l.add("Logs", "juliahub.logs", target)
		}
	}
	l.add(jobTitle(job, now), "juliahub.job", target)
	switch {
	case isLive(job.State):
		logs()
		if nearLimit(job, now) {
			l.add("Extend by 1 hour", "juliahub.extendJob", map[string]any{"submission": job.Submission, "hours": 1})
		}
		stop := "Stop"
		if job.ID == "" { // there is no job yet
			stop = "Cancel"
		}
		l.add(stop, "juliahub.cancelJob", target)
	case job.State == commands.StateCompleted:
		l.add("Results", "juliahub.downloadResults", target)
		l.add("Run again", "juliahub.rerun", target)
		logs()
	default:
		logs()
		if len(job.Results) > 0 || job.Outputs != "" {
			l.add("Results", "juliahub.downloadResults", target)
		}
		l.add("Run again", "juliahub.rerun", target)
	}
}

// followFailure moves the place of a failure to where its diagnostic is by now;
// a line that was changed is no place any more.
func (s *Server) followFailure(job *commands.Job) {
	if at := job.FailedAt; at != nil {
		if line, ok := s.diagnostics.failingLine(at.Path, job.Submission); ok && line >= 0 {
			job.FailedAt = &commands.Spot{Path: at.Path, Line: line}
		} else if ok {
			job.FailedAt = nil
		}
	}
}

func (l *lenses) ignore(uri string) {
	path, err := pathOf(uri)
	if err != nil {
		return
	}
	if plan := l.s.advice.planOf(path); plan != nil {
		l.add(fmt.Sprintf("Bundle: %s, %s", plural(plan.files, "file"), bytesText(plan.bytes)),
			commandPreviewBundle, map[string]any{"uri": uri})
	}
}

// nearLimit says whether a job has used most of its time.
func nearLimit(j commands.Job, now time.Time) bool {
	const most = 0.8
	return j.State == commands.StateRunning && j.Started != nil && j.LimitHours > 0 &&
		now.Sub(*j.Started).Hours() >= most*float64(j.LimitHours)
}

// jobTitle says how a job is: its state, its minutes, and while it runs what it
// costs.
func jobTitle(j commands.Job, now time.Time) string {
	if j.Ended != nil {
		now = *j.Ended
	}
	ran, limit, cost := "", "", ""
	if j.Started != nil {
		d := max(0, now.Sub(*j.Started))
		ran = " " + duration(d)
		if j.LimitHours > 0 {
			limit = "/" + duration(time.Duration(j.LimitHours)*time.Hour)
		}
		if dollars := j.Price * float64(max(1, j.Nodes)) * d.Hours(); dollars >= 0.005 {
			cost = fmt.Sprintf(" · $%.2f", dollars)
		}
	}
	switch j.State {
	case commands.StateCompleted:
		return "✓ Completed" + ran + outputs(j)
	case commands.StateFailed:
		if at := j.FailedAt; at != nil && at.Path == cmp.Or(j.File, j.URI) {
			return fmt.Sprintf("✗ Failed at line %d", at.Line+1)
		}
		return "✗ Failed" + ran
	case commands.StateStopped:
		return "■ Stopped" + ran
	case commands.StateRunning:
		return "● Running" + ran + limit + cost + percent(j) + trouble(j)
	}
	if title, ok := stateTitles[j.State]; ok {
		return title
	}
	return plain(string(j.State))
}

// stateTitles are the words for a submission whose job does not run.
var stateTitles = map[commands.State]string{
	commands.StateBundling:   "○ Bundling",
	commands.StateUploading:  "○ Uploading",
	commands.StateSubmitting: "○ Submitting",
	commands.StateUnknown:    "? Sent, no answer yet",
	commands.StateSubmitted:  "○ Waiting to run",
	commands.StateRefused:    "✗ Not submitted",
	commands.StateCancelled:  "■ Cancelled",
}

// trouble says why the state may be an old one.
func trouble(j commands.Job) string {
	if j.Trouble == "" {
		return ""
	}
	return " · " + plain(j.Trouble)
}

// mostOutputs is how much of a job's outputs fits above a line of code.
const mostOutputs = 80

// outputs says what a job left in RESULTS.
func outputs(j commands.Job) string {
	text := strings.Join(strings.Fields(plain(j.Outputs)), " ")
	if text == "" || text == "{}" {
		return ""
	}
	if runes := []rune(text); len(runes) > mostOutputs {
		text = string(runes[:mostOutputs]) + "…"
	}
	return " · " + text
}

func percent(j commands.Job) string {
	if j.Percent == nil {
		return ""
	}
	return fmt.Sprintf(" · %d%%", int(*j.Percent))
}

// duration says how long something took, as short as it can be said.
func duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d%time.Hour < time.Minute:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Refreshing makes the client ask every server for its lenses, so it is done
// when a job's state changes, for the minutes once a minute, and not at all
// while nothing of ours is open.
const (
	lensGap  = time.Second // between two refreshes, however many changes
	lensTick = time.Minute
)

// lensRefresher asks the client to ask for its lenses again.
type lensRefresher struct {
	s    *Server
	once sync.Once
	wake chan struct{} // holds one wake-up
	seed maphash.Seed

	mu   sync.Mutex        // guards seen
	seen map[string]string // submission → what of its job shows in a lens
}

func (l *lensRefresher) init(s *Server) {
	l.s, l.wake, l.seed, l.seen = s, make(chan struct{}, 1), maphash.MakeSeed(), map[string]string{}
}

// jobChanged refreshes the lenses if what changed of a job shows in them.
func (l *lensRefresher) jobChanged(j commands.Job) {
	shows := fmt.Sprint(j.State, j.ID, j.Watched, j.Dismissed, j.Trouble, j.LimitHours, len(j.Results), maphash.String(l.seed, j.Outputs), j.Started != nil, j.FailedAt != nil)
	l.mu.Lock()
	changed := l.seen[j.Submission] != shows
	l.seen[j.Submission] = shows
	l.mu.Unlock()
	if changed {
		l.refresh()
		l.s.advice.touch(j.File) // whether it goes without a bundle may be another matter now
	}
}

// refresh says that lenses have changed.
func (l *lensRefresher) refresh() {
	if !l.s.caps.lensRefresh {
		return
	}
	l.once.Do(func() { l.s.spawn(l.loop) })
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lensRefresher) loop() {
	if !l.s.gate.wait(l.s.ctx) {
		return
	}
	tick := time.NewTicker(lensTick)
	defer tick.Stop()
	for {
		select {
		case <-l.s.ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
			if !l.s.session.AnyRunning() {
				continue
			}
		}
		if !l.s.anyLensOpen() {
			continue
		}
		ctx, cancel := context.WithTimeout(l.s.ctx, callTimeout)
		if err := l.s.client.CodeLensRefresh(ctx); err != nil {
			l.s.log.Debug("the editor does not refresh its lenses", "error", err)
		}
		cancel()
		select {
		case <-l.s.ctx.Done():
			return
		case <-time.After(lensGap):
		}
	}
}

// anyLensOpen says whether a document is open that may have lenses.
func (s *Server) anyLensOpen() bool {
	for _, d := range s.world.Load().docs {
		if d.isJulia() || filepath.Base(d.path) == ignoreFile {
			return true
		}
	}
	return false
}

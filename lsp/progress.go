package lsp

import (
	"context"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

const (
	// progressDelay is how long work takes before it is worth a progress bar.
	progressDelay = 500 * time.Millisecond
	// Reports: ten a second for a bar that moves, one for a job that runs.
	barInterval  = 100 * time.Millisecond
	textInterval = time.Second
	// progressText is as much of a message as a status bar takes.
	progressText = 200
)

// tasks are the tasks that the editor shows.
type tasks struct {
	quit chan struct{} // closed when nothing is shown any more

	mu    sync.Mutex // guards what follows, and wg.Add against wg.Wait
	last  int        // number of the last token
	shown map[string]*task
	over  bool
	wg    sync.WaitGroup // of those shown
}

func (ts *tasks) init() { ts.quit = make(chan struct{}) }

// end ends all that is shown, and waits until that is said: editors show for
// ever what their server has begun and not ended. It takes no longer than to
// queue a few messages.
func (ts *tasks) end() {
	ts.mu.Lock()
	if !ts.over {
		ts.over = true
		close(ts.quit)
	}
	ts.mu.Unlock()
	ts.wg.Wait()
}

// task shows work in the editor: a token that is created, begun once and ended
// once. Its goroutine alone sends; the rest only says what there is to send.
type task struct {
	s        *Server
	work     commands.Work
	borrowed *lentToken // a request's own token, to be used only up to its response

	changed chan struct{} // holds one wake-up
	ended   chan struct{} // closed by End

	sent *protocol.WorkDoneProgressReport // what is shown now; the goroutine's own

	mu         sync.Mutex // guards what follows
	isEnded    bool
	cancelled  bool
	message    string
	percent    float64
	endMessage string
}

// Begin shows work under way. A client without progress sees nothing of it: the
// commands say what came of it.
func (u *ui) Begin(ctx context.Context, work commands.Work) commands.Task {
	t := &task{s: u.s, work: work, changed: make(chan struct{}, 1), ended: make(chan struct{}), message: work.Message}
	t.borrowed, _ = ctx.Value(lentKey{}).(*lentToken)
	if u.s.caps.progress || t.borrowed != nil {
		u.s.spawn(t.run)
	}
	return t
}

// Report says where the work is.
func (t *task) Report(message string, percent float64) {
	t.mu.Lock()
	t.message = message
	if percent > t.percent { // a bar never goes back; nor does one follow what is no number
		t.percent = min(100, percent)
	}
	t.mu.Unlock()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// End ends the task; only the first call does.
func (t *task) End(message string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isEnded {
		return
	}
	t.isEnded, t.endMessage = true, message
	close(t.ended)
}

// cancel is the person's wish. The bar goes at once; whether the work does is
// the commands' business, and what goes on begins a task of its own.
func (t *task) cancel() {
	t.mu.Lock()
	again := t.cancelled || t.isEnded
	t.cancelled = true
	t.mu.Unlock()
	if again || t.work.Cancel == nil {
		return
	}
	t.End("cancelled") // before the work knows: its request may be answered at once
	t.s.spawn(t.work.Cancel)
}

// run shows the task until it has ended.
func (t *task) run() {
	delay := time.NewTimer(progressDelay)
	defer delay.Stop()
	select {
	case <-t.ended:
		return
	case <-t.s.tasks.quit:
		return
	case <-delay.C:
	}
	if t.borrowed.lend() {
		over := t.show(t.borrowed.token, t.borrowed.wanted)
		t.borrowed.giveBack()
		if over {
			return
		}
	}
	if !t.s.caps.progress {
		return
	}
	token, err := t.s.createToken()
	if err != nil {
		t.s.log.Warn("the editor creates no progress", "error", err)
		return
	}
	t.show(token, nil)
}

// show shows the task under a token until it has ended, which it answers with
// true, or the token is wanted back.
func (t *task) show(token protocol.ProgressToken, wanted <-chan struct{}) (over bool) {
	key, ok := t.s.tasks.add(token, t)
	if !ok {
		return true
	}
	defer t.s.tasks.remove(key)
	t.sendBegin(token)
	interval := textInterval
	if t.work.Percent {
		interval = barInterval
	}
	pause := time.NewTimer(interval)
	defer pause.Stop()
	for {
		select { // the pause first, then a change
		case <-pause.C:
		case <-wanted:
			return t.sendEnd(token)
		case <-t.ended:
			return t.sendEnd(token)
		case <-t.s.tasks.quit:
			t.End("the language server has ended")
			return t.sendEnd(token)
		}
		select {
		case <-t.changed:
			t.sendReport(token)
			pause.Reset(interval)
		case <-wanted:
			return t.sendEnd(token)
		case <-t.ended:
			return t.sendEnd(token)
		case <-t.s.tasks.quit:
			t.End("the language server has ended")
			return t.sendEnd(token)
		}
	}
}

// sendEnd ends what is shown under a token. It answers whether the task is over
// too: its token may be wanted back at the moment in which it ends.
func (t *task) sendEnd(token protocol.ProgressToken) (over bool) {
	t.mu.Lock()
	over, message := t.isEnded, t.endMessage
	t.mu.Unlock()
	t.send(token, &protocol.WorkDoneProgressEnd{Kind: "end", Message: text(message)})
	return over
}

func (t *task) sendBegin(token protocol.ProgressToken) {
	t.mu.Lock()
	t.sent = t.report()
	t.mu.Unlock()
	t.send(token, &protocol.WorkDoneProgressBegin{
		Kind: "begin", Title: oneLine(t.work.Title), Message: t.sent.Message, Percentage: t.sent.Percentage, Cancellable: t.sent.Cancellable,
	})
}

func (t *task) sendReport(token protocol.ProgressToken) {
	if t.s.stream.isCongested() {
		return
	}
	t.mu.Lock()
	report := t.report()
	t.mu.Unlock()
	if reflect.DeepEqual(report, t.sent) {
		return // what the editor shows already
	}
	t.sent = report
	t.send(token, report)
}

// report says where the work is now. The lock is held.
func (t *task) report() *protocol.WorkDoneProgressReport {
	return &protocol.WorkDoneProgressReport{
		Kind: "report", Message: text(t.message), Percentage: t.percentage(), Cancellable: ptr(t.work.Cancel != nil),
	}
}

// percentage is in the begin and in every report, or in none: editors drop the
// other kind of report.
func (t *task) percentage() *uint32 {
	if !t.work.Percent {
		return nil
	}
	return ptr(uint32(t.percent))
}

func (t *task) send(token protocol.ProgressToken, value any) {
	raw, err := protocol.Marshal(value)
	if err != nil {
		t.s.log.Error("a progress cannot be written", "error", err)
		return
	}
	t.s.notify(t.s.client.Progress(context.Background(), &protocol.ProgressParams{Token: token, Value: protocol.LSPAny(raw)}))
}

// createToken makes a token that the client agrees to.
func (s *Server) createToken() (protocol.ProgressToken, error) {
	if !s.gate.wait(s.ctx) {
		return nil, s.ctx.Err()
	}
	s.tasks.mu.Lock()
	s.tasks.last++
	token := protocol.String("juliahub-" + strconv.Itoa(s.tasks.last))
	s.tasks.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	return token, s.client.WorkDoneProgressCreate(ctx, &protocol.WorkDoneProgressCreateParams{Token: token})
}

// cancelProgress is a person's wish to cancel the work behind a token.
func (s *Server) cancelProgress(p *progressCancelParams) {
	var token protocol.ProgressToken
	if protocol.Unmarshal(p.Token, &token) != nil {
		return
	}
	s.tasks.mu.Lock()
	t := s.tasks.shown[keyOfToken(token)]
	s.tasks.mu.Unlock()
	if t != nil {
		t.cancel()
	}
}

// add remembers a task by its token; false when nothing is shown any more.
func (ts *tasks) add(token protocol.ProgressToken, t *task) (key string, ok bool) {
	key = keyOfToken(token)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.over {
		return key, false
	}
	ts.wg.Add(1)
	if ts.shown == nil {
		ts.shown = map[string]*task{}
	}
	ts.shown[key] = t
	return key, true
}

// keyOfToken is one key for one token, however the client escapes it.
func keyOfToken(token protocol.ProgressToken) string {
	raw, err := protocol.Marshal(token)
	if err != nil {
		return "" // a number or a text: cannot fail
	}
	return string(raw)
}

func (ts *tasks) remove(key string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.shown, key)
	ts.wg.Done()
}

// lentToken is a request's own progress token. It is the client's, and ours to
// use only until the request is answered.
type lentToken struct {
	token    protocol.ProgressToken
	wanted   chan struct{} // closed when the request is about to be answered
	returned chan struct{} // closed when the task has ended it

	mu   sync.Mutex // guards lent and over
	lent bool
	over bool
}

type lentKey struct{}

// lendToken lends a request's token, if it has one, to the first task that
// begins on its behalf. done takes it back.
func (s *Server) lendToken(ctx context.Context, raw jsontext.Value) (_ context.Context, done func()) {
	var token protocol.ProgressToken
	if len(raw) == 0 || protocol.Unmarshal(raw, &token) != nil || token == nil {
		return ctx, func() {}
	}
	l := &lentToken{token: token, wanted: make(chan struct{}), returned: make(chan struct{})}
	return context.WithValue(ctx, lentKey{}, l), l.takeBack
}

// lend gives the token to a task, once.
func (l *lentToken) lend() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lent || l.over {
		return false
	}
	l.lent = true
	return true
}

// giveBack says that the token is ended.
func (l *lentToken) giveBack() { close(l.returned) }

// takeBack waits until no task uses the token any more, which is at once.
func (l *lentToken) takeBack() {
	l.mu.Lock()
	l.over = true
	lent := l.lent
	l.mu.Unlock()
	close(l.wanted)
	if lent {
		<-l.returned
	}
}

// text is a message for a progress, nil if there is none.
func text(message string) *string {
	if message == "" {
		return nil
	}
	return ptr(oneLine(message))
}

// oneLine makes text fit for one line of a status bar.
func oneLine(s string) string {
	return clip(strings.Join(strings.Fields(message(s)), " "), progressText)
}

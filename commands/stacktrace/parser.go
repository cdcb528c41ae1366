package stacktrace

import (
	"slices"
	"strings"
	"time"
)

// The limits that keep memory flat, whatever a job prints.
const (
	maxFrames  = 512  // a trace's; when full, the middle goes
	keepHead   = 256  // the frames at the top of a stack that never go
	maxMessage = 50   // lines of an exception's message
	maxCauses  = 64   // of one trace, causes of causes included
	maxWriters = 1024 // whose lines are told apart at a time
	// maxForeign is how many lines of ordinary output may stand between the
	// lines of one trace: standard output and error meet in one log.
	maxForeign = 8
)

// Parser is Parse for a stream: it keeps only the last few traces. It is for
// one goroutine.
type Parser struct {
	keep    int // 0 = all
	started int // traces begun so far
	done    []numberedTrace
	writers map[string]*writer
}

type numberedTrace struct {
	number int
	trace  Trace
}

// NewParser returns a parser that remembers the last keep traces (at least 1).
func NewParser(keep int) *Parser { return newParser(max(keep, 1)) }

func newParser(keep int) *Parser {
	return &Parser{keep: keep, writers: map[string]*writer{}}
}

// Add takes the next line.
func (p *Parser) Add(l Line) {
	for first, text := true, l.Text; first || text != ""; first = false {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = plain(line)
		key := l.Worker
		if id, rest := fromWorker(line); id != "" {
			key, line = key+"/"+id, rest
		}
		w := p.writer(key)
		if first {
			w.newRecord()
		}
		w.line(line, l.Time)
	}
}

func (p *Parser) writer(key string) *writer {
	w := p.writers[key]
	if w == nil {
		if len(p.writers) >= maxWriters {
			for _, old := range p.writers {
				old.finish()
			}
			clear(p.writers)
		}
		key = clip(key)
		w = &writer{parser: p, key: key}
		p.writers[key] = w
	}
	return w
}

// Traces returns the last traces, oldest first, one that is still being
// printed included.
func (p *Parser) Traces() []Trace {
	all := slices.Clone(p.done)
	for _, w := range p.writers {
		if len(w.open) > 0 {
			all = append(all, numberedTrace{w.number, w.open[0].build()})
		}
	}
	all = link(all)
	if p.keep > 0 && len(all) > p.keep {
		all = all[len(all)-p.keep:]
	}
	out := make([]Trace, len(all))
	for i, n := range all {
		out[i] = n.trace
	}
	return out
}

// finished takes a complete trace.
func (p *Parser) finished(n numberedTrace) {
	p.done = append(p.done, n)
	// One more than asked for: the oldest may turn out to be a cause of the next.
	if p.keep > 0 && len(p.done) > p.keep+1 {
		p.done = slices.Delete(p.done, 0, len(p.done)-p.keep-1)
	}
}

// link sorts the traces, and makes causes of those that another one sums up: the
// failure of a precompilation or of another process that was run, which printed
// it itself just before, and the tests that failed around "Some tests did not
// pass": they go to standard output, and that to standard error.
func link(all []numberedTrace) []numberedTrace {
	slices.SortFunc(all, func(a, b numberedTrace) int { return a.number - b.number })
	out := all[:0:0]
	for _, n := range all {
		first := len(out)
		switch {
		case n.trace.test && first > 0 && sumsUpTests(&out[first-1].trace):
			if sum := &out[first-1].trace; len(sum.Causes) < maxCauses {
				n.trace.Kind = Nested
				sum.Causes = append(sum.Causes, n.trace)
			}
			continue
		case strings.HasPrefix(n.trace.Message, "Failed to precompile "), failedDeps.MatchString(n.trace.Message):
			if first > 0 && out[first-1].trace.placed() {
				first--
			}
		case strings.HasPrefix(n.trace.Message, "failed process: Process("):
			if first > 0 && out[first-1].trace.Uncaught && out[first-1].trace.placed() {
				first--
			}
		case sumsUpTests(&n.trace):
			for first > 0 && failedTest(&out[first-1].trace) && len(out)-first < maxCauses {
				first--
			}
		}
		var causes []Trace
		for _, c := range out[first:] {
			c.trace.Kind = Nested
			causes = append(causes, c.trace)
		}
		n.trace.Causes = append(causes, n.trace.Causes...)
		n.trace.tellCause()
		out = append(out[:first], n)
	}
	return out
}

// tellCause lets a trace that lists what did not precompile say why, where that
// was printed.
func (t *Trace) tellCause() {
	if len(t.Causes) > 0 && failedDeps.MatchString(t.Message) {
		t.Message = t.Causes[0].Message
	}
}

// failedTest reports whether a trace may be that of a test; the line that says
// so may have been cut off.
func failedTest(t *Trace) bool { return !t.Uncaught && !t.warning && t.placed() }

func sumsUpTests(t *Trace) bool {
	return strings.HasPrefix(t.Message, "Some tests did not pass: ") || t.Message == "There was an error during testing"
}

// mode is what a writer's next line is expected to be.
type mode int

const (
	idle    mode = iota
	message      // lines of the exception's text
	stack        // frames
)

// writer reads the lines of one worker, process and thread.
type writer struct {
	parser *Parser
	key    string
	number int // of the trace in hand
	causes int // of the trace in hand

	mode       mode
	open       []*level // the trace in hand and the causes being read, outermost first
	pending    *Frame   // a frame whose "@" line has not come yet
	last       int      // number of the last frame
	foreign    int      // lines in between that belong to no trace
	candidates bool     // inside a MethodError's list of methods, which look like frames
	picture    *syntax
	box        rune     // which character frames the line in hand, 0 = none
	boxes      int      // how many there are
	warns      bool     // inside a record that Julia's logger framed and that is no error
	before     []string // the record's lines that may be the message of a trace without a header
	previous   string   // the last such line of the record before
}

// level is a trace being read and where its lines are indented to.
type level struct {
	trace   Trace
	causes  []*level
	indent  int
	message []string
	// stacked: a "Stacktrace:" was seen, or bare frames; the next "Stacktrace:"
	// is that of a wrapper around this exception.
	stacked bool
	// headed: what comes are frames, because a "Stacktrace:" or a signal says so
	// or the log's start is missing.
	headed bool
	loose  *loose // since frames came without; nil = none did
	signal bool   // the process was killed: bare frames follow the expression
	boxed  bool   // Julia's logger framed it as part of a record
}

// loose is what came since a line that looks like a frame, where none was
// announced: up to Julia 1.5 the stack of another task or process, else part of
// the exception's message.
type loose struct {
	lines    []string
	from     int  // how many frames the trace had before
	numbered bool // the first one had a number
}

// newRecord starts a log message.
func (w *writer) newRecord() {
	if n := len(w.before); n > 0 {
		w.previous = w.before[n-1]
		w.before = nil
	}
}

// line takes one line without escapes.
func (w *writer) line(s string, at time.Time) {
	if w.picture != nil && w.inPicture(s) {
		return
	}
	depth, box, text := unbox(s, maxBoxes)
	indent := indentOf(text)
	text = strings.TrimSpace(text)
	if len(w.open) > 0 && w.open[0].signal {
		text = whose.ReplaceAllString(text, "")
	}
	if text == "" {
		return
	}
	if w.box, w.boxes = box, depth; box == '┌' {
		_, isError := announced(text, "Error:")
		w.warns = !isError
	}
	switch {
	case w.header(box, text, at):
	case box == '└' && strings.HasPrefix(text, "@ "):
		w.warns = false
		if w.mode != idle && w.open[0].boxed {
			w.finish() // where the record was logged, not where it failed
		}
	case w.mode == idle && !w.headless(text, indent, at):
		w.remember(text)
	case w.mode != idle:
		w.inside(text, indent)
	}
}

// header starts a trace at a line that only an exception's first line can be.
func (w *writer) header(box rune, text string, at time.Time) bool {
	logged, isRecord := announced(text, "Error:")
	uncaught, isError := announced(text, "ERROR:")
	unhandled, isTask := announced(text, "Unhandled Task ERROR:")
	switch {
	case isRecord && box == '┌':
		w.start(logged, 0, at)
	case isError:
		if len(w.open) > 0 && w.open[0].sumsUp() {
			w.popTo(-1)
			w.cause(Nested, 0, uncaught)
			break
		}
		w.start(uncaught, 0, at)
		w.open[0].trace.Uncaught = true
	case isTask:
		w.start(unhandled, 0, at)
	case signalLine.MatchString(text):
		w.start(text, 0, at)
		w.open[0].trace.Uncaught, w.open[0].signal, w.open[0].headed = true, true, true
	default:
		return w.test(text, at)
	}
	return true
}

// test starts a trace at a test that failed: its place stands in the first line,
// the testset's own exception names the testset alone.
func (w *writer) test(text string, at time.Time) bool {
	if !strings.Contains(text, "Test") {
		return false // most lines, for less than a regular expression costs
	}
	m := testLine.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	f, ok := location(m[1])
	if !ok {
		return false
	}
	w.start("", 0, at)
	w.open[0].trace.In, w.open[0].trace.test = []Frame{f}, true
	return true
}

// headless starts a trace whose header is missing: the log was cut off, or the
// message of a record is the bare exception.
func (w *writer) headless(text string, indent int, at time.Time) bool {
	_, _, isFrame := numbered(text)
	said, nested := announced(text, "nested task error:")
	switch {
	case nested, strings.HasPrefix(text, "LoadError: "), strings.HasPrefix(text, "TaskFailedException"),
		strings.HasPrefix(text, "On worker ") && strings.HasSuffix(text, ":"):
		w.start(said, indent, at)
		return true
	case text == "Stacktrace:", isFrame && w.looksLikeFrame(text), strings.HasPrefix(text, "# Error @ "),
		strings.HasPrefix(text, "in expression starting at "):
		w.startAfter(indent, at)
		w.inside(text, indent)
		return true
	}
	return false
}

// startAfter starts a trace whose message are the lines that came before it.
func (w *writer) startAfter(indent int, at time.Time) {
	said := w.before
	if len(said) == 0 && w.previous != "" {
		said = []string{w.previous}
	}
	w.start("", indent, at)
	w.open[0].message, w.open[0].headed = said, true
}

// looksLikeFrame tells "[2] f at a.jl:3" and "[2] f(x)" from "[2] of 5 done".
func (w *writer) looksLikeFrame(text string) bool {
	_, rest, _ := numbered(text)
	if f, ok := oneLine(rest); ok {
		return sourceName.MatchString(f.File)
	}
	return rest == "top-level scope" || strings.HasSuffix(rest, ")") && strings.Contains(rest, "(") && !strings.Contains(rest[:strings.Index(rest, "(")], " ")
}

func (w *writer) start(text string, indent int, at time.Time) {
	w.finish()
	w.parser.started++
	w.number = w.parser.started
	boxed := w.box != 0
	w.open = []*level{{indent: indent, boxed: boxed, trace: Trace{Worker: w.key, Time: at, warning: boxed && w.warns}}}
	w.mode = message
	w.say(text)
}

// finish hands the trace in hand over.
func (w *writer) finish() {
	w.flush()
	if w.picture != nil {
		w.endPicture()
	}
	if len(w.open) > 0 {
		w.parser.finished(numberedTrace{w.number, w.open[0].build()})
	}
	*w = writer{parser: w.parser, key: w.key, box: w.box, warns: w.warns, before: w.before, previous: w.previous}
}

// remember keeps ordinary output that may turn out to be a trace's message.
func (w *writer) remember(text string) {
	if len(w.before) < maxMessage {
		w.before = append(w.before, clip(text))
	}
}

func (w *writer) top() *level { return w.open[len(w.open)-1] }

// popTo closes the causes that are indented deeper than a line of the outer trace.
func (w *writer) popTo(indent int) {
	w.flush()
	for len(w.open) > 1 && w.top().indent > indent {
		w.open = w.open[:len(w.open)-1]
	}
}

// inside takes a line while a trace is in hand.
func (w *writer) inside(text string, indent int) {
	if w.pending != nil {
		if at, ok := atLine(text); ok {
			at.Func, at.Repeats = w.pending.Func, max(w.pending.Repeats, at.Repeats)
			*w.pending = at
			w.flush()
			w.top().keepLoose(text)
			return
		}
	}
	if w.structure(text, indent) {
		w.foreign = 0
		return
	}
	w.top().keepLoose(text)
	if w.frame(text, indent) {
		w.foreign = 0
		return
	}
	if w.mode == message {
		w.messageLine(text)
		return
	}
	w.remember(text)
	most := maxForeign
	if w.top().loose != nil {
		most = maxMessage // it may be the message still
	}
	if w.foreign++; w.foreign > most {
		w.finish()
	}
}

// keepLoose keeps a line that may turn out to be part of the message.
func (l *level) keepLoose(text string) {
	if l.loose != nil && len(l.loose.lines) < maxMessage {
		l.loose.lines = append(l.loose.lines, clip(text))
	}
}

// loosen notes that a line looks like a frame.
func (l *level) loosen(text string, numbered bool) {
	if !l.headed && l.loose == nil {
		l.loose = &loose{lines: []string{clip(text)}, from: len(l.trace.Frames), numbered: numbered}
	}
}

// settle decides what the frames were that nothing announced, and reports whether
// they were none. A stack that an old Julia printed had no numbers, and went down
// to where Julia itself starts a task.
func (l *level) settle() (dropped bool) {
	loose := l.loose
	if l.loose = nil; loose == nil {
		return false
	}
	from := min(loose.from, len(l.trace.Frames))
	if !loose.numbered && slices.ContainsFunc(l.trace.Frames[from:], func(f Frame) bool { return ownFile(f.File) }) {
		return false
	}
	l.trace.Frames = l.trace.Frames[:from]
	l.message = slices.Concat(l.message, loose.lines)
	l.stacked = false
	return true
}

// structure takes the lines between messages and frames.
func (w *writer) structure(text string, indent int) bool {
	nested, isNested := announced(text, "nested task error:")
	switch {
	case text == "Stacktrace:":
		w.stacktrace(indent)
	case strings.HasPrefix(text, "in expression starting at "):
		w.popTo(indent)
		if f, ok := location(strings.TrimPrefix(text, "in expression starting at ")); ok && len(w.top().trace.In) < maxFrames {
			w.top().trace.In = append(w.top().trace.In, f)
		}
		w.mode, w.last = stack, 0
	case causedBy.MatchString(text):
		w.popTo(indent)
		w.cause(CausedBy, indent, causedBy.ReplaceAllString(text, ""))
	case isNested:
		w.popTo(indent)
		w.cause(Nested, indent, nested)
	case strings.HasPrefix(text, "# Error @ "):
		if w.picture, _ = syntaxHeader(text); w.picture == nil {
			return false
		}
		w.picture.indent, w.picture.boxes = indent, w.boxes
	case repeated.MatchString(text), strings.HasPrefix(text, "during initialization of module "),
		strings.HasPrefix(text, "Some type information was truncated."),
		strings.HasPrefix(text, "unknown function (ip: "), strings.HasSuffix(text, " (unknown line)"):
	default:
		return false
	}
	return true
}

// stacktrace takes the line before the frames.
func (w *writer) stacktrace(indent int) {
	w.popTo(indent)
	if w.top().settle() {
		w.foreign, w.before = 0, nil
	}
	if w.open[0].sumsUp() && len(w.top().trace.In) > 0 {
		w.popTo(-1) // what it sums up is said
	}
	if w.foreign > 0 && w.top().stacked {
		w.startAfter(indent, w.open[0].trace.Time) // another exception's, its header is among the output before
	}
	t := w.top()
	if t.stacked {
		if w.causes++; w.causes > maxCauses {
			w.startAfter(indent, t.trace.Time)
			t = w.top()
		} else {
			t.wrap()
		}
	}
	t.stacked, t.headed = true, true
	w.mode, w.last, w.candidates = stack, 0, false
}

// sumsUp reports whether an exception tells of packages that failed to precompile,
// each with what its process printed, and its own stack has not come yet.
func (l *level) sumsUp() bool {
	return !l.headed && len(l.message) > 0 && failedDeps.MatchString(fold(l.message[0]))
}

// wrap makes what was read so far the nested cause of the exception that passed
// it on: its own stack follows.
func (l *level) wrap() {
	inner := &level{indent: l.indent, trace: l.trace, causes: l.causes, message: l.message}
	inner.trace.Kind, inner.trace.Uncaught = Nested, false
	l.trace.Frames, l.trace.In, l.causes = nil, nil, []*level{inner}
}

// cause begins an exception that explains the one in hand.
func (w *writer) cause(kind Kind, indent int, text string) {
	parent := w.top()
	c := &level{indent: indent, trace: Trace{Kind: kind, Worker: w.key, Time: w.open[0].trace.Time}}
	if w.causes++; w.causes > maxCauses {
		w.finish()
		return
	}
	parent.causes = append(parent.causes, c)
	w.open = append(w.open, c)
	w.mode, w.last, w.candidates = message, 0, false
	w.say(text)
}

// frame takes a frame with or without a number.
func (w *writer) frame(text string, indent int) bool {
	n, rest, ok := numbered(text)
	switch {
	case ok && w.mode == stack || ok && w.looksLikeFrame(text):
		if w.foreign > 0 && n <= w.last {
			return false // another trace's
		}
		w.flush()
		w.top().loosen(text, true)
		w.mode, w.last, w.top().stacked = stack, n, true
		if f, old := oneLine(rest); old {
			w.put(f)
			return true
		}
		rest, times := repeats(rest)
		w.pending = &Frame{Func: clip(rest), Repeats: times}
		return true
	case ok || w.last > 0 || w.candidates || indent > w.top().indent || !bareFrame.MatchString(text),
		len(w.top().trace.In) > 0 && !w.top().signal:
		return false
	}
	f, ok := oneLine(text)
	if ok {
		w.top().loosen(text, false)
		w.put(f)
		w.mode, w.top().stacked = stack, true
	}
	return ok
}

// put adds a frame to the trace in hand.
func (w *writer) put(f Frame) {
	t := &w.top().trace
	if len(t.Frames) >= maxFrames {
		t.Frames = slices.Delete(t.Frames, keepHead, keepHead+(maxFrames-keepHead)/2)
	}
	t.Frames = append(t.Frames, f)
}

// flush adds the frame that waited for its "@" line.
func (w *writer) flush() {
	if w.pending != nil {
		w.put(*w.pending)
		w.pending = nil
	}
}

// inPicture feeds the picture of a syntax error.
func (w *writer) inPicture(s string) bool {
	_, _, s = unbox(s, w.picture.boxes) // no more: the markers are of such characters
	base := min(w.picture.indent, indentOf(s))
	if text := strings.TrimSpace(s); text == "Stacktrace:" || strings.HasPrefix(text, "# Error @ ") {
		w.endPicture()
		return false
	}
	if w.picture.add(s[base:]) {
		w.endPicture()
	}
	return true
}

func (w *writer) endPicture() {
	w.put(w.picture.at)
	if w.picture.note != "" {
		w.say(w.picture.note)
	}
	w.picture = nil
}

// messageLine takes a line of the exception's text.
func (w *writer) messageLine(text string) {
	if strings.HasPrefix(text, "Closest candidates are:") {
		w.candidates = true
	}
	if !w.candidates && len(w.top().message) >= maxMessage {
		w.finish() // no exception's message is that long
		return
	}
	if !w.candidates {
		w.say(text)
	}
}

// say adds to the message.
func (w *writer) say(text string) {
	if text != "" {
		w.top().message = append(w.top().message, clip(text))
	}
}

// build makes the trace with its causes.
func (l *level) build() Trace {
	now := *l // more lines may come
	l = &now
	l.settle()
	t := l.trace
	t.Message = fold(strings.Join(l.message, "\n"))
	t.Frames, t.In = slices.Clone(t.Frames), slices.Clone(t.In)
	first, _, _ := strings.Cut(t.Message, "\n")
	if m := aroundPlace.FindStringSubmatch(first); m != nil {
		if f, ok := location(m[1]); ok {
			t.Frames = slices.Insert(t.Frames, 0, f)
		}
	}
	for _, c := range l.causes {
		t.Causes = append(t.Causes, c.build())
	}
	t.tellCause()
	// Since Julia 1.6 what a task failed with stands below, up to 1.5 behind it.
	const failed = "TaskFailedException"
	if strings.HasSuffix(t.Message, failed) && len(t.Causes) > 0 && t.Causes[0].Kind == Nested {
		t.Message = strings.TrimSuffix(t.Message+":\n"+tail(t.Causes[0].Message, t.Message, failed), ":\n")
	}
	return t
}

// tail is a message without the first of the beginnings that it has.
func tail(message string, beginnings ...string) string {
	for _, b := range beginnings {
		if rest, ok := strings.CutPrefix(message, b+":\n"); ok {
			return rest
		}
	}
	return message
}

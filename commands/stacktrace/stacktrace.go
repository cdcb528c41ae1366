// Package stacktrace finds, in what a Julia job printed or logged, the place
// in a local file where it failed. It reads the formats of Julia 1.3 to 1.12.
//
// Parse (or a Parser, for a stream) turns lines into Traces, Failure picks the
// one that ended the job, Paths says which remote path is which local file,
// and Locate puts them together.
package stacktrace

import (
	"iter"
	"slices"
	"time"
)

// Line is one log message or one printed line. Text may hold several lines.
type Line struct {
	Text string
	// Worker tells interleaved writers apart (worker, process and thread); lines
	// of one writer are in order. "" is a writer like any other.
	Worker string
	Time   time.Time
}

// Frame is one line of a stack trace.
type Frame struct {
	Func string // as printed, with its signature; "" when unknown
	File string // as printed: absolute, or shortened with ~/ or ./; "" when unknown
	Line int    // 1-based; 0 = unknown

	// Col, EndLine and EndCol are set where Julia gives columns (syntax errors
	// since 1.10): 1-based, in characters, the end exclusive. Col 0 = the whole
	// line; EndCol 0 = to the end of Line.
	Col, EndLine, EndCol int

	Inlined bool
	Repeats int // how often the frame stands for itself; at least 1
}

// Kind says how a Trace came to be a cause of another one.
type Kind int

// The kinds of a Trace.
const (
	// TopLevel is a trace of its own.
	TopLevel Kind = iota
	// Nested failed inside a task, on a worker or while precompiling, and its
	// failure was passed on by the outer trace.
	Nested
	// CausedBy was being handled when the outer exception was thrown.
	CausedBy
)

// Trace is one exception with its stack.
type Trace struct {
	Kind    Kind
	Message string    // the exception's own text, without "LoadError:"
	Worker  string    // the writer; "…/2" for lines that worker 2 printed through the first process
	Time    time.Time // of its first line

	// Uncaught says that Julia printed it as its last word ("ERROR:", or a fatal
	// signal). A logged exception is not.
	Uncaught bool

	Frames []Frame // innermost first; the middle of a very long stack is left out
	In     []Frame // "in expression starting at", innermost file first
	Causes []Trace

	test    bool // a test that failed
	warning bool // part of a record that is no error
}

// Place is where a job failed: 1-based lines; columns as in Frame.
type Place struct {
	File                 string // absolute local path
	Line                 int
	Col, EndLine, EndCol int
}

// Parse finds all traces in lines, in the order of their first lines.
func Parse(lines []Line) []Trace {
	p := newParser(0)
	for _, l := range lines {
		p.Add(l)
	}
	return p.Traces()
}

// Failure picks the trace that ended the job: the last uncaught one with a
// stack, else the last one with a stack, else the last uncaught one. What was
// caught and logged as less than an error counts last.
func Failure(traces []Trace) (Trace, bool) {
	for _, fits := range []func(Trace) bool{
		func(t Trace) bool { return t.Uncaught && t.placed() },
		func(t Trace) bool { return !t.warning && t.placed() },
		func(t Trace) bool { return t.Uncaught },
		Trace.placed,
	} {
		for i := len(traces) - 1; i >= 0; i-- {
			if fits(traces[i]) {
				return traces[i], true
			}
		}
	}
	return Trace{}, false
}

// Locate finds the place of a trace: the innermost frame in a local file, else
// the first "in expression starting at" in one. What failed inside a task, a
// worker or a precompilation comes before the code that waited for it; what an
// exception handler was handling comes last. local maps a path as Julia printed
// it to a local file.
func Locate(t Trace, local func(remote string) (string, bool)) (Place, bool) {
	return locate(t, func(f Frame) (string, bool) { return local(f.File) })
}

// Locate is Locate by these paths. A line that a file did not have is passed over:
// some macros leave their own number beside the name of the file that uses them.
func (p Paths) Locate(t Trace) (Place, bool) { return locate(t, p.Of) }

func locate(t Trace, local func(Frame) (string, bool)) (Place, bool) {
	for f := range t.each(func(t Trace) []Frame { return slices.Concat(t.Frames, t.In) }) {
		if f.Line < 1 {
			continue
		}
		if file, ok := local(f); ok {
			return Place{File: file, Line: f.Line, Col: f.Col, EndLine: f.EndLine, EndCol: f.EndCol}, true
		}
	}
	return Place{}, false
}

// AllFrames yields the frames of the trace and of its causes that name a file,
// in the order in which Locate looks at them.
func (t Trace) AllFrames() iter.Seq[Frame] {
	return t.each(func(t Trace) []Frame { return t.Frames })
}

// AllIn yields, in the same order, the "in expression starting at" places.
func (t Trace) AllIn() iter.Seq[Frame] {
	return t.each(func(t Trace) []Frame { return t.In })
}

// each yields what pick finds in the nested causes, the trace itself, and the
// exceptions that were being handled, in that order.
func (t Trace) each(pick func(Trace) []Frame) iter.Seq[Frame] {
	return func(yield func(Frame) bool) { t.walk(pick, yield) }
}

func (t Trace) walk(pick func(Trace) []Frame, yield func(Frame) bool) bool {
	for _, c := range t.Causes {
		if c.Kind == Nested && !c.walk(pick, yield) {
			return false
		}
	}
	for _, f := range pick(t) {
		if f.File != "" && !yield(f) {
			return false
		}
	}
	for _, c := range t.Causes {
		if c.Kind != Nested && !c.walk(pick, yield) {
			return false
		}
	}
	return true
}

// placed reports whether the trace names any place at all.
func (t Trace) placed() bool {
	for range t.AllFrames() {
		return true
	}
	return len(t.In) > 0
}

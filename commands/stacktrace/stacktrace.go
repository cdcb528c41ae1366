// Package stacktrace finds, in what a Julia job printed or logged, the place
// in a local file where it failed. It reads the formats of Julia 1.3 to 1.12.
package stacktrace

import "time"

// Line is one log message or one printed line. Text may hold several lines.
type Line struct {
	Text string
	// Worker tells interleaved writers apart (worker, process and thread); lines of one
	// writer are in order. "" is a writer like any other.
	Worker string
	Time   time.Time
}

// Frame is one line of a stack trace.
type Frame struct {
	Func    string // as printed, with its signature; "" when unknown
	File    string // as printed: absolute, or shortened with ~/ or ./
	Line    int    // 1-based; 0 = unknown
	Col     int    // 1-based, in characters; 0 = unknown
	EndCol  int
	Inlined bool
	Repeats int // how often it is repeated; at least 1
}

// Trace is one exception with its stack.
type Trace struct {
	Message string // the exception's own text, without LoadError: and the like
	Worker  string
	Time    time.Time // of the first line
	Frames  []Frame   // innermost first
	In      []Frame   // "in expression starting at", innermost file first
	Causes  []Trace   // nested task errors, remote causes and "caused by:"
}

// Place is where a job failed. Line and columns are 1-based; Col 0 = the whole line.
type Place struct {
	File        string // absolute local path
	Line        int
	Col, EndCol int // EndCol is exclusive
}

// Parse finds all traces in lines, in order.
func Parse(lines []Line) []Trace { return nil }

// Locate finds the place of a trace: the innermost frame in a local file, else
// the first "in expression starting at" in one. local maps a path as Julia
// printed it to a local file.
func Locate(t Trace, local func(remote string) (string, bool)) (Place, bool) {
	return Place{}, false
}

// Parser is Parse for a stream: it keeps only the last few traces.
type Parser struct{}

// NewParser returns a parser that remembers the last keep traces (at least 1).
func NewParser(keep int) *Parser { return &Parser{} }

// Add takes the next line.
func (p *Parser) Add(l Line) {}

// Traces returns the last traces, oldest first, one that is still being
// printed included.
func (p *Parser) Traces() []Trace { return nil }

// Command juliahub-lsp submits Julia scripts and projects to JuliaHub, watches
// the jobs and brings their results back: as a language server for any editor
// (the default), and from the command line.
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker; see the Makefile. A plain `go build` leaves them and the
// build information counts.
var version, commit string

// main is the only place that ends the process.
func main() {
	// Go's HTTP client prints what a server says unasked, the beginning of a body,
	// past every logger of ours.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one ends at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], terminal{
		in:        os.Stdin,
		out:       os.Stdout,
		err:       os.Stderr,
		lookupEnv: os.LookupEnv,
	}))
}

// terminal is what a run of the command line gets from outside.
type terminal struct {
	in        io.ReadCloser
	out       io.WriteCloser // results
	err       io.Writer      // everything else
	lookupEnv func(string) (string, bool)
}

// outFile returns the file behind out, if it is one.
func (t terminal) outFile() (*os.File, bool) {
	out := t.out
	if r, ok := out.(*results); ok {
		out = r.WriteCloser
	}
	f, ok := out.(*os.File)
	return f, ok
}

// env returns a variable's value, "" when it is not set.
func (t terminal) env(name string) string {
	value, _ := t.lookupEnv(name)
	return value
}

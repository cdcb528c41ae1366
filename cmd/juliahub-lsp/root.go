package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit statuses; docs/cli.md promises them.
const (
	statusDone    = 0
	statusFailed  = 1
	statusUsage   = 2
	statusUnknown = 3 // submit: there may be a job
)

// usageError says that the command line itself is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// statusError ends the process with a status of its own. An empty message
// means that everything has been said.
type statusError struct {
	status  int
	message string
}

func (e *statusError) Error() string { return e.message }

// run carries out one command line and returns the exit status. Errors are
// rendered here and nowhere else.
func run(ctx context.Context, args []string, t terminal) int {
	out := &results{WriteCloser: t.out}
	t.out = out
	root := newRoot(t)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = out.lost()
	}
	if err == nil {
		return statusDone
	}
	var status *statusError
	var usage *usageError
	switch {
	case errors.As(err, &status):
		if status.message != "" {
			fmt.Fprintln(t.err, "juliahub-lsp: "+status.message)
		}
		return status.status
	case errors.As(err, &usage):
		fmt.Fprintf(t.err, "juliahub-lsp: %v\nSee '%s --help'.\n", err, cmd.CommandPath())
		return statusUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(t.err, "juliahub-lsp: interrupted")
		return statusFailed
	default:
		fmt.Fprintf(t.err, "juliahub-lsp: %v\n", err)
		return statusFailed
	}
}

// results is standard output. It remembers what could not be printed: whoever
// redirects results into a file on a full disk must not be told that all is well.
type results struct {
	io.WriteCloser

	mu  sync.Mutex // guards err
	err error
}

func (r *results) Write(data []byte) (int, error) {
	n, err := r.WriteCloser.Write(data)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = err
	}
	return n, err
}

// lost returns why results are missing. A reader who has gone has had enough.
func (r *results) lost() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil || errors.Is(r.err, syscall.EPIPE) || errors.Is(r.err, os.ErrClosed) || errors.Is(r.err, io.ErrClosedPipe) {
		return nil
	}
	return fmt.Errorf("print the result: %w", r.err)
}

func newRoot(t terminal) *cobra.Command {
	serve := newServe(t)
	root := &cobra.Command{
		Use:   "juliahub-lsp",
		Short: "Submit Julia scripts and projects to JuliaHub, watch the jobs, bring the results back",
		Long: `Submit Julia scripts and projects to JuliaHub, watch the jobs, bring the results back.

Without a command it is the language server, on stdin and stdout: that is how
editors start it. 'juliahub-lsp demo' shows everything, with nothing to set up.`,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          serve.RunE,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.Flags().AddFlagSet(serve.Flags())
	root.SetIn(t.in)
	root.SetOut(t.out)
	root.SetErr(t.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(serve, newDemo(t), newEmulator(t), newSubmit(t), newBundle(t),
		newJobs(t), newJob(t), newWait(t), newLogs(t), newCancel(t), newExtend(t), newDownload(t), newOpen(t), newRequest(t),
		newNodes(t), newImages(t), newLogin(t), newLogout(t), newWhoami(t), newDoctor(t), newVersion(t))
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil { // cobra's own shows its help for any shell
		completion.Use = "completion bash|zsh|fish|powershell"
		completion.RunE = func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("the arguments do not fit: want '%s'", cmd.UseLine())}
		}
		completion.Args = cobra.ArbitraryArgs
	}
	return root
}

// usageArgs makes what a check of the arguments complains about a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case cmd.HasParent(): // cobra counts arguments, and does not say which
			err = fmt.Errorf("the arguments do not fit: want '%s'", cmd.UseLine())
		}
		return &usageError{err}
	}
}

// printJSON writes one JSON document.
func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"juliahub-lsp/commands"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// This file has the commands on jobs that exist: those of this computer's
// records, by job id or submission, and all others of the server by job id.

// work is what a command on jobs has in hand.
type work struct {
	t       terminal
	ui      *console
	session *commands.Session
	json    bool
}

// onSession makes a command that works in a session and can print JSON.
func onSession(t terminal, cmd *cobra.Command, do func(ctx context.Context, w work, args []string) error) *cobra.Command {
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ui := newConsole(t)
		session, closeSession, err := openSession(t, ui)
		if err != nil {
			return err
		}
		defer closeSession()
		return do(cmd.Context(), work{t, ui, session, *asJSON}, args)
	}
	return cmd
}

// about is the argument of a command on one job, named by its id or its submission's.
func about(id string) commands.JobArgs {
	if _, err := uuid.Parse(id); err == nil {
		return commands.JobArgs{Submission: id, Wait: true}
	}
	return commands.JobArgs{Job: id, Wait: true}
}

func input(args any) commands.Input { return commands.Input{Args: args, Settings: noSettings} }

func newJobs(t terminal) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use: "jobs", Short: "List the newest jobs on the server",
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return onSession(t, cmd, func(ctx context.Context, w work, _ []string) error {
		if limit < 1 {
			return &usageError{fmt.Errorf("--limit %d: want a number from 1 on", limit)}
		}
		list, err := w.session.ListJobs(ctx, input(&commands.ListArgs{Limit: limit, Wait: true}))
		if err != nil {
			return err
		}
		if w.json {
			return printJSON(w.t.out, list)
		}
		tab := w.table("JOB", "STATUS", "SUBMITTED", "TOOK", "NAME", "FILE")
		for _, job := range list.Jobs {
			tab.row(job.Job, job.Status, clock(job.Submitted), took(job.Started, job.Ended), job.Alias, job.File)
		}
		return tab.end()
	})
}

func newJob(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "job ID", Short: "Show a job, by its id or its submission's",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(1)),
	}, func(ctx context.Context, w work, args []string) error {
		w.session.ShowOwnOnly() // its state is the answer, and no progress
		a := about(args[0])
		job, err := w.session.JobState(ctx, input(&a))
		if err != nil {
			return err
		}
		return w.showJob(w.lookAgain(ctx, job))
	})
}

// lookFor is how long a job is looked for whose submission was not answered.
const lookFor = 15 * time.Second

// lookAgain looks for the job of a submission that was not answered.
func (w work) lookAgain(ctx context.Context, job commands.Job) commands.Job {
	if job.State != commands.StateUnknown {
		return job
	}
	w.session.Start(ctx) // its tracker looks
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	found, err := w.session.Await(ctx, job.Submission, func(job commands.Job) bool { return job.State != commands.StateUnknown })
	if err != nil {
		return job // it is still not known
	}
	return found
}

func (w work) showJob(job commands.Job) error {
	if w.json {
		return printJSON(w.t.out, job)
	}
	tab := w.table()
	for _, row := range [][2]string{
		{"job", job.ID}, {"state", joinNonEmpty(": ", string(job.State), job.Reason)}, {"name", job.Alias}, {"file", job.File},
		{"kind", job.Kind}, {"node", job.Node}, {"submitted", clockAt(job.Submitted)}, {"started", clockAt(job.Started)},
		{"ended", clockAt(job.Ended)}, {"last line", job.LastLine}, {"outputs", job.Outputs}, {"log", job.LogFile},
		{"server", job.Server}, {"page", job.URL}, {"submission", job.Submission},
	} {
		if row[1] != "" {
			tab.row(row[0], row[1])
		}
	}
	for _, f := range job.Results {
		tab.row("result", joinNonEmpty("  ", f.Name, bytesOf(f.Size), f.Path))
	}
	return tab.end()
}

func newWait(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "wait ID", Short: "Wait until a job has ended; exit status 0 if it completed",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(1)),
	}, func(ctx context.Context, w work, args []string) error {
		job, err := w.waitFor(ctx, args[0])
		if err != nil {
			return err
		}
		if w.json {
			if err := printJSON(w.t.out, job); err != nil {
				return err
			}
		}
		return outcome(job)
	})
}

// waitFor asks for a job until it has ended, at a pace that spares the server.
func (w work) waitFor(ctx context.Context, id string) (commands.Job, error) {
	const fast, slow = 1500 * time.Millisecond, 15 * time.Second
	a := about(id)
	for pause := fast; ; pause = min(slow, pause*5/4) {
		job, err := w.session.JobState(ctx, input(&a))
		if err != nil || ended(job.State) {
			return job, err
		}
		if job.State == commands.StateUnknown {
			w.session.Start(ctx) // its tracker looks for the job
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return job, fmt.Errorf("stopped waiting for job %s, which goes on: %w", id, context.Cause(ctx))
		}
	}
}

func newLogs(t terminal) *cobra.Command {
	var followIt bool
	cmd := &cobra.Command{
		Use: "logs ID", Short: "Print a job's log",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(1)),
	}
	cmd.Flags().BoolVar(&followIt, "follow", false, "go on until the job has ended")
	return onSession(t, cmd, func(ctx context.Context, w work, args []string) error {
		a := about(args[0])
		if followIt {
			w.session.ShowOwnOnly()
			out := io.Writer(w.t.out)
			if w.json {
				out = w.t.err // stdout holds the one JSON document
			}
			var log tail
			if err := followLog(ctx, w.ui, w.session, a, &log, out); err != nil || !w.json {
				return err
			}
		}
		answer, err := w.session.ShowLogs(ctx, input(&a))
		if err != nil {
			return err
		}
		if w.json {
			return printJSON(w.t.out, answer)
		}
		var log tail
		return log.copy(answer.Path, func(text string) { w.ui.print(w.t.out, plain(text)) })
	})
}

func newCancel(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "cancel ID", Short: "Kill a job, or cancel a submission that was not sent yet",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(1)),
	}, func(ctx context.Context, w work, args []string) error {
		a := about(args[0])
		return w.tell(w.session.CancelJob(ctx, input(&a)))
	})
}

func newExtend(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "extend ID HOURS", Short: "Extend a job's time limit by whole hours",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(2)),
	}, func(ctx context.Context, w work, args []string) error {
		hours, err := strconv.Atoi(args[1])
		if err != nil || hours < 1 {
			return &usageError{fmt.Errorf("extend by %q: want whole hours, 1 or more", args[1])}
		}
		a := about(args[0])
		a.Hours = hours
		return w.tell(w.session.ExtendJob(ctx, input(&a)))
	})
}

func newOpen(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "open ID", Short: "Open a job's exposed port, or its page, in the browser; off a terminal print the address",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(1)),
	}, func(ctx context.Context, w work, args []string) error {
		a := about(args[0])
		answer, err := w.session.OpenJob(ctx, input(&a))
		if err != nil {
			return err
		}
		if port, err := w.portOf(ctx, answer.Job); err != nil {
			return err
		} else if port != "" {
			answer.URL = port
		}
		if w.json {
			return printJSON(w.t.out, answer)
		}
		fmt.Fprintln(w.t.out, answer.URL)
		if w.ui.bar {
			browse(ctx, answer.URL)
		}
		return nil
	})
}

// portOf is the address of a job's exposed port, "" when it has none.
func (w work) portOf(ctx context.Context, id string) (string, error) {
	hub, err := w.hub()
	if err != nil {
		return "", err
	}
	job, err := hub.Job(ctx, id)
	if err != nil {
		return "", err
	}
	return job.URL(), nil
}

// tell prints what happens to a job now.
func (w work) tell(answer commands.JobAnswer, err error) error {
	if err != nil {
		return err
	}
	if w.json {
		return printJSON(w.t.out, answer)
	}
	fmt.Fprintf(w.t.out, "%s: %s\n", orDefault(answer.Job, answer.Submission), orDefault(answer.Message, string(answer.State)))
	return nil
}

func newDownload(t terminal) *cobra.Command {
	var dir, kind string
	cmd := &cobra.Command{
		Use: "download ID [NAME...]", Short: "Download a job's results, or the files that are named",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.MinimumNArgs(1)),
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`DIR` for the files (default: juliahub-results/ID beside the project, or here)")
	cmd.Flags().StringVar(&kind, "type", "", "only files of this type: result, input, source or project")
	return onSession(t, cmd, func(ctx context.Context, w work, args []string) error {
		a := about(args[0])
		if len(args) > 1 {
			a.Files = args[1:]
		}
		a.Type = kind
		return w.download(ctx, a, dir)
	})
}

// download fetches files and says where they are. Files that were left out make it fail.
func (w work) download(ctx context.Context, a commands.JobArgs, dir string) error {
	if dir != "" {
		dirs, err := absolute([]string{dir})
		if err != nil {
			return err
		}
		a.Dir = dirs[0]
	}
	in := input(&a)
	if here, err := os.Getwd(); err == nil {
		in.Folders = []string{here} // where the results of jobs submitted elsewhere go
	}
	got, err := w.session.DownloadResults(ctx, in)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if w.json {
		if err := printJSON(w.t.out, got); err != nil {
			return err
		}
	}
	var failed []string
	for _, f := range got.Files {
		switch {
		case f.Error != "":
			failed = append(failed, fmt.Sprintf("%q: %s", f.Name, f.Error))
		case !w.json:
			// Outputs are part of the job itself and have no hash of their own.
			unverified := word(!f.Verified && f.Type != "outputs", "  (not verified: the server has no SHA-256 of it)")
			fmt.Fprintln(w.t.out, f.Path+unverified)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("left out: %s", strings.Join(failed, "; "))
	}
	return nil
}

// table prints aligned columns. A list, which has headings, is cut to the
// terminal's width where there is one; of single facts nothing may be lost.
type table struct {
	tab *tabwriter.Writer
	out strings.Builder
	w   io.Writer
	cut int
}

func (w work) table(headings ...string) *table {
	t := &table{w: w.t.out}
	if f, ok := w.t.outFile(); ok && len(headings) > 0 && isTerminal(f) {
		t.cut = terminalWidth(f)
	}
	t.tab = tabwriter.NewWriter(&t.out, 0, 0, 2, ' ', 0)
	if len(headings) > 0 {
		t.row(headings...)
	}
	return t
}

func (t *table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = strings.ReplaceAll(plain(cell), "\n", " ")
	}
	fmt.Fprintln(t.tab, strings.Join(cells, "\t"))
}

func (t *table) end() error {
	t.tab.Flush()
	for line := range strings.Lines(t.out.String()) {
		line = strings.TrimRight(line, " \n")
		if t.cut > 0 {
			line = cut(line, t.cut)
		}
		if _, err := fmt.Fprintln(t.w, line); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

func clock(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Local().Format("2006-01-02 15:04")
}

func clockAt(at *time.Time) string {
	if at == nil {
		return ""
	}
	return clock(*at)
}

func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return to.Sub(from).Round(time.Second).String()
}

func bytesOf(n int64) string {
	if n < 0 {
		return ""
	}
	return size(n)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"juliahub-lsp/commands"

	"github.com/spf13/cobra"
)

// submitFlags are the command line of submit.
type submitFlags struct {
	appbundle string // --appbundle's value; bundleHere when it has none
	profile   string
	keys      profileFlags
	dryRun    bool
	follow    bool
	download  string
	settle    time.Duration
	outside   []string
	free      bool // without the manifest
	json      bool
}

// bundleHere stands for --appbundle without a directory: the script's project.
const bundleHere = "the script's project"

// withoutManifest is the help of the flag of that name.
const withoutManifest = "leave the project's manifest here: the job resolves the newest versions that Project.toml allows"

// submitted is the JSON of submit.
type submitted struct {
	Job        string         `json:"job"`
	URL        string         `json:"url"`
	Submission string         `json:"submission"`
	State      commands.State `json:"state"`
	Lacks      []string       `json:"lacks,omitempty"`
}

func newSubmit(t terminal) *cobra.Command {
	var f submitFlags
	cmd := &cobra.Command{
		Use:               "submit FILE.jl",
		ValidArgsFunction: completeScript,
		Short:             "Submit a script, or the project around it, as a job",
		Long: `Submit a script as a job with the environment of the nearest Project.toml, or
with --appbundle the whole project around it.

Exit status: 0 submitted (with --follow or --download: and completed), 1 failed,
3 the server did not answer and there may be a job; what to do then is said.`,
		Example: `  juliahub-lsp submit pi.jl --follow --download .
  juliahub-lsp submit report.jl --appbundle --timelimit 2h --ncpu 4`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := f.arguments(args)
			if err != nil {
				return err
			}
			return submit(cmd.Context(), t, file, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.appbundle, "appbundle", "", "send the project directory along: `DIR`, or the script's project")
	flags.Lookup("appbundle").NoOptDefVal = bundleHere
	flags.StringVar(&f.profile, "profile", "", "profile of JuliaHub.toml")
	f.keys.register(flags)
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be sent, and send nothing")
	flags.BoolVar(&f.follow, "follow", false, "print the log until the job has ended")
	flags.StringVar(&f.download, "download", "", "wait for the end and download the results into `DIR`")
	flags.DurationVar(&f.settle, "settle", 30*time.Second, "how long to look for the job when the server did not answer")
	flags.StringArrayVar(&f.outside, "allow-outside", nil, "`PATH` outside the project that may be sent (repeatable)")
	flags.BoolVar(&f.free, "without-manifest", false, withoutManifest)
	flags.BoolVar(&f.json, "json", false, "print JSON")
	if err := cmd.RegisterFlagCompletionFunc("profile", completeProfile(t)); err != nil {
		panic(err) // the flag stands above
	}
	return cmd
}

// arguments tells the script from the directory of `--appbundle DIR`: pflag
// leaves an optional value among the arguments unless it is given with "=".
func (f *submitFlags) arguments(args []string) (string, error) {
	if len(args) == 2 {
		dir := -1
		for i, arg := range args {
			if info, err := os.Stat(arg); err == nil && info.IsDir() && f.appbundle == bundleHere {
				dir = i
			}
		}
		if dir < 0 {
			return "", &usageError{fmt.Errorf("one script at a time: %q is one too many", args[1])}
		}
		f.appbundle = args[dir]
		args = []string{args[1-dir]}
	}
	if !strings.HasSuffix(args[0], ".jl") {
		return "", &usageError{fmt.Errorf("%s is no .jl file", args[0])}
	}
	return args[0], nil
}

// input is what the commands are given in place of an editor's state.
func (f *submitFlags) input(file string) (commands.Input, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return commands.Input{}, fmt.Errorf("find %s: %w", file, err)
	}
	settings, err := f.keys.settings()
	if err != nil {
		return commands.Input{}, err
	}
	if _, err := os.Stat(path); err != nil {
		return commands.Input{}, fmt.Errorf("read the script: %w", err)
	}
	in := commands.Input{
		Args:     &commands.SubmitArgs{URI: fileURI(path), Profile: f.profile, Settings: settings, WithoutManifest: f.free, Wait: true},
		File:     &commands.Document{URI: fileURI(path), Path: path},
		Settings: noSettings,
		Settle:   f.settle,
	}
	if f.appbundle != "" && f.appbundle != bundleHere {
		if in.Dir, err = filepath.Abs(f.appbundle); err != nil {
			return commands.Input{}, fmt.Errorf("find %s: %w", f.appbundle, err)
		}
	}
	in.AllowOutside, err = absolute(f.outside)
	return in, err
}

func submit(ctx context.Context, t terminal, file string, f submitFlags) error {
	in, err := f.input(file)
	if err != nil {
		return err
	}
	ui := newConsole(t)
	session, closeSession, err := openSession(t, ui)
	if err != nil {
		return err
	}
	defer closeSession()
	session.ReadRecords() // for the image's Julia
	if f.dryRun {
		return preview(ctx, t, ui, session, in, f)
	}
	session.ShowOwnOnly()
	session.Start(ctx) // its tracker also looks for a job whose submission is not answered
	send := session.SubmitScript
	if f.appbundle != "" {
		send = session.SubmitAppBundle
	}
	sub, err := send(ctx, in)
	if err != nil {
		return err
	}
	for _, problem := range sub.Problems {
		ui.Say(ctx, commands.Warning, problem)
	}
	for _, lack := range sub.Lacks {
		ui.Say(ctx, commands.Warning, "the job will lack something: "+lack)
	}
	if err := answer(t, sub, f.json); err != nil {
		return err
	}
	if !f.follow && f.download == "" {
		return nil
	}
	logs := io.Writer(t.out)
	if f.json {
		logs = t.err // stdout holds the one JSON document
	}
	if !f.follow {
		logs = nil
	}
	job, err := follow(ctx, ui, session, sub.Submission, logs)
	if err != nil {
		return err
	}
	if f.download != "" {
		w := work{t: t, session: session}
		if f.json {
			w.t.out = unclosed{t.err}
		}
		if err := w.download(ctx, commands.JobArgs{Submission: job.Submission, Wait: true}, f.download); err != nil {
			return err
		}
	}
	return outcome(job)
}

// preview shows what would be sent: the job, and the plan of an appbundle, which
// as JSON stands alone.
func preview(ctx context.Context, t terminal, ui *console, session *commands.Session, in commands.Input, f submitFlags) error {
	if f.appbundle != "" {
		in.AllowOutside = anywhere(in.File.Path)
		plan, err := session.PreviewBundle(ctx, in)
		if err != nil {
			return err
		}
		if err := plan.Check(); err != nil {
			return err
		}
		if f.json {
			return showPlan(t.out, plan, "", true)
		}
		defer func() { fmt.Fprintf(t.out, "\n%s", commands.PlanText(plan)) }()
	}
	ui.text = func(_, text string) { fmt.Fprint(t.out, text) }
	in.Show = !f.json
	kind := "script"
	if f.appbundle != "" {
		kind = "appbundle"
	}
	in.Args = &commands.PreviewArgs{SubmitArgs: *in.Args.(*commands.SubmitArgs), Kind: kind}
	job, err := session.PreviewJob(ctx, in)
	if err != nil || !f.json {
		return err
	}
	return printJSON(t.out, job)
}

// noSettings stands for an editor's settings.
func noSettings(context.Context) json.RawMessage { return nil }

// answer prints what became of the submission.
func answer(t terminal, sub commands.Submission, asJSON bool) error {
	switch {
	case sub.State == commands.StateUnknown:
		return &statusError{statusUnknown, fmt.Sprintf(
			"the server did not say whether it took the job (%s): there may be one. Look again with 'juliahub-lsp job %s' before you submit again; "+
				"the search also goes on whenever the language server runs", orDefault(sub.Reason, "no answer"), sub.Submission)}
	case sub.Job == "":
		return fmt.Errorf("not submitted: %s", orDefault(sub.Reason, string(sub.State)))
	case asJSON:
		return printJSON(t.out, submitted{sub.Job, sub.URL, sub.Submission, sub.State, sub.Lacks})
	}
	fmt.Fprintf(t.out, "%s  %s\n", sub.Job, sub.URL)
	return nil
}

// outcome turns how a job ended into the exit status.
func outcome(job commands.Job) error {
	if job.State == commands.StateCompleted {
		return nil
	}
	return fmt.Errorf("job %s: %s", job.ID, joinNonEmpty(": ", string(job.State), plain(job.Reason)))
}

// openSession makes the commands' session for one run of the command line.
func openSession(t terminal, ui *console) (*commands.Session, func(), error) {
	logger := slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	session, err := commands.New(commands.Config{
		UI: ui, Logger: logger, Version: thisBuild().Version, LookupEnv: t.lookupEnv,
		SignIn: ui.in != nil, // somebody sits there who can sign in
	})
	if err != nil {
		return nil, nil, err
	}
	return session, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := session.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
			logger.Warn("session did not close in time", "error", err)
		}
	}, nil
}

// fileURI names an absolute path as editors do.
func fileURI(path string) string {
	path = filepath.ToSlash(path)
	if runtime.GOOS == "windows" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}

func orDefault(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// unclosed is a writer that somebody else closes.
type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp"

	"github.com/spf13/cobra"
)

// logFlags say where log lines go.
type logFlags struct {
	file  string
	level string
	trace bool
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

func newServe(t terminal) *cobra.Command {
	var log logFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Be the language server, on stdin and stdout",
		Long: `Be the language server, on stdin and stdout. Editors start it; so does the
command without a subcommand.

Warnings and errors go to stderr. JULIAHUB_LSP_LOG stands for --log-file, or for
--log-level when it is one of debug, info, warn and error.`,
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		logger, closeLog, err := newLogger(t, log)
		if err != nil {
			return err
		}
		defer closeLog()
		keepAnswering(t)
		server := lsp.New(lsp.Config{
			Version: thisBuild().Version,
			Logger:  logger,
			NewSession: func(ui commands.UI) (*commands.Session, error) {
				return commands.New(commands.Config{UI: ui, Logger: logger, Version: thisBuild().Version, LookupEnv: t.lookupEnv})
			},
		})
		var pipe io.ReadWriteCloser = stdio{t.in, t.out}
		if log.trace {
			pipe = traced{pipe, logger}
		}
		status, err := server.Serve(cmd.Context(), pipe)
		if err != nil {
			logger.Error("the connection ended", "error", err)
		}
		if status != statusDone {
			return &statusError{status: status}
		}
		return nil
	}
	flags := cmd.Flags()
	flags.StringVar(&log.file, "log-file", "", "append log lines to this file, too")
	flags.StringVar(&log.level, "log-level", "", "least level to log: debug, info, warn or error (default warn on stderr, info in a file)")
	flags.BoolVar(&log.trace, "trace", false, "log every message of the protocol (level debug)")
	// Clients of Microsoft's library add these; stdio is all that there is.
	flags.Bool("stdio", true, "accepted for clients that pass it")
	flags.Int("clientProcessId", 0, "accepted for clients that pass it")
	_ = flags.MarkHidden("stdio")
	_ = flags.MarkHidden("clientProcessId")
	return cmd
}

// leastProcs is how many threads of the server may compute at a time, at least.
const leastProcs = 4

// keepAnswering leaves it to the operating system to share a small machine out.
// Go gives a goroutine that computes 10 ms before another one gets its processor:
// with two of them an upload and the garbage collector keep a keystroke waiting.
// The system lets at once who has slept. With an upload at full speed on
// two cores this took the slowest answers in a hundred from 25-55 ms to 7-22 ms.
func keepAnswering(t terminal) {
	if t.env("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < leastProcs {
		runtime.GOMAXPROCS(leastProcs)
	}
}

// newLogger logs warnings and up to stderr, because editors file every line
// there as an error, and what the flags ask for to the file.
func newLogger(t terminal, flags logFlags) (*slog.Logger, func(), error) {
	if value := t.env("JULIAHUB_LSP_LOG"); value != "" {
		if _, isLevel := levels[value]; isLevel && flags.level == "" {
			flags.level = value
		} else if !isLevel && flags.file == "" {
			flags.file = value
		}
	}
	level, ok := levels[flags.level]
	if !ok && flags.level != "" {
		return nil, nil, &usageError{fmt.Errorf("--log-level %s: want %s", flags.level, strings.Join(levelNames(), ", "))}
	}
	if flags.trace {
		level, ok = slog.LevelDebug, true
	}
	onStderr, inFile := slog.LevelWarn, slog.LevelInfo
	if ok {
		inFile = level
		if flags.file == "" || level > onStderr {
			onStderr = level
		}
	}
	stderr := slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: onStderr})
	if flags.file == "" {
		return slog.New(stderr), func() {}, nil
	}
	f, err := os.OpenFile(flags.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log file: %w", err)
	}
	file := slog.NewTextHandler(f, &slog.HandlerOptions{Level: inFile})
	return slog.New(slog.NewMultiHandler(stderr, file)), func() { _ = f.Close() }, nil
}

func levelNames() []string {
	names := make([]string, 0, len(levels))
	for name := range levels {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(levels[a] - levels[b]) })
	return names
}

// stdio is the connection to the editor.
type stdio struct {
	io.ReadCloser
	out io.WriteCloser
}

func (s stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s stdio) Close() error                { return errors.Join(s.ReadCloser.Close(), s.out.Close()) }

// traced logs what passes, as it is cut into reads and writes.
type traced struct {
	io.ReadWriteCloser
	logger *slog.Logger
}

func (t traced) Read(p []byte) (int, error) {
	n, err := t.ReadWriteCloser.Read(p)
	if n > 0 {
		t.logger.Debug("from the editor", "bytes", string(p[:n]))
	}
	return n, err
}

func (t traced) Write(p []byte) (int, error) {
	t.logger.Debug("to the editor", "bytes", string(p))
	return t.ReadWriteCloser.Write(p)
}

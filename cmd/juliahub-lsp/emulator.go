package main

import (
	"fmt"
	"log/slog"
	"net"

	"juliahub-lsp/jobapi/emulator"

	"github.com/spf13/cobra"
)

func newEmulator(t terminal) *cobra.Command {
	var cfg emulator.Config
	var addr string
	var tls bool
	cmd := &cobra.Command{
		Use:   "emulator",
		Short: "Run a JuliaHub-compatible server on this machine",
		Long: `Run a JuliaHub-compatible server on this machine until it is interrupted.

The first line on stdout is JSON: where the server is, a token for it, and
whether jobs run in a Julia or are simulated. Point a client at it with
JULIA_PKG_SERVER (the url) and JULIAHUB_TOKEN (the token).`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				return &usageError{fmt.Errorf("--addr %s: %w", addr, err)}
			}
			cfg.Logger = slog.New(slog.NewTextHandler(t.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			e, err := emulator.New(cfg)
			if err != nil {
				return fmt.Errorf("emulator: %w", err)
			}
			if _, err := e.Start(addr, tls); err != nil {
				return fmt.Errorf("emulator: %w", err)
			}
			if err := printJSON(t.out, e.Info()); err != nil {
				return err
			}
			if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
				fmt.Fprintln(t.err, "juliahub-lsp: WARNING: the emulator runs the code of whoever reaches it, and it listens beyond this machine:", addr)
			}
			<-cmd.Context().Done()
			if err := e.Close(); err != nil {
				return fmt.Errorf("emulator: %w", err)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&cfg.Data, "data", "", "directory that keeps jobs across restarts (default: a temporary one)")
	flags.StringVar(&cfg.Julia, "julia", "auto", "the julia that runs jobs: a path, auto (PATH), or none to simulate them")
	flags.StringVar(&cfg.Token, "token", "", "the token to accept (default: a random one)")
	flags.BoolVar(&tls, "tls", false, "serve https with a certificate made for this run")
	return cmd
}

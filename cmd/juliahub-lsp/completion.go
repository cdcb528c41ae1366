package main

import (
	"io"

	"juliahub-lsp/commands"

	"github.com/spf13/cobra"
)

// This file defines what shells complete beside commands and flags. It asks
// this computer's own records only: a shell must not wait for the network.

// completeJob completes the first argument by the jobs that this computer remembers.
func completeJob(t terminal) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var ids []cobra.Completion
		quietly(t, func(session *commands.Session) {
			known, err := session.ListSubmissions(cmd.Context(), input(&commands.ListArgs{}))
			if err != nil {
				return // nothing to offer
			}
			for _, job := range known.Jobs {
				if job.ID != "" {
					ids = append(ids, cobra.CompletionWithDesc(job.ID, joinNonEmpty(" ", string(job.State), plain(job.Alias))))
				}
			}
		})
		return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// completeScript completes files of Julia code.
func completeScript(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveFilterDirs // --appbundle DIR
	}
	return []cobra.Completion{"jl"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeDirectory completes directories.
func completeDirectory(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeProfile completes the profiles of the JuliaHub.toml that counts for the script.
func completeProfile(t terminal) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		paths, err := absolute(args[:1])
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		quietly(t, func(session *commands.Session) {
			uri := fileURI(paths[0])
			in := input(&commands.SubmitArgs{URI: uri})
			in.File = &commands.Document{URI: uri, Path: paths[0]}
			if list, err := session.ListProfiles(cmd.Context(), in); err == nil {
				names = list.Profiles
			}
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// quietly uses a session that tells nobody anything.
func quietly(t terminal, use func(*commands.Session)) {
	t.in, t.err = nil, io.Discard
	session, closeSession, err := openSession(t, newConsole(t))
	if err != nil {
		return
	}
	defer closeSession()
	use(session)
}

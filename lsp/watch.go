package lsp

import (
	"go.lsp.dev/protocol"
)

// watchedFiles are the files whose changes on disk matter to us. What a client
// tells is a hint: a submission looks at the disk itself.
var watchedFiles = []string{
	"**/*.jl", "**/Project.toml", "**/JuliaProject.toml", "**/Manifest*.toml", "**/JuliaManifest*.toml",
	"**/JuliaHub.toml", "**/.juliabundleignore",
}

// watchers asks the client to watch the files that matter.
func watchers() protocol.Registration {
	options := protocol.DidChangeWatchedFilesRegistrationOptions{}
	for _, glob := range watchedFiles {
		options.Watchers = append(options.Watchers, protocol.FileSystemWatcher{GlobPattern: protocol.Pattern(glob)})
	}
	raw, err := protocol.Marshal(&options)
	if err != nil {
		raw = []byte("null") // constants: cannot fail
	}
	return protocol.Registration{
		ID: "juliahub-files", Method: protocol.MethodWorkspaceDidChangeWatchedFiles,
		RegisterOptions: protocol.LSPAny(raw),
	}
}

// didChangeWatchedFiles takes a client's word that files changed on disk.
func (s *Server) didChangeWatchedFiles(p *didChangeWatchedFilesParams) {
	for _, change := range p.Changes {
		if path, err := pathOf(change.URI); err == nil {
			s.diagnostics.touch(path)
		}
	}
	s.advice.touchAll()
}

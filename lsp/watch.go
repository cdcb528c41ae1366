package lsp

import (
	"slices"
	"strings"

	"go.lsp.dev/protocol"

	"juliahub-lsp/internal/watch"
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
	var paths []string
	for _, change := range p.Changes {
		if path, err := pathOf(change.URI); err == nil {
			paths = append(paths, path)
		}
	}
	s.changedOnDisk(paths, false)
}

// changedOnDisk takes a hint that files changed on disk, whoever gave it. lost
// says that there were more.
func (s *Server) changedOnDisk(paths []string, lost bool) {
	for _, path := range paths {
		s.diagnostics.touch(path)
	}
	s.advice.changedOnDisk(paths, lost)
}

// watchesDisk says whether the client tells of all changes on disk once it was
// asked to: VS Code and what is made of it. Helix tells of its own saves alone,
// and what others do is not known.
func (c *clientCaps) watchesDisk() bool {
	return c.registerWatchers && slices.ContainsFunc(diskWatchers, func(name string) bool { return strings.HasPrefix(c.client, name) })
}

// diskWatchers are the names that clients with a watcher of their own give.
var diskWatchers = []string{"Visual Studio Code", "VSCodium", "code-server", "Cursor", "Windsurf"}

// diskWatch watches the directories that advice rests on, for clients that do not.
type diskWatch struct {
	s    *Server
	open func() (*watch.Watcher, error) // nil = nothing is watched

	// What follows is the advisor's own: its goroutine alone calls follow.
	watcher *watch.Watcher
	broken  bool
	dirs    []string
}

// follow makes dirs the directories that are watched.
func (d *diskWatch) follow(dirs []string) {
	if d.open == nil || d.broken || d.s.caps.watchesDisk() || d.watcher == nil && len(dirs) == 0 {
		return
	}
	slices.Sort(dirs)
	if dirs = slices.Compact(dirs); slices.Equal(dirs, d.dirs) {
		return
	}
	if d.watcher == nil && !d.begin() {
		return
	}
	d.dirs = dirs
	if unwatched, err := d.watcher.Set(dirs); err != nil {
		d.s.log.Info("not all directories are watched: what changes there is seen when a file is edited", "number", len(unwatched), "error", err)
	}
}

// begin opens the watcher and has its bursts taken until the connection ends.
func (d *diskWatch) begin() bool {
	watcher, err := d.open()
	if err != nil {
		d.broken = true
		d.s.log.Info("directories are not watched", "error", err)
		return false
	}
	taken := d.s.spawn(func() {
		for {
			select {
			case <-d.s.ctx.Done():
				if err := watcher.Close(); err != nil {
					d.s.log.Info("ending the watch of directories", "error", err)
				}
				return
			case burst, ok := <-watcher.Bursts():
				if !ok {
					return
				}
				d.s.changedOnDisk(burst.Paths, burst.Lost)
			}
		}
	})
	if !taken {
		d.broken = true
		_ = watcher.Close() // the server is ending
		return false
	}
	d.watcher = watcher
	return true
}

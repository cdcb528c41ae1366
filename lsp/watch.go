package lsp

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
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
	return c.registerWatchers && c.isVSCode()
}

// isVSCode says whether the client is VS Code, or made of it.
func (c *clientCaps) isVSCode() bool {
	return slices.ContainsFunc(madeOfVSCode, func(name string) bool { return strings.HasPrefix(c.client, name) })
}

// madeOfVSCode are the names that these give.
var madeOfVSCode = []string{"Visual Studio Code", "VSCodium", "code-server", "Cursor", "Windsurf"}

// fileWatcher is what we need of *watch.Watcher.
type fileWatcher interface {
	Set(dirs []string) (unwatched []string, err error)
	Bursts() <-chan watch.Burst
	Close() error
}

func systemWatcher() (fileWatcher, error) { return watch.New() }

// diskWatch watches the directories that advice rests on and that the client
// does not watch.
type diskWatch struct {
	s    *Server
	open func() (fileWatcher, error) // nil = nothing is watched

	stale atomic.Bool // a directory may be another one by now, under the same name

	// What follows is the advisor's own: its goroutine alone calls follow.
	watcher fileWatcher
	broken  bool
	dirs    []string
	blind   []string // those of dirs that nobody watches
}

// follow makes dirs the directories that are watched. It reports whether some
// were not watched before: what happened there in the meantime nobody has seen.
func (d *diskWatch) follow(dirs []string) bool {
	if d.s.caps.watchesDisk() {
		folders := d.s.world.Load().paths()
		dirs = slices.DeleteFunc(dirs, func(dir string) bool {
			return slices.ContainsFunc(folders, func(folder string) bool { return within(folder, dir) })
		})
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	stale := d.stale.Swap(false)
	if d.open == nil || !stale && slices.Equal(dirs, d.dirs) {
		return false
	}
	d.dirs = dirs
	if d.broken || d.watcher == nil && (len(dirs) == 0 || !d.begin()) {
		d.blind = dirs
		return false
	}
	blind, err := d.watcher.Set(dirs)
	if err != nil {
		d.tell(err)
	}
	d.blind = blind
	return true
}

// tell says that not all is watched. A limit is the system's, and a person may
// want to raise it; a directory that is gone is nobody's trouble.
func (d *diskWatch) tell(err error) {
	d.s.log.Info("not all directories are watched", "error", err)
	const text = "Not all directories of the project can be watched: %s. What changes there is seen the next time an ignore file is edited; submissions look at the disk itself."
	if errors.Is(err, watch.ErrLimit) && d.s.complained.first(text) {
		(&ui{d.s}).Say(d.s.ctx, commands.Warning, fmt.Sprintf(text, watch.ErrLimit))
	}
}

// begin opens the watcher and has its bursts taken until the connection ends.
func (d *diskWatch) begin() bool {
	watcher, err := d.open()
	if err != nil {
		d.broken = true
		d.tell(err)
		return false
	}
	if !d.s.spawn(func() { d.take(watcher) }) {
		d.broken = true
		_ = watcher.Close() // the server is ending
		return false
	}
	d.watcher = watcher
	return true
}

// take takes the watcher's bursts until the connection ends.
func (d *diskWatch) take(watcher fileWatcher) {
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
			d.stale.Store(true)
			d.s.changedOnDisk(burst.Paths, burst.Lost)
		}
	}
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

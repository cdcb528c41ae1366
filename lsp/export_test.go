package lsp

// FileWatcher is what a test may put in the place of the system's watcher.
type FileWatcher = fileWatcher

// SetWatcher has a server watch directories with another watcher.
func SetWatcher(s *Server, open func() (FileWatcher, error)) { s.disk.open = open }

package lsp

import "slices"

// folder is a workspace folder.
type folder struct {
	uri  string
	path string // "" if it is not on this machine
}

func newFolder(uri string) folder {
	path, _ := pathOf(uri)
	return folder{uri: uri, path: path}
}

// didChangeFolders adds and removes workspace folders.
func (s *Server) didChangeFolders(p *didChangeFoldersParams) {
	w := *s.world.Load()
	gone := func(f folder) bool {
		return slices.ContainsFunc(p.Event.Removed, func(r workspaceFolder) bool { return keyOf(r.URI) == keyOf(f.uri) })
	}
	w.folders = slices.DeleteFunc(slices.Clone(w.folders), gone)
	for _, a := range p.Event.Added {
		known := slices.ContainsFunc(w.folders, func(f folder) bool { return keyOf(f.uri) == keyOf(a.URI) })
		if a.URI != "" && !known {
			w.folders = append(w.folders, newFolder(a.URI))
		}
	}
	s.setWorld(&w)
	s.inOrder(func() { s.session.FoldersChanged(w.paths()) })
}

// paths returns the folders that are on this machine.
func (w *world) paths() []string {
	var paths []string
	for _, f := range w.folders {
		if f.path != "" {
			paths = append(paths, f.path)
		}
	}
	return paths
}

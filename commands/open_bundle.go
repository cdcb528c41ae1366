package commands

import (
	"context"
	"fmt"

	"juliahub-lsp/bundle"
)

// openBundle is the bundle of an open project, kept up to date by hints.
type openBundle struct {
	index *bundle.Index
	made  string // of what, beside the texts of the editor
}

// OpenBundle returns the index of the bundle of in's directory, with the texts
// that the editor shows now. It serves hovers, lenses and advice; a submission
// makes a plan of its own. Nobody is asked anything, and nothing is sent.
func (s *Session) OpenBundle(ctx context.Context, in Input) (*bundle.Index, error) {
	q, err := s.bundleRequest(ctx, in)
	if err != nil {
		return nil, err
	}
	o, err := s.bundleOptions(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	made := fmt.Sprintf("%q %q %q %q", o.Script, o.Environment, o.Julia, o.PublicGitHosts)
	s.mu.Lock()
	open := s.open[o.Dir]
	if open == nil || open.made != made {
		open = &openBundle{bundle.NewIndex(o), made}
		s.open[o.Dir] = open
	}
	s.mu.Unlock() // before the index, which waits for a plan that is being made
	open.index.SetUnsaved(o.Unsaved)
	return open.index, nil
}

// CloseBundle forgets the index of a directory that nothing is open of any more.
func (s *Session) CloseBundle(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, dir)
}

package commands

import "juliahub-lsp/bundle"

// ProjectDir is the directory of the project that counts for files in dir: the
// nearest upwards, not past home; "" when there is none.
func (s *Session) ProjectDir(dir string) string { return environmentDir(dir, s.cfg.Home) }

// ManifestFile is the manifest that counts for the project of a directory in a
// job with Julia X.Y ("" = not known), "" when there is none.
func (s *Session) ManifestFile(in Input, dir, julia string) string {
	file, _, err := bundle.FindManifest(dir, julia, s.cfg.Home, unsavedTexts(in))
	if err != nil {
		s.log.Info("no manifest", "dir", dir, "error", err)
		return ""
	}
	return file
}

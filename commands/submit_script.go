package commands

import (
	"context"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// SubmitScript submits a file or a selection as a script job with the
// environment of the nearest project.
func (s *Session) SubmitScript(ctx context.Context, in Input) (Submission, error) {
	return s.submit(ctx, track.KindScript, in)
}

// addScript adds code and environment to a submission.
func (s *Session) addScript(f *flight, sub *jobapi.Submission) error {
	env, err := s.environmentOf(f.request)
	if err != nil {
		return err
	}
	s.keepFacts(f, env.manifest)
	sub.Code = f.request.text
	sub.ProjectTOML, sub.ManifestTOML = env.project, env.manifest
	sub.ManifestSHA256 = env.manifestSHA256()
	return nil
}

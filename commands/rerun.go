package commands

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"slices"

	"juliahub-lsp/commands/track"
)

// Rerun submits the file of an earlier submission again, as it is now and with
// today's settings, as a new submission.
func (s *Session) Rerun(ctx context.Context, in Input) (Submission, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return Submission{}, err
	}
	if r.Submission == "" {
		return Submission{}, argumentError("job %s was submitted elsewhere: submit its file instead", r.Job)
	}
	doc, err := s.documentOf(&r, in)
	if err != nil {
		return Submission{}, err
	}
	again := in
	again.File = &doc
	again.Args = &SubmitArgs{URI: doc.URI, Profile: r.Profile, Wait: waits(in)}
	if sent, ok := s.sentFactsOf(r.Submission); ok {
		again.Args.(*SubmitArgs).WithoutManifest = sent.WithoutManifest
	}
	if r.Range[0] > 0 {
		again.Args.(*SubmitArgs).Range = &Range{Start: Position{Line: r.Range[0] - 1}, End: Position{Line: r.Range[1] - 1, Character: 1}}
	}
	if r.Kind == track.KindAppBundle {
		again.Dir = r.Dir
	}
	return s.submit(ctx, r.Kind, again)
}

// documentOf is what the file of a submission is now: as the editor shows it, or
// on disk. A buffer that was closed is what it was when it was sent.
func (s *Session) documentOf(r *track.Record, in Input) (Document, error) {
	shown := append(slices.Clone(in.Unsaved), in.OpenJulia...)
	if in.File != nil && in.File.Open {
		shown = append(shown, *in.File)
	}
	for _, open := range shown {
		if cmpDir(open.Path, open.URI) == cmpDir(r.File, r.URI) {
			return open, nil
		}
	}
	doc := Document{URI: r.URI, Path: r.File}
	if r.File == "" {
		text, err := s.submittedText(r.Submission)
		if err != nil {
			return doc, argumentError("the text of that submission is not kept any more: submit the buffer again")
		}
		doc.Open, doc.Text = true, text
	}
	return doc, nil
}

// submittedText reads back the script as it was sent.
func (s *Session) submittedText(submission string) (string, error) {
	data, err := os.ReadFile(s.ledger.SideFile(submission, ".text.gz"))
	if err != nil {
		return "", err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(z, 64<<20))
	return string(text), err
}

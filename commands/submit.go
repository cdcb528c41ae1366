package commands

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// Submission is the answer of a submit command.
type Submission struct {
	Submission string   `json:"submission"`        // UUID
	State      State    `json:"state"`             // as far as it is
	Job        string   `json:"job,omitempty"`     // jr-…, once known
	URL        string   `json:"url,omitempty"`     // the job's page, once known
	Reason     string   `json:"reason,omitempty"`  // why there is no job, or none known
	Joined     bool     `json:"joined,omitempty"`  // the same submission was under way already
	Unsaved    []string `json:"unsaved,omitempty"` // documents whose unsaved text is sent
	Lacks      []string `json:"lacks,omitempty"`   // what a script job will not have, in words
	// Problems are the values of JuliaHub.toml that did not count, in words.
	Problems []string `json:"problems,omitempty"`
}

// request is a submission as it was asked for, with everything decided that
// can be decided without network, person or bundle.
type request struct {
	kind     string
	in       Input
	args     SubmitArgs
	file     string // absolute path, "" for an untitled buffer
	uri      string
	text     string // of the script, or of the selection at its place
	whole    string // of the script
	lines    [2]int // of the selection, 1-based; zero = all
	settings settings.Settings
	hubFile  string
	server   string
	digest   string
	unsaved  []string
	problems []string // what does not count of JuliaHub.toml, in words
	slot     *slot    // of a submission; nil = nothing is sent
}

// aside does what waits for a person, and lets another submission work meanwhile.
func (q *request) aside(ctx context.Context, wait func()) {
	if q.slot == nil {
		wait()
		return
	}
	q.slot.leave()
	wait()
	q.slot.take(ctx)
}

// dir is the directory of the script, "" for a buffer without a file.
func (q *request) dir() string {
	if q.file == "" {
		return ""
	}
	return filepath.Dir(q.file)
}

// submit begins a submission and answers at once; with wait it answers when
// the job's id is known, or that there is none.
func (s *Session) submit(ctx context.Context, kind string, in Input) (Submission, error) {
	if in.File == nil && len(in.OpenJulia) > 1 {
		return s.submitChosen(ctx, kind, in)
	}
	arrived := s.arrive(in)
	defer arrived.leave()
	q, err := s.request(ctx, kind, in)
	if err != nil {
		return Submission{}, err
	}
	f, joined, err := s.takeOff(q, arrived)
	if err != nil {
		return Submission{}, err
	}
	arrived.leave()
	if q.args.Wait {
		return s.await(ctx, f, in, joined)
	}
	answer := s.answer(f.id)
	answer.Joined, answer.Unsaved, answer.Lacks, answer.Problems = joined, q.unsaved, s.lacks(q), q.problems
	return answer, nil
}

// StateChoosing is the state in the answer of a submit command that asks which
// of several open scripts is meant. There is no submission yet.
const StateChoosing State = "choosing"

// mostChoices is how many scripts a question offers: editors show few answers.
const mostChoices = 6

// submitChosen asks which of the open scripts to submit, and submits it.
func (s *Session) submitChosen(ctx context.Context, kind string, in Input) (Submission, error) {
	if len(in.OpenJulia) > mostChoices {
		_, err := s.target(in)
		return Submission{}, err
	}
	submit := func(ctx context.Context) (Submission, error) {
		doc := s.choose(ctx, in.OpenJulia)
		if doc == nil {
			return Submission{State: StateCancelled, Reason: "no script was chosen"}, nil
		}
		in.File = doc
		return s.submit(ctx, kind, in)
	}
	if waits(in) {
		return submit(ctx)
	}
	err := s.later(ctx, false, func(ctx context.Context) error {
		_, err := submit(ctx)
		return err
	})
	return Submission{State: StateChoosing}, err
}

// choose asks which document is meant; nil = none.
func (s *Session) choose(ctx context.Context, docs []Document) *Document {
	const none = "None"
	answers := []string{none}
	for _, d := range docs {
		answers = append(answers, cmpDir(d.Path, d.URI))
	}
	chosen := s.cfg.UI.Ask(ctx, Info, "Which script is to be submitted?", answers...)
	for i := range docs {
		if chosen == answers[i+1] {
			return &docs[i]
		}
	}
	return nil
}

// answer says how far a submission is.
func (s *Session) answer(submission string) Submission {
	a := Submission{Submission: submission}
	if r, ok := s.ledger.Get(submission); ok {
		a.State, a.Job, a.URL, a.Reason = r.State, r.Job, r.URL, r.Reason
	}
	return a
}

// await waits for the outcome of a submission: its job's id, that there is no
// job, or that it is not known after the time to settle.
func (s *Session) await(ctx context.Context, f *flight, in Input, joined bool) (Submission, error) {
	stop := context.AfterFunc(ctx, func() {
		if !joined && errors.Is(context.Cause(ctx), ErrCalledOff) {
			s.cancelSubmission(f.id)
		}
	})
	defer stop()
	select {
	case <-f.done:
	case <-ctx.Done():
		return s.answer(f.id), ctx.Err()
	}
	settle := in.Settle
	if settle == 0 {
		settle = 10 * time.Minute
	}
	settleCtx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	_, err := s.Await(settleCtx, f.id, func(j Job) bool { return j.State != StateUnknown })
	if err != nil && ctx.Err() != nil {
		return s.answer(f.id), ctx.Err()
	}
	a := s.answer(f.id)
	a.Joined, a.Unsaved, a.Lacks, a.Problems = joined, f.request.unsaved, s.lacks(f.request), f.request.problems
	if f.unsaved != nil {
		a.Unsaved = f.unsaved
	}
	if a.Job == "" && a.State == StateRefused {
		return a, &NotSubmittedError{Submission: f.id, Reason: a.Reason, Err: f.err}
	}
	return a, nil
}

// Await waits until a submission is as wanted, and returns it.
func (s *Session) Await(ctx context.Context, submission string, wanted func(Job) bool) (Job, error) {
	// Polling memory is simple and costs nothing next to the network.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		j, ok := s.Job(submission)
		if !ok {
			return j, track.ErrNoRecord
		}
		if wanted(j) {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return j, ctx.Err()
		case <-s.ctx.Done():
			return j, context.Cause(s.ctx)
		case <-tick.C:
		}
	}
}

// settingsWait is how long a command waits for the editor's settings: half of
// the second in which it must answer.
const settingsWait = 500 * time.Millisecond

// request decides what is to be submitted.
func (s *Session) request(ctx context.Context, kind string, in Input) (*request, error) {
	args, ok := in.Args.(*SubmitArgs)
	if !ok {
		args = &SubmitArgs{}
	}
	doc, err := s.target(in)
	if err != nil {
		return nil, err
	}
	q := &request{kind: kind, in: in, args: *args, file: doc.Path, uri: doc.URI}
	if q.text, err = textOf(doc); err != nil {
		return nil, err
	}
	if kind == track.KindAppBundle && q.file == "" {
		return nil, argumentError("a buffer without a file cannot be submitted as an appbundle: save it in the project first, or submit it as a script")
	}
	q.whole = q.text
	if args.Range != nil && kind == track.KindScript {
		if q.text, q.lines, err = selection(q.text, *args.Range); err != nil {
			return nil, err
		}
	}
	if err := s.resolve(ctx, q); err != nil {
		return nil, err
	}
	if q.args.WithoutManifest && q.settings.Profile.Sysimage {
		return nil, argumentError("a system image is made of the manifest's packages: submit with the manifest, or without `sysimage`")
	}
	for _, d := range in.Unsaved { // of an appbundle, those of its packages elsewhere are known when it is planned
		if d.Path != "" && (d.Path == q.file || kind == track.KindAppBundle && within(s.bundleDir(q), d.Path)) {
			q.unsaved = append(q.unsaved, d.Path)
		}
	}
	q.digest, err = digest(q)
	return q, err
}

// target is the document to submit: the one that the arguments name, else the
// only sensible one.
func (s *Session) target(in Input) (*Document, error) {
	if in.File != nil {
		if in.File.Path != "" && !strings.HasSuffix(strings.ToLower(in.File.Path), ".jl") {
			return nil, argumentError("%s is no .jl file: pass {\"uri\": …} of a Julia script", filepath.Base(in.File.Path))
		}
		return in.File, nil
	}
	if len(in.OpenJulia) == 1 {
		return &in.OpenJulia[0], nil
	}
	return nil, argumentError(`no script given: pass {"uri": "file:///…/script.jl"}; optional are "range", "profile", "settings", "wait" and "show"`)
}

// textOf is what the editor shows of a document, or its file's bytes.
func textOf(d *Document) (string, error) {
	text := d.Text
	if !d.Open && d.Path != "" {
		switch info, err := os.Stat(d.Path); {
		case errors.Is(err, fs.ErrNotExist):
			return "", argumentError("there is no file %s: save it, or pass {\"uri\": …} of another script", d.Path)
		case err == nil && !info.Mode().IsRegular(): // a pipe might be read for ever
			return "", argumentError("%s is no file that can be submitted", d.Path)
		}
		data, err := os.ReadFile(d.Path)
		if err != nil {
			return "", fmt.Errorf("read the script: %w", err)
		}
		text = string(data)
	}
	return strings.TrimPrefix(text, "\ufeff"), nil
}

// selection keeps the lines that a range touches, at their places: the lines
// before become empty, so that line numbers of the job are those of the file.
// Some editors name the end of a selection that was made upwards first.
func selection(text string, r Range) (string, [2]int, error) {
	if r.End.Line < r.Start.Line {
		r.Start, r.End = r.End, r.Start
	}
	lines := wholeLines(text)
	first, last := max(0, r.Start.Line), r.End.Line
	if last > first && r.End.Character == 0 {
		last--
	}
	first, last = min(first, len(lines)), min(last, len(lines)-1)
	code := strings.Join(lines[first:max(first, last+1)], "")
	if strings.TrimSpace(code) == "" {
		return "", [2]int{}, argumentError("the selection holds no code")
	}
	return strings.Repeat("\n", first) + code, [2]int{first + 1, last + 1}, nil
}

// wholeLines splits a text after its lines' ends, those that editors know: "\n",
// "\r\n" and "\r".
func wholeLines(text string) (lines []string) {
	for len(text) > 0 {
		end := strings.IndexAny(text, "\r\n") + 1
		switch {
		case end == 0:
			end = len(text)
		case strings.HasPrefix(text[end-1:], "\r\n"):
			end++
		}
		lines, text = append(lines, text[:end]), text[end:]
	}
	return lines
}

// resolve finds the settings and the server that count.
func (s *Session) resolve(ctx context.Context, q *request) error {
	var hubText []byte
	if dir := cmpDir(q.in.Dir, q.dir()); dir != "" {
		q.hubFile = settings.FindHubFile(dir, s.cfg.Home, slices.Collect(maps.Keys(unsavedTexts(q.in)))...)
	}
	if q.hubFile != "" {
		text, err := s.fileText(q.in, q.hubFile)
		if err != nil {
			return fmt.Errorf("read %s: %w", settings.HubFile, err)
		}
		hubText = text
	}
	resolved, problems := settings.Resolve(settings.Layers{
		Editor: s.editorSettings(ctx, q.in), HubPath: q.hubFile, HubText: hubText,
		Profile: q.args.Profile, Args: q.args.Settings,
	})
	q.problems = nil
	for _, p := range problems {
		if p.Layer == settings.LayerFile {
			q.problems = append(q.problems, fmt.Sprintf("%s:%d: %s", settings.HubFile, p.Line+1, p.Message))
		}
		if p.Layer == settings.LayerArgs && p.Severity == settings.Error {
			return argumentError("%s", p.Message)
		}
	}
	q.settings = resolved
	server, err := s.serverName(resolved.Server)
	if err != nil {
		return argumentError("%s", err)
	}
	q.server = server
	q.settings.Profile.Julia = s.julia(server, q.settings.Profile)
	return nil
}

func cmpDir(dirs ...string) string {
	for _, dir := range dirs {
		if dir != "" {
			return dir
		}
	}
	return ""
}

// editorSettings are the editor's settings at the moment of the request; a pull
// that takes too long is not waited for.
func (s *Session) editorSettings(ctx context.Context, in Input) json.RawMessage {
	if in.Settings != nil {
		pullCtx, cancel := context.WithTimeout(ctx, settingsWait)
		defer cancel()
		if section := in.Settings(pullCtx); section != nil {
			return section
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.editor
}

// fileText is a file's text as the editor shows it.
func (s *Session) fileText(in Input, path string) ([]byte, error) {
	for _, d := range in.Unsaved {
		if d.Path == path {
			return []byte(d.Text), nil
		}
	}
	return os.ReadFile(path)
}

// digest is equal for equal submissions: kind, text, settings, and for an
// appbundle the unsaved documents.
func digest(q *request) (string, error) {
	parts := []any{q.kind, q.file, q.uri, q.text, q.lines, q.settings, q.server, q.in.Dir, q.args.WithoutManifest}
	if q.kind == track.KindAppBundle {
		for _, d := range q.in.Unsaved {
			parts = append(parts, d.Path, d.Text)
		}
	}
	data, err := json.Marshal(parts)
	if err != nil {
		return "", fmt.Errorf("encode the submission: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// key is what submissions of one file have in common.
func (q *request) key() string { return cmpDir(q.file, q.uri) }

// record is the submission as it is remembered before anything is done.
func (s *Session) record(q *request, id string) track.Record {
	base := q.settings.ResultsBase
	if base == "" && q.file != "" {
		base = s.bundleDir(q)
	}
	if base == "" && len(q.in.Folders) > 0 {
		base = q.in.Folders[0]
	}
	if base == "" {
		base = filepath.Join(s.ledger.Dir(), "results")
	}
	return track.Record{
		Submission: id, State: track.Bundling, Kind: q.kind, Server: q.server,
		File: q.file, URI: q.uri, Range: q.lines, Digest: q.digest, Profile: q.settings.ProfileName,
		LimitHours: q.settings.Profile.LimitHours, Nodes: max(1, q.settings.Profile.NNodes),
		Download: q.settings.Profile.Download, ResultsIn: base, ResultsDir: q.settings.ResultsDirectory,
		Image:   imageKey(q.settings.Profile.Image),
		Created: s.cfg.Now().UTC().Round(0),
	}
}

// keepText keeps the script as it was, beside its record, so that lines of the
// job can be found in the text of later. It is a comfort: failing is no reason
// not to submit.
func (s *Session) keepText(id, text string) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err = errors.Join(err, z.Close()); err != nil || b.Len() > mostKept {
		return
	}
	if err := os.WriteFile(s.ledger.SideFile(id, ".text.gz"), b.Bytes(), 0o600); err != nil {
		s.log.Warn("cannot keep the submitted text", "error", err)
	}
}

// submission is what both kinds of job have in common on the wire.
func (s *Session) submission(f *flight, nodes []jobapi.Node) (jobapi.Submission, error) {
	p := f.request.settings.Profile
	node, err := jobapi.ChooseNode(nodes, nodeRequest(p))
	if err != nil {
		return jobapi.Submission{}, err
	}
	sub := jobapi.Submission{
		Node: node, Nodes: max(1, p.NNodes), MinNodes: p.MinNodes, Elastic: p.Elastic,
		ProcessPerNode: p.ProcessPerNode, LimitHours: p.LimitHours, ProjectID: p.Project,
		Sysimage: p.Sysimage, Args: s.jobArgs(f),
	}
	if sub.ProjectID == "" {
		if id, ok := s.cfg.LookupEnv("JULIAHUB_PROJECT_UUID"); ok {
			sub.ProjectID = strings.TrimSpace(id)
		}
	}
	if e := p.Expose; e != nil {
		sub.Expose = &jobapi.Expose{Port: e.Port, Access: e.Access, DNSPrefix: e.DNSPrefix}
		sub.Expose.Password, _ = s.cfg.LookupEnv("JULIAHUB_EXPOSE_PASSWORD")
	}
	return sub, nil
}

// submissionEnv is the variable that carries a submission's id in its job.
const submissionEnv = "JULIAHUB_LSP_SUBMISSION"

// jobArgs are the job's environment variables and its name.
func (s *Session) jobArgs(f *flight) map[string]string {
	q := f.request
	args := map[string]string{}
	for k, v := range q.settings.Profile.Env {
		args[k] = v
	}
	args[submissionEnv] = f.id
	args["jobname"] = f.alias
	return args
}

package commands

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/internal/atomicfile"
)

// sentFile is a local file as a submission sent it: enough to find its lines
// in the text of later.
type sentFile struct {
	Local string           `json:"local"`
	Lines stacktrace.Lines `json:"lines,omitempty"` // nil = not kept
}

// mostKept bounds what is kept beside a record.
const mostKept = 1 << 20

// mostLines is how many hashes of lines fit into that, written as JSON and packed.
const mostLines = 80_000

// Remap moves problems to where their lines are in the text that the editor
// shows now. A problem whose line was changed since the submission is left
// out; one whose submission kept no text goes to the first line and says which
// line it was. Places in other files that explain a problem move likewise:
// textOf gives those as the editor shows them now. What was not sent, such as a
// package in the depot, stays. The editor's side calls it whenever a text changes;
// it touches the disk only for a submission that it has not seen lately.
func (s *Session) Remap(path, text string, problems []Problem, textOf func(path string) string) []Problem {
	moved := make([]Problem, 0, len(problems))
	var now stacktrace.Lines
	var lines []string
	drifts := map[string]stacktrace.Drift{}
	for _, p := range problems {
		if p.Submission == "" {
			moved = append(moved, p)
			continue
		}
		if p.WholeFile {
			p.Related = s.movedRelated(p, textOf)
			moved = append(moved, p)
			continue
		}
		drift, ok := drifts[p.Submission]
		if !ok {
			if now == nil {
				lines, now = splitLines(text), stacktrace.HashLines(text)
			}
			if sent := s.sentLines(p.Submission, path); sent != nil {
				drift = stacktrace.Follow(sent, now)
			}
			drifts[p.Submission] = drift
		}
		if q, ok := movedTo(p, drift, lines); ok {
			q.Related = s.movedRelated(p, textOf)
			moved = append(moved, q)
		}
	}
	return moved
}

// movedRelated are the places that explain a problem, where they are now.
func (s *Session) movedRelated(p Problem, textOf func(path string) string) []Related {
	var moved []Related
	for _, r := range p.Related {
		if sent := s.sentLines(p.Submission, r.Path); sent != nil {
			line, ok := stacktrace.Follow(sent, stacktrace.HashLines(textOf(r.Path))).Line(r.Line + 1)
			if !ok {
				continue
			}
			r.Line = line - 1
		}
		moved = append(moved, r)
	}
	return moved
}

// movedTo moves one problem; drift is nil when the submission kept no text.
func movedTo(p Problem, drift stacktrace.Drift, lines []string) (Problem, bool) {
	if drift == nil {
		p.Message = fmt.Sprintf("%s (line %d of what was submitted)", p.Message, p.Line+1)
		p.Line, p.Col, p.EndLine, p.EndCol, p.WholeLine = 0, 0, 0, 0, true
		return p, true
	}
	line, ok := drift.Line(p.Line + 1)
	if !ok {
		return p, false
	}
	line = min(line, len(lines))
	last := line
	if p.EndLine > p.Line {
		last, ok = drift.Line(p.EndLine + 1)
		if last = min(last, len(lines)); !ok || last < line {
			// Its end was changed: where it begins is still true.
			last, p.WholeLine, p.EndCol = line, true, 0
		}
	}
	p.Line, p.EndLine = line-1, last-1
	p.Col = utf16Col(lines[p.Line], p.Col)
	if !p.WholeLine {
		p.EndCol = utf16Col(lines[p.EndLine], p.EndCol)
	}
	return p, true
}

// utf16Col turns a column in characters into one in UTF-16 units.
func utf16Col(line string, col int) int {
	units := 0
	for _, r := range line {
		if col == 0 {
			break
		}
		col--
		units += max(1, utf16.RuneLen(r))
	}
	return units
}

func splitLines(text string) []string {
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSuffix(lines[i], "\r")
	}
	return lines
}

// sentLines are the hashes of a file's lines as a submission sent them; nil =
// not kept.
func (s *Session) sentLines(submission, path string) stacktrace.Lines {
	files := s.sentFiles(submission)
	for _, f := range files {
		if f.Local == path {
			return f.Lines
		}
	}
	return nil
}

// sentFiles reads which local files a submission sent, by their paths in the
// job, and remembers the newest few.
func (s *Session) sentFiles(submission string) map[string]sentFile {
	s.mu.Lock()
	files, ok := s.sent[submission]
	s.mu.Unlock()
	if ok {
		return files
	}
	files, err := s.readSentFiles(submission)
	if err != nil {
		s.log.Info("what was submitted is not kept", "submission", submission, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) > 32 {
		clear(s.sent)
	}
	s.sent[submission] = files
	return files
}

func (s *Session) readSentFiles(submission string) (map[string]sentFile, error) {
	r, ok := s.ledger.Get(submission)
	if !ok {
		return nil, os.ErrNotExist
	}
	if text, err := s.submittedText(submission); err == nil && r.Dir == "" {
		return map[string]sentFile{codeFile: {Local: cmpDir(r.File, r.URI), Lines: stacktrace.HashLines(text)}}, nil
	}
	var files map[string]sentFile
	err := s.readBeside(submission, ".files.gz", &files)
	return files, err
}

// keepFiles keeps, beside the record, which local file each .jl file of the
// bundle is, with hashes of its lines. It is a comfort: failing is no reason
// not to submit.
func (s *Session) keepFiles(id string, plan *bundle.Plan, unsaved map[string][]byte) {
	files, lines := map[string]sentFile{}, 0
	for _, file := range plan.Files {
		if filepath.Ext(file.Path) != ".jl" {
			continue
		}
		local := localFile(plan, file)
		kept := sentFile{Local: local}
		if lines < mostLines {
			kept.Lines = linesOf(local, unsaved)
			lines += len(kept.Lines)
		}
		files[file.Path] = kept
	}
	if err := errors.Join(s.keepBeside(id, ".files.gz", files), s.keepBeside(id, treeSuffix, treeOf(plan))); err != nil {
		s.log.Warn("cannot keep the list of bundled files", "error", err)
	}
}

// keepBeside keeps a value beside a record, as packed JSON, if it is small enough.
func (s *Session) keepBeside(id, suffix string, value any) error {
	data, err := json.Marshal(value)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err == nil {
		_, err = z.Write(data)
	}
	if err = errors.Join(err, z.Close()); err == nil && b.Len() <= mostKept {
		err = atomicfile.Write(s.ledger.SideFile(id, suffix), b.Bytes(), 0o600)
	}
	return err
}

// localFile is where a file of a bundle comes from.
func localFile(plan *bundle.Plan, file bundle.File) string {
	local := file.From
	if local == "" {
		local = filepath.FromSlash(file.Path)
	}
	if !filepath.IsAbs(local) {
		local = filepath.Join(plan.Root, local)
	}
	return local
}

func (s *Session) readBeside(submission, suffix string, into any) error {
	data, err := os.ReadFile(s.ledger.SideFile(submission, suffix))
	if err != nil {
		return err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(z, 64<<20)).Decode(into)
}

func linesOf(path string, unsaved map[string][]byte) stacktrace.Lines {
	data, ok := unsaved[path]
	if !ok {
		info, err := os.Stat(path)
		if err != nil || info.Size() > mostKept {
			return nil
		}
		if data, err = os.ReadFile(path); err != nil {
			return nil
		}
	}
	if !utf8.Valid(data) {
		return nil
	}
	return stacktrace.HashLines(string(data))
}

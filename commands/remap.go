package commands

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"juliahub-lsp/bundle"
	"juliahub-lsp/internal/atomicfile"
)

// sentFile is a local file as a submission sent it: enough to find its lines
// in the text of later.
type sentFile struct {
	Local string   `json:"local"`
	Lines []uint32 `json:"lines,omitempty"` // a hash of each line; nil = not kept
}

// mostKept bounds what is kept beside a record.
const mostKept = 1 << 20

// mostLines is how many hashes of lines fit into that, written as JSON and packed.
const mostLines = 150_000

// Remap moves problems to where their lines are in the text that the editor
// shows now. A problem whose line was changed since the submission is left
// out; one whose submission kept no text goes to the first line and says which
// line it was. The editor's side calls it whenever the text changes; it touches
// the disk only for a submission that it has not seen lately.
func (s *Session) Remap(path, text string, problems []Problem) []Problem {
	moved := make([]Problem, 0, len(problems))
	var now []uint32
	var lines []string
	maps := map[string][]int{}
	for _, p := range problems {
		if p.Submission == "" {
			moved = append(moved, p)
			continue
		}
		places, ok := maps[p.Submission]
		if !ok {
			if now == nil {
				lines = splitLines(text)
				now = hashLines(lines)
			}
			if sent := s.sentLines(p.Submission, path); sent != nil {
				places = mapLines(sent, now)
			}
			maps[p.Submission] = places
		}
		if q, ok := movedTo(p, places, lines); ok {
			moved = append(moved, q)
		}
	}
	return moved
}

// movedTo moves one problem; places is nil when the submission kept no text.
func movedTo(p Problem, places []int, lines []string) (Problem, bool) {
	if places == nil {
		p.Message = fmt.Sprintf("%s (line %d of what was submitted)", p.Message, p.Line+1)
		p.Line, p.Col, p.EndLine, p.EndCol, p.WholeLine = 0, 0, 0, 0, true
		return p, true
	}
	if p.Line >= len(places) || places[p.Line] < 0 {
		return p, false
	}
	p.Line = places[p.Line]
	p.EndLine = p.Line
	if !p.WholeLine {
		p.Col, p.EndCol = utf16Col(lines[p.Line], p.Col), utf16Col(lines[p.Line], p.EndCol)
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

func hashLines(lines []string) []uint32 {
	hashes := make([]uint32, len(lines))
	for i, line := range lines {
		h := fnv.New32a()
		_, _ = io.WriteString(h, line) // a hash takes everything
		hashes[i] = h.Sum32()
	}
	return hashes
}

// mapLines returns, for each line of old, where it is in new; −1 = nowhere.
// Equal beginnings and ends are the same lines; between them, lines that occur
// once on either side, in the same order, are the same, and so are their equal
// neighbours.
func mapLines(old, new []uint32) []int {
	places := make([]int, len(old))
	for i := range places {
		places[i] = -1
	}
	first, lastOld, lastNew := 0, len(old), len(new)
	for first < lastOld && first < lastNew && old[first] == new[first] {
		places[first] = first
		first++
	}
	for lastOld > first && lastNew > first && old[lastOld-1] == new[lastNew-1] {
		lastOld--
		lastNew--
		places[lastOld] = lastNew
	}
	for _, a := range anchors(old[first:lastOld], new[first:lastNew]) {
		i, j := first+a[0], first+a[1]
		for x, y := i, j; x < lastOld && y < lastNew && old[x] == new[y] && places[x] < 0; x, y = x+1, y+1 {
			places[x] = y
		}
		for x, y := i-1, j-1; x >= first && y >= first && old[x] == new[y] && places[x] < 0; x, y = x-1, y-1 {
			places[x] = y
		}
	}
	return places
}

// anchors pairs lines that occur once on both sides, as the longest sequence
// that ascends on both.
func anchors(old, new []uint32) [][2]int {
	count := func(lines []uint32) map[uint32]int { // line → place, −1 when it occurs twice
		at := map[uint32]int{}
		for i, line := range lines {
			if _, twice := at[line]; twice {
				at[line] = -1
			} else {
				at[line] = i
			}
		}
		return at
	}
	atOld, atNew := count(old), count(new)
	var pairs [][2]int
	for i, line := range old {
		if j, ok := atNew[line]; ok && j >= 0 && atOld[line] >= 0 {
			pairs = append(pairs, [2]int{i, j})
		}
	}
	return ascending(pairs)
}

// ascending keeps the longest subsequence whose second numbers ascend.
func ascending(pairs [][2]int) [][2]int {
	if len(pairs) == 0 {
		return nil
	}
	ends := []int{} // ends[k]: index of the pair that ends the best sequence of length k+1
	before := make([]int, len(pairs))
	for i, p := range pairs {
		k := sort.Search(len(ends), func(k int) bool { return pairs[ends[k]][1] >= p[1] })
		before[i] = -1
		if k > 0 {
			before[i] = ends[k-1]
		}
		if k == len(ends) {
			ends = append(ends, i)
		} else {
			ends[k] = i
		}
	}
	kept := make([][2]int, len(ends))
	for i, k := ends[len(ends)-1], len(ends)-1; i >= 0; i, k = before[i], k-1 {
		kept[k] = pairs[i]
	}
	return kept
}

// sentLines are the hashes of a file's lines as a submission sent them; nil =
// not kept.
func (s *Session) sentLines(submission, path string) []uint32 {
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
		return map[string]sentFile{codeFile: {Local: cmpDir(r.File, r.URI), Lines: hashLines(splitLines(text))}}, nil
	}
	data, err := os.ReadFile(s.ledger.SideFile(submission, ".files.gz"))
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var files map[string]sentFile
	err = json.NewDecoder(io.LimitReader(z, 64<<20)).Decode(&files)
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
		local := file.From
		if local == "" {
			local = filepath.FromSlash(file.Path)
		}
		if !filepath.IsAbs(local) {
			local = filepath.Join(plan.Root, local)
		}
		kept := sentFile{Local: local}
		if lines < mostLines {
			kept.Lines = linesOf(local, unsaved)
			lines += len(kept.Lines)
		}
		files[file.Path] = kept
	}
	data, err := json.Marshal(files)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err == nil {
		_, err = z.Write(data)
	}
	if err = errors.Join(err, z.Close()); err == nil && b.Len() <= mostKept {
		err = atomicfile.Write(s.ledger.SideFile(id, ".files.gz"), b.Bytes(), 0o600)
	}
	if err != nil {
		s.log.Warn("cannot keep the list of bundled files", "error", err)
	}
}

func linesOf(path string, unsaved map[string][]byte) []uint32 {
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
	return hashLines(splitLines(string(data)))
}

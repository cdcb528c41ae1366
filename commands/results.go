package commands

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// Downloaded is the answer of juliahub.downloadResults.
type Downloaded struct {
	Submission string    `json:"submission,omitempty"`
	Job        string    `json:"job"`
	State      string    `json:"state"` // done, or pending: they are on their way
	Dir        string    `json:"dir"`   // where they are, or will be
	Files      []Fetched `json:"files"`
}

// Fetched is one file that was downloaded, or why not.
type Fetched struct {
	Name     string `json:"name"` // the job's own
	Type     string `json:"type"`
	Size     int64  `json:"size"`
	Path     string `json:"path,omitempty"`
	Verified bool   `json:"verified"`        // its SHA-256 is the one that the server has
	Kept     bool   `json:"kept,omitempty"`  // it was there already, with these bytes
	Error    string `json:"error,omitempty"` // why it was left out

	Extracted string   `json:"extracted,omitempty"` // the directory that the archive was extracted into
	Left      []string `json:"left,omitempty"`      // what of it was left out, and why
}

// OutputsFile is the name under which a job's outputs are stored.
const OutputsFile = "results.json"

// resultsDir is where the results of a job go unless someone says otherwise.
func resultsDir(r *track.Record) string {
	if r.ResultsIn == "" || !plainName(r.Job) {
		return ""
	}
	return filepath.Join(r.ResultsIn, filepath.FromSlash(r.ResultsDir), r.Job)
}

// DownloadResults fetches a job's result files, or those that are named, and
// its outputs as results.json. Existing files are never overwritten.
func (s *Session) DownloadResults(ctx context.Context, in Input) (Downloaded, error) {
	r, err := s.jobOfArgs(in)
	if err != nil {
		return Downloaded{}, err
	}
	if r.Job == "" {
		return Downloaded{}, &StateError{Job: r.Submission, State: r.State, Message: "there are no results: the submission is " + string(r.State)}
	}
	if r.ResultsIn == "" {
		r.ResultsIn = filepath.Join(s.ledger.Dir(), "results")
		if len(in.Folders) > 0 {
			r.ResultsIn = in.Folders[0]
		}
	}
	d := &download{s: s, record: r, extract: s.userSettings().ResultsExtract}
	if args, ok := in.Args.(*JobArgs); ok {
		d.names, d.kind = args.Files, args.Type
		if args.Extract != nil {
			d.extract = *args.Extract
		}
		if args.Dir != "" {
			d.dir = joinIfRelative(r.ResultsIn, args.Dir)
		}
	}
	answer := Downloaded{Submission: r.Submission, Job: r.Job, State: "pending", Dir: cmp.Or(d.dir, resultsDir(&r)), Files: []Fetched{}}
	// What comes later never touches the answer, which is being sent by then.
	var fetched []Fetched
	err = s.later(ctx, waits(in), func(ctx context.Context) error {
		files, err := d.run(ctx)
		if err != nil {
			return err
		}
		if in.Show {
			s.showResults(ctx, files)
		}
		fetched = files
		return nil
	})
	if waits(in) && err == nil {
		answer.State, answer.Files = "done", fetched
	}
	return answer, err
}

// showResults opens a single result. Of several it opens the first pictures and
// tables, in an editor that can, and says where all are.
func (s *Session) showResults(ctx context.Context, files []Fetched) {
	var there, failed []string
	for _, f := range files {
		if f.Error != "" {
			failed = append(failed, fmt.Sprintf("%q: %s", f.Name, f.Error))
		}
		if f.Path != "" {
			there = append(there, f.Path)
		}
		failed = append(failed, f.Left...)
	}
	if len(failed) > 0 {
		s.cfg.UI.Say(ctx, Warning, "Left out: "+strings.Join(failed, "; "))
	}
	switch {
	case len(there) == 1:
		s.cfg.UI.ShowFile(ctx, there[0])
	case len(there) > 1:
		if viewer, ok := s.cfg.UI.(Viewer); ok && viewer.ShowsFiles() {
			for _, path := range worthShowing(there) {
				s.cfg.UI.ShowFile(ctx, path)
			}
		}
		s.cfg.UI.Say(ctx, Info, fmt.Sprintf("%d results are in %s.", len(there), filepath.Dir(there[0])))
	}
}

// mostShown is how many of several results are opened.
const mostShown = 3

// worthShowing are the first pictures and tables among files.
func worthShowing(paths []string) (some []string) {
	for _, path := range paths {
		switch strings.ToLower(filepath.Ext(path)) {
		case ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".csv", ".tsv":
			if some = append(some, path); len(some) == mostShown {
				return some
			}
		}
	}
	return some
}

// download is one download of results.
type download struct {
	s      *Session
	record track.Record
	dir    string   // absolute, named by the person; "" = the results directory
	names  []string // nil = all results
	kind   string   // the type that files must have; "" = results, and any type for names
	globs  []string // of automatic download; nil = no restriction
	most   int64    // bytes in all; 0 = no limit
	spent  int64    // of most
	left   []string // the results that most leaves no room for, in words

	extract bool // archives are extracted, too
}

// run fetches what is wanted. A file that cannot be had does not keep the
// others back.
func (d *download) run(ctx context.Context) ([]Fetched, error) {
	client, err := d.s.client(d.record.Server)
	if err != nil {
		return nil, err
	}
	job, err := client.Job(ctx, d.record.Job)
	if err != nil {
		return nil, err
	}
	wanted, err := d.choose(job)
	if err != nil {
		return nil, err
	}
	outputs := job.Outputs != "" && d.names == nil && (d.kind == "" || d.kind == "result")
	if len(wanted) == 0 && !outputs {
		if d.globs != nil || d.most > 0 {
			return nil, nil
		}
		return nil, &StateError{Job: job.ID, State: d.record.State, Message: fmt.Sprintf("job %s has no results: it is %s", job.ID, strings.ToLower(string(job.Status)))}
	}
	root, err := d.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fetched, err := d.fetchAll(ctx, client, root, job, wanted, outputs)
	d.noteAll(job, fetched)
	return fetched, err
}

// choose returns the files to fetch.
func (d *download) choose(job *jobapi.Job) ([]jobapi.File, error) {
	var wanted []jobapi.File
	for _, f := range job.Files {
		switch {
		case d.kind != "" && f.Type != d.kind:
		case d.names != nil:
			if slices.Contains(d.names, f.Name) {
				wanted = append(wanted, f)
			}
		case d.kind != "" || f.Type == "result" && matches(d.globs, f.Name):
			wanted = append(wanted, f)
		}
	}
	for _, name := range d.names {
		if !slices.ContainsFunc(wanted, func(f jobapi.File) bool { return f.Name == name }) {
			return nil, argumentError("job %s has no file %q", job.ID, name)
		}
	}
	if d.kind != "" && len(wanted) == 0 {
		return nil, argumentError("job %s has no file of type %q", job.ID, d.kind)
	}
	if d.most > 0 {
		wanted = d.thatFit(wanted)
	}
	return wanted, nil
}

// thatFit are the files that there is room for; the others are noted.
func (d *download) thatFit(files []jobapi.File) (fit []jobapi.File) {
	var total int64
	for _, f := range files {
		if size := max(0, f.Size); total+size <= d.most {
			total += size
			fit = append(fit, f)
			continue
		}
		d.left = append(d.left, fmt.Sprintf("%s (%s)", track.Plain(f.Name), megabytes(f.Size)))
	}
	return fit
}

func matches(globs []string, name string) bool {
	if len(globs) == 0 {
		return true
	}
	return slices.ContainsFunc(globs, func(glob string) bool {
		ok, err := doublestar.Match(glob, name)
		return ok && err == nil
	})
}

// open makes and opens the directory. The results directory is reached through
// the directory that it stands in, so that no link on the way leads out.
func (d *download) open() (*os.Root, error) {
	if d.dir != "" {
		if err := os.MkdirAll(d.dir, 0o755); err != nil {
			return nil, fmt.Errorf("make the directory for results: %w", err)
		}
		return openRoot(d.dir)
	}
	if !plainName(d.record.Job) {
		return nil, fmt.Errorf("%q cannot be the name of a directory", d.record.Job)
	}
	if err := os.MkdirAll(d.record.ResultsIn, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory for results: %w", err)
	}
	base, err := openRoot(d.record.ResultsIn)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	dir := filepath.FromSlash(cmp.Or(d.record.ResultsDir, "juliahub-results"))
	if _, err := base.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := makeResultsDir(base, dir); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(dir, d.record.Job)
	if err := base.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory for results: %w", err)
	}
	root, err := base.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the directory for results: %w", err)
	}
	return root, nil
}

func openRoot(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the directory for results: %w", err)
	}
	return root, nil
}

// makeResultsDir makes the results directory with the files that keep it out
// of git and out of later appbundles.
func makeResultsDir(base *os.Root, dir string) error {
	if err := base.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory for results: %w", err)
	}
	for _, name := range []string{".gitignore", ".juliabundleignore"} {
		f, err := base.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			_, err = f.WriteString("*\n")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			return fmt.Errorf("mark the directory for results: %w", err)
		}
	}
	return nil
}

// fetchAll fetches the files one after the other.
func (d *download) fetchAll(ctx context.Context, client Client, root *os.Root, job *jobapi.Job, files []jobapi.File, outputs bool) ([]Fetched, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	task := d.s.cfg.UI.Begin(ctx, Work{Title: "Downloading results of " + job.ID, Percent: true, Cancel: cancel})
	var total, before int64
	for _, f := range files {
		total += max(0, f.Size)
	}
	fetched := []Fetched{}
	var firstErr error
	if outputs {
		f := d.keepOutputs(root, job.Outputs)
		fetched = append(fetched, f)
	}
	for _, f := range files {
		got, err := d.fetch(ctx, client, root, job.ID, f, func(done int64) {
			task.Report(f.Name, 100*float64(before+done)/float64(max(total, before+done, 1)))
		})
		if ctx.Err() != nil {
			task.End("cancelled")
			return fetched, ctx.Err()
		}
		if err != nil {
			got.Error = err.Error()
			firstErr = cmp.Or(firstErr, err)
		}
		before += max(0, got.Size)
		fetched = append(fetched, got)
	}
	if firstErr != nil && len(files) == 1 {
		task.End("failed: " + firstLine(firstErr.Error()))
		return fetched, firstErr
	}
	task.End("done")
	return fetched, nil
}

// keepOutputs stores the job's outputs.
func (d *download) keepOutputs(root *os.Root, outputs string) Fetched {
	got := Fetched{Name: OutputsFile, Type: "outputs", Size: int64(len(outputs))}
	temp, f, err := tempFile(root)
	if err == nil {
		_, err = f.WriteString(outputs)
		err = errors.Join(err, f.Close())
		if err == nil {
			got.Path, got.Kept, err = place(root, temp, OutputsFile, sha256Of([]byte(outputs)))
		}
		_ = root.Remove(temp)
	}
	if err != nil {
		got.Error = err.Error()
	}
	return got
}

// fetch downloads one file: into a temporary one, which takes its place when
// size and SHA-256 are right.
func (d *download) fetch(ctx context.Context, client Client, root *os.Root, job string, f jobapi.File, progress func(int64)) (Fetched, error) {
	got := Fetched{Name: f.Name, Type: f.Type, Size: f.Size}
	name, err := localName(f.Name)
	if err != nil {
		return got, err
	}
	temp, file, err := tempFile(root)
	if err != nil {
		return got, err
	}
	defer func() { _ = root.Remove(temp) }() // gone already when all went well
	sum := sha256.New()
	counted := &counter{w: io.MultiWriter(file, sum)}
	if d.most > 0 { // sizes are what the server says: this is what comes
		counted.most = max(1, d.most-d.spent)
		defer func() { d.spent += counted.n }()
	}
	err = client.Download(ctx, job, f, counted, func(done, _ int64) { progress(done) })
	if err == nil {
		got.Size = counted.n
		got.Verified, err = f.Check(counted.n, sum.Sum(nil))
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return got, err
	}
	got.Path, got.Kept, err = place(root, temp, name, hex.EncodeToString(sum.Sum(nil)))
	if err != nil || !d.extract {
		return got, err
	}
	if dir := filepath.Join(filepath.Dir(got.Path), stemOf(filepath.Base(got.Path))); got.Kept && isDir(dir) {
		got.Extracted = dir // from the time before
		return got, nil
	}
	got.Extracted, got.Left, err = extract(ctx, root, filepath.Base(got.Path))
	return got, err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

type counter struct {
	w    io.Writer
	n    int64
	most int64 // 0 = no limit
}

// errTooMuch ends a download that brings more than there is room for.
var errTooMuch = errors.New("it is larger than there is room for in automatic download")

func (c *counter) Write(p []byte) (int, error) {
	if c.most > 0 && c.n+int64(len(p)) > c.most {
		return 0, errTooMuch
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func sha256Of(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tempFile makes a file beside which the finished one will stand.
func tempFile(root *os.Root) (string, *os.File, error) {
	name := ".juliahub-" + rand.Text() + ".part"
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", nil, fmt.Errorf("make a file for a result: %w", err)
	}
	return name, f, nil
}

// place gives a finished file its name: that one, or one with a number if a
// file with other bytes has it. One with the same bytes is kept.
func place(root *os.Root, temp, name, sum string) (path string, kept bool, err error) {
	ext := filepath.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	for i := 1; i < 1000; i++ {
		candidate := name
		if i > 1 {
			candidate = fmt.Sprintf("%s (%d)%s", stem, i, ext)
		}
		if same, exists := compare(root, candidate, sum); same {
			return filepath.Join(root.Name(), candidate), true, nil
		} else if exists {
			continue
		}
		// A link, unlike a rename, fails if someone made the file just now.
		err := root.Link(temp, candidate)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil { // file systems without links
			err = root.Rename(temp, candidate)
		}
		if err != nil {
			return "", false, fmt.Errorf("store the result %s: %w", name, err)
		}
		return filepath.Join(root.Name(), candidate), false, nil
	}
	return "", false, fmt.Errorf("store the result %s: too many files of that name", name)
}

// compare reports whether name exists, and whether it is a file with that
// SHA-256. Names that differ in case alone are one file on some systems: on
// those, opening finds it.
func compare(root *os.Root, name, sum string) (same, exists bool) {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false
	}
	if err != nil || !info.Mode().IsRegular() {
		return false, true
	}
	f, err := root.Open(name)
	if err != nil {
		return false, true
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return false, true
	}
	return hex.EncodeToString(hash.Sum(nil)) == sum, true
}

// NameError says that a job's file has a name that cannot be a file's here.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string { return fmt.Sprintf("the name %q %s", e.Name, e.Reason) }

// reserved are the names that Windows keeps for devices, with any extension.
var reserved = []string{"con", "prn", "aux", "nul"}

// localName turns the name of a job's file, which comes from the job and may be
// hostile, into the name of a local file: one component, the same on every
// system. Names that mean something to the system or to git are refused.
func localName(name string) (string, error) {
	refuse := func(reason string) (string, error) { return "", &NameError{name, reason} }
	switch {
	case name == "" || strings.Trim(name, ". ") == "":
		return refuse("is no name of a file")
	case strings.ContainsAny(name, `/\`):
		return refuse("holds a path separator")
	case strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) >= 0:
		return refuse("holds a control character")
	case len(name) > 240:
		return refuse("is too long")
	case strings.ContainsAny(name, `:`):
		return refuse("holds a colon, which names a drive or a stream on Windows")
	}
	folded := strings.ToLower(strings.TrimRight(name, ". "))
	stem, _, _ := strings.Cut(folded, ".")
	stem = strings.TrimSpace(stem)
	device := len(stem) == 4 && (strings.HasPrefix(stem, "com") || strings.HasPrefix(stem, "lpt")) && stem[3] >= '0' && stem[3] <= '9'
	switch {
	case slices.Contains(reserved, stem) || device:
		return refuse("is reserved on Windows")
	case folded == ".git" || folded == "git~1":
		return refuse("would be taken for git's own")
	case strings.TrimRight(name, ". ") != name:
		return refuse("ends in a dot or a space")
	}
	return name, nil
}

// noteAll writes into the record where the files are.
func (d *download) noteAll(job *jobapi.Job, fetched []Fetched) {
	if d.record.Submission == "" {
		return
	}
	_, _ = d.s.update(d.record.Submission, func(r *track.Record) {
		track.Apply(r, job)
		for _, f := range fetched {
			for i := range r.Files {
				if r.Files[i].Name == f.Name && r.Files[i].Type == f.Type && f.Path != "" {
					r.Files[i].Path = f.Path
				}
			}
		}
	})
}

package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"juliahub-lsp/internal/atomicfile"
)

// The states of a job, in the server's words.
const (
	submitted = "Submitted"
	running   = "Running"
	completed = "Completed"
	failed    = "Failed"
	stopped   = "Stopped"
)

// record is a job as its job.json keeps it.
type record struct {
	Number    int64             `json:"number"`
	ID        string            `json:"id"`
	Status    string            `json:"status"`
	Submitted time.Time         `json:"submitted"`
	Started   time.Time         `json:"started,omitzero"`
	Ended     time.Time         `json:"ended,omitzero"`
	Args      map[string]string `json:"args"`
	Outputs   string            `json:"outputs"`
	Files     []file            `json:"files"`
	Fields    map[string]string `json:"fields"` // the form as it was submitted, less code and files
	Hours     int               `json:"hours"`  // time limit, 0 = unlimited
	Expose    *expose           `json:"expose,omitempty"`
	Bundle    *bundleInfo       `json:"bundle,omitempty"`
}

// done reports whether a status is one of the last ones.
func done(status string) bool { return status == completed || status == failed || status == stopped }

// file is one file of a job; its bytes are in the job's directory under Blob.
type file struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Size     int64     `json:"size"`
	SHA256   string    `json:"sha256"`
	Uploaded time.Time `json:"uploaded"`
	Blob     string    `json:"blob"`
}

// job is a job and what is needed to run it.
type job struct {
	dir string
	log *logStore

	unpublish func() // takes an exposed port's address away, nil when it has none of its own

	mu       sync.Mutex // guards what follows
	rec      record
	end      context.CancelCauseFunc // ends the run, nil when there is none
	extended chan struct{}           // closed and replaced when the time limit moves
	port     int                     // where the program was told to listen, 0 when nowhere
}

// jobTable holds every job.
type jobTable struct {
	dir   string
	newID func() string

	mu   sync.Mutex // guards what follows
	byID map[string]*job
	list []*job // oldest first
	next int64
}

// openJobs reads the jobs of an earlier run. Those that had not ended are ended.
func openJobs(dir string, newID func() string, now func() time.Time) (*jobTable, error) {
	t := &jobTable{dir: dir, newID: newID, byID: map[string]*job{}, next: 1}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the emulator's jobs: %w", err)
	}
	for _, entry := range entries {
		j, err := loadJob(filepath.Join(dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it ended before its record was written: nobody was told of it
		} else if err != nil {
			return nil, err
		}
		t.byID[j.rec.ID] = j
		t.list = append(t.list, j)
		t.next = max(t.next, j.rec.Number+1)
	}
	slices.SortFunc(t.list, func(a, b *job) int { return int(a.rec.Number - b.rec.Number) })
	for _, j := range t.list {
		if done(j.rec.Status) {
			continue
		}
		j.logLine(now(), "Error", errClosing.Error())
		if err := errors.Join(j.finish(failed, now()), removeAll(filepath.Join(j.dir, "work"))); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func loadJob(dir string) (*job, error) {
	path := filepath.Join(dir, "job.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a job: %w", err)
	}
	j := &job{dir: dir, extended: make(chan struct{})}
	if err := json.Unmarshal(data, &j.rec); err != nil {
		return nil, fmt.Errorf("the job in %s is damaged: %w", path, err)
	}
	if j.log, err = openLog(filepath.Join(dir, "log.jsonl"), done(j.rec.Status)); err != nil {
		return nil, err
	}
	return j, nil
}

// create makes the directory of a new job. The job is in no list before add.
func (t *jobTable) create() (*job, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for range 100 {
		id := t.newID()
		if !validJobID(id) {
			return nil, fmt.Errorf("%q is no job id", id)
		}
		dir := filepath.Join(t.dir, id)
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("make the job's directory: %w", err)
		}
		log, err := openLog(filepath.Join(dir, "log.jsonl"), false)
		if err != nil {
			return nil, err
		}
		j := &job{dir: dir, log: log, extended: make(chan struct{})}
		j.rec = record{Number: t.next, ID: id, Status: submitted}
		t.next++
		return j, nil
	}
	return nil, errors.New("no new job id could be found")
}

// validJobID keeps ids that work as a directory's name and in a URL.
func validJobID(id string) bool {
	return len(id) > 3 && len(id) <= 64 && strings.HasPrefix(id, "jr-") && strings.Trim(id[3:], idAlphabet) == ""
}

// add puts a job into the list, once it is saved.
func (t *jobTable) add(j *job) error {
	if err := j.save(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID[j.rec.ID] = j
	t.list = append(t.list, j)
	return nil
}

func (t *jobTable) get(id string) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

// newest returns up to n jobs, newest first.
func (t *jobTable) newest(n int) []*job {
	t.mu.Lock()
	defer t.mu.Unlock()
	newest := slices.Clone(t.list[max(0, len(t.list)-n):])
	slices.Reverse(newest)
	return newest
}

func (t *jobTable) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	for _, j := range t.list {
		err = errors.Join(err, j.log.close())
	}
	return err
}

// change alters the record and saves it.
func (j *job) change(f func(*record)) error {
	j.mu.Lock()
	f(&j.rec)
	j.mu.Unlock()
	return j.save()
}

func (j *job) save() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	data, err := json.Marshal(j.rec)
	if err != nil {
		return fmt.Errorf("encode a job: %w", err)
	}
	return atomicfile.Write(filepath.Join(j.dir, "job.json"), data, 0o600)
}

// finish ends the log and sets a last status in one step: who sees the job done
// finds its whole log.
func (j *job) finish(status string, now time.Time) error {
	var err error
	return errors.Join(j.change(func(r *record) {
		r.Status, r.Ended = status, now
		err = j.log.finish()
	}), err)
}

// snapshot is a copy that its owner may read at leisure.
func (j *job) snapshot() record {
	j.mu.Lock()
	defer j.mu.Unlock()
	rec := j.rec
	rec.Files = slices.Clone(rec.Files)
	return rec
}

// ISO 8601 with an offset, as the real server writes times.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000") + "+00:00"
}

// wire is the job as the API shows it.
func (r record) wire(wrongHash bool) map[string]any {
	files := make([]any, 0, len(r.Files))
	for _, f := range r.Files {
		sum := f.SHA256
		if wrongHash {
			sum = strings.Repeat("0", len(sum))
		}
		files = append(files, map[string]any{
			"name": f.Name, "type": f.Type, "size": f.Size, "upload_timestamp": stamp(f.Uploaded),
			"hash": map[string]any{"algorithm": "sha2_256", "value": sum},
		})
	}
	limit := "time"
	if r.Hours == 0 {
		limit = "unlimited"
	}
	m := map[string]any{
		"id": r.Number, "jobname": r.ID, "jobname_alias": nil, "status": r.Status, "username": userName,
		"submittimestamp": stamp(r.Submitted), "starttimestamp": stamp(r.Started), "endtimestamp": stamp(r.Ended),
		"inputs": inputs(r.Args), "outputs": r.Outputs, "files": files,
		"proxy_link": "", "limit_type": limit, "limit_value": nil,
	}
	if r.Hours > 0 {
		m["limit_value"] = r.Hours
	}
	if alias, ok := r.Args["jobname"]; ok {
		m["jobname_alias"] = alias
	}
	if r.Expose != nil {
		m["proxy_link"] = r.Expose.Link
	}
	return m
}

// inputs writes the arguments as the API does: JSON in a string. Clients take
// one level of backslashes off before they decode it, so a document that has
// backslashes of its own arrives with every one of them, and its quotes, escaped.
func inputs(args map[string]string) string {
	if args == nil {
		args = map[string]string{}
	}
	data, err := json.Marshal(args)
	if err != nil {
		return "{}"
	}
	text := string(data)
	if strings.Contains(text, `\`) {
		text = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
	}
	return text
}

// shown is a job in the answer to a request.
func (e *Emulator) shown(j *job, r *http.Request) map[string]any {
	m := j.snapshot().wire(faultOf(r).Kind == FaultWrongHash)
	e.quirks.Load().job(m)
	return m
}

func (e *Emulator) handleJob(w http.ResponseWriter, r *http.Request) {
	details := []any{}
	if j := e.jobs.get(r.PathValue("id")); j != nil {
		details = append(details, e.shown(j, r))
	}
	reply(w, http.StatusOK, map[string]any{"details": details})
}

func (e *Emulator) handleJobs(w http.ResponseWriter, r *http.Request) {
	limit := 20
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			plain(w, http.StatusBadRequest, "limit must be a positive whole number")
			return
		}
		limit = n
	}
	list := []any{}
	for n := range min(limit, e.quirks.Load().ForeignJobs) {
		list = append(list, foreign(n, e.now()))
	}
	for _, j := range e.jobs.newest(limit - len(list)) {
		list = append(list, e.shown(j, r))
	}
	reply(w, http.StatusOK, list)
}

const noAccess = "User does not have access to this job"

func (e *Emulator) handleKill(w http.ResponseWriter, r *http.Request) {
	j := e.jobs.get(r.URL.Query().Get("jobname"))
	if j == nil {
		plain(w, http.StatusForbidden, noAccess)
		return
	}
	j.mu.Lock()
	end, id, ended := j.end, j.rec.ID, done(j.rec.Status)
	j.mu.Unlock()
	message := "Job " + id + " stopped successfully"
	if ended {
		message = "Job " + id + " has already ended"
	} else if end != nil {
		end(errKilled)
	}
	reply(w, http.StatusOK, map[string]any{"status": true, "message": message})
}

func (e *Emulator) handleExtend(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Job   string `json:"jobname"`
		Hours *int   `json:"extendby"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil || in.Hours == nil {
		refuse(w, "The body must be a JSON object with jobname (string) and extendby (whole hours)")
		return
	}
	j := e.jobs.get(in.Job)
	if j == nil {
		plain(w, http.StatusForbidden, noAccess)
		return
	}
	if message := j.extend(*in.Hours); message != "" {
		refuse(w, message)
		return
	}
	if err := j.save(); err != nil {
		e.broken(w, r, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"success": true, "message": ""})
}

// extend moves the time limit, or says why not.
func (j *job) extend(hours int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case hours < 1:
		return "extendby must be at least one hour"
	case j.rec.Hours == 0:
		return "The job has no time limit"
	case done(j.rec.Status):
		return "The job has ended"
	}
	j.rec.Hours += hours
	close(j.extended)
	j.extended = make(chan struct{})
	return ""
}

// handleFile streams one file of a job.
func (e *Emulator) handleFile(w http.ResponseWriter, r *http.Request) {
	j := e.jobs.get(r.PathValue("id"))
	if j == nil {
		plain(w, http.StatusForbidden, noAccess)
		return
	}
	name, kind := r.PathValue("name"), r.URL.Query().Get("filetype")
	for _, f := range j.snapshot().Files {
		if f.Name == name && f.Type == kind {
			e.serveFile(w, r, j, f)
			return
		}
	}
	plain(w, http.StatusNotFound, "The job has no such file")
}

func (e *Emulator) serveFile(w http.ResponseWriter, r *http.Request, j *job, f file) {
	in, err := os.Open(filepath.Join(j.dir, f.Blob))
	if err != nil {
		e.broken(w, r, err)
		return
	}
	defer in.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	if faultOf(r).Kind == FaultWrongHash {
		w = &flipWriter{ResponseWriter: w}
	}
	http.ServeContent(w, r, "", f.Uploaded, in)
}

// flipWriter changes the first byte that passes.
type flipWriter struct {
	http.ResponseWriter

	flipped bool
}

// Write passes the bytes on, the very first one changed.
func (f *flipWriter) Write(p []byte) (int, error) {
	if !f.flipped && len(p) > 0 {
		p = slices.Clone(p)
		p[0] ^= 1
		f.flipped = true
	}
	return f.ResponseWriter.Write(p)
}

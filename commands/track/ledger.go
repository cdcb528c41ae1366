package track

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"juliahub-lsp/internal/atomicfile"
)

// ErrNoRecord says that the ledger has no record of that submission.
var ErrNoRecord = errors.New("no such submission")

// recordVersion is the format that this program writes.
const recordVersion = 1

// keepFor is how long the record of an ended submission is kept: long enough
// for "what did I run last month", short enough that the directory stays small.
const keepFor = 30 * 24 * time.Hour

// Ledger is the directory that remembers submissions, shared by all processes
// of one user. Each record is one small file; it changes by lock, re-read,
// merge and atomic write. Methods may be called from any goroutine.
type Ledger struct {
	dir    string
	memory memory

	mu      sync.Mutex // guards what follows
	scanned time.Time  // mtime of the directory at the last scan
	corrupt []string   // files set aside and not yet told
	untold  []string   // submissions that changed, as Read has seen, and no Scan has returned yet
}

// stamp tells whether a file is still the one that was read: an atomic write
// makes a new file, so that two versions differ even within the clock's grain.
type stamp struct{ info fs.FileInfo }

func (s stamp) same(info fs.FileInfo) bool {
	return s.info != nil && os.SameFile(s.info, info) && s.info.Size() == info.Size() && s.info.ModTime().Equal(info.ModTime())
}

// NewLedger returns the ledger in a directory. It does not touch the disk.
func NewLedger(dir string) *Ledger {
	return &Ledger{dir: dir, memory: memory{byID: map[string]*entry{}}}
}

// Dir is the ledger's directory.
func (l *Ledger) Dir() string { return l.dir }

// SideFile is the path of a file that lives and dies with a record.
func (l *Ledger) SideFile(submission, suffix string) string {
	return filepath.Join(l.dir, "records", submission+suffix)
}

// LogDir is the directory of a submission's log.
func (l *Ledger) LogDir(submission string) string {
	return filepath.Join(l.dir, "logs", submission)
}

func (l *Ledger) path(submission string) string { return l.SideFile(submission, ".json") }

// Create stores the record of a new submission, whose id nobody else knows yet.
// When it returns nil, file and directory are on the disk.
func (l *Ledger) Create(r Record) error {
	r.Version = recordVersion
	if !validID(r.Submission) {
		return fmt.Errorf("submission id %q cannot be a file name", r.Submission)
	}
	return l.store(&r)
}

// validID accepts what a UUID consists of: the id becomes a file name.
func validID(id string) bool {
	return id != "" && strings.Trim(id, "0123456789abcdefABCDEF-") == ""
}

// Update changes a record: change gets the newest version, whoever wrote it,
// and says what is to be. The state never goes back. It returns the record as
// it is afterwards.
func (l *Ledger) Update(submission string, change func(*Record)) (Record, error) {
	if !validID(submission) {
		return Record{}, ErrNoRecord
	}
	unlock, err := l.lock(submission)
	if err != nil {
		return Record{}, err
	}
	defer unlock()
	data, st, err := readFile(l.path(submission))
	if err != nil {
		return Record{}, fmt.Errorf("%w: %s", ErrNoRecord, submission)
	}
	old, err := decode(data, submission)
	if err != nil {
		return Record{}, fmt.Errorf("read the record of submission %s: %w", submission, err)
	}
	l.keepVolatile(&old)
	r := old.clone()
	change(&r)
	merge(&old, &r)
	encoded, err := json.Marshal(&r)
	if err != nil {
		return Record{}, fmt.Errorf("encode the record of submission %s: %w", submission, err)
	}
	if bytes.Equal(encoded, bytes.TrimSpace(data)) {
		l.remember(r, st)
		return r.clone(), nil
	}
	if err := l.store(&r); err != nil {
		return Record{}, err
	}
	return r.clone(), nil
}

// merge keeps in r what a change must not undo.
func merge(old, r *Record) {
	r.Version = recordVersion
	r.Submission = old.Submission
	r.State = later(old.State, r.State)
	if old.Job != "" {
		r.Job = old.Job
	}
	r.Kill = r.Kill || old.Kill
	r.Dismissed = r.Dismissed || old.Dismissed
	r.Settled = r.Settled || old.Settled
}

// Note changes what is not stored: when a job was last seen, and its trouble.
func (l *Ledger) Note(submission string, change func(*Record)) (Record, bool) {
	return cloned(l.memory.note(submission, change))
}

// keepVolatile carries the unstored fields over a re-read.
func (l *Ledger) keepVolatile(r *Record) {
	if known := l.memory.get(r.Submission); known != nil {
		r.Seen, r.Trouble, r.Line = known.Seen, known.Trouble, known.Line
	}
}

func (l *Ledger) store(r *Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of submission %s: %w", r.Submission, err)
	}
	path := l.path(r.Submission)
	if err := atomicfile.Write(path, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember submission %s: %w", r.Submission, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("remember submission %s: %w", r.Submission, err)
	}
	l.remember(*r, stampOf(info))
	return nil
}

func (l *Ledger) remember(r Record, st stamp) {
	own := r.clone()
	l.memory.put(&own, st)
}

// Get returns a record from memory.
func (l *Ledger) Get(submission string) (Record, bool) { return cloned(l.memory.get(submission)) }

func cloned(r *Record) (Record, bool) {
	if r == nil {
		return Record{}, false
	}
	return r.clone(), true
}

// All returns all records in memory, newest first, as Select does.
func (l *Ledger) All() []*Record {
	entries := l.memory.all()
	all := make([]*Record, len(entries))
	for i, e := range entries {
		all[i] = e.record.Load()
	}
	return all
}

// Select returns the records in memory that want accepts, newest first. They are
// shared, for a thousand of them are looked at every second, and must not be
// changed. A record that changes is another one from then on, so that whoever
// keeps what was made of one can tell by its address.
func (l *Ledger) Select(want func(*Record) bool) []*Record {
	selected := []*Record{}
	for _, e := range l.memory.all() {
		if r := e.record.Load(); want(r) {
			selected = append(selected, r)
		}
	}
	return selected
}

// newer orders records, the newer one first.
func newer(a, b *Record) int {
	if c := b.Created.Compare(a.Created); c != 0 {
		return c
	}
	return strings.Compare(b.Submission, a.Submission)
}

// Newest returns the newest record in memory that want accepts. want must
// neither keep nor change its argument.
func (l *Ledger) Newest(want func(*Record) bool) (Record, bool) {
	for _, e := range l.memory.all() {
		if r := e.record.Load(); want(r) {
			return r.clone(), true
		}
	}
	return Record{}, false
}

// Count returns how many records in memory want accepts.
func (l *Ledger) Count(want func(*Record) bool) int {
	n := 0
	for _, e := range l.memory.all() {
		if want(e.record.Load()) {
			n++
		}
	}
	return n
}

// Scan reads what other processes changed and returns the submissions whose
// records are new, changed or gone since the last Scan. It costs one stat when
// nothing did.
func (l *Ledger) Scan(now time.Time) (changed []string, err error) {
	changed, err = l.read(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	changed = append(changed, l.untold...)
	l.untold = nil
	return changed, err
}

// Read is Scan for those who want to know the records and have nobody to tell
// what changed: the next Scan returns that, too.
func (l *Ledger) Read(now time.Time) error {
	changed, err := l.read(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.untold = append(l.untold, changed...)
	slices.Sort(l.untold)
	l.untold = slices.Compact(l.untold)
	return err
}

func (l *Ledger) read(now time.Time) (changed []string, err error) {
	dir := filepath.Join(l.dir, "records")
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return l.forget(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at the submission records: %w", err)
	}
	// A directory changed a moment ago may change again within the clock's
	// grain, so its time counts only once it is older than that.
	if info.ModTime().Equal(l.lastScan()) {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the submission records: %w", err)
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".tmp-") {
			l.sweep(e, now)
		}
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !validID(id) {
			continue
		}
		seen[id] = true
		if l.refresh(id, now) {
			changed = append(changed, id)
		}
	}
	changed = append(changed, l.forget(seen)...)
	if time.Since(info.ModTime()) > 2*time.Second {
		l.setLastScan(info.ModTime())
	}
	return changed, nil
}

// sweep removes what a process that was killed while it wrote a record left
// behind. Writing one takes no hour.
func (l *Ledger) sweep(e fs.DirEntry, now time.Time) {
	if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > time.Hour {
		_ = os.Remove(filepath.Join(l.dir, "records", e.Name()))
	}
}

func (l *Ledger) lastScan() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scanned
}

func (l *Ledger) setLastScan(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scanned = t
}

// forget drops the records whose files are gone.
func (l *Ledger) forget(seen map[string]bool) []string {
	var gone []string
	for _, id := range l.memory.missing(seen) {
		// One that was created while the directory was being listed is not gone.
		if _, err := os.Stat(l.path(id)); errors.Is(err, fs.ErrNotExist) {
			l.memory.remove(id)
			gone = append(gone, id)
		}
	}
	return gone
}

// refresh re-reads one record if its file changed, and reports whether it did.
func (l *Ledger) refresh(id string, now time.Time) bool {
	path := l.path(id)
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if known, ok := l.memory.stampOf(id); ok && known.same(info) {
		return false
	}
	data, st, err := readFile(path)
	if err != nil {
		return false
	}
	r, err := decode(data, id)
	if errors.Is(err, errNewer) {
		return false
	}
	if err != nil {
		l.setAside(path, now)
		return false
	}
	if r.State.Ended() && (r.Settled || r.Job == "") && now.Sub(r.Created) > keepFor {
		l.drop(id)
		return false
	}
	l.keepVolatile(&r)
	l.remember(r, st)
	return true
}

// setAside moves a record that cannot be read out of the way, so that the
// others are usable and nothing is lost.
func (l *Ledger) setAside(path string, now time.Time) {
	dir := filepath.Join(l.dir, "corrupt")
	target := filepath.Join(dir, fmt.Sprintf("%s.%d", filepath.Base(path), now.Unix()))
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.Rename(path, target)
	}
	if err != nil {
		target = path
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.corrupt, target) {
		l.corrupt = append(l.corrupt, target)
	}
}

// TakeCorrupt returns the records that could not be read and were set aside,
// each once.
func (l *Ledger) TakeCorrupt() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	files := l.corrupt
	l.corrupt = nil
	return files
}

// drop removes a record with everything beside it.
func (l *Ledger) drop(id string) {
	dir := filepath.Dir(l.path(id))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // later, then
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id+".") {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	_ = os.RemoveAll(l.LogDir(id))
	l.memory.remove(id)
}

// shards is the number of lock files of the records: few enough to keep,
// enough that submissions do not wait for each other's disk.
const shards = 16

// lock excludes every other writer of the record, in this and other processes.
// Lock files are never removed: a removed one would lock nobody out.
func (l *Ledger) lock(submission string) (unlock func(), err error) {
	var h uint32
	for _, c := range []byte(submission) {
		h = h*31 + uint32(c)
	}
	path := filepath.Join(l.dir, "locks", fmt.Sprintf("records-%02d", h%shards))
	var f *flock.Flock
	err = withDir(path, func() error {
		f = flock.New(path)
		return f.Lock()
	})
	if err != nil {
		return nil, fmt.Errorf("lock the submission records: %w", err)
	}
	return func() { _ = f.Unlock() }, nil
}

// Hold locks a submission for as long as its owner lives, so that no other
// process takes it for interrupted. ok is false when someone else holds it.
func (l *Ledger) Hold(submission string) (release func(), ok bool, err error) {
	path := l.SideFile(submission, ".flight")
	var f *flock.Flock
	err = withDir(path, func() error {
		f = flock.New(path)
		ok, err = f.TryLock()
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("lock submission %s: %w", submission, err)
	}
	if !ok {
		return nil, false, nil
	}
	return func() {
		// Removed while locked. Whoever opened it before gets a lock that
		// means nothing, but reads the record then and finds it done.
		_ = os.Remove(path)
		_ = f.Unlock()
	}, true, nil
}

// Lead tries to become the one process that polls, downloads and asks. The
// lock is on a file that is never renamed or removed.
func (l *Ledger) Lead() (release func(), ok bool, err error) {
	return tryLock(filepath.Join(l.dir, "locks", "lead"))
}

func readFile(path string) ([]byte, stamp, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, stamp{}, err
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(f); err != nil {
		return nil, stamp{}, err
	}
	return b.Bytes(), stampOf(info), nil
}

func stampOf(info fs.FileInfo) stamp {
	return stamp{info: info}
}

// errNewer marks a record that a newer version of this program wrote.
var errNewer = errors.New("written by a newer version")

func decode(data []byte, id string) (Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return r, err
	}
	if r.Version > recordVersion {
		return r, errNewer
	}
	if r.Submission != id || ranks[r.State] == 0 {
		return r, errors.New("not a submission record")
	}
	return r, nil
}

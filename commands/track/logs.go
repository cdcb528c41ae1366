package track

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"juliahub-lsp/internal/atomicfile"
	"juliahub-lsp/jobapi"
)

// The rhythm of following logs: soon after something came, rarely when nothing does.
const (
	logPauseLeast = 2 * time.Second
	logPauseMost  = 30 * time.Second
	// mostFollowed is how many logs are followed at a time.
	mostFollowed = 4
	// pageSize is the most messages that the server gives in one answer.
	pageSize = 10000
	// partSize is the size at which job.log is put aside as a part: an editor
	// opens that much at once.
	partSize = 10 << 20
	// remembered is how many event ids are kept to recognise a message that
	// comes again around a resumption.
	remembered = 1000
	// readFor is how long a log is followed after someone asked for it.
	readFor = 10 * time.Minute
)

// follower is one goroutine that follows one log.
type follower struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// WantLog makes the log of a job be followed for some minutes, also when its
// progress is not shown.
func (t *Tracker) WantLog(submission string) {
	t.mu.Lock()
	t.wanted[submission] = time.Now().Add(readFor)
	t.mu.Unlock()
	t.Kick()
}

// follow starts and stops followers: first the logs that someone opened, then
// those of the newest jobs that run.
func (t *Tracker) follow(ctx context.Context) {
	now := time.Now()
	t.mu.Lock()
	opened := map[string]bool{}
	for id, until := range t.wanted {
		if now.After(until) {
			delete(t.wanted, id)
		} else {
			opened[id] = true
		}
	}
	t.mu.Unlock()
	running := t.cfg.Ledger.Select(func(r *Record) bool { return r.State == Running })
	wanted := map[string]Record{}
	for _, r := range running {
		if opened[r.Submission] && len(wanted) < mostFollowed {
			wanted[r.Submission] = r
		}
	}
	for _, r := range running {
		if !r.Unwatched && !r.Dismissed && len(wanted) < mostFollowed {
			wanted[r.Submission] = r
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, f := range t.followers {
		if _, ok := wanted[id]; !ok {
			f.cancel()
			delete(t.followers, id)
		}
	}
	for id, r := range wanted {
		if t.followers[id] == nil {
			followCtx, cancel := context.WithCancel(ctx)
			f := &follower{cancel: cancel, done: make(chan struct{})}
			t.followers[id] = f
			t.wg.Go(func() {
				defer close(f.done)
				defer cancel()
				t.followOne(followCtx, r)
			})
		}
	}
}

// unfollow stops following a log and waits until its file is free.
func (t *Tracker) unfollow(submission string) {
	t.mu.Lock()
	f := t.followers[submission]
	delete(t.followers, submission)
	t.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

func (t *Tracker) followOne(ctx context.Context, r Record) {
	pause := logPauseLeast
	for {
		n, bottom, err := t.catchUp(ctx, r)
		switch {
		case ctx.Err() != nil || bottom:
			return
		case err != nil:
			t.cfg.Logger.Info("cannot read a log; trying again", "job", r.Job, "error", err)
			pause = max(min(2*pause, logPauseMost), jobapi.RetryAfter(err))
		case n > 0:
			pause = logPauseLeast
		default:
			pause = min(pause*3/2, logPauseMost)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(jitter(pause)):
		}
	}
}

// CatchUp writes what is new of a job's log into its file, and returns the
// file's path. Whoever calls it must know that no one else follows the log:
// the tracker's own calls at a job's end do.
func (t *Tracker) CatchUp(ctx context.Context, r Record) (path string, err error) {
	t.unfollow(r.Submission)
	_, _, err = t.catchUp(ctx, r)
	return LogFile(t.cfg.Ledger.LogDir(r.Submission)), err
}

func (t *Tracker) catchUp(ctx context.Context, r Record) (n int, bottom bool, err error) {
	client, err := t.cfg.Connect(r.Server)
	if err != nil {
		return 0, false, err
	}
	log, release, err := openLog(ctx, t.cfg.Ledger.LogDir(r.Submission))
	if err != nil {
		return 0, false, err
	}
	defer release()
	return log.catchUp(ctx, client, r.Job, func(messages []jobapi.LogMessage) {
		t.cfg.Messages(r.Submission, messages)
	})
}

// LogFile is the path of the newest part of the log in a log directory.
func LogFile(dir string) string { return filepath.Join(dir, "job.log") }

// logFile is the local copy of one job's log, and how far it goes. The cursor
// is written after the text: text beyond the cursor is cut off when the file is
// opened again, so that a crash neither loses nor doubles a line.
type logFile struct {
	dir string
	at  cursor
}

type cursor struct {
	Size  int64     `json:"size"`  // of job.log
	Parts int       `json:"parts"` // files put aside
	Time  time.Time `json:"time"`  // of the newest message with both time and id
	Event string    `json:"event"` // its id
	After int       `json:"after"` // messages written since that one
	Seen  []string  `json:"seen"`  // the newest event ids
	Begun bool      `json:"begun"` // the log was read from its start
	Done  bool      `json:"done"`  // the last message is in the file
}

// openLog opens the log in dir for writing; only one process at a time has it.
func openLog(ctx context.Context, dir string) (*logFile, func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the directory of a log: %w", err)
	}
	release, err := lockFile(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, nil, err
	}
	l := &logFile{dir: dir}
	if err := l.load(); err != nil {
		release()
		return nil, nil, err
	}
	return l, release, nil
}

func (l *logFile) load() error {
	data, err := os.ReadFile(filepath.Join(l.dir, "cursor.json"))
	if err == nil {
		err = json.Unmarshal(data, &l.at)
	}
	if err != nil { // none yet, or damaged: from the start
		l.at = cursor{}
	}
	path := LogFile(l.dir)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.at = cursor{}
		return l.save()
	case err != nil:
		return fmt.Errorf("look at a log: %w", err)
	case info.Size() < l.at.Size: // someone cut it: read it again
		l.at = cursor{}
	}
	if err := os.Truncate(path, l.at.Size); err != nil {
		return fmt.Errorf("resume a log: %w", err)
	}
	return nil
}

func (l *logFile) save() error {
	data, err := json.Marshal(l.at)
	if err != nil {
		return fmt.Errorf("encode the place in a log: %w", err)
	}
	return atomicfile.Write(filepath.Join(l.dir, "cursor.json"), data, 0o600)
}

// catchUp reads all that is new. n counts the messages, bottom says that the
// log is complete.
func (l *logFile) catchUp(ctx context.Context, client Client, job string, tell func([]jobapi.LogMessage)) (n int, bottom bool, err error) {
	if l.at.Done {
		return 0, true, nil
	}
	if !l.at.Begun {
		n, bottom, err = l.fromStart(ctx, client, job, tell)
		if err != nil || bottom {
			return n, bottom, err
		}
	}
	for {
		if l.at.Event == "" { // nothing to resume from: the log was empty so far
			return n, false, nil
		}
		page, err := client.Logs(ctx, job, jobapi.LogQuery{
			Entries: pageSize, After: &jobapi.Mark{Time: l.at.Time, EventID: l.at.Event},
		})
		if err != nil {
			return n, false, err
		}
		fresh := l.fresh(page.Messages)
		if err := l.write(fresh, page.Bottom); err != nil {
			return n, false, err
		}
		if len(fresh) > 0 {
			tell(fresh)
		}
		n += len(fresh)
		if page.Bottom || len(fresh) == 0 {
			return n, page.Bottom, nil
		}
	}
}

// fromStart reads a log whose start is not in the file yet: the last page, and
// from there backwards. Pages wait in files of their own until the start is
// reached, so that memory does not grow with the log.
func (l *logFile) fromStart(ctx context.Context, client Client, job string, tell func([]jobapi.LogMessage)) (n int, bottom bool, err error) {
	spool, err := os.MkdirTemp(l.dir, "pages-")
	if err != nil {
		return 0, false, fmt.Errorf("read a log: %w", err)
	}
	defer os.RemoveAll(spool)
	page, err := client.Logs(ctx, job, jobapi.LogQuery{Entries: pageSize})
	if err != nil {
		return 0, false, err
	}
	last := page
	if len(page.Messages) == 0 && !page.Bottom {
		return 0, false, nil
	}
	pages, seen := 0, map[string]bool{}
	for !page.Top && len(page.Messages) > 0 {
		if err := savePage(spool, pages, page.Messages); err != nil {
			return 0, false, err
		}
		pages++
		mark, skip := firstMark(page.Messages)
		if mark == nil {
			break
		}
		for _, m := range page.Messages {
			if m.EventID != "" {
				seen[m.EventID] = true
			}
		}
		page, err = client.Logs(ctx, job, jobapi.LogQuery{Entries: pageSize, Before: mark})
		if err != nil {
			return 0, false, err
		}
		page.Messages = before(page.Messages, skip, seen)
		clear(seen)
	}
	if page.Top && len(page.Messages) > 0 {
		if err := savePage(spool, pages, page.Messages); err != nil {
			return 0, false, err
		}
		pages++
	}
	for i := pages - 1; i >= 0; i-- {
		messages, err := loadPage(spool, i)
		if err != nil {
			return n, false, err
		}
		l.at.Begun = true
		if err := l.write(messages, last.Bottom && i == 0); err != nil {
			return n, false, err
		}
		tell(messages)
		n += len(messages)
	}
	if pages == 0 && last.Bottom {
		err = l.write(nil, true)
	}
	return n, last.Bottom, err
}

// firstMark returns the first place of a page that a query can name, and how
// many messages stand before it.
func firstMark(messages []jobapi.LogMessage) (*jobapi.Mark, int) {
	for i, m := range messages {
		if m.EventID != "" && !m.Time.IsZero() {
			return &jobapi.Mark{Time: m.Time, EventID: m.EventID}, i
		}
	}
	return nil, 0
}

// before drops from a page what the next one begins with: the messages that
// stood before the mark, and those known by id.
func before(messages []jobapi.LogMessage, skip int, seen map[string]bool) []jobapi.LogMessage {
	messages = messages[:max(0, len(messages)-skip)]
	kept := messages[:0]
	for _, m := range messages {
		if m.EventID == "" || !seen[m.EventID] {
			kept = append(kept, m)
		}
	}
	return kept
}

func savePage(dir string, i int, messages []jobapi.LogMessage) error {
	data, err := json.Marshal(messages)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep a page of a log: %w", err)
	}
	return nil
}

func loadPage(dir string, i int) ([]jobapi.LogMessage, error) {
	var messages []jobapi.LogMessage
	data, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
	if err == nil {
		err = json.Unmarshal(data, &messages)
	}
	if err != nil {
		return nil, fmt.Errorf("read a page of a log: %w", err)
	}
	return messages, nil
}

// fresh drops what is in the file already.
func (l *logFile) fresh(messages []jobapi.LogMessage) []jobapi.LogMessage {
	known := make(map[string]bool, len(l.at.Seen))
	for _, id := range l.at.Seen {
		known[id] = true
	}
	skip := l.at.After
	var fresh []jobapi.LogMessage
	for _, m := range messages {
		if m.EventID != "" && known[m.EventID] {
			if skip > 0 && m.Time.IsZero() {
				skip--
			}
			continue
		}
		if skip > 0 && (m.EventID == "" || m.Time.IsZero()) {
			skip--
			continue
		}
		fresh = append(fresh, m)
	}
	return fresh
}

// write appends messages to the file and moves the cursor behind them.
func (l *logFile) write(messages []jobapi.LogMessage, done bool) error {
	f, err := os.OpenFile(LogFile(l.dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	var b strings.Builder
	for i := range messages {
		writeLine(&b, &messages[i])
		l.advance(&messages[i])
		if b.Len() > 1<<20 {
			if err := l.flush(&f, &b); err != nil {
				return errors.Join(err, f.Close())
			}
		}
	}
	if err := l.flush(&f, &b); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	l.at.Done = done
	if len(messages) == 0 && !done {
		return nil
	}
	return l.save()
}

// flush writes the buffer out, and begins a new part when this one is full.
func (l *logFile) flush(f **os.File, b *strings.Builder) error {
	n, err := io.WriteString(*f, b.String())
	if err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	b.Reset()
	l.at.Size += int64(n)
	if l.at.Size < partSize {
		return nil
	}
	if err := (*f).Close(); err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	l.at.Parts++
	if err := os.Rename(LogFile(l.dir), filepath.Join(l.dir, fmt.Sprintf("job.%04d.log", l.at.Parts))); err != nil {
		return fmt.Errorf("put a part of a log aside: %w", err)
	}
	l.at.Size = 0
	*f, err = os.OpenFile(LogFile(l.dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	return nil
}

func (l *logFile) advance(m *jobapi.LogMessage) {
	if m.EventID != "" {
		l.at.Seen = append(l.at.Seen, m.EventID)
		if len(l.at.Seen) > 2*remembered {
			l.at.Seen = append([]string(nil), l.at.Seen[remembered:]...)
		}
	}
	if m.EventID != "" && !m.Time.IsZero() {
		l.at.Time, l.at.Event, l.at.After = m.Time, m.EventID, 0
		return
	}
	l.at.After++
}

// writeLine renders a message as a line of the file: printed lines as they
// are, log records with their level and keywords.
func writeLine(b *strings.Builder, m *jobapi.LogMessage) {
	b.WriteString(Plain(m.Message))
	if m.Level != nil {
		for _, k := range sortedKeywords(m.Keywords) {
			fmt.Fprintf(b, "  %s=%s", Plain(k), Plain(fmt.Sprint(m.Keywords[k])))
		}
	}
	b.WriteByte('\n')
}

// Plain makes text of a job safe to show: no control characters but line ends
// and tabs, no terminal colours.
func Plain(text string) string {
	text = strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\r\n", "\n")
	if strings.IndexFunc(text, control) < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if n := escape(text[i:]); n > 0 {
			i += n
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if !control(r) {
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

func control(r rune) bool {
	return (unicode.IsControl(r) && r != '\n' && r != '\t') ||
		(r >= 0x202A && r <= 0x202E) || (r >= 0x2066 && r <= 0x2069) // text direction overrides
}

// escape returns the length of the terminal control sequence that text begins with, else 0.
func escape(text string) int {
	if !strings.HasPrefix(text, "\x1b[") {
		return 0
	}
	for i := 2; i < len(text); i++ {
		if text[i] >= 0x40 && text[i] <= 0x7e {
			return i + 1
		}
	}
	return len(text)
}

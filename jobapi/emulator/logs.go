package emulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// message is one log message as the API shows it, less its marks.
type message struct {
	Message   string         `json:"message"`
	Timestamp int64          `json:"timestamp"` // unix ms
	EventID   string         `json:"eventId"`
	Keywords  map[string]any `json:"keywords"`
	Metadata  map[string]any `json:"metadata"`
}

// maxEntries is how many messages one answer holds at most.
const maxEntries = 10_000

// maxPage is how many bytes of messages one answer holds at most, however many
// entries were asked for: jobs may log lines of a megabyte.
const maxPage = 32 << 20

// logStore is a job's log: a file of one JSON message a line, and where each
// line starts. The n-th message has the event id n, counted from 1.
type logStore struct {
	path    string
	maxPage int64 // bytes of messages that one answer holds at most

	mu      sync.Mutex // guards what follows
	out     *os.File   // nil once the log is finished
	starts  []int64
	times   []int64 // unix ms, never falling
	size    int64
	done    bool
	changed chan struct{} // closed and replaced when something was added
}

// openLog opens a log, cutting off a last line that a crash left unfinished.
func openLog(path string, finished bool) (*logStore, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a job's log: %w", err)
	}
	l := &logStore{path: path, maxPage: maxPage, out: f, done: finished, changed: make(chan struct{})}
	in := bufio.NewReaderSize(f, 1<<16)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(fmt.Errorf("read a job's log: %w", err), f.Close())
		}
		var m message
		if json.Unmarshal(line, &m) != nil {
			break
		}
		l.note(m.Timestamp, int64(len(line)))
	}
	if err := f.Truncate(l.size); err != nil {
		return nil, errors.Join(fmt.Errorf("cut a job's log: %w", err), f.Close())
	}
	if finished {
		l.out = nil
		return l, f.Close()
	}
	return l, nil
}

// note remembers a line of n bytes that is in the file.
func (l *logStore) note(ms, n int64) {
	l.starts = append(l.starts, l.size)
	l.times = append(l.times, ms)
	l.size += n
}

// add writes a message, giving it its event id, and a time that never falls
// behind the one before it.
func (l *logStore) add(m message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == nil {
		return errors.New("the log is finished")
	}
	m.EventID = itoa(len(l.starts) + 1)
	if n := len(l.times); n > 0 {
		m.Timestamp = max(m.Timestamp, l.times[n-1])
	}
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a log message: %w", err)
	}
	line = append(line, '\n')
	if _, err := l.out.WriteAt(line, l.size); err != nil {
		return fmt.Errorf("write a job's log: %w", err)
	}
	l.note(m.Timestamp, int64(len(line)))
	l.tell()
	return nil
}

// tell wakes who waits for the log. Callers hold mu.
func (l *logStore) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// finish says that nothing will be added any more.
func (l *logStore) finish() error {
	l.mu.Lock()
	l.done = true
	l.tell()
	l.mu.Unlock()
	return l.close()
}

func (l *logStore) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == nil {
		return nil
	}
	err := l.out.Close()
	l.out = nil
	return err
}

// view is a state of the log: so many messages, and whether that is all there will be.
func (l *logStore) view() (n int, done bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.starts), l.done, l.changed
}

// read returns the lines of messages from to below to, counted from 0.
func (l *logStore) read(from, to int) ([]json.RawMessage, error) {
	l.mu.Lock()
	starts, end := l.starts[from:to:to], l.size
	if to < len(l.starts) {
		end = l.starts[to]
	}
	l.mu.Unlock()
	if len(starts) == 0 {
		return nil, nil
	}
	f, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("open a job's log: %w", err)
	}
	defer f.Close()
	data := make([]byte, end-starts[0])
	if _, err := f.ReadAt(data, starts[0]); err != nil {
		return nil, fmt.Errorf("read a job's log: %w", err)
	}
	lines := make([]json.RawMessage, 0, len(starts))
	for i, start := range starts {
		stop := end
		if i+1 < len(starts) {
			stop = starts[i+1]
		}
		lines = append(lines, data[start-starts[0]:stop-starts[0]-1])
	}
	return lines, nil
}

// after is the index of the first message that is later than the mark; before
// is one past the last that is earlier.
func (l *logStore) after(m mark) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := min(max(m.event, 0), len(l.times))
	for i < len(l.times) && l.times[i] < m.ms {
		i++
	}
	return i
}

func (l *logStore) before(m mark) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := min(max(m.event-1, 0), len(l.times))
	for i > 0 && l.times[i-1] > m.ms {
		i--
	}
	return i
}

// mark is a place in a log: a message's time in unix ms and its event id.
type mark struct {
	ms    int64
	event int
}

// logQuery is a request for a page of a log. At most one mark is set.
type logQuery struct {
	entries       int
	after, before *mark
}

// parseLogQuery reads the parameters, or says what is wrong with them.
func parseLogQuery(q url.Values, quirks Quirks) (logQuery, string) {
	if q.Get("log_output_type") != "content" || q.Get("log_out_type") != "json" {
		return logQuery{}, "log_output_type must be content, log_out_type must be json"
	}
	query := logQuery{entries: maxEntries}
	if text := q.Get("nentries"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxEntries {
			return logQuery{}, "nentries must be a whole number from 1 to 10000"
		}
		query.entries = n
	}
	start, end, event := q.Get("start_time"), q.Get("end_time"), q.Get("event_id")
	if start != "" && end != "" {
		return logQuery{}, "start_time and end_time exclude each other"
	}
	if (start+end == "") != (event == "") {
		return logQuery{}, "event_id goes with start_time or end_time, and they with it"
	}
	if event == "" {
		return query, ""
	}
	ms, err := strconv.ParseInt(start+end, 10, 64)
	id, err2 := quirks.eventID(event)
	if err != nil || err2 != nil {
		return logQuery{}, "start_time and end_time are unix milliseconds, event_id is that of a message"
	}
	m := &mark{ms: ms, event: id}
	if start != "" {
		query.after = m
	} else {
		query.before = m
	}
	return query, ""
}

// fit shortens a page to the bytes that it may have, or to one message, keeping the messages
// next to the mark that it was asked for.
func (l *logStore) fit(from, to int, keepFirst bool) (int, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := func(i int) int64 {
		if i < len(l.starts) {
			return l.starts[i]
		}
		return l.size
	}
	for to-from > 1 && at(to)-at(from) > l.maxPage {
		if keepFirst {
			to--
		} else {
			from++
		}
	}
	return from, to
}

// page cuts the messages out that a query asks for. top and bottom tell
// whether the log's first and its very last message are in hand.
func (l *logStore) page(q logQuery) (lines []json.RawMessage, top, bottom bool, err error) {
	n, finished, _ := l.view()
	from, to := max(0, n-q.entries), n
	switch {
	case q.after != nil:
		from = l.after(*q.after)
		to = min(n, from+q.entries)
		from = min(from, to)
		top = from == 0 && (n > 0 || q.after.event < 1)
	case q.before != nil:
		to = min(n, l.before(*q.before))
		from = max(0, to-q.entries)
		top = from == 0
	default:
		top = from == 0
	}
	if from, to = l.fit(from, to, q.after != nil); from > 0 {
		top = false
	}
	bottom = finished && to == n && q.before == nil
	lines, err = l.read(from, to)
	return lines, top, bottom, err
}

var (
	topMarker    = json.RawMessage(`{"_meta":true,"end":"top","message":""}`)
	bottomMarker = json.RawMessage(`{"_meta":true,"end":"bottom","message":""}`)
)

// handleLogs answers with a page of a log: a JSON array inside a JSON string.
func (e *Emulator) handleLogs(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	if params.Get("jobname") == "" {
		plain(w, http.StatusBadRequest, "jobname missing")
		return
	}
	j := e.jobs.get(params.Get("jobname"))
	if j == nil {
		reply(w, http.StatusForbidden, noAccess+".")
		return
	}
	quirks := e.quirks.Load()
	query, problem := parseLogQuery(params, *quirks)
	if problem != "" {
		reply(w, http.StatusOK, map[string]any{"success": false, "reason": problem})
		return
	}
	lines, top, bottom, err := j.log.page(query)
	if err != nil {
		e.broken(w, r, err)
		return
	}
	for i, line := range lines {
		lines[i] = quirks.message(line)
	}
	if top {
		lines = append([]json.RawMessage{topMarker}, lines...)
	}
	if bottom {
		lines = append(lines, bottomMarker)
	}
	if lines == nil {
		lines = []json.RawMessage{}
	}
	list, err := json.Marshal(lines)
	if err != nil {
		e.broken(w, r, err)
		return
	}
	reply(w, http.StatusOK, string(list))
}

// wrapperPlace is the place that the real system's wrapper gives to printed lines.
func wrapperPlace(level string) map[string]any {
	return map[string]any{
		"level": level, "group": "master_startup", "line": 141, "filepath": "/opt/juliahub/master_startup.jl",
		"_module": "Main.JuliaRunJob", "id": "Main_JuliaRunJob_53527a33",
	}
}

// processKeywords are the internal keywords of every message.
func (j *job) processKeywords(now time.Time, pid int) map[string]any {
	return map[string]any{
		"jrun_hostname": j.rec.ID + "-emulator", "jrun_worker_id": 1, "jrun_thread_id": 1,
		"jrun_process_id": pid, "jrun_time": now.UTC().Format("2006-01-02T15:04:05.000"),
	}
}

// logLine adds a line as if the job's wrapper had printed it.
func (j *job) logLine(now time.Time, level, text string) {
	j.logPrinted(now, 1, level, text)
}

func (j *job) logPrinted(now time.Time, pid int, level, text string) {
	// A log that cannot be written shows as missing lines: the job goes on.
	_ = j.log.add(message{
		Message: text, Timestamp: now.UnixMilli(),
		Keywords: j.processKeywords(now, pid), Metadata: wrapperPlace(level),
	})
}

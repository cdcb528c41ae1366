package track

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"juliahub-lsp/jobapi"
)

// partSize is the size at which job.log is put aside as a part: an editor opens
// that much at once.
const partSize = 10 << 20

// LogFile is the path of the newest part of the log in a log directory.
func LogFile(dir string) string { return filepath.Join(dir, "job.log") }

// LogPart is the path of the n-th part (from 1) that was put aside of the log at
// path: what it holds came before all that the file now holds.
func LogPart(path string, n int) string {
	return filepath.Join(filepath.Dir(path), fmt.Sprintf("job.%04d.log", n))
}

// logFile is the local copy of one job's log. Beside it stands how far it goes:
// text beyond that is cut off when the file is opened again, so that a crash
// neither loses nor doubles a line.
type logFile struct {
	dir     string
	release func() // of the lock that only one process at a time has

	mu    sync.Mutex // guards what follows
	at    logPlace   // up to here the log is known to be in the file
	file  *os.File
	text  strings.Builder // not written yet
	size  int64           // of the file
	timer *time.Timer     // writes the text soon; nil = nothing is waiting
	err   error           // of writing
}

// logPlace says which part of the log is in how much of the file.
type logPlace struct {
	Size     int64              `json:"size"`  // of job.log
	Parts    int                `json:"parts"` // files put aside
	Position jobapi.LogPosition `json:"position"`
}

const (
	// flushAfter is how long a line may wait for others before it is written:
	// soon enough to watch, and a disk write each for few.
	flushAfter = 200 * time.Millisecond
	flushSize  = 256 << 10
)

// open opens the log's file at its place. Its lock is held.
func (l *logFile) open() error {
	data, err := os.ReadFile(filepath.Join(l.dir, "place.json"))
	if err == nil {
		err = json.Unmarshal(data, &l.at)
	}
	if err != nil { // none yet, or damaged: from the start
		l.at = logPlace{}
	}
	info, err := os.Stat(LogFile(l.dir))
	if err == nil && info.Size() < l.at.Size { // someone cut it: read it again
		l.at = logPlace{}
	} else if errors.Is(err, fs.ErrNotExist) && l.at.Size > 0 {
		l.at = logPlace{}
	}
	l.file, err = os.OpenFile(LogFile(l.dir), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	l.size = l.at.Size
	err = l.file.Truncate(l.size)
	if err == nil {
		_, err = l.file.Seek(l.size, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("resume a log: %w", err), l.file.Close())
	}
	return nil
}

// add takes messages that stand behind a position, to be written soon.
func (l *logFile) add(before jobapi.LogPosition, messages []jobapi.LogMessage) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.at.Position, l.at.Size = before, l.size+int64(l.text.Len())
	for i := range messages {
		writeLine(&l.text, &messages[i])
	}
	if l.text.Len() >= flushSize {
		l.err = l.flush()
		return l.err
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(flushAfter, l.flushNow)
	}
	return nil
}

func (l *logFile) flushNow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil && l.err == nil {
		l.err = l.flush()
	}
}

// flush writes the text out, remembers how far that goes, and begins a new
// part when this one is full. The lock is held.
func (l *logFile) flush() error {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	n, err := io.WriteString(l.file, l.text.String())
	if err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	l.text.Reset()
	l.size += int64(n)
	if l.at.Size >= partSize {
		return l.nextPart()
	}
	return l.save()
}

// nextPart puts the file aside, up to the place that is known, and begins
// another with the rest.
func (l *logFile) nextPart() error {
	rest := make([]byte, l.size-l.at.Size)
	part := LogPart(LogFile(l.dir), l.at.Parts+1)
	err := readAt(LogFile(l.dir), rest, l.at.Size)
	if err == nil {
		err = errors.Join(l.file.Truncate(l.at.Size), l.file.Close())
	}
	if err == nil {
		err = os.Rename(LogFile(l.dir), part)
	}
	if err == nil {
		l.file, err = os.OpenFile(LogFile(l.dir), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	}
	if err == nil {
		_, err = l.file.Write(rest)
	}
	if err != nil {
		return fmt.Errorf("put a part of a log aside: %w", err)
	}
	l.at.Size, l.size = 0, int64(len(rest))
	l.at.Parts++
	return l.save()
}

func readAt(path string, into []byte, offset int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(into, offset)
	return errors.Join(err, f.Close())
}

// save remembers how far the text goes. It does not wait for the disk, several
// times a second: what a power cut leaves is either right or read again.
func (l *logFile) save() error {
	data, err := json.Marshal(l.at)
	if err != nil {
		return fmt.Errorf("encode the place in a log: %w", err)
	}
	path := filepath.Join(l.dir, "place.json")
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("write the place in a log: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the place in a log: %w", err)
	}
	return nil
}

// close writes what waits; everything up to end is in the file then.
func (l *logFile) close(end jobapi.LogPosition) error {
	defer l.release()
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.err
	if err == nil {
		l.at.Position, l.at.Size = end, l.size+int64(l.text.Len())
		err = l.flush()
	}
	return errors.Join(err, l.file.Close())
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
		unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' // text direction, and line ends that some editors take for such
}

// escape returns the length of the terminal control sequence that text begins
// with, else 0. One that is cut short ends where it stops being one: it takes
// nothing along that a person should read.
func escape(text string) int {
	introducer := len("\u009b")
	switch {
	case strings.HasPrefix(text, "\u009b"): // the one-character form of ESC [
		return introducer + sequence(text[introducer:], 0x30, 0x3f)
	case len(text) < 2 || text[0] != '\x1b':
		return 0
	case text[1] == '[':
		return 2 + sequence(text[2:], 0x30, 0x3f)
	case strings.IndexByte("]P^_X", text[1]) >= 0: // a title, a link: up to BEL or ESC \
		line, _, _ := strings.Cut(text, "\n")
		if bell := strings.IndexByte(line, '\x07'); bell >= 0 {
			line = line[:bell+1]
		}
		if end := strings.Index(line, "\x1b\\"); end >= 0 {
			return end + 2
		}
		return len(line)
	}
	return 1 + sequence(text[1:], 1, 0)
}

// sequence returns the length of what follows the introducer of a control
// sequence: parameters from first to last, intermediate bytes, the final one.
func sequence(text string, first, last byte) int {
	i := 0
	for i < len(text) && text[i] >= first && text[i] <= last {
		i++
	}
	for i < len(text) && text[i] >= 0x20 && text[i] <= 0x2f {
		i++
	}
	if i < len(text) && text[i] >= 0x30 && text[i] <= 0x7e {
		i++
	}
	return i
}

package track

import (
	"strings"

	"juliahub-lsp/jobapi"
)

const (
	// tailMost and tailBytes bound what is kept of a log's end for the work at a
	// job's end: a stack trace, however deep, is in the last thousands of lines.
	tailMost  = 2000
	tailBytes = 2 << 20
	// notedMost is how many warnings are kept of what came before the tail.
	notedMost = 200
	// noted is Julia's Logging.Warn.
	noted = 1000
)

// tail is the end of a log as this process read it: what the work at a job's end
// needs of it. The tracker's lock guards it.
type tail struct {
	from     int64               // messages of the log before it
	next     int64               // place of the message that comes next
	early    []jobapi.LogMessage // warnings among what no longer fits
	messages []jobapi.LogMessage
	bytes    int // of these
	dropped  bool
}

// add takes messages that stand behind a place. A gap begins the tail anew.
func (t *tail) add(before int64, messages []jobapi.LogMessage) {
	if t.next != before {
		*t = tail{from: before, next: before}
	}
	for i := range messages {
		m := essence(&messages[i])
		t.messages = append(t.messages, m)
		t.bytes += weight(&m)
	}
	t.next += int64(len(messages))
	if len(t.messages) >= 2*tailMost || t.bytes > 2*tailBytes {
		t.trim()
	}
}

// trim drops the oldest messages but the warnings.
func (t *tail) trim() {
	cut := 0
	for len(t.messages)-cut > 1 && (len(t.messages)-cut > tailMost || t.bytes > tailBytes) {
		m := t.messages[cut]
		if m.Level != nil && *m.Level >= noted && m.FilePath != "" && len(t.early) < notedMost {
			t.early = append(t.early, m)
		}
		t.bytes -= weight(&m)
		cut++
	}
	t.messages = append([]jobapi.LogMessage(nil), t.messages[cut:]...)
	t.dropped = t.dropped || cut > 0
}

// log returns the log's end; nil when too little of it was read here.
func (t *tail) log() []jobapi.LogMessage {
	if t == nil || t.from > 0 && !t.dropped {
		return nil
	}
	return append(append(make([]jobapi.LogMessage, 0, len(t.early)+len(t.messages)), t.early...), t.messages...)
}

// weight is what a message counts for.
func weight(m *jobapi.LogMessage) int {
	exception, _ := m.Keywords["exception"].(string)
	return len(m.Message) + len(exception)
}

// essence is what is kept of a message: the maps of a message are larger than its
// text. A record's exception has the stack trace that its message lacks.
func essence(m *jobapi.LogMessage) jobapi.LogMessage {
	kept := jobapi.LogMessage{Message: m.Message, Time: m.Time, Level: m.Level, FilePath: m.FilePath, Line: m.Line}
	for name, value := range m.Keywords {
		if name == "exception" || strings.HasPrefix(name, "jrun_") && strings.HasSuffix(name, "_id") { // who wrote it
			if kept.Keywords == nil {
				kept.Keywords = map[string]any{}
			}
			kept.Keywords[name] = value
		}
	}
	return kept
}

package lsp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.lsp.dev/jsonrpc2"
)

// This file defines the framing of messages. The library's own stream ends the
// connection at the first body that it cannot read; this one answers it and
// goes on, and it is the one writer to the client.

const (
	// maxBody bounds one message; the library's own limit, far above any document.
	maxBody = 1 << 30
	// maxHeader bounds a header block: two short lines in practice.
	maxHeader = 64 << 10
	// eagerBody is what a header alone may make us allocate; a longer body
	// grows with the bytes that truly arrive.
	eagerBody = 1 << 20
	// maxUnread is how much a client may leave unread before it is taken for dead.
	maxUnread = 64 << 20
	// congested is how much may be unread before progress reports are left out.
	congested = 1 << 20
	// answerGrace is how long requests under way may still be answered once the
	// client has closed its end.
	answerGrace = 2 * time.Second
)

// errHeader says that a message's length cannot be known, so that no later
// message can be found either.
var errHeader = errors.New("message header without a usable Content-Length")

// stream frames messages as the base protocol does: a header with
// Content-Length, an empty line, a JSON body. It implements [jsonrpc2.Stream].
type stream struct {
	rwc io.ReadWriteCloser
	in  *bufio.Reader
	log *slog.Logger

	trace atomic.Int32 // how much of the talk is logged in the editor

	onEnd   func()        // called before the library learns that nothing more is read: it writes no more then
	readEnd chan struct{} // closed when nothing more will be read
	readErr error         // why, valid once readEnd is closed
	endOnce sync.Once

	mu      sync.Mutex    // guards what follows
	changed *sync.Cond    // signals every change of it
	queue   [][]byte      // frames to be written
	unread  int           // bytes in queue, and in the frame being written
	pending int           // requests that were read and not yet answered
	grace   time.Duration // how long answers were waited for at the end of the input
	stopped bool          // no message is read any more
	broken  error         // why nothing can be written any more
	closed  bool
}

var _ jsonrpc2.Stream = (*stream)(nil)

// newStream starts the writer; Close ends it.
func newStream(rwc io.ReadWriteCloser, log *slog.Logger) *stream {
	s := &stream{rwc: rwc, in: bufio.NewReader(rwc), log: log, onEnd: func() {}, readEnd: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	go s.write()
	return s
}

// Read returns the next message. Bodies that are no message are answered here.
func (s *stream) Read(context.Context) (jsonrpc2.Message, int64, error) {
	for {
		if s.isStopped() {
			return nil, 0, s.endRead(io.EOF)
		}
		body, err := readFrame(s.in)
		if err != nil {
			began := time.Now()
			s.awaitAnswers(answerGrace)
			s.update(func() { s.grace = time.Since(began) })
			return nil, 0, s.endRead(err)
		}
		msg, refusal := decodeBody(body)
		switch {
		case refusal == nil:
			if _, ok := msg.(*jsonrpc2.Call); ok {
				s.update(func() { s.pending++ })
			}
			s.traced("→", msg)
			return msg, int64(len(body)), nil
		case refusal.silent:
			s.log.Warn("ignored a message", "why", refusal.err)
		default:
			s.log.Warn("refused a message", "why", refusal.err)
			_ = s.enqueue(jsonrpc2.AppendResponse(newFrame(), refusal.id, nil, refusal.err))
		}
	}
}

// endRead records why reading ended.
func (s *stream) endRead(err error) error {
	s.endOnce.Do(func() {
		s.readErr = err
		s.onEnd()
		close(s.readEnd)
	})
	return err
}

// Write queues a message; it never waits for the client.
func (s *stream) Write(_ context.Context, msg jsonrpc2.Message) (int64, error) {
	s.traced("←", msg)
	frame := jsonrpc2.AppendMessage(newFrame(), msg)
	body := frame[frameHeader:]
	err := s.enqueue(frame)
	if isResponse(body) {
		s.update(func() { s.pending-- })
	}
	return int64(len(body)), err
}

// isResponse tells a response from what else the library writes: it alone has
// its id right after the version.
func isResponse(body []byte) bool {
	return bytes.HasPrefix(body, []byte(`{"jsonrpc":"2.0","id":`))
}

// frameHeader is the room for a header in front of a body, which is written
// first: a list of a thousand jobs is a megabyte, and is not copied for it.
const frameHeader = len("Content-Length: \r\n\r\n") + len("9223372036854775807")

// newFrame is where a body is appended to.
func newFrame() []byte { return make([]byte, frameHeader, 512) }

// enqueue hands the writer a frame whose body is complete.
func (s *stream) enqueue(frame []byte) error {
	header := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(frame)-frameHeader)
	frame = frame[frameHeader-len(header):]
	copy(frame, header)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil && s.unread > maxUnread {
		s.broken = errors.New("the client has stopped reading")
	}
	if s.broken != nil {
		return s.broken
	}
	if s.closed {
		return io.ErrClosedPipe
	}
	s.queue = append(s.queue, frame)
	s.unread += len(frame)
	s.changed.Broadcast()
	return nil
}

// isCongested says whether the client reads more slowly than we write.
func (s *stream) isCongested() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unread > congested
}

// write is the one writer to the client. It closes the connection at the end.
func (s *stream) write() {
	defer func() { _ = s.rwc.Close() }()
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 && !s.closed && s.broken == nil {
			s.changed.Wait()
		}
		if len(s.queue) == 0 || s.broken != nil {
			return
		}
		frame := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.mu.Unlock()
		_, err := s.rwc.Write(frame)
		s.mu.Lock()
		s.unread -= len(frame)
		if err != nil && s.broken == nil {
			s.broken = fmt.Errorf("writing to the client: %w", err)
		}
		s.changed.Broadcast()
	}
}

// stop makes Read end before the next message.
func (s *stream) stop() { s.update(func() { s.stopped = true }) }

func (s *stream) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// graceSpent is how much of the time for ending has gone by already.
func (s *stream) graceSpent() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grace
}

// awaitAnswers waits until every request that was read is answered: a client
// may close its end and still read ours.
func (s *stream) awaitAnswers(atMost time.Duration) {
	s.await(atMost, func() bool { return s.pending == 0 || s.stopped || s.closed || s.broken != nil })
}

// flush waits until all is written.
func (s *stream) flush(atMost time.Duration) {
	s.await(atMost, func() bool { return s.unread == 0 || s.broken != nil })
}

// await waits for a condition, which is called with mu held.
func (s *stream) await(atMost time.Duration, done func() bool) {
	late := false
	timer := time.AfterFunc(atMost, func() { s.update(func() { late = true }) })
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !done() && !late {
		s.changed.Wait()
	}
}

// update changes the state that mu guards.
func (s *stream) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

// Close closes the connection when all is written that is queued. The library
// calls it with a lock held, so that it must not wait.
func (s *stream) Close() error {
	s.update(func() { s.closed = true })
	return nil
}

// abort closes the connection at once.
func (s *stream) abort() {
	_ = s.Close()
	s.update(func() {
		if s.broken == nil {
			s.broken = io.ErrClosedPipe
		}
	})
	_ = s.rwc.Close()
}

// readFrame reads one message's body. It returns io.EOF between messages and
// io.ErrUnexpectedEOF within one.
func readFrame(in *bufio.Reader) ([]byte, error) {
	length, err := readHeader(in)
	if err != nil {
		return nil, err
	}
	if length <= eagerBody {
		body := make([]byte, length)
		_, err = io.ReadFull(in, body)
		return body, unexpected(err)
	}
	var body bytes.Buffer
	_, err = io.CopyN(&body, in, int64(length))
	return body.Bytes(), unexpected(err)
}

// readHeader reads a header block and returns the length of the body.
func readHeader(in *bufio.Reader) (int, error) {
	length, read := -1, 0
	for {
		line, err := readLine(in, maxHeader-read)
		if err != nil {
			if read+len(line) > 0 {
				err = unexpected(err)
			}
			return 0, err
		}
		read += len(line)
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			continue // Content-Type, and whatever a client may add
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
		if err != nil || n > maxBody || length >= 0 && length != int(n) {
			return 0, fmt.Errorf("%w: %q", errHeader, clip(text, 80))
		}
		length = int(n)
	}
	if length < 0 {
		return 0, errHeader
	}
	return length, nil
}

// readLine reads up to and with the next line feed, at most limit bytes.
func readLine(in *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit:
			return line, fmt.Errorf("%w: %d bytes without an end", errHeader, len(line))
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return line, err
		}
	}
}

// unexpected turns an end of input within a message into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// refusal is a body that is no message.
type refusal struct {
	id     jsonrpc2.ID // the zero ID, written as null, where none can be made out
	err    *jsonrpc2.Error
	silent bool // not to be answered: it looks like a response
}

// lenient accepts what the protocol's peers get wrong without harm.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decodeBody makes a message of a body, which it owns from then on.
func decodeBody(body []byte) (jsonrpc2.Message, *refusal) {
	if !jsontext.Value(body).IsValid(lenient) {
		return nil, &refusal{err: jsonrpc2.NewError(jsonrpc2.ParseError, "the message is not JSON")}
	}
	msg, err := jsonrpc2.DecodeMessage(body)
	if err != nil {
		return nil, refuse(body)
	}
	if note, ok := msg.(*jsonrpc2.Notification); ok && hasNullID(body) && !isNotification(note.Method()) {
		return nil, invalid(jsonrpc2.ID{}, "a request's id is a string or an integer")
	}
	return msg, nil
}

// hasNullID says whether a message without a usable id has the member all the
// same: the library takes a request with id null for a notification.
func hasNullID(body []byte) bool {
	view, err := jsonrpc2.ScanMessageView(body)
	return err == nil && view.IDRaw != nil
}

// refuse says what is wrong with valid JSON that is no message.
func refuse(body []byte) *refusal {
	var envelope struct {
		Version jsontext.Value `json:"jsonrpc"`
		ID      jsontext.Value `json:"id"`
		Method  jsontext.Value `json:"method"`
		Result  jsontext.Value `json:"result"`
		Error   jsontext.Value `json:"error"`
	}
	switch kind := jsontext.Value(body).Kind(); {
	case kind == '[':
		return invalid(jsonrpc2.ID{}, "batches are not part of the language server protocol: send one message at a time")
	case kind != '{' || json.Unmarshal(body, &envelope, lenient) != nil:
		return invalid(jsonrpc2.ID{}, "a message is a JSON object")
	}
	id, ok := decodeID(envelope.ID)
	switch {
	case envelope.Method == nil && (envelope.Result != nil || envelope.Error != nil):
		r := invalid(id, "a response that cannot be understood")
		r.silent = true
		return r
	case string(envelope.Version) != `"2.0"`:
		return invalid(id, `the member "jsonrpc" has to be "2.0"`)
	case envelope.ID != nil && !ok:
		return invalid(id, "a request's id is a string or an integer")
	default:
		return invalid(id, "neither a request nor a response")
	}
}

// invalid makes the refusal of a message that is no request.
func invalid(id jsonrpc2.ID, why string) *refusal {
	return &refusal{id: id, err: jsonrpc2.NewError(jsonrpc2.InvalidRequest, why)}
}

// decodeID decodes a request's id; false if it is none that a request may have.
func decodeID(raw jsontext.Value) (jsonrpc2.ID, bool) {
	var text string
	var number int64
	switch {
	case raw.Kind() == '"' && json.Unmarshal(raw, &text, lenient) == nil:
		return jsonrpc2.NewStringID(text), true
	case raw.Kind() == '0' && json.Unmarshal(raw, &number) == nil:
		return jsonrpc2.NewNumberID(number), true
	}
	return jsonrpc2.ID{}, false
}

// clip shortens a text for a log line.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

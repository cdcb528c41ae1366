package jobapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/coder/websocket"
)

// StreamOptions say how to follow a log. The zero value follows it from its beginning.
type StreamOptions struct {
	// From is where an earlier LogStream of the same job stopped.
	From *LogPosition
	// JobDone may tell that the job has ended. Servers mark the end of a log;
	// where one does not, the log counts as ended when nothing new comes after that.
	JobDone func() bool
	// PollOnly never opens a WebSocket.
	PollOnly bool
}

// LogStream follows the log of one job: every message once, in order, none
// left out, over a WebSocket or, where those do not get through, by polling,
// across lost connections. It holds one page of messages at a time, however
// long the log is.
type LogStream struct {
	client  *Client
	job     string
	options StreamOptions
	cursor  *cursor
	emit    func([]LogMessage) error

	pollUntil time.Time // when to try WebSockets again; zero = now
	refused   bool      // the last WebSocket was; until a page shows that this says nothing of the job
	unplaced  bool      // polling has failed with errNoPlace
	whole     bool      // an open WebSocket is to bring the log from its beginning
	entries   int       // messages to ask for at once: fewer where they are very long
}

// errNoPlace says that the messages so far have neither times nor ids, so that
// get_logs cannot be asked for what follows them.
var errNoPlace = errors.New("the log has no place to go on from")

// errOvertaken says that pages brought what this WebSocket is still to bring: it
// is given up, since messages without ids could not be told from new ones.
var errOvertaken = errors.New("pages have overtaken the connection")

const (
	pollFirst    = 2 * time.Second // between two looks at a log that moves …
	pollLast     = 30 * time.Second
	pollPeriod   = 5 * time.Minute // of polling, before WebSockets are tried again
	streamFirst  = time.Second     // before the first attempt to connect again
	streamLast   = 30 * time.Second
	frameLimit   = 16 << 20
	streamCalm   = 30 * time.Second
	noSocketsFor = 10 * time.Minute // no WebSocket is tried where one was refused
	socketTrials = 2                // connections that soon break and bring nothing, until polling takes over
)

// LogStream makes a stream of a job's log. Run starts it.
func (c *Client) LogStream(id string, o StreamOptions) *LogStream {
	return &LogStream{client: c, job: id, options: o, cursor: newCursor(o.From), entries: MaxLogEntries}
}

// Position returns the place behind the last message that was emitted, for
// another LogStream to start from, also in another process.
func (s *LogStream) Position() LogPosition { return s.cursor.position() }

// Run follows the log until its end (nil), until ctx ends, until emit fails, or
// until the server says no. emit gets messages oldest first, from this
// goroutine; a stream whose emit failed starts again before that batch.
func (s *LogStream) Run(ctx context.Context, emit func([]LogMessage) error) error {
	if !validID(s.job) {
		return noSuchJob(s.job)
	}
	s.emit = emit
	gaps := &backoff.ExponentialBackOff{InitialInterval: streamFirst, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: streamLast}
	for failures := 0; ; {
		if until := s.client.socketsAgain(); until.After(s.pollUntil) && !s.unplaced {
			s.pollUntil = until
		}
		if s.options.PollOnly || s.client.now().Before(s.pollUntil) {
			ended, err := s.poll(ctx)
			s.unplaced = errors.Is(err, errNoPlace)
			if ended || err != nil && (s.options.PollOnly || !s.unplaced) {
				return err
			}
			failures, s.pollUntil = 0, time.Time{} // the time for polling is over
		}
		before, began := s.cursor.count(), s.client.now()
		ended, spoke, err := s.socket(ctx)
		s.refused = refusesSockets(err)
		switch {
		case ended:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case final(err):
			return err
		case isServerError(err):
			failures = socketTrials // polling will learn more
		case s.cursor.count() > before:
			failures = 0
			gaps.Reset()
		case spoke && s.client.now().Sub(began) > streamCalm:
			failures = 0 // a quiet log, and a connection that got old
		default:
			failures++
		}
		s.client.log.DebugContext(ctx, "log stream broke", "job", s.job, "error", err)
		if (failures >= socketTrials || s.refused) && !s.unplaced {
			s.client.log.InfoContext(ctx, "following the log by polling", "job", s.job)
			s.pollUntil = s.client.now().Add(pollPeriod)
			continue
		}
		if err := s.client.wait(ctx, max(gaps.NextBackOff(), RetryAfter(err))); err != nil {
			return err
		}
	}
}

// emitError is an error of the caller's own, which ends the stream.
type emitError struct{ err error }

func (e *emitError) Error() string { return e.err.Error() }
func (e *emitError) Unwrap() error { return e.err }

// final reports whether an error ends the stream: everything but what passes by
// itself or what polling may get around.
func final(err error) bool {
	if _, ok := errors.AsType[*emitError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*AuthError](err); ok {
		return true
	}
	return errors.Is(err, ErrNoSuchJob)
}

// noSocketError says that the server, or something in between, answered with no WebSocket.
type noSocketError struct{ status int }

func (e *noSocketError) Error() string {
	return fmt.Sprintf("no WebSocket but HTTP status %d", e.status)
}

func isServerError(err error) bool {
	_, ok := errors.AsType[*ServerError](err)
	return ok
}

func refusesSockets(err error) bool {
	_, ok := errors.AsType[*noSocketError](err)
	return ok
}

// refuseSockets remembers that the server takes no WebSockets, for all its logs.
func (c *Client) refuseSockets() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noSockets = c.now().Add(noSocketsFor)
}

// socketsAgain returns when a WebSocket may be tried; zero = they were not refused.
func (c *Client) socketsAgain() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noSockets
}

// deliver emits what is new among messages from the server.
func (s *LogStream) deliver(messages []LogMessage) error {
	fresh := s.cursor.fresh(messages)
	if len(fresh) == 0 {
		return nil
	}
	if err := s.emit(fresh); err != nil {
		return &emitError{err}
	}
	s.cursor.commit(fresh)
	return nil
}

// socket follows the log over one WebSocket. spoke says that it brought
// something, be it a keep-alive.
func (s *LogStream) socket(ctx context.Context) (ended, spoke bool, err error) {
	offset, exact := s.cursor.offset()
	conn, err := s.connect(ctx, offset)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = conn.CloseNow() }() // it may be closed already
	if exact {
		s.cursor.readOn(offset)
	}
	s.whole = exact && offset == "0"
	defer func() { s.whole = false }()
	for {
		frame, err := s.readFrame(ctx, conn)
		if err != nil {
			return false, spoke, err
		}
		if !exact {
			exact = true
			if ended, err := s.fillGap(ctx); ended || err != nil {
				return ended, true, err
			}
		}
		spoke = true
		if ended, err := s.frame(ctx, frame); ended || err != nil {
			return ended, true, err
		}
	}
}

// fillGap fetches what the log has got between the cursor and a WebSocket that
// began at the log's then end. It is called when the first frame has come: only
// then has it begun for certain.
func (s *LogStream) fillGap(ctx context.Context) (ended bool, err error) {
	done := s.cursor.overlap()
	defer done()
	return s.catchUp(ctx)
}

// frame handles one frame: a message, a marker, or nothing.
func (s *LogStream) frame(ctx context.Context, frame []byte) (ended bool, err error) {
	if len(frame) == 0 {
		if s.options.JobDone == nil || !s.options.JobDone() {
			return false, nil
		}
		ended, err := s.catchUp(ctx) // the end may not be marked
		switch {
		case errors.Is(err, errNoPlace):
			return false, nil // only the connection can bring the rest
		case err == nil && !ended:
			err = errOvertaken
		}
		return ended, err
	}
	if err := s.client.saysFailure(&request{what: "follow the log of " + s.job}, frame); err != nil {
		return false, err
	}
	message, end, err := parseLogMessage(frame)
	switch {
	case err != nil:
		s.client.log.WarnContext(ctx, "a log message is left out", "job", s.job, "error", err)
		return false, nil
	case end == "bottom":
		return true, nil
	case end != "":
		return false, nil
	}
	return false, s.deliver([]LogMessage{message})
}

func (s *LogStream) readFrame(ctx context.Context, conn *websocket.Conn) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.client.limits.stall, errStalled) // keep-alives come every second
	defer cancel()
	_, data, err := conn.Read(ctx)
	if err != nil && context.Cause(ctx) != nil {
		return nil, context.Cause(ctx)
	}
	return data, err
}

// connect opens the WebSocket. An empty offset means the log's present end.
//
// GET /ws/stream_logs, upgraded.
func (s *LogStream) connect(ctx context.Context, offset string) (*websocket.Conn, error) {
	c := s.client
	if err := c.keepQuiet(ctx, &request{what: "follow the log of " + s.job}, c.base); err != nil {
		return nil, err
	}
	token, err := c.tokens.current(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, offset, token)
	if _, refused := errors.AsType[*AuthError](err); !refused {
		return conn, err
	}
	fresh, tokenErr := c.tokens.replace(ctx, token)
	if tokenErr != nil {
		return nil, tokenErr
	}
	if fresh == token {
		return nil, err
	}
	return s.dial(ctx, offset, fresh)
}

func (s *LogStream) dial(ctx context.Context, offset, token string) (*websocket.Conn, error) {
	c := s.client
	query := url.Values{"jobname": {s.job}, "refresh_interval": {"1"}, "log_out_type": {"json"}}
	if offset != "" {
		query.Set("offset", offset)
	}
	what := "follow the log of " + s.job
	ctx, cancel := context.WithTimeout(ctx, c.limits.head)
	defer cancel()
	// The WebSocket library sends this one request; it goes to the server itself,
	// by the same transport as the rest, and no redirect takes the token further.
	conn, answer, err := websocket.Dial(ctx, c.server.join("ws", "stream_logs")+"?"+query.Encode(), &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
		HTTPClient: &http.Client{Transport: c.fresh, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}, "User-Agent": {c.userAgent}},
	})
	if err == nil {
		conn.SetReadLimit(frameLimit)
		c.tokens.judged(token, true)
		return conn, nil
	}
	if answer == nil {
		return nil, &NetworkError{What: what, Host: c.base.Host, Err: withoutURL(err)}
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		c.tokens.judged(token, false)
		return nil, &AuthError{Server: c.server, Problem: TokenRefused, Explicit: c.tokens.explicit != "", Path: c.tokens.path()}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		failed := &ServerError{What: what, Host: c.base.Host, Status: answer.StatusCode, RetryAfter: c.retryAfter(answer.Header)}
		c.beQuiet(failed.RetryAfter)
		return nil, failed
	}
	return nil, &noSocketError{answer.StatusCode}
}

// poll follows the log by asking for pages, for a while. It asks less and less
// often while nothing comes.
func (s *LogStream) poll(ctx context.Context) (ended bool, err error) {
	gaps := &backoff.ExponentialBackOff{InitialInterval: pollFirst, RandomizationFactor: 0.2, Multiplier: 1.5, MaxInterval: pollLast}
	for s.options.PollOnly || s.client.now().Before(s.pollUntil) {
		before := s.cursor.count()
		ended, err := s.catchUp(ctx)
		if ended || err != nil && (ctx.Err() != nil || !IsTemporary(err)) {
			if e, ok := errors.AsType[*emitError](err); ok {
				err = e.err
			}
			return ended, err
		}
		if s.cursor.count() > before {
			gaps.Reset()
		}
		if err := s.client.wait(ctx, max(gaps.NextBackOff(), RetryAfter(err))); err != nil {
			return false, err
		}
	}
	return false, nil
}

// catchUp fetches all that the log has behind the cursor.
func (s *LogStream) catchUp(ctx context.Context) (ended bool, err error) {
	for {
		mark := s.cursor.mark()
		page, err := s.pageAfter(ctx, mark)
		if errors.Is(err, errTooLarge) && s.entries > 1 {
			s.entries = max(1, s.entries/8)
			continue
		}
		if err != nil {
			return false, err
		}
		if s.refused {
			s.refused = false
			s.client.refuseSockets()
		}
		s.cursor.readPage()
		before := s.cursor.count()
		if err := s.deliver(page.Messages); err != nil {
			return false, err
		}
		moved := s.cursor.count() > before
		switch {
		case page.Bottom:
			return true, nil
		case !moved && s.options.JobDone != nil && s.options.JobDone():
			return true, nil
		case !moved || sameMark(mark, s.cursor.mark()):
			return false, nil // nothing new, or nowhere to go on from
		}
	}
}

// pageAfter returns the page behind a mark; without one, the log's first page.
func (s *LogStream) pageAfter(ctx context.Context, mark *Mark) (LogPage, error) {
	if mark != nil {
		return s.client.Logs(ctx, s.job, LogQuery{Entries: s.entries, After: mark})
	}
	// There is no way to ask for the first page: it is found by going back from
	// the last one. The pages on the way are not kept but fetched again, so that
	// the longest log takes no more memory than one page.
	page, err := s.client.Logs(ctx, s.job, LogQuery{Entries: s.entries})
	lost := false // more may lie before the page, and nobody can ask for it
	for back := (*Mark)(nil); err == nil && !page.Top; {
		first := firstMark(page.Messages)
		if first < 0 || sameMark(back, markOf(page.Messages[first])) {
			lost = first < 0 && len(page.Messages) > 0
			break // as far back as the server goes
		}
		back = markOf(page.Messages[first])
		var older LogPage
		older, err = s.client.Logs(ctx, s.job, LogQuery{Entries: s.entries, Before: back})
		if err != nil || len(older.Messages) == 0 {
			break // what is in hand begins the log
		}
		if firstMark(older.Messages) < 0 {
			// Nobody could ask for what follows these: both pages are kept.
			page.Messages, page.Top = slices.Concat(older.Messages, page.Messages[first:]), older.Top
			lost = true
			break
		}
		older.Bottom = false // there is more behind that page
		page = older
	}
	if err == nil && !page.Top && (s.cursor.count() > 0 || lost && s.whole) {
		return page, errNoPlace // the page may begin anywhere
	}
	return page, err
}

// firstMark returns the index of the first message that has a place; -1 = none has.
func firstMark(messages []LogMessage) int {
	return slices.IndexFunc(messages, func(m LogMessage) bool { return markOf(m) != nil })
}

// markOf returns a message's place in the log: it needs a time and an id.
func markOf(m LogMessage) *Mark {
	if m.EventID == "" || m.Time.IsZero() {
		return nil
	}
	return &Mark{Time: m.Time, EventID: m.EventID}
}

func sameMark(a, b *Mark) bool {
	return a == nil && b == nil || a != nil && b != nil && a.EventID == b.EventID && a.Time.Equal(b.Time)
}

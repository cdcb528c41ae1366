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
	mute      int       // WebSockets in a row that brought nothing at all
	unplaced  bool      // polling has failed with errNoPlace
	entries   int       // messages to ask for at once: fewer where they are very long
	largest   int       // messages in the largest page so far
	full      bool      // the last page was as large, so that it may have been cut

	spoken time.Time // when the open WebSocket brought a message, or began
	look   time.Time // when to look next whether a log without places has ended
	looks  *backoff.ExponentialBackOff
	calm   time.Duration // streamCalm, and less in tests
}

// errNoPlace says that the messages so far have neither times nor ids, so that
// get_logs cannot be asked for what follows them, and only a WebSocket can go on.
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
	noSocketsFor = 10 * time.Minute       // no WebSocket is tried where one was refused
	socketTrials = 2                      // connections that soon break and bring nothing, until polling takes over
	mutesMost    = 3                      // connections that bring nothing, until they are not waited for
	quietFor     = 500 * time.Millisecond // without a message, before pages are asked what an open WebSocket has left to bring
)

// LogStream makes a stream of a job's log. Run starts it.
func (c *Client) LogStream(id string, o StreamOptions) *LogStream {
	return &LogStream{client: c, job: id, options: o, cursor: newCursor(o.From), entries: MaxLogEntries, looks: pollGaps(), calm: streamCalm}
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
		if s.polls() {
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
		if s.mute++; spoke {
			s.mute = 0
		}
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
		case spoke && s.client.now().Sub(began) > s.calm:
			failures = 0 // a quiet log, and a connection that got old
		default:
			failures++
		}
		s.client.log.DebugContext(ctx, "log stream broke", "job", s.job, "error", err)
		if s.refused || failures >= socketTrials && (!s.unplaced || !s.socketsWork()) {
			s.client.log.InfoContext(ctx, "following the log by polling", "job", s.job)
			s.pollUntil = s.client.now().Add(pollPeriod)
			continue
		}
		if err := s.client.wait(ctx, max(gaps.NextBackOff(), RetryAfter(err))); err != nil {
			return err
		}
	}
}

// polls reports whether the log is followed by polling now.
func (s *LogStream) polls() bool {
	_, _, ok := s.cursor.offset()
	return s.options.PollOnly || !ok || s.client.now().Before(s.pollUntil)
}

// socketsWork reports whether a WebSocket may bring what pages cannot.
func (s *LogStream) socketsWork() bool {
	_, _, ok := s.cursor.offset()
	return ok && !s.options.PollOnly && !s.refused && s.mute < mutesMost && !s.client.now().Before(s.client.socketsAgain())
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
	offset, exact, _ := s.cursor.offset()
	conn, err := s.connect(ctx, offset)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = conn.CloseNow() }() // it may be closed already
	if exact {
		s.cursor.readOn(offset)
	}
	s.spoken, s.look = time.Now(), time.Time{}
	s.looks.Reset()
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
		// The end may not be marked. What is still coming is not asked for.
		if s.options.JobDone == nil || !s.options.JobDone() || time.Since(s.spoken) < quietFor {
			return false, nil
		}
		if s.cursor.mark() == nil {
			return s.endsHere(ctx)
		}
		ended, err := s.catchUp(ctx)
		switch {
		case errors.Is(err, errNoPlace):
			return false, nil // only the connection can bring the rest
		case err == nil && !ended:
			err = errOvertaken
		}
		return ended, err
	}
	s.spoken = time.Now()
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

// endsHere reports whether the log of a job that is done ends with what an open
// WebSocket has brought, where nobody could ask for what follows that: its last
// page then holds nothing else. It looks less and less often.
func (s *LogStream) endsHere(ctx context.Context) (ended bool, err error) {
	if time.Now().Before(s.look) {
		return false, nil
	}
	page, err := s.client.Logs(ctx, s.job, LogQuery{Entries: s.entries})
	s.look = time.Now().Add(max(s.looks.NextBackOff(), RetryAfter(err)))
	switch {
	case errors.Is(err, errTooLarge) && s.entries > 1:
		s.entries = max(1, s.entries/8)
		return false, nil
	case err != nil && IsTemporary(err) && ctx.Err() == nil:
		return false, nil
	case err != nil:
		return false, err
	}
	known, ok := s.cursor.goesOn(page.Messages, page.Top)
	if known == len(page.Messages) && (ok || known == 0) {
		return true, nil
	}
	if !ok || time.Since(s.spoken) < s.calm {
		return false, nil // it is on its way
	}
	s.cursor.readFrom()
	if err := s.deliver(page.Messages[known:]); err != nil {
		return false, err
	}
	return false, errOvertaken
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

func pollGaps() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: pollFirst, RandomizationFactor: 0.2, Multiplier: 1.5, MaxInterval: pollLast}
}

// poll follows the log by asking for pages, for a while. It asks less and less
// often while nothing comes.
func (s *LogStream) poll(ctx context.Context) (ended bool, err error) {
	for gaps := pollGaps(); s.polls(); {
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
	for stuck := false; ; { // stuck: what follows the mark is known, as far as a page goes
		mark := s.cursor.mark()
		page, last, err := s.nextPage(ctx, mark, stuck)
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
		before := s.cursor.count()
		if err := s.deliver(page.Messages); err != nil {
			return false, err
		}
		moved := s.cursor.count() > before
		switch {
		case page.Bottom:
			return true, nil
		case moved && !last && (s.full || !sameMark(mark, s.cursor.mark())):
			stuck = sameMark(mark, s.cursor.mark())
		case !moved && !last && s.full && !stuck:
			stuck = true
		case !moved && s.options.JobDone != nil && s.options.JobDone():
			return true, nil
		default:
			return false, nil
		}
	}
}

// nextPage returns the page behind a mark, or where there is none or it leads no
// further, what the log has to go on with. last says that nothing came behind it.
func (s *LogStream) nextPage(ctx context.Context, mark *Mark, stuck bool) (page LogPage, last bool, err error) {
	if mark == nil || stuck {
		return s.findPlace(ctx)
	}
	page, err = s.page(ctx, LogQuery{After: mark})
	if err != nil || !s.cursor.markLost() {
		s.cursor.readPage()
		return page, false, err
	}
	// All of it is known where it does not reach the end of what was emitted.
	s.cursor.readFrom()
	if known, ok := s.cursor.goesOn(page.Messages, false); ok {
		page.Messages = page.Messages[known:]
	} else {
		page = LogPage{}
	}
	return page, false, nil
}

// page asks for a page of the usual size.
func (s *LogStream) page(ctx context.Context, q LogQuery) (LogPage, error) {
	q.Entries = s.entries
	page, err := s.client.Logs(ctx, s.job, q)
	n := len(page.Messages)
	s.largest = max(s.largest, n)
	s.full = n > 0 && n >= min(s.entries, s.largest)
	return page, err
}

// findPlace returns what the log has to go on with: from the cursor's place on,
// or from the log's beginning where nothing was emitted yet. There is no way to
// ask for that: it is found by going back from the last page. The pages on the
// way are not kept but fetched again, so that the longest log takes no more
// memory than one page. last says that it ends with the log.
func (s *LogStream) findPlace(ctx context.Context) (page LogPage, last bool, err error) {
	page, err = s.page(ctx, LogQuery{})
	last = true
	lost := false // more may lie before the page, and nobody can ask for it
	known, found := s.cursor.goesOn(page.Messages, page.Top)
	for back := (*Mark)(nil); err == nil && !found && !page.Top; {
		first := firstMark(page.Messages)
		if first < 0 || sameMark(back, markOf(page.Messages[first])) {
			lost = lost || first < 0 && len(page.Messages) > 0
			break // as far back as the server goes
		}
		back = markOf(page.Messages[first])
		var older LogPage
		older, err = s.page(ctx, LogQuery{Before: back})
		if err != nil || len(older.Messages) == 0 {
			break // what is in hand begins the log
		}
		if firstMark(older.Messages) < 0 {
			// Nobody could ask for what follows these: both pages are kept.
			older.Messages, older.Bottom = slices.Concat(older.Messages, page.Messages[first:]), page.Bottom
			lost = !older.Top
		} else {
			older.Bottom, last = false, false // there is more behind that page
		}
		page = older
		known, found = s.cursor.goesOn(page.Messages, page.Top)
	}
	if err != nil {
		return page, last, err
	}
	if !found && !page.Top && (lost || s.cursor.count() > 0) {
		if s.socketsWork() {
			return page, last, errNoPlace
		}
		s.startAnew(ctx)
	}
	s.cursor.readFrom()
	page.Messages = page.Messages[known:]
	return page, last, nil
}

// startAnew goes on with a page that may begin anywhere: there is no way to get
// what lies before it.
func (s *LogStream) startAnew(ctx context.Context) {
	if s.cursor.count() == 0 {
		s.cursor.beginAnywhere()
		s.client.log.InfoContext(ctx, "the beginning of a log cannot be had", "job", s.job)
		return
	}
	s.client.log.WarnContext(ctx, "some lines of a log may be missing: more came than could be asked for", "job", s.job)
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

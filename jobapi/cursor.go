package jobapi

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"sync"
)

// LogPosition is a place in a job's log, from which a LogStream goes on. It may
// be kept as JSON.
type LogPosition struct {
	Count int64 `json:"count"` // messages before this place

	// What a WebSocket is asked for: what follows Offset, the last event id that
	// is a whole number ("" = none yet, the log's beginning). AfterOffset are the
	// checksums of the messages from there to this place.
	Offset      string   `json:"offset,omitempty"`
	AfterOffset []uint64 `json:"afterOffset,omitempty"`
	OddIDs      bool     `json:"oddIds,omitempty"` // ids among these are no whole numbers
	OffsetLost  bool     `json:"offsetLost,omitempty"`

	// What get_logs is asked for: what follows Mark, the last message with both
	// time and id (nil = none yet). AfterMark are the checksums from there on.
	Mark      *Mark    `json:"mark,omitempty"`
	AfterMark []uint64 `json:"afterMark,omitempty"`
	MarkLost  bool     `json:"markLost,omitempty"` // AfterMark are only the last of them

	// Recent are the checksums of the last messages with ids, for servers whose
	// "what follows" begins with what was asked about, or goes back a little.
	Recent []uint64 `json:"recent,omitempty"`

	// Partial says that the log's beginning was not to be had: Count counts from
	// the first message that was.
	Partial bool `json:"partial,omitempty"`
}

func (p LogPosition) clone() LogPosition {
	p.AfterOffset, p.AfterMark, p.Recent = slices.Clone(p.AfterOffset), slices.Clone(p.AfterMark), slices.Clone(p.Recent)
	return p
}

const (
	ringSize  = 1 << 16 // messages known by their ids: some MB
	recentOf  = 16      // messages with ids that a position still knows: a position is written often
	afterSize = 1 << 13 // messages remembered behind a place, and at the end of what was emitted
)

// cursor knows which messages of a log have been emitted, in memory that does
// not grow with the log.
//
// A way of reading the log again from a place brings the messages behind that
// place in the same order as before: those are remembered, and dropped when they
// come again. What two ways bring at once is known by its ids, the last of which
// are in a ring.
type cursor struct {
	mu  sync.Mutex // guards what follows
	pos LogPosition

	end   []uint64 // checksums of the last messages, at least afterSize of them if there were as many
	ring  []uint64 // checksums of the last messages that have ids, a circle
	next  int      // where the circle goes on
	known map[uint64]struct{}

	replay []uint64       // what comes again, in this order, before anything new
	skip   int64          // or so many messages, whatever they are
	both   map[uint64]int // messages without ids that pages brought while a WebSocket was open
	paging bool           // pages are bringing them now
}

func newCursor(from *LogPosition) *cursor {
	c := &cursor{known: map[uint64]struct{}{}}
	if from != nil {
		c.pos = from.clone()
		c.end = slices.Clone(from.AfterMark)
		for _, sum := range from.Recent {
			c.keep(sum)
		}
	}
	return c
}

func (c *cursor) position() LogPosition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pos.clone()
}

func (c *cursor) count() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pos.Count
}

// mark returns the place that get_logs is asked from; nil = the beginning.
func (c *cursor) mark() *Mark {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pos.Mark
}

// markLost reports whether more was emitted behind the mark than is remembered.
func (c *cursor) markLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pos.MarkLost
}

// offset returns what to ask a WebSocket for. exact says that it then begins at
// that place; otherwise it begins at the log's present end, and what lies
// between must be fetched. ok is false when a WebSocket cannot go on from here.
func (c *cursor) offset() (offset string, exact, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pos
	switch {
	case p.Offset != "" && !p.OddIDs && !p.OffsetLost:
		return p.Offset, true, true
	case p.Mark != nil && !p.MarkLost:
		return "", false, true
	case p.Offset != "" && !p.OffsetLost:
		return p.Offset, true, true
	}
	return "0", true, !p.Partial
}

// readOn prepares for a WebSocket that begins at offset.
func (c *cursor) readOn(offset string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expect(c.pos.AfterOffset, offset == "0" && (c.pos.Offset != "" || c.pos.OffsetLost))
}

// readPage prepares for a page that begins at the mark, or at the log's beginning
// where there is none.
func (c *cursor) readPage() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expect(c.pos.AfterMark, false)
}

// goesOn returns how many messages of a page, which begins anywhere, were emitted
// before; ok says that the page holds the place to go on from, or begins the log
// where nothing was emitted yet. top says that it begins with the log's first message.
func (c *cursor) goesOn(messages []LogMessage, top bool) (known int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := int64(len(messages))
	if top && !c.pos.Partial {
		return int(min(c.pos.Count, n)), c.pos.Count <= n
	}
	sums := make([]uint64, n)
	for i, m := range messages {
		sums[i] = checksum(m)
	}
	// Behind the mark, if it is here: the same messages follow as before.
	if mark := c.pos.Mark; mark != nil && !c.pos.MarkLost {
		i := slices.IndexFunc(messages, func(m LogMessage) bool { return sameMark(mark, markOf(m)) })
		if i += 1 + len(c.pos.AfterMark); i > len(c.pos.AfterMark) && i <= len(sums) && c.endsWith(sums[:i]) {
			return i, true
		}
	}
	// Else where the end of what was emitted stands, the latest such place.
	for i := len(sums); i > 0; i-- {
		if c.endsWith(sums[:i]) {
			return i, true
		}
	}
	return 0, false
}

// readFrom prepares for messages none of which were emitted before.
func (c *cursor) readFrom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expect(nil, false)
}

// endsWith reports whether what was emitted ends with these messages, as far as
// it is remembered.
func (c *cursor) endsWith(sums []uint64) bool {
	n := min(len(sums), len(c.end), afterSize)
	return n > 0 && slices.Equal(sums[len(sums)-n:], c.end[len(c.end)-n:])
}

// beginAnywhere says that the first message to come does not begin the log.
func (c *cursor) beginAnywhere() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pos.Partial = true
}

// expect says what comes again: the messages with these checksums, or the whole
// log from its beginning.
func (c *cursor) expect(sums []uint64, whole bool) {
	c.replay, c.skip = slices.Clone(sums), 0
	if whole {
		c.replay, c.skip = nil, c.pos.Count
	}
}

// overlap says that a WebSocket is open while pages are fetched: both bring the
// messages of that time. After done, the WebSocket goes on alone.
func (c *cursor) overlap() (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.both, c.paging = map[uint64]int{}, true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.replay, c.skip, c.paging = nil, 0, false
	}
}

// fresh returns the messages that have not been emitted yet.
func (c *cursor) fresh(messages []LogMessage) []LogMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := make([]LogMessage, 0, len(messages))
	batch := map[uint64]struct{}{}
	for _, m := range messages {
		sum := checksum(m)
		if c.comesAgain(m, sum) {
			continue
		}
		if _, twice := batch[sum]; twice && m.EventID != "" {
			continue
		}
		batch[sum] = struct{}{}
		fresh = append(fresh, m)
	}
	return fresh
}

func (c *cursor) comesAgain(m LogMessage, sum uint64) bool {
	if c.skip > 0 {
		c.skip--
		return true
	}
	if i := slices.Index(c.replay, sum); i >= 0 {
		c.replay = c.replay[i+1:]
		return true
	}
	if m.EventID == "" {
		if c.paging || c.both[sum] == 0 {
			return false
		}
		c.both[sum]--
		return true
	}
	if _, ok := c.known[sum]; ok {
		return true
	}
	c.replay = nil // it is new, and so is what follows
	if !c.paging {
		c.both = nil
	}
	return false
}

// commit remembers messages that have been emitted.
func (c *cursor) commit(messages []LogMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		c.remember(m)
	}
}

func (c *cursor) remember(m LogMessage) {
	p := &c.pos
	p.Count++
	sum := checksum(m)
	if len(c.end) == 2*afterSize {
		c.end = append(c.end[:0], c.end[afterSize:]...)
	}
	c.end = append(c.end, sum)
	if m.EventID != "" {
		c.keep(sum)
		if len(p.Recent) == recentOf {
			p.Recent = slices.Delete(p.Recent, 0, 1)
		}
		p.Recent = append(p.Recent, sum)
	} else if c.paging {
		c.both[sum]++
	}
	if isWhole(m.EventID) {
		p.Offset, p.AfterOffset, p.OddIDs, p.OffsetLost = m.EventID, p.AfterOffset[:0], false, false
	} else {
		p.OddIDs = p.OddIDs || m.EventID != ""
		p.AfterOffset, p.OffsetLost = after(p.AfterOffset, sum, p.OffsetLost)
	}
	if mark := markOf(m); mark != nil {
		p.Mark, p.AfterMark, p.MarkLost = mark, p.AfterMark[:0], false
	} else {
		if len(p.AfterMark) == afterSize {
			p.AfterMark, p.MarkLost = slices.Delete(p.AfterMark, 0, afterSize/8), true
		}
		p.AfterMark = append(p.AfterMark, sum)
	}
}

// after appends to what is remembered behind an offset, or gives that up.
func after(sums []uint64, sum uint64, lost bool) ([]uint64, bool) {
	if lost || len(sums) >= afterSize {
		return nil, true
	}
	return append(sums, sum), false
}

// keep puts a message into the ring, in the place of the oldest.
func (c *cursor) keep(sum uint64) {
	c.known[sum] = struct{}{}
	if len(c.ring) < ringSize {
		c.ring = append(c.ring, sum)
		return
	}
	if c.ring[c.next] != sum {
		delete(c.known, c.ring[c.next])
	}
	c.ring[c.next] = sum
	c.next = (c.next + 1) % ringSize
}

// isWhole reports whether an event id is a whole number, as most servers give:
// only those can be asked of a WebSocket.
func isWhole(id string) bool {
	_, err := strconv.ParseUint(id, 10, 63)
	return err == nil
}

// checksum tells messages apart: by their ids, or by their times where they have
// none. Times count in milliseconds, as one of the two ways of writing them has
// no finer ones. Beside an id they do not count, since what one way of reading
// the log says of a time, another may round or leave out. The text does count,
// in case one id stands for several lines.
func checksum(m LogMessage) uint64 {
	h := fnv.New64a()
	var number [8]byte
	if m.EventID == "" && !m.Time.IsZero() {
		binary.LittleEndian.PutUint64(number[:], uint64(m.Time.UnixMilli()))
	}
	_, _ = h.Write(number[:]) // a hash takes everything
	_, _ = io.WriteString(h, m.EventID+"\x00"+m.Message)
	return h.Sum64()
}

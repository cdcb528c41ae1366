package track

import (
	"slices"
	"sync"
	"sync/atomic"
)

// memory is what a ledger knows without the disk. A reader gets the records of
// one moment and looks at them without a lock, however many they are: nobody
// who answers an editor waits for someone who goes through all of them.
type memory struct {
	mu    sync.Mutex // guards what follows; held for moments, never over the disk
	byID  map[string]*entry
	order []*entry // newest first; replaced, never changed; nil = to be made anew
}

type entry struct {
	record atomic.Pointer[Record] // what it points to is never changed, only replaced
	stamp  stamp                  // guarded by the memory's lock
}

// get returns a record, which must not be changed; nil = there is none.
func (m *memory) get(submission string) *Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byID[submission]; e != nil {
		return e.record.Load()
	}
	return nil
}

// put replaces or adds a record, which must not be changed afterwards.
func (m *memory) put(r *Record, st stamp) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[r.Submission]
	if e == nil {
		e = &entry{}
		m.byID[r.Submission] = e
		m.order = nil
	} else if !e.record.Load().Created.Equal(r.Created) {
		m.order = nil
	}
	e.stamp = st
	e.record.Store(r)
}

// note changes what is not stored of a record, and returns it; nil = there is none.
func (m *memory) note(submission string, change func(*Record)) *Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.byID[submission]
	if e == nil {
		return nil
	}
	old := e.record.Load()
	changed := old.clone()
	change(&changed)
	if changed.Seen.Equal(old.Seen) && changed.Trouble == old.Trouble && changed.Line == old.Line {
		return old
	}
	e.record.Store(&changed)
	return &changed
}

// stampOf returns the stamp of the file that a record was read from.
func (m *memory) stampOf(submission string) (st stamp, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byID[submission]; e != nil {
		return e.stamp, true
	}
	return stamp{}, false
}

func (m *memory) remove(submission string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byID, submission)
	m.order = nil
}

// missing returns the submissions that are not among those seen.
func (m *memory) missing(seen map[string]bool) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var missing []string
	for id := range m.byID {
		if !seen[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// all returns all records of this moment, newest first.
func (m *memory) all() []*entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.order == nil {
		m.order = make([]*entry, 0, len(m.byID))
		for _, e := range m.byID {
			m.order = append(m.order, e)
		}
		slices.SortFunc(m.order, func(a, b *entry) int { return newer(a.record.Load(), b.record.Load()) })
	}
	return m.order
}

package track

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"juliahub-lsp/internal/atomicfile"

	"juliahub-lsp/jobapi"
)

// The budget of status requests per user and server and hour.
const (
	budgetBase  = 120
	budgetEach  = 40 // for each submission of the last hour
	budgetLimit = 600
)

// quietMost is the longest that a server may silence us for, also when the clock
// was set back since.
const quietMost = jobapi.MostQuiet

// diary is what the lead remembers of the requests to one server, also for the
// next lead: a file with a line for each, beside the lead's lock.
type diary struct {
	path  string
	lines int         // in the file
	asked []time.Time // status requests of the last hour, in order
	quiet time.Time   // nothing is asked before: Retry-After
}

func (l *Ledger) diary(server string, now time.Time) (diary, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(server)) // a hash takes everything
	d := diary{path: filepath.Join(l.dir, "locks", fmt.Sprintf("asked-%016x", h.Sum64()))}
	data, err := os.ReadFile(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("read how often %s was asked: %w", server, err)
	}
	for line := range strings.Lines(string(data)) {
		d.lines++
		d.read(line, now)
	}
	slices.SortFunc(d.asked, time.Time.Compare)
	return d, nil
}

// read takes over one line; one that a crash cut short says nothing. What is in
// the future, since the clock was set back, counts as now.
func (d *diary) read(line string, now time.Time) {
	text, whole := strings.CutSuffix(line, "\n")
	text, quiet := strings.CutPrefix(text, "quiet ")
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !whole {
		return
	}
	at := time.UnixMilli(ms)
	if quiet {
		d.quiet = earlier(at, now.Add(quietMost))
	} else if now.Sub(at) < time.Hour {
		d.asked = append(d.asked, earlier(at, now))
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// ask notes a request that is about to be sent.
func (d *diary) ask(now time.Time) error {
	d.asked = append(d.asked, now)
	return d.write(line(now))
}

// hush notes that nothing is to be asked for a while.
func (d *diary) hush(now time.Time, wait time.Duration) error {
	d.quiet = now.Add(min(wait, quietMost))
	return d.write("quiet " + line(d.quiet))
}

func line(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) + "\n" }

// write adds a line to the file, or writes the file anew when most of it is old.
func (d *diary) write(text string) error {
	if d.lines >= 3*budgetLimit {
		return d.rewrite()
	}
	f, err := os.OpenFile(d.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("remember a request: %w", err)
	}
	d.lines++
	return nil
}

func (d *diary) rewrite() error {
	var b strings.Builder
	for _, at := range d.asked {
		b.WriteString(line(at))
	}
	if !d.quiet.IsZero() {
		b.WriteString("quiet " + line(d.quiet))
	}
	d.lines = len(d.asked) + 1
	return atomicfile.Write(d.path, []byte(b.String()), 0o600)
}

// free returns when a budget allows the next request.
func (d *diary) free(budget int, now time.Time) time.Time {
	d.asked = slices.DeleteFunc(d.asked, func(at time.Time) bool { return now.Sub(at) >= time.Hour })
	if len(d.asked) < budget {
		return now
	}
	return d.asked[len(d.asked)-budget].Add(time.Hour)
}

// budget is how many status requests an hour a server may get from this user. A
// test's shorter tick has as many more: it lasts for as many ticks' time.
func (t *Tracker) budget(server string, now time.Time) int {
	recent := t.cfg.Ledger.Count(func(r *Record) bool {
		return r.Server == server && r.Sent != nil && now.Sub(*r.Sent) < time.Hour
	})
	return min(budgetBase+budgetEach*recent, budgetLimit) * max(1, int(fastTick/t.cfg.Tick))
}

// mayAsk reports whether the budget allows a status request now.
func (t *Tracker) mayAsk(s *server, now time.Time) bool {
	return !now.Before(s.diary.free(t.budget(s.name, now), now))
}

// count notes a status request that is about to be sent.
func (t *Tracker) count(s *server) {
	s.pace = jitter(t.cfg.Tick)
	if err := s.diary.ask(time.Now()); err != nil {
		t.cfg.Logger.Info("cannot write down a request; the next lead may ask too often", "server", s.name, "error", err)
	}
}

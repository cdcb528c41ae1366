package commands

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// bars are the progress bars that a job shows by ProgressLogging: log records
// of level −1 with the keyword "progress", one bar per id, oldest first.
type bars struct {
	open []track.Bar
}

// progressLevel is ProgressLogging.ProgressLevel.
const progressLevel = -1

// mostBars bounds what a job can make us remember.
const mostBars = 100

// add takes a log record, and reports whether it was one of progress.
func (b *bars) add(m *jobapi.LogMessage) bool {
	value, ok := m.Keywords["progress"]
	if !ok || m.Level == nil || *m.Level != progressLevel {
		return false
	}
	id := ""
	if given := m.Metadata["id"]; given != nil {
		id = textOfValue(given)
	}
	fraction, known, done := progressOf(value)
	for i := range b.open {
		if b.open[i].ID != id {
			continue
		}
		if done {
			b.open = slices.Delete(b.open, i, i+1)
			return true
		}
		setBar(&b.open[i], fraction, known, m.Message)
		return true
	}
	if !done && len(b.open) < mostBars {
		fresh := track.Bar{ID: id}
		setBar(&fresh, fraction, known, m.Message)
		b.open = append(b.open, fresh)
	}
	return true
}

func setBar(b *track.Bar, fraction float64, known bool, name string) {
	b.Known = known
	if known {
		b.Percent = 100 * fraction
	}
	if name != "" {
		b.Name = firstLine(name)
	}
}

// progressOf reads the value of the keyword: a number or a number in a string;
// "done" or at least 1 closes the bar; null, "nothing" and NaN mean that it is not known how far it is.
func progressOf(value any) (fraction float64, known, done bool) {
	if number, ok := value.(json.Number); ok {
		value = number.String()
	}
	switch v := value.(type) {
	case float64:
		fraction = v
	case string:
		text := strings.Trim(strings.TrimSpace(v), `"`)
		if text == "done" {
			return 0, false, true
		}
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, false, false
		}
		fraction = number
	default:
		return 0, false, false
	}
	if math.IsNaN(fraction) {
		return 0, false, false
	}
	return min(max(fraction, 0), 1), true, fraction >= 1
}

// show adds to a job how far it is, if that is known.
func (b *bars) show(j Job) Job {
	if percent, _, ok := b.now(); ok {
		j.Percent = &percent
	}
	return j
}

// now returns the percentage of the oldest open bar, if that knows its own, and
// the name of the newest one. An inner bar does not stand in for an outer one:
// it is full long before the job is done.
func (b *bars) now() (percent float64, text string, ok bool) {
	if len(b.open) == 0 {
		return 0, "", false
	}
	if oldest := b.open[0]; oldest.Known {
		percent, ok = oldest.Percent, true
	}
	return percent, b.open[len(b.open)-1].Name, ok
}

package lsptest

import (
	"fmt"
	"strings"
)

// Verdict says whether an expectation has come true.
type Verdict int

// The verdicts.
const (
	Unmet      Verdict = iota // not yet
	Met                       // it has
	Unmeetable                // and it cannot any more
)

// Expectation is something to be seen in the editor.
type Expectation struct {
	Name  string
	Check func(*State) Verdict
}

// That expects a condition.
func That(name string, holds func(*State) bool) Expectation {
	return Expectation{name, func(s *State) Verdict {
		if holds(s) {
			return Met
		}
		return Unmet
	}}
}

// AllOf expects all of them at once.
func AllOf(all ...Expectation) Expectation {
	names := make([]string, 0, len(all))
	for _, x := range all {
		names = append(names, x.Name)
	}
	return Expectation{strings.Join(names, " and "), func(s *State) Verdict {
		verdict := Met
		for _, x := range all {
			switch x.Check(s) {
			case Unmeetable:
				return Unmeetable
			case Unmet:
				verdict = Unmet
			}
		}
		return verdict
	}}
}

// Says expects a message with a text in it.
func Says(text string) Expectation {
	return That(fmt.Sprintf("a message with %q", text), func(s *State) bool {
		for _, m := range s.Messages {
			if strings.Contains(m.Message, text) {
				return true
			}
		}
		return false
	})
}

// Asks expects a question with a text in it.
func Asks(text string) Expectation {
	return That(fmt.Sprintf("a question with %q", text), func(s *State) bool {
		for _, q := range s.Questions {
			if strings.Contains(q.Text, text) {
				return true
			}
		}
		return false
	})
}

// Shows expects a document whose URI has a text in it.
func Shows(text string) Expectation {
	return That(fmt.Sprintf("a document with %q in its name", text), func(s *State) bool {
		for _, d := range s.Shown {
			if strings.Contains(d.URI, text) {
				return true
			}
		}
		return false
	})
}

// WorkBegun expects a progress whose title has a text in it.
func WorkBegun(title string) Expectation {
	return That(fmt.Sprintf("progress %q to begin", title), func(s *State) bool {
		return s.FindWork(title) != nil
	})
}

// WorkRuns expects a progress that has begun and not ended.
func WorkRuns(title string) Expectation {
	return That(fmt.Sprintf("progress %q to run", title), func(s *State) bool {
		w := s.FindWork(title)
		return w != nil && !w.Ended
	})
}

// WorkEnded expects a progress to end with a text. One that ends otherwise
// makes it unmeetable.
func WorkEnded(title, end string) Expectation {
	return Expectation{fmt.Sprintf("progress %q to end with %q", title, end), func(s *State) Verdict {
		w := s.FindWork(title)
		switch {
		case w == nil || !w.Ended:
			return Unmet
		case strings.Contains(w.End, end):
			return Met
		}
		return Unmeetable
	}}
}

// NoWork expects all progress that began to have ended.
func NoWork() Expectation {
	return That("no progress under way", func(s *State) bool {
		for _, w := range s.Work {
			if w.Begun && !w.Ended {
				return false
			}
		}
		return true
	})
}

// FindWork returns the newest progress that has begun and has a text in its
// title, nil if there is none.
func (s *State) FindWork(title string) *Work {
	for i := len(s.Work) - 1; i >= 0; i-- {
		if w := s.Work[i]; w.Begun && strings.Contains(w.Title, title) {
			return w
		}
	}
	return nil
}

// Diagnosed expects a diagnostic at a line, counted from 0, with a text in its message.
func Diagnosed(uri string, line int, text string) Expectation {
	return That(fmt.Sprintf("a diagnostic at %s:%d with %q", uri, line+1, text), func(s *State) bool {
		for _, d := range s.Diagnostics[uri] {
			if d.Range.Start.Line == line && strings.Contains(d.Message, text) {
				return true
			}
		}
		return false
	})
}

// Undiagnosed expects a document without diagnostics, after some were published.
func Undiagnosed(uri string) Expectation {
	return That("no diagnostics at "+uri, func(s *State) bool {
		list, published := s.Diagnostics[uri]
		return published && len(list) == 0
	})
}

// JobIn expects a job's last juliahub/jobDidChange to be in a state.
func JobIn(state string) Expectation {
	return That("a job in state "+state, func(s *State) bool {
		return len(s.Jobs) > 0 && s.Jobs[len(s.Jobs)-1]["state"] == state
	})
}

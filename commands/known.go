package commands

import (
	"sync"

	"juliahub-lsp/commands/track"
)

// knownJobs are the jobs as editors see them, made once for each state of a
// record: whoever lists a thousand of them does not make them anew.
type knownJobs struct {
	mu   sync.Mutex // guards jobs
	jobs map[string]knownJob
}

type knownJob struct {
	record *track.Record // that it was made of
	job    *Job
}

// KnownJobs returns all known submissions, newest first. They are shared and
// must not be changed; one that changes is another *Job from then on, so that
// whoever keeps what was made of one can tell by its address. Cached state
// only: it never waits.
func (s *Session) KnownJobs() []*Job {
	records := s.ledger.All()
	percents := s.percents()
	s.known.mu.Lock()
	defer s.known.mu.Unlock()
	if s.known.jobs == nil || len(s.known.jobs) > 2*len(records) { // most of them are gone
		s.known.jobs = make(map[string]knownJob, len(records))
	}
	jobs := make([]*Job, len(records))
	for i, r := range records {
		known := s.known.jobs[r.Submission]
		percent, ok := percents[r.Submission]
		if known.record != r || ok != (known.job.Percent != nil) || ok && *known.job.Percent != percent {
			j := s.jobOf(r)
			if ok {
				j.Percent = new(percent)
			}
			known = knownJob{r, &j}
			s.known.jobs[r.Submission] = known
		}
		jobs[i] = known.job
	}
	return jobs
}

// percents says how far jobs are, by submission, where that is known.
func (s *Session) percents() map[string]float64 {
	s.views.mu.Lock()
	defer s.views.mu.Unlock()
	percents := map[string]float64{}
	for submission, v := range s.views.jobs {
		if percent, _, ok := v.bars.now(); ok {
			percents[submission] = percent
		}
	}
	return percents
}

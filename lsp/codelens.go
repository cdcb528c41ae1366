package lsp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

// codeLens shows above a Julia file what can be done and how its newest job is,
// from cached state alone.
func (s *Server) codeLens(_ context.Context, w *world, p *codeLensParams) (any, error) {
	lenses := []protocol.CodeLens{}
	uri := p.TextDocument.URI
	if !w.isJulia(uri) || !w.settings.flag(true, "codeLens", "enabled") {
		return lenses, nil
	}
	add := func(title, command string, args map[string]any) {
		if _, ok := s.command(command); ok {
			lenses = append(lenses, protocol.CodeLens{Command: commandOf(title, command, args)})
		}
	}
	add("▶ Submit", "juliahub.submitScript", map[string]any{"uri": uri})
	if !isUntitled(uri) {
		add("▶ Appbundle", "juliahub.submitAppBundle", map[string]any{"uri": uri})
	}
	job, ok := s.newestJob(uri)
	if !ok {
		return lenses, nil
	}
	target := map[string]any{"submission": job.Submission}
	add(jobTitle(job, time.Now()), "juliahub.job", target)
	if job.ID != "" {
		add("Logs", "juliahub.logs", target)
	}
	if isLive(job.State) {
		add("Cancel", "juliahub.cancelJob", target)
	} else if job.ID != "" {
		add("Results", "juliahub.downloadResults", target)
	}
	return lenses, nil
}

// jobTitle says how a job is: its state and minutes.
func jobTitle(j commands.Job, now time.Time) string {
	switch j.State {
	case commands.StateCompleted:
		return "✓ Completed" + minutes(" ", j, now)
	case commands.StateFailed:
		return "✗ Failed" + minutes(" after ", j, now)
	case commands.StateStopped:
		return "■ Stopped" + minutes(" after ", j, now)
	case commands.StateRefused:
		return "✗ Refused"
	case commands.StateCancelled:
		return "■ Cancelled"
	case commands.StateRunning:
		return "● Running" + minutes(" ", j, now)
	case commands.StateSubmitted:
		return "○ Waiting to run"
	case commands.StateUnknown:
		return "? Sent, no answer yet"
	case commands.StateBundling:
		return "○ Bundling"
	case commands.StateUploading:
		return "○ Uploading"
	case commands.StateSubmitting:
		return "○ Submitting"
	}
	return plain(string(j.State))
}

// minutes says how long a job has run, or ran; "" if it did not.
func minutes(before string, j commands.Job, now time.Time) string {
	if j.Started == nil {
		return ""
	}
	if j.Ended != nil {
		now = *j.Ended
	}
	ran := max(0, now.Sub(*j.Started))
	switch {
	case ran < time.Minute:
		return before + fmt.Sprintf("%ds", int(ran.Seconds()))
	case ran < time.Hour:
		return before + fmt.Sprintf("%dm", int(ran.Minutes()))
	}
	return before + fmt.Sprintf("%dh%02dm", int(ran.Hours()), int(ran.Minutes())%60)
}

// Refreshing makes the client ask every server for its lenses, so it is done
// when a job's state changes, for the minutes once a minute, and not at all
// while no Julia file is open.
const (
	lensGap  = time.Second // between two refreshes, however many changes
	lensTick = time.Minute
)

// lensRefresher asks the client to ask for its lenses again.
type lensRefresher struct {
	s    *Server
	once sync.Once
	wake chan struct{} // holds one wake-up
}

func (l *lensRefresher) init(s *Server) { l.s, l.wake = s, make(chan struct{}, 1) }

// refresh says that lenses have changed.
func (l *lensRefresher) refresh() {
	if !l.s.caps.lensRefresh {
		return
	}
	l.once.Do(func() { l.s.spawn(l.loop) })
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lensRefresher) loop() {
	if !l.s.gate.wait(l.s.ctx) {
		return
	}
	tick := time.NewTicker(lensTick)
	defer tick.Stop()
	for {
		select {
		case <-l.s.ctx.Done():
			return
		case <-l.wake:
		case <-tick.C:
			if !l.s.anyRunning() {
				continue
			}
		}
		if !l.s.anyJuliaOpen() {
			continue
		}
		ctx, cancel := context.WithTimeout(l.s.ctx, callTimeout)
		if err := l.s.client.CodeLensRefresh(ctx); err != nil {
			l.s.log.Debug("the editor does not refresh its lenses", "error", err)
		}
		cancel()
		select {
		case <-l.s.ctx.Done():
			return
		case <-time.After(lensGap):
		}
	}
}

func (s *Server) anyJuliaOpen() bool {
	for _, d := range s.world.Load().docs {
		if d.isJulia() {
			return true
		}
	}
	return false
}

func (s *Server) anyRunning() bool {
	for _, j := range s.session.Jobs() {
		if j.State == commands.StateRunning {
			return true
		}
	}
	return false
}

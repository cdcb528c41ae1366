package commands

import (
	"context"
	"fmt"
	"time"

	"juliahub-lsp/commands/track"
)

// Interruptible is what a UI may be besides: one that knows whether a question
// that nobody expects does no harm in it. In an editor where it takes the keys
// from under a person's fingers, it is a message instead.
type Interruptible interface {
	MayInterrupt() bool
}

// guardAt is the share of the time limit after which its end is warned of.
const guardAt = 0.8

// guardLimit warns once when a job has used most of its time limit: with a
// question that extends it, asked by the process that leads, or a message. The
// views' lock is held.
func (s *Session) guardLimit(r *track.Record, v *view) {
	if v.lapse != nil && (r.State != track.Running || r.LimitHours != v.guarded || r.Kill || r.Unwatched || r.Dismissed) {
		v.lapse() // there is nothing to be asked any more
		v.lapse = nil
	}
	if r.State != track.Running || r.LimitHours == 0 || r.Started == nil || v.guarded == r.LimitHours || r.Kill {
		return
	}
	limit := time.Duration(r.LimitHours) * time.Hour
	used := s.cfg.Now().Sub(*r.Started)
	if float64(used) < guardAt*float64(limit) || used > limit {
		return
	}
	v.guarded = r.LimitHours
	if r.Unwatched || r.Dismissed || !s.visible(r) {
		return
	}
	text := fmt.Sprintf("%s (%s) has used %s of its %d h and will be stopped at the limit", nameOf(r), r.Job, minutes(used), r.LimitHours)
	if ui, ok := s.cfg.UI.(Interruptible); ok && ui.MayInterrupt() && s.tracker.Leads() {
		ctx, cancel := context.WithTimeout(s.ctx, limit-used)
		v.lapse = cancel
		asked := *r
		s.goDo(func() {
			defer cancel()
			s.askToExtend(ctx, &asked, text+".")
		})
		return
	}
	s.cfg.UI.Say(s.ctx, Warning, text+": extend it by an hour with \"Extend job by 1 hour\".")
}

// askToExtend asks whether a job's time limit is to be extended by an hour.
func (s *Session) askToExtend(ctx context.Context, r *track.Record, text string) {
	const no, yes = "Let it end then", "Extend by 1 hour"
	if s.cfg.UI.Ask(ctx, Warning, text, no, yes) != yes {
		return
	}
	if err := s.extend(s.ctx, r, 1); err != nil && s.ctx.Err() == nil {
		s.cfg.UI.Say(s.ctx, Error, "The time limit was not extended: "+err.Error())
	}
}

// extend lengthens a job's time limit.
func (s *Session) extend(ctx context.Context, r *track.Record, hours int) error {
	client, err := s.client(r.Server)
	if err != nil {
		return err
	}
	if err := client.Extend(ctx, r.Job, hours); err != nil || r.Submission == "" {
		return err
	}
	_, err = s.update(r.Submission, func(r *track.Record) {
		if r.LimitHours > 0 {
			r.LimitHours += hours
		}
	})
	return err
}

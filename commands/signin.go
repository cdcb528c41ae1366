package commands

import (
	"context"
	"errors"
	"fmt"

	"juliahub-lsp/jobapi"
)

// SignInAnswer is the answer of juliahub.signIn and juliahub.signOut.
type SignInAnswer struct {
	Server string `json:"server"`
	State  string `json:"state"` // pending, signed-in or signed-out
}

// SignIn lets the person sign in on the server's web page. It answers at once;
// with wait it answers when that is done.
func (s *Session) SignIn(ctx context.Context, in Input) (SignInAnswer, error) {
	server, err := s.serverName(s.userSettings().Server)
	if err != nil {
		return SignInAnswer{}, err
	}
	err = s.later(ctx, waits(in), func(ctx context.Context) error {
		if err := s.signIn(ctx, server, nil); err != nil {
			return err
		}
		if in.Show {
			s.cfg.UI.Say(s.ctx, Info, "Signed in to "+hostOf(server)+".")
		}
		return nil
	})
	if waits(in) {
		return SignInAnswer{Server: server, State: "signed-in"}, err
	}
	return SignInAnswer{Server: server, State: "pending"}, err
}

// SignOut forgets the token of the server, also for Julia's own package manager.
// Whoever refreshes the token meanwhile is waited for, but not by the answer.
func (s *Session) SignOut(ctx context.Context, in Input) (SignInAnswer, error) {
	server, err := s.serverName(s.userSettings().Server)
	if err != nil {
		return SignInAnswer{}, err
	}
	client, err := s.client(server)
	if err != nil {
		return SignInAnswer{}, err
	}
	signOut := func(ctx context.Context) (SignInAnswer, error) {
		defer s.statusChanged()
		return SignInAnswer{Server: server, State: "signed-out"}, client.SignOut(ctx)
	}
	return soon(ctx, s, in, SignInAnswer{Server: server, State: "pending"}, signOut,
		func(SignInAnswer) { s.cfg.UI.Say(s.ctx, Info, "Signed out of "+hostOf(server)+".") })
}

// errSignInCancelled says that the person called a sign-in off: also for
// whoever waits for the same one, so that no other window follows it.
var errSignInCancelled = errors.New("the sign-in was cancelled")

// signIn shows the page to sign in on, and returns when that is done. Only one
// is shown at a time: a second caller waits for it, and ends as it does. Nothing
// is shown for a submission (nil = none) once the person called off a sign-in
// that it could have waited for.
func (s *Session) signIn(ctx context.Context, server string, f *flight) error {
	client, err := s.client(server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	host := hostOf(server)
	var task Task
	err = client.SignIn(ctx, func(p jobapi.SignInPrompt) error {
		if f != nil && s.calledOff(f) {
			return errSignInCancelled
		}
		task = s.cfg.UI.Begin(s.ctx, Work{Title: "Signing in to " + host, Message: "waiting for you in the browser", Cancel: func() { s.callOff(server, cancel) }})
		text := fmt.Sprintf("Sign in to %s at %s", host, p.URL)
		if p.Code != "" {
			text += " and check that the page shows the code " + p.Code
		}
		s.cfg.UI.Say(s.ctx, Info, text)
		s.cfg.UI.OpenURL(s.ctx, p.URL)
		return nil
	})
	if task != nil {
		switch {
		case err == nil:
			task.End("signed in")
		case errors.Is(err, errSignInCancelled), errors.Is(err, context.Canceled):
			task.End("cancelled")
		default:
			task.End("failed: " + firstLine(err.Error()))
		}
	}
	if err == nil {
		s.tracker.Restart()
	}
	s.statusChanged()
	return err
}

// callOff calls a sign-in off, for whoever waits for it and for every submission
// that is on its way to it.
func (s *Session) callOff(server string, cancel context.CancelCauseFunc) {
	s.mu.Lock()
	s.signInsOff[server]++
	s.mu.Unlock()
	cancel(errSignInCancelled)
}

// calledOff reports whether a sign-in was called off since a submission began.
func (s *Session) calledOff(f *flight) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signInsOff[f.request.server] != f.offs
}

// needsSignIn reports whether signing in may mend an error.
func needsSignIn(err error) bool {
	e, ok := errors.AsType[*jobapi.AuthError](err)
	return ok && !e.Explicit && (e.Path != "" || e.Problem != jobapi.NotSignedIn)
}

// signedIn does work that needs a token; where there is none that the server
// takes, the person signs in, and the work is done once more. Who waits at a
// terminal is told instead.
func (s *Session) signedIn(f *flight, work func() error) error {
	err := work()
	if err == nil || f.request.args.Wait && !s.cfg.SignIn || !needsSignIn(err) {
		return err
	}
	var signErr error
	f.request.aside(f.ctx, func() { signErr = s.signIn(f.ctx, f.request.server, f) })
	if signErr != nil {
		if errors.Is(signErr, errSignInCancelled) {
			return fmt.Errorf("%w: %w", signErr, err)
		}
		return signErr
	}
	return work()
}

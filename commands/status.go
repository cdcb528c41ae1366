package commands

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// Status says who is signed in to the user's server and how much of theirs is
// under way there, as far as that is known without asking it. It never holds a
// token.
type Status struct {
	Server   string `json:"server"`           // its URL; "" when none can be told, see Reason
	SignedIn bool   `json:"signedIn"`         // there is a token that nothing speaks against
	State    string `json:"state"`            // signed-in, signed-out, expired, refused, unusable or unknown
	Reason   string `json:"reason,omitempty"` // when not signed in: a sentence that says what to do
	User     string `json:"user,omitempty"`   // the name in the token file, else the address
	Email    string `json:"email,omitempty"`
	// Explicit says that the token comes from JULIAHUB_TOKEN: signing in and out do nothing.
	Explicit bool `json:"explicit,omitempty"`
	// Expires is when the token ends; nil = not told, or it is refreshed by itself.
	Expires     *time.Time `json:"expires,omitempty"`
	JobsRunning int        `json:"jobsRunning"`       // jobs on any server that this editor shows and that have not ended
	Profile     string     `json:"profile,omitempty"` // the editor's setting juliahub.profile
}

// The states of a Status.
const (
	SignedIn      = "signed-in"
	SignedOut     = "signed-out"
	TokenExpired  = "expired"
	TokenRefused  = "refused"
	TokenUnusable = "unusable"
	TokenUnknown  = "unknown"
)

// statusLook is how often the token file is looked at: Julia and other programs
// write it, too, and no watch of directories sees a home that other machines
// share. It is one stat.
const statusLook = 2 * time.Second

// Status returns who is signed in, as of now. It looks at the token file, and
// never at the network.
func (s *Session) Status() Status {
	user := s.userSettings()
	out := Status{State: TokenUnknown, Profile: s.profileSetting()}
	out.JobsRunning = s.ledger.Count(func(r *track.Record) bool { return r.Live() && !r.Dismissed && s.visible(r) })
	server, err := s.serverName(user.Server)
	if err != nil {
		out.Reason = sentence(err.Error())
		return out
	}
	out.Server = server
	client, err := s.client(server)
	if err != nil {
		out.Reason = sentence(err.Error())
		return out
	}
	if teller, ok := client.(interface{ TokenState() jobapi.TokenState }); ok {
		out.tell(teller.TokenState())
	}
	return out
}

// tell adds what is known of the token.
func (out *Status) tell(t jobapi.TokenState) {
	host := hostOf(out.Server)
	out.Explicit = t.Explicit
	switch {
	case t.Unusable != nil:
		out.State, out.Reason = TokenUnusable, sentence(t.Unusable.Error())
	case !t.Found:
		out.State, out.Reason = SignedOut, fmt.Sprintf("Not signed in to %s.", host)
	case t.Refused && t.Explicit:
		out.State, out.Reason = TokenRefused, fmt.Sprintf("%s does not accept the token in JULIAHUB_TOKEN: set a valid one, or unset it and sign in.", host)
	case t.Refused:
		out.State, out.Reason = TokenRefused, fmt.Sprintf("%s does not accept the token any more: sign in again.", host)
	case t.Expired && !t.Refresh:
		out.State, out.Reason = TokenExpired, fmt.Sprintf("The sign-in to %s has expired: sign in again.", host)
	default:
		out.State, out.SignedIn = SignedIn, true
	}
	if !t.Found {
		return
	}
	out.User, out.Email = cmp.Or(t.Name, t.Email), t.Email
	if !t.Refresh && !t.Expires.IsZero() {
		expires := t.Expires
		out.Expires = &expires
	}
}

// profileSetting is the profile that the editor's settings name; whether there is
// one of that name, each project says.
func (s *Session) profileSetting() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var section struct {
		Profile any `json:"profile"`
	}
	if json.Unmarshal(s.editor, &section) != nil {
		return ""
	}
	name, _ := section.Profile.(string)
	return name
}

// FollowStatus tells the Status now and whenever it changes, until ctx or the
// session ends. It returns at once; tell must not wait for long.
func (s *Session) FollowStatus(ctx context.Context, tell func(Status)) {
	s.goDo(func() {
		look := time.NewTicker(cmp.Or(s.cfg.Tick, statusLook))
		defer look.Stop()
		var told *Status
		for {
			if now := s.Status(); told == nil || !sameStatus(now, *told) {
				told = &now
				tell(now)
			}
			select {
			case <-look.C:
			case <-s.status:
			case <-ctx.Done():
				return
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// statusChanged says that the Status may be another one: it is looked at soon.
func (s *Session) statusChanged() {
	select {
	case s.status <- struct{}{}:
	default:
	}
}

func sameStatus(a, b Status) bool {
	if (a.Expires == nil) != (b.Expires == nil) || a.Expires != nil && !a.Expires.Equal(*b.Expires) {
		return false
	}
	a.Expires, b.Expires = nil, nil
	return a == b
}

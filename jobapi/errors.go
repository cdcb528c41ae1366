package jobapi

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrNoSuchJob says that the server has no such job, or none that this user may touch.
var ErrNoSuchJob = errors.New("the server has no such job")

// ErrNoSuchFile says that the job has no such file.
var ErrNoSuchFile = errors.New("the job has no such file")

// AuthProblem says what is wrong with the token.
type AuthProblem int

// What can be wrong with a token.
const (
	NotSignedIn   AuthProblem = iota // there is no token for this server
	TokenRefused                     // the server said 401
	TokenExpired                     // its time is over and it cannot be refreshed
	TokenUnusable                    // the token or its file cannot be read
)

// AuthError says that there is no token, or none that the server takes: the
// person must sign in (again).
type AuthError struct {
	Server   Server
	Problem  AuthProblem
	Explicit bool   // the token was given by JULIAHUB_TOKEN or a setting: signing in does not replace it
	Path     string // the token file, "" when there is none
	Err      error  // the cause, may be nil
}

func (e *AuthError) Error() string {
	host := e.Server.Host()
	switch {
	case e.Explicit && e.Problem == TokenUnusable:
		return "the token in JULIAHUB_TOKEN is not usable: it must be one line of printable characters"
	case e.Explicit:
		return host + " does not accept the token in JULIAHUB_TOKEN: set a valid one, or unset it and sign in"
	case e.Problem == NotSignedIn && e.Path == "":
		return "not signed in to " + host + ": JULIA_DEPOT_PATH names no depot to keep a token in, so set JULIAHUB_TOKEN"
	case e.Problem == NotSignedIn:
		return "not signed in to " + host + ": sign in, or set JULIAHUB_TOKEN"
	case e.Problem == TokenExpired:
		return "the sign-in to " + host + " has expired: sign in again"
	case e.Problem == TokenUnusable:
		return "the token file " + e.Path + " cannot be used: sign in again to replace it"
	default:
		return host + " does not accept the token (any more): sign in again"
	}
}

func (e *AuthError) Unwrap() error { return e.Err }

// PermissionError says that the server knows the user, and says no.
type PermissionError struct {
	What    string // what was being done: "list the jobs"
	Server  Server
	Message string // the server's own words, may be ""
}

func (e *PermissionError) Error() string {
	return sentence(fmt.Sprintf("%s does not permit this user to %s", e.Server.Host(), e.What), e.Message)
}

// ServerError is an answer that is an error, or cannot be understood.
type ServerError struct {
	What       string // what was being done
	Host       string
	Status     int           // of HTTP; 200 for an answer that says so itself
	Message    string        // the server's own words, may be ""
	HTML       bool          // the answer was a web page: a login page or a proxy
	Internal   bool          // the server calls it its own internal error
	RetryAfter time.Duration // how long the server asks to be left alone; 0 = it does not
	Err        error         // why the answer could not be understood, may be nil
}

func (e *ServerError) Error() string {
	failed := "cannot " + e.What + ": " + e.Host
	switch {
	case e.HTML:
		return failed + " answered with a web page (a login page, or a proxy between here and there)"
	case e.Status == 429:
		return failed + " asks for fewer requests" + waitFor(e.RetryAfter)
	case e.Status == 503 && e.RetryAfter > 0:
		return failed + " is not available" + waitFor(e.RetryAfter)
	case e.Status >= 300 && e.Status < 400:
		return failed + " redirects to another place (a login page, or a proxy between here and there)"
	case e.Err != nil:
		return failed + " answered something that cannot be understood: " + e.Err.Error()
	case e.Status == 200 || e.Status == 0:
		return sentence(failed+" says that it failed", e.Message)
	case e.Status == 500:
		return sentence(failed+" failed inside (HTTP 500; an old server says this of a bad token, too)", e.Message)
	default:
		return sentence(fmt.Sprintf("%s answered HTTP %d", failed, e.Status), e.Message)
	}
}

func (e *ServerError) Unwrap() error { return e.Err }

// Temporary reports whether the same request may well succeed later.
func (e *ServerError) Temporary() bool { return temporaryStatus(e.Status) }

func waitFor(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return fmt.Sprintf(" for %s", d.Round(time.Second))
}

// NetworkError says that no (whole) answer came.
type NetworkError struct {
	What string
	Host string
	Err  error
}

func (e *NetworkError) Error() string {
	return fmt.Sprintf("cannot %s: no connection with %s: %s%s", e.What, e.Host, e.Err, networkAdvice(e.Err))
}

func (e *NetworkError) Unwrap() error { return e.Err }

// RefusedError says that a submission made no job, and why.
type RefusedError struct {
	Reason string // a sentence
	Local  bool   // it was not even sent: sending it again as it is would be in vain
	Err    error  // the cause, may be nil
}

func (e *RefusedError) Error() string { return "the job was not submitted: " + e.Reason }

func (e *RefusedError) Unwrap() error { return e.Err }

// NotSentError says that a submission did not reach the server: it may be sent again.
type NotSentError struct{ Err error }

func (e *NotSentError) Error() string { return "the job was not submitted: " + e.Err.Error() }

func (e *NotSentError) Unwrap() error { return e.Err }

// UnknownOutcomeError says that a submission was sent and that nobody knows
// whether there is a job: it must be looked for, and never sent again by itself.
type UnknownOutcomeError struct{ Err error }

func (e *UnknownOutcomeError) Error() string {
	return "it is not known whether the job was submitted: " + e.Err.Error()
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// MismatchError says that a file is not what the server said it would be.
type MismatchError struct {
	Name      string
	What      string // "size" or "SHA-256"
	Want, Got string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s arrived damaged: its %s is %s, and should be %s", e.Name, e.What, e.Got, e.Want)
}

var errStalled = errors.New("nothing moved for too long")

// RetryAfter returns how long the server asked to be left alone by the answer
// behind err; 0 when it did not.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*ServerError](err); ok {
		return e.RetryAfter
	}
	return 0
}

// IsTemporary reports whether err is of the kind that goes away by itself: the
// network, an overloaded server.
func IsTemporary(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if _, ok := errors.AsType[*NetworkError](err); ok {
		return true
	}
	e, ok := errors.AsType[*ServerError](err)
	return ok && e.Temporary()
}

func sentence(text, message string) string {
	if message == "" {
		return text
	}
	return text + ": " + message
}

// plain makes a server's words fit for one line of ours: no control characters,
// no secrets, not endless.
func plain(text string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == utf8.RuneError
	}), " ")
	const most = 300
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return text
}

// withoutURL drops the URL that net/http puts into its errors: it may be signed.
func withoutURL(err error) error {
	for {
		e, ok := errors.AsType[*url.Error](err)
		if !ok {
			return err
		}
		err = e.Err
	}
}

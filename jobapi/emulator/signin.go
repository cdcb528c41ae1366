package emulator

import (
	"encoding/json"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// What the device flow's client has to say of itself.
const (
	deviceClient = "device"
	deviceScope  = "openid profile email offline_access"
	deviceGrant  = "urn:ietf:params:oauth:grant-type:device_code"
)

// How long a sign-in may take, and how much earlier than asked for a client may
// poll: its timers are no better than that.
const (
	signInLife = 10 * time.Minute
	pollSlack  = 500 * time.Millisecond
)

// attempt is a sign-in under way, of either flow.
type attempt struct {
	public   string // the user code, or the classic flow's response
	secret   string // the device code, or the classic flow's challenge
	ends     time.Time
	interval time.Duration
	polled   time.Time
	verdict  string // "" until the user decides, then allowed or denied
}

// The user's decisions.
const (
	allowed = "allowed"
	denied  = "denied"
)

// signIns are the sign-ins under way.
type signIns struct {
	mu   sync.Mutex // guards list
	list []*attempt
}

// begin adds an attempt and forgets those that are long over.
func (s *signIns) begin(a *attempt, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.list[:0]
	for _, old := range s.list {
		if now.Sub(old.ends) < signInLife {
			kept = append(kept, old)
		}
	}
	s.list = append(kept, a)
}

// find calls f with the attempt that match finds, under the lock.
func (s *signIns) find(match func(*attempt) bool, f func(*attempt)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.list {
		if match(a) {
			f(a)
			return true
		}
	}
	return false
}

func (s *signIns) end(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.list {
		if a == other {
			s.list = append(s.list[:i], s.list[i+1:]...)
			return
		}
	}
}

// decide is what the user's click does.
func (s *signIns) decide(public, verdict string, now time.Time) error {
	err := errors.New("there is no such sign-in, or its time is over")
	s.find(func(a *attempt) bool { return a.public == public && now.Before(a.ends) && a.verdict == "" }, func(a *attempt) {
		a.verdict, err = verdict, nil
	})
	return err
}

// Approve stands for the user's click at the sign-in page: it lets the sign-in
// with the user code in, or turns it away.
func (e *Emulator) Approve(userCode string, allow bool) error {
	verdict := denied
	if allow {
		verdict = allowed
	}
	return e.signIns.decide(strings.ToUpper(userCode), verdict, e.now())
}

func (e *Emulator) handleAuthConfiguration(w http.ResponseWriter, r *http.Request) {
	base := baseURL(r)
	reply(w, http.StatusOK, map[string]any{
		"auth_flows":                    []string{"classic", "device"},
		"device_authorization_endpoint": base + "/auth/device/code",
		"device_token_endpoint":         base + "/auth/token",
		"device_token_refresh_url":      base + "/auth/renew/token.toml/device/",
		"device_token_scope":            deviceScope,
	})
}

// oauthError answers as RFC 6749 and RFC 8628 want errors to look.
func oauthError(w http.ResponseWriter, code string) {
	reply(w, http.StatusBadRequest, map[string]string{"error": code})
}

// readOAuthForm reads a form of the device flow, of which no field may be there twice.
func readOAuthForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || r.ParseForm() != nil {
		oauthError(w, "invalid_request")
		return false
	}
	for _, values := range r.PostForm {
		if len(values) != 1 {
			oauthError(w, "invalid_request")
			return false
		}
	}
	if r.PostForm.Get("client_id") != deviceClient {
		oauthError(w, "invalid_client")
		return false
	}
	return true
}

// handleDeviceCode starts a sign-in by the device flow.
func (e *Emulator) handleDeviceCode(w http.ResponseWriter, r *http.Request) {
	if !readOAuthForm(w, r) {
		return
	}
	if r.PostForm.Get("scope") != deviceScope {
		oauthError(w, "invalid_scope")
		return
	}
	code := strings.ToUpper(randomText(8))
	a := &attempt{public: code[:4] + "-" + code[4:], secret: randomText(40), ends: e.now().Add(signInLife), interval: e.cfg.SignInInterval}
	e.signIns.begin(a, e.now())
	page := baseURL(r) + "/auth/device"
	reply(w, http.StatusOK, map[string]any{
		"device_code": a.secret, "user_code": a.public, "verification_uri": page,
		"verification_uri_complete": page + "?user_code=" + a.public,
		"expires_in":                int(signInLife / time.Second),
		"interval":                  int((a.interval + time.Second - 1) / time.Second),
	})
}

// handleDeviceToken is polled until the user has decided.
func (e *Emulator) handleDeviceToken(w http.ResponseWriter, r *http.Request) {
	if !readOAuthForm(w, r) {
		return
	}
	if r.PostForm.Get("grant_type") != deviceGrant {
		oauthError(w, "unsupported_grant_type")
		return
	}
	var granted *attempt
	problem := "invalid_grant"
	code, now := r.PostForm.Get("device_code"), e.now()
	e.signIns.find(func(a *attempt) bool { return a.interval > 0 && a.secret == code }, func(a *attempt) {
		if problem = a.poll(now); problem == "" {
			granted = a
		}
	})
	if granted == nil {
		oauthError(w, problem)
		return
	}
	e.signIns.end(granted)
	g, err := e.tokens.issue(baseURL(r), "device")
	if err != nil {
		e.broken(w, r, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"token_type": "bearer", "id_token": g.IDToken, "access_token": g.AccessToken,
		"refresh_token": g.RefreshToken, "expires_in": g.ExpiresIn,
	})
}

// poll is the answer to a client that asks whether the user has decided, ""
// when it is let in.
func (a *attempt) poll(now time.Time) string {
	early := !a.polled.IsZero() && now.Sub(a.polled) < a.interval-pollSlack
	a.polled = now
	switch {
	case !now.Before(a.ends):
		return "expired_token"
	case a.verdict == denied:
		return "access_denied"
	case early:
		a.interval += 5 * time.Second // by RFC 8628, 3.5
		return "slow_down"
	case a.verdict != allowed:
		return "authorization_pending"
	}
	return ""
}

// page is the sign-in page.
var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>JuliaHub emulator: sign in</title>
<style>body{font:16px sans-serif;max-width:32em;margin:4em auto}button,input{font:inherit;padding:.3em 1em}</style></head>
<body><h1>JuliaHub emulator</h1>
{{if .Message}}<p>{{.Message}}</p>{{else if .Code}}
<p>A program on this machine wants to sign in as <b>{{.User}}</b>, with the code</p>
<p style="font-size:2em"><b>{{.Code}}</b></p>
<p>Allow it if it shows you the same code.</p>
<form method="post" action="/auth/device"><input type="hidden" name="user_code" value="{{.Code}}">
<button name="action" value="approve">Allow</button> <button name="action" value="deny">Deny</button></form>
{{else}}
<form method="get" action="/auth/device"><p>The code that your program shows: <input name="user_code" autofocus></p><button>Go on</button></form>
{{end}}</body></html>
`))

func showPage(w http.ResponseWriter, status int, code, message string) {
	var text strings.Builder
	if err := page.Execute(&text, map[string]string{"Code": code, "Message": message, "User": userName}); err != nil {
		plain(w, http.StatusInternalServerError, "the emulator could not show its page")
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	send(w, status, "text/html; charset=utf-8", []byte(text.String()))
}

// handleUI stands where the real server has its web interface.
func (e *Emulator) handleUI(w http.ResponseWriter, _ *http.Request) {
	showPage(w, http.StatusOK, "", "This is the emulator. It has no web interface: look at jobs through your client.")
}

// ours reports whether a browser came to this server by a name of its own: a
// page elsewhere must not be able to make one point here and approve itself.
func (e *Emulator) ours(w http.ResponseWriter, r *http.Request) bool {
	if e.knownHost(r.Host) {
		return true
	}
	showPage(w, http.StatusForbidden, "", "This is not the address of the emulator.")
	return false
}

// handleDevicePage is where the user decides about a device flow.
func (e *Emulator) handleDevicePage(w http.ResponseWriter, r *http.Request) {
	if !e.ours(w, r) {
		return
	}
	code := strings.ToUpper(strings.TrimSpace(r.FormValue("user_code")))
	known := code != "" && e.signIns.find(func(a *attempt) bool {
		return a.interval > 0 && a.public == code && a.verdict == "" && e.now().Before(a.ends)
	}, func(*attempt) {})
	switch {
	case code == "":
		showPage(w, http.StatusOK, "", "")
	case !known:
		showPage(w, http.StatusNotFound, "", "There is no sign-in with this code, or its time is over.")
	case r.Method != http.MethodPost:
		showPage(w, http.StatusOK, code, "")
	default:
		e.decided(w, code, r.PostFormValue("action"))
	}
}

func (e *Emulator) decided(w http.ResponseWriter, code, action string) {
	switch action {
	case "approve", "deny":
		if err := e.Approve(code, action == "approve"); err != nil {
			showPage(w, http.StatusNotFound, "", "There is no sign-in with this code, or its time is over.")
			return
		}
		showPage(w, http.StatusOK, "", map[string]string{
			"approve": "The program is signed in. You can close this window.",
			"deny":    "The program was turned away. You can close this window.",
		}[action])
	default:
		showPage(w, http.StatusBadRequest, code, "")
	}
}

// maxChallenge is how long a classic flow's challenge may be.
const maxChallenge = 1024

// handleChallenge starts a sign-in by the classic flow: the body is a random
// challenge, the answer what the browser is to be sent with.
func (e *Emulator) handleChallenge(w http.ResponseWriter, r *http.Request) {
	challenge, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChallenge))
	if err != nil || len(challenge) < 32 {
		plain(w, http.StatusBadRequest, "the body must be a challenge of 32 random characters")
		return
	}
	a := &attempt{public: randomText(64), secret: string(challenge), ends: e.now().Add(signInLife)}
	e.signIns.begin(a, e.now())
	plain(w, http.StatusOK, a.public)
}

// handleResponse is where the classic flow sends the browser. Whoever opens it
// counts as signed in here already, so that is all the approval there is.
func (e *Emulator) handleResponse(w http.ResponseWriter, r *http.Request) {
	if !e.ours(w, r) {
		return
	}
	if err := e.signIns.decide(r.URL.RawQuery, allowed, e.now()); err != nil {
		showPage(w, http.StatusBadRequest, "", "There is no such sign-in, or its time is over.")
		return
	}
	showPage(w, http.StatusOK, "", "The program is signed in. You can close this window.")
}

// handleClaim is polled in the classic flow until the browser was there.
func (e *Emulator) handleClaim(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Challenge string `json:"challenge"`
		Response  string `json:"response"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&in); err != nil {
		plain(w, http.StatusBadRequest, "the body must be a JSON object with challenge and response")
		return
	}
	var found *attempt
	var verdict string
	e.signIns.find(func(a *attempt) bool { return a.interval == 0 && a.public == in.Response && a.secret == in.Challenge }, func(a *attempt) {
		found, verdict = a, a.verdict
	})
	switch {
	case found == nil:
		plain(w, http.StatusBadRequest, "there is no such challenge")
	case verdict != allowed:
		reply(w, http.StatusOK, map[string]any{"expiry": found.ends.Unix()})
	default:
		e.signIns.end(found)
		g, err := e.tokens.issue(baseURL(r), "v2")
		if err != nil {
			e.broken(w, r, err)
			return
		}
		reply(w, http.StatusOK, map[string]any{"token": g})
	}
}

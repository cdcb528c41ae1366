package emulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// send answers with a body whose length the client knows beforehand.
func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has left needs no answer
}

// handleControl answers the endpoints below /emulator/, which the real server
// does not have. They take the emulator's own token alone.
func (e *Emulator) handleControl(w http.ResponseWriter, r *http.Request) {
	if !e.tokens.isRoot(bearer(r)) {
		unauthorized(w)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /emulator/info":
		reply(w, http.StatusOK, e.Info())
	case "GET /emulator/counters":
		reply(w, http.StatusOK, e.Counters())
	case "DELETE /emulator/counters":
		e.ClearCounters()
		reply(w, http.StatusOK, map[string]any{"success": true})
	case "POST /emulator/faults":
		e.controlInject(w, r)
	case "DELETE /emulator/faults":
		e.ClearFaults()
		reply(w, http.StatusOK, map[string]any{"success": true})
	case "POST /emulator/expire":
		if err := e.ExpireTokens(); err != nil {
			e.broken(w, r, err)
			return
		}
		reply(w, http.StatusOK, map[string]any{"success": true})
	case "PUT /emulator/quirks":
		e.controlQuirks(w, r)
	case "POST /emulator/approve":
		e.controlApprove(w, r)
	case "POST /emulator/auth.toml":
		e.controlAuth(w, r)
	default:
		plain(w, http.StatusNotFound, "the emulator has no such control endpoint")
	}
}

func (e *Emulator) controlInject(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Fault
		DelayMS int64 `json:"delay_ms"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	err := dec.Decode(&in)
	if in.DelayMS != 0 {
		in.Delay = time.Duration(in.DelayMS) * time.Millisecond
	}
	if err == nil {
		err = e.Inject(in.Fault)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"success": false, "message": err.Error()})
		return
	}
	reply(w, http.StatusOK, map[string]any{"success": true})
}

func (e *Emulator) controlApprove(w http.ResponseWriter, r *http.Request) {
	var in struct {
		UserCode string `json:"user_code"`
		Deny     bool   `json:"deny"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in)
	if err == nil {
		err = e.Approve(in.UserCode, !in.Deny)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"success": false, "message": err.Error()})
		return
	}
	reply(w, http.StatusOK, map[string]any{"success": true})
}

func (e *Emulator) controlAuth(w http.ResponseWriter, r *http.Request) {
	g, err := e.tokens.issue(baseURL(r), "v2")
	if err != nil {
		e.broken(w, r, err)
		return
	}
	text, err := tomlText(g)
	if err != nil {
		e.broken(w, r, err)
		return
	}
	send(w, http.StatusOK, "application/toml", []byte(text))
}

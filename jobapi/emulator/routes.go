package emulator

import (
	"encoding/json"
	"net/http"
	"strings"
)

// routes is the table of every endpoint.
func (e *Emulator) routes() *http.ServeMux {
	mux := http.NewServeMux()
	public := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, h) }
	oldAPI := func(q Quirks) bool { return q.OldAPI }
	classicOnly := func(q Quirks) bool { return q.ClassicOnly }
	private := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, e.signedIn(h)) }

	private("GET /api/v1", e.notFor(oldAPI, http.StatusNotFound, e.handleUser))
	private("POST /v1/graphql", e.handleGraphQL)
	private("GET /app/config/nodespecs/info", e.handleNodes)
	private("GET /app/applications/default", e.handleApplications)
	private("GET /juliaruncloud/product_image_groups", e.notFor(oldAPI, http.StatusNotFound, e.handleImageGroups))
	private("GET /juliaruncloud/get_image_options", e.handleImageOptions)
	private("GET /app/packages/registries", e.handleRegistries)

	private("GET /jobs/appbundle_upload_url", e.handleUploadURL)
	public("PUT /upload/{hash}", e.handleUpload)
	private("POST /juliaruncloud/submit_job", e.handleSubmit)

	private("GET /api/rest/jobs/{id}", hasura(e.handleJob))
	private("GET /juliaruncloud/get_jobs", e.handleJobs)
	private("GET /jobs/{id}/files/{name...}", e.handleFile)
	private("GET /juliaruncloud/kill_job", e.handleKill)
	private("POST /juliaruncloud/extend_job_time_limit", e.handleExtend)
	private("GET /juliaruncloud/get_logs", e.handleLogs)
	private("GET /ws/stream_logs", e.handleStream)

	public("GET /ui/{page...}", e.handleUI)
	public("GET /auth/configuration", e.notFor(classicOnly, http.StatusNotImplemented, e.handleAuthConfiguration))
	public("POST /auth/device/code", e.handleDeviceCode)
	public("GET /auth/device", e.handleDevicePage)
	public("POST /auth/device", e.handleDevicePage)
	public("POST /auth/token", e.handleDeviceToken)
	public("POST /auth/challenge", e.handleChallenge)
	public("GET /auth/response", e.handleResponse)
	public("POST /auth/claimtoken", e.handleClaim)
	public("GET /auth/renew/token.toml/{flow}/{$}", e.handleRefresh)
	public("GET /auth/renew/token.toml/{flow}", e.handleRefresh)
	return mux
}

// ServeHTTP answers one request. Those for a job's host go to the job's program;
// of the others, control endpoints apart, each is counted, and an injected fault
// may get the better of it.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if j := e.exposed(r.Host); j != nil {
		e.proxy(w, r, j)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/emulator/") {
		e.handleControl(w, r)
		return
	}
	_, pattern := e.mux.Handler(r)
	if pattern == "" {
		pattern = r.Method + " (unknown)"
	}
	e.counters.add(pattern)
	if e.faults.skew() != 0 {
		w.Header().Set("Date", e.now().Format(http.TimeFormat))
	}
	fault, ok := e.faults.take(r, pattern)
	switch {
	case ok:
		e.serveFault(w, r, fault)
	case e.quirks.Load().Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
		compressed(w, func(w http.ResponseWriter) { e.mux.ServeHTTP(w, r) })
	default:
		e.mux.ServeHTTP(w, r)
	}
}

// signedIn lets a request through that carries a valid bearer token.
func (e *Emulator) signedIn(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !e.tokens.valid(bearer(r)) {
			if e.quirks.Load().BadToken500 {
				plain(w, http.StatusInternalServerError, "Internal Server Error")
				return
			}
			unauthorized(w)
			return
		}
		h(w, r)
	}
}

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	plain(w, http.StatusUnauthorized, "Invalid authentication")
}

// hasura lets a request through that carries the two headers of the calls
// behind the database's gateway.
func hasura(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for header, want := range map[string]string{"X-Hasura-Role": "jhuser", "X-JuliaHub-Ensure-JS": "true"} {
			if r.Header.Get(header) != want {
				plain(w, http.StatusBadRequest, "this call needs the header "+header+": "+want)
				return
			}
		}
		h(w, r)
	}
}

func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// reply answers with a JSON document, without the newline that would be in the
// way of clients which cut quotes off a log answer's ends.
func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		plain(w, http.StatusInternalServerError, "the emulator could not encode its answer")
		return
	}
	send(w, status, "application/json", body)
}

// refuse answers as the real server does to a request that it understood and
// will not grant: status 200 and success false.
func refuse(w http.ResponseWriter, message string) {
	reply(w, http.StatusOK, map[string]any{"success": false, "message": message})
}

func plain(w http.ResponseWriter, status int, text string) {
	send(w, status, "text/plain; charset=utf-8", []byte(text))
}

package emulator

import (
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Quirks make the emulator's answers differ as real servers' do: by age, by
// configuration, by bugs that clients have to live with. The zero value is a
// current server at its best.
type Quirks struct {
	// OldAPI is a server before API 0.0.1: no /api/v1 and no image groups.
	OldAPI bool `json:"old_api,omitempty"`
	// ClassicOnly is a server without a sign-in configuration.
	ClassicOnly bool `json:"classic_only,omitempty"`
	// BadToken500 answers 500 instead of 401 to a bad token.
	BadToken500 bool `json:"bad_token_500,omitempty"`
	// NoUsername leaves the user's name out of /api/v1.
	NoUsername bool `json:"no_username,omitempty"`
	// Inputs are jobs' inputs: "null", or "escaped" (always with escaped quotes).
	Inputs string `json:"inputs,omitempty"`
	// Hashes are files' hashes: "base64", "null", or "md5" (an algorithm nobody knows).
	Hashes string `json:"hashes,omitempty"`
	// NoSizes shows files as if their upload had not ended: size and hash null.
	NoSizes bool `json:"no_sizes,omitempty"`
	// Status replaces jobs' states by others, such as Running by Provisioning.
	Status map[string]string `json:"status,omitempty"`
	// UnknownFields adds fields to jobs that no client has heard of.
	UnknownFields bool `json:"unknown_fields,omitempty"`
	// ForeignJobs is how many running jobs of another user top every list.
	ForeignJobs int `json:"foreign_jobs,omitempty"`
	// Gzip compresses JSON for clients that accept it.
	Gzip bool `json:"gzip,omitempty"`
	// Timestamps are log messages' times: "iso", "isoz" (with a Z), or "some"
	// (every third message has none). Unix ms otherwise.
	Timestamps string `json:"timestamps,omitempty"`
	// OpaqueEventIDs makes event ids other than whole numbers.
	OpaqueEventIDs bool `json:"opaque_event_ids,omitempty"`
	// NoEmptyMessages leaves an empty message out of its log entry.
	NoEmptyMessages bool `json:"no_empty_messages,omitempty"`
}

func (q Quirks) check() error {
	for _, c := range []struct {
		what, value string
		known       []string
	}{
		{"inputs", q.Inputs, []string{"null", "escaped"}},
		{"hashes", q.Hashes, []string{"base64", "null", "md5"}},
		{"timestamps", q.Timestamps, []string{"iso", "isoz", "some"}},
	} {
		if c.value != "" && !strings.Contains(" "+strings.Join(c.known, " ")+" ", " "+c.value+" ") {
			return fmt.Errorf("quirk %s is one of %s, not %q", c.what, strings.Join(c.known, ", "), c.value)
		}
	}
	return nil
}

// SetQuirks changes how the emulator answers from now on.
func (e *Emulator) SetQuirks(q Quirks) error {
	if err := q.check(); err != nil {
		return err
	}
	e.quirks.Store(&q)
	return nil
}

// notFor answers 404 where an old server has no such endpoint.
func (e *Emulator) notFor(old func(Quirks) bool, status int, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if old(*e.quirks.Load()) {
			plain(w, status, http.StatusText(status))
			return
		}
		h(w, r)
	}
}

// job changes a job's JSON.
func (q Quirks) job(m map[string]any) {
	switch q.Inputs {
	case "null":
		m["inputs"] = nil
	case "escaped":
		if text := m["inputs"].(string); !strings.Contains(text, `\`) {
			m["inputs"] = strings.ReplaceAll(text, `"`, `\"`)
		}
	}
	if other, ok := q.Status[m["status"].(string)]; ok {
		m["status"] = other
	}
	if q.UnknownFields {
		m["cost_center"], m["labels"] = nil, map[string]any{"team": []string{"a", "b"}}
	}
	for _, f := range m["files"].([]any) {
		q.file(f.(map[string]any))
	}
}

func (q Quirks) file(f map[string]any) {
	hash := f["hash"].(map[string]any)
	switch q.Hashes {
	case "base64":
		raw, _ := hex.DecodeString(hash["value"].(string)) // we wrote it
		hash["value"] = base64.StdEncoding.EncodeToString(raw)
	case "null":
		hash["algorithm"], hash["value"] = nil, nil
	case "md5":
		hash["algorithm"], hash["value"] = "md5", "d41d8cd98f00b204e9800998ecf8427e"
	}
	if q.NoSizes {
		f["size"], hash["algorithm"], hash["value"] = nil, nil, nil
	}
}

// foreign is the n-th job of another user, which this one can see in lists alone.
func foreign(n int, now time.Time) map[string]any {
	return record{
		Number: int64(1_000_000 + n), ID: fmt.Sprintf("jr-foreign%03d", n), Status: running, Hours: 1,
		Submitted: now, Started: now, Args: map[string]string{"jobname": "somebody else's"},
	}.wire(false)
}

// gzipWriter compresses an answer that is JSON.
type gzipWriter struct {
	http.ResponseWriter

	gz *gzip.Writer // nil while, or where, nothing is compressed
}

// WriteHeader decides whether to compress.
func (g *gzipWriter) WriteHeader(status int) {
	if h := g.Header(); h.Get("Content-Type") == "application/json" {
		h.Del("Content-Length")
		h.Set("Content-Encoding", "gzip")
		g.gz = gzip.NewWriter(g.ResponseWriter)
	}
	g.ResponseWriter.WriteHeader(status)
}

// Write compresses, or not.
func (g *gzipWriter) Write(p []byte) (int, error) {
	if g.gz == nil {
		return g.ResponseWriter.Write(p)
	}
	return g.gz.Write(p)
}

// Unwrap lets a connection be taken over or flushed.
func (g *gzipWriter) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// compressed calls f with a writer that compresses.
func compressed(w http.ResponseWriter, f func(http.ResponseWriter)) {
	g := &gzipWriter{ResponseWriter: w}
	f(g)
	if g.gz != nil {
		_ = g.gz.Close() // a client that has left needs no answer
	}
}

const opaque = "ev-"

// eventID reads an event id as this server writes them.
func (q Quirks) eventID(text string) (int, error) {
	if q.OpaqueEventIDs {
		text = strings.TrimPrefix(text, opaque)
	}
	return strconv.Atoi(text)
}

// message changes a log message's JSON.
func (q Quirks) message(line json.RawMessage) json.RawMessage {
	if q.Timestamps == "" && !q.OpaqueEventIDs && !q.NoEmptyMessages {
		return line
	}
	var m map[string]any
	dec := json.NewDecoder(strings.NewReader(string(line)))
	dec.UseNumber()
	if dec.Decode(&m) != nil {
		return line
	}
	id, _ := m["eventId"].(string)
	if ms, ok := m["timestamp"].(json.Number); ok {
		n, _ := ms.Int64() // we wrote it
		iso := time.UnixMilli(n).UTC().Format("2006-01-02T15:04:05.000")
		switch q.Timestamps {
		case "iso":
			m["timestamp"] = iso
		case "isoz":
			m["timestamp"] = iso + "Z"
		case "some":
			if n, _ := strconv.Atoi(id); n%3 == 0 {
				delete(m, "timestamp")
			}
		}
	}
	if q.OpaqueEventIDs {
		m["eventId"] = opaque + id
	}
	if q.NoEmptyMessages && m["message"] == "" {
		delete(m, "message")
	}
	changed, err := json.Marshal(m)
	if err != nil {
		return line
	}
	return changed
}

func (e *Emulator) controlQuirks(w http.ResponseWriter, r *http.Request) {
	var q Quirks
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	err := dec.Decode(&q)
	if err == nil {
		err = e.SetQuirks(q)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"success": false, "message": err.Error()})
		return
	}
	reply(w, http.StatusOK, map[string]any{"success": true})
}

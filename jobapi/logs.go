package jobapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// MaxLogEntries is the most messages that one answer may hold.
const MaxLogEntries = 10_000

// Logs returns a page of a job's log, oldest message first. A job that this user
// may not see is a *PermissionError.
//
// GET /juliaruncloud/get_logs
func (c *Client) Logs(ctx context.Context, id string, q LogQuery) (LogPage, error) {
	if !validID(id) {
		return LogPage{}, noSuchJob(id)
	}
	query := url.Values{"log_output_type": {"content"}, "log_out_type": {"json"}, "jobname": {id}}
	if err := q.addTo(query); err != nil {
		return LogPage{}, err
	}
	r := c.get("read the log of "+id, query, "juliaruncloud", "get_logs")
	body, err := c.read(ctx, r)
	if err != nil {
		return LogPage{}, err
	}
	return c.parseLogs(ctx, r, body)
}

func (q LogQuery) addTo(query url.Values) error {
	if q.After != nil && q.Before != nil {
		return errors.New("log messages are either after or before a place, not both")
	}
	if q.Entries > 0 {
		query.Set("nentries", strconv.Itoa(min(q.Entries, MaxLogEntries)))
	}
	for key, mark := range map[string]*Mark{"start_time": q.After, "end_time": q.Before} {
		if mark == nil {
			continue
		}
		if mark.Time.IsZero() {
			return errors.New("a place in the log needs a time")
		}
		query.Set(key, strconv.FormatInt(mark.Time.UnixMilli(), 10))
		if mark.EventID != "" {
			query.Set("event_id", mark.EventID)
		}
	}
	return nil
}

// parseLogs reads a log page: a JSON array inside a JSON string. An array as it
// is will do, too; an object is an error.
func (c *Client) parseLogs(ctx context.Context, r *request, body []byte) (LogPage, error) {
	garbage := func(err error) error {
		return &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: err}
	}
	if jsonObject(body) {
		if err := c.saysFailure(r, body); err != nil {
			return LogPage{}, err
		}
		return LogPage{}, garbage(errors.New("an object where a log was expected"))
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte(`"`)) {
		var text string
		if err := json.Unmarshal(body, &text); err != nil {
			return LogPage{}, garbage(notJSON(err))
		}
		body = []byte(text)
	}
	if jsonObject(body) {
		if err := c.saysFailure(r, body); err != nil {
			return LogPage{}, err
		}
	}
	var items []json.RawMessage
	if err := json.Unmarshal(body, &items); err != nil {
		return LogPage{}, garbage(notJSON(err))
	}
	page := LogPage{Messages: make([]LogMessage, 0, len(items))}
	for _, item := range items {
		message, end, err := parseLogMessage(item)
		switch {
		case err != nil:
			c.log.WarnContext(ctx, "a log message is left out", "error", err)
		case end == "top":
			page.Top = true
		case end == "bottom":
			page.Bottom = true
		case end == "":
			page.Messages = append(page.Messages, message)
		}
	}
	return page, nil
}

// parseLogMessage reads one message. end is "" but for the markers at the log's
// ends, which are no messages.
func parseLogMessage(data json.RawMessage) (message LogMessage, end string, err error) {
	var fields struct {
		Message  loose `json:"message"`
		Time     loose `json:"timestamp"`
		EventID  loose `json:"eventId"`
		Keywords loose `json:"keywords"`
		Metadata loose `json:"metadata"`
		Meta     loose `json:"_meta"`
		End      loose `json:"end"`
	}
	if json.Unmarshal(data, &fields) != nil {
		return LogMessage{}, "", errors.New("it is no object")
	}
	if fields.Meta.truth() {
		end = fields.End.text()
		if end == "" {
			end = "unknown"
		}
		return LogMessage{}, end, nil
	}
	message = LogMessage{
		Message:  fields.Message.text(),
		Time:     fields.Time.time(),
		EventID:  fields.EventID.text(),
		Keywords: object(fields.Keywords.raw),
		Metadata: object(fields.Metadata.raw),
	}
	var metadata struct {
		Level    loose `json:"level"`
		FilePath loose `json:"filepath"`
		Line     loose `json:"line"`
	}
	if json.Unmarshal(fields.Metadata.raw, &metadata) == nil {
		message.Level = parseLevel(metadata.Level)
		message.FilePath = metadata.FilePath.text()
		if line, ok := metadata.Line.whole(); ok && line > 0 && line < 1<<31 {
			message.Line = int(line)
		}
	}
	return message, "", nil
}

// object decodes a JSON object; numbers stay json.Number, so that ids keep
// their digits. nil when it is none.
func object(data json.RawMessage) map[string]any {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var values map[string]any
	if decoder.Decode(&values) != nil {
		return nil
	}
	return values
}

// parseLevel reads a level of Julia's Logging: a number, one of its names, or
// as Julia prints one without a name, LogLevel(-1).
func parseLevel(level loose) *int {
	if n, ok := level.whole(); ok {
		value := int(n)
		return &value
	}
	if number, ok := strings.CutPrefix(level.text(), "LogLevel("); ok {
		if value, err := strconv.Atoi(strings.TrimSuffix(number, ")")); err == nil {
			return &value
		}
	}
	named := map[string]int{"debug": -1000, "info": 0, "warn": 1000, "warning": 1000, "error": 2000}
	if value, ok := named[strings.ToLower(level.text())]; ok {
		return &value
	}
	return nil
}

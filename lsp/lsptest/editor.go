// Package lsptest is a fake editor: a language client over the real protocol,
// with buffers, capabilities to choose from, and a way to await what a person
// would wait for. Tests read as the story of what that person does.
//
// The editor is a strict one. What the protocol forbids a server, such as a
// progress that ends twice, fails the test when the editor is closed.
package lsptest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// T is what the editor needs of a test; *testing.T is one.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Options say what kind of editor it is.
type Options struct {
	Name string // clientInfo.name
	// Capabilities are those of initialize, as a JSON object; nil = Full().
	Capabilities map[string]any
	// Folders are the workspace folders' URIs.
	Folders []string
	// InitializationOptions go with initialize.
	InitializationOptions any
	// Settings answer workspace/configuration, by section.
	Settings map[string]any
	// Answer answers questions; nil dismisses them. It may block.
	Answer func(Question) string
	// RefuseQuestions answers questions with an error.
	RefuseQuestions bool
	// ProcessID goes with initialize; nil = null.
	ProcessID *int
	// RefuseProgress answers window/workDoneProgress/create with an error.
	RefuseProgress bool
	// RefuseDocuments answers window/showDocument with success false.
	RefuseDocuments bool
	// HoldConfiguration keeps workspace/configuration unanswered until it is closed.
	HoldConfiguration <-chan struct{}
}

// Full are the capabilities of an editor that has all that the server can use.
func Full() map[string]any {
	return map[string]any{
		"window": map[string]any{
			"workDoneProgress": true,
			"showDocument":     map[string]any{"support": true},
			"showMessage":      map[string]any{"messageActionItem": map[string]any{"additionalPropertiesSupport": true}},
		},
		"workspace": map[string]any{
			"configuration":          true,
			"workspaceFolders":       true,
			"didChangeConfiguration": map[string]any{"dynamicRegistration": true},
			"didChangeWatchedFiles":  map[string]any{"dynamicRegistration": true},
			"codeLens":               map[string]any{"refreshSupport": true},
			"executeCommand":         map[string]any{"dynamicRegistration": true},
		},
		"textDocument": map[string]any{
			"codeAction": map[string]any{
				"codeActionLiteralSupport": map[string]any{"codeActionKind": map[string]any{"valueSet": []string{"", "quickfix", "source"}}},
				"disabledSupport":          true,
				"isPreferredSupport":       true,
			},
			"publishDiagnostics": map[string]any{"relatedInformation": true, "versionSupport": true, "dataSupport": true},
		},
		"general": map[string]any{"positionEncodings": []string{"utf-16"}},
	}
}

// Editor is one editor with its connection to the server.
type Editor struct {
	t       T
	options Options
	rwc     io.ReadWriteCloser
	done    chan struct{} // closed when the server's end is

	capabilities map[string]any // as JSON has them

	writeMu sync.Mutex // one frame at a time

	mu       sync.Mutex // guards what follows
	changed  chan struct{}
	state    State
	waiting  map[string]chan message
	nextID   int
	versions map[string]int
	texts    map[string]string
	wrong    []string // what the server did that the protocol forbids
	log      []string // all messages, for the dump
	closed   bool
}

// Connect makes an editor on its end of a connection. Nothing is sent yet.
func Connect(t T, rwc io.ReadWriteCloser, options Options) *Editor {
	if options.Capabilities == nil {
		options.Capabilities = Full()
	}
	e := &Editor{
		t: t, options: options, rwc: rwc, done: make(chan struct{}), changed: make(chan struct{}),
		waiting: map[string]chan message{}, versions: map[string]int{}, texts: map[string]string{},
	}
	e.state.Diagnostics = map[string][]Diagnostic{}
	if err := json.Unmarshal(mustJSON(options.Capabilities), &e.capabilities); err != nil {
		t.Fatalf("capabilities: %v", err)
	}
	go e.read()
	return e
}

// Open connects, initializes and says initialized.
func Open(t T, rwc io.ReadWriteCloser, options Options) *Editor {
	t.Helper()
	e := Connect(t, rwc, options)
	e.Initialize()
	e.Notify("initialized", map[string]any{})
	return e
}

// Initialize sends initialize and returns the server's capabilities.
func (e *Editor) Initialize() map[string]any {
	e.t.Helper()
	var folders []map[string]any
	for _, f := range e.options.Folders {
		folders = append(folders, map[string]any{"uri": f, "name": f[strings.LastIndex(f, "/")+1:]})
	}
	params := map[string]any{
		"processId": e.options.ProcessID, "rootUri": nil, "capabilities": e.options.Capabilities,
		"workspaceFolders": folders,
	}
	if e.options.Name != "" {
		params["clientInfo"] = map[string]any{"name": e.options.Name}
	}
	if e.options.InitializationOptions != nil {
		params["initializationOptions"] = e.options.InitializationOptions
	}
	var result struct {
		Capabilities map[string]any `json:"capabilities"`
	}
	e.Call("initialize", params, &result)
	return result.Capabilities
}

// Call sends a request and decodes its result; an error fails the test.
func (e *Editor) Call(method string, params, result any) {
	e.t.Helper()
	if err := e.Try(method, params, result); err != nil {
		e.t.Fatalf("%s: %v\n%s", method, err, e.Dump())
	}
}

// Try is Call for requests that may fail: the error is an *Error of the server.
func (e *Editor) Try(method string, params, result any) error {
	return e.Start(method, params).Wait(result)
}

// Pending is a request under way.
type Pending struct {
	ID     string // as JSON
	method string
	e      *Editor
	answer chan message
	sent   time.Time
	took   time.Duration
}

// Took is how long the answer took, up to its last byte: what the editor does
// with it is the editor's own time. It is known after Wait.
func (p *Pending) Took() time.Duration { return p.took }

// Start sends a request without waiting.
func (e *Editor) Start(method string, params any) *Pending {
	e.mu.Lock()
	e.nextID++
	id := fmt.Sprint(e.nextID)
	if e.nextID%2 == 0 { // ids of both kinds
		id = `"r` + id + `"`
	}
	answer := make(chan message, 1)
	e.waiting[id] = answer
	e.mu.Unlock()
	m := message{Version: "2.0", ID: json.RawMessage(id), Method: method}
	if params != nil {
		m.Params = mustJSON(params)
	}
	p := &Pending{ID: id, method: method, e: e, answer: answer, sent: time.Now()}
	e.send(m)
	return p
}

// errClosed says that the server has closed the connection.
var errClosed = errors.New("the server has closed the connection")

// Wait waits for the answer and decodes it.
func (p *Pending) Wait(result any) error {
	var m message
	select {
	case m = <-p.answer:
	case <-p.e.done:
		select {
		case m = <-p.answer:
		default:
			return errClosed
		}
	}
	p.took = m.arrived.Sub(p.sent)
	if m.Error != nil {
		return m.Error
	}
	p.e.mayAnswer(p.method, m.Result)
	if result == nil {
		return nil
	}
	return json.Unmarshal(m.Result, result)
}

// Cancel sends $/cancelRequest.
func (p *Pending) Cancel() {
	p.e.Notify("$/cancelRequest", map[string]any{"id": json.RawMessage(p.ID)})
}

// Notify sends a notification.
func (e *Editor) Notify(method string, params any) {
	m := message{Version: "2.0", Method: method}
	if params != nil {
		m.Params = mustJSON(params)
	}
	e.send(m)
}

// SendBody sends any bytes as a well-framed body.
func (e *Editor) SendBody(body string) { e.SendBytes(frame([]byte(body))) }

// SendBytes sends bytes as they are.
func (e *Editor) SendBytes(raw []byte) {
	e.writeMu.Lock()
	defer e.writeMu.Unlock()
	_, _ = e.rwc.Write(raw) // a server that is gone is seen by the reader
}

func (e *Editor) send(m message) {
	body := mustJSON(m)
	e.note("→ " + string(body))
	e.SendBytes(frame(body))
}

// Shutdown ends the session by the book: shutdown, exit, end of input.
func (e *Editor) Shutdown() {
	e.t.Helper()
	e.Call("shutdown", nil, nil)
	e.Notify("exit", nil)
	e.Close()
}

// Close closes the connection, and fails the test if the server did what the
// protocol forbids.
func (e *Editor) Close() {
	e.t.Helper()
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	if again {
		return
	}
	_ = e.rwc.Close()
	<-e.done
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.wrong {
		e.t.Errorf("the server did what the protocol forbids: %s", w)
	}
}

// Done is closed when the server has closed its end.
func (e *Editor) Done() <-chan struct{} { return e.done }

// read takes what the server sends.
func (e *Editor) read() {
	defer close(e.done)
	in := bufio.NewReader(e.rwc)
	for {
		m, body, err := readMessage(in)
		if err != nil {
			if body != nil {
				e.violation("%v", err)
			}
			e.update(func(s *State) { s.Closed = true })
			return
		}
		e.note("← " + clip(body, 2000))
		e.mayCome(m)
		switch {
		case m.Method != "" && m.ID != nil:
			go e.answerRequest(m)
		case m.Method != "":
			e.notified(m)
		default:
			e.answered(m)
		}
	}
}

func (e *Editor) answered(m message) {
	id := string(m.ID)
	e.mu.Lock()
	answer, ok := e.waiting[id]
	delete(e.waiting, id)
	e.mu.Unlock()
	if ok {
		answer <- m
		return
	}
	e.update(func(s *State) { s.Strays = append(s.Strays, Stray{ID: id, Error: m.Error, Result: m.Result}) })
}

// answerRequest answers a request of the server.
func (e *Editor) answerRequest(m message) {
	result, err := e.serve(m)
	reply := message{Version: "2.0", ID: m.ID}
	if err != nil {
		reply.Error = err
	} else {
		reply.Result = mustJSON(result)
	}
	e.send(reply)
}

// serve does what the server asks for.
func (e *Editor) serve(m message) (any, *Error) {
	switch m.Method {
	case "workspace/configuration":
		return e.configuration(m.Params)
	case "window/showMessageRequest":
		return e.question(m.Params)
	case "window/showDocument":
		var p Shown
		e.decode(m, &p)
		e.update(func(s *State) { s.Shown = append(s.Shown, p) })
		return map[string]any{"success": !e.options.RefuseDocuments}, nil
	case "window/workDoneProgress/create":
		if e.options.RefuseProgress {
			return nil, &Error{Code: -32603, Message: "no progress here"}
		}
		var p struct{ Token json.RawMessage }
		e.decode(m, &p)
		e.update(func(s *State) { s.createWork(string(p.Token), e.violationLocked) })
		return nil, nil
	case "client/registerCapability":
		var p struct{ Registrations []Registration }
		e.decode(m, &p)
		e.update(func(s *State) { s.Registrations = append(s.Registrations, p.Registrations...) })
		return nil, nil
	case "workspace/codeLens/refresh":
		e.update(func(s *State) { s.LensRefreshes++ })
		return nil, nil
	}
	e.violation("a request that the editor did not announce: %s", m.Method)
	return nil, &Error{Code: -32601, Message: "unknown request " + m.Method}
}

func (e *Editor) configuration(params json.RawMessage) (any, *Error) {
	if e.options.HoldConfiguration != nil {
		select {
		case <-e.options.HoldConfiguration:
		case <-e.done:
		}
	}
	var p struct{ Items []struct{ Section string } }
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, &Error{Code: -32602, Message: err.Error()}
	}
	values := make([]any, 0, len(p.Items))
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, item := range p.Items {
		values = append(values, e.options.Settings[item.Section])
	}
	return values, nil
}

// SetSettings changes what the editor answers to workspace/configuration.
func (e *Editor) SetSettings(settings map[string]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.options.Settings = settings
}

func (e *Editor) question(params json.RawMessage) (any, *Error) {
	var p struct {
		Type    int
		Message string
		Actions []struct{ Title string }
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, &Error{Code: -32602, Message: err.Error()}
	}
	q := Question{Type: p.Type, Text: p.Message}
	for _, a := range p.Actions {
		q.Answers = append(q.Answers, a.Title)
	}
	e.update(func(s *State) { s.Questions = append(s.Questions, q) })
	if e.options.RefuseQuestions {
		return nil, &Error{Code: -32603, Message: "no questions here"}
	}
	if e.options.Answer == nil {
		return nil, nil
	}
	title := e.options.Answer(q)
	if title == "" {
		return nil, nil
	}
	return map[string]any{"title": title}, nil
}

// notified takes a notification of the server.
func (e *Editor) notified(m message) {
	switch m.Method {
	case "textDocument/publishDiagnostics":
		var p struct {
			URI         string
			Version     *int
			Diagnostics []Diagnostic
		}
		e.decode(m, &p)
		if p.Diagnostics == nil {
			e.violation("diagnostics of %s are null, not a list", p.URI)
		}
		e.update(func(s *State) {
			s.Diagnostics[p.URI] = p.Diagnostics
			s.Published++
			if p.Version != nil {
				s.Versioned++
			}
		})
	case "window/showMessage", "window/logMessage":
		var p Message
		e.decode(m, &p)
		e.update(func(s *State) { s.Messages = append(s.Messages, p) })
	case "$/progress":
		var p struct {
			Token json.RawMessage
			Value progressValue
		}
		e.decode(m, &p)
		e.update(func(s *State) { s.progress(string(p.Token), p.Value, e.violationLocked) })
	case "juliahub/jobDidChange":
		var p map[string]any
		e.decode(m, &p)
		e.update(func(s *State) { s.Jobs = append(s.Jobs, p) })
	case "juliahub/statusDidChange":
		var p map[string]any
		e.decode(m, &p)
		e.update(func(s *State) { s.Statuses = append(s.Statuses, p) })
	case "$/cancelRequest":
		e.update(func(s *State) { s.Cancels++ })
	default:
		e.violation("an unknown notification: %s", m.Method)
	}
}

func (e *Editor) decode(m message, into any) {
	if err := json.Unmarshal(m.Params, into); err != nil {
		e.violation("%s: %v", m.Method, err)
	}
}

// update changes the state and wakes those who await it.
func (e *Editor) update(f func(*State)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.state)
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *Editor) violation(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.violationLocked(format, args...)
}

func (e *Editor) violationLocked(format string, args ...any) {
	e.wrong = append(e.wrong, fmt.Sprintf(format, args...))
}

// note keeps a message for the dump.
func (e *Editor) note(line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	const kept = 400
	if e.log = append(e.log, clip(line, 2000)); len(e.log) > kept {
		e.log = slices.Delete(e.log, 0, len(e.log)-kept)
	}
}

// Dump says what was seen, for a failing test.
func (e *Editor) Dump() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out strings.Builder
	out.WriteString("--- what the editor shows\n")
	out.WriteString(e.state.String())
	out.WriteString("--- the last messages\n")
	for _, line := range e.log {
		out.WriteString(line + "\n")
	}
	for _, w := range e.wrong {
		out.WriteString("forbidden: " + w + "\n")
	}
	return out.String()
}

// State returns what the editor shows now.
func (e *Editor) State() State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.clone()
}

func (s *State) clone() State {
	c := *s
	c.Diagnostics = maps.Clone(s.Diagnostics)
	c.Messages = slices.Clone(s.Messages)
	c.Questions = slices.Clone(s.Questions)
	c.Shown = slices.Clone(s.Shown)
	c.Jobs = slices.Clone(s.Jobs)
	c.Strays = slices.Clone(s.Strays)
	c.Registrations = slices.Clone(s.Registrations)
	c.Work = nil
	for _, w := range s.Work {
		copied := *w
		copied.Reports = slices.Clone(w.Reports)
		c.Work = append(c.Work, &copied)
	}
	return c
}

// Timeout is how long Await waits.
const Timeout = 30 * time.Second

// Await waits until something is to be seen in the editor; it fails the test
// when that does not come, or cannot come any more.
func (e *Editor) Await(want Expectation) State {
	e.t.Helper()
	timeout := time.NewTimer(Timeout)
	defer timeout.Stop()
	for {
		e.mu.Lock()
		verdict, changed, now := want.Check(&e.state), e.changed, e.state.clone()
		e.mu.Unlock()
		switch verdict {
		case Met:
			return now
		case Unmeetable:
			e.t.Fatalf("it cannot come any more: %s\n%s", want.Name, e.Dump())
			return now
		}
		if now.Closed {
			e.t.Fatalf("the server has closed the connection before: %s\n%s", want.Name, e.Dump())
			return now
		}
		select {
		case <-changed:
		case <-timeout.C:
			e.t.Fatalf("it did not come within %v: %s\n%s", Timeout, want.Name, e.Dump())
			return now
		}
	}
}

func mustJSON(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // a mistake in the test itself
	}
	return raw
}

func clip[T string | []byte](s T, n int) string {
	if len(s) > n {
		return string(s[:n]) + "…"
	}
	return string(s)
}

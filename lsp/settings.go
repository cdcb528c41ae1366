package lsp

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.lsp.dev/protocol"
)

// section is the name of our settings in every editor.
const section = "juliahub"

// pullTimeout is how long an editor may take to say its settings before those
// from initialize count.
const pullTimeout = 5 * time.Second

// editorSettings are the editor's, known at once or when a pull has been answered.
type editorSettings struct {
	done  chan struct{}      // closed when value is there
	value stdjson.RawMessage // the section's object; nil if the editor says nothing
}

// knownSettings are settings that need no pull.
func knownSettings(value stdjson.RawMessage) *editorSettings {
	s := &editorSettings{done: make(chan struct{}), value: value}
	close(s.done)
	return s
}

// wait returns the settings, nil if ctx ends before they are known.
func (s *editorSettings) wait(ctx context.Context) stdjson.RawMessage {
	select {
	case <-s.done:
		return s.value
	case <-ctx.Done():
		return nil
	}
}

// peek returns the settings if they are known: for what must not wait.
func (s *editorSettings) peek() stdjson.RawMessage {
	select {
	case <-s.done:
		return s.value
	default:
		return nil
	}
}

// flag reads a boolean by its path, as nested objects or as one dotted name.
func (s *editorSettings) flag(ifUnset bool, path ...string) bool {
	var v any
	if raw := s.peek(); raw == nil || json.Unmarshal(raw, &v, lenient) != nil {
		return ifUnset
	}
	if b, ok := lookup(v, path...).(bool); ok {
		return b
	}
	return ifUnset
}

// lookup walks a decoded JSON value. Editors send "a.b" both as nested objects
// and as one member.
func lookup(v any, path ...string) any {
	for i := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		dotted := path[i]
		for _, more := range path[i+1:] {
			dotted += "." + more
		}
		if direct, ok := object[dotted]; ok {
			return direct
		}
		v = object[path[i]]
	}
	return v
}

// ownSection picks our settings out of an object that holds those of all
// servers, or of us alone. It returns nil if there is nothing.
func ownSection(raw jsontext.Value) stdjson.RawMessage {
	var all map[string]jsontext.Value
	if raw.Kind() != '{' || json.Unmarshal(raw, &all, lenient) != nil || len(all) == 0 {
		return nil
	}
	if own, ok := all[section]; ok {
		if own.Kind() != '{' {
			return nil
		}
		return stdjson.RawMessage(own)
	}
	return stdjson.RawMessage(raw)
}

// didChangeConfiguration takes the new settings, or asks for them: with
// workspace/configuration the notification is a hint. What it holds counts where
// the editor then has nothing to say.
func (s *Server) didChangeConfiguration(p *didChangeConfigurationParams) {
	if s.caps.configuration {
		if own := ownSection(p.Settings); own != nil && !bytes.Equal(own, p.Settings) {
			s.initialSettings = own
		}
		s.pullSettings()
		return
	}
	s.setSettings(knownSettings(ownSection(p.Settings)))
}

// pullSettings asks the editor for our section. Requests that arrive from now
// on wait for the answer where they need it.
func (s *Server) pullSettings() {
	pulled := &editorSettings{done: make(chan struct{}), value: s.initialSettings}
	w := *s.world.Load()
	w.settings = pulled
	s.setWorld(&w)
	if !s.spawn(func() { s.pull(pulled) }) {
		close(pulled.done)
	}
}

// pull fulfils settings with the editor's answer.
func (s *Server) pull(pulled *editorSettings) {
	ctx, cancel := context.WithTimeout(s.ctx, pullTimeout)
	defer cancel()
	name := section
	answer, err := s.client.Configuration(ctx, &protocol.ConfigurationParams{Items: []protocol.ConfigurationItem{{Section: &name}}})
	switch {
	case err != nil:
		s.log.Warn("the editor does not say its settings", "error", err)
	case len(answer) > 0 && answer[0].Kind() == '{':
		pulled.value = stdjson.RawMessage(answer[0].Clone())
	}
	close(pulled.done)
	if s.world.Load().settings == pulled { // else a later pull has the word
		s.tellSettings(pulled.value)
	}
}

func (s *Server) setSettings(known *editorSettings) {
	w := *s.world.Load()
	w.settings = known
	s.setWorld(&w)
	s.tellSettings(known.value)
}

// tellSettings gives the session new settings; it says what is wrong with them.
func (s *Server) tellSettings(value stdjson.RawMessage) {
	s.inOrder(func() {
		s.setTrace(value)
		s.session.SettingsChanged(value)
		s.lenses.refresh()
		s.advice.touchAll()
	})
}

// once remembers what was said, so that it is said once.
type once struct {
	mu   sync.Mutex // guards said
	said map[string]bool
}

func (o *once) first(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said[text] {
		return false
	}
	if o.said == nil {
		o.said = map[string]bool{}
	}
	o.said[text] = true
	return true
}

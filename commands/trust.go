package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/internal/atomicfile"
)

// mayUse asks before anything is sent to a server that comes from a project's
// file and is not the user's own: once per workspace, remembered outside it.
func (s *Session) mayUse(f *flight) error {
	q := f.request
	if s.allowed(q) {
		return nil
	}
	host := hostOf(q.server)
	const no, yes = "Don't use it", "Use this server"
	text := fmt.Sprintf("%s wants jobs of this project to go to %s. Use that server, with your sign-in there?", q.hubFile, host)
	if s.consent(f.ctx, q, serverConsent(q), text, no, yes) {
		return nil
	}
	return &NotSubmittedError{Submission: f.id, Reason: fmt.Sprintf("%s names the server %s, which you have not allowed; you are asked again when that file changes, or after a restart", q.hubFile, host)}
}

// allowed reports whether a request's server may be spoken to unasked: it is not
// the project's file that names it, it is the user's own, or it was allowed.
func (s *Session) allowed(q *request) bool {
	if !q.settings.ServerFromFile {
		return true
	}
	if own, err := s.serverName(""); err == nil && own == q.server {
		return true
	}
	_, err := os.Stat(s.consentFile(serverConsent(q)))
	return err == nil
}

func serverConsent(q *request) string {
	return "server\x00" + filepath.Dir(q.hubFile) + "\x00" + q.server
}

// consentFile is where a yes is remembered.
func (s *Session) consentFile(key string) string {
	return filepath.Join(s.ledger.Dir(), "consents", sha256Of([]byte(key))+".json")
}

// consent is the answer to a question of trust, or the question while it is open.
type consent struct {
	answered chan struct{} // closed with the answer; what follows is not changed then
	yes      bool
	asked    string // consentStamp at the time
}

// consent asks a question whose yes is remembered for ever. A no counts until the
// session ends, or something changes in the files that led to the question. Who
// asks the same while it is open gets the same answer.
func (s *Session) consent(ctx context.Context, q *request, key, text, no, yes string) bool {
	path, name := s.consentFile(key), sha256Of([]byte(key))
	if _, err := os.Stat(path); err == nil {
		return true
	}
	stamp := consentStamp(q)
	for {
		s.mu.Lock()
		c := s.consents[name]
		if c == nil {
			c = &consent{answered: make(chan struct{}), asked: stamp}
			s.consents[name] = c
			s.mu.Unlock()
			return s.askConsent(ctx, q, c, name, path, text, no, yes)
		}
		s.mu.Unlock()
		var given bool
		q.aside(ctx, func() {
			select {
			case <-c.answered:
				given = true
			case <-ctx.Done():
			}
		})
		if !given {
			return false
		}
		if c.yes || c.asked == stamp {
			return c.yes
		}
		s.forgetConsent(name, c)
	}
}

// askConsent asks, and remembers the answer. A question that was not answered is
// forgotten.
func (s *Session) askConsent(ctx context.Context, q *request, c *consent, name, path, text, no, yes string) bool {
	q.aside(ctx, func() { c.yes = s.cfg.UI.Ask(ctx, Warning, text, no, yes) == yes })
	if ctx.Err() != nil {
		c.yes, c.asked = false, "" // whoever waits for it asks anew
	}
	close(c.answered)
	if ctx.Err() != nil {
		s.forgetConsent(name, c)
		return false
	}
	if !c.yes {
		return false
	}
	data, err := json.Marshal(map[string]string{"question": text, "answer": yes})
	if err == nil {
		err = atomicfile.Write(path, data, 0o600)
	}
	if err != nil {
		s.log.Warn("cannot remember an answer", "error", err)
	}
	return true
}

func (s *Session) forgetConsent(name string, c *consent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.consents[name] == c {
		delete(s.consents, name)
	}
}

// consentStamp changes with the files that can lead to a question of trust: the
// project's settings, its project file and manifest.
func consentStamp(q *request) string {
	stamp := "at"
	dirs := []string{q.in.Dir, q.dir(), filepath.Dir(q.hubFile)}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		for _, name := range []string{settings.HubFile, "Project.toml", "JuliaProject.toml", "Manifest.toml", "JuliaManifest.toml"} {
			if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
				stamp += fmt.Sprintf(" %s:%d:%d", name, info.Size(), info.ModTime().UnixNano())
			}
		}
	}
	return stamp
}

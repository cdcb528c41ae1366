package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"juliahub-lsp/internal/atomicfile"
)

// mayUse asks before anything is sent to a server that comes from a project's
// file and is not the user's own: once per workspace, remembered outside it.
func (s *Session) mayUse(f *flight) error {
	q := f.request
	if !q.settings.ServerFromFile {
		return nil
	}
	if own, err := s.serverName(""); err == nil && own == q.server {
		return nil
	}
	host := hostOf(q.server)
	workspace := filepath.Dir(q.hubFile)
	const no, yes = "Don't use it", "Use this server"
	text := fmt.Sprintf("%s wants jobs of this project to go to %s. Use that server, with your sign-in there?", q.hubFile, host)
	if s.consent(f.ctx, "server\x00"+workspace+"\x00"+q.server, text, no, yes) {
		return nil
	}
	return &NotSubmittedError{Submission: f.id, Reason: fmt.Sprintf("%s names the server %s, which you have not allowed", q.hubFile, host)}
}

// consent asks a question whose yes is remembered for ever; a no counts once.
func (s *Session) consent(ctx context.Context, key, text, no, yes string) bool {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	s.mu.Lock()
	answer, asked := s.answered[name]
	s.mu.Unlock()
	if asked {
		return answer == yes
	}
	path := filepath.Join(s.ledger.Dir(), "consents", name+".json")
	if _, err := os.Stat(path); err == nil {
		return true
	}
	answer = s.cfg.UI.Ask(ctx, Warning, text, no, yes)
	if ctx.Err() != nil {
		return false
	}
	if answer != yes {
		return false
	}
	s.mu.Lock()
	s.answered[name] = answer
	s.mu.Unlock()
	data, err := json.Marshal(map[string]string{"question": text, "answer": yes})
	if err == nil {
		err = atomicfile.Write(path, data, 0o600)
	}
	if err != nil {
		s.log.Warn("cannot remember an answer", "error", err)
	}
	return true
}

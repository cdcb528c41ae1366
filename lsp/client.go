package lsp

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.lsp.dev/protocol"
	"go.lsp.dev/uri"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/track"
)

// callTimeout is how long an editor may take to answer what it answers by itself.
const callTimeout = 10 * time.Second

// ui is the editor as the commands see it. Nothing in it but Ask waits.
type ui struct{ s *Server }

var (
	_ commands.UI            = (*ui)(nil)
	_ commands.Interruptible = (*ui)(nil)
)

// Say shows one message; before initialized it is parked.
func (u *ui) Say(_ context.Context, level commands.Level, text string) {
	u.s.gate.then(func() {
		u.s.notify(u.s.client.ShowMessage(context.Background(), &protocol.ShowMessageParams{Type: messageType(level), Message: message(text)}))
	})
}

// Ask asks a question. Dismissed, failed or lapsed, the first answer counts.
func (u *ui) Ask(ctx context.Context, level commands.Level, text string, answers ...string) string {
	switch {
	case len(answers) == 0:
		return ""
	case isUnattended(ctx):
		return answers[0]
	}
	ctx, cancel := u.s.whileConnected(ctx)
	defer cancel()
	if !u.s.gate.wait(ctx) {
		return answers[0]
	}
	params := &protocol.ShowMessageRequestParams{Type: messageType(level), Message: message(text)}
	for _, a := range answers {
		params.Actions = append(params.Actions, protocol.MessageActionItem{Title: a})
	}
	picked, err := u.s.client.ShowMessageRequest(ctx, params)
	if err != nil {
		u.s.log.Info("a question was not answered", "error", err)
	}
	if err == nil && picked != nil {
		for _, a := range answers {
			if a == picked.Title {
				return a
			}
		}
	}
	return answers[0]
}

// ShowFile opens a local file, or says where it is.
func (u *ui) ShowFile(_ context.Context, path string) {
	u.show(uriOf(path), false, "It is at "+path)
}

// ShowsFiles says whether the editor opens files for us.
func (u *ui) ShowsFiles() bool { return u.s.caps.showDocument }

// MayInterrupt says whether a question that nobody expects is harmless: in VS
// Code it is a box in a corner. In Emacs it takes the minibuffer, and Return
// takes its first answer.
func (u *ui) MayInterrupt() bool { return u.s.caps.isVSCode() }

// ShowText opens text as a document.
func (u *ui) ShowText(_ context.Context, name, text string) {
	u.s.spawn(func() {
		path, err := u.s.texts.write(name, text)
		if err != nil {
			u.s.log.Warn("a text could not be shown", "error", err)
			return
		}
		u.show(uriOf(path), false, "It was written to "+path)
	})
}

// OpenURL opens a page in the browser; only such as harm nobody go out.
func (u *ui) OpenURL(_ context.Context, page string) {
	if !isWebPage(page) {
		u.s.log.Warn("not opened: neither https nor http on this machine", "url", clip(page, 100))
		return
	}
	u.show(page, true, page)
}

// show asks the editor to show a document; without an editor that can, it says where that is.
func (u *ui) show(target string, external bool, otherwise string) {
	u.s.spawn(func() {
		if !u.s.gate.wait(u.s.ctx) {
			return
		}
		if u.s.caps.showDocument {
			params := &protocol.ShowDocumentParams{URI: uri.URI(target), TakeFocus: ptr(true)}
			if external {
				params.External, params.TakeFocus = ptr(true), nil
			}
			ctx, cancel := context.WithTimeout(u.s.ctx, callTimeout)
			defer cancel()
			result, err := u.s.client.ShowDocument(ctx, params)
			if err == nil && result != nil && result.Success {
				return
			}
			u.s.log.Info("the editor does not show a document", "error", err)
		}
		u.Say(u.s.ctx, commands.Info, otherwise)
	})
}

// JobChanged tells plugins, and refreshes the lenses where it shows in them.
func (u *ui) JobChanged(job commands.Job) {
	if u.s.caps.juliahub {
		raw, err := payload(job)
		if err != nil {
			u.s.log.Error("a job cannot be written", "error", err)
			return
		}
		u.s.gate.then(func() { u.s.notify(u.s.rpc.Notify(context.Background(), methodJobDidChange, raw)) })
	}
	u.s.lenses.jobChanged(job)
}

// ProblemsChanged replaces the problems of a file.
func (u *ui) ProblemsChanged(path string, problems []commands.Problem) {
	u.s.diagnostics.replace(path, problems)
}

// notify takes the error of a notification, which no one could use: the
// connection is ending.
func (s *Server) notify(err error) {
	if err != nil {
		s.log.Debug("not sent", "error", err)
	}
}

// whileConnected is ctx, ended with the connection too.
func (s *Server) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func messageType(level commands.Level) protocol.MessageType {
	switch level {
	case commands.Error:
		return protocol.MessageTypeError
	case commands.Warning:
		return protocol.MessageTypeWarning
	}
	return protocol.MessageTypeInfo
}

// plain makes text fit for an editor: what a job or a server wrote may hold
// control characters.
func plain(text string) string { return track.Plain(strings.ToValidUTF8(text, "\ufffd")) }

// aLink is what makes a link, or a button that runs a command, of text in the
// messages of VS Code.
var aLink = regexp.MustCompile(`\]\(([A-Za-z][A-Za-z0-9+.-]*:)`)

// message makes text fit for a message: plain, and without links. The words of
// a job are its own.
func message(text string) string { return aLink.ReplaceAllString(plain(text), "] ($1") }

// isWebPage says whether a URL may be opened: https, or http on this machine.
func isWebPage(page string) bool {
	u, err := url.Parse(page)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	switch u.Scheme {
	case "https":
		return true
	case "http":
		ip := net.ParseIP(u.Hostname())
		return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	}
	return false
}

// gate holds back what the protocol lets us say only after initialized.
type gate struct {
	mu     sync.Mutex // guards isOpen and parked
	isOpen bool
	parked []func()
	opened chan struct{} // closed when it opens
}

func (g *gate) init() { g.opened = make(chan struct{}) }

// then calls f, at once or when the gate opens; f must not wait.
func (g *gate) then(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen {
		g.parked = append(g.parked, f)
		return
	}
	f()
}

// open lets out what was parked, in its order.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.isOpen {
		return
	}
	g.isOpen = true
	for _, f := range g.parked {
		f()
	}
	g.parked = nil
	close(g.opened)
}

// wait waits until the gate opens; false if ctx ends first.
func (g *gate) wait(ctx context.Context) bool {
	select {
	case <-g.opened:
		return true
	case <-ctx.Done():
		return false
	}
}

// textFiles are the texts that were shown as documents: files of this
// connection that no one else can read.
type textFiles struct {
	mu  sync.Mutex // guards dir and its files
	dir string     // "" until the first
}

// write writes a text under its name and returns the path; a later one of the
// same name takes its place.
func (t *textFiles) write(name, text string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir == "" {
		dir, err := os.MkdirTemp("", "juliahub-")
		if err != nil {
			return "", err
		}
		t.dir = dir
	}
	path := filepath.Join(t.dir, fileName(name))
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// remove removes them all.
func (t *textFiles) remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
	}
}

// fileName makes a name that every system takes.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '-'
		}
		return r
	}, strings.ToValidUTF8(name, "-"))
	if name = strings.TrimLeft(name, ". "); name == "" {
		name = "text.txt"
	}
	return name
}

//go:build editors

// Package emacs drives a real Emacs with juliahub.el against the emulator.
package emacs

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"juliahub-lsp/editors/drive"
)

// This binary is also the other language server, the one that Emacs has beside ours.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "other-server" {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

// emacs runs a function of drive.el and returns what it printed.
func emacs(t *testing.T, w *drive.World, function string, env ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, drive.Variable(t, "EMACS"), "--batch", "-Q", "-L", filepath.Dir(here),
		"-l", filepath.Join(here, "drive.el"), "-f", function)
	cmd.Dir = w.Workspace
	cmd.Env = append(w.Env, env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("Emacs: %v", err)
	}
	if !strings.Contains(string(out), "\nPASS ") {
		t.Fatal("Emacs ended before it was through")
	}
	return string(out)
}

// said returns what stands behind a word at the beginning of lines.
func said(out, word string) []string {
	var found []string
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			found = append(found, rest)
		}
	}
	return found
}

func TestDay(t *testing.T) {
	t.Parallel()
	w := drive.New(t)
	out := emacs(t, w, "drive-day")
	if !w.Opened("/auth/device") {
		t.Error("the sign-in's page was not opened")
	}
	if !w.Opened("/ui/Jobs") {
		t.Error("the job's page was not opened")
	}
	jobs := said(out, "JOB")
	if len(jobs) != 1 {
		t.Fatalf("%d jobs were left running", len(jobs))
	}
	before := w.Submissions()
	out += emacs(t, w, "drive-next-day", "JOB="+jobs[0])
	if now := w.Submissions(); now != before {
		t.Errorf("%d jobs after the restart, %d before it", now, before)
	}
	files := said(out, "RESULT")
	if len(files) != 3 {
		t.Errorf("%d results were shown, want 3", len(files))
	}
	for _, name := range files {
		if text, err := os.ReadFile(name); err != nil || len(text) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}

func TestBesideAnotherServer(t *testing.T) {
	t.Parallel()
	w := drive.New(t)
	w.SignIn(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	emacs(t, w, "drive-beside", "OTHER="+self)
}

// TestClient holds the fixture with which the server's tests play Eglot to the real one.
func TestClient(t *testing.T) {
	t.Parallel()
	w := drive.New(t)
	recorder := w.Recorder(t)
	emacs(t, w, "drive-plain", "SERVER="+recorder)
	drive.CheckClient(t, recorder, "eglot")
}

// TestPackage holds juliahub.el to the conventions: it compiles without a
// warning, its documentation pleases checkdoc, and it has its autoloads.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join("..", "juliahub.el"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "juliahub.el"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	script := `(progn
  (require 'checkdoc) (require 'lisp-mnt) (require 'package) (require 'loaddefs-gen)
  (setq byte-compile-error-on-warn t)
  (unless (byte-compile-file "juliahub.el") (kill-emacs 1))
  (let ((warned nil))
    (cl-letf (((symbol-function 'display-warning) (lambda (_ text &rest _) (setq warned t) (message "checkdoc: %s" text))))
      (checkdoc-file "juliahub.el"))
    (when warned (kill-emacs 1)))
  (with-temp-buffer
    (insert-file-contents "juliahub.el")
    (emacs-lisp-mode)
    (package-buffer-info)
    (unless (lm-commentary) (error "There is no commentary")))
  (loaddefs-generate "." "loaddefs.el"))`
	autoloads := `(progn
  (load (expand-file-name "loaddefs.el"))
  (dolist (f '(juliahub-mode global-juliahub-mode juliahub-jobs juliahub-submit-script juliahub-toml-mode))
    (unless (autoloadp (symbol-function f)) (error "%s is not autoloaded" f)))
  (when (featurep 'eglot) (error "The autoloads load Eglot"))
  (unless (eq 'juliahub-ignore-mode (cdr (assoc "/\\.juliabundleignore\\'" auto-mode-alist))) (error "No mode")))`
	for _, script := range []string{script, autoloads} {
		cmd := exec.CommandContext(t.Context(), drive.Variable(t, "EMACS"), "--batch", "-Q", "--eval", script)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// serve is a language server that does next to nothing: it knows one problem of
// every document.
func serve(in io.Reader, out io.Writer) error {
	for r := bufio.NewReader(in); ; {
		body, err := readMessage(r)
		if err != nil {
			return err
		}
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				TextDocument struct {
					URI string `json:"uri"`
				} `json:"textDocument"`
			} `json:"params"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		switch {
		case m.Method == "exit":
			return nil
		case m.Method == "initialize":
			err = send(out, map[string]any{"id": m.ID, "result": map[string]any{"capabilities": map[string]any{"textDocumentSync": 1}}})
		case m.Method == "workspace/executeCommand":
			err = send(out, map[string]any{"method": "window/showMessage", "params": map[string]any{"type": 1, "message": "the other server was asked"}})
		case m.ID != nil:
			err = send(out, map[string]any{"id": m.ID, "result": nil})
		case m.Method == "textDocument/didOpen":
			start := map[string]any{"line": 0, "character": 0}
			problem := map[string]any{"range": map[string]any{"start": start, "end": start}, "severity": 2, "message": "the other server was here"}
			err = send(out, map[string]any{"method": "textDocument/publishDiagnostics",
				"params": map[string]any{"uri": m.Params.TextDocument.URI, "diagnostics": []any{problem}}})
		}
		if err != nil {
			return err
		}
	}
}

func readMessage(r *bufio.Reader) ([]byte, error) {
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSpace(line); line == "" {
			body := make([]byte, length)
			_, err := io.ReadFull(r, body)
			return body, err
		}
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(value); err != nil {
				return nil, err
			}
		}
	}
}

func send(out io.Writer, m map[string]any) error {
	m["jsonrpc"] = "2.0"
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi"

	"github.com/spf13/cobra"
)

// This file has the commands that ask what the server is and offers.

// hub connects with the user's own server.
func (w work) hub() (*jobapi.Client, error) {
	server, err := jobapi.DefaultServer(w.t.lookupEnv)
	if err != nil {
		return nil, err
	}
	home, err := homeDir(w.t)
	if err != nil {
		return nil, err
	}
	return jobapi.New(jobapi.Config{
		Server: server, LookupEnv: w.t.lookupEnv, Home: home, UserAgent: "juliahub-lsp/" + thisBuild().Version,
	})
}

func homeDir(t terminal) (string, error) {
	if home := t.env("HOME"); home != "" {
		return home, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	return home, nil
}

func newNodes(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "nodes", Short: "List the nodes that the server offers, with prices",
		Args: usageArgs(cobra.NoArgs),
	}, func(ctx context.Context, w work, _ []string) error {
		list, err := w.session.ListNodes(ctx, input(&commands.ListArgs{Wait: true}))
		if err != nil {
			return err
		}
		if w.json {
			return printJSON(w.t.out, list)
		}
		tab := w.table("CLASS", "VCPU", "MEMORY", "GPU", "$ AN HOUR", "DESCRIPTION")
		for _, n := range list.Nodes {
			gpu, price := "", fmt.Sprintf("%.2f", n.PricePerHour)
			if n.GPU {
				gpu = "yes"
			}
			if n.PriceUnknown {
				price = "?"
			}
			tab.row(n.Class, fmt.Sprint(n.NCPU), fmt.Sprintf("%d GB", n.Memory), gpu, price, n.Description)
		}
		return tab.end()
	})
}

func newImages(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "images", Short: "List the job images that the server offers",
		Args: usageArgs(cobra.NoArgs),
	}, func(ctx context.Context, w work, _ []string) error {
		list, err := w.session.ListImages(ctx, input(&commands.ListArgs{Wait: true}))
		if err != nil {
			return err
		}
		if w.json {
			return printJSON(w.t.out, list)
		}
		tab := w.table("PRODUCT", "NAME", "FOR", "EXPOSES A PORT", "TAG")
		for _, i := range list.Images {
			tab.row(i.Product, joinNonEmpty(" ", i.Name, word(i.Default, "(default)")),
				joinNonEmpty(", ", word(i.CPU, "CPU"), word(i.GPU, "GPU")), word(i.Expose, "yes"), i.Tag)
		}
		return tab.end()
	})
}

func word(yes bool, text string) string {
	if yes {
		return text
	}
	return ""
}

// identity is the JSON of whoami. It never holds the token.
type identity struct {
	Server   string     `json:"server"`
	User     string     `json:"user"`
	Email    string     `json:"email"`
	API      string     `json:"api_version"`
	Explicit bool       `json:"explicit"`             // the token comes from JULIAHUB_TOKEN
	File     string     `json:"token_file,omitempty"` // or from this file
	Expires  *time.Time `json:"expires,omitempty"`
	Refresh  bool       `json:"refreshable"`
}

func newWhoami(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "whoami", Short: "Say who is signed in, and where",
		Args: usageArgs(cobra.NoArgs),
	}, func(ctx context.Context, w work, _ []string) error {
		hub, err := w.hub()
		if err != nil {
			return err
		}
		user, err := hub.User(ctx)
		if err != nil {
			return err
		}
		token := hub.TokenState()
		id := identity{
			Server: hub.Server().String(), User: orDefault(user.Name, token.Name), Email: orDefault(user.Email, token.Email),
			API: user.APIVersion, Explicit: token.Explicit, Refresh: token.Refresh,
		}
		if !token.Explicit {
			id.File = token.Path
		}
		if !token.Expires.IsZero() {
			id.Expires = &token.Expires
		}
		if w.json {
			return printJSON(w.t.out, id)
		}
		tab := w.table()
		tab.row("server", id.Server)
		tab.row("user", orDefault(joinNonEmpty(" ", id.User, bracketed(id.Email)), "the server does not say"))
		tab.row("token", orDefault(id.File, "JULIAHUB_TOKEN"))
		if id.Expires != nil {
			tab.row("expires", joinNonEmpty(", ", clock(*id.Expires), word(id.Refresh, "refreshed by itself")))
		}
		return tab.end()
	})
}

func bracketed(text string) string {
	if text == "" {
		return ""
	}
	return "<" + text + ">"
}

func newLogin(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "login", Short: "Sign in to the server on its web page",
		Long: `Sign in to the server on its web page. The token is kept where Julia's own
package manager keeps it, and serves both.`,
		Args: usageArgs(cobra.NoArgs),
	}, func(ctx context.Context, w work, _ []string) error {
		if w.t.env("JULIAHUB_TOKEN") != "" {
			return errors.New("JULIAHUB_TOKEN is set and counts before any sign-in: unset it first")
		}
		w.ui.browse = w.ui.bar
		return w.signed(w.session.SignIn(ctx, input(&commands.ListArgs{Wait: true})))
	})
}

func newLogout(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "logout", Short: "Forget the token of the server, also for Julia's package manager",
		Args: usageArgs(cobra.NoArgs),
	}, func(ctx context.Context, w work, _ []string) error {
		return w.signed(w.session.SignOut(ctx, input(&commands.ListArgs{Wait: true})))
	})
}

func (w work) signed(answer commands.SignInAnswer, err error) error {
	if err != nil {
		return err
	}
	if w.json {
		return printJSON(w.t.out, answer)
	}
	fmt.Fprintf(w.t.out, "%s: %s\n", answer.Server, strings.ReplaceAll(answer.State, "-", " "))
	return nil
}

func newRequest(t terminal) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use: "request ID METHOD PATH", Short: "Send an authenticated HTTP request to a job's exposed port",
		ValidArgsFunction: completeJob(t),
		Args:              usageArgs(cobra.ExactArgs(3)),
	}
	cmd.Flags().StringVar(&data, "data", "", "body: the contents of a `FILE`, - for stdin")
	return onSession(t, cmd, func(ctx context.Context, w work, args []string) error {
		body, err := bodyOf(w.t, data)
		if err != nil {
			return err
		}
		hub, err := w.hub()
		if err != nil {
			return err
		}
		job, err := hub.Job(ctx, args[0])
		if err != nil {
			return err
		}
		answer, err := hub.Request(ctx, job, args[1], args[2], nil, body)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if !answer.Listening() {
			return fmt.Errorf("job %s does not listen on its port yet: try again when its server has started", job.ID)
		}
		if err := w.printAnswer(answer); err != nil {
			return err
		}
		if answer.Status >= 400 {
			return fmt.Errorf("job %s answered with status %d", job.ID, answer.Status)
		}
		return nil
	})
}

func bodyOf(t terminal, data string) ([]byte, error) {
	var body []byte
	var err error
	switch data {
	case "":
	case "-":
		body, err = io.ReadAll(t.in)
	default:
		body, err = os.ReadFile(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return body, nil
}

// printAnswer writes the body as it is, or all of the answer as JSON.
func (w work) printAnswer(answer *jobapi.PortAnswer) error {
	if !w.json {
		_, err := io.Copy(w.t.out, answer.Body)
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		return nil
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return printJSON(w.t.out, map[string]any{"status": answer.Status, "header": answer.Header, "body": string(body)})
}

// check is one line of doctor: ok, or what to do.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`       // what was found
	Do     string `json:"do,omitempty"` // what to do
}

func newDoctor(t terminal) *cobra.Command {
	return onSession(t, &cobra.Command{
		Use: "doctor", Short: "Check server, token, registries, Julia, depot, editors and state directory",
		Args: usageArgs(cobra.NoArgs),
	}, func(ctx context.Context, w work, _ []string) error {
		checks := append(w.checkServer(ctx), w.checkJulia(ctx), w.checkDepot(), w.checkEditor(ctx), w.checkState())
		sick := 0
		for _, c := range checks {
			if !c.OK {
				sick++
			}
		}
		if w.json {
			if err := printJSON(w.t.out, map[string]any{"ok": sick == 0, "checks": checks}); err != nil {
				return err
			}
		} else {
			tab := w.table()
			for _, c := range checks {
				tab.row(word(c.OK, "ok")+word(!c.OK, "!!"), c.Name, joinNonEmpty(": ", c.Detail, c.Do))
			}
			if err := tab.end(); err != nil {
				return err
			}
		}
		if sick > 0 {
			return &statusError{statusFailed, count(sick, "check") + " failed"}
		}
		return nil
	})
}

// checkServer asks the server who we are, and what its jobs can install from.
func (w work) checkServer(ctx context.Context) []check {
	ctx, cancel := context.WithTimeout(jobapi.Impatient(ctx), 15*time.Second)
	defer cancel()
	if _, err := jobapi.DefaultServer(w.t.lookupEnv); err != nil {
		return []check{{"server", false, err.Error(), "set JULIA_PKG_SERVER to your JuliaHub server"}}
	}
	hub, err := w.hub()
	if err != nil {
		return []check{{"server", false, err.Error(), "let the variable name the certificates of your organisation, or unset it"}}
	}
	defer hub.Close()
	server := check{Name: "server", OK: true, Detail: hub.Server().String()}
	registries := check{Name: "registries", OK: true, Detail: "not asked for without a token"}
	user, err := hub.User(ctx)
	if err != nil {
		token := checkToken(hub, err)
		if ping := hub.Ping(ctx); ping != nil {
			err = ping // of a server that is not there, it is of no interest that nobody is signed in
		}
		var auth *jobapi.AuthError
		if !errors.As(err, &auth) {
			server.OK, server.Detail, server.Do = false, err.Error(), "see that the network is there and JULIA_PKG_SERVER names a JuliaHub server"
			registries.Detail = "not asked for"
		}
		return []check{server, token, registries}
	}
	token := check{Name: "token", OK: true, Detail: "signed in as " + orDefault(user.Name, "somebody without a name")}
	list, err := hub.Registries(ctx)
	if err != nil {
		registries = check{"registries", false, err.Error(), "packages of other registries than General travel in the appbundle"}
	} else {
		registries.Detail = fmt.Sprintf("jobs can install from %d package registries", len(list))
	}
	return []check{server, token, registries}
}

// checkToken says what can be said of a token that the server has not taken.
func checkToken(hub *jobapi.Client, err error) check {
	var auth *jobapi.AuthError
	state := hub.TokenState()
	switch {
	case errors.As(err, &auth):
		return check{"token", false, err.Error(), orDefault(word(auth.Explicit, "set another JULIAHUB_TOKEN"), "juliahub-lsp login")}
	case !state.Found:
		return check{"token", false, "there is none", "juliahub-lsp login, or set JULIAHUB_TOKEN"}
	}
	return check{Name: "token", OK: true, Detail: "there is one; the server has not said what it thinks of it"}
}

func (w work) checkJulia(ctx context.Context) check {
	julia, err := exec.LookPath("julia")
	if err != nil {
		return check{"julia", true, "none on PATH", "only needed to resolve projects without a manifest"}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, julia, "--startup-file=no", "--version").Output()
	if err != nil {
		return check{"julia", false, julia + " does not run: " + err.Error(), "repair it, or take it off PATH"}
	}
	return check{Name: "julia", OK: true, Detail: julia + ", " + plain(string(out[:max(0, len(out)-1)]))}
}

func (w work) checkDepot() check {
	home, err := homeDir(w.t)
	if err != nil {
		return check{"depot", false, err.Error(), "set HOME"}
	}
	paths := depot.Paths(w.t.lookupEnv, home)
	if len(paths) == 0 {
		return check{"depot", w.t.env("JULIAHUB_TOKEN") != "", "JULIA_DEPOT_PATH is set but empty: there is no depot", "signing in works by JULIAHUB_TOKEN only"}
	}
	if _, err := os.Stat(paths[0]); err != nil {
		return check{"depot", true, paths[0] + " is not there yet", "Julia makes it"}
	}
	return check{Name: "depot", OK: true, Detail: paths[0]}
}

// editors are the programs that start the server, by the names of their commands.
var editors = []string{"code", "codium", "nvim", "emacs", "hx", "kate", "subl", "zed"}

// checkEditor looks for editors, and whether they find the server by its name.
func (w work) checkEditor(ctx context.Context) check {
	var found []string
	for _, editor := range editors {
		path, err := exec.LookPath(editor)
		if err != nil {
			continue
		}
		found = append(found, editor)
		if editor == "nvim" && tooOld(ctx, path) {
			return check{"editor", false, path + " is too old", "Neovim has to be 0.11 or newer"}
		}
	}
	c := check{Name: "editor", OK: true, Detail: orDefault(strings.Join(found, ", "), "none that is known on PATH")}
	if _, err := exec.LookPath("juliahub-lsp"); err != nil {
		c.Do = "put juliahub-lsp on PATH, or its whole path into the editor's configuration"
	}
	return c
}

// tooOld reports whether a Neovim lacks vim.lsp.config. One that does not tell
// its version is left alone.
func tooOld(ctx context.Context, nvim string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, nvim, "--version").Output()
	var major, minor int
	if err != nil {
		return false
	}
	if _, err := fmt.Sscanf(string(out), "NVIM v%d.%d", &major, &minor); err != nil {
		return false
	}
	return major == 0 && minor < 11
}

// checkState writes and removes a file where the records of submissions go.
func (w work) checkState() check {
	dir := w.session.StateDir()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return check{"state", false, err.Error(), "set XDG_STATE_HOME to a directory that can be written"}
	}
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return check{"state", false, err.Error(), "set XDG_STATE_HOME to a directory that can be written"}
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return check{"state", false, err.Error(), "look at " + filepath.Dir(f.Name())}
	}
	return check{Name: "state", OK: true, Detail: dir}
}

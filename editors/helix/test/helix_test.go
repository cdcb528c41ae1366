//go:build editors

// Package helix drives a real Helix, in the window of a terminal, against the emulator.
package helix

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"juliahub-lsp/editors/drive"
)

// helix is a Helix that is open, and the server it started.
type helix struct {
	*terminal
	server string // the executable, of this test alone
}

// configure puts languages.toml where Helix looks for it, with the server of
// this test. Only its own window has the executable that it returns.
func configure(t *testing.T, w *drive.World, server string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "languages.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"juliahub-lsp"`), fmt.Appendf(nil, "%q", server), 1)
	dir := filepath.Join(w.Variable("XDG_CONFIG_HOME"), "helix")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "languages.toml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	// As the README recommends: Helix's own default is a spinner.
	progress := []byte("[editor.lsp]\ndisplay-progress-messages = true\n")
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), progress, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serverCopy is the server under a path of its own, by which its process is known.
func serverCopy(t *testing.T, w *drive.World) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "juliahub-lsp")
	from, err := os.Open(w.Server)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// start opens Helix with a file.
func start(t *testing.T, w *drive.World, server, file string) *helix {
	t.Helper()
	hx := &helix{newTerminal(t, w, filepath.Join(drive.Variable(t, "HELIX"), "bin", "hx"), file), server}
	hx.shows(" NOR ")
	return hx
}

// run types a command of Helix.
func (hx *helix) run(command string) {
	hx.t.Helper()
	hx.keys(":")
	if out, err := hx.command("send-keys", "-t", ":0", "-l", "--", command).CombinedOutput(); err != nil {
		hx.t.Fatalf("the command %q: %v\n%s", command, err, out)
	}
	hx.keys("Enter")
}

// open opens a file of the workspace.
func (hx *helix) open(file string) {
	hx.t.Helper()
	hx.run("open " + file)
	hx.await(file+" is open", statusLine(file))
}

// statusLine says whether the status line is that of a file.
func statusLine(file string) func(string) bool {
	line := regexp.MustCompile(`(?m)^ (NOR|INS|SEL) .*\b` + regexp.QuoteMeta(file) + `\b`)
	return line.MatchString
}

// choose runs a code action from Helix's menu.
func (hx *helix) choose(title string) {
	hx.t.Helper()
	ran := drive.Await(hx.t, func() bool {
		hx.keys("Space", "a")
		drive.AwaitFor(hx.t, 3*time.Second, func() bool { return hx.chosen() != "" })
		if hx.pick(title) {
			return true
		}
		// What a job allows may still be on its way: the menu is opened again.
		hx.keys("Escape")
		drive.AwaitFor(hx.t, 3*time.Second, func() bool { return hx.chosen() == "" })
		return false
	})
	if !ran {
		hx.t.Fatalf("there is no action %q. The window:\n%s", title, hx.screen())
	}
	hx.t.Log("ok chose", title)
}

// pick moves down the menu that is open until an action is the chosen one, and
// takes it. It gives up when the first one comes round again.
func (hx *helix) pick(title string) bool {
	chosen := regexp.MustCompile(`^ ` + regexp.QuoteMeta(title) + ` *\W?$`)
	first := ""
	for range 40 {
		at := hx.chosen()
		switch {
		case chosen.MatchString(at):
			hx.keys("Enter")
			return true
		case at == "":
			return false // no menu came up: the server may not be ready
		case first == "":
			first = at
		case at == first:
			return false
		}
		hx.keys("Down")
		drive.AwaitFor(hx.t, 3*time.Second, func() bool { return hx.chosen() != at })
	}
	return false
}

// processes returns the servers of this test that run.
func (hx *helix) processes() []string {
	var running []string
	all, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range all {
		if target, err := os.Readlink(link); err == nil && target == hx.server {
			running = append(running, link)
		}
	}
	return running
}

// quit leaves Helix, which may say nothing to the server at all.
func (hx *helix) quit() {
	hx.t.Helper()
	hx.run("quit-all!")
	hx.ended()
	if !drive.Await(hx.t, func() bool { return len(hx.processes()) == 0 }) {
		hx.t.Errorf("the server outlives Helix: %q", hx.processes())
	}
}

// chosenOn is the background of the row that is chosen in a menu, in Helix's own theme.
const chosenOn = "2;255;255;255"

// chosen returns the row of the menu that is chosen.
func (hx *helix) chosen() string { return hx.on(chosenOn) }

func TestDay(t *testing.T) {
	t.Parallel()
	w := drive.New(t)
	server := serverCopy(t, w)
	configure(t, w, server)
	hx := start(t, w, server, "pi.jl")
	submitAndWatch(hx, w)
	readLog(hx)
	download(hx, w)
	seeFailure(hx)
	appbundle(hx, w)
	cancel(hx)
	restart(hx, w)
}

// submitAndWatch submits a script, which signs in first, and watches it to its end.
func submitAndWatch(hx *helix, w *drive.World) {
	hx.t.Helper()
	hx.choose("Submit as script")
	hx.await("the job's progress is shown", regexp.MustCompile(`\d+% JuliaHub: pi\.jl`).MatchString)
	if !w.Opened("/auth/device") {
		hx.t.Error("the sign-in's page was not opened")
	}
	hx.await("the diagnostic says that it has completed", regexp.MustCompile(`JuliaHub job jr-\w+ completed`).MatchString)
}

func readLog(hx *helix) {
	hx.t.Helper()
	hx.choose("Show logs")
	hx.await("the log is open", statusLine("job.log"))
	hx.keys("g", "e")
	hx.shows("π is about 3.14")
}

func download(hx *helix, w *drive.World) {
	hx.t.Helper()
	hx.open("pi.jl")
	hx.choose("Download results")
	hx.await("the table is open", statusLine("pi.csv"))
	hx.shows("points,estimate")
	if files := w.Results("pi.csv"); len(files) != 1 {
		hx.t.Errorf("the results are %q, want one table", files)
	}
}

func seeFailure(hx *helix) {
	hx.t.Helper()
	hx.open("fails.jl")
	hx.choose("Submit as script")
	hx.await("the failure is shown at the line that failed",
		regexp.MustCompile(`the job fails on this line .*JuliaHub job jr-\w+ failed: no readings to take the mean of`).MatchString)
	hx.keys("g", "g", "]", "d")
	hx.await("the next diagnostic is at the line that failed", regexp.MustCompile(`(?m)^ NOR .*fails\.jl.* 6:\d+ *$`).MatchString)
}

func appbundle(hx *helix, w *drive.World) {
	hx.t.Helper()
	hx.open("project/report.jl")
	hx.choose("Submit project as appbundle")
	hx.await("the appbundle has completed", regexp.MustCompile(`JuliaHub job jr-\w+ completed`).MatchString)
	hx.choose("Download results")
	hx.shows("results are in")
	if files := w.Results("report.txt"); len(files) != 1 {
		hx.t.Errorf("the results are %q, want one report", files)
	}
}

func cancel(hx *helix) {
	hx.t.Helper()
	hx.open("slow.jl")
	hx.choose("Submit as script")
	hx.await("the slow job runs", regexp.MustCompile(`JuliaHub job jr-\w+ (is )?running`).MatchString)
	hx.choose("Cancel job")
	hx.await("it was stopped", regexp.MustCompile(`(?i)JuliaHub job jr-\w+ (was )?stopped`).MatchString)
}

// restart leaves Helix while a job runs, and finds the job in the next one.
func restart(hx *helix, w *drive.World) {
	hx.t.Helper()
	hx.open("pi.jl")
	hx.choose("Run job again")
	screen := hx.await("the job runs", regexp.MustCompile(`JuliaHub job jr-\w+ (is )?running`).MatchString)
	job := regexp.MustCompile(`JuliaHub job (jr-\w+)`).FindStringSubmatch(screen)[1]
	submitted := w.Submissions()
	hx.quit()
	next := start(hx.t, w, hx.server, "pi.jl")
	next.await("the job from before completes", regexp.MustCompile(`JuliaHub job `+job+` completed`).MatchString)
	if now := w.Submissions(); now != submitted {
		hx.t.Errorf("%d jobs after the restart, %d before it", now, submitted)
	}
	next.choose("Download results")
	next.await("its table is open", statusLine("pi.csv"))
	if files := w.Results("pi.csv"); len(files) != 2 {
		hx.t.Errorf("the results are %q, want a table of each job", files)
	}
	next.quit()
}

// TestClient holds the fixture with which the server's tests play Helix to the real one.
func TestClient(t *testing.T) {
	t.Parallel()
	w := drive.New(t)
	recorder := w.Recorder(t)
	configure(t, w, recorder)
	hx := start(t, w, recorder, "pi.jl")
	hx.choose("Preview job")
	hx.run("quit-all!")
	hx.ended()
	drive.CheckClient(t, recorder, "helix")
}

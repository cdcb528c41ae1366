package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"juliahub-lsp/jobapi/emulator"

	"github.com/rogpeppe/go-internal/testscript"
)

// asCommand makes the test binary be the command: its children (the demo's
// server, a server that is killed) are the same code without another build.
const asCommand = "JULIAHUB_LSP_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	if os.Getenv(asCloud) != "" {
		if err := beCloud(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestScripts plays the sessions of testdata/script against an emulator that
// simulates its jobs. Beside testscript's own commands there is
//
//	status N juliahub-lsp ARGS…   run it and expect exit status N
//
// with the outputs left for `stdout` and `stderr` to look at, and
//
//	jobid FILE JOB SUBMISSION     set two variables from the JSON of submit
//	fault FILE                    what FILE holds as JSON goes wrong at the emulator
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "juliahub-lsp")); err != nil {
		t.Skip("this system makes no symbolic links:", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			e := startEmulator(t, emulator.Config{Julia: "none"})
			home := filepath.Join(env.WorkDir, "home")
			for name, value := range map[string]string{
				asCommand: "1", "PATH": bin + string(os.PathListSeparator) + os.Getenv("PATH"),
				"HOME": home, "XDG_STATE_HOME": filepath.Join(home, "state"), "XDG_CACHE_HOME": filepath.Join(home, "cache"),
				"JULIA_DEPOT_PATH": filepath.Join(home, "depot"), "JULIA_PKG_SERVER": e.Info().URL, "JULIAHUB_TOKEN": e.Token(),
				"NO_COLOR": "1", "CI": os.Getenv("CI"),
			} {
				env.Setenv(name, value)
			}
			env.Vars = append(env.Vars, endAtOnce)
			env.Values[emulatorKey{}] = e
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"status": status, "jobid": jobid, "fault": fault},
	})
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func jobid(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: jobid file job submission")
	}
	var doc submitted
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	ts.Setenv(args[1], doc.Job)
	ts.Setenv(args[2], doc.Submission)
}

type emulatorKey struct{}

func fault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fault file")
	}
	var f emulator.Fault
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &f))
	ts.Check(ts.Value(emulatorKey{}).(*emulator.Emulator).Inject(f))
}

// startEmulator starts an emulator that ends with the test.
func startEmulator(t testing.TB, cfg emulator.Config) *emulator.Emulator {
	t.Helper()
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start("127.0.0.1:0", false); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close the emulator: %v", err)
		}
	})
	return e
}

// buffer is an output that can be closed, as stdout can.
type buffer struct{ bytes.Buffer }

func (*buffer) Close() error { return nil }

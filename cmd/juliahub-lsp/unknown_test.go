package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"juliahub-lsp/jobapi/emulator"
)

// TestSubmitUnanswered breaks the connection around submit_job: a job that is
// there is found, and one that may be there is said to be unknown. Never are there two.
func TestSubmitUnanswered(t *testing.T) {
	const endpoint = "/juliaruncloud/submit_job"
	for _, test := range []struct {
		name  string
		fault emulator.Fault
		want  int
		jobs  int
	}{
		{"the server acted, the answer is lost", emulator.Fault{Kind: emulator.FaultReset, Path: endpoint, After: true}, statusDone, 1},
		{"the server acted, a proxy answers 502", emulator.Fault{Kind: emulator.FaultStatus, Status: 502, Path: endpoint, After: true}, statusDone, 1},
		{"the answer is a login page", emulator.Fault{Kind: emulator.FaultHTML, Path: endpoint, After: true}, statusDone, 1},
		{"nobody knows whether the server acted", emulator.Fault{Kind: emulator.FaultReset, Path: endpoint}, statusUnknown, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			hub := startEmulator(t, emulator.Config{Julia: "none"})
			sh := newShell(t, hub)
			script := filepath.Join(t.TempDir(), "hello.jl")
			if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			hub.Inject(test.fault)
			if got := sh.run("submit", script, "--json", "--settle", "3s"); got != test.want {
				t.Fatalf("exit status %d, want %d\n%s%s", got, test.want, &sh.out, &sh.err)
			}
			if n := hub.Counters()["POST "+endpoint]; n != 1 {
				t.Errorf("sent %d times", n)
			}
			answer := sh.out.String()
			why := sh.err.String()
			if status := sh.run("jobs", "--json"); status != statusDone {
				t.Fatalf("jobs: exit status %d\n%s", status, &sh.err)
			}
			var list struct{ Jobs []struct{ Job string } }
			if err := json.Unmarshal(sh.out.Bytes(), &list); err != nil || len(list.Jobs) != test.jobs {
				t.Fatalf("the server has the jobs %s (%v), want %d", &sh.out, err, test.jobs)
			}
			switch {
			case test.jobs == 1 && !strings.Contains(answer, `"job":"`+list.Jobs[0].Job+`"`):
				t.Errorf("the answer %q does not name the job %s", answer, list.Jobs[0].Job)
			case test.jobs == 0 && (answer != "" || !strings.Contains(why, "juliahub-lsp job ")):
				t.Errorf("stdout %q, stderr %q: want nothing, and how to look again", answer, why)
			}
		})
	}
}

// TestLookAgain does what an unknown outcome advises: job and wait look for the
// job that was made.
func TestLookAgain(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"job", "wait"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			hub := startEmulator(t, emulator.Config{Julia: "none"})
			sh := newShell(t, hub)
			script := filepath.Join(t.TempDir(), "hello.jl")
			if err := os.WriteFile(script, []byte("println(1)\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, fault := range []emulator.Fault{
				{Kind: emulator.FaultReset, Path: "/juliaruncloud/submit_job", After: true},
				{Kind: emulator.FaultStatus, Status: 403, Times: -1, Path: "/juliaruncloud/get_jobs"},
			} {
				if err := hub.Inject(fault); err != nil {
					t.Fatal(err)
				}
			}
			if got := sh.run("submit", script, "--json", "--settle", "1ms"); got != statusUnknown {
				t.Fatalf("exit status %d\n%s%s", got, &sh.out, &sh.err)
			}
			_, advice, _ := strings.Cut(sh.err.String(), "juliahub-lsp job ")
			id, _, _ := strings.Cut(advice, "'")
			hub.ClearFaults()
			if got := sh.run(verb, id, "--json"); got != statusDone || !strings.Contains(sh.out.String(), `"job":"jr-`) {
				t.Errorf("%s %q: exit status %d\n%s%s", verb, id, got, &sh.out, &sh.err)
			}
		})
	}
}

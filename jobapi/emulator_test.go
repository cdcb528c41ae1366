package jobapi_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"juliahub-lsp/internal/depot"
	"juliahub-lsp/jobapi"
	"juliahub-lsp/jobapi/emulator"
)

const submission = "0b7a4f5e-0000-4000-8000-000000000001"

// startEmulator starts an emulator that simulates jobs, and a client of it.
func startEmulator(t *testing.T, cfg emulator.Config) (*emulator.Emulator, *jobapi.Client) {
	t.Helper()
	cfg.Julia = "none"
	if cfg.Pace == 0 {
		cfg.Pace = time.Millisecond
	}
	e, err := emulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := e.Start("", false); err != nil {
		t.Fatal(err)
	}
	return e, newClient(t, e, jobapi.Config{Token: e.Token()})
}

func newClient(t *testing.T, e *emulator.Emulator, cfg jobapi.Config) *jobapi.Client {
	t.Helper()
	var err error
	if cfg.Server, err = jobapi.ParseServer(e.Info().URL); err != nil {
		t.Fatal(err)
	}
	cfg.LookupEnv = func(string) (string, bool) { return "", false }
	if cfg.Home == "" {
		cfg.Home = t.TempDir()
	}
	c, err := jobapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Hurry()
	t.Cleanup(c.Close)
	return c
}

// await asks until what it asks for is there.
func await[T any](t *testing.T, what string, ask func() (T, bool, error)) T {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for {
		value, done, err := ask()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if done {
			return value
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within ten seconds; last %+v", what, value)
		}
	}
}

func awaitDone(t *testing.T, c *jobapi.Client, id string) *jobapi.Job {
	t.Helper()
	return await(t, "the end of "+id, func() (*jobapi.Job, bool, error) {
		job, err := c.Job(t.Context(), id)
		return job, err == nil && job.Status.Done(), err
	})
}

func chooseNode(t *testing.T, c *jobapi.Client, want jobapi.NodeRequest) jobapi.Node {
	t.Helper()
	nodes, err := c.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	node, err := jobapi.ChooseNode(nodes, want)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

func scriptJob(node jobapi.Node) jobapi.Submission {
	return jobapi.Submission{
		Code: "println(1)", Args: map[string]string{jobapi.SubmissionKey: submission, "jobname": "my job"},
		Node: node, Nodes: 1, LimitHours: 1, ProcessPerNode: true,
	}
}

// TestScriptStory is a script job from sign-in to results.
func TestScriptStory(t *testing.T) {
	e, c := startEmulator(t, emulator.Config{})
	user, err := c.User(t.Context())
	if err != nil || user.Name == "" || user.APIVersion != "0.0.1" {
		t.Errorf("%+v, %v", user, err)
	}
	if registries, err := c.Registries(t.Context()); err != nil || len(registries) == 0 {
		t.Errorf("%v, %v", registries, err)
	}
	sent := time.Now()
	id, err := c.Submit(t.Context(), scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 2, MemoryGB: 2})))
	if err != nil {
		t.Fatal(err)
	}
	found, err := c.FindSubmission(t.Context(), submission, sent)
	if err != nil || found == nil || found.ID != id || found.Alias != "my job" || found.Env()[jobapi.SubmissionKey] != submission {
		t.Errorf("%+v, %v", found, err)
	}
	job := awaitDone(t, c, id)
	if job.Status != jobapi.Completed || job.Submitted.IsZero() || job.Ended.Before(job.Submitted) || job.Outputs == "" {
		t.Errorf("%+v", job)
	}
	page, err := c.Logs(t.Context(), id, jobapi.LogQuery{})
	if err != nil || !page.Top || !page.Bottom || len(page.Messages) < 4 {
		t.Errorf("%+v, %v", page, err)
	}
	results := 0
	for _, file := range job.Files {
		var data bytes.Buffer
		if err := c.Download(t.Context(), id, file, &data, nil); err != nil {
			t.Errorf("%s: %v", file.Name, err)
		}
		sum := sha256.Sum256(data.Bytes())
		if verified, err := file.Check(int64(data.Len()), sum[:]); !verified || err != nil {
			t.Errorf("%s: %v, %v", file.Name, verified, err)
		}
		if file.Type == "result" {
			results++
		}
	}
	if results == 0 {
		t.Errorf("no result among %+v", job.Files)
	}
	if n := e.Counters()["POST /juliaruncloud/submit_job"]; n != 1 {
		t.Errorf("%d submissions; counters %v", n, e.Counters())
	}
}

// TestBundleStory is an appbundle job.
func TestBundleStory(t *testing.T) {
	_, c := startEmulator(t, emulator.Config{})
	data := sampleTar(t, map[string]string{"proj/Project.toml": "", "proj/main.jl": "println(1)"})
	sum := sha256.Sum256(data)
	upload := jobapi.Upload{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	if err := c.UploadBundle(t.Context(), upload, open, nil); err != nil {
		t.Fatal(err)
	}
	s := scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1, GPU: true}))
	s.Bundle, s.Nodes, s.MinNodes, s.LimitHours = &upload, 3, 2, 0
	id, err := c.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if job := awaitDone(t, c, id); job.Status != jobapi.Completed {
		t.Errorf("%+v", job)
	}
	// A bundle that was not uploaded is refused.
	other := jobapi.Upload{Size: 10240, SHA256: strings.Repeat("ab", 32)}
	s.Bundle = &other
	if id, err := c.Submit(t.Context(), s); err == nil || !isRefused(err) {
		t.Errorf("%q, %v", id, err)
	}
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*jobapi.RefusedError](err)
	return ok
}

func sampleTar(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestKillAndExtendStory(t *testing.T) {
	_, c := startEmulator(t, emulator.Config{Pace: 20 * time.Millisecond, Simulate: waitForever})
	id, err := c.Submit(t.Context(), scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1})))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "running", func() (*jobapi.Job, bool, error) {
		job, err := c.Job(t.Context(), id)
		return job, err == nil && job.Status == jobapi.Running, err
	})
	if err := c.Extend(t.Context(), id, 2); err != nil {
		t.Error(err)
	}
	if err := c.Kill(t.Context(), id); err != nil {
		t.Error(err)
	}
	if job := awaitDone(t, c, id); job.Status == jobapi.Failed {
		t.Errorf("%+v", job)
	}
	for what, err := range map[string]error{"kill": c.Kill(t.Context(), "jr-nosuchjob0"), "extend": c.Extend(t.Context(), "jr-nosuchjob0", 1)} {
		if !errors.Is(err, jobapi.ErrNoSuchJob) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.Job(t.Context(), "jr-nosuchjob0"); !errors.Is(err, jobapi.ErrNoSuchJob) {
		t.Error(err)
	}
}

// TestRefreshStory: tokens that end in the middle of work, with many at it.
func TestRefreshStory(t *testing.T) {
	e, _ := startEmulator(t, emulator.Config{})
	home := signInFile(t, e)
	path := filepath.Join(home, ".julia", "servers", depot.ServerDir(e.Info().URL), "auth.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "\nkept = \"yes\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := e.ExpireTokens(); err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 4 {
			c := newClient(t, e, jobapi.Config{Home: home})
			for range 4 {
				all.Go(func() {
					if _, err := c.Jobs(t.Context(), 0); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
	}
	refreshes := 0
	for pattern, n := range e.Counters() {
		if strings.Contains(pattern, "token.toml") {
			refreshes += n
		}
	}
	if data, err := os.ReadFile(path); err != nil || refreshes != 3 || !strings.Contains(string(data), `kept = "yes"`) {
		t.Errorf("%d refreshes, %v", refreshes, err)
	}
}

// TestFaults: what breaks once is got over where that is safe.
func TestFaults(t *testing.T) {
	e, c := startEmulator(t, emulator.Config{})
	node := chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1})
	for _, fault := range []emulator.Fault{
		{Kind: emulator.FaultReset}, {Kind: emulator.FaultReset, After: true}, {Kind: emulator.FaultStatus, Status: 502},
		{Kind: emulator.FaultTruncate, Bytes: 1}, {Kind: emulator.FaultStatus, Status: 429, RetryAfter: 1},
	} {
		fault.Path = "/juliaruncloud/get_jobs"
		if err := e.Inject(fault); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Jobs(t.Context(), 0); err != nil {
			t.Errorf("%+v: %v", fault, err)
		}
	}
	for i, fault := range []emulator.Fault{
		{Kind: emulator.FaultReset}, {Kind: emulator.FaultReset, After: true}, {Kind: emulator.FaultStatus, Status: 502, After: true},
		{Kind: emulator.FaultTruncate, Bytes: 5}, {Kind: emulator.FaultGarbage, After: true}, {Kind: emulator.FaultHTML, After: true}, {Kind: emulator.FaultStatus, Status: 307},
	} {
		uuid := fmt.Sprintf("0b7a4f5e-0000-4000-8000-1000000000%02d", i)
		fault.Path = "/juliaruncloud/submit_job"
		e.ClearCounters()
		if err := e.Inject(fault); err != nil {
			t.Fatal(err)
		}
		s := scriptJob(node)
		s.Args = map[string]string{jobapi.SubmissionKey: uuid}
		sent := time.Now()
		id, err := c.Submit(t.Context(), s)
		if _, ok := errors.AsType[*jobapi.UnknownOutcomeError](err); !ok {
			t.Errorf("%+v: %q, %v", fault, id, err)
		}
		if n := e.Counters()["POST /juliaruncloud/submit_job"]; n != 1 {
			t.Errorf("%+v: %d submissions", fault, n)
		}
		job, err := c.FindSubmission(t.Context(), uuid, sent)
		acted := fault.After || fault.Kind == emulator.FaultTruncate
		if err != nil || (job != nil) != acted {
			t.Errorf("%+v: %+v, %v", fault, job, err)
		}
	}
}

// TestWrongHash: a file that arrives changed is found out.
func TestWrongHash(t *testing.T) {
	e, c := startEmulator(t, emulator.Config{})
	id, err := c.Submit(t.Context(), scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1})))
	if err != nil {
		t.Fatal(err)
	}
	job := awaitDone(t, c, id)
	file := job.Files[0]
	if err := e.Inject(emulator.Fault{Kind: emulator.FaultWrongHash, Path: "/jobs/*/files/*"}); err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	if err := c.Download(t.Context(), id, file, &data, nil); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data.Bytes())
	if _, err := file.Check(int64(data.Len()), sum[:]); err == nil {
		t.Error("a changed file passed for the right one")
	}
}

// waitForever is the program of a job that runs until it is stopped.
func waitForever(ctx context.Context, s *emulator.Stage) error { return s.Wait(ctx, time.Hour) }

// signInFile writes a token file for the emulator and returns the home that it is in.
func signInFile(t *testing.T, e *emulator.Emulator) (home string) {
	t.Helper()
	home = t.TempDir()
	text, err := e.AuthTOML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, ".julia", "servers", depot.ServerDir(e.Info().URL), "auth.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return home
}

// TestOldServerStory is a server before API 0.0.1, with the bugs of its time.
func TestOldServerStory(t *testing.T) {
	e, _ := startEmulator(t, emulator.Config{})
	if err := e.SetQuirks(emulator.Quirks{OldAPI: true, ClassicOnly: true, BadToken500: true, Gzip: true, Inputs: "escaped", Hashes: "base64", Timestamps: "isoz", NoEmptyMessages: true, ForeignJobs: 3, UnknownFields: true}); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, e, jobapi.Config{Home: signInFile(t, e)})
	user, err := c.User(t.Context())
	if err != nil || user.Name == "" || user.APIVersion != "0.0.0" {
		t.Errorf("%+v, %v", user, err)
	}
	images, err := c.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image, err := jobapi.ChooseImage(images, "", "")
	if err != nil || image.CPUKey != "julia" {
		t.Errorf("%+v, %v", image, err)
	}
	// A 500 that is about the token is got over once.
	if err := e.ExpireTokens(); err != nil {
		t.Fatal(err)
	}
	s := scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1}))
	sent := time.Now()
	id, err := c.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := c.FindSubmission(t.Context(), submission, sent); err != nil || found == nil || found.ID != id || found.Env()["jobname"] != "my job" {
		t.Errorf("%+v, %v", found, err)
	}
	job := awaitDone(t, c, id)
	for _, file := range job.Files {
		if len(file.SHA256) != sha256.Size {
			t.Errorf("%s has no hash", file.Name)
		}
	}
	page, err := c.Logs(t.Context(), id, jobapi.LogQuery{})
	if err != nil || len(page.Messages) == 0 || page.Messages[0].Time.IsZero() {
		t.Errorf("%+v, %v", page, err)
	}
}

// TestLogStory follows a log while its WebSocket is cut again and again, with
// ids that WebSockets take and ids that they do not, and by polling.
func TestLogStory(t *testing.T) {
	const lines = 200
	chatty := func(ctx context.Context, s *emulator.Stage) error {
		for i := range lines {
			s.Print(fmt.Sprintf("line %d", i))
			if i%50 == 49 {
				if err := s.Wait(ctx, 5*time.Millisecond); err != nil {
					return err
				}
			}
		}
		return nil
	}
	for name, test := range map[string]struct {
		opaque, poll bool
		cuts         int
	}{"whole ids": {cuts: 4}, "opaque ids": {opaque: true, cuts: 1}, "polling": {poll: true}, "polling, opaque ids": {poll: true, opaque: true}} {
		t.Run(name, func(t *testing.T) {
			e, c := startEmulator(t, emulator.Config{Simulate: chatty})
			if err := e.SetQuirks(emulator.Quirks{OpaqueEventIDs: test.opaque}); err != nil {
				t.Fatal(err)
			}
			if err := e.Inject(emulator.Fault{Kind: emulator.FaultWebSocketCut, Path: "/ws/stream_logs", Frames: 23, Times: max(1, test.cuts)}); err != nil {
				t.Fatal(err)
			}
			id, err := c.Submit(t.Context(), scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1})))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			err = c.LogStream(id, jobapi.StreamOptions{PollOnly: test.poll}).Run(t.Context(), func(messages []jobapi.LogMessage) error {
				for _, m := range messages {
					if strings.HasPrefix(m.Message, "line ") {
						got = append(got, m.Message)
					}
				}
				return nil
			})
			if err != nil || len(got) != lines {
				t.Fatalf("%d lines, %v", len(got), err)
			}
			for i, line := range got {
				if want := fmt.Sprintf("line %d", i); line != want {
					t.Fatalf("line %d is %q", i, line)
				}
			}
		})
	}
}

// TestPortStory exposes a port and talks to what listens there.
func TestPortStory(t *testing.T) {
	listen := make(chan struct{})
	_, c := startEmulator(t, emulator.Config{Simulate: func(ctx context.Context, s *emulator.Stage) error {
		select {
		case <-listen:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		server := &http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", s.Port), ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello "+r.URL.Path)
		})}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return context.Cause(ctx)
	}})
	images, err := c.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	image, err := jobapi.ChooseImage(images, "", "")
	if err != nil {
		t.Fatal(err)
	}
	s := scriptJob(chooseNode(t, c, jobapi.NodeRequest{NCPU: 1, MemoryGB: 1}))
	if s.Image, err = image.Job(false); err != nil {
		t.Fatal(err)
	}
	product, err := image.ExposeProduct()
	if err != nil {
		t.Fatal(err)
	}
	s.Expose = &jobapi.Expose{Port: 8080, Product: product}
	id, err := c.Submit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() (string, int, error) {
		job, err := c.Job(t.Context(), id)
		if err != nil || job.Host() == "" {
			return "", 0, err
		}
		answer, err := c.Request(t.Context(), job, "GET", "/there", nil, nil)
		if err != nil {
			return "", 0, err
		}
		body, err := io.ReadAll(answer.Body)
		return string(body), answer.Status, errors.Join(err, answer.Body.Close())
	}
	await(t, "a job that does not listen yet", func() (int, bool, error) {
		_, status, err := ask()
		return status, status == http.StatusBadGateway, err
	})
	close(listen)
	await(t, "a job that listens", func() (string, bool, error) {
		body, status, err := ask()
		return body, status == 200 && body == "hello /there", err
	})
	if err := c.Kill(t.Context(), id); err != nil {
		t.Error(err)
	}
	awaitDone(t, c, id)
}

// TestSignInStory signs in by both flows, and works with what that brought.
func TestSignInStory(t *testing.T) {
	for name, quirks := range map[string]emulator.Quirks{"device": {}, "classic": {ClassicOnly: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, err := emulator.New(emulator.Config{Julia: "none", Data: t.TempDir()})
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := e.Close(); err != nil {
						t.Error(err)
					}
				}()
				if err := e.SetQuirks(quirks); err != nil {
					t.Fatal(err)
				}
				server, err := jobapi.ParseServer("http://127.0.0.1:4000")
				if err != nil {
					t.Fatal(err)
				}
				c, err := jobapi.New(jobapi.Config{Server: server, Home: t.TempDir(), LookupEnv: func(string) (string, bool) { return "", false }, Transport: jobapi.InProcess(e)})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for verdict, want := range map[bool]error{false: jobapi.ErrSignInDenied, true: nil} {
					if !verdict && quirks.ClassicOnly {
						continue // that flow knows no refusal
					}
					err := c.SignIn(t.Context(), func(p jobapi.SignInPrompt) error {
						if p.Code != "" {
							return e.Approve(p.Code, verdict)
						}
						page, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, nil)
						if err != nil {
							return err
						}
						opened := httptest.NewRecorder()
						if e.ServeHTTP(opened, page); opened.Code != http.StatusOK {
							return fmt.Errorf("the page answered %d", opened.Code)
						}
						return nil
					})
					if !errors.Is(err, want) {
						t.Errorf("approved %v: %v", verdict, err)
					}
				}
				if state := c.TokenState(); !state.Found || !state.Refresh || state.Expired || state.Name != "emulator" || state.Email != "emulator@localhost" {
					t.Errorf("%+v", state)
				}
				if _, err := c.Jobs(t.Context(), 0); err != nil {
					t.Error(err)
				}
				// When the token has ended it is refreshed.
				if err := e.ExpireTokens(); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Jobs(t.Context(), 0); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

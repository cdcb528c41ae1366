package lsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"juliahub-lsp/commands"
	"juliahub-lsp/lsp/lsptest"
)

// code returns the code of a server's error, 0 if there is none.
func code(err error) int {
	var e *lsptest.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestRequestsInTheWrongStateOrShape(t *testing.T) {
	r := serve(t, nil)
	e := lsptest.Connect(t, r.editor, lsptest.Options{})
	want := func(wantCode int, method string, params any) {
		t.Helper()
		if got := code(e.Try(method, params, nil)); got != wantCode {
			t.Errorf("%s %v: code %d, want %d", method, params, got, wantCode)
		}
	}
	want(-32002, "textDocument/codeAction", map[string]any{})
	want(-32002, "no/such", nil)
	want(-32002, "shutdown", nil)
	want(-32602, "initialize", nil)
	want(-32602, "initialize", []any{1})
	want(-32602, "initialize", map[string]any{"capabilities": "all"})
	want(-32602, "initialize", map[string]any{"processId": "12", "capabilities": map[string]any{}})
	e.Notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": "file:///early.jl", "text": "1"}})
	e.Initialize()
	want(-32600, "initialize", map[string]any{"capabilities": map[string]any{}})
	e.Notify("initialized", nil)

	for _, params := range []any{nil, map[string]any{}, []any{}, 5, "x"} {
		want(-32601, "no/such", params)
		want(-32601, "$/unknown", params)
	}
	for _, params := range []any{nil, []any{}, 5, "x", true, map[string]any{"command": 7}, map[string]any{}} {
		want(-32602, "workspace/executeCommand", params)
	}
	want(-32602, "textDocument/codeLens", map[string]any{"textDocument": map[string]any{"uri": 3}})
	want(-32602, "textDocument/codeLens", map[string]any{"textDocument": map[string]any{}})
	want(-32602, "textDocument/codeAction", map[string]any{"textDocument": map[string]any{"uri": "file:///x.jl"}})

	for _, params := range []any{nil, []any{}, 5, "x", map[string]any{"textDocument": 1}} {
		for _, method := range []string{
			"textDocument/didOpen", "textDocument/didChange", "textDocument/didSave", "textDocument/didClose", "$/cancelRequest",
			"workspace/didChangeConfiguration", "workspace/didChangeWatchedFiles", "workspace/didChangeWorkspaceFolders",
			"window/workDoneProgress/cancel", "no/such", "$/unknown", "$/setTrace", "initialized",
		} {
			e.Notify(method, params)
		}
	}
	if got := e.Lenses("file:///x.jl"); len(got) == 0 {
		t.Error("no lenses after all that")
	}
	e.Call("shutdown", nil, nil)
	want(-32600, "shutdown", nil) // Neovim sends a second one
	want(-32600, "textDocument/codeLens", nil)
	want(-32600, "no/such", nil)
	e.Notify("exit", nil)
	r.exit(t, 0)
}

func TestBodiesThatAreNoRequests(t *testing.T) {
	e, r := open(t, lsptest.Options{}, nil)
	for _, c := range []struct {
		body string
		code int
		id   string
	}{
		{``, -32700, "null"},
		{`{`, -32700, "null"},
		{`not json`, -32700, "null"},
		{`{"jsonrpc":"2.0","id":1,"method":"x","params":{]}`, -32700, "null"},
		{`{"jsonrpc":"2.0","id":1,"method":"x"} x`, -32700, "null"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\nb\"}", -32700, "null"},
		{strings.Repeat("[", 100_000), -32700, "null"},
		{`[]`, -32600, "null"},
		{`[1,2]`, -32600, "null"},
		{`[{"jsonrpc":"2.0","id":1,"method":"shutdown"}]`, -32600, "null"},
		{`17`, -32600, "null"},
		{`"text"`, -32600, "null"},
		{`null`, -32600, "null"},
		{`true`, -32600, "null"},
		{`{}`, -32600, "null"},
		{`{"jsonrpc":"2.0"}`, -32600, "null"},
		{`{"jsonrpc":"2.0","id":null,"method":"shutdown"}`, -32600, "null"},
		{`{"jsonrpc":"2.0","id":1.5,"method":"shutdown"}`, -32600, "null"},
		{`{"jsonrpc":"2.0","id":{},"method":"shutdown"}`, -32600, "null"},
		{`{"jsonrpc":"2.0","id":99999999999999999999,"method":"shutdown"}`, -32600, "null"},
		{`{"jsonrpc":"1.0","id":77,"method":"shutdown"}`, -32600, "77"},
		{`{"id":"seven","method":"shutdown"}`, -32600, `"seven"`},
		{`{"jsonrpc":"2.0","id":78,"method":5}`, -32600, "78"},
		{`{"jsonrpc":"2.0","id":79}`, -32600, "79"},
	} {
		before := len(e.State().Strays)
		e.SendBody(c.body)
		now := e.Await(lsptest.That("an answer to "+c.body[:min(len(c.body), 60)], func(s *lsptest.State) bool { return len(s.Strays) > before }))
		got := now.Strays[before]
		if got.ID != c.id || got.Error == nil || got.Error.Code != c.code {
			t.Errorf("%.60s: answered with id %s, %v, want id %s, code %d", c.body, got.ID, got.Error, c.id, c.code)
		}
	}
	// What looks like a response, to nothing or not to be understood, has no answer.
	e.SendBody(`{"jsonrpc":"2.0","id":4711,"result":null}`)
	e.SendBody(`{"jsonrpc":"2.0","id":{},"result":1,"error":2}`)
	e.SendBody(`{"jsonrpc":"2.0","error":{"code":1}}`)
	// A notification with a null id is what some clients write.
	e.SendBody(`{"jsonrpc":"2.0","id":null,"method":"textDocument/didOpen","params":{"textDocument":{"uri":"untitled:x","languageId":"julia","version":1,"text":""}}}`)
	before := len(e.State().Strays)
	if len(e.Lenses("untitled:x")) == 0 {
		t.Error("the document was not opened")
	}
	if now := e.State(); len(now.Strays) != before {
		t.Errorf("answered to a response: %v", now.Strays[before:])
	}
	e.Shutdown()
	r.exit(t, 0)
}

func TestHeaders(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":1,"method":"shutdown"}`
	for _, good := range []string{
		"Content-Length: %d\r\n\r\n",
		"content-length:%d\r\n\r\n",
		"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n",
		"Content-Length:   %d  \r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\n",
		"X-Other: 1\r\nContent-Length: %d\r\n\r\n",
	} {
		e, r := open(t, lsptest.Options{}, nil)
		e.SendBytes([]byte(fmt.Sprintf(good, len(body)) + body))
		e.Await(lsptest.That("an answer after "+good, func(s *lsptest.State) bool { return len(s.Strays) == 1 }))
		e.Notify("exit", nil)
		r.exit(t, 0)
	}
	for _, bad := range []string{
		"\r\n", "Content-Type: x\r\n\r\n", "Content-Length: -5\r\n\r\n", "Content-Length: five\r\n\r\n", "Content-Length:\r\n\r\n",
		"Content-Length: 99999999999999999999\r\n\r\n", "Content-Length: 2000000000\r\n\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
		"Content-Length: 0x10\r\n\r\n", strings.Repeat("x", 100_000),
	} {
		e, r := open(t, lsptest.Options{}, nil)
		e.SendBytes([]byte(bad + body))
		r.exit(t, 1)
		if !errors.Is(r.err, errHeader) {
			t.Errorf("%.40q: %v", bad, r.err)
		}
	}
	for _, cut := range []string{"", "Content-Le", "Content-Length: 50\r\n", "Content-Length: 50\r\n\r\n{", "Content-Length: 900000000\r\n\r\n{"} {
		e, r := open(t, lsptest.Options{}, nil)
		e.SendBytes([]byte(cut))
		e.Close()
		r.exit(t, 1)
	}
}

func TestExitStatus(t *testing.T) {
	t.Run("exit without shutdown", func(t *testing.T) {
		e, r := open(t, lsptest.Options{}, nil)
		e.Notify("exit", nil)
		r.exit(t, 1)
	})
	t.Run("exit before initialize", func(t *testing.T) {
		r := serve(t, nil)
		lsptest.Connect(t, r.editor, lsptest.Options{}).Notify("exit", nil)
		r.exit(t, 1)
	})
	t.Run("end of input after shutdown", func(t *testing.T) {
		e, r := open(t, lsptest.Options{}, nil)
		e.Call("shutdown", nil, nil)
		e.Close()
		r.exit(t, 0)
		if r.closed != 1 || r.started != 1 {
			t.Errorf("session started %d times, closed %d times", r.started, r.closed)
		}
	})
}

func TestPanicIsAnInternalError(t *testing.T) {
	e, r := open(t, lsptest.Options{}, func(_ *Server, f *fakeSession) {
		f.own = func(string) []commands.Job { panic("lens") }
		f.do = func(context.Context, commands.Command, commands.Input) (any, error) { panic("command") }
	})
	for range 3 {
		if got := code(e.TryExecute("juliahub.logs", nil, nil)); got != -32603 {
			t.Errorf("code %d", got)
		}
		if got := code(e.Try("textDocument/codeLens", map[string]any{"textDocument": map[string]any{"uri": "file:///x.jl"}}, nil)); got != -32603 {
			t.Errorf("code %d", got)
		}
	}
	e.Shutdown()
	r.exit(t, 0)
}

func TestCancel(t *testing.T) {
	begun := make(chan struct{})
	e, r := open(t, lsptest.Options{}, func(_ *Server, f *fakeSession) {
		f.do = func(ctx context.Context, _ commands.Command, _ commands.Input) (any, error) {
			begun <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	for range 2 { // a number and a string as the id
		p := e.StartExecute("juliahub.logs", nil)
		<-begun
		p.Cancel()
		if got := code(p.Wait(nil)); got != -32800 {
			t.Errorf("id %s: code %d", p.ID, got)
		}
	}
	e.Notify("$/cancelRequest", map[string]any{"id": 4711})
	e.Shutdown()
	r.exit(t, 0)
}

func TestSameIDTwice(t *testing.T) {
	release := make(chan struct{})
	e, _ := open(t, lsptest.Options{}, func(_ *Server, f *fakeSession) {
		f.do = func(context.Context, commands.Command, commands.Input) (any, error) {
			<-release
			return 1, nil
		}
	})
	for range 2 {
		e.SendBody(`{"jsonrpc":"2.0","id":"same","method":"workspace/executeCommand","params":{"command":"juliahub.logs"}}`)
	}
	close(release)
	e.Await(lsptest.That("two answers", func(s *lsptest.State) bool { return len(s.Strays) == 2 }))
}

// Every submission carries the text of its moment, however fast an editor types.
func TestOrder(t *testing.T) {
	const n = 1000
	var mu sync.Mutex
	got := map[string]string{}
	e, _ := open(t, lsptest.Options{}, func(_ *Server, f *fakeSession) {
		f.do = func(_ context.Context, _ commands.Command, in commands.Input) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			got[in.Args.(*commands.SubmitArgs).Profile] = in.File.Text
			return map[string]any{}, nil
		}
	})
	const uri = "untitled:Untitled-1"
	e.OpenBuffer(uri, "julia", "")
	var all []*lsptest.Pending
	for i := range n {
		e.SetBuffer(uri, fmt.Sprint("println(", i, ")"))
		all = append(all, e.StartExecute("juliahub.submitScript", map[string]any{"uri": uri, "profile": fmt.Sprint(i)}))
	}
	for _, p := range all {
		if err := p.Wait(nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if want := fmt.Sprint("println(", i, ")"); got[fmt.Sprint(i)] != want {
			t.Fatalf("submission %d carries %q", i, got[fmt.Sprint(i)])
		}
	}
}

// A document of any size is taken.
func TestHugeMessage(t *testing.T) {
	e, _ := open(t, lsptest.Options{}, func(_ *Server, f *fakeSession) {
		f.do = func(_ context.Context, _ commands.Command, in commands.Input) (any, error) {
			return len(in.File.Text), nil
		}
	})
	e.OpenBuffer("untitled:big", "julia", strings.Repeat("x = 1 # ∀\n", 1_000_000))
	var n int
	e.Execute("juliahub.submitScript", map[string]any{"uri": "untitled:big"}, &n)
	if n != 12_000_000 {
		t.Errorf("%d bytes", n)
	}
}

// halfDuplex is a connection of which each end is closed by itself.
type halfDuplex struct {
	io.Reader
	io.WriteCloser
}

// What waits for answers at the end of the input waits within the five seconds
// that ending may take.
func TestEndOfInputTakesFiveSeconds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		toServer, fromEditor := io.Pipe()
		_, fromServer := io.Pipe()
		s := newServer(Config{})
		s.table = fakeTable()
		f := &fakeSession{
			do: func(ctx context.Context, _ commands.Command, _ commands.Input) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
			onClose: func(ctx context.Context) { <-ctx.Done() },
		}
		s.newSession = func(commands.UI) (session, error) { return f, nil }
		over := make(chan struct{})
		go func() {
			defer close(over)
			_, _ = s.Serve(t.Context(), halfDuplex{toServer, fromServer})
		}()
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}`,
			`{"jsonrpc":"2.0","id":2,"method":"workspace/executeCommand","params":{"command":"juliahub.logs"}}`,
		} {
			if _, err := fmt.Fprintf(fromEditor, "Content-Length: %d\r\n\r\n%s", len(body), body); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := fromEditor.Close(); err != nil {
			t.Fatal(err)
		}
		<-over
		// The answers that nobody reads cost a second more.
		if took := time.Since(began); took < closeTimeout || took > closeTimeout+1500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// A client may send all it has to say, close its end and then read.
func TestAnswersAfterTheEndOfInput(t *testing.T) {
	toServer, fromEditor := io.Pipe()
	toEditor, fromServer := io.Pipe()
	s := newServer(Config{})
	s.table = fakeTable()
	eof := make(chan struct{})
	f := &fakeSession{do: func(context.Context, commands.Command, commands.Input) (any, error) {
		<-eof
		return 1, nil
	}}
	s.newSession = func(commands.UI) (session, error) { return f, nil }
	status := make(chan int, 1)
	go func() {
		code, _ := s.Serve(t.Context(), halfDuplex{toServer, fromServer})
		status <- code
	}()
	e := lsptest.Connect(t, halfDuplex{toEditor, fromEditor}, lsptest.Options{})
	e.Initialize()
	p := e.StartExecute("juliahub.logs", nil)
	if err := fromEditor.Close(); err != nil {
		t.Fatal(err)
	}
	close(eof)
	if err := p.Wait(nil); err != nil {
		t.Error(err)
	}
	if got := <-status; got != 1 {
		t.Errorf("exit status %d", got)
	}
}

// It may also wait for its progress to end.
func TestProgressEndsAfterTheEndOfInput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		toServer, fromEditor := io.Pipe()
		toEditor, fromServer := io.Pipe()
		s := newServer(Config{})
		ui := make(chan commands.UI, 1)
		s.newSession = func(u commands.UI) (session, error) {
			ui <- u
			return &fakeSession{}, nil
		}
		go func() { _, _ = s.Serve(t.Context(), halfDuplex{toServer, fromServer}) }()
		e := lsptest.Open(t, halfDuplex{toEditor, fromEditor}, lsptest.Options{})
		(<-ui).Begin(t.Context(), commands.Work{Title: "jr-abc"})
		e.Await(lsptest.WorkBegun("jr-abc"))
		if err := fromEditor.Close(); err != nil {
			t.Fatal(err)
		}
		<-e.Done()
		if s := e.State(); !s.FindWork("jr-abc").Ended {
			t.Error(s.String())
		}
	})
}

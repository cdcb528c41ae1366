package lsp

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"go.lsp.dev/jsonrpc2"
)

// Whatever comes, it is a message or it is refused; nothing panics.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"x"}`, `{"jsonrpc":"2.0","id":"a","result":null}`, `[]`, `{}`, `null`, `{"id":{}}`,
		`{"jsonrpc":"2.0","method":"exit","id":null}`, `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, "\xff", `{"method":"\ud800"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		msg, refused := decodeBody([]byte(body))
		if (msg == nil) == (refused == nil) {
			t.Fatalf("%q: %v, %v", body, msg, refused)
		}
		if refused != nil && refused.err.Code != jsonrpc2.ParseError && refused.err.Code != jsonrpc2.InvalidRequest {
			t.Fatalf("%q: %v", body, refused.err)
		}
		if call, ok := msg.(*jsonrpc2.Call); ok && !call.ID().IsValid() {
			t.Fatalf("%q: a request without an id", body)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add("Content-Length: 2\r\n\r\n{}")
	f.Add("content-length:0\n\n")
	f.Fuzz(func(t *testing.T, raw string) {
		in := bufio.NewReader(strings.NewReader(raw))
		for {
			body, err := readFrame(in)
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errHeader) {
					t.Fatalf("%q: %v", raw, err)
				}
				return
			}
			if len(body) > len(raw) {
				t.Fatalf("%q: a body of %d bytes", raw, len(body))
			}
		}
	})
}

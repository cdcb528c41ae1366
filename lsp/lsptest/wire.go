package lsptest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/textproto"
	"strconv"
	"time"
)

// This file is the editor's end of the wire, written from the protocol's text
// and sharing no code with the server: what both get wrong in the same way
// would otherwise pass.

// message is any JSON-RPC message.
type message struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`

	arrived time.Time
}

// Error is an error response.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Code, e.Message) }

// readMessage reads one framed message.
func readMessage(in *bufio.Reader) (message, []byte, error) {
	header, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil {
		if len(header) == 0 && errors.Is(err, io.EOF) {
			return message{}, nil, io.EOF
		}
		return message{}, nil, fmt.Errorf("header: %w", err)
	}
	n, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		return message{}, nil, fmt.Errorf("header: %w", err)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return message{}, nil, fmt.Errorf("body: %w", err)
	}
	var m message
	arrived := time.Now()
	if err := json.Unmarshal(body, &m); err != nil {
		return message{}, body, fmt.Errorf("body %q: %w", body, err)
	}
	if m.Version != "2.0" {
		return message{}, body, fmt.Errorf("body %q: not JSON-RPC 2.0", body)
	}
	m.arrived = arrived
	return m, body, nil
}

// frame frames a body.
func frame(body []byte) []byte {
	return append([]byte(fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))), body...)
}

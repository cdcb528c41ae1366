package lsp

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// This file holds the shapes of what comes in. They are our own, not the
// library's: those rewrite URIs while decoding, so that an editor would get
// diagnostics for a document by another name than it gave, and refuse a whole
// message for a member that nobody reads. What goes out uses the library's.

type documentID struct {
	URI string `json:"uri"`
}

type didOpenParams struct {
	TextDocument struct {
		URI        string  `json:"uri"`
		LanguageID string  `json:"languageId"`
		Version    int64   `json:"version"`
		Text       *string `json:"text"`
	} `json:"textDocument"`
}

type didChangeParams struct {
	TextDocument struct {
		URI     string `json:"uri"`
		Version *int64 `json:"version"`
	} `json:"textDocument"`
	ContentChanges []contentChange `json:"contentChanges"`
}

// contentChange replaces a span, or without one the whole text.
type contentChange struct {
	Range *span   `json:"range"`
	Text  *string `json:"text"`
}

type didSaveParams struct {
	TextDocument documentID `json:"textDocument"`
	Text         *string    `json:"text"`
}

type didCloseParams struct {
	TextDocument documentID `json:"textDocument"`
}

type didChangeFoldersParams struct {
	Event struct {
		Added   []workspaceFolder `json:"added"`
		Removed []workspaceFolder `json:"removed"`
	} `json:"event"`
}

type workspaceFolder struct {
	URI  string `json:"uri"`
	Name string `json:"name"`
}

type didChangeConfigurationParams struct {
	Settings jsontext.Value `json:"settings"`
}

type didChangeWatchedFilesParams struct {
	Changes []struct {
		URI  string `json:"uri"`
		Type int    `json:"type"`
	} `json:"changes"`
}

type progressCancelParams struct {
	Token jsontext.Value `json:"token"`
}

type cancelParams struct {
	ID jsontext.Value `json:"id"`
}

type executeCommandParams struct {
	Command       string           `json:"command"`
	Arguments     []jsontext.Value `json:"arguments"`
	WorkDoneToken jsontext.Value   `json:"workDoneToken"`
}

type codeActionParams struct {
	TextDocument documentID `json:"textDocument"`
	Range        *span      `json:"range"`
	Context      *struct {
		Diagnostics []jsontext.Value `json:"diagnostics"`
		Only        []string         `json:"only"`
		TriggerKind int              `json:"triggerKind"`
	} `json:"context"`
}

type codeLensParams struct {
	TextDocument documentID `json:"textDocument"`
}

// positionParams are those of hover and completion.
type positionParams struct {
	TextDocument documentID `json:"textDocument"`
	Position     *position  `json:"position"`
}

func (p *positionParams) check() error {
	if p.Position == nil {
		return errors.New("position is missing")
	}
	return p.TextDocument.check()
}

// checked is what parameters may say of themselves beyond their types.
type checked interface{ check() error }

func (p *didOpenParams) check() error {
	if p.TextDocument.Text == nil {
		return errors.New("textDocument.text is missing")
	}
	return p.id().check()
}
func (p *didOpenParams) id() *documentID { return &documentID{p.TextDocument.URI} }

func (p *didChangeParams) check() error {
	for i, c := range p.ContentChanges {
		if c.Text == nil {
			return fmt.Errorf("contentChanges[%d].text is missing", i)
		}
	}
	return (&documentID{p.TextDocument.URI}).check()
}

func (d *documentID) check() error {
	if d.URI == "" {
		return errors.New("textDocument.uri is missing")
	}
	return nil
}

func (p *didSaveParams) check() error  { return p.TextDocument.check() }
func (p *didCloseParams) check() error { return p.TextDocument.check() }
func (p *codeLensParams) check() error { return p.TextDocument.check() }

func (p *codeActionParams) check() error {
	if p.Range == nil || p.Context == nil {
		return errors.New("range and context have to be given")
	}
	return p.TextDocument.check()
}

func (p *executeCommandParams) check() error {
	if p.Command == "" {
		return errors.New("command is missing")
	}
	return nil
}

// decodeParams decodes a message's parameters. Members that we do not know are
// the protocol's business; missing parameters are an error.
func decodeParams(raw []byte, into any) error {
	if jsontext.Value(raw).Kind() != '{' {
		return errors.New("parameters have to be given as an object")
	}
	if err := json.Unmarshal(raw, into, lenient); err != nil {
		return plainJSONError(err)
	}
	if c, ok := into.(checked); ok {
		return c.check()
	}
	return nil
}

// plainJSONError says what is wrong without Go's names for types.
func plainJSONError(err error) error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		if errors.Is(err, json.ErrUnknownName) {
			return fmt.Errorf("unknown member %s", semantic.JSONPointer)
		}
		return fmt.Errorf("%s: %s is not what is expected here", orTop(semantic.JSONPointer), kindName(semantic.JSONKind))
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%s: %w", orTop(syntax.JSONPointer), syntax.Err)
	}
	return err
}

func orTop(p jsontext.Pointer) string {
	if p == "" {
		return "the value"
	}
	return string(p)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a value"
}

package lsp

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"go.lsp.dev/jsonrpc2"

	"juliahub-lsp/commands"
	"juliahub-lsp/commands/settings"
)

// executeCommand runs a row of the commands' table. The answer is that
// command's own; nothing here waits for a network.
func (s *Server) executeCommand(ctx context.Context, w *world, p *executeCommandParams) (any, error) {
	command, ok := s.command(p.Command)
	if !ok {
		return nil, invalidArgument("%q is not a command of this server%s", clip(p.Command, 100), s.likelyCommand(p.Command))
	}
	args := command.Args()
	if err := decodeArguments(p, args); err != nil {
		return nil, err
	}
	in := commands.Input{Args: args, Show: !s.caps.juliahub}
	if err := s.fillInput(ctx, w, command.ID, &in); err != nil {
		return nil, err
	}
	s.startSession()
	ctx, done := s.lendToken(ctx, p.WorkDoneToken)
	result, err := s.session.run(ctx, command, in)
	done()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command.Title, err)
	}
	return payload(result)
}

// likelyCommand says which command was meant by one that there is not.
func (s *Server) likelyCommand(id string) string {
	ids := make([]string, 0, len(s.table))
	for _, c := range s.table {
		ids = append(ids, c.ID)
	}
	return didYouMean(settings.Nearest(id, ids))
}

func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near)
}

func (s *Server) command(id string) (commands.Command, bool) {
	for _, c := range s.table {
		if c.ID == id {
			return c, true
		}
	}
	return commands.Command{}, false
}

// decodeArguments decodes the one object that a command takes, strictly: a
// member that nobody knows is a spelling mistake, and may cost money.
func decodeArguments(p *executeCommandParams, into any) error {
	switch {
	case len(p.Arguments) == 0:
		return nil
	case len(p.Arguments) > 1:
		return invalidArgument("%s takes one argument, an object, not %d", p.Command, len(p.Arguments))
	}
	raw := p.Arguments[0]
	if raw.Kind() != '{' {
		return invalidArgument("%s takes an object as its argument, not %s", p.Command, kindName(raw.Kind()))
	}
	err := json.Unmarshal(raw, into, json.RejectUnknownMembers(true))
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok && errors.Is(err, json.ErrUnknownName) && semantic.JSONPointer.Parent() == "" {
		member, known := semantic.JSONPointer.LastToken(), membersOf(into)
		return invalidArgument("the argument of %s has no member %q%s: it takes %s", p.Command, clip(member, 60),
			didYouMean(settings.Nearest(member, known)), strings.Join(known, ", "))
	}
	if err != nil {
		return invalidArgument("the argument of %s: %w", p.Command, plainJSONError(err))
	}
	return nil
}

// membersOf are the members that an argument may have, in their order.
func membersOf(args any) (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeOf(args).Elem()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// fillInput adds the editor's state to a command's arguments.
func (s *Server) fillInput(ctx context.Context, w *world, command string, in *commands.Input) error {
	var (
		uri  string
		show *bool
	)
	switch a := in.Args.(type) {
	case *commands.SubmitArgs:
		uri, show = a.URI, a.Show
	case *commands.PreviewArgs:
		uri, show = a.URI, a.Show
	case *commands.ResolveArgs:
		uri, show = a.URI, a.Show
	case *commands.JobArgs:
		uri, show = a.URI, a.Show
	case *commands.ListArgs:
		uri, show = a.URI, a.Show
	}
	if show != nil {
		in.Show = *show
	}
	if err := w.inputs(ctx, in); err != nil {
		return err
	}
	if uri == "" {
		return nil
	}
	doc, err := w.documentArg(ctx, uri)
	if err != nil {
		return err
	}
	if command == commandPreviewBundle && isProjectPart(doc.Path) {
		in.Dir = s.projectDir(filepath.Dir(doc.Path))
		return nil
	}
	in.File = &doc
	a, submits := in.Args.(*commands.SubmitArgs)
	if preview, ok := in.Args.(*commands.PreviewArgs); ok {
		a, submits = &preview.SubmitArgs, true
	}
	if submits && !doc.Open && doc.Path == "" {
		return invalidArgument("the buffer %q is not open", clip(uri, 120))
	}
	if submits && a.Range != nil && s.encoding != utf16Units && doc.Open {
		r := rangeOf(doc.Text, spanOf(*a.Range), s.encoding)
		a.Range = &r
	}
	return nil
}

// commandPreviewBundle also takes the files that say what a project's bundle
// holds: what it previews is the project, then, without a script.
const commandPreviewBundle = "juliahub.previewBundle"

// isProjectPart says whether a file tells what a project's bundle holds.
func isProjectPart(path string) bool { return isAdvised(path) && !isJuliaName(path) }

func spanOf(r commands.Range) span {
	return span{
		Start: position{int64(r.Start.Line), int64(r.Start.Character)},
		End:   position{int64(r.End.Line), int64(r.End.Character)},
	}
}

// payload encodes what a command answers, by the rules with which its fields
// are tagged: those of encoding/json.
func payload(v any) (jsonrpc2.RawMessage, error) {
	var out bytes.Buffer
	enc := stdjson.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("the answer cannot be written: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

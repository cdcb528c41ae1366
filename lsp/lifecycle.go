package lsp

import (
	"context"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.lsp.dev/jsonrpc2"
	"go.lsp.dev/protocol"
)

// The states of a connection, in their order.
const (
	stateNew  int32 = iota // nothing but initialize is answered
	stateUp                // initialize has been answered
	stateDown              // shutdown has been answered: only exit is awaited
)

// experimentalKey is the member of "experimental" with which a plugin and the
// server tell each other of the juliahub/… messages.
const experimentalKey = "juliahub"

// initializeParams is what we read of initialize.
type initializeParams struct {
	ProcessID  *int64 `json:"processId"`
	ClientInfo struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"clientInfo"`
	RootPath              *string           `json:"rootPath"`
	RootURI               *string           `json:"rootUri"`
	WorkspaceFolders      []workspaceFolder `json:"workspaceFolders"`
	InitializationOptions jsontext.Value    `json:"initializationOptions"`
	Capabilities          jsontext.Value    `json:"capabilities"`
}

// folders returns the workspace folders, or what older clients have instead.
func (p *initializeParams) folders() []folder {
	var folders []folder
	for _, f := range p.WorkspaceFolders {
		if f.URI != "" {
			folders = append(folders, newFolder(f.URI))
		}
	}
	switch {
	case folders != nil:
	case p.RootURI != nil && *p.RootURI != "":
		folders = append(folders, newFolder(*p.RootURI))
	case p.RootPath != nil && *p.RootPath != "":
		folders = append(folders, newFolder(uriOf(*p.RootPath)))
	}
	return folders
}

// clientCaps are the capabilities of the client that change what we do.
type clientCaps struct {
	client           string // its name, as clientInfo says it
	progress         bool   // window.workDoneProgress
	showDocument     bool   // window.showDocument
	configuration    bool   // workspace.configuration
	registerConfig   bool   // workspace.didChangeConfiguration can be registered
	registerWatchers bool   // workspace.didChangeWatchedFiles can be registered
	lensRefresh      bool   // workspace.codeLens.refreshSupport
	actionLiterals   bool   // code actions may be more than commands
	actionDisabled   bool   // and be shown disabled, with a reason
	related          bool   // diagnostics may carry related information
	diagnosticData   bool
	versions         bool // diagnostics may carry a document's version
	createFiles      bool // edits may create files
	plainHover       bool // hovers may be marked as plain text
	juliahub         bool // a plugin that knows the juliahub/… messages
}

// decodeCaps reads capabilities by their paths: one that a client writes in an
// unexpected way is one that it does not have, and costs it no other.
func decodeCaps(raw jsontext.Value) (clientCaps, encoding) {
	var all any
	_ = json.Unmarshal(raw, &all, lenient)
	has := func(path ...string) bool { b, _ := lookup(all, path...).(bool); return b }
	caps := clientCaps{
		progress:         has("window", "workDoneProgress"),
		showDocument:     has("window", "showDocument", "support"),
		configuration:    has("workspace", "configuration"),
		registerConfig:   has("workspace", "didChangeConfiguration", "dynamicRegistration"),
		registerWatchers: has("workspace", "didChangeWatchedFiles", "dynamicRegistration"),
		lensRefresh:      has("workspace", "codeLens", "refreshSupport"),
		actionLiterals:   lookup(all, "textDocument", "codeAction", "codeActionLiteralSupport") != nil,
		actionDisabled:   has("textDocument", "codeAction", "disabledSupport"),
		related:          has("textDocument", "publishDiagnostics", "relatedInformation"),
		diagnosticData:   has("textDocument", "publishDiagnostics", "dataSupport"),
		versions:         has("textDocument", "publishDiagnostics", "versionSupport"),
	}
	operations, _ := lookup(all, "workspace", "workspaceEdit", "resourceOperations").([]any)
	// Whoever announces operations on files takes them in documentChanges, which
	// the capability of that name says of versioned edits alone: ours have none.
	caps.createFiles = slices.Contains(operations, any("create"))
	formats, _ := lookup(all, "textDocument", "hover", "contentFormat").([]any)
	caps.plainHover = slices.Contains(formats, any(string(protocol.MarkupKindPlainText)))
	switch v := lookup(all, "experimental", experimentalKey).(type) {
	case bool:
		caps.juliahub = v
	case map[string]any:
		caps.juliahub = true
	}
	// The list is in the client's order of preference; UTF-16 every client knows.
	list, _ := lookup(all, "general", "positionEncodings").([]any)
	for _, e := range list {
		switch e {
		case string(protocol.PositionEncodingKindUTF8):
			return caps, utf8Bytes
		case string(protocol.PositionEncodingKindUTF16):
			return caps, utf16Units
		}
	}
	return caps, utf16Units
}

// initialize answers the first request. It is memory only: a few milliseconds
// after its start the process has to be at the editor's service.
func (s *Server) initialize(raw []byte) (any, error) {
	p := new(initializeParams)
	if err := decodeParams(raw, p); err != nil {
		return nil, &argumentError{err}
	}
	if k := p.Capabilities.Kind(); p.Capabilities != nil && k != '{' {
		return nil, invalidArgument("/capabilities: %s is not what is expected here", kindName(k))
	}
	s.caps, s.encoding = decodeCaps(p.Capabilities)
	s.caps.client = p.ClientInfo.Name
	s.initialSettings = ownSection(p.InitializationOptions)
	made, err := s.newSession(&ui{s})
	if err != nil {
		s.log.Error("no session", "error", err)
		return nil, jsonrpc2.Errorf(jsonrpc2.InternalError, "the server cannot start: %v", err)
	}
	s.session = made
	w := *s.world.Load()
	w.folders = p.folders()
	w.settings = knownSettings(s.initialSettings)
	s.setWorld(&w)
	s.state.Store(stateUp)
	s.inOrder(func() { s.session.FoldersChanged(w.paths()) })
	s.tellSettings(s.initialSettings)
	s.watchParent(p.ProcessID)
	s.log.Info("initialize", "client", clip(p.ClientInfo.Name, 60), "version", clip(p.ClientInfo.Version, 60), "folders", len(w.folders))
	return s.answerInitialize(), nil
}

func (s *Server) answerInitialize() *protocol.InitializeResult {
	encodingName := protocol.PositionEncodingKindUTF16
	if s.encoding == utf8Bytes {
		encodingName = protocol.PositionEncodingKindUTF8
	}
	ids := make([]string, 0, len(s.table))
	for _, c := range s.table {
		ids = append(ids, c.ID)
	}
	result := &protocol.InitializeResult{
		ServerInfo: protocol.ServerInfo{Name: "juliahub-lsp", Version: protocol.NewOptional(s.version)},
		Capabilities: protocol.ServerCapabilities{
			PositionEncoding: encodingName,
			TextDocumentSync: &protocol.TextDocumentSyncOptions{
				OpenClose: ptr(true),
				Change:    ptr(protocol.TextDocumentSyncKindIncremental),
				Save:      &protocol.SaveOptions{IncludeText: ptr(false)},
			},
			CodeActionProvider: s.codeActionProvider(),
			HoverProvider:      protocol.Boolean(true),
			CompletionProvider: &protocol.CompletionOptions{TriggerCharacters: []string{"/", `"`, "."}},
			CodeLensProvider:   &protocol.CodeLensOptions{ResolveProvider: ptr(false)},
			ExecuteCommandProvider: protocol.ExecuteCommandOptions{
				Commands:                ids,
				WorkDoneProgressOptions: protocol.WorkDoneProgressOptions{WorkDoneProgress: ptr(true)},
			},
			Workspace: &protocol.WorkspaceOptions{
				WorkspaceFolders: &protocol.WorkspaceFoldersServerCapabilities{
					Supported:           ptr(true),
					ChangeNotifications: protocol.Boolean(true),
				},
			},
			Experimental: protocol.LSPAny(`{"` + experimentalKey + `":{"jobs":"` + methodJobs + `","jobDidChange":"` + methodJobDidChange +
				`","status":"` + methodStatus + `","statusDidChange":"` + methodStatusDidChange + `"}}`),
		},
	}
	return result
}

// codeActionProvider says which kinds of actions there are, to a client that
// knows kinds.
func (s *Server) codeActionProvider() protocol.CodeActionProvider {
	if !s.caps.actionLiterals {
		return protocol.Boolean(true)
	}
	return &protocol.CodeActionOptions{CodeActionKinds: []protocol.CodeActionKind{kindJob, protocol.CodeActionKindQuickFix}}
}

// initialized is the client's leave to speak: what was parked goes out, and
// jobs of earlier sessions are picked up.
func (s *Server) initialized() {
	s.gate.open()
	if s.caps.configuration {
		s.pullSettings()
	}
	s.spawn(s.register)
	s.startSession()
	if s.caps.juliahub {
		s.statusOnce.Do(func() { s.inOrder(func() { s.session.FollowStatus(s.ctx, s.tellStatus) }) })
	}
}

// startSession begins tracking, once: at initialized, or at the first command
// of a client that never says so.
func (s *Server) startSession() {
	s.startOnce.Do(func() { s.inOrder(func() { s.session.Start(s.ctx) }) })
}

// shutdown is answered at once; uploads under way are cancelled meanwhile, and
// exit waits for that.
func (s *Server) shutdown() {
	s.state.Store(stateDown)
	s.closeSession(closeTimeout)
	s.tasks.end() // before the answer: some editors listen no longer than that
}

// exit ends Serve. Nothing is read after it.
func (s *Server) exit() {
	s.stream.stop()
	select {
	case <-s.exited: // the library has read one more message
	default:
		close(s.exited)
	}
}

// watchParent ends the server when the editor's process dies without closing
// our input, if that is a process that we can be sure of.
func (s *Server) watchParent(pid *int64) {
	if pid == nil || *pid <= 0 || *pid > 1<<31-1 {
		return
	}
	id := int(*pid)
	s.spawn(func() {
		if s.watch.until(s.ctx, id) {
			close(s.orphan)
		}
	})
}

// register asks the client to tell us of settings and files.
func (s *Server) register() {
	var registrations []protocol.Registration
	if s.caps.registerConfig {
		registrations = append(registrations, protocol.Registration{
			ID: "juliahub-settings", Method: protocol.MethodWorkspaceDidChangeConfiguration,
			RegisterOptions: protocol.LSPAny(`{"section":"` + section + `"}`),
		})
	}
	if s.caps.registerWatchers {
		registrations = append(registrations, watchers())
	}
	if len(registrations) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, callTimeout)
	defer cancel()
	if err := s.client.RegisterCapability(ctx, &protocol.RegistrationParams{Registrations: registrations}); err != nil {
		s.log.Warn("the editor registers nothing", "error", err)
	}
}

func ptr[T any](v T) *T { return &v }

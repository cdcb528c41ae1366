package lsp

import (
	"context"
	"strings"

	"go.lsp.dev/protocol"

	"juliahub-lsp/commands"
)

// kindJob is the kind of all actions that submit a job or act on one. It lies
// outside source.* and quickfix: what runs on saving must not spend money.
const kindJob protocol.CodeActionKind = "juliahub.job"

// triggerAutomatic is the trigger of requests that nobody made: a cursor moved.
const triggerAutomatic = 2

// jobAction is a row of the actions on the newest job of a file.
type jobAction struct {
	title, command string
	kind           protocol.CodeActionKind
	// reason says why the action cannot be had now; "" = it can.
	reason func(commands.Job) string
}

// jobActions are offered in this order, as far as the table has the commands.
var jobActions = []jobAction{
	{"Download results", "juliahub.downloadResults", kindJob + ".results", func(j commands.Job) string {
		switch {
		case j.ID == "":
			return "the job has not been submitted"
		case isLive(j.State):
			return "the job has not ended yet"
		}
		return ""
	}},
	{"Show job", "juliahub.job", kindJob + ".show", func(commands.Job) string { return "" }},
	{"Show logs", "juliahub.logs", kindJob + ".logs", needsID},
	{"Cancel job", "juliahub.cancelJob", kindJob + ".cancel", needsLife},
	{"Stop watching job", "juliahub.stopWatching", kindJob + ".unwatch", func(j commands.Job) string {
		if !j.Watched {
			return "the job is not watched"
		}
		return needsLife(j)
	}},
	{"Extend job by 1 hour", "juliahub.extendJob", kindJob + ".extend", func(j commands.Job) string {
		if j.State != commands.StateRunning {
			return "the job is not running"
		}
		if j.LimitHours == 0 {
			return "the job has no time limit"
		}
		return ""
	}},
	{"Open job in browser", "juliahub.openJob", kindJob + ".open", needsID},
	{"Run job again", "juliahub.rerun", kindJob + ".rerun", needsEnd},
	{"Dismiss job", "juliahub.dismissJob", kindJob + ".dismiss", needsEnd},
}

func needsID(j commands.Job) string {
	if j.ID == "" {
		return "the job's id is not known"
	}
	return ""
}

func needsLife(j commands.Job) string {
	if !isLive(j.State) {
		return "the job has ended"
	}
	return ""
}

func needsEnd(j commands.Job) string {
	if isLive(j.State) {
		return "the job has not ended yet"
	}
	return ""
}

// isLive says whether a submission is under way, or its job not ended.
func isLive(state commands.State) bool {
	switch state {
	case commands.StateCompleted, commands.StateFailed, commands.StateStopped, commands.StateRefused, commands.StateCancelled:
		return false
	}
	return true
}

// codeAction offers what mends the advice on a file, and what can be done with a
// Julia file, from cached state alone.
func (s *Server) codeAction(_ context.Context, w *world, p *codeActionParams) (any, error) {
	offer := offered{s: s, only: p.Context.Only, actions: []protocol.CommandOrCodeAction{}}
	s.addQuickFixes(&offer, w, p)
	target := map[string]any{"uri": p.TextDocument.URI}
	switch path, err := pathOf(p.TextDocument.URI); {
	case p.Context.TriggerKind == triggerAutomatic:
		return offer.actions, nil
	case err == nil && isProjectPart(path):
		offer.add("Preview bundle", commandPreviewBundle, kindJob+".preview.bundle", target, "")
		s.addSubmitFixes(&offer, w, p)
		return offer.actions, nil
	case !w.isJulia(p.TextDocument.URI):
		return offer.actions, nil
	}
	offer.add("Submit as script", commandScript, kindJob+".submit.script", target, "")
	if !p.Range.empty() {
		offer.add("Submit selection as script", commandScript, kindJob+".submit.selection",
			map[string]any{"uri": p.TextDocument.URI, "range": p.Range}, "")
	}
	noProject := ""
	if isUntitled(p.TextDocument.URI) {
		noProject = "the buffer has no file, so no project"
	}
	offer.add("Submit project as appbundle", commandBundle, kindJob+".submit.appbundle", target, noProject)
	s.addProfileActions(&offer, p)
	s.addSubmitFixes(&offer, w, p)
	offer.add("Preview job", "juliahub.previewJob", kindJob+".preview.job", target, "")
	offer.add("Preview bundle", commandPreviewBundle, kindJob+".preview.bundle", target, noProject)
	s.addJobActions(&offer, p.TextDocument.URI)
	return offer.actions, nil
}

// addProfileActions offers to submit with each profile of the project.
func (s *Server) addProfileActions(offer *offered, p *codeActionParams) {
	uri := p.TextDocument.URI
	path, err := pathOf(uri)
	if err != nil {
		return
	}
	for _, name := range s.advice.profilesOf(path) {
		args := map[string]any{"uri": uri, "profile": name}
		offer.add("Submit as script, profile "+plain(name), commandScript, kindJob+".submit.script", args, "")
		if !p.Range.empty() {
			offer.add("Submit selection as script, profile "+plain(name), commandScript, kindJob+".submit.selection",
				map[string]any{"uri": uri, "profile": name, "range": p.Range}, "")
		}
		offer.add("Submit project as appbundle, profile "+plain(name), commandBundle, kindJob+".submit.appbundle", args, "")
	}
}

// addJobActions offers what can be done with the newest job of a file.
func (s *Server) addJobActions(offer *offered, uri string) {
	job, ok := s.newestJob(uri)
	for _, a := range jobActions {
		args, reason := map[string]any{"uri": uri}, "this file has not been submitted yet"
		if ok {
			args, reason = map[string]any{"submission": job.Submission}, a.reason(job)
		}
		offer.add(a.title, a.command, a.kind, args, reason)
	}
}

// newestJob returns the newest submission of a document, unless the person is
// done with it.
func (s *Server) newestJob(uri string) (commands.Job, bool) {
	file := uri
	if path, err := pathOf(uri); err == nil {
		file = path
	}
	job, ok := s.session.Newest(file)
	return job, ok && !job.Dismissed
}

// isJulia says whether a URI names a Julia program that can be submitted.
func (w *world) isJulia(uri string) bool {
	if d := w.document(uri); d != nil {
		return d.isJulia()
	}
	_, err := pathOf(uri)
	return err == nil && isJuliaName(uri)
}

// offered collects actions as the client can take them.
type offered struct {
	s       *Server
	only    []string
	actions []protocol.CommandOrCodeAction
}

// add offers a command. One that cannot be had now is shown with the reason, or
// left out where the client has no place for that.
func (o *offered) add(title, command string, kind protocol.CodeActionKind, args map[string]any, reason string) {
	o.addFor(nil, title, command, kind, args, reason)
}

// addFor is add for an action that mends diagnostics.
func (o *offered) addFor(mends []protocol.Diagnostic, title, command string, kind protocol.CodeActionKind, args map[string]any, reason string) {
	if _, ok := o.s.command(command); !ok || !o.wants(kind) {
		return
	}
	if reason != "" && !(o.s.caps.actionLiterals && o.s.caps.actionDisabled) {
		return
	}
	run := commandOf(title, command, args)
	if !o.s.caps.actionLiterals {
		o.actions = append(o.actions, &run)
		return
	}
	action := &protocol.CodeAction{Title: title, Kind: &kind, Diagnostics: mends}
	if reason != "" {
		action.Disabled = protocol.CodeActionDisabled{Reason: reason}
	} else {
		action.Command = run
	}
	o.actions = append(o.actions, action)
}

// wants says whether the client asked for a kind: itself, or one that it is
// part of. Without a list it asked for all.
func (o *offered) wants(kind protocol.CodeActionKind) bool {
	if len(o.only) == 0 {
		return true
	}
	for _, want := range o.only {
		if want == "" || string(kind) == want || strings.HasPrefix(string(kind), want+".") {
			return true
		}
	}
	return false
}

// commandOf makes a command with its one argument.
func commandOf(title, command string, args map[string]any) protocol.Command {
	raw, err := payload(args)
	if err != nil {
		raw = []byte("{}") // strings and numbers: cannot fail
	}
	return protocol.Command{Title: title, Command: command, Arguments: []protocol.LSPAny{protocol.LSPAny(raw)}}
}

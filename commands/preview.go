package commands

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/stacktrace"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

// PreviewBundle plans an appbundle without building anything: what goes in,
// what stays out and why. Without a file it plans the directory alone.
func (s *Session) PreviewBundle(ctx context.Context, in Input) (*bundle.Plan, error) {
	q, err := s.bundleRequest(ctx, in)
	if err != nil {
		return nil, err
	}
	return s.planOf(ctx, q)
}

// planOf plans the bundle of a request; nothing is asked or sent.
func (s *Session) planOf(ctx context.Context, q *request) (*bundle.Plan, error) {
	o, err := s.bundleOptions(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	return bundle.NewPlan(ctx, o)
}

// bundleRequest is the request of a bundle that need not have a script.
func (s *Session) bundleRequest(ctx context.Context, in Input) (*request, error) {
	if in.File == nil && in.Dir != "" {
		q := &request{kind: track.KindAppBundle, in: in}
		if args, ok := in.Args.(*SubmitArgs); ok {
			q.args = *args
		}
		return q, s.resolve(ctx, q)
	}
	return s.request(ctx, track.KindAppBundle, in)
}

// BundlePreview is the answer of juliahub.previewBundle: the plan, when it was
// made in time.
type BundlePreview struct {
	State string `json:"state"` // done, or pending: the plan is shown when it is made
	*bundle.Plan
}

func (s *Session) previewBundle(ctx context.Context, in Input) (BundlePreview, error) {
	return soon(ctx, s, in, BundlePreview{State: "pending"},
		func(ctx context.Context) (BundlePreview, error) {
			plan, err := s.PreviewBundle(ctx, in)
			return BundlePreview{State: "done", Plan: plan}, err
		},
		func(p BundlePreview) { s.cfg.UI.ShowText(s.ctx, "bundle.txt", planText(p.Plan)) })
}

// planText renders a plan for people.
func planText(p *bundle.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Appbundle of %s: %d files, %s\n", p.Root, len(p.Files), megabytes(p.Bytes))
	section := func(title string, n int) {
		if n > 0 {
			fmt.Fprintf(&b, "\n%s\n", title)
		}
	}
	section("Warnings", len(p.Warnings))
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "  %s\n", track.Plain(w.Message))
	}
	section("Packages that travel along", len(p.Packages))
	for _, pkg := range p.Packages {
		fmt.Fprintf(&b, "  %s from %s: %s\n", pkg.Name, pkg.From, pkg.Why)
	}
	section("Goes in", len(p.Files))
	for _, f := range p.Files {
		fmt.Fprintf(&b, "  %10s  %s\n", megabytes(f.Bytes), f.Path)
	}
	section("Stays out", len(p.Excluded))
	for _, e := range p.Excluded {
		why := e.Reason
		if e.Rule != nil {
			why = fmt.Sprintf("%s:%d  %s", e.Rule.File, e.Rule.Line, e.Rule.Pattern)
		}
		fmt.Fprintf(&b, "  %s  (%s)\n", e.Path, why)
	}
	return b.String()
}

// JobPreview is what would be sent.
type JobPreview struct {
	State        string            `json:"state"` // done, or pending: it is shown when it is made
	Kind         string            `json:"kind,omitempty"`
	Server       string            `json:"server,omitempty"`
	File         string            `json:"file,omitempty"`
	Code         string            `json:"code,omitempty"`
	Profile      string            `json:"profile,omitempty"`
	Alias        string            `json:"alias,omitempty"`
	Environment  string            `json:"environment,omitempty"` // directory of the project, "" = none
	Project      string            `json:"projectFile,omitempty"`
	Manifest     string            `json:"manifestFile,omitempty"`
	Ignored      []string          `json:"ignoredManifests,omitempty"`
	Node         string            `json:"node,omitempty"`
	Nodes        int               `json:"nodes,omitempty"`
	PricePerHour float64           `json:"pricePerHour,omitempty"` // of all nodes
	LimitHours   int               `json:"limitHours,omitempty"`   // 0 = unlimited
	MostCost     float64           `json:"mostCost,omitempty"`     // 0 = no limit
	Env          map[string]string `json:"env,omitempty"`
	Unsaved      []string          `json:"unsaved,omitempty"`
	Bundle       *BundleSummary    `json:"bundle,omitempty"`  // of an appbundle
	Lacks        []string          `json:"lacks,omitempty"`   // what a script job will not have, in words
	Results      string            `json:"results,omitempty"` // directory of downloads
	Last         string            `json:"last,omitempty"`    // the file's last submission, a UUID
	Changes      []string          `json:"changes,omitempty"` // since that
}

// PreviewJob says what a submission of the file would send, and sends nothing.
func (s *Session) PreviewJob(ctx context.Context, in Input) (JobPreview, error) {
	kind, err := s.previewKind(&in)
	if err != nil {
		return JobPreview{}, err
	}
	q, err := s.request(ctx, kind, in)
	if err != nil {
		return JobPreview{}, err
	}
	return soon(ctx, s, in, JobPreview{State: "pending"},
		func(ctx context.Context) (JobPreview, error) { return s.preview(ctx, q) },
		func(p JobPreview) { s.cfg.UI.ShowText(s.ctx, "preview.txt", p.text()) })
}

// previewKind says which kind of job is to be previewed, and leaves the
// arguments of its submission.
func (s *Session) previewKind(in *Input) (string, error) {
	kind := ""
	if args, ok := in.Args.(*PreviewArgs); ok {
		kind, in.Args = args.Kind, &args.SubmitArgs
	}
	switch kind {
	case track.KindScript, track.KindAppBundle:
		return kind, nil
	case "":
	default:
		return "", argumentError("the kind %q is not one: script or appbundle", kind)
	}
	doc, err := s.target(*in)
	if err != nil {
		return "", err
	}
	if r, ok := s.lastSent(cmpDir(doc.Path, doc.URI)); ok && doc.Path != "" {
		return r.Kind, nil
	}
	return track.KindScript, nil
}

// lastSent is the newest submission of a file that was really sent.
func (s *Session) lastSent(key string) (track.Record, bool) {
	return s.ledger.Newest(func(r *track.Record) bool { return r.Sent != nil && cmpDir(r.File, r.URI) == key })
}

// BundleSummary is what an appbundle would hold, in short.
type BundleSummary struct {
	Root     string   `json:"root"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"`
	Excluded int      `json:"excluded"`           // files and directories that stay out
	Packages []string `json:"packages,omitempty"` // those that travel along
	Warnings []string `json:"warnings,omitempty"`
}

func summaryOf(plan *bundle.Plan) *BundleSummary {
	b := &BundleSummary{Root: plan.Root, Files: len(plan.Files), Bytes: plan.Bytes, Excluded: len(plan.Excluded)}
	for _, pkg := range plan.Packages {
		b.Packages = append(b.Packages, pkg.Name)
	}
	for _, w := range plan.Warnings {
		b.Warnings = append(b.Warnings, w.Message)
	}
	return b
}

func (s *Session) preview(ctx context.Context, q *request) (JobPreview, error) {
	env, err := s.environmentOf(q)
	if err != nil {
		return JobPreview{}, err
	}
	profile := q.settings.Profile
	r := s.record(q, "")
	p := JobPreview{
		State: "done", Kind: q.kind, Server: q.server, File: q.file, Code: q.text, Profile: q.settings.ProfileName,
		Alias: s.alias(q), Environment: env.dir, Project: env.projectFile, Manifest: env.manifestFile, Ignored: env.ignored,
		Nodes: max(1, profile.NNodes), LimitHours: profile.LimitHours, Env: profile.Env, Unsaved: q.unsaved,
		Results: filepath.Join(r.ResultsIn, filepath.FromSlash(r.ResultsDir)),
	}
	manifest, sum := env.manifest, env.manifestSHA256()
	var plan *bundle.Plan
	if q.kind == track.KindAppBundle {
		if plan, err = s.planOf(ctx, q); err != nil {
			return JobPreview{}, err
		}
		p.Bundle, p.Code = summaryOf(plan), plan.Driver()
		manifest, sum = string(plan.ManifestText), plan.ManifestSHA256
	}
	last, sent := s.lastSent(q.key())
	if sent {
		p.Last, p.Changes = last.Submission, s.changesSince(&last, q, manifest, sum)
		if plan != nil {
			p.Changes = append(p.Changes, s.bundleChanges(&last, plan, unsavedTexts(q.in))...)
		}
	}
	p.Lacks = s.lacks(q)
	if q.settings.ServerFromFile { // nothing is asked of a server that nobody allowed yet
		return p, nil
	}
	client, err := s.client(q.server)
	if err != nil {
		return p, err
	}
	nodes, err := s.nodesOf(ctx, q.server, client)
	if err != nil {
		return p, err
	}
	node, err := jobapi.ChooseNode(nodes, nodeRequest(profile))
	if err != nil {
		return p, err
	}
	p.Node, p.PricePerHour = node.String(), node.PricePerHour*float64(p.Nodes)
	p.MostCost = p.PricePerHour * float64(p.LimitHours)
	if sent && last.Node != "" && last.Node != p.Node {
		p.Changes = append(p.Changes, fmt.Sprintf("node: %s → %s", last.Node, p.Node))
	}
	return p, nil
}

// changesSince says what a submission would send otherwise than the last one
// of the file did.
func (s *Session) changesSince(r *track.Record, q *request, manifest, sum string) (changes []string) {
	before, kept := s.sentFactsOf(r.Submission)
	now := factsSent(q, manifest)
	if kept {
		changes = before.changes(now)
	}
	same := maps.Equal(before.Packages, now.Packages) && before.Julia == now.Julia && before.WithoutManifest == now.WithoutManifest
	if old := r.Provenance["manifest_sha256"]; r.Kind == q.kind && old != sum && (same || !kept) {
		changes = append(changes, "the manifest: other text, the same packages")
	}
	if text, err := s.submittedText(r.Submission); err == nil {
		if added, removed := changedLines(text, q.whole); added+removed > 0 {
			changes = append(changes, fmt.Sprintf("the script: %d lines added, %d removed", added, removed))
		}
	}
	return changes
}

func shortHash(sum string) string {
	if sum == "" {
		return "none"
	}
	return sum[:min(8, len(sum))]
}

// changedLines counts the lines that are only in one of two texts.
func changedLines(old, now string) (added, removed int) {
	oldLines, newLines := stacktrace.HashLines(old), stacktrace.HashLines(now)
	kept := 0
	for _, line := range stacktrace.Follow(oldLines, newLines) {
		if line > 0 {
			kept++
		}
	}
	return len(newLines) - kept, len(oldLines) - kept
}

func (p JobPreview) text() string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, value)
		}
	}
	line("File", p.File)
	line("Kind", p.Kind)
	line("Server", p.Server)
	line("Profile", p.Profile)
	line("Name", p.Alias)
	line("Project", cmpDir(p.Project, "none"))
	line("Manifest", cmpDir(p.Manifest, "none: the job resolves the newest versions"))
	if p.Node != "" {
		line("Node", fmt.Sprintf("%d × %s, $%.2f an hour", p.Nodes, p.Node, p.PricePerHour))
	}
	if p.LimitHours > 0 {
		line("Limit", fmt.Sprintf("%d h, so at most $%.2f", p.LimitHours, p.MostCost))
	} else {
		line("Limit", "none")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		line("Variable", name+"="+p.Env[name])
	}
	if b := p.Bundle; b != nil {
		line("Bundle", fmt.Sprintf("%d files, %s of %s; %d stay out", b.Files, megabytes(b.Bytes), b.Root, b.Excluded))
		line("Packages", strings.Join(b.Packages, ", "))
		for _, warning := range b.Warnings {
			line("Warning", track.Plain(warning))
		}
	}
	line("Unsaved", strings.Join(p.Unsaved, ", "))
	line("Results", p.Results)
	if len(p.Lacks) > 0 {
		b.WriteString("\nWhat the job will not have\n\n")
		for _, lack := range p.Lacks {
			fmt.Fprintf(&b, "  %s\n", track.Plain(lack))
		}
	}
	if p.Last != "" {
		b.WriteString("\nSince the last submission\n\n")
		for _, change := range p.Changes {
			fmt.Fprintf(&b, "  %s\n", change)
		}
		if len(p.Changes) == 0 {
			b.WriteString("  nothing changed\n")
		}
	}
	fmt.Fprintf(&b, "\nCode\n\n%s\n", p.Code)
	return b.String()
}

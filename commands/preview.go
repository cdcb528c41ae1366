package commands

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"juliahub-lsp/bundle"
	"juliahub-lsp/commands/settings"
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
		func(p BundlePreview) { s.cfg.UI.ShowText(s.ctx, "bundle.txt", PlanText(p.Plan)) })
}

// Plan is what an appbundle holds.
type Plan = bundle.Plan

// PlanText renders a plan for people: the same in an editor and in a terminal.
func PlanText(p *Plan) string {
	var b strings.Builder
	files := "files"
	if len(p.Files) == 1 {
		files = "file"
	}
	fmt.Fprintf(&b, "Appbundle of %s: %d %s, %s\n", p.Root, len(p.Files), files, megabytes(p.Bytes))
	if p.Environment != "." {
		fmt.Fprintf(&b, "Its environment is %s\n", p.Environment)
	}
	section := func(title string, rows []string) {
		if len(rows) > 0 {
			fmt.Fprintf(&b, "\n%s\n  %s\n", title, strings.Join(rows, "\n  "))
		}
	}
	section("Warnings", rows(p.Warnings, func(w bundle.Warning) string { return w.Message }))
	section("Packages that travel along", rows(p.Packages, func(pkg bundle.Package) string {
		return fmt.Sprintf("%s  %s  from %s: %s", pkg.Name, pkg.To, pkg.From, pkg.Why)
	}))
	section("Rules", rows(p.Rules, ruleText))
	section("Goes in", rows(p.Files, func(f bundle.File) string {
		from := ""
		if f.From != "" {
			from = "  from " + f.From
		}
		return fmt.Sprintf("%10s  %s%s", megabytes(f.Bytes), f.Path, from)
	}))
	section("Stays out", rows(p.Excluded, func(e bundle.Exclusion) string {
		if e.Rule != nil {
			return fmt.Sprintf("%s  %s", e.Path, refText(*e.Rule))
		}
		return fmt.Sprintf("%s  %s", e.Path, e.Reason)
	}))
	return b.String()
}

// rows are the lines of a list, each on one line whatever a file is called.
func rows[T any](list []T, text func(T) string) []string {
	lines := make([]string, len(list))
	for i, item := range list {
		lines[i] = strings.ReplaceAll(track.Plain(text(item)), "\n", " ")
	}
	return lines
}

func refText(r bundle.RuleRef) string { return fmt.Sprintf("%s:%d  %s", r.File, r.Line, r.Pattern) }

// ruleText says what a rule decided.
func ruleText(r bundle.Rule) string {
	verb := "keeps out"
	if r.Negated {
		verb = "lets back in"
	}
	if !r.Decided {
		return refText(r.RuleRef) + "  decides nothing"
	}
	return fmt.Sprintf("%s  %s %d files, %s", refText(r.RuleRef), verb, r.MatchedFiles, megabytes(r.MatchedBytes))
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
	Running      string            `json:"activates,omitempty"` // of an appbundle: the environment in it, "." = its root
	Julia        string            `json:"julia,omitempty"`     // the job's, "" = not known
	Settings     []string          `json:"settings,omitempty"`  // what else the profile asks for, in words
	Problems     []string          `json:"problems,omitempty"`  // values of JuliaHub.toml that do not count
	Node         string            `json:"node,omitempty"`
	NodeUnknown  string            `json:"nodeUnknown,omitempty"` // why node and price are not known
	PriceUnknown bool              `json:"priceUnknown,omitempty"`
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
		Julia:   profile.Julia, Settings: settingsText(q.settings), Problems: q.problems,
	}
	manifest, sum := env.manifest, env.manifestSHA256()
	var plan *bundle.Plan
	if q.kind == track.KindAppBundle {
		if plan, err = s.planOf(ctx, q); err != nil {
			return JobPreview{}, err
		}
		p.Bundle, p.Code, p.Running = summaryOf(plan), plan.Driver(), plan.Environment
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
	if p.NodeUnknown = s.previewNode(ctx, q, &p); sent && last.Node != "" && p.Node != "" && last.Node != p.Node {
		p.Changes = append(p.Changes, fmt.Sprintf("node: %s → %s", last.Node, p.Node))
	}
	return p, nil
}

// previewNode finds out which node a job gets and what that costs. It says why
// that is not known: all else is worth a look without it, too.
func (s *Session) previewNode(ctx context.Context, q *request, p *JobPreview) (unknown string) {
	if !s.allowed(q) {
		return fmt.Sprintf("%s is a server that you have not allowed yet, so it was not asked", hostOf(q.server))
	}
	client, err := s.client(q.server)
	if err != nil {
		return err.Error()
	}
	nodes, err := s.nodesOf(ctx, q.server, client)
	if err != nil {
		if nodes = s.knownNodes(q.server).nodes; nodes == nil {
			return err.Error()
		}
	}
	node, err := jobapi.ChooseNode(nodes, nodeRequest(q.settings.Profile))
	if err != nil {
		return err.Error()
	}
	p.Node, p.PricePerHour, p.PriceUnknown = node.String(), node.PricePerHour*float64(p.Nodes), node.PriceUnknown
	p.MostCost = p.PricePerHour * float64(p.LimitHours)
	return ""
}

// settingsText says what a profile asks for beside node, limit, name and
// variables; nothing of what is as it is by default.
func settingsText(chosen settings.Settings) (all []string) {
	p := chosen.Profile
	say := func(asked bool, format string, args ...any) {
		if asked {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	say(p.Image != nil, "image %s", imageText(p.Image))
	say(p.Sysimage, "a system image is built first")
	say(p.MinNodes > 0, "starts with %d nodes", p.MinNodes)
	say(p.Elastic, "nodes join while it runs")
	say(p.ProcessPerNode, "one process a node")
	say(p.Expose != nil, "exposes port %s", exposeText(p.Expose))
	say(p.Project != "", "belongs to the project %s", p.Project)
	say(!chosen.Provenance, "is not told where it comes from")
	return all
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

// limit is how long the job may run, and what it costs at most.
func (p JobPreview) limit() string {
	switch {
	case p.LimitHours == 0:
		return "none"
	case p.Node == "" || p.PriceUnknown:
		return fmt.Sprintf("%d h", p.LimitHours)
	}
	return fmt.Sprintf("%d h, so at most $%.2f", p.LimitHours, p.MostCost)
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
	line("Julia", p.Julia)
	line("Activates", p.Running)
	if p.Node != "" {
		line("Node", fmt.Sprintf("%d × %s, %s", p.Nodes, p.Node, priceText(p.PricePerHour, p.PriceUnknown)))
	} else {
		line("Node", "not known: "+track.Plain(strings.TrimSuffix(p.NodeUnknown, ".")))
	}
	line("Limit", p.limit())
	for _, setting := range p.Settings {
		line("Setting", track.Plain(setting))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		value := track.Plain(p.Env[name])
		if settings.LooksSecret(name, value) {
			value = "(a secret)"
		}
		line("Variable", track.Plain(name)+"="+value)
	}
	for _, problem := range p.Problems {
		line("Wrong", track.Plain(problem))
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

package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/internal/atomicfile"
	"juliahub-lsp/jobapi"
)

// nodesFor is how long the server's nodes are remembered: prices and sizes
// change in months, and every submission asks.
const nodesFor = 5 * time.Minute

type nodeList struct {
	nodes []jobapi.Node
	at    time.Time // when the server told them
	// kept says whether the disk was looked at for what an earlier session knew.
	kept bool
}

// knownNodes are a server's nodes as far as they are known, also from an earlier
// session. The disk is read once.
func (s *Session) knownNodes(server string) nodeList {
	s.mu.Lock()
	known := s.nodes[server]
	s.mu.Unlock()
	if known.kept || known.nodes != nil {
		return known
	}
	before := s.readNodes(server)
	s.mu.Lock()
	defer s.mu.Unlock()
	if known = s.nodes[server]; known.nodes == nil {
		known = nodeList{nodes: before.Nodes, at: before.At, kept: true}
		s.nodes[server] = known
	}
	return known
}

// keptNodes is what is kept of a server's nodes over restarts.
type keptNodes struct {
	Server string        `json:"server"`
	At     time.Time     `json:"at"`
	Nodes  []jobapi.Node `json:"nodes"`
}

func (s *Session) nodesFile(server string) string {
	return filepath.Join(s.ledger.Dir(), "nodes", sha256Of([]byte(server))[:16]+".json")
}

// readNodes reads what an earlier session kept; zero if there is nothing that
// can be understood.
func (s *Session) readNodes(server string) (kept keptNodes) {
	data, err := os.ReadFile(s.nodesFile(server))
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil || kept.Server != server {
		return keptNodes{}
	}
	if kept.At.After(s.cfg.Now()) { // the clock was wrong, then or now
		kept.At = time.Time{}
	}
	return kept
}

// keepNodes keeps a server's nodes for later sessions: a comfort.
func (s *Session) keepNodes(server string, l nodeList) {
	data, err := json.Marshal(keptNodes{Server: server, At: l.at.UTC(), Nodes: l.nodes})
	if err == nil {
		err = atomicfile.Write(s.nodesFile(server), data, 0o600)
	}
	if err != nil {
		s.log.Warn("cannot keep the server's nodes", "error", err)
	}
}

// nodesOf returns the server's nodes, from memory if they are fresh.
func (s *Session) nodesOf(ctx context.Context, server string, client Client) ([]jobapi.Node, error) {
	s.mu.Lock()
	known := s.nodes[server]
	s.mu.Unlock()
	if known.nodes != nil && s.cfg.Now().Sub(known.at) < nodesFor {
		return known.nodes, nil
	}
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	known = nodeList{nodes: nodes, at: s.cfg.Now(), kept: true}
	s.mu.Lock()
	s.nodes[server] = known
	s.mu.Unlock()
	s.keepNodes(server, known)
	return nodes, nil
}

func nodeRequest(p settings.Profile) jobapi.NodeRequest {
	return jobapi.NodeRequest{NCPU: max(1, p.NCPU), MemoryGB: max(1, p.Memory), GPU: p.NGPU > 0}
}

// NodeRow is one kind of node that the server offers.
type NodeRow struct {
	Class        string  `json:"class"`
	Description  string  `json:"description"`
	NCPU         int     `json:"ncpu"`
	Memory       int     `json:"memory"` // GB
	GPU          bool    `json:"gpu"`
	PricePerHour float64 `json:"pricePerHour"` // US dollars
	PriceUnknown bool    `json:"priceUnknown,omitempty"`
}

func rowOf(n jobapi.Node) NodeRow {
	return NodeRow{n.Class, n.Description, n.VCores, n.MemoryGB, n.GPU, n.PricePerHour, n.PriceUnknown}
}

// Price is what an hour costs, for people.
func (n NodeRow) Price() string { return priceText(n.PricePerHour, n.PriceUnknown) }

func priceText(perHour float64, unknown bool) string {
	if unknown {
		return "price not known"
	}
	return fmt.Sprintf("$%.2f an hour", perHour)
}

// NodeList is the answer of juliahub.nodes.
type NodeList struct {
	Server string    `json:"server"`
	State  string    `json:"state"` // done or pending
	Nodes  []NodeRow `json:"nodes"`
}

// ListNodes lists what the server offers, with prices.
func (s *Session) ListNodes(ctx context.Context, in Input) (NodeList, error) {
	server, err := s.serverName(s.userSettings().Server)
	if err != nil {
		return NodeList{}, err
	}
	list := func(ctx context.Context) (NodeList, error) {
		l := NodeList{Server: server, State: "done", Nodes: []NodeRow{}}
		client, err := s.client(server)
		if err != nil {
			return l, err
		}
		nodes, err := s.nodesOf(ctx, server, client)
		for _, n := range nodes {
			l.Nodes = append(l.Nodes, rowOf(n))
		}
		return l, err
	}
	return soon(ctx, s, in, NodeList{Server: server, State: "pending", Nodes: []NodeRow{}}, list,
		func(l NodeList) { s.cfg.UI.ShowText(s.ctx, "nodes.txt", track.Plain(l.text())) })
}

func (l NodeList) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Nodes of %s\n\n%-12s %5s %8s %4s %10s\n", l.Server, "class", "vCPU", "memory", "GPU", "$/h")
	for _, n := range l.Nodes {
		gpu := ""
		if n.GPU {
			gpu = "yes"
		}
		price := fmt.Sprintf("%.2f", n.PricePerHour)
		if n.PriceUnknown {
			price = "?"
		}
		fmt.Fprintf(&b, "%-12s %5d %5d GB %4s %10s  %s\n", n.Class, n.NCPU, n.Memory, gpu, price, n.Description)
	}
	return b.String()
}

// ProfileList is the answer of juliahub.profiles.
type ProfileList struct {
	File     string   `json:"file,omitempty"` // JuliaHub.toml, "" = none
	Default  string   `json:"default,omitempty"`
	Profiles []string `json:"profiles"`
	Problems []string `json:"problems,omitempty"`
}

// ListProfiles lists the profiles of the JuliaHub.toml that counts for the file.
func (s *Session) ListProfiles(ctx context.Context, in Input) (ProfileList, error) {
	q := &request{in: in}
	if args, ok := in.Args.(*SubmitArgs); ok {
		q.args = *args
	}
	doc, err := s.target(in)
	switch {
	case err == nil:
		q.file, q.uri = doc.Path, doc.URI
	case in.Dir == "" && len(in.Folders) > 0:
		q.in.Dir = in.Folders[0]
	case in.Dir == "":
		return ProfileList{}, err
	}
	if err := s.resolve(ctx, q); err != nil {
		return ProfileList{}, err
	}
	l := ProfileList{File: q.hubFile, Default: q.settings.ProfileName, Profiles: q.settings.Profiles, Problems: q.problems}
	if l.Profiles == nil {
		l.Profiles = []string{}
	}
	if in.Show {
		s.cfg.UI.ShowText(s.ctx, "profiles.txt", l.text())
	}
	return l, nil
}

func (l ProfileList) text() string {
	if l.File == "" {
		return "There is no " + settings.HubFile + ", so there are no profiles.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Profiles of %s\n\n", l.File)
	for _, name := range l.Profiles {
		mark := ""
		if name == l.Default {
			mark = "  (default)"
		}
		fmt.Fprintf(&b, "%s%s\n", track.Plain(name), mark)
	}
	if len(l.Profiles) == 0 {
		b.WriteString("none\n")
	}
	return b.String()
}

// alias is the name of a job: the profile's template, else the file's name.
func (s *Session) alias(q *request) string {
	name := "untitled"
	if key := q.key(); key != "" {
		name = filepath.Base(key)
	}
	v := settings.AliasValues{File: name, Profile: q.settings.ProfileName, Time: s.cfg.Now()}
	if q.file != "" {
		dir := s.bundleDir(q)
		v.Project = filepath.Base(dir)
		if strings.Contains(q.settings.Profile.Alias, "{branch}") || strings.Contains(q.settings.Profile.Alias, "{commit}") {
			v.Branch, v.Commit = gitHead(dir)
		}
	}
	if alias := settings.ExpandAlias(q.settings.Profile.Alias, v); alias != "" {
		return alias
	}
	if q.lines[0] > 0 {
		return fmt.Sprintf("%s:%d-%d", name, q.lines[0], q.lines[1])
	}
	return name
}

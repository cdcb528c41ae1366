package commands

import (
	"context"
	"fmt"
	"strings"
	"time"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/jobapi"
)

// ProfileText says in a few sentences which node a profile of a JuliaHub.toml
// picks, its price, and the most that a job can cost: with what is known of the
// server's nodes. It never waits for the server, and asks it, in the background,
// only where a person has asked it for something before.
func (s *Session) ProfileText(path string, text []byte, profile string) string {
	chosen, known, server := s.profileNodes(path, text, profile)
	nodes := known.nodes
	p := chosen.Profile
	want := fmt.Sprintf("Wants %d vCPU and %d GB", max(1, p.NCPU), max(1, p.Memory))
	if p.NGPU > 0 {
		want += " with a GPU"
	}
	lines := []string{want + "."}
	if nodes == nil {
		return strings.Join(append(lines, "Its node and price are known once the server's nodes are: \"List nodes\" asks for them."), "\n")
	}
	node, err := jobapi.ChooseNode(nodes, nodeRequest(p))
	if err != nil {
		return strings.Join(append(lines, sentence(err.Error())), "\n")
	}
	count := max(1, p.NNodes)
	price := node.PricePerHour * float64(count)
	lines = append(lines, fmt.Sprintf("Node on %s: %s%s, %s.", hostOf(server), times(count), node, priceText(price, node.PriceUnknown)))
	if node.PriceUnknown {
		return strings.Join(append(lines, limitText(p.LimitHours)+"."), "\n")
	}
	if s.cfg.Now().Sub(known.at) > pricesOld {
		lines = append(lines, "That was the price on "+known.at.Local().Format("2 January 2006")+".")
	}
	if p.LimitHours == 0 {
		lines = append(lines, limitText(0)+": there is no most that a job can cost.")
	} else {
		lines = append(lines, fmt.Sprintf("%s: a job costs at most $%.2f.", limitText(p.LimitHours), price*float64(p.LimitHours)))
	}
	return strings.Join(lines, "\n")
}

func limitText(hours int) string {
	if hours == 0 {
		return "No time limit"
	}
	return fmt.Sprintf("Time limit %d h", hours)
}

// pricesOld is from when on it is said how old a price is.
const pricesOld = 24 * time.Hour

func times(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf("%d × ", n)
}

// KnownNodes are the nodes that a JuliaHub.toml's server offers, as far as they
// are known, and KnownImages its job images.
func (s *Session) KnownNodes(path string, text []byte) []NodeRow {
	_, known, _ := s.profileNodes(path, text, "")
	var rows []NodeRow
	for _, n := range known.nodes {
		rows = append(rows, rowOf(n))
	}
	return rows
}

// KnownImages are the job images of a JuliaHub.toml's server, as far as known.
// They are asked for as nodes are.
func (s *Session) KnownImages(path string, text []byte) []ImageRow {
	_, server, err := s.hubServer(path, text, "")
	if err != nil {
		return nil
	}
	s.mu.Lock()
	known := s.images[server]
	s.mu.Unlock()
	s.askUnasked(server, "images", known.images == nil || s.cfg.Now().Sub(known.at) >= nodesFor, func(ctx context.Context, client Client) error {
		_, err := s.imagesOf(ctx, server, client)
		return err
	})
	var rows []ImageRow
	for _, i := range known.images {
		rows = append(rows, ImageRow{i.Product, i.Name, i.Tag, i.CPUKey != "", i.GPUKey != "", i.Default, i.Interactive != ""})
	}
	return rows
}

// hubServer resolves a JuliaHub.toml under the editor's settings.
func (s *Session) hubServer(path string, text []byte, profile string) (settings.Settings, string, error) {
	s.mu.Lock()
	editor := s.editor
	s.mu.Unlock()
	chosen, _ := settings.Resolve(settings.Layers{Editor: editor, HubPath: path, HubText: text, Profile: profile})
	server, err := s.serverName(chosen.Server)
	return chosen, server, err
}

// profileNodes returns a profile and what is known of its server's nodes; nil =
// nothing. Nodes that are not known, or stale, are asked for in the background
// if the server has been spoken to.
func (s *Session) profileNodes(path string, text []byte, profile string) (settings.Settings, nodeList, string) {
	chosen, server, err := s.hubServer(path, text, profile)
	if err != nil {
		return chosen, nodeList{}, server
	}
	known := s.knownNodes(server)
	s.askUnasked(server, "nodes", known.nodes == nil || s.cfg.Now().Sub(known.at) >= nodesFor, func(ctx context.Context, client Client) error {
		_, err := s.nodesOf(ctx, server, client)
		return err
	})
	return chosen, known, server
}

// askUnasked asks a server for something that it offers where nobody waits for
// it: once at a time, and only a server that a person has asked for something.
func (s *Session) askUnasked(server, what string, stale bool, ask func(context.Context, Client) error) {
	key := what + " of " + server
	s.mu.Lock()
	client := s.clients[server]
	ready := stale && client != nil && !s.asking[key]
	if ready {
		s.asking[key] = true
	}
	s.mu.Unlock()
	if !ready {
		return
	}
	s.goDo(func() {
		ctx, cancel := context.WithTimeout(s.ctx, nodesFor)
		defer cancel()
		if err := ask(ctx, client); err != nil {
			s.log.Info("what the server offers is not known", "what", what, "error", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.asking, key)
	})
}

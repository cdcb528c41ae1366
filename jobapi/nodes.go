package jobapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
)

// Nodes returns the kinds of nodes that the server has, smallest first: by GPU,
// processors, memory and price.
//
// GET /app/config/nodespecs/info
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	r := c.get("list the nodes", nil, "app", "config", "nodespecs", "info")
	var answer struct {
		Specs []json.RawMessage `json:"node_specs"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		return nil, err
	}
	nodes := []Node{}
	for _, spec := range answer.Specs {
		node, ok := parseNode(spec)
		if !ok {
			c.log.WarnContext(ctx, "a node specification that cannot be understood is left out")
			continue
		}
		nodes = append(nodes, node)
	}
	if len(nodes) == 0 && len(answer.Specs) > 0 {
		return nil, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: errors.New("no node of it")}
	}
	slices.SortStableFunc(nodes, compareNodes)
	return nodes, nil
}

// parseNode reads one row: [class, hasGPU, vcores, memGB, pricePerHour,
// description, "", memDisplay, x, y, id].
func parseNode(spec json.RawMessage) (Node, bool) {
	var row []loose
	if json.Unmarshal(spec, &row) != nil || len(row) < 6 {
		return Node{}, false
	}
	cores, okCores := row[2].whole()
	memory, okMemory := row[3].whole()
	price, okPrice := row[4].number()
	if okPrice = okPrice && price >= 0 && !math.IsInf(price, 0) && !math.IsNaN(price); !okPrice {
		price = 0
	}
	if !okCores || !okMemory || row[0].text() == "" {
		return Node{}, false
	}
	node := Node{
		Class: row[0].text(), GPU: row[1].truth(), VCores: int(cores), MemoryGB: int(memory),
		PricePerHour: price, PriceUnknown: !okPrice, Description: row[5].text(),
	}
	if len(row) > 7 {
		node.MemDisplay = row[7].text()
	}
	if len(row) > 10 {
		id, _ := row[10].whole()
		node.ID = int(id)
	}
	return node, true
}

func compareNodes(a, b Node) int {
	return cmp.Or(compareBool(a.GPU, b.GPU), cmp.Compare(a.VCores, b.VCores), cmp.Compare(a.MemoryGB, b.MemoryGB), cmp.Compare(a.PricePerHour, b.PricePerHour))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// NoNodeError says that no node is large enough, and what there is.
type NoNodeError struct {
	Request NodeRequest
	Largest Node // the most that there is for the request; zero when there is nothing at all
}

func (e *NoNodeError) Error() string {
	wanted := fmt.Sprintf("no node has %d CPUs and %d GB of memory", e.Request.NCPU, e.Request.MemoryGB)
	if e.Request.GPU {
		wanted += " and a GPU"
	}
	switch {
	case e.Largest != Node{}:
		return wanted + ": the largest is " + e.Largest.String()
	case e.Request.GPU:
		return wanted + ": the server has no node with a GPU"
	}
	return wanted + ": the server offers no nodes"
}

// String describes a node in a few words: "m6 (4 vCPU, 16 GB)".
func (n Node) String() string {
	gpu := ""
	if n.GPU {
		gpu = ", GPU"
	}
	return fmt.Sprintf("%s (%d vCPU, %d GB%s)", n.Class, n.VCores, n.MemoryGB, gpu)
}

// ChooseNode returns the smallest node that satisfies the request: nodes without
// a GPU come first, then fewer processors, less memory, a lower price. A node
// with a GPU also serves a request without when nothing else is large enough.
// Nothing fits: *NoNodeError.
//
// Source: JuliaHub.jl, src/node.jl, nodespec.
func ChooseNode(nodes []Node, want NodeRequest) (Node, error) {
	sorted := slices.Clone(nodes)
	slices.SortStableFunc(sorted, compareNodes)
	var largest Node
	for _, node := range sorted {
		if want.GPU && !node.GPU {
			continue
		}
		if node.VCores >= want.NCPU && node.MemoryGB >= want.MemoryGB {
			return node, nil
		}
		if cmp.Or(cmp.Compare(node.VCores, largest.VCores), cmp.Compare(node.MemoryGB, largest.MemoryGB)) > 0 {
			largest = node
		}
	}
	return Node{}, &NoNodeError{Request: want, Largest: largest}
}

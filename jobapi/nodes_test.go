package jobapi

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const nodeSpecs = `{"success":true,"message":"","node_specs":[
 ["m6",false,8.0,32.0,0.34,"Xeon","","32",1,2,5],
 ["p3",true,8.0,61.0,4.5,"V100","","61",1,2,9],
 ["m6",false,2.0,8.0,0.17,"Xeon","","8",1,2,2],
 ["c6",false,8.0,16.0,0.3,"Xeon","","16",1,2,4],
 ["m6",false,4.0,16.0,0.2,"Xeon","","16",1,2,3],
 ["m7",false,4.0,16.0,0.19,"Xeon",null,null,1,2,null],
 ["bad",false,4.5,16.0,0.1,"half a core","","16",1,2,3], [], null, "x",
 ["p4",true,96.0,1152.0,40,"A100","","1152",1,2,11]]}`

func TestNodes(t *testing.T) {
	hub := newHub(t)
	hub.answer(t, "GET /app/config/nodespecs/info", nil, 200, nodeSpecs)
	nodes, err := hub.client(t).Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range nodes {
		got = append(got, n.String())
	}
	want := []string{"m6 (2 vCPU, 8 GB)", "m7 (4 vCPU, 16 GB)", "m6 (4 vCPU, 16 GB)", "c6 (8 vCPU, 16 GB)", "m6 (8 vCPU, 32 GB)", "p3 (8 vCPU, 61 GB, GPU)", "p4 (96 vCPU, 1152 GB, GPU)"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n := nodes[0]; n.PricePerHour != 0.17 || n.Description != "Xeon" || n.MemDisplay != "8" || n.ID != 2 {
		t.Errorf("%+v", n)
	}
	for _, test := range []struct {
		want NodeRequest
		node string
	}{
		{NodeRequest{1, 1, false}, "m6 (2 vCPU, 8 GB)"},
		{NodeRequest{3, 1, false}, "m7 (4 vCPU, 16 GB)"},
		{NodeRequest{1, 20, false}, "m6 (8 vCPU, 32 GB)"},
		{NodeRequest{8, 16, false}, "c6 (8 vCPU, 16 GB)"},
		{NodeRequest{1, 1, true}, "p3 (8 vCPU, 61 GB, GPU)"},
		{NodeRequest{9, 1, false}, "p4 (96 vCPU, 1152 GB, GPU)"},
		{NodeRequest{1, 50, false}, "p3 (8 vCPU, 61 GB, GPU)"},
	} {
		// The order of the list does not matter.
		shuffled := slices.Clone(nodes)
		slices.Reverse(shuffled)
		if got, err := ChooseNode(shuffled, test.want); err != nil || got.String() != test.node {
			t.Errorf("%+v: %s, %v; want %s", test.want, got, err, test.node)
		}
	}
}

func TestChooseNodeNone(t *testing.T) {
	nodes := []Node{{Class: "m6", VCores: 8, MemoryGB: 32}, {Class: "r6", VCores: 8, MemoryGB: 64}, {Class: "m6", VCores: 4, MemoryGB: 128}}
	for _, test := range []struct {
		nodes []Node
		want  NodeRequest
		says  string
	}{
		{nodes, NodeRequest{9, 1, false}, "the largest is r6 (8 vCPU, 64 GB)"},
		{nodes, NodeRequest{1, 1, true}, "no node with a GPU"},
		{nil, NodeRequest{1, 1, false}, "offers no nodes"},
	} {
		_, err := ChooseNode(test.nodes, test.want)
		if e, ok := errors.AsType[*NoNodeError](err); !ok || !strings.Contains(e.Error(), test.says) {
			t.Errorf("%+v: %v; want %q", test.want, err, test.says)
		}
	}
}

package emulator

import "net/http"

// node is a row of the node specifications.
type node struct {
	class string
	gpu   bool
	cores int
	mem   int     // GB
	price float64 // US dollars an hour
	desc  string
	id    int
}

// nodeSpecs is what the emulator rents out. As on the real server, the order
// means nothing.
var nodeSpecs = []node{
	{"m6", false, 4, 16, 0.36, "general purpose", 2},
	{"m6", false, 8, 32, 0.72, "general purpose", 3},
	{"m6", false, 32, 128, 2.61, "general purpose", 4},
	{"m6", false, 2, 8, 0.18, "general purpose", 7},
	{"r6", false, 2, 16, 0.24, "high memory", 5},
	{"r6", false, 4, 32, 0.47, "high memory", 6},
	{"r6", false, 8, 64, 1.38, "high memory", 9},
	{"p2", true, 4, 61, 1.51, "GPU, older", 8},
	{"p3", true, 8, 61, 4.72, "GPU", 1},
}

func (n node) row() []any {
	display := "-"
	if n.gpu {
		display = "GPU"
	}
	return []any{n.class, n.gpu, float(n.cores), float(n.mem), n.price, n.desc, "", display, 90.5, 88.5, n.id}
}

// float is a whole number that is written as 4.0, as the real server does.
type float int

// MarshalJSON writes the number with its fraction.
func (f float) MarshalJSON() ([]byte, error) { return []byte(itoa(int(f)) + ".0"), nil }

func findNode(class string, cores int) (node, bool) {
	for _, n := range nodeSpecs {
		if n.class == class && n.cores == cores {
			return n, true
		}
	}
	return node{}, false
}

func (e *Emulator) handleNodes(w http.ResponseWriter, _ *http.Request) {
	rows := make([][]any, 0, len(nodeSpecs))
	for _, n := range nodeSpecs {
		rows = append(rows, n.row())
	}
	reply(w, http.StatusOK, map[string]any{"success": true, "message": "", "node_specs": rows})
}

// product is an application that jobs are submitted under.
type product struct {
	Name        string `json:"name"`
	Product     string `json:"product_name"`
	Group       string `json:"image_group"`
	ComputeType string `json:"compute_type_name"`
	InputType   string `json:"input_type_name"`
	AppType     string `json:"appType"`
}

const (
	batch       = "batch"
	interactive = "distributed-interactive"
)

// products are the default applications: two batch products with the
// interactive product of their image group, one batch product without, and an
// application that is not for code of the user's.
var products = []product{
	{"Standard Batch", "standard-batch", "standard", batch, "userinput", "batchjob"},
	{"Standard Interactive", "standard-interactive", "standard", interactive, "userinput", "batchjob"},
	{"Modelling Batch", "modelling-batch", "modelling", batch, "userinput", "batchjob"},
	{"Modelling Interactive", "modelling-interactive", "modelling", interactive, "userinput", "batchjob"},
	{"Small Batch", "small-batch", "small", "singlenode-batch", "userinput", "batchjob"},
	{"Pluto", "pluto", "pluto", "singlenode-interactive", "none", "pluto"},
}

func findProduct(name string) (product, bool) {
	for _, p := range products {
		if p.Product == name {
			return p, true
		}
	}
	return product{}, false
}

func (p product) batch() bool {
	return (p.ComputeType == batch || p.ComputeType == "singlenode-batch") && p.InputType == "userinput"
}

func (p product) interactive() bool {
	return p.ComputeType == interactive && p.InputType == "userinput"
}

// image is one key of an image group.
type image struct {
	Display string `json:"display_name"`
	Type    string `json:"type"`
	Key     string `json:"image_key_name"`
	Tag     string `json:"image_tag"`
	SHA     string `json:"image_sha"`
}

const (
	stableSHA = "sha256:3f8d2b7f6c1e4a5908b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5"
	devSHA    = "sha256:a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"
)

// imageGroups are the images of each group of products.
var imageGroups = map[string][]image{
	"standard": {
		{"Stable", "base-cpu", "stable-cpu", "1.0.0", stableSHA},
		{"Stable", "base-gpu", "stable-gpu", "1.0.0", stableSHA},
		{"Dev", "option-cpu", "dev-cpu", "1.1.0", devSHA},
		{"Dev", "option-gpu", "dev-gpu", "1.1.0", devSHA},
	},
	"modelling": {
		{"Modelling", "base-cpu", "modelling-cpu", "2.3.1", stableSHA},
		{"Modelling", "base-gpu", "modelling-gpu", "2.3.1", stableSHA},
	},
	"small": {{"Small", "base-cpu", "small-cpu", "0.9.0", devSHA}},
}

// legacyImages are what servers before API 0.0.1 call the job images.
var legacyImages = []map[string]any{
	{"text": "Julia", "value": "", "price": 0.0},
	{"text": "Modelling", "value": "modelling-legacy", "price": 0.0},
}

func (e *Emulator) handleApplications(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"defaultApps": products, "defaultUserAppArgs": []any{}})
}

func (e *Emulator) handleImageGroups(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"image_groups": imageGroups})
}

func (e *Emulator) handleImageOptions(w http.ResponseWriter, _ *http.Request) {
	attr := map[string]any{
		"attrdisplay": true, "attrid": "sysimg", "attrname": "Image", "attrchoices": legacyImages,
	}
	reply(w, http.StatusOK, map[string]any{"success": true, "image_options": map[string]any{"batchjob": []any{attr}}})
}

func (e *Emulator) handleRegistries(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{"success": true, "message": "", "registries": []any{
		map[string]any{"id": 1, "name": "General", "uuid": "23338594-aafe-5451-b93e-139f81909106"},
		map[string]any{"id": 2, "name": "JuliaHubRegistry", "uuid": "77f0eb45-a0c8-4a2c-9a6b-0d7ee3b1c2d4"},
	}})
}

package settings

import "testing"

func TestCapital(t *testing.T) {
	for message, want := range map[string]string{
		"":                          "",
		"this must be a string":     "This must be a string",
		"job: it failed":            "Job: it failed",
		"nnodes needs both":         "nnodes needs both",
		"min is more than max":      "min is more than max",
		"http:// is allowed":        "http:// is allowed",
		"juliahub.com does not":     "juliahub.com does not",
		"process-per-node is wrong": "process-per-node is wrong",
		"main.jl has no job":        "main.jl has no job",
		"état":                      "état",
		`"x" is no UUID`:            `"x" is no UUID`,
	} {
		if got := Capital(message); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
}

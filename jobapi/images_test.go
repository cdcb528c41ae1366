package jobapi

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const imageGroups = `{"image_groups":{
 "base":[
  {"display_name":"Julia 1.9","type":"option-cpu","image_key_name":"j19","image_tag":"t19","image_sha":null},
  {"display_name":"Julia","type":"base-cpu","image_key_name":"julia","image_tag":"t1","image_sha":"sha256:aa"},
  {"display_name":"Julia","type":"base-gpu","image_key_name":"julia-gpu","image_tag":"t2","image_sha":"sha256:bb"},
  {"display_name":"GPU only","type":"option-gpu","image_key_name":"g"},
  {"display_name":"twice","type":"option-cpu","image_key_name":"a"},
  {"display_name":"twice","type":"option-cpu","image_key_name":"b"},
  {"display_name":"confused","type":"base-cpu","image_key_name":"a"},
  {"display_name":"confused","type":"option-gpu","image_key_name":"b"},
  {"display_name":"novel","type":"quantum","image_key_name":"q"}],
 "other":[{"display_name":"Dyad","type":"base-cpu","image_key_name":"dyad"}],
 "unused":[{"display_name":"X","type":"base-cpu","image_key_name":"x"}]}}`

const defaultApps = `{"defaultApps":[
 {"name":"Batch","product_name":"standard-batch","image_group":"base","compute_type_name":"batch","input_type_name":"userinput","appType":"batchjob"},
 {"name":"Interactive","product_name":"standard-interactive","image_group":"base","compute_type_name":"distributed-interactive","input_type_name":"userinput"},
 {"name":"Dyad","product_name":"dyad-batch","image_group":"other","compute_type_name":"singlenode-batch","input_type_name":"userinput"},
 {"name":"D1","product_name":"d1","image_group":"other","compute_type_name":"distributed-interactive","input_type_name":"userinput"},
 {"name":"D2","product_name":"d2","image_group":"other","compute_type_name":"distributed-interactive","input_type_name":"userinput"},
 {"name":"IDE","product_name":"ide","image_group":"base","compute_type_name":"interactive","input_type_name":"none"},
 {"name":"No group","product_name":"lost-batch","image_group":"nowhere","compute_type_name":"batch","input_type_name":"userinput"}, {}]}`

func imageHub(t *testing.T, version string) *fakeHub {
	t.Helper()
	hub := newHub(t)
	hub.answer(t, "GET /api/v1", nil, 200, `{"username":"ada","api_version":"`+version+`"}`)
	hub.answer(t, "GET /juliaruncloud/product_image_groups", func(r *http.Request) {
		if r.URL.RawQuery != "extended=true" {
			t.Errorf("query %q", r.URL.RawQuery)
		}
	}, 200, imageGroups)
	hub.answer(t, "GET /app/applications/default", nil, 200, defaultApps)
	return hub
}

func TestImages(t *testing.T) {
	hub := imageHub(t, "0.0.1")
	c := hub.client(t)
	want := []CatalogImage{
		{Product: "standard-batch", Name: "Julia", CPUKey: "julia", GPUKey: "julia-gpu", Tag: "t1", Digest: "sha256:aa", Default: true, Interactive: "standard-interactive"},
		{Product: "standard-batch", Name: "GPU only", GPUKey: "g", Interactive: "standard-interactive"},
		{Product: "standard-batch", Name: "Julia 1.9", CPUKey: "j19", Tag: "t19", Interactive: "standard-interactive"},
		{Product: "dyad-batch", Name: "Dyad", CPUKey: "dyad", Default: true},
	}
	for range 2 {
		got, err := c.Images(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\n%+v, want\n%+v", err, got, want)
		}
	}
	if n := len(hub.asked()); n != 5 {
		t.Errorf("%d requests: %q", n, hub.asked())
	}
}

func TestChooseImage(t *testing.T) {
	images, err := imageHub(t, "1.0.0").client(t).Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		product, name string
		gpu           bool
		key           string // "" = an error
		says          string
	}{
		{"", "", false, "julia", ""},
		{"", "", true, "julia-gpu", ""},
		{"standard-batch", "Julia 1.9", false, "j19", ""},
		{"standard-batch", "Julia 1.9", true, "", "not for jobs with a GPU"},
		{"", "GPU only", false, "", "not for jobs without a GPU"},
		{"", "Julia 2", false, "", "it has Julia, GPU only, Julia 1.9"},
		{"dyad", "", false, "", "it has standard-batch, dyad-batch"},
	} {
		image, err := ChooseImage(images, test.product, test.name)
		var job *Image
		if err == nil {
			job, err = image.Job(test.gpu)
		}
		if test.key != "" && (err != nil || job.Key != test.key || job.SHA256 != "") || test.key == "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
			t.Errorf("%+v: %+v, %v", test, job, err)
		}
	}
	if product, err := images[0].ExposeProduct(); err != nil || product != "standard-interactive" {
		t.Errorf("%q, %v", product, err)
	}
	if _, err := images[3].ExposeProduct(); !errors.Is(err, ErrCannotExpose) {
		t.Error(err)
	}
	if _, err := ChooseImage([]CatalogImage{{Product: "p", Name: "a", Default: true}, {Product: "p", Name: "b", Default: true}}, "p", ""); err == nil {
		t.Error("two defaults")
	}
}

func TestLegacyImages(t *testing.T) {
	for body, want := range map[string][]CatalogImage{
		`{"success":true,"image_options":{"batchjob":[{"attrchoices":[{"text":"Julia","value":""},{"text":"Pumas","value":"pumas"},{"text":"odd","value":""}]}]}}`: {
			{Product: "standard-batch", Name: "Julia", CPUKey: "julia", GPUKey: "julia", Default: true},
			{Product: "@legacy", Name: "Pumas", CPUKey: "pumas", GPUKey: "pumas"},
		},
		`{"success":true,"image_options":[]}`: {{Product: "standard-batch", Name: "Julia", CPUKey: "julia", GPUKey: "julia", Default: true}},
		`{"success":true}`:                    {{Product: "standard-batch", Name: "Julia", CPUKey: "julia", GPUKey: "julia", Default: true}},
	} {
		hub := newHub(t)
		hub.answer(t, "GET /api/v1", nil, 200, `{"username":"ada","api_version":"0.0.0"}`)
		hub.answer(t, "GET /juliaruncloud/get_image_options", nil, 200, body)
		got, err := hub.client(t).Images(t.Context())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{"0.0.1": true, "0.0.0": false, "0.0.10": true, "v1.0": true, "0.1": true, "": false, "0.0": false, "0.0.1-rc": true} {
		if got := atLeast(version, "0.0.1"); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

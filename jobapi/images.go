package jobapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// CatalogImage is one job image that the server offers: a product and a display
// name, with a key for jobs without a GPU, one for jobs with, or both.
type CatalogImage struct {
	Product     string
	Name        string // the display name
	CPUKey      string // "" = not for jobs without a GPU
	GPUKey      string // "" = not for jobs with a GPU
	Tag         string // may be ""
	Digest      string // the catalogue's image_sha, may be ""; for people, never sent
	Default     bool   // the product's default
	Interactive string // the product that jobs exposing a port go under; "" = this image cannot expose one
}

// The products that the reference uses where the user names none, and where the
// server has no products.
const (
	StandardBatch = "standard-batch"
	LegacyProduct = "@legacy"
)

// Images returns the images that the server offers. Servers before API 0.0.1
// have no products: all but their default are of the product "@legacy".
// Entries that contradict each other are left out, with a warning in the log.
//
// GET /juliaruncloud/product_image_groups and /app/applications/default, or
// /juliaruncloud/get_image_options
//
// Source: JuliaHub.jl, src/batchimages.jl.
func (c *Client) Images(ctx context.Context) ([]CatalogImage, error) {
	version, err := c.knownVersion(ctx)
	if err != nil {
		return nil, err
	}
	if !atLeast(version, "0.0.1") {
		return c.legacyImages(ctx)
	}
	groups, err := c.imageGroups(ctx)
	if err != nil {
		return nil, err
	}
	apps, err := c.defaultApps(ctx)
	if err != nil {
		return nil, err
	}
	images := []CatalogImage{}
	for _, app := range apps {
		if !app.isBatch() {
			continue
		}
		interactive := c.interactiveProduct(ctx, apps, app)
		for _, image := range groups[app.group] {
			image.Product, image.Interactive = app.product, interactive
			images = append(images, image)
		}
	}
	return images, nil
}

// knownVersion returns the server's API version, asked for once.
func (c *Client) knownVersion(ctx context.Context) (string, error) {
	c.mu.Lock()
	version := c.version
	c.mu.Unlock()
	if version != "" {
		return version, nil
	}
	user, err := c.User(ctx)
	return user.APIVersion, err
}

// atLeast compares versions of numbers and dots.
func atLeast(version, least string) bool {
	have, want := versionNumbers(version), versionNumbers(least)
	return slices.Compare(have, want) >= 0
}

func versionNumbers(version string) []int {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// app is a default application, as far as it says which images there are.
type app struct{ product, group, compute, input string }

func (a app) isBatch() bool {
	return (a.compute == "batch" || a.compute == "singlenode-batch") && a.input == "userinput"
}

func (a app) isInteractive() bool {
	return a.compute == "distributed-interactive" && a.input == "userinput"
}

func (c *Client) defaultApps(ctx context.Context) ([]app, error) {
	var answer struct {
		Apps []struct {
			Product loose `json:"product_name"`
			Group   loose `json:"image_group"`
			Compute loose `json:"compute_type_name"`
			Input   loose `json:"input_type_name"`
		} `json:"defaultApps"`
	}
	if err := c.fetch(ctx, c.get("list the applications", nil, "app", "applications", "default"), &answer); err != nil {
		return nil, err
	}
	apps := make([]app, 0, len(answer.Apps))
	for _, a := range answer.Apps {
		apps = append(apps, app{a.Product.text(), a.Group.text(), a.Compute.text(), a.Input.text()})
	}
	return apps, nil
}

// interactiveProduct returns the one interactive product with a batch product's
// images; "" when there is none, or several.
func (c *Client) interactiveProduct(ctx context.Context, apps []app, batch app) string {
	product, several := "", false
	for _, a := range apps {
		if a.isInteractive() && a.group == batch.group {
			several = product != ""
			product = cmp.Or(product, a.product)
		}
	}
	if several {
		c.log.WarnContext(ctx, "several interactive products have the same images: none of these can expose a port", "product", batch.product)
		return ""
	}
	return product
}

// imageGroups returns the images by group, defaults first, then by name, without
// their products.
func (c *Client) imageGroups(ctx context.Context) (map[string][]CatalogImage, error) {
	r := c.get("list the images", url.Values{"extended": {"true"}}, "juliaruncloud", "product_image_groups")
	var answer struct {
		Groups map[string]json.RawMessage `json:"image_groups"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		return nil, err
	}
	groups := map[string][]CatalogImage{}
	for name, data := range answer.Groups {
		var entries []groupEntry
		if err := json.Unmarshal(data, &entries); err != nil {
			return nil, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: notJSON(err)}
		}
		groups[name] = c.mergeEntries(ctx, name, entries)
	}
	return groups, nil
}

// groupEntry is one row of an image group: one key of one image.
type groupEntry struct {
	Name loose `json:"display_name"`
	Type loose `json:"type"`
	Key  loose `json:"image_key_name"`
	Tag  loose `json:"image_tag"`
	SHA  loose `json:"image_sha"`
}

// mergeEntries makes one image of the entries of a name. Two keys of one kind,
// or entries of which only some are defaults, make the name unusable.
func (c *Client) mergeEntries(ctx context.Context, group string, entries []groupEntry) []CatalogImage {
	images := map[string]*CatalogImage{}
	broken := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name.text()
		kind, device, ok := strings.Cut(entry.Type.text(), "-")
		if !ok || kind != "base" && kind != "option" || device != "cpu" && device != "gpu" || name == "" {
			c.log.WarnContext(ctx, "an image of an unknown type is left out", "group", group, "image", name)
			continue
		}
		image := images[name]
		if image == nil {
			image = &CatalogImage{Name: name, Tag: entry.Tag.text(), Digest: entry.SHA.text(), Default: kind == "base"}
			images[name] = image
		}
		key := &image.CPUKey
		if device == "gpu" {
			key = &image.GPUKey
		}
		if *key != "" || image.Default != (kind == "base") {
			broken[name] = true
		}
		*key = entry.Key.text()
	}
	for name := range broken {
		c.log.WarnContext(ctx, "an image with contradicting entries is left out", "group", group, "image", name)
		delete(images, name)
	}
	merged := make([]CatalogImage, 0, len(images))
	for image := range maps.Values(images) {
		merged = append(merged, *image)
	}
	slices.SortFunc(merged, func(a, b CatalogImage) int {
		return cmp.Or(compareBool(b.Default, a.Default), cmp.Compare(a.Name, b.Name))
	})
	return merged
}

func (c *Client) legacyImages(ctx context.Context) ([]CatalogImage, error) {
	standard := CatalogImage{Product: StandardBatch, Name: "Julia", CPUKey: "julia", GPUKey: "julia", Default: true}
	var answer struct {
		Options json.RawMessage `json:"image_options"`
	}
	if err := c.fetch(ctx, c.get("list the images", nil, "juliaruncloud", "get_image_options"), &answer); err != nil {
		return nil, err
	}
	var options struct {
		Batch []struct {
			Choices []struct {
				Text  loose `json:"text"`
				Value loose `json:"value"`
			} `json:"attrchoices"`
		} `json:"batchjob"`
	}
	if json.Unmarshal(answer.Options, &options) != nil || len(options.Batch) == 0 {
		return []CatalogImage{standard}, nil // the server offers no choice
	}
	images := []CatalogImage{}
	for _, choice := range options.Batch[0].Choices {
		text, value := choice.Text.text(), choice.Value.text()
		switch {
		case value == "" && (text == "Julia" || text == "Default"):
			images = append(images, standard)
		case value != "":
			images = append(images, CatalogImage{Product: LegacyProduct, Name: text, CPUKey: value, GPUKey: value})
		}
	}
	return images, nil
}

// ChooseImage returns the image with that product and name. Without a name it is
// the product's default, without a product that of "standard-batch".
func ChooseImage(images []CatalogImage, product, name string) (CatalogImage, error) {
	product = cmp.Or(product, StandardBatch)
	var found []CatalogImage
	known := false
	for _, image := range images {
		if image.Product == product {
			known = true
			if name == "" && image.Default || name != "" && image.Name == name {
				found = append(found, image)
			}
		}
	}
	switch {
	case !known:
		return CatalogImage{}, fmt.Errorf("the server has no images of a product %q: it has %s", product, listOf(images, func(i CatalogImage) (string, bool) { return i.Product, true }))
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return CatalogImage{}, fmt.Errorf("product %q has several default images: name one of them", product)
	case name == "":
		return CatalogImage{}, fmt.Errorf("product %q has no default image: name one of %s", product, namesOf(images, product))
	}
	return CatalogImage{}, fmt.Errorf("product %q has no image %q: it has %s", product, name, namesOf(images, product))
}

func namesOf(images []CatalogImage, product string) string {
	return listOf(images, func(i CatalogImage) (string, bool) { return i.Name, i.Product == product })
}

// listOf lists what the function picks, each once.
func listOf(images []CatalogImage, pick func(CatalogImage) (string, bool)) string {
	var names []string
	for _, image := range images {
		if name, ok := pick(image); ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Job returns the image as a submission names it, by the key for jobs with or
// without a GPU.
func (i CatalogImage) Job(gpu bool) (*Image, error) {
	key, device := i.CPUKey, "without a GPU"
	if gpu {
		key, device = i.GPUKey, "with a GPU"
	}
	if key == "" {
		return nil, fmt.Errorf("image %q of product %q is not for jobs %s", i.Name, i.Product, device)
	}
	return &Image{Product: i.Product, Key: key, Tag: i.Tag}, nil
}

// ErrCannotExpose says that jobs with this image cannot expose a port.
var ErrCannotExpose = errors.New("this image cannot expose a port")

// ExposeProduct returns the product that a job with this image goes under when
// it exposes a port.
func (i CatalogImage) ExposeProduct() (string, error) {
	if i.Interactive == "" {
		return "", fmt.Errorf("image %q of product %q: %w", i.Name, i.Product, ErrCannotExpose)
	}
	return i.Interactive, nil
}

package commands

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"juliahub-lsp/commands/settings"
	"juliahub-lsp/commands/track"
	"juliahub-lsp/jobapi"
)

type imageList struct {
	images []jobapi.CatalogImage
	at     time.Time
}

// imagesOf returns the server's images, from memory if they are fresh.
func (s *Session) imagesOf(ctx context.Context, server string, client Client) ([]jobapi.CatalogImage, error) {
	s.mu.Lock()
	known, ok := s.images[server]
	s.mu.Unlock()
	if ok && s.cfg.Now().Sub(known.at) < nodesFor {
		return known.images, nil
	}
	images, err := client.Images(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.images[server] = imageList{images, s.cfg.Now()}
	s.mu.Unlock()
	return images, nil
}

// addImage names the job's image, with the key for its kind of node.
func (s *Session) addImage(ctx context.Context, server string, client Client, p settings.Profile, sub *jobapi.Submission) error {
	if p.Image == nil {
		return nil
	}
	images, err := s.imagesOf(ctx, server, client)
	if err != nil {
		return err
	}
	image, err := jobapi.ChooseImage(images, p.Image.Product, p.Image.Name)
	if err != nil {
		return err
	}
	chosen, err := image.Job(sub.Node.GPU)
	if err != nil {
		return err
	}
	if p.Image.Tag != "" {
		chosen.Tag = p.Image.Tag
	}
	chosen.SHA256 = p.Image.SHA256
	sub.Image = chosen
	if sub.Expose != nil {
		sub.Expose.Product, err = image.ExposeProduct()
	}
	return err
}

// ImageRow is one job image that the server offers.
type ImageRow struct {
	Product string `json:"product"`
	Name    string `json:"name"`
	Tag     string `json:"tag,omitempty"`
	CPU     bool   `json:"cpu"`
	GPU     bool   `json:"gpu"`
	Default bool   `json:"default,omitempty"`
	Expose  bool   `json:"expose,omitempty"` // its jobs can expose a port
}

// ImageList is the answer of juliahub.images.
type ImageList struct {
	Server string     `json:"server"`
	State  string     `json:"state"` // done or pending
	Images []ImageRow `json:"images"`
}

// ListImages lists the job images that the server offers.
func (s *Session) ListImages(ctx context.Context, in Input) (ImageList, error) {
	server, err := s.serverName(s.userSettings().Server)
	if err != nil {
		return ImageList{}, err
	}
	list := func(ctx context.Context) (ImageList, error) {
		l := ImageList{Server: server, State: "done", Images: []ImageRow{}}
		client, err := s.client(server)
		if err != nil {
			return l, err
		}
		images, err := s.imagesOf(ctx, server, client)
		for _, i := range images {
			l.Images = append(l.Images, ImageRow{i.Product, i.Name, i.Tag, i.CPUKey != "", i.GPUKey != "", i.Default, i.Interactive != ""})
		}
		return l, err
	}
	return soon(ctx, s, in, ImageList{Server: server, State: "pending", Images: []ImageRow{}}, list,
		func(l ImageList) { s.cfg.UI.ShowText(s.ctx, "images.txt", track.Plain(l.text())) })
}

func (l ImageList) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Job images of %s\n\n", l.Server)
	for _, i := range l.Images {
		var notes []string
		for note, holds := range map[string]bool{"CPU": i.CPU, "GPU": i.GPU, "default": i.Default, "ports": i.Expose} {
			if holds {
				notes = append(notes, note)
			}
		}
		slices.Sort(notes)
		fmt.Fprintf(&b, "%-24s %-32s %-12s %s\n", i.Product, i.Name, i.Tag, strings.Join(notes, ", "))
	}
	return b.String()
}

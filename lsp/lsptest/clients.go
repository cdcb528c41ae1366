package lsptest

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"
)

// clients holds what real editors sent with initialize, one file each, as they sent it.
//
//go:embed clients/*.json
var clients embed.FS

// Client is what a real editor said of itself.
type Client struct {
	Info struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"client"`
	Recorded     string         `json:"recorded"` // how
	Capabilities map[string]any `json:"capabilities"`
}

// Clients returns the recorded editors by the names of their files.
func Clients() (map[string]Client, error) {
	entries, err := clients.ReadDir("clients")
	if err != nil {
		return nil, fmt.Errorf("recorded clients: %w", err)
	}
	all := map[string]Client{}
	for _, e := range entries {
		raw, err := clients.ReadFile(path.Join("clients", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("recorded clients: %w", err)
		}
		var c Client
		if err := json.Unmarshal(raw, &c); err != nil {
			return nil, fmt.Errorf("recorded client %s: %w", e.Name(), err)
		}
		all[strings.TrimSuffix(e.Name(), ".json")] = c
	}
	return all, nil
}

package emulator

import (
	"net/url"
	"strings"
)

// at gives an exposed port its public address. base is the emulator's own.
func (x *expose) at(id, base string) *expose {
	if x == nil {
		return nil
	}
	label := x.Prefix
	if label == "" {
		label = strings.TrimPrefix(id, "jr-")
	}
	u, err := url.Parse(base)
	if err != nil {
		return x
	}
	host := label + ".launch.localhost"
	if u.Port() != "" {
		host += ":" + u.Port()
	}
	x.Link = u.Scheme + "://" + host + "/"
	return x
}

// listenPort is the port that the job's program is told to listen at, 0 for none.
func (j *job) listenPort() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.port
}

package jobapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/internal/atomicfile"
	"juliahub-lsp/internal/depot"
)

// authFile is the content of an auth.toml, which Julia's package manager, other
// clients and the cloud IDEs read and write as well.
type authFile struct {
	path     string
	modified time.Time
	size     int64
	issued   time.Time      // from when its life counts; zero = since it was modified
	values   map[string]any // all keys, also those that mean nothing to us
}

// authPaths returns where the token of a server may be, the name that current
// Pkg uses first. Older ones named the directory by host and port, or by the
// host alone. No depot, no path.
func authPaths(server Server, depots []string) []string {
	if len(depots) == 0 {
		return nil
	}
	u := server.url()
	var paths []string
	seen := map[string]bool{}
	for _, name := range []string{depot.ServerDir(server.String()), u.Host, u.Hostname()} {
		if !seen[name] {
			seen[name] = true
			paths = append(paths, filepath.Join(depots[0], "servers", name, "auth.toml"))
		}
	}
	return paths
}

// readAuthFile reads one token file.
func readAuthFile(path string) (*authFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	const most = 1 << 20
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, errors.New("not a token file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &authFile{path: path, modified: info.ModTime(), size: info.Size()}
	if f.values, err = parseAuth(data); err != nil {
		return nil, err
	}
	if f.token() == "" {
		return nil, errors.New("it holds no token")
	}
	return f, nil
}

// parseAuth reads the TOML of a token file or of a refresh. The decoder's own
// message is dropped: it quotes the text, which is secret.
func parseAuth(data []byte) (map[string]any, error) {
	values := map[string]any{}
	if _, err := toml.Decode(string(data), &values); err != nil {
		return nil, errors.New("it is not valid TOML")
	}
	return values, nil
}

// changed reports whether the file is no longer what was read.
func (f *authFile) changed() bool {
	info, err := os.Stat(f.path)
	return err != nil || !info.ModTime().Equal(f.modified) || info.Size() != f.size
}

func (f *authFile) text(key string) string {
	text, _ := f.values[key].(string)
	return text
}

// token returns what job calls use as bearer: the id_token. A file without one
// (as package servers that are no JuliaHub hand out) has its access_token.
func (f *authFile) token() string {
	if token := f.text("id_token"); token != "" {
		return token
	}
	return f.text("access_token")
}

// expiry returns when the token ends: the earlier of the absolute time and the
// file's age plus the token's life. Zero when the file does not say.
func (f *authFile) expiry() time.Time {
	var ends time.Time
	for _, key := range []string{"expires_at", "expires"} {
		if seconds, ok := number(f.values[key]); ok {
			ends = fromUnix(seconds)
			break
		}
	}
	if life, ok := f.life(); ok {
		since := f.issued
		if since.IsZero() {
			since = f.modified
		}
		if end := since.Add(life); ends.IsZero() || end.Before(ends) {
			ends = end
		}
	}
	return ends
}

// life returns for how long the token was issued.
func (f *authFile) life() (time.Duration, bool) {
	seconds, ok := number(f.values["expires_in"])
	return duration(seconds), ok
}

// refreshAt returns where to get a new token, if the file says so and a secret
// may travel there.
func (f *authFile) refreshAt() (*url.URL, bool) {
	if f.text("refresh_token") == "" {
		return nil, false
	}
	u, err := url.Parse(f.text("refresh_url"))
	return u, err == nil && secureEnough(u)
}

// renewed returns the file's values after a refresh: what the answer has
// replaces the old, and everything else stays. The three forms of the expiry
// always agree, since readers differ in which one they look at first.
func (f *authFile) renewed(answer map[string]any, now time.Time) map[string]any {
	values := map[string]any{}
	for _, from := range []map[string]any{f.values, answer} {
		for key, value := range from {
			if text, isText := value.(string); isText && text == "" && from[key] != nil && values[key] != nil {
				continue // an empty field takes nothing away
			}
			values[key] = value
		}
	}
	setExpiry(values, answer, now)
	return values
}

// setExpiry writes the three forms of the expiry that a fresh token's answer
// tells in one of them.
func setExpiry(values, answer map[string]any, now time.Time) {
	life, ok := number(answer["expires_in"])
	for _, key := range []string{"expires_at", "expires"} {
		if at, found := number(answer[key]); found && !ok {
			life, ok = at-unix(now), true
		}
	}
	for _, key := range []string{"expires_in", "expires_at", "expires"} {
		delete(values, key)
	}
	if !ok {
		return
	}
	values["expires_in"] = int64(life)
	values["expires_at"] = int64(unix(now) + life)
	values["expires"] = values["expires_at"]
}

// writeAuthFile replaces a token file whole, readable by its owner alone.
func writeAuthFile(path string, values map[string]any) (*authFile, error) {
	var out bytes.Buffer
	encoder := toml.NewEncoder(&out)
	encoder.Indent = ""
	if err := encoder.Encode(forJulia(values)); err != nil {
		return nil, fmt.Errorf("write %s: it holds something that TOML cannot say", path)
	}
	if err := atomicfile.Write(path, out.Bytes(), 0o600); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return &authFile{path: path, modified: info.ModTime(), size: info.Size(), values: values}, nil
}

// forJulia cuts times to milliseconds: Julia's TOML refuses to read finer ones.
func forJulia(value any) any {
	switch v := value.(type) {
	case time.Time:
		return v.Truncate(time.Millisecond)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[key] = forJulia(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = forJulia(inner)
		}
		return out
	case []map[string]any:
		out := make([]map[string]any, len(v))
		for i, inner := range v {
			out[i], _ = forJulia(inner).(map[string]any)
		}
		return out
	}
	return value
}

// number reads a TOML or JSON number, which some writers put into quotes.
func number(value any) (float64, bool) {
	var n float64
	switch v := value.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return 0, false
		}
		n = f
	case string:
		f, err := strconv.ParseFloat(v, 64)
		if err != nil {
			return 0, false
		}
		n = f
	default:
		return 0, false
	}
	return n, !math.IsNaN(n) && math.Abs(n) < 1e15
}

func fromUnix(seconds float64) time.Time {
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9))
}

func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// duration is that many seconds, cut to what a Duration holds.
func duration(seconds float64) time.Duration {
	const most = float64(math.MaxInt64 / int64(time.Second))
	return time.Duration(max(-most, min(most, seconds)) * float64(time.Second))
}

// missing reports whether err says that there is no such file.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist)
}

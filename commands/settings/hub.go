package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"juliahub-lsp/internal/tomlpos"
)

// The codes of problems, as docs/diagnostics.md explains them.
const (
	CodeHubSyntax   = "hub-syntax"
	CodeHubValue    = "hub-value"
	CodeHubKey      = "hub-unknown-key"
	CodeHubInherits = "hub-inherits"
	CodeHubSecret   = "hub-secret"
	CodeNoProfile   = "no-profile"
	CodeEditorValue = "setting-value"
	CodeEditorKey   = "setting-unknown"
	CodeArgument    = "argument-value"
)

// Hub is a JuliaHub.toml with the places of its keys and values.
type Hub struct {
	// Profiles are the profiles in the order of the file; of a text that is not
	// TOML, those whose names can be read.
	Profiles []string

	tree           map[string]any
	layout         *tomlpos.Layout
	syntax         []Problem
	defaultProfile bool // the file names one
}

// ParseHub reads a JuliaHub.toml. What it makes of a text that is not TOML is a
// problem, and the file counts for nothing then.
func ParseHub(text []byte) *Hub {
	h := &Hub{layout: tomlpos.Scan(string(text))}
	tree := map[string]any{}
	if err := h.decode(&tree); err != nil {
		h.syntax = []Problem{h.syntaxProblem(err)}
		h.Profiles = h.profileNames(func(string) bool { return true })
		return h
	}
	h.tree = tree
	h.plainNumbers(tree, nil)
	h.Profiles = h.profileNames(func(name string) bool { return h.profile(name) != nil })
	_, h.defaultProfile = tree["default-profile"].(string)
	return h
}

// mostText is how long a JuliaHub.toml may be: ones in use have a kilobyte.
const mostText = 1 << 20

// decode reads the text as TOML, unless that could take for ever.
func (h *Hub) decode(tree *map[string]any) error {
	switch {
	case len(h.layout.Text) > mostText:
		return toml.ParseError{Message: "it has more than a megabyte", Position: toml.Position{Line: 1, Len: 1}}
	case h.layout.TooDeep >= 0:
		line, _ := h.layout.Position(h.layout.TooDeep)
		at := strings.TrimPrefix(h.layout.Text[:h.layout.TooDeep], "\ufeff")
		return toml.ParseError{Message: "it is nested too deeply", Position: toml.Position{Line: line + 1, Start: len(at), Len: 1}}
	}
	_, err := toml.Decode(h.layout.Text, tree)
	return err
}

// profileNames lists the profiles in the order of the file.
func (h *Hub) profileNames(isProfile func(name string) bool) (names []string) {
	for _, e := range h.layout.Entries {
		if len(e.Path) >= 2 && e.Path[0] == "profile" && e.Path[1] != "" && !slices.Contains(names, e.Path[1]) && isProfile(e.Path[1]) {
			names = append(names, e.Path[1])
		}
	}
	return names
}

func (h *Hub) syntaxProblem(err error) Problem {
	p := Problem{Layer: LayerFile, Code: CodeHubSyntax, Severity: Error, Message: "This is not TOML: " + err.Error() + "."}
	var at toml.ParseError
	if errors.As(err, &at) {
		p.Message = "This is not TOML: " + strings.TrimSuffix(at.Message, ".") + ". Until it is, nothing in this file counts."
		h.place(&p, syntaxSpan(h.layout, at.Position))
	}
	return p
}

// syntaxOffset is where the parser says that an error is. It counts from behind
// a byte-order mark, and points before a control character.
func syntaxOffset(l *tomlpos.Layout, at toml.Position) int {
	offset := max(0, at.Start)
	if strings.HasPrefix(l.Text, "\ufeff") {
		offset += len("\ufeff")
	}
	if next := offset + 1; next < len(l.Text) && l.Text[next] < ' ' && !strings.ContainsRune("\t\r\n", rune(l.Text[next])) {
		return next
	}
	return offset
}

// syntaxSpan is what is to be marked for an error: the key that begins there, the
// line that ends there too early, or the character.
func syntaxSpan(l *tomlpos.Layout, at toml.Position) tomlpos.Span {
	from := syntaxOffset(l, at)
	for _, e := range l.Entries {
		if e.Key.From == from && e.Key.To > from {
			return e.Key
		}
	}
	to := min(from+max(at.Len, 1), len(l.Text))
	if from < to && strings.TrimRight(l.Text[from:to], "\r\n") != "" {
		return tomlpos.Span{From: from, To: to}
	}
	line, _ := l.Position(from)
	start := l.Offset(line, 0)
	text := strings.TrimRight(l.Text[start:max(start, min(from, len(l.Text)))], " \t\r\n")
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	return tomlpos.Span{From: start + indent, To: start + len(text)}
}

// plainNumbers gives all numbers below v as they are written, for values that
// become text: 1.10 stays 1.10.
func (h *Hub) plainNumbers(v any, path []string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = h.plainNumbers(e, append(slices.Clone(path), k))
		}
	case []any:
		for i, e := range v {
			v[i] = h.plainNumbers(e, append(slices.Clone(path), "["+strconv.Itoa(i)+"]"))
		}
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case float64:
		if e, ok := h.layout.Find(path...); ok && !e.Header {
			return json.Number(strings.ReplaceAll(h.layout.Text[e.Value.From:e.Value.To], "_", ""))
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	}
	return v
}

// place sets a problem's range.
func (h *Hub) place(p *Problem, s tomlpos.Span) {
	p.Line, p.Col = h.layout.Position(s.From)
	p.EndLine, p.EndCol = h.layout.Position(s.To)
}

// problem makes a problem at a key's value, or at the key itself.
func (h *Hub) problem(path []string, onKey bool, code, message string) Problem {
	p := Problem{Layer: LayerFile, Key: strings.Join(path, "."), Code: code, Severity: Error, Message: message}
	for n := len(path); n > 0; n-- {
		e, ok := h.layout.Find(path[:n]...)
		if !ok {
			continue
		}
		if onKey || e.Header || n < len(path) {
			h.place(&p, e.Key)
		} else {
			h.place(&p, e.Value)
		}
		break
	}
	return p
}

// sentence makes a valueError's message one.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return Capital(s)
}

// wrong makes the problems of one key's value.
func (h *Hub) wrong(path []string, err error) []Problem {
	var out []Problem
	for _, e := range asErrors(err) {
		code := CodeHubValue
		if e.unknown {
			code = CodeHubKey
		}
		p := h.problem(append(slices.Clone(path), e.path...), e.onKey, code, sentence(e.message))
		if e.unknown {
			p.Severity = Warning
		}
		p.Suggestion = e.suggestion
		out = append(out, p)
	}
	return out
}

// apply lets the file's top level count and checks everything in the file.
func (h *Hub) apply(s *Settings, dir string) []Problem {
	if len(h.syntax) > 0 {
		return h.syntax
	}
	s.ResultsBase = dir
	var problems []Problem
	for _, name := range sortedKeys(h.tree) {
		problems = append(problems, h.applyTop(s, name, dir)...)
	}
	problems = append(problems, h.checkProfiles(dir)...)
	problems = append(problems, h.secrets(h.tree, nil)...)
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Col - b.Col
	})
	return problems
}

// applyTop takes one key of the top level.
func (h *Hub) applyTop(s *Settings, name, dir string) []Problem {
	v := h.tree[name]
	switch name {
	case "profile":
		return h.checkProfileTable(v)
	case "bundle":
		return h.applyBundle(s, v)
	}
	k, ok := lookup(name, false)
	if !ok {
		return []Problem{h.unknown([]string{name}, append(slices.DeleteFunc(names(false), func(n string) bool { return strings.Contains(n, ".") }), "profile", "bundle"), true)}
	}
	before := *s
	err := k.set(s, v)
	switch {
	case err != nil:
	case name == "server" && s.Server == "":
		*s = before // an empty one names none
	case name == "server":
		s.ServerFromFile = true
	case name == "results" && filepath.IsAbs(dir):
		var outside *valueError
		if _, err = ResultsDir(dir, s.ResultsDirectory); !errors.As(err, &outside) {
			err = nil // what is not there yet, or cannot be looked at, is for the download to report
		}
	case name == "default-profile" && !slices.Contains(h.Profiles, s.ProfileName):
		p := h.problem([]string{name}, false, CodeNoProfile, missingProfile(s.ProfileName, h.Profiles))
		if near := Nearest(s.ProfileName, h.Profiles); near != "" {
			p.Suggestion = quote(near)
		}
		*s = before
		return []Problem{p}
	}
	if err != nil {
		*s = before
	}
	return h.wrong([]string{name}, err)
}

func (h *Hub) applyBundle(s *Settings, v any) []Problem {
	t, ok := v.(map[string]any)
	if !ok {
		return h.wrong([]string{"bundle"}, fail("this must be a table, not %s", kind(v)))
	}
	var problems []Problem
	for _, name := range sortedKeys(t) {
		path := []string{"bundle", name}
		if k, ok := lookup("bundle."+name, false); ok {
			problems = append(problems, h.wrong(path, k.set(s, t[name]))...)
		} else {
			problems = append(problems, h.unknown(path, []string{"public-git-hosts"}, false))
		}
	}
	return problems
}

// unknown reports a key that does not exist, with the one that was meant.
func (h *Hub) unknown(path []string, known []string, top bool) Problem {
	name := path[len(path)-1]
	p := h.problem(path, true, CodeHubKey, fmt.Sprintf("There is no key %q here; known are %s.", name, strings.Join(known, ", ")))
	p.Severity = Warning
	near := Nearest(name, known)
	_, inProfile := lookup(name, true)
	_, inTop := lookup(name, false)
	switch {
	case top && inProfile:
		p.Message = fmt.Sprintf("%q says how a job runs: it belongs into a table [profile.NAME].", name)
	case !top && inTop:
		p.Message = fmt.Sprintf("%q belongs to the top of the file, before the first [table].", name)
	case near != "":
		p.Message = fmt.Sprintf("There is no key %q here. Did you mean %q?", name, near)
		p.Suggestion = near
	}
	return p
}

// checkProfileTable reports what stands in [profile] itself.
func (h *Hub) checkProfileTable(v any) []Problem {
	t, ok := v.(map[string]any)
	if !ok {
		return h.wrong([]string{"profile"}, fail("profiles are tables: [profile.NAME]"))
	}
	var problems []Problem
	for _, name := range sortedKeys(t) {
		if _, ok := t[name].(map[string]any); ok && name != "" {
			continue
		} else if ok {
			problems = append(problems, h.problem([]string{"profile", name}, true, CodeHubValue, "A profile needs a name: [profile.NAME]."))
			continue
		}
		p := h.problem([]string{"profile", name}, true, CodeHubValue, fmt.Sprintf("A profile is a table: [profile.%s].", tomlKey(name)))
		if _, isKey := lookup(name, true); isKey {
			p.Message = fmt.Sprintf("%q needs a profile's name above it: [profile.NAME].", name)
		}
		problems = append(problems, p)
	}
	return problems
}

// profile returns a profile's own table.
func (h *Hub) profile(name string) map[string]any {
	profiles, _ := h.tree["profile"].(map[string]any)
	t, _ := profiles[name].(map[string]any)
	return t
}

// chain lists a profile and what it inherits from, itself first. A cycle ends
// the chain and is reported.
func (h *Hub) chain(name string) (chain []string, cycle bool) {
	for name != "" && h.profile(name) != nil {
		if slices.Contains(chain, name) {
			return chain, true
		}
		chain = append(chain, name)
		name, _ = h.profile(name)["inherits"].(string)
	}
	return chain, false
}

// applyProfile lets a profile's values, and those that it inherits, count.
func (h *Hub) applyProfile(s *Settings, name string) {
	chain, _ := h.chain(name)
	for _, name := range slices.Backward(chain) {
		h.applyOwn(s, name)
	}
	_ = checkElastic(&s.Profile) // reported by checkProfiles
}

// applyOwn takes a profile's own keys and returns what is wrong with them.
func (h *Hub) applyOwn(s *Settings, name string) []Problem {
	var problems []Problem
	own := h.profile(name)
	for _, key := range sortedKeys(own) {
		path := []string{"profile", name, key}
		switch k, ok := lookup(key, true); {
		case !ok:
			problems = append(problems, h.unknown(path, names(true), false))
		case k.set != nil:
			problems = append(problems, h.wrong(path, k.set(s, own[key]))...)
		}
	}
	return problems
}

// Profile returns what a profile of the file amounts to, over the defaults and
// with what it inherits.
func (h *Hub) Profile(name string) (Profile, bool) {
	if h.tree == nil || h.profile(name) == nil {
		return Profile{}, false
	}
	s := defaults()
	h.applyProfile(&s, name)
	return s.Profile, true
}

// checkProfiles reports what is wrong in any profile, the chosen one or not.
func (h *Hub) checkProfiles(dir string) []Problem {
	var problems []Problem
	for _, name := range h.Profiles {
		scratch := defaults()
		problems = append(problems, h.applyOwn(&scratch, name)...)
		problems = append(problems, h.checkInherits(name)...)
		problems = append(problems, h.checkElasticOf(name)...)
		problems = append(problems, h.checkEnvironmentOf(name, dir)...)
	}
	return problems
}

// checkEnvironmentOf reports a directory that is no environment: a submission
// would be refused, for it must not run in another one.
func (h *Hub) checkEnvironmentOf(name, dir string) []Problem {
	value, _ := h.profile(name)["environment"].(string)
	if value == "" || value == "auto" || value == "none" || value[0] == '@' || !filepath.IsAbs(dir) {
		return nil
	}
	at := filepath.FromSlash(value)
	if !filepath.IsAbs(at) {
		at = filepath.Join(dir, at)
	}
	for _, file := range []string{"JuliaProject.toml", "Project.toml"} {
		if _, err := os.Stat(filepath.Join(at, file)); err == nil {
			return nil
		}
	}
	return []Problem{h.problem([]string{"profile", name, "environment"}, false, CodeHubValue, fmt.Sprintf("There is no Project.toml in %q.", value))}
}

func (h *Hub) checkInherits(name string) []Problem {
	value, ok := h.profile(name)["inherits"]
	if !ok {
		return nil
	}
	path := []string{"profile", name, "inherits"}
	parent, isString := value.(string)
	if !isString {
		return h.wrong(path, fail("this must be the name of a profile, not %s", kind(value)))
	}
	if h.profile(parent) == nil {
		p := h.problem(path, false, CodeHubInherits, missingProfile(parent, h.Profiles))
		if near := Nearest(parent, h.Profiles); near != "" && near != name {
			p.Suggestion = quote(near)
		}
		return []Problem{p}
	}
	chain, cycle := h.chain(name)
	if last, _ := h.profile(chain[len(chain)-1])["inherits"].(string); cycle && last == name {
		return []Problem{h.problem(path, false, CodeHubInherits, fmt.Sprintf("Profile %q inherits from itself: %s → %s.", name, strings.Join(chain, " → "), name))}
	}
	return nil
}

// checkElasticOf reports elastic with a minimum at the profile that brings the
// two together.
func (h *Hub) checkElasticOf(name string) []Problem {
	own := h.profile(name)
	key := "elastic"
	if _, ok := own[key]; !ok {
		if _, ok := own["nnodes"]; !ok {
			return nil
		}
		key = "nnodes"
	}
	s := defaults()
	chain, _ := h.chain(name)
	for _, n := range slices.Backward(chain) {
		h.applyOwn(&s, n)
	}
	if e := checkElastic(&s.Profile); e != nil {
		return h.wrong([]string{"profile", name, key}, e)
	}
	return nil
}

// secrets warns of values that look like secrets: the file is meant to be shared.
func (h *Hub) secrets(v any, path []string) []Problem {
	var problems []Problem
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			problems = append(problems, h.secrets(v[k], append(slices.Clone(path), k))...)
		}
	case []any:
		for i, e := range v {
			problems = append(problems, h.secrets(e, append(slices.Clone(path), "["+strconv.Itoa(i)+"]"))...)
		}
	case []map[string]any:
		for i, e := range v {
			problems = append(problems, h.secrets(e, append(slices.Clone(path), "["+strconv.Itoa(i)+"]"))...)
		}
	case json.Number:
		return h.secrets(string(v), path)
	case string:
		if LooksSecret(path[len(path)-1], v) {
			p := h.problem(path, false, CodeHubSecret, "This looks like a secret. JuliaHub.toml is meant to be shared: keep secrets out of it, and let the job get them another way.")
			p.Severity = Warning
			problems = append(problems, p)
		}
	}
	return problems
}

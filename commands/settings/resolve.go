package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Resolve merges the layers. Problems come in the order of the layers, within
// JuliaHub.toml in the order of the file. The settings are usable whatever the
// problems: a value that is wrong does not count, the layer below does.
func Resolve(l Layers) (Settings, []Problem) {
	s := defaults()
	problems := applyEditor(&s, l.Editor)
	var hub *Hub
	if l.HubPath != "" {
		hub = ParseHub(l.HubText)
		problems = append(problems, hub.apply(&s, filepath.Dir(l.HubPath))...)
	}
	name, layer := s.ProfileName, LayerEditor
	if hub != nil && hub.defaultProfile {
		layer = LayerFile // a missing one is reported there
	}
	if l.Profile != "" {
		name, layer = l.Profile, LayerArgs
	}
	problems = append(problems, chooseProfile(&s, hub, name, layer)...)
	return s, append(problems, applyArgs(&s, l.Args)...)
}

// chooseProfile lets a profile's values count.
func chooseProfile(s *Settings, hub *Hub, name, layer string) []Problem {
	s.ProfileName = ""
	broken := hub != nil && len(hub.syntax) > 0
	if hub != nil && !broken {
		s.Profiles = slices.Clone(hub.Profiles)
	}
	if name == "" {
		return nil
	}
	if hub != nil && !broken && slices.Contains(hub.Profiles, name) {
		s.ProfileName = name
		hub.applyProfile(s, name)
		return nil
	}
	if layer == LayerFile {
		return nil
	}
	p := Problem{Layer: layer, Key: "profile", Code: CodeNoProfile, Severity: Error}
	if layer == LayerEditor {
		p.Key = "juliahub.profile"
		p.Severity = Warning // the user's own default for all projects need not exist in each
	}
	p.Message = missingProfile(name, s.Profiles)
	if broken {
		p.Message = fmt.Sprintf("The profile %q cannot be read: %s is not valid TOML.", name, HubFile)
	}
	p.Suggestion = Nearest(name, s.Profiles)
	return []Problem{p}
}

func missingProfile(name string, known []string) string {
	switch near := Nearest(name, known); {
	case len(known) == 0:
		return fmt.Sprintf("There is no profile %q: no %s with profiles counts here.", name, HubFile)
	case near != "":
		return fmt.Sprintf("There is no profile %q. Did you mean %q?", name, near)
	}
	return fmt.Sprintf("There is no profile %q; %s has %s.", name, HubFile, strings.Join(known, ", "))
}

// applyEditor takes the editor's settings: nested objects, dotted keys, or both.
func applyEditor(s *Settings, section json.RawMessage) []Problem {
	if len(bytes.TrimSpace(section)) == 0 {
		return nil
	}
	v, err := decodeJSON(section)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		if v == nil && err == nil {
			return nil
		}
		return []Problem{{Layer: LayerEditor, Key: "juliahub", Code: CodeEditorValue, Severity: Error, Message: "The setting juliahub must be an object of settings."}}
	}
	found := map[string]any{}
	var unknown []string
	flatten("juliahub", object, found, &unknown)
	var problems []Problem
	for _, k := range Keys {
		if v, ok := found[k.Editor]; ok && k.Editor != "" {
			for _, e := range asErrors(k.set(s, v)) {
				problems = append(problems, Problem{
					Layer: LayerEditor, Key: k.Editor, Code: CodeEditorValue, Severity: Error, Suggestion: e.suggestion,
					Message: fmt.Sprintf("The setting %s does not count: %s.", k.Editor, e.message),
				})
			}
		}
	}
	return append(problems, unknownEditor(unknown)...)
}

func unknownEditor(unknown []string) []Problem {
	var known []string
	for _, k := range Keys {
		if k.Editor != "" {
			known = append(known, k.Editor)
		}
	}
	slices.Sort(unknown)
	var problems []Problem
	for _, name := range unknown {
		p := Problem{Layer: LayerEditor, Key: name, Code: CodeEditorKey, Severity: Warning, Message: fmt.Sprintf("There is no setting %s.", name)}
		if near := Nearest(name, known); near != "" {
			p.Suggestion = near
			p.Message = fmt.Sprintf("There is no setting %s. Did you mean %s?", name, near)
		}
		problems = append(problems, p)
	}
	return problems
}

// flatten finds the table's keys in an object, whether it is nested or its keys
// are dotted. null means: not set.
func flatten(prefix string, object map[string]any, found map[string]any, unknown *[]string) {
	for name, v := range object {
		full := prefix + "." + name
		nested, isObject := v.(map[string]any)
		switch {
		case v == nil:
		case slices.ContainsFunc(Keys, func(k Key) bool { return k.Editor == full }):
			found[full] = v
		case isObject && slices.ContainsFunc(Keys, func(k Key) bool { return strings.HasPrefix(k.Editor, full+".") }):
			flatten(full, nested, found, unknown)
		default:
			*unknown = append(*unknown, full)
		}
	}
}

// applyArgs takes a command's own keys of a profile.
func applyArgs(s *Settings, args map[string]json.RawMessage) []Problem {
	var problems []Problem
	known := slices.DeleteFunc(names(true), func(n string) bool { return n == "inherits" })
	for _, name := range sortedKeys(args) {
		p := Problem{Layer: LayerArgs, Key: name, Code: CodeArgument, Severity: Error}
		k, ok := lookup(name, true)
		if !ok || k.set == nil {
			e := unknownField(name, known, "a profile")
			p.Message, p.Suggestion = e.message, e.suggestion
			problems = append(problems, p)
			continue
		}
		v, err := decodeJSON(args[name])
		if err == nil && v == nil {
			continue
		}
		if err == nil {
			err = k.set(s, v)
		}
		for _, e := range asErrors(err) {
			p.Message, p.Suggestion = name+": "+e.message, e.suggestion
			problems = append(problems, p)
		}
	}
	if args["elastic"] != nil || args["nnodes"] != nil {
		if e := checkElastic(&s.Profile); e != nil {
			problems = append(problems, Problem{Layer: LayerArgs, Key: "elastic", Code: CodeArgument, Severity: Error, Message: e.message})
		}
	}
	return problems
}

// checkElastic resolves elastic together with a minimum: elastic does not count.
func checkElastic(p *Profile) *valueError {
	if !p.Elastic || p.MinNodes == 0 {
		return nil
	}
	p.Elastic = false
	return fail("elastic and a least number of nodes exclude each other: elastic does not count")
}

// asErrors gives the parts of a set function's error.
func asErrors(err error) []*valueError {
	var many valueErrors
	var one *valueError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &many):
		return many
	case errors.As(err, &one):
		return []*valueError{one}
	}
	return []*valueError{{message: err.Error()}}
}

// decodeJSON reads one value with its numbers as they are written.
func decodeJSON(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fail("this is not JSON")
	}
	return v, nil
}

// normal turns a default of the table into what the set functions take.
func normal(v any) any {
	if n, ok := v.(int); ok {
		return json.Number(fmt.Sprint(n))
	}
	return v
}

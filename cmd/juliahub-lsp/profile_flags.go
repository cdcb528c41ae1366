package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"juliahub-lsp/commands/settings"

	"github.com/spf13/pflag"
)

// profileFlags are the keys of a profile as flags, by the table of settings. A
// table's fields are written as key=value, separated by commas.
type profileFlags struct {
	values map[string]*string // by key
	env    []string           // K=V
}

// ownFlags are keys that have a flag of another kind, or make no sense as one.
var ownFlags = []string{"inherits", "env", "download"}

func profileKeys() []settings.Key {
	return slices.DeleteFunc(slices.Clone(settings.Keys), func(k settings.Key) bool {
		return !k.Profile || slices.Contains(ownFlags, k.Name)
	})
}

func (f *profileFlags) register(flags *pflag.FlagSet) {
	f.values = map[string]*string{}
	for _, key := range profileKeys() {
		value := &keyValue{kind: strings.ReplaceAll(key.Type, " ", "-")}
		f.values[key.Name] = &value.text
		flags.Var(value, key.Name, usage(key))
		if key.Type == "boolean" {
			flags.Lookup(key.Name).NoOptDefVal = "true"
		}
	}
	flags.StringArrayVar(&f.env, "env", nil, "environment variable `K=V` of the job (repeatable)")
}

// keyValue is a flag's value as it was written; help shows the key's own type.
type keyValue struct{ text, kind string }

func (v *keyValue) String() string        { return v.text }
func (v *keyValue) Set(text string) error { v.text = text; return nil }
func (v *keyValue) Type() string          { return v.kind }

// usage is a key's documentation as one line of help, with the fields of a table.
func usage(key settings.Key) string {
	doc, _, _ := strings.Cut(strings.TrimSuffix(key.Doc, "."), ". ")
	var fields []string
	for _, field := range key.Fields {
		fields = append(fields, field.Name+"=…")
	}
	if len(fields) > 0 {
		doc += " (" + strings.Join(fields, ",") + ")"
	}
	if len(doc) > 1 && strings.ToUpper(doc[:2]) != doc[:2] { // no abbreviation
		doc = strings.ToLower(doc[:1]) + doc[1:]
	}
	// pflag takes the first word in backquotes for the value's name.
	return strings.ReplaceAll(doc, "`", "")
}

// settings are the flags that were given, as the JSON of a profile's keys.
func (f *profileFlags) settings() (map[string]json.RawMessage, error) {
	given := map[string]any{}
	for _, key := range profileKeys() {
		text := *f.values[key.Name]
		if text == "" {
			continue
		}
		value, err := flagValue(key, text)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--%s %s: %w", key.Name, text, err)}
		}
		given[key.Name] = value
	}
	if len(f.env) > 0 {
		env, err := pairs(f.env)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--env: %w", err)}
		}
		given["env"] = env
	}
	raw := map[string]json.RawMessage{}
	for name, value := range given {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--%s: %w", name, err)}
		}
		raw[name] = text
	}
	_, problems := settings.Resolve(settings.Layers{Args: raw})
	for _, p := range problems {
		if p.Layer == settings.LayerArgs && p.Severity == settings.Error {
			return nil, &usageError{fmt.Errorf("--%s", p.Message)}
		}
	}
	return raw, nil
}

// flagValue reads a value as the type of its key says.
func flagValue(key settings.Key, text string) (any, error) {
	kinds := strings.Split(key.Type, " or ")
	if slices.Contains(kinds, "integer") {
		if n, err := strconv.Atoi(text); err == nil {
			return n, nil
		}
	}
	switch {
	case slices.Contains(kinds, "boolean"):
		value, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("want true or false")
		}
		return value, nil
	case slices.Contains(kinds, "table"):
		table, err := pairs(strings.Split(text, ","))
		if err != nil {
			return nil, err
		}
		for _, field := range key.Fields {
			if n, err := strconv.Atoi(fmt.Sprint(table[field.Name])); err == nil && field.Type == "integer" {
				table[field.Name] = n
			}
		}
		return table, nil
	case slices.Contains(kinds, "string"):
		return text, nil
	}
	return nil, fmt.Errorf("want a number")
}

// pairs reads K=V entries.
func pairs(entries []string) (map[string]any, error) {
	table := map[string]any{}
	for _, entry := range entries {
		name, value, found := strings.Cut(entry, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("%q: want K=V", entry)
		}
		table[name] = value
	}
	return table, nil
}

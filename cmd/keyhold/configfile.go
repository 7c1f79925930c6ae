package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// configFile is a config file: a JSON object whose keys are the shared settings'
// flags in snake_case. Flags and environment go before it.
type configFile map[string]any

// loadConfigFile satisfies kong.ConfigurationLoader.
func loadConfigFile(r io.Reader) (kong.Resolver, error) {
	var values configFile
	d := json.NewDecoder(r)
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		return nil, fmt.Errorf("the config file is no JSON object: %w", err)
	}
	return values, nil
}

// Validate refuses keys that are no setting: a misspelt one would be lost in
// silence.
func (c configFile) Validate(a *kong.Application) error {
	var known []string
	for _, f := range a.Flags {
		if len(f.Envs) > 0 && f.Name != "config" {
			known = append(known, configKey(f))
		}
	}
	slices.Sort(known)
	for key := range c {
		if !slices.Contains(known, key) {
			return fmt.Errorf("the config file has an unknown key %q; it may hold %s", key, strings.Join(known, ", "))
		}
	}
	return nil
}

// Resolve satisfies kong.Resolver.
func (c configFile) Resolve(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
	for _, name := range f.Envs {
		if os.Getenv(name) != "" {
			return nil, nil //nolint:nilnil // kong's way to say that this source has no value
		}
	}
	v, ok := c[configKey(f)]
	if !ok {
		return nil, nil //nolint:nilnil // as above
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case []any:
		var parts []string
		for _, part := range v {
			text, ok := part.(string)
			if !ok {
				return nil, fmt.Errorf("the config file's %s must be a list of texts", configKey(f))
			}
			parts = append(parts, text)
		}
		return strings.Join(parts, ","), nil
	}
	return nil, fmt.Errorf("the config file's %s must be a text", configKey(f))
}

func configKey(f *kong.Flag) string { return strings.ReplaceAll(f.Name, "-", "_") }

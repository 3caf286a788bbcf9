package why

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Made is what something was made with, as the Python client states it in metadata. What
// is not known is nil or empty.
type Made struct {
	Settings  map[string]string
	Libraries map[string]string // versions by name
	Python    string
	Code      string // the minor version of Python, a colon, a digest
}

// MadeOf reads metadata, by the names after Larder-Meta-.
func MadeOf(meta map[string]string) Made {
	m := Made{Python: meta["python"], Code: meta["code"]}
	m.Settings, _ = SettingsOf(meta["settings"]) // what cannot be read is not known
	m.Libraries = LibrariesOf(meta["libraries"])
	return m
}

// SettingsOf reads settings: a JSON object, whose values are texts as Python writes
// them, or "#" and a digest. Without any text they are not known.
func SettingsOf(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	var values map[string]any
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		return nil, err
	}
	settings := make(map[string]string, len(values))
	for name, value := range values {
		settings[name] = fmt.Sprint(value)
	}
	return settings, nil
}

// LibrariesOf reads "numpy=2.3.1 pandas=2.3.0".
func LibrariesOf(text string) map[string]string {
	libraries := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		if name, version, ok := strings.Cut(pair, "="); ok {
			libraries[name] = version
		}
	}
	if len(libraries) == 0 {
		return nil
	}
	return libraries
}

package usage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// entry is one entry of a policy file as it is written.
type entry struct {
	line   int // where it begins
	fields []field
}

// field is one of its fields. Its text is plain if it is a number or a text.
type field struct {
	name, text string
	plain      bool
	line       int
}

// maxShown bounds what an error shows of a value.
const maxShown = 60

// shown is a field's value in an error.
func (f field) shown() string {
	if !f.plain {
		return "no number and no text"
	}
	return strconv.Quote(f.text[:min(len(f.text), maxShown)])
}

// wanted is what a policy file holds.
const wanted = "want one list of {org, max_bytes, max_objects, max_object_size, requests_per_second, bytes_per_second, " +
	"expires_in, max_expires_in, cost_per_hour}, or [] for no limits"

// decode reads the list in a policy file: JSON if it is that, else YAML. YAML's
// parser does not take all JSON: tabs between its values are an error there.
func decode(file []byte) (entries []entry, err error) {
	defer func() {
		if recover() != nil { // a node must live through any file
			entries, err = nil, errors.New("the file is not YAML, "+wanted)
		}
	}()
	if json.Valid(file) {
		return decodeJSON(file)
	}
	return decodeYAML(file)
}

// decodeJSON reads a list of objects token by token, so that no field is read in
// another case of letters or overwrites one before it.
func decodeJSON(file []byte) (entries []entry, err error) {
	d := json.NewDecoder(bytes.NewReader(file))
	d.UseNumber()
	line := func() int { return 1 + bytes.Count(file[:d.InputOffset()], []byte("\n")) }
	next := func() json.Token {
		t, _ := d.Token() // the file is valid
		return t
	}
	if next() != json.Delim('[') {
		return nil, errors.New("the file holds no list, " + wanted)
	}
	for d.More() {
		if next() != json.Delim('{') {
			return nil, fmt.Errorf("line %d: there is something that is no entry, %s", line(), wanted)
		}
		e := entry{line: line()}
		for d.More() {
			name, _ := next().(string) // of an object's field it is one
			var value any
			if err := d.Decode(&value); err != nil {
				return nil, fmt.Errorf("line %d: %w", line(), err)
			}
			f := field{name: name, line: line()}
			switch v := value.(type) {
			case string:
				f.text, f.plain = v, true
			case json.Number:
				f.text, f.plain = v.String(), true
			}
			e.fields = append(e.fields, f)
		}
		next()
		entries = append(entries, e)
	}
	return entries, nil
}

// decodeYAML reads the one document of a file. It follows no alias.
func decodeYAML(file []byte) (entries []entry, err error) {
	d := yaml.NewDecoder(bytes.NewReader(file))
	var document yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty, " + wanted)
	} else if err != nil {
		return nil, fmt.Errorf("%sthe file is not YAML, %s", lineOf(err), wanted)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.SequenceNode {
		return nil, errors.New("the file holds no list, " + wanted)
	}
	for _, n := range document.Content[0].Content {
		if n.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("line %d: there is something that is no entry, %s", n.Line, wanted)
		}
		e := entry{line: n.Line}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			tag := value.ShortTag()
			e.fields = append(e.fields, field{
				name: name.Value, text: value.Value, line: name.Line,
				plain: value.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!int" || tag == "!!float"),
			})
		}
		entries = append(entries, e)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one YAML document, " + wanted)
	}
	return entries, nil
}

// lineOf is the line that an error of the parser names.
func lineOf(err error) string {
	if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(err.Error()); m != nil {
		return "line " + m[1] + ": "
	}
	return ""
}

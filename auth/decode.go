package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// maxFile bounds a tokens file, in bytes: some 5,000 entries.
	maxFile = 1 << 20
	// decodeLimit bounds the time for a tokens file. A whole one takes some
	// milliseconds; a parser that stays busy must not keep the next from being read.
	decodeLimit = 10 * time.Second
)

// record is one entry of a tokens file as it is written.
type record struct {
	line   int // where it begins
	fields []field
}

type field struct {
	name, value string
	list        []string // of texts
	kind        kind
}

// kind is what a value is.
type kind int

const (
	text kind = iota
	texts
	null
	other
)

// wanted is what a tokens file holds.
const wanted = "want one list of {id, org, user, role, sha256, expires, services, prefixes}, or [] for no tokens"

// decode reads the list in a file: JSON if it begins with a bracket, which YAML's flow
// lists do as well, else YAML. Its errors end with what is wanted.
func decode(data []byte, wanted string) ([]record, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are read", len(data), maxFile)
	}
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("[")) {
		return decodeJSON(data, wanted)
	}
	type result struct {
		records []record
		err     error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if recover() != nil { // a node must live through any file
				done <- result{err: errors.New("the file is not YAML, " + wanted)}
			}
		}()
		records, err := decodeYAML(data, wanted)
		done <- result{records, err}
	}()
	timeout := time.NewTimer(decodeLimit)
	defer timeout.Stop()
	select {
	case r := <-done:
		return r.records, r.err
	case <-timeout.C:
		return nil, fmt.Errorf("the file is not read within %s, write it as JSON", decodeLimit)
	}
}

// decodeJSON reads token by token, so that no field is read in another case of
// letters or overwrites one before it.
func decodeJSON(data []byte, wanted string) (records []record, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	line := func() int { return 1 + bytes.Count(data[:d.InputOffset()], []byte("\n")) }
	wrong := func() error {
		return fmt.Errorf("line %d: the file begins with [ and is no JSON of that form, %s", line(), wanted)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong()
	}
	for d.More() {
		if t, err := d.Token(); err != nil || t != json.Delim('{') {
			return nil, wrong()
		}
		r := record{line: line()}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, wrong()
			}
			f, err := decodeField(d, name.(string)) // the decoder takes no other name
			if err != nil {
				return nil, wrong()
			}
			r.fields = append(r.fields, f)
		}
		if _, err := d.Token(); err != nil {
			return nil, wrong()
		}
		records = append(records, r)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong()
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, wrong()
	}
	return records, nil
}

// decodeField reads the value of a field: a text, null, a list of texts, or something
// else, of one token.
func decodeField(d *json.Decoder, name string) (field, error) {
	f := field{name: name, kind: other}
	value, err := d.Token()
	switch v := value.(type) {
	case string:
		f.value, f.kind = v, text
	case nil:
		f.kind = null
	case json.Delim:
		if v != '[' {
			return f, errors.New("a record within a record")
		}
		f.kind = texts
		for d.More() {
			one, err := d.Token()
			s, ok := one.(string)
			if err != nil || !ok {
				return f, errors.New("a list of something else")
			}
			f.list = append(f.list, s)
		}
		_, err = d.Token()
	}
	return f, err
}

// decodeYAML reads the one document of a file. It follows no alias.
func decodeYAML(data []byte, wanted string) (records []record, err error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
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
		if n.Kind != yaml.MappingNode && n.ShortTag() != "!!null" {
			return nil, fmt.Errorf("line %d: there is something that is no entry, %s", n.Line, wanted)
		}
		r := record{line: n.Line}
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.fields = append(r.fields, fieldOf(n.Content[i], n.Content[i+1]))
		}
		records = append(records, r)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one YAML document, " + wanted)
	}
	return records, nil
}

func fieldOf(name, value *yaml.Node) field {
	f := field{name: name.Value, value: value.Value, kind: other}
	switch tag := value.ShortTag(); {
	case value.Kind == yaml.SequenceNode:
		f.kind = texts
		for _, one := range value.Content {
			if one.Kind != yaml.ScalarNode || one.ShortTag() != "!!str" {
				f.kind = other
			}
			f.list = append(f.list, one.Value)
		}
	case value.Kind != yaml.ScalarNode:
	case tag == "!!str", tag == "!!timestamp", name.Value == "sha256": // as it is written, were it all digits
		f.kind = text
	case tag == "!!null":
		f.value, f.kind = "", null
	}
	return f
}

// lineOf is the line that an error of the parser names. The rest of it may quote
// the file.
func lineOf(err error) string {
	if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(err.Error()); m != nil {
		return "line " + m[1] + ": "
	}
	return ""
}

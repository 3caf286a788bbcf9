// Package entries reads the files that an operator gives a node and that are lists of
// entries, in YAML or JSON: tokens, maps of claims, policies. It is strict, so that
// nothing of a file is skipped, overwritten or taken for something else, and it lives
// through any file. What the fields of an entry mean is not known here.
package entries

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
	// maxFile bounds a file, in bytes: some 5,000 entries.
	maxFile = 1 << 20
	// decodeLimit bounds the time for a file. A whole one takes some
	// milliseconds; a parser that stays busy must not keep the next from being read.
	decodeLimit = 10 * time.Second
)

// Entry is one entry of a file as it is written.
type Entry struct {
	Line   int // where it begins
	Fields []Field
}

// Field is one of its fields.
type Field struct {
	Name, Value string   // the value of a text, or a number, as it is written
	List        []string // of texts
	Kind        Kind
	Line        int
}

// Kind is what a value is.
type Kind int

// What values are.
const (
	Text Kind = iota
	Number
	Texts
	Null
	Other
)

// Decode reads the list in a file: JSON if it begins with a bracket, which YAML's flow
// lists do as well, else YAML. Its errors end with what is wanted.
func Decode(data []byte, wanted string) ([]Entry, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file has %d bytes, at most %d are read", len(data), maxFile)
	}
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("[")) {
		return decodeJSON(data, wanted)
	}
	type result struct {
		entries []Entry
		err     error
	}
	done := make(chan result, 1)
	go func() {
		defer func() {
			if recover() != nil { // a node must live through any file
				done <- result{err: errors.New("the file is not YAML, " + wanted)}
			}
		}()
		entries, err := decodeYAML(data, wanted)
		done <- result{entries, err}
	}()
	timeout := time.NewTimer(decodeLimit)
	defer timeout.Stop()
	select {
	case r := <-done:
		return r.entries, r.err
	case <-timeout.C:
		return nil, fmt.Errorf("the file is not read within %s, write it as JSON", decodeLimit)
	}
}

// decodeJSON reads token by token, so that no field is read in another case of
// letters or overwrites one before it.
func decodeJSON(data []byte, wanted string) (entries []Entry, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
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
		e := Entry{Line: line()}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, wrong()
			}
			f := Field{Name: name.(string), Line: line()} // the decoder takes no other name
			if err := f.decode(d); err != nil {
				return nil, wrong()
			}
			e.Fields = append(e.Fields, f)
		}
		if _, err := d.Token(); err != nil {
			return nil, wrong()
		}
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, wrong()
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, wrong()
	}
	return entries, nil
}

// decode reads the value of a field: a text, a number, null, a list of texts, or
// something else, of one token.
func (f *Field) decode(d *json.Decoder) error {
	value, err := d.Token()
	switch v := value.(type) {
	case string:
		f.Value, f.Kind = v, Text
	case json.Number:
		f.Value, f.Kind = v.String(), Number
	case nil:
		f.Kind = Null
	case json.Delim:
		if v != '[' {
			return errors.New("an entry within an entry")
		}
		f.Kind = Texts
		for d.More() {
			one, err := d.Token()
			s, ok := one.(string)
			if err != nil || !ok {
				return errors.New("a list of something else")
			}
			f.List = append(f.List, s)
		}
		_, err = d.Token()
	default:
		f.Kind = Other
	}
	return err
}

// decodeYAML reads the one document of a file. It follows no alias.
func decodeYAML(data []byte, wanted string) (entries []Entry, err error) {
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
		e := Entry{Line: n.Line}
		for i := 0; i+1 < len(n.Content); i += 2 {
			e.Fields = append(e.Fields, fieldOf(n.Content[i], n.Content[i+1]))
		}
		entries = append(entries, e)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one YAML document, " + wanted)
	}
	return entries, nil
}

func fieldOf(name, value *yaml.Node) Field {
	f := Field{Name: name.Value, Value: value.Value, Kind: Other, Line: name.Line}
	switch tag := value.ShortTag(); {
	case value.Kind == yaml.SequenceNode:
		f.Kind = Texts
		for _, one := range value.Content {
			if one.Kind != yaml.ScalarNode || one.ShortTag() != "!!str" {
				f.Kind = Other
			}
			f.List = append(f.List, one.Value)
		}
	case value.Kind != yaml.ScalarNode:
	case tag == "!!str", tag == "!!timestamp":
		f.Kind = Text
	case tag == "!!int", tag == "!!float":
		f.Kind = Number
	case tag == "!!null":
		f.Value, f.Kind = "", Null
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

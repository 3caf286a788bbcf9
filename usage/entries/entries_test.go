package entries

import (
	"reflect"
	"strings"
	"testing"
)

// YAML and JSON say the same, but for the lines.
func TestDecode(t *testing.T) {
	want := []Entry{
		{Line: 1, Fields: []Field{
			{Name: "id", Value: "a", Kind: Text, Line: 1},
			{Name: "n", Value: "007", Kind: Number, Line: 2},
			{Name: "list", List: []string{"x", "y"}, Kind: Texts, Line: 3},
		}},
		{Line: 4, Fields: []Field{
			{Name: "nothing", Kind: Null, Line: 4},
			{Name: "is", Value: "true", Kind: Other, Line: 4},
		}},
	}
	got, err := Decode([]byte("- id: a\n  n: 007\n  list: [x, y]\n- {nothing: null, is: true}\n"), "want it right")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("YAML: %+v, %v", got, err)
	}
	want[0].Fields[1].Value, want[1].Fields[1].Value = "7e0", ""
	got, err = Decode([]byte("[{\"id\": \"a\",\n\"n\": 7e0,\n\"list\": [\"x\", \"y\"]},\n{\"nothing\": null, \"is\": true}]"), "want it right")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("JSON: %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for file, says := range map[string]string{
		"":                             "the file is empty, want it right",
		"id: a":                        "the file holds no list, want it right",
		"- a":                          "line 1: there is something that is no entry, want it right",
		"- {id: a}\n---\n[]":           "the file holds more than one YAML document, want it right",
		"- id: \"a\n":                  "the file is not YAML, want it right",
		"[{id: a}]":                    "line 1: the file begins with [ and is no JSON of that form, want it right",
		"[{}\n{}]":                     "is no JSON of that form",
		`[{"id": {"id": 1}}]`:          "is no JSON of that form",
		`[{"id": [1]}]`:                "is no JSON of that form",
		strings.Repeat("#", maxFile+1): "the file has 1048577 bytes, at most 1048576 are read",
	} {
		if _, err := Decode([]byte(file), "want it right"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40q: %v, want %q", file, err, says)
		}
	}
}

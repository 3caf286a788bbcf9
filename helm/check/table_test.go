package check

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the table of values into ../README.md")

const (
	tableBegin = "<!-- values: made from values.yaml by 'make chart' -->\n"
	tableEnd   = "<!-- end of values -->"
)

// TestValuesTable holds that README.md's table says what values.yaml says.
func TestValuesTable(t *testing.T) {
	data, err := os.ReadFile(chartDir + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	table := "| value | default | |\n|---|---|---|\n" + rows(t, "", doc.Content[0])
	readme, err := os.ReadFile(chartDir + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := bytes.Cut(readme, []byte(tableBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(tableEnd))
	if !ok1 || !ok2 {
		t.Fatalf("README.md has no place for the table, between %q and %q", tableBegin, tableEnd)
	}
	want := fmt.Sprintf("%s%s%s%s%s", before, tableBegin, table, tableEnd, after)
	if *update {
		if err := os.WriteFile(chartDir+"/README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(readme) {
		t.Error("README.md's table is not what values.yaml says: run 'make chart'")
	}
}

// rows are the lines of a section: a value with a comment is a row, one
// without is a section of its own.
func rows(t *testing.T, prefix string, section *yaml.Node) string {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(section.Content); i += 2 {
		key, value := section.Content[i], section.Content[i+1]
		name := prefix + key.Value
		comment := key.HeadComment[strings.LastIndex(key.HeadComment, "\n\n")+1:] // not the file's own
		comment = strings.TrimSpace(strings.ReplaceAll(comment, "# ", ""))
		if comment == "" {
			if value.Kind != yaml.MappingNode || len(value.Content) == 0 {
				t.Errorf("values.yaml does not say what %s is", name)
			}
			b.WriteString(rows(t, name+".", value))
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, defaultOf(t, value), strings.ReplaceAll(comment, "|", `\|`))
	}
	return b.String()
}

func defaultOf(t *testing.T, value *yaml.Node) string {
	t.Helper()
	if value.Kind == yaml.ScalarNode {
		if value.Value == "" {
			return ""
		}
		return "`" + value.Value + "`"
	}
	if len(value.Content) == 0 {
		return ""
	}
	flow := *value
	flow.Style = yaml.FlowStyle
	out, err := yaml.Marshal(&flow)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + strings.TrimSpace(string(out)) + "`"
}

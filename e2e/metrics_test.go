package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"larder/testcluster"
)

// family is a metric: its type and, for each label, its values.
type family struct {
	kind   string
	labels map[string][]string
}

func (f family) String() string {
	s := f.kind
	for _, name := range slices.Sorted(maps.Keys(f.labels)) {
		s += fmt.Sprintf(" %s=%v", name, f.labels[name])
	}
	return s
}

// free are the labels whose values are not a closed set.
func free() []string { return []string{"version", "commit", "go"} }

// codes are what stands in backquotes in a cell, sorted.
func codes(cell string) []string {
	var all []string
	for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// documented reads the tables of docs/metrics.md. Those of metrics have five
// columns: name, type, labels; those of labels three: the label, and the
// metrics that the row is about if it is not about all of its section; values.
func documented(t *testing.T) map[string]family {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]family{}
	var section []string // the metrics of the section so far
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "## ") {
			section = nil
		}
		cells := strings.Split(strings.TrimSpace(line), "|")
		switch {
		case len(cells) == 7 && strings.HasPrefix(cells[1], " `larder_"):
			f := family{kind: strings.TrimSpace(cells[2]), labels: map[string][]string{}}
			for _, label := range codes(cells[3]) {
				f.labels[label] = nil
			}
			name := codes(cells[1])[0]
			found[name] = f
			section = append(section, name)
		case len(cells) == 5 && len(section) > 0 && len(codes(cells[1])) > 0:
			label, about := codes(cells[1])[0], codes(cells[1])[1:]
			if len(about) == 0 {
				about = section
			}
			for _, name := range about {
				if _, has := found[name].labels[label]; has {
					found[name].labels[label] = slices.Sorted(slices.Values(codes(cells[2])))
				}
			}
		}
	}
	return found
}

// exposed reads a node's metrics, but for those of the runtime and of the page
// itself.
func exposed(t *testing.T, n *testcluster.Node) map[string]family {
	t.Helper()
	body := do(t, http.MethodGet, n.AdminURL()+"/metrics", nil).want(t, http.StatusOK).body
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]family{}
	for name, f := range families {
		if regexp.MustCompile(`^(go|process|promhttp)_`).MatchString(name) {
			continue
		}
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		found[name] = family{kind: strings.ToLower(f.GetType().String()), labels: valuesOf(f)}
	}
	return found
}

func valuesOf(f *dto.MetricFamily) map[string][]string {
	values := map[string][]string{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if v := l.GetValue(); v != "" && !slices.Contains(values[l.GetName()], v) {
				values[l.GetName()] = append(values[l.GetName()], v)
			}
		}
	}
	for name := range values {
		slices.Sort(values[name])
	}
	return values
}

// docs/metrics.md documents what a node exposes, and nothing else, with types,
// labels and their values; and a node that has just started has every series.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true}).Nodes[0]
	says, has := documented(t), exposed(t, n)
	for _, name := range slices.Sorted(maps.Keys(has)) {
		for _, label := range free() {
			if values, ok := has[name].labels[label]; ok && len(values) == 1 {
				has[name].labels[label] = nil
			}
		}
		said, ok := says[name]
		switch {
		case !strings.HasPrefix(name, "larder_"):
			t.Errorf("%s does not begin with larder_", name)
		case !ok:
			t.Errorf("docs/metrics.md leaves %s out", name)
		case said.String() != has[name].String():
			t.Errorf("%s is documented as %s, and is %s", name, said, has[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(says)) {
		if _, ok := has[name]; !ok {
			t.Errorf("docs/metrics.md documents %s, which a node does not have", name)
		}
	}
	if len(says) < 20 {
		t.Errorf("docs/metrics.md documents %d metrics", len(says))
	}
}

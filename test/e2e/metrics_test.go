package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"larder/keys"
	"larder/test/testcluster"
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
	page, err := os.ReadFile("../../docs/metrics.md")
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

// families are a node's metrics.
func families(t *testing.T, n *testcluster.Node) map[string]*dto.MetricFamily {
	t.Helper()
	body := do(t, http.MethodGet, n.AdminURL()+"/metrics", nil).want(t, http.StatusOK).body
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// exposed reads a node's metrics, but for those of the runtime and of the page
// itself.
func exposed(t *testing.T, n *testcluster.Node) map[string]family {
	t.Helper()
	found := map[string]family{}
	for name, f := range families(t, n) {
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

// What happens in a cluster shows in its metrics.
func TestMetricsTellWhatHappens(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{})
	sum := func(name string, labels ...string) (total float64) {
		t.Helper()
		for _, n := range c.Nodes {
			v, err := n.Metric(name, func(has map[string]string) bool {
				for i := 0; i < len(labels); i += 2 {
					if has[labels[i]] != labels[i+1] {
						return false
					}
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			total += v
		}
		return total
	}
	const objects, size = 30, 1000
	for i := range objects {
		do(t, http.MethodPut, object(c.Nodes[0], fmt.Sprint("k", i)), noise(uint64(i), size)).want(t, http.StatusCreated)
	}
	for range 3 {
		for i := range objects {
			for _, n := range c.Nodes {
				do(t, http.MethodGet, object(n, fmt.Sprint("k", i)), nil).wantBody(t, noise(uint64(i), size))
			}
		}
	}
	reads := func(source string) float64 {
		return sum("larder_http_requests_total", "op", "get", "status", "2xx", "source", source)
	}
	if got := reads("memory") + reads("hot") + reads("peer"); got != 9*objects || reads("memory") < 3*objects || reads("peer") == 0 || reads("s3") > 0 {
		t.Errorf("reads from memory %v, hot copies %v, peers %v, S3 %v", reads("memory"), reads("hot"), reads("peer"), reads("s3"))
	}
	if hot, reads := sum("larder_memory_chunks", "copy", "hot"), reads("hot"); reads > 0 && hot == 0 {
		t.Errorf("%v reads of hot copies, of which there are none", reads)
	}
	for _, x := range []struct {
		name     string
		labels   []string
		min, max float64
	}{
		{"larder_http_requests_total", []string{"op", "put", "status", "2xx"}, objects, objects},
		{"larder_http_received_bytes_total", nil, objects * size, objects * size},
		{"larder_http_sent_bytes_total", nil, 9 * objects * size, 9 * objects * size},
		{"larder_s3_requests_total", []string{"op", "put", "result", "ok"}, objects, objects},
		{"larder_revocations_sent_total", []string{"result", "acknowledged"}, 2 * objects, 2 * objects},
		{"larder_revocations_received_total", []string{"result", "acknowledged"}, 2 * objects, 2 * objects},
		{"larder_leases_granted_total", nil, 2 * objects, 6 * objects},
		{"larder_leases_waited_out_total", nil, 0, 0},
		{"larder_memory_chunks", []string{"copy", "own"}, objects, objects},
		{"larder_heads", nil, objects, 3 * objects},
		{"larder_uploads_in_flight", nil, 0, 0},
		{"larder_cluster_members", nil, 9, 9},
		{"larder_cluster_strangers", nil, 0, 0},
		{"larder_ring_share_ratio", nil, 0.999, 1.001},
		{"larder_ring_changes_total", nil, 3, 6}, // two joins, told one by one or together
	} {
		if got := sum(x.name, x.labels...); got < x.min || got > x.max {
			t.Errorf("%s of %v is %v, want %v to %v", x.name, x.labels, got, x.min, x.max)
		}
	}
}

// A member that hangs is waited for until its lease is over, which shows.
func TestMetricsTellOfAMemberThatHangs(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Flags: []string{"--lease", "4s"}})
	var members []uint64
	for _, n := range c.Nodes {
		members = append(members, keys.HashMember(n.Name))
	}
	k := keys.Key{Org: "default", Service: keys.Objects, Name: "k"}
	for keys.Heaviest(members, k.Hash()) == 2 { // the one that hangs owns another key
		k.Name += "k"
	}
	do(t, http.MethodPut, object(c.Nodes[0], k.Name), []byte("v1")).want(t, http.StatusCreated)
	do(t, http.MethodGet, object(c.Nodes[2], k.Name), nil).want(t, http.StatusOK) // under a lease
	c.Nodes[2].Pause()
	do(t, http.MethodPut, object(c.Nodes[0], k.Name), []byte("v2")).want(t, http.StatusOK)
	c.Nodes[2].Resume()
	waitedOut, waits := 0.0, uint64(0)
	for _, n := range c.Nodes[:2] {
		v, err := n.Metric("larder_leases_waited_out_total", nil)
		if err != nil {
			t.Fatal(err)
		}
		waitedOut += v
		for _, m := range families(t, n)["larder_revocation_wait_seconds"].GetMetric() {
			waits += m.GetHistogram().GetSampleCount()
			if h := m.GetHistogram(); h.GetSampleCount() > 0 && h.GetSampleSum() < 1 {
				t.Errorf("%d writes waited %f s", h.GetSampleCount(), h.GetSampleSum())
			}
		}
	}
	if waitedOut < 1 || waits < 1 {
		t.Errorf("%v leases were waited out in %d writes", waitedOut, waits)
	}
}

// The node's own log has an audit line of a write, and no token.
func TestAuditLine(t *testing.T) {
	t.Parallel()
	writer := mint(t, "alpha", "ada", "writer")
	file := filepath.Join(t.TempDir(), "tokens.json")
	writeTokens(t, file, writer)
	n := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true, Flags: []string{"--tokens-file", file}}).Nodes[0]
	do(t, http.MethodPut, object(n, "k"), []byte("hello"), writer.bearer()...).want(t, http.StatusCreated)
	do(t, http.MethodDelete, object(n, "k"), nil, "Authorization", "Bearer stolen").want(t, http.StatusUnauthorized)
	var verdicts []string
	testcluster.Eventually(t, answerLimit, "two audit lines", func() error {
		verdicts = nil
		for line := range strings.Lines(n.Log()) {
			var l struct{ Component, Org, User, Credential, Verdict string }
			if json.Unmarshal([]byte(line), &l) == nil && l.Component == "audit" {
				verdicts = append(verdicts, strings.Join([]string{l.Org, l.User, l.Credential, l.Verdict}, " "))
			}
		}
		if len(verdicts) < 2 {
			return fmt.Errorf("%d", len(verdicts))
		}
		return nil
	})
	if want := []string{"alpha ada " + fmt.Sprint(writer.entry["id"]) + " created", "   bad-credential"}; !slices.Equal(verdicts, want) {
		t.Errorf("%q, want %q", verdicts, want)
	}
	if strings.Contains(n.Log(), writer.token) || strings.Contains(n.Log(), "stolen") {
		t.Error("a token is in the log")
	}
}

package check

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// scraped are the labels that a scrape adds, which no node exposes.
var scraped = []string{"namespace", "job", "pod", "instance"}

// alerts are the rules that the chart makes, by their names.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	rules := map[string]string{}
	for _, g := range one[*monitoring.PrometheusRule](t, objects(t, readValues(t, "monitoring"))).Spec.Groups {
		for _, r := range g.Rules {
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s says not what is wrong, what to do, or how bad it is", r.Alert)
			}
			rules[r.Alert] = r.Expr.String()
		}
	}
	return rules
}

// panels are the dashboard's expressions, by their panels' titles.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(chartDir + "/dashboards/larder.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			found[p.Title] = append(found[p.Title], strings.ReplaceAll(target.Expr, "$__rate_interval", "5m"))
		}
	}
	return found
}

// exposed are the series that a node has from its start, and Prometheus' own.
func exposed(t *testing.T) []model.Metric {
	t.Helper()
	objects := objects(t, readValues(t, "persistence"))
	_, c := node(t, objects)
	text := start(t, c, secretFiles(t, nil)).get(t, "/metrics", http.StatusOK)
	decoder := expfmt.SampleDecoder{Dec: expfmt.NewDecoder(strings.NewReader(text), expfmt.NewFormat(expfmt.TypeTextPlain)), Opts: &expfmt.DecodeOptions{Timestamp: model.Now()}}
	series := []model.Metric{{"__name__": "up"}}
	for {
		var v model.Vector
		if err := decoder.Decode(&v); err != nil {
			break // io.EOF
		}
		for _, s := range v {
			series = append(series, s.Metric)
		}
	}
	if len(series) < 100 {
		t.Fatalf("a node exposes %d series", len(series))
	}
	return series
}

// TestExpressionsUseMetricsThatExist holds that every expression of the alerts
// and of the dashboard parses, and that each of its selectors chooses at least
// one series that a node has from its start.
func TestExpressionsUseMetricsThatExist(t *testing.T) {
	series := exposed(t)
	check := func(where, expression string) {
		e, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
		if err != nil {
			t.Errorf("%s: %v\n%s", where, err, expression)
			return
		}
		parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
			s, ok := n.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			if !chooses(s.LabelMatchers, series) {
				t.Errorf("%s: a node has no series for %s", where, s)
			}
			for _, label := range []string{"namespace", "job"} {
				if !strings.Contains(s.String(), label+"=") {
					t.Errorf("%s: %s takes in other releases: it does not choose by %s", where, s, label)
				}
			}
			return nil
		})
	}
	for name, expression := range alerts(t) {
		check(name, expression)
	}
	for title, expressions := range panels(t) {
		for _, e := range expressions {
			check(title, e)
		}
	}
}

func chooses(matchers []*labels.Matcher, series []model.Metric) bool {
	for _, s := range series {
		if matches(matchers, s) {
			return true
		}
	}
	return false
}

func matches(matchers []*labels.Matcher, series model.Metric) bool {
	for _, m := range matchers {
		added := false
		for _, name := range scraped {
			added = added || m.Name == name
		}
		if !added && !m.Matches(string(series[model.LabelName(m.Name)])) {
			return false
		}
	}
	return true
}

// minutes is a time of the series of alerts_test.go.
func minutes(n int) time.Time { return time.UnixMilli(0).Add(time.Duration(n) * time.Minute) }

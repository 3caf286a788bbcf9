package check

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// generated are the values that a render without a cluster makes anew.
var generated = regexp.MustCompile(`(?m)^(  (cluster-secret|token|tokens\.yaml): )\S+$`)

func TestHelm3RendersTheSame(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		v4 := mustRender(t, v)
		v3, err := render3(v)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := slices.Sorted(maps.Keys(v4)), slices.Sorted(maps.Keys(v3)); !slices.Equal(a, b) {
			t.Fatalf("Helm 4 renders %q, Helm 3 %q", a, b)
		}
		for file := range v4 {
			if a, b := generated.ReplaceAllString(v4[file], "$1"), generated.ReplaceAllString(v3[file], "$1"); a != b {
				t.Errorf("%s with Helm 4:\n%s\nwith Helm 3:\n%s", file, a, b)
			}
		}
	})
}

func TestLint(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		kube := common.KubeVersion{Version: kubeVersion, Major: "1", Minor: "30"}
		for _, m := range lint.RunAll(chartDir, v, namespace, lint.WithKubeVersion(&kube)).Messages {
			if !strings.Contains(m.Error(), "icon is recommended") {
				t.Error(m)
			}
		}
	})
}

// TestPackage holds that a packaged chart has the chart and nothing else.
func TestPackage(t *testing.T) {
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".helmignore", "LICENSE", "README.md", "dashboards/larder.json"}
	var got []string
	for _, f := range c.Files {
		got = append(got, f.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the chart holds the files %q, want %q", got, want)
	}
	if c.Schema == nil {
		t.Error("the chart has no values.schema.json")
	}
}

package check

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	chart3loader "helm.sh/helm/v3/pkg/chart/loader"
	chart3util "helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	chartDir    = ".."
	release     = "shared"
	namespace   = "research"
	kubeVersion = "v1.30.0" // the oldest that Chart.yaml admits
)

type values = map[string]any

// valuesFiles are the names of ../ci's files without their ending.
func valuesFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chartDir + "/ci/*-values.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no values files: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), "-values.yaml")
	}
	return files
}

func readValues(t *testing.T, name string) values {
	t.Helper()
	data, err := os.ReadFile(chartDir + "/ci/" + name + "-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return parseValues(t, string(data))
}

func parseValues(t *testing.T, text string) values {
	t.Helper()
	v := values{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// eachValuesFile runs f as a subtest for each file of ../ci.
func eachValuesFile(t *testing.T, f func(t *testing.T, v values)) {
	t.Helper()
	for _, name := range valuesFiles(t) {
		t.Run(name, func(t *testing.T) { f(t, readValues(t, name)) })
	}
}

// render renders the chart with Helm 4 and no cluster. The answer is the text
// by template file, without those that came out empty.
func render(v values) (map[string]string, error) {
	return renderWith(v, func(c chart.Charter, top common.Values) (map[string]string, error) {
		return engine.Engine{Strict: true}.RenderWithContext(context.Background(), c, top)
	})
}

type renderer = func(chart.Charter, common.Values) (map[string]string, error)

func renderWith(v values, with renderer) (map[string]string, error) {
	c, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	caps := common.DefaultCapabilities.Copy()
	caps.KubeVersion = common.KubeVersion{Version: kubeVersion, Major: "1", Minor: "30"}
	top, err := util.ToRenderValues(c, v, common.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	out, err := with(c, top)
	return notEmpty(out), err
}

func render3(v values) (map[string]string, error) {
	c, err := chart3loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	caps := chart3util.DefaultCapabilities.Copy()
	caps.KubeVersion = chart3util.KubeVersion{Version: kubeVersion, Major: "1", Minor: "30"}
	top, err := chart3util.ToRenderValues(c, v, chart3util.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true}, caps)
	if err != nil {
		return nil, err
	}
	out, err := engine3.Engine{Strict: true}.Render(c, top)
	return notEmpty(out), err
}

func notEmpty(out map[string]string) map[string]string {
	maps.DeleteFunc(out, func(_, text string) bool { return strings.TrimSpace(text) == "" })
	return out
}

func mustRender(t *testing.T, v values) map[string]string {
	t.Helper()
	out, err := render(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// notes is what NOTES.txt says.
func notes(t *testing.T, v values) string {
	t.Helper()
	return mustRender(t, v)["larder/templates/NOTES.txt"]
}

// documents are the YAML documents of the rendered files, in the files' order.
func documents(out map[string]string) []document {
	var docs []document
	for _, file := range slices.Sorted(maps.Keys(out)) {
		if path.Ext(file) != ".yaml" {
			continue
		}
		for i, text := range bytes.Split([]byte(out[file]), []byte("\n---\n")) {
			var object map[string]any
			if err := yaml.Unmarshal(text, &object); err == nil && len(object) == 0 {
				continue // nothing but comments
			}
			docs = append(docs, document{name: fmt.Sprintf("%s[%d]", path.Base(file), i), text: text})
		}
	}
	return docs
}

type document struct {
	name string // where it stands, for messages
	text []byte
}

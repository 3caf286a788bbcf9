package check

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/engine"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
)

// cluster is a Kubernetes API that holds objects, for Helm's lookup.
type cluster struct{ client dynamic.Interface }

func newCluster(t *testing.T, secrets ...*core.Secret) cluster {
	t.Helper()
	var held []runtime.Object
	for _, s := range secrets {
		s = s.DeepCopy()
		s.Namespace = namespace
		held = append(held, s)
	}
	return cluster{fake.NewSimpleDynamicClient(scheme(t), held...)}
}

// GetClientFor is what the engine asks for.
func (c cluster) GetClientFor(string, string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}), true, nil
}

// secretsIn renders against the cluster and returns what each Secret holds.
func secretsIn(t *testing.T, c cluster, v values) (byName map[string]map[string][]byte, secrets []*core.Secret) {
	t.Helper()
	out, err := renderWith(v, func(ch chart.Charter, top common.Values) (map[string]string, error) {
		return engine.RenderWithClientProvider(ch, top, c)
	})
	if err != nil {
		t.Fatal(err)
	}
	byName = map[string]map[string][]byte{}
	secrets = all[*core.Secret](decode(t, out))
	for _, s := range secrets {
		byName[s.Name] = s.Data
	}
	return byName, secrets
}

func TestGeneratedSecretsAreKept(t *testing.T) {
	v := readValues(t, "bucket")
	first, installed := secretsIn(t, newCluster(t), v)
	if len(first) != 3 {
		t.Fatalf("%d Secrets, want those of cluster, token and tokens", len(first))
	}
	upgraded, _ := secretsIn(t, newCluster(t, installed...), v)
	for name, data := range first {
		if !maps.EqualFunc(data, upgraded[name], bytes.Equal) {
			t.Errorf("%s was %q and after an upgrade is %q", name, data, upgraded[name])
		}
	}
	two := []byte("the second secret\nthe first secret\n") // as while it is being replaced
	for _, s := range installed {
		if s.Name == "shared-larder-cluster" {
			s.Data["cluster-secret"] = two
		}
	}
	if upgraded, _ = secretsIn(t, newCluster(t, installed...), v); !bytes.Equal(upgraded["shared-larder-cluster"]["cluster-secret"], two) {
		t.Errorf("an upgrade makes %q of the secrets that were written there", upgraded["shared-larder-cluster"]["cluster-secret"])
	}
	again, _ := secretsIn(t, newCluster(t), v)
	for name, data := range again {
		if maps.EqualFunc(data, first[name], bytes.Equal) {
			t.Errorf("two installs have the same %s", name)
		}
	}
	for _, s := range installed {
		keep := s.Annotations["helm.sh/resource-policy"] == "keep"
		if want := s.Name != "shared-larder-tokens"; keep != want { // that one is made from the others
			t.Errorf("%s: kept after an uninstall: %v, want %v", s.Name, keep, want)
		}
	}
}

// TestGeneratedTokenIsGood holds that the node takes the generated tokens
// file, and the generated token.
func TestGeneratedTokenIsGood(t *testing.T) {
	objects := objects(t, readValues(t, "persistence"))
	secrets := all[*core.Secret](objects)
	_, c := node(t, objects)
	n := start(t, c, secretFiles(t, secrets))
	n.get(t, "/readyz", 200)
	var token string
	for _, s := range secrets {
		token += string(s.Data["token"])
	}
	check := exec.Command(nodeBinary(t), "check", n.HTTP)
	check.Env = []string{"LARDER_TOKEN=" + token}
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("node check: %v\n%s", err, out)
	}
	wrong := exec.Command(nodeBinary(t), "check", n.HTTP)
	wrong.Env = []string{"LARDER_TOKEN=lrd_wrong"}
	if out, err := wrong.CombinedOutput(); err == nil || !strings.Contains(string(out), "401") {
		t.Errorf("node check with another token: %v\n%s", err, out)
	}
}

// TestTokenIsNotMounted holds that the nodes get digests only.
func TestTokenIsNotMounted(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		set, _ := node(t, objects(t, v))
		spec, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(spec), `"shared-larder-token"`) {
			t.Error("the nodes' pods refer to the Secret that holds the token itself")
		}
	})
}

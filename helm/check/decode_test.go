package check

import (
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// scheme knows Kubernetes' own kinds and those that the chart can make besides.
func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientscheme.AddToScheme, monitoring.AddToScheme, gateway.Install, addCertManager} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// decode decodes every document into its type. A field that the type does not
// have, or one that stands twice, is an error.
func decode(t *testing.T, out map[string]string) []runtime.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme(t), serializer.EnableStrict).UniversalDeserializer()
	var objects []runtime.Object
	for _, d := range documents(out) {
		object, _, err := decoder.Decode(d.text, nil, nil)
		if err != nil {
			t.Errorf("%s: %v\n%s", d.name, err, d.text)
			continue
		}
		objects = append(objects, object)
	}
	if t.Failed() {
		t.FailNow()
	}
	return objects
}

// objects renders and decodes.
func objects(t *testing.T, v values) []runtime.Object {
	t.Helper()
	return decode(t, mustRender(t, v))
}

// all returns the objects of one type.
func all[T runtime.Object](objects []runtime.Object) []T {
	var found []T
	for _, o := range objects {
		if t, ok := o.(T); ok {
			found = append(found, t)
		}
	}
	return found
}

// one returns the only object of its type.
func one[T runtime.Object](t *testing.T, objects []runtime.Object) T {
	t.Helper()
	found := all[T](objects)
	if len(found) != 1 {
		t.Fatalf("%d objects of type %T, want one", len(found), *new(T))
	}
	return found[0]
}

// node returns the StatefulSet and its only container.
func node(t *testing.T, objects []runtime.Object) (*apps.StatefulSet, core.Container) {
	t.Helper()
	set := one[*apps.StatefulSet](t, objects)
	if n := len(set.Spec.Template.Spec.Containers); n != 1 {
		t.Fatalf("%d containers, want one", n)
	}
	return set, set.Spec.Template.Spec.Containers[0]
}

func TestDecodesStrictly(t *testing.T) {
	seen := map[string]bool{}
	eachValuesFile(t, func(t *testing.T, v values) {
		for _, o := range objects(t, v) {
			seen[o.GetObjectKind().GroupVersionKind().Kind] = true
		}
	})
	for _, kind := range []string{
		"StatefulSet", "Service", "Secret", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy", "Ingress",
		"HTTPRoute", "PodMonitor", "PrometheusRule", "ConfigMap", "Pod",
	} {
		if !seen[kind] {
			t.Errorf("no values file renders a %s", kind)
		}
	}
}

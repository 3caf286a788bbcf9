package check

import (
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// pods are the pods that the objects make.
func pods(t *testing.T, objects []runtime.Object) []core.PodTemplateSpec {
	t.Helper()
	set, _ := node(t, objects)
	found := []core.PodTemplateSpec{set.Spec.Template}
	for _, p := range all[*core.Pod](objects) {
		found = append(found, core.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec})
	}
	return found
}

func TestRestrictedProfile(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	eachValuesFile(t, func(t *testing.T, v values) {
		for _, p := range pods(t, objects(t, v)) {
			for _, r := range evaluator.EvaluatePod(restricted, &p.ObjectMeta, &p.Spec) {
				if !r.Allowed {
					t.Errorf("%s: %s: %s", p.Name, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
			for _, c := range p.Spec.Containers {
				if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s can write to its root file system", p.Name, c.Name)
				}
			}
		}
	})
}

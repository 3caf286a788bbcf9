package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
)

// TestSelectorsChooseTheNodes holds that whatever chooses pods chooses the
// nodes, by ports that they have, and not the pod of 'helm test'.
func TestSelectorsChooseTheNodes(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		objects := objects(t, v)
		set, c := node(t, objects)
		var ports []string
		for _, p := range c.Ports {
			ports = append(ports, p.Name)
		}
		chooses := func(what string, selector map[string]string) {
			t.Helper()
			s := labels.SelectorFromSet(selector)
			for i, p := range pods(t, objects) {
				if got, want := s.Matches(labels.Set(p.Labels)), i == 0; got != want || s.Empty() {
					t.Errorf("%s chooses pod %q: %v, want %v", what, p.Name, got, want)
				}
			}
		}
		chooses("the StatefulSet", set.Spec.Selector.MatchLabels)
		for _, s := range all[*core.Service](objects) {
			chooses("Service "+s.Name, s.Spec.Selector)
			for _, p := range s.Spec.Ports {
				if !slices.Contains(ports, p.TargetPort.StrVal) {
					t.Errorf("Service %s: the node has no port %q", s.Name, p.TargetPort.StrVal)
				}
			}
		}
		for _, b := range all[*policy.PodDisruptionBudget](objects) {
			chooses("the PodDisruptionBudget", b.Spec.Selector.MatchLabels)
		}
		for _, n := range all[*networking.NetworkPolicy](objects) {
			chooses("the NetworkPolicy", n.Spec.PodSelector.MatchLabels)
			for _, rule := range n.Spec.Ingress {
				for _, p := range rule.Ports {
					if !slices.Contains(ports, p.Port.StrVal) {
						t.Errorf("the NetworkPolicy names port %q, and the node has none", p.Port.StrVal)
					}
				}
			}
		}
	})
}

// TestGossipIsForNodes holds that gossip and peers are reached from the nodes only.
func TestGossipIsForNodes(t *testing.T) {
	objects := objects(t, readValues(t, "exposed"))
	set, _ := node(t, objects)
	closed := map[string]bool{"gossip-tcp": false, "gossip-udp": false, "peer": false}
	for _, rule := range one[*networking.NetworkPolicy](t, objects).Spec.Ingress {
		for _, p := range rule.Ports {
			if _, ok := closed[p.Port.StrVal]; !ok {
				continue
			}
			if len(rule.From) != 1 || rule.From[0].NamespaceSelector != nil || rule.From[0].IPBlock != nil {
				t.Fatalf("port %s is open to %v", p.Port.StrVal, rule.From)
			}
			s, err := meta.LabelSelectorAsSelector(rule.From[0].PodSelector)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Matches(labels.Set(set.Spec.Template.Labels)) || s.Empty() {
				t.Errorf("port %s is open to %v and not to the nodes", p.Port.StrVal, s)
			}
			closed[p.Port.StrVal] = true
		}
	}
	for port, ok := range closed {
		if !ok {
			t.Errorf("no rule lets the nodes reach each other's port %s", port)
		}
	}
}

// TestChecksAreLetIn holds that 'helm test' reaches the nodes where only some
// clients may.
func TestChecksAreLetIn(t *testing.T) {
	objects := objects(t, readValues(t, "exposed"))
	check := labels.Set(one[*core.Pod](t, objects).Labels)
	for _, rule := range one[*networking.NetworkPolicy](t, objects).Spec.Ingress {
		if rule.Ports[0].Port.StrVal != "http" {
			continue
		}
		if !slices.ContainsFunc(rule.From, func(p networking.NetworkPolicyPeer) bool {
			s, err := meta.LabelSelectorAsSelector(p.PodSelector)
			return err == nil && p.NamespaceSelector == nil && s.Matches(check)
		}) {
			t.Errorf("the researchers' port is open to %v, and not to the check's pod with %v", rule.From, check)
		}
	}
}

// TestClusterMeets holds that nodes on one bucket form a cluster. One node does
// as well: those that come when the release is scaled, by an upgrade or without
// one, must not serve beside a node that never meets them.
func TestClusterMeets(t *testing.T) {
	for _, file := range []string{"bucket", "one-node-bucket"} {
		t.Run(file, func(t *testing.T) { clusterMeets(t, file) })
	}
}

func clusterMeets(t *testing.T, file string) {
	t.Helper()
	objects := objects(t, readValues(t, file))
	set, c := node(t, objects)
	var headless *core.Service
	for _, s := range all[*core.Service](objects) {
		if s.Name == set.Spec.ServiceName {
			headless = s
		}
	}
	if headless == nil || headless.Spec.ClusterIP != "None" || !headless.Spec.PublishNotReadyAddresses {
		t.Fatalf("the StatefulSet's Service %q is not headless, or hides nodes that are not ready", set.Spec.ServiceName)
	}
	if want := fmt.Sprintf("--join=dns+%s:7946", headless.Name); !slices.Contains(c.Args, want) {
		t.Errorf("the arguments %q do not hold %s", c.Args, want)
	}
	if want := "--cluster-label=larder/" + namespace + "/" + release; !slices.Contains(c.Args, want) {
		t.Errorf("the arguments %q do not hold %s", c.Args, want)
	}
	if set.Spec.PodManagementPolicy != apps.ParallelPodManagement {
		t.Error("pods start one after another")
	}
	if len(c.Ports) != 5 || c.LivenessProbe.HTTPGet.Path != "/livez" || c.StartupProbe.HTTPGet.Path != "/livez" || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("ports %v, probes %v, %v and %v", c.Ports, c.LivenessProbe.HTTPGet, c.StartupProbe.HTTPGet, c.ReadinessProbe.HTTPGet)
	}
}

// TestGraceCoversShutdown: the sleep before SIGTERM, and the 60 s that bound a
// node's shutdown.
func TestGraceCoversShutdown(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		set, c := node(t, objects(t, v))
		need := int64(60)
		if c.Lifecycle != nil {
			need += c.Lifecycle.PreStop.Sleep.Seconds
		}
		if grace := *set.Spec.Template.Spec.TerminationGracePeriodSeconds; grace <= need {
			t.Errorf("the grace period is %d s, and a shutdown may take %d s", grace, need)
		}
	})
}

// TestMemory holds that the memory tier is as large as the values say, in every
// notation, and is left to the node, which follows its limit, where they do not.
func TestMemory(t *testing.T) {
	for _, c := range []struct{ values, want string }{
		{`{resources: {limits: {memory: 4Gi}}}`, ""},
		{`{resources: {limits: {memory: 4Gi}}, cache: {memory: 50%}}`, "50%"},
		{`{resources: {limits: {memory: 4Gi}}, cache: {memory: 3Gi}}`, "3221225472"},
		{`{resources: {limits: {memory: 6G}}, cache: {memory: 1.5Gi}}`, "1610612736"},
		{`{resources: {limits: {memory: 6000000000}}, cache: {memory: 3000000000}}`, "3000000000"},
		{`{resources: {limits: {memory: 1Ti}}, cache: {memory: "3000000000"}}`, "3000000000"},
		{`{resources: {limits: {memory: null}}, cache: {memory: 3Gi}}`, "3221225472"},
	} {
		v := parseValues(t, c.values)
		v["s3"] = values{"bucket": "our-larder"}
		_, n := node(t, objects(t, v))
		var given string
		for _, a := range n.Args {
			if size, ok := strings.CutPrefix(a, "--memory="); ok {
				given = size
			}
		}
		if given != c.want {
			t.Errorf("%s: --memory is %q, want %q", c.values, given, c.want)
		}
	}
}

// TestResizing holds that a pod goes on when it is resized, and what else the values
// say of how pods run and are reached.
func TestResizing(t *testing.T) {
	v := parseValues(t, `{s3: {bucket: our-larder}}`)
	set, n := node(t, objects(t, v))
	for _, p := range n.ResizePolicy {
		if p.RestartPolicy != "NotRequired" {
			t.Errorf("the policy of %s is %s", p.ResourceName, p.RestartPolicy)
		}
	}
	if len(n.ResizePolicy) != 2 || set.Spec.MinReadySeconds != 10 || set.Spec.Template.Spec.HostUsers != nil {
		t.Errorf("resizePolicy %v, minReadySeconds %d, hostUsers %v", n.ResizePolicy, set.Spec.MinReadySeconds, set.Spec.Template.Spec.HostUsers)
	}
	v = parseValues(t, `{s3: {bucket: our-larder}, hostUsers: false, minReadySeconds: 0, resizePolicy: [], service: {trafficDistribution: PreferSameZone}}`)
	all := objects(t, v)
	set, n = node(t, all)
	if len(n.ResizePolicy) != 0 || set.Spec.MinReadySeconds != 0 || set.Spec.Template.Spec.HostUsers == nil || *set.Spec.Template.Spec.HostUsers {
		t.Errorf("resizePolicy %v, minReadySeconds %d, hostUsers %v", n.ResizePolicy, set.Spec.MinReadySeconds, set.Spec.Template.Spec.HostUsers)
	}
	var prefers []string
	for _, o := range all {
		if s, ok := o.(*core.Service); ok && s.Spec.TrafficDistribution != nil {
			prefers = append(prefers, s.Name+" "+*s.Spec.TrafficDistribution)
		}
	}
	if len(prefers) != 1 || !strings.HasSuffix(prefers[0], " PreferSameZone") || strings.Contains(prefers[0], "headless") {
		t.Errorf("traffic distribution of %v, want of the researchers' Service alone", prefers)
	}
}

// TestMountsAndSecretsExist holds that what is mounted is a volume, and that
// every Secret that is named is rendered or comes from the values.
func TestMountsAndSecretsExist(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		objects := objects(t, v)
		set, c := node(t, objects)
		volumes := map[string]bool{}
		for _, vol := range set.Spec.Template.Spec.Volumes {
			volumes[vol.Name] = true
			switch {
			case vol.Secret != nil && !hasSecret(objects, v, vol.Secret.SecretName, vol.Secret.Items[0].Key):
				t.Errorf("no Secret %s has the key %s", vol.Secret.SecretName, vol.Secret.Items[0].Key)
			case vol.ConfigMap != nil && !hasConfigMap(objects, v, vol.ConfigMap.Name, vol.ConfigMap.Items[0].Key):
				t.Errorf("no ConfigMap %s has the key %s", vol.ConfigMap.Name, vol.ConfigMap.Items[0].Key)
			case vol.Secret == nil && vol.ConfigMap == nil && (vol.Name != "disk" || vol.EmptyDir == nil && vol.Ephemeral == nil):
				t.Errorf("the volume %s is neither a Secret nor a ConfigMap, nor the disk", vol.Name)
			}
		}
		for _, claim := range set.Spec.VolumeClaimTemplates {
			volumes[claim.Name] = true
		}
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] || m.SubPath != "" {
				t.Errorf("the mount %q has no volume, or a subPath, which is never renewed", m.Name)
			}
			delete(volumes, m.Name)
		}
		if len(volumes) > 0 {
			t.Errorf("not mounted: %v", volumes)
		}
		for _, p := range pods(t, objects) {
			for _, c := range p.Spec.Containers {
				for _, e := range c.Env {
					if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && !hasSecret(objects, v, e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key) {
						t.Errorf("%s: no Secret %s has the key %s", e.Name, e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key)
					}
				}
			}
		}
	})
}

// hasSecret reports whether a rendered Secret has the key, or the values name such a Secret.
func hasSecret(objects []runtime.Object, v values, name, key string) bool {
	for _, section := range []string{"s3", "auth", "clusterSecret", "test", "tls"} {
		if dig(v, section, "existingSecret") == name {
			return true
		}
	}
	for _, c := range all[*certificate](objects) {
		if c.Spec.SecretName == name { // cert-manager makes it
			return true
		}
	}
	if dig(v, "tls", "clientCASecret") == name {
		return true
	}
	return slices.ContainsFunc(all[*core.Secret](objects), func(s *core.Secret) bool {
		_, ok := s.Data[key]
		return s.Name == name && ok
	})
}

// hasConfigMap reports whether a ConfigMap is rendered with the key, or comes from the
// values.
func hasConfigMap(objects []runtime.Object, v values, name, key string) bool {
	if dig(v, "limits", "existingConfigMap") == name {
		return true
	}
	return slices.ContainsFunc(all[*core.ConfigMap](objects), func(m *core.ConfigMap) bool {
		_, ok := m.Data[key]
		return m.Name == name && ok
	})
}

// TestEveryNodeIsTested: 'helm test' goes through the Service and to each node,
// from one container: Helm 3 and 4.0 to 4.2 read the log of a test's pod without
// naming a container, which Kubernetes refuses where there are several.
func TestEveryNodeIsTested(t *testing.T) {
	eachValuesFile(t, func(t *testing.T, v values) {
		objects := objects(t, v)
		set, _ := node(t, objects)
		checks := all[*core.Pod](objects)
		if len(checks) == 0 {
			if says := notes(t, v); !strings.Contains(says, "test.existingSecret") {
				t.Errorf("no test is rendered, and NOTES.txt does not say why:\n%s", says)
			}
			return
		}
		if n := len(checks[0].Spec.Containers); n != 1 {
			t.Fatalf("%d containers in the test's pod, want one", n)
		}
		args := checks[0].Spec.Containers[0].Args
		if got, want := len(args)-1, int(*set.Spec.Replicas)+1; args[0] != "check" || got != want {
			t.Errorf("the test runs %q, want check and %d URLs", args, want)
		}
	})
}

// TestNamesAreValid: names and labels within Kubernetes' bounds, for a long release name too.
func TestNamesAreValid(t *testing.T) {
	long := values{"s3": values{"bucket": "our-larder"}, "fullnameOverride": "a-name-that-has-all-the-forty-characters"}
	for _, v := range []values{readValues(t, "monitoring"), long} {
		for _, o := range objects(t, v) {
			m := o.(meta.Object)
			if errs := validation.IsDNS1035Label(m.GetName()); len(errs) > 0 {
				t.Errorf("the name %q: %v", m.GetName(), errs)
			}
			for k, val := range m.GetLabels() {
				if errs := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(val)...); len(errs) > 0 {
					t.Errorf("%s: the label %s=%s: %v", m.GetName(), k, val, errs)
				}
			}
		}
	}
}

func TestNotesWarn(t *testing.T) {
	for _, c := range []struct {
		file string
		says []string
		not  string
	}{
		{"bucket", []string{"http://shared-larder.research:8080", "get secret shared-larder-token"}, "UNSAFE"},
		{"insecure", []string{"UNSAFE: auth.insecureNoAuth", "UNSAFE: without networkPolicy"}, "LARDER_TOKEN"},
		{"persistence", []string{"1 node,", "for trying out"}, "UNSAFE"},
		{"exposed", []string{"https://larder.example.com"}, "UNSAFE"},
	} {
		got := notes(t, readValues(t, c.file))
		for _, want := range c.says {
			if !strings.Contains(got, want) {
				t.Errorf("%s: NOTES.txt does not say %q:\n%s", c.file, want, got)
			}
		}
		if strings.Contains(got, c.not) {
			t.Errorf("%s: NOTES.txt says %q:\n%s", c.file, c.not, got)
		}
	}
	plain := parseValues(t, `{s3: {bucket: b-1}, ingress: {enabled: true, hosts: [h.example.com]}, service: {type: NodePort}}`)
	for _, want := range []string{"UNSAFE: the Ingress has no TLS", "UNSAFE: service.type is NodePort"} {
		if got := notes(t, plain); !strings.Contains(got, want) {
			t.Errorf("NOTES.txt does not say %q:\n%s", want, got)
		}
	}
}

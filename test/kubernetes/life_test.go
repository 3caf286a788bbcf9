//go:build kubernetes

package kubernetes

import (
	"encoding/base64"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	home   = flag.String("home", "", "where test/scripts/kubernetes put what it built")
	source = flag.String("source", "", "the root of Larder's sources")
	only   = flag.String("steps", "", "the steps after the installation that are done, comma-separated; empty is all of them")
)

func testdata(name string) string { return filepath.Join(*source, "test/kubernetes/testdata", name) }

// A release is the chart under test, in a Kubernetes of its own.
type release struct {
	*kube
	s3    *counted
	addr  string   // of the Service
	token string   // the generated one
	sets  []string // the values that differ from testdata/values.yaml, as NAME=VALUE
	rows  []string // of the table of what was seen
}

// A step is a part of a release's life.
type step struct {
	name  string
	title string // in the table; empty where there is no load
	do    func()
	cuts  bool // requests of plain clients may fail, those of the Python client may not
}

// TestLife takes a release through its life.
func TestLife(t *testing.T) {
	k := newKube(t)
	r := &release{kube: k, s3: k.newCounted()}
	t.Cleanup(func() { t.Log(r.table()) })
	r.install()
	for _, s := range r.steps() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		t.Logf("--- %s", s.name)
		if s.title == "" {
			s.do()
		} else {
			r.underLoad(s)
		}
	}
}

func (r *release) steps() []step {
	return []step{
		{name: "notes", do: r.notes},
		{name: "restart", title: "`kubectl rollout restart`", do: r.restart},
		{name: "upgrade", title: "`helm upgrade` with another value", do: func() { r.upgrade("cache.revalidate=10m") }},
		{name: "delete", title: "each pod deleted, one after the other", do: r.deletePods},
		{name: "kill", title: "each pod killed, one after the other", do: r.killPods, cuts: true},
		{name: "drain", title: "`kubectl drain` of a node, and `uncordon`", do: r.drain},
		{name: "scale", title: "3 → 5 → 3 nodes", do: r.scale},
		{name: "cost", do: r.cost},
		{name: "secret", title: "the cluster secret replaced in three steps", do: r.replaceSecret},
		{name: "token", title: "a token added and removed", do: r.replaceToken},
		{name: "credentials", title: "an upgrade to wrong S3 credentials, and `helm rollback`", do: r.wrongCredentials},
		{name: "memory", do: r.smallMemory},
		{name: "uninstall", do: r.uninstall},
	}
}

// underLoad does a step while clients read and write, and adds what they saw to the table.
func (r *release) underLoad(s step) {
	r.t.Helper()
	l := startLoad(r.t, r.addr, r.token)
	began := time.Now()
	s.do()
	took := time.Since(began)
	l.finish(r.t)
	gap := max(l.kept.gap, l.fresh.gap)
	r.rows = append(r.rows, fmt.Sprintf("| %s | %.0f s | %d of %d | %d of %d | %d of %d | %d | %.2f s |", s.title, took.Seconds(),
		l.kept.Failed, l.kept.Requests, l.fresh.Failed, l.fresh.Requests, l.python.Failed, l.python.Requests,
		l.kept.Stale+l.fresh.Stale+l.python.Stale, gap.Seconds()))
	r.t.Log(r.rows[len(r.rows)-1])
	for name, c := range map[string]*counts{"kept connections": &l.kept, "fresh connections": &l.fresh, "the Python client": &l.python} {
		if c.Failed > 0 || c.Stale > 0 {
			r.t.Logf("%s: %d failed, %d stale:\n%s", name, c.Failed, c.Stale, strings.Join(c.Failures[:min(len(c.Failures), 20)], "\n"))
		}
		if c.Stale > 0 || c.Failed > 0 && (!s.cuts || c == &l.python) {
			r.t.Errorf("%s: %d requests of %s failed, and %d reads were stale", s.name, c.Failed, name, c.Stale)
		}
	}
}

func (r *release) table() string {
	return "\n| | took | kept connections: failed | a connection each: failed | Python client: failed | stale reads | longest gap |\n|---|---|---|---|---|---|---|\n" +
		strings.Join(r.rows, "\n")
}

func (r *release) kubectl(args ...string) string {
	r.t.Helper()
	return r.run(append([]string{"kubectl", "-n", "larder"}, args...)...)
}

func (r *release) helm(args ...string) string {
	r.t.Helper()
	return r.run(append([]string{"helm", "-n", "larder"}, args...)...)
}

// helmWith is helm with the values of the tests, and further arguments.
func (r *release) helmWith(verb, name string, args ...string) string {
	r.t.Helper()
	return r.helm(append([]string{verb, name, filepath.Join(*source, "helm"), "-f", testdata("values.yaml")}, args...)...)
}

// install installs the release in a namespace that admits the restricted profile alone.
func (r *release) install() {
	r.t.Helper()
	r.run("kubectl", "create", "namespace", "larder")
	r.run("kubectl", "label", "namespace", "larder", "pod-security.kubernetes.io/enforce=restricted")
	r.kubectl("create", "secret", "generic", "s3", "--from-literal=AWS_ACCESS_KEY_ID="+accessKey, "--from-literal=AWS_SECRET_ACCESS_KEY="+secretKey)
	began := time.Now()
	r.helmWith("install", "larder", "--wait", "--timeout", "5m")
	r.t.Logf("three nodes were ready %.1f s after the beginning of 'helm install'", time.Since(began).Seconds())
	r.addr = r.kubectl("get", "service", "larder", "-o", "jsonpath={.spec.clusterIP}") + ":8080"
	r.token = r.secretToken("larder-token")
}

// secretToken is the token that a release generated.
func (r *release) secretToken(secret string) string {
	r.t.Helper()
	token, err := base64.StdEncoding.DecodeString(r.kubectl("get", "secret", secret, "-o", "jsonpath={.data.token}"))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(token)
}

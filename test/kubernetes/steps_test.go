//go:build kubernetes

package kubernetes

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

func (r *release) restart() {
	r.t.Helper()
	r.kubectl("rollout", "restart", "statefulset/larder")
	r.settled()
}

// upgrade adds to the values, and waits until they are those of every pod.
func (r *release) upgrade(sets ...string) {
	r.t.Helper()
	r.sets = append(r.sets, sets...)
	r.helmWith("upgrade", "larder", "--set", strings.Join(r.sets, ","), "--wait", "--timeout", "5m")
	r.settled()
}

// settled waits until every pod is of the newest kind and ready.
func (r *release) settled() {
	r.t.Helper()
	r.kubectl("rollout", "status", "statefulset/larder", "--timeout", "5m")
	r.eventually("all pods available", func() error {
		want := r.kubectl("get", "statefulset", "larder", "-o", "jsonpath={.spec.replicas}")
		return r.is(want, "-n", "larder", "statefulset", "larder", "-o", "jsonpath={.status.availableReplicas}")
	})
}

// pods are the names of the release's nodes.
func (r *release) pods() []string {
	r.t.Helper()
	return strings.Fields(r.kubectl("get", "pods", "-l", "app.kubernetes.io/instance=larder,app.kubernetes.io/component=node", "-o", "jsonpath={.items[*].metadata.name}"))
}

func (r *release) deletePods() {
	r.t.Helper()
	for _, pod := range r.pods() {
		r.kubectl("delete", "pod", pod)
		r.settled()
	}
}

func (r *release) killPods() {
	r.t.Helper()
	for _, pod := range r.pods() {
		before := r.restarts("larder", pod)
		r.killNode(pod)
		r.eventually(pod+" started again", func() error {
			if r.restarts("larder", pod) == before {
				return errors.New("it was not")
			}
			return nil
		})
		r.settled()
	}
}

// killNode ends the node in a pod with SIGKILL, as a fault would.
func (r *release) killNode(pod string) {
	r.t.Helper()
	machine := r.kubectl("get", "pod", pod, "-o", "jsonpath={.spec.nodeName}")
	id := strings.TrimPrefix(r.kubectl("get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}"), "containerd://")
	r.on(machine, "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", id)
}

// restarts is how often the containers of a pod were started again, and why last.
func (r *release) restarts(ns, pod string) string {
	r.t.Helper()
	return r.run("kubectl", "-n", ns, "get", "pod", pod, "-o",
		"jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.reason}")
}

func (r *release) drain() {
	r.t.Helper()
	r.t.Log(r.kubectl("get", "pods", "-o", "wide"))
	began := time.Now()
	r.kubectl("drain", "n2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "5m")
	r.t.Logf("the drain took %.1f s", time.Since(began).Seconds())
	r.settled()
	r.kubectl("uncordon", "n2")
}

func (r *release) scale() {
	r.t.Helper()
	began := time.Now()
	r.upgrade("replicaCount=5")
	r.t.Logf("five were available after %.1f s", time.Since(began).Seconds())
	r.upgrade("replicaCount=3")
	r.kubectl("wait", "--for=delete", "pod/larder-3", "pod/larder-4", "--timeout", "3m")
}

// cost counts what a graceful restart of one of three nodes costs S3, with every object in memory before.
func (r *release) cost() {
	r.t.Helper()
	const keys, size = 600, 64 << 10
	c := &plain{addr: r.addr, token: r.token, fresh: true}
	r.each(c, "PUT", keys, make([]byte, size))
	for range 3 { // of one in three each: all nodes have their heads
		r.each(c, "GET", keys, nil)
	}
	r.s3.reset()
	r.kubectl("delete", "pod", "larder-1")
	r.settled()
	r.each(c, "GET", keys, nil)
	heads, gets, bytes := r.s3.reset()
	r.t.Logf("a graceful restart, and a read of each of %d objects of %d bytes: %.2f HEADs and %.2f GETs of S3 for each, and %.1f %% of their bytes",
		keys, size, float64(heads)/keys, float64(gets)/keys, 100*float64(bytes)/(keys*size))
	if bytes > keys*size/20 {
		r.t.Errorf("a restart costs S3 %d bytes", bytes)
	}
}

// each does one request for each of the objects whose restart is measured.
func (r *release) each(c *plain, method string, keys int, body []byte) {
	r.t.Helper()
	for key := range keys {
		if _, err := c.do(method, fmt.Sprintf("/v1/objects/warm-%d", key), body); err != nil {
			r.t.Fatal(err)
		}
	}
}

// wrongCredentials upgrades to credentials that S3 refuses. The update has to stop at
// its first pod, which has to say why, and all go on after a rollback.
func (r *release) wrongCredentials() {
	r.t.Helper()
	r.kubectl("create", "secret", "generic", "wrong", "--from-literal=AWS_ACCESS_KEY_ID="+accessKey, "--from-literal=AWS_SECRET_ACCESS_KEY=not-the-secret")
	r.helmWith("upgrade", "larder", "--set", strings.Join(append(r.sets, "s3.existingSecret=wrong"), ","))
	r.eventually("larder-2 says why it is not ready", func() error {
		log, err := exec.CommandContext(r.t.Context(), "kubectl", "-n", "larder", "logs", "larder-2").CombinedOutput()
		if err == nil && !strings.Contains(string(log), "SignatureDoesNotMatch") {
			err = fmt.Errorf("%s", log)
		}
		return err
	})
	r.t.Log(r.kubectl("get", "pods"))
	r.t.Log(r.kubectl("logs", "larder-2", "--tail", "5"))
	r.helm("rollback", "larder")
	r.settled()
}

// uninstall takes the release away, looks at what stays, and installs it again, which takes up what stayed.
func (r *release) uninstall() {
	r.t.Helper()
	began := time.Now()
	r.helm("uninstall", "larder", "--wait")
	r.t.Logf("the uninstallation took %.1f s and left:\n%s", time.Since(began).Seconds(), r.kubectl("get", "all,secrets,configmaps,persistentvolumeclaims,networkpolicies,poddisruptionbudgets,serviceaccounts"))
	r.helmWith("install", "larder", "--wait", "--timeout", "5m")
	addr := r.kubectl("get", "service", "larder", "-o", "jsonpath={.spec.clusterIP}") + ":8080"
	c := &plain{addr: addr, token: r.token, fresh: true}
	if _, err := c.do("GET", "/v1/objects/kept-0", nil); err != nil {
		r.t.Errorf("with the token of before: %v", err)
	}
}

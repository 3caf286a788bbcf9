//go:build kubernetes

package kubernetes

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// Addresses of the machines: the nodes are .1 and .2.
const (
	network  = "172.31.240."
	outside  = network + "9" // where the control plane, the S3 and the callers are
	services = "10.96.0.0/16"
	pods     = "10.244.0.0/16"
	server   = "https://" + outside + ":6443"
)

// startLimit bounds the wait for each part of Kubernetes, on a busy machine.
const startLimit = 3 * time.Minute

// A kube is a Kubernetes of two nodes that ends with the test.
type kube struct {
	t         *testing.T
	dir       string // of logs and state
	authority *testcluster.Authority
	nodes     map[string]*testcluster.Process // what holds each node's namespaces
}

// newKube brings it up, with Larder's image on both nodes.
func newKube(t *testing.T) *kube {
	k := &kube{t: t, dir: filepath.Join(*home, "run"), authority: testcluster.NewAuthority(t, "kubernetes"), nodes: make(map[string]*testcluster.Process)}
	t.Setenv("KUBECONFIG", k.kubeconfig("admin", "system:masters"))
	k.run("ip", "link", "set", "lo", "up")
	k.run("ip", "link", "add", "fabric", "type", "bridge")
	k.run("ip", "addr", "add", outside+"/24", "dev", "fabric")
	k.run("ip", "link", "set", "fabric", "up")
	for i, name := range []string{"n1", "n2"} {
		k.addNode(name, i+1)
	}
	k.run("ip", "route", "add", services, "via", network+"1") // Services are reached through the first node's kube-proxy
	k.startControlPlane()
	k.startDNS()
	for i, name := range []string{"n1", "n2"} {
		k.startContainerd(name)
		k.startKubelet(name, i+1)
	}
	for name := range k.nodes {
		k.eventually("node "+name, func() error {
			return k.is("True", "node", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		})
	}
	return k
}

// addNode makes the namespaces of a node, and connects them with the others.
func (k *kube) addNode(name string, number int) {
	k.t.Helper()
	dir := filepath.Join(k.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		k.t.Fatal(err)
	}
	k.nodes[name] = k.start(name, "unshare", "--mount", "--net", "--uts", "--ipc", "bash", testdata("node.sh"), name, dir)
	k.eventually(name+"'s namespaces", func() error {
		_, err := os.Stat(filepath.Join(dir, "ready"))
		return err
	})
	pid := fmt.Sprint(k.nodes[name].Pid())
	k.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid)
	k.run("ip", "link", "set", name, "master", "fabric", "up")
	k.run("ip", "route", "add", podNet(number), "via", address(number), "dev", "fabric")
	k.on(name, "ip", "addr", "add", address(number)+"/24", "dev", "eth0")
	k.on(name, "ip", "link", "set", "eth0", "up")
	k.on(name, "ip", "route", "add", podNet(3-number), "via", address(3-number))
	k.addControlGroups("larder-" + name)
}

// addControlGroups makes the groups that a kubelet makes its own below, one in
// each controller of version 1, or one in the tree of version 2.
func (k *kube) addControlGroups(name string) {
	k.t.Helper()
	const root = "/sys/fs/cgroup"
	dirs := []string{root}
	if _, err := os.Stat(root + "/cgroup.controllers"); err != nil {
		dirs, err = filepath.Glob(root + "/*/cgroup.procs")
		if err != nil {
			k.t.Fatal(err)
		}
		for i := range dirs {
			dirs[i] = filepath.Dir(dirs[i])
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			k.t.Fatal(err)
		}
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // version 1 begins with none
		if all, err := os.ReadFile(filepath.Join(root, "cpuset", file)); err == nil {
			if err := os.WriteFile(filepath.Join(root, "cpuset", name, file), all, 0o644); err != nil {
				k.t.Fatal(err)
			}
		}
	}
}

func (k *kube) startControlPlane() {
	k.t.Helper()
	cert, key := k.authority.Issue("apiserver", x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		DNSNames:    []string{"kubernetes.default.svc"},
		IPAddresses: []net.IP{net.ParseIP(outside), net.ParseIP("10.96.0.1")},
	}, x509.ExtKeyUsageServerAuth)
	client, clientKey := k.issue("apiserver-kubelet-client", "system:masters")
	accounts, accountsKey := k.issue("service-accounts")
	k.start("etcd", "server", "--data-dir", filepath.Join(k.dir, "etcd"), "--log-level", "warn", "--unsafe-no-fsync")
	k.start("kube-apiserver", "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--service-cluster-ip-range="+services,
		"--advertise-address="+outside, "--bind-address="+outside, "--tls-cert-file="+cert, "--tls-private-key-file="+key,
		"--client-ca-file="+k.authority.File, "--kubelet-certificate-authority="+k.authority.File,
		"--kubelet-client-certificate="+client, "--kubelet-client-key="+clientKey, "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+accounts, "--service-account-signing-key-file="+accountsKey,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true")
	k.eventually("the API server", func() error { return k.is("ok", "--raw", "/readyz") })
	k.start("kube-controller-manager", "kube-controller-manager", "--kubeconfig="+k.kubeconfig("system:kube-controller-manager"),
		"--service-account-private-key-file="+accountsKey, "--root-ca-file="+k.authority.File, "--cluster-cidr="+pods,
		"--use-service-account-credentials=true", "--leader-elect=false")
	k.start("kube-scheduler", "kube-scheduler", "--kubeconfig="+k.kubeconfig("system:kube-scheduler"), "--leader-elect=false")
}

func (k *kube) startDNS() {
	k.t.Helper()
	// It keeps answers for 30 s, also that there is no such name.
	file := k.write("Corefile", fmt.Sprintf(`.:53 {
  bind %s
  errors
  kubernetes cluster.local in-addr.arpa {
    kubeconfig %s
    ttl 30
  }
  cache 30
}
`, outside, k.kubeconfig("coredns", "system:masters")))
	k.start("coredns", "dns", "-conf", file)
}

// issue makes a client's certificate for a user of these groups.
func (k *kube) issue(user string, groups ...string) (cert, key string) {
	k.t.Helper()
	return k.authority.Issue(strings.ReplaceAll(user, ":", "-"), x509.Certificate{Subject: pkix.Name{CommonName: user, Organization: groups}}, x509.ExtKeyUsageClientAuth)
}

// kubeconfig writes what a user of these groups speaks to the API server with.
func (k *kube) kubeconfig(user string, groups ...string) string {
	k.t.Helper()
	cert, key := k.issue(user, groups...)
	return k.writeJSON(strings.ReplaceAll(user, ":", "-")+".kubeconfig", map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "c",
		"clusters": []any{map[string]any{"name": "k", "cluster": map[string]any{"server": server, "certificate-authority": k.authority.File}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{"client-certificate": cert, "client-key": key}}},
		"contexts": []any{map[string]any{"name": "c", "context": map[string]any{"cluster": "k", "user": "u"}}},
	})
}

// start runs a process beside the nodes, for as long as the test.
func (k *kube) start(name string, command ...string) *testcluster.Process {
	k.t.Helper()
	p := testcluster.NewProcess(k.t, name, k.dir, os.Environ(), func() []string { return command })
	p.Launch()
	return p
}

// inside is the beginning of a command in a node's namespaces. It leaves /sys as it is, where the control groups are.
func (k *kube) inside(node string, command ...string) []string {
	return append([]string{"nsenter", "-t", fmt.Sprint(k.nodes[node].Pid()), "-m", "-n", "-u", "-i", "--"}, command...)
}

// on runs a command on a node.
func (k *kube) on(node string, command ...string) string {
	k.t.Helper()
	return k.run(k.inside(node, command...)...)
}

// run runs a command, which has to succeed, and returns what it writes.
func (k *kube) run(command ...string) string {
	k.t.Helper()
	out, err := exec.CommandContext(k.t.Context(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		k.t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
	return string(out)
}

// is reports an error unless 'kubectl get' with these arguments writes want.
func (k *kube) is(want string, args ...string) error {
	out, err := exec.CommandContext(k.t.Context(), "kubectl", append([]string{"get"}, args...)...).CombinedOutput()
	if err != nil || string(out) != want {
		return fmt.Errorf("kubectl get %s: %q, want %q (%w)", strings.Join(args, " "), out, want, err)
	}
	return nil
}

func (k *kube) eventually(what string, cond func() error) {
	k.t.Helper()
	testcluster.Eventually(k.t, startLimit, what, cond)
}

func (k *kube) write(name, text string) string {
	k.t.Helper()
	path := filepath.Join(k.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return path
}

func (k *kube) writeJSON(name string, v any) string {
	k.t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		k.t.Fatal(err)
	}
	return k.write(name, string(text))
}

func address(number int) string { return network + fmt.Sprint(number) }

func podNet(number int) string { return fmt.Sprintf("10.244.%d.0/24", number) }

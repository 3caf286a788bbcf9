//go:build kubernetes

package kubernetes

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const socket = "/run/containerd/containerd.sock"

// startContainerd starts a node's container runtime, and gives it the images.
func (k *kube) startContainerd(node string) {
	k.t.Helper()
	runc, err := exec.LookPath("runc")
	if err != nil {
		k.t.Fatal(err)
	}
	config := k.write(node+"-containerd.toml", fmt.Sprintf(`version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true # root may lack CAP_SYS_RESOURCE
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = %q
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [%q]
  conf_dir = %q
`, runc, filepath.Join(*home, "parts"), filepath.Join(k.dir, node, "cni")))
	k.start(node+"-containerd", k.inside(node, "containerd", "--config", config)...)
	k.eventually("containerd of "+node, func() error {
		return exec.CommandContext(k.t.Context(), "nsenter", k.inside(node, "ctr", "version")[1:]...).Run()
	})
	for _, tar := range []string{k.pauseImage(), k.larderImage()} {
		k.on(node, "ctr", "-n", "k8s.io", "images", "import", tar)
	}
}

// startKubelet starts a node's kubelet and kube-proxy.
func (k *kube) startKubelet(node string, number int) {
	k.t.Helper()
	if err := os.MkdirAll(filepath.Join(k.dir, node, "cni"), 0o755); err != nil {
		k.t.Fatal(err)
	}
	k.writeJSON(node+"/cni/bridge.conflist", map[string]any{"cniVersion": "1.0.0", "name": "pods", "plugins": []any{map[string]any{
		"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
		"ipam": map[string]any{
			"type": "host-local", "ranges": []any{[]any{map[string]any{"subnet": podNet(number)}}}, "routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
		},
	}}})
	cert, key := k.authority.Issue(node, x509.Certificate{
		Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, IPAddresses: []net.IP{net.ParseIP(address(number))},
	}, x509.ExtKeyUsageServerAuth)
	config := k.writeJSON(node+"-kubelet.json", map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true}, "x509": map[string]any{"clientCAFile": k.authority.File}},
		"authorization":  map[string]any{"mode": "Webhook"},
		"tlsCertFile":    cert, "tlsPrivateKeyFile": key,
		"containerRuntimeEndpoint": "unix://" + socket,
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/larder-" + node, "failCgroupV1": false, "failSwapOn": false,
		"clusterDNS": []string{outside}, "clusterDomain": "cluster.local", "resolvConf": k.write("resolv.conf", "nameserver "+outside+"\n"),
		"evictionHard":                map[string]any{"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
		"imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99, "localStorageCapacityIsolation": false,
		"syncFrequency": "10s", // of mounted Secrets too: a minute otherwise
	})
	k.start(node+"-kubelet", k.inside(node, "kubelet", "--config", config, "--kubeconfig", k.kubeconfig("system:node:"+node, "system:nodes"),
		"--hostname-override", node, "--node-ip", address(number), "--node-labels=topology.kubernetes.io/zone=zone-"+strings.TrimPrefix(node, "n"))...)
	proxy := k.writeJSON(node+"-proxy.json", map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables", "clusterCIDR": pods, "hostnameOverride": node,
		"clientConnection": map[string]any{"kubeconfig": k.kubeconfig("system:kube-proxy")},
		// A network namespace that is not the first may not set these.
		"conntrack": map[string]any{"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})
	k.start(node+"-proxy", k.inside(node, "kube-proxy", "--config", proxy)...)
}

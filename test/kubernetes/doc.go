// Package kubernetes runs the chart through the life of a release on a real
// Kubernetes, and counts the requests that fail meanwhile. API server, controller
// manager, scheduler, two kubelets and kube-proxies, etcd, containerd and CoreDNS are
// built from the modules that parts/go.mod names; each node is a set of namespaces of
// one machine. The test process and the S3 are on a third machine beside the nodes. The tests
// need root and what test/scripts/kubernetes builds, so they are behind the build tag
// kubernetes: make kubernetes.
package kubernetes

// Package check holds what can be known of the chart without a Kubernetes
// cluster, as tests: every values file of ../ci is rendered with Helm 4 and 3,
// decoded strictly into the types of the Kubernetes API, held against the
// restricted pod security profile and against the flags and metrics of the
// node itself, which is built and run. It is a module of its own, so that
// none of what this needs is in the node's module graph. Run the tests with
// -count=1: Go does not see that the chart or the node changed.
package check

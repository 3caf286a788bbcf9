//go:build !race

package testcluster

// given names a node that is built.
const given = "LARDER_NODE"

// raceFlags build the node as the test itself was built.
func raceFlags() []string { return nil }

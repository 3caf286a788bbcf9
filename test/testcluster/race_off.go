//go:build !race

package testcluster

// raceFlags build the node as the test itself was built.
func raceFlags() []string { return nil }

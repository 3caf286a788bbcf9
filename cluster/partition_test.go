package cluster

import "testing"

func TestPartitionHeals(t *testing.T) {
	var net network
	nodes := startAll(t, 4, net.setup())
	net.split(nodes[0], nodes[1])
	agree(t, nodes[:2]...)
	agree(t, nodes[2:]...)
	net.split()
	agree(t, nodes...)
}

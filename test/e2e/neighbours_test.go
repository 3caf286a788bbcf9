package e2e

import (
	"maps"
	"strings"
	"testing"

	"larder/test/testcluster"
)

// A node that joins has the bytes of the nodes that were there, and those have what one
// that leaves gives them; S3 is asked for heads alone.
func TestBytesComeFromNeighbours(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2, Flags: []string{"--chunk-size", "1MiB"}})
	all := stored(t, c.Nodes[0])
	asked := c.S3Requests(strings.Fields(bytesOfS3)...)
	step := func(what string, read ...*testcluster.Node) {
		t.Helper()
		from := map[string]int{}
		for _, n := range read {
			maps.Copy(from, wantAll(t, n, all))
		}
		now := c.S3Requests(strings.Fields(bytesOfS3)...)
		if now > asked {
			t.Errorf("%s: S3 was asked %d times for bytes, and the answers came from %v", what, now-asked, from)
		}
		asked = now
	}
	step("before", c.Nodes...)
	joined := c.AddNode()
	c.WaitMembers(3)
	step("joined", joined, c.Nodes[0], c.Nodes[1])
	if useful, err := joined.Metric("larder_neighbour_questions_total", func(labels map[string]string) bool { return labels["result"] == "useful" }); err != nil || useful == 0 {
		t.Errorf("who joined has asked nobody to any use: %v, %v", useful, err)
	}
	for _, n := range []*testcluster.Node{joined, c.Nodes[0]} {
		n.Stop()
		asked = c.S3Requests(strings.Fields(bytesOfS3)...)
		step(n.Name+" left", c.Nodes[1])
		n.Start()
		c.WaitMembers(3)
		step(n.Name+" is back", n, c.Nodes[1])
	}
}

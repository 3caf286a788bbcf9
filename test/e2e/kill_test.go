package e2e

import (
	"fmt"
	"testing"

	"larder/test/testcluster"
)

// others are the nodes of a cluster but one.
func others(c *testcluster.Cluster, but int) []*testcluster.Node {
	var rest []*testcluster.Node
	for i, n := range c.Nodes {
		if i != but {
			rest = append(rest, n)
		}
	}
	return rest
}

// Each node in turn is killed, then stopped in its tracks, while objects are
// read through the others: no read fails, and all bytes are right.
func TestReadsOutliveANode(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Secret: true})
	const prefix = "k/"
	all := putObjects(t, c.Nodes[0], prefix, 12, 50_000)
	for i, victim := range c.Nodes {
		rest := others(c, i)
		for _, fault := range []struct {
			name      string
			hit, heal func()
		}{
			{"killed", victim.Kill, victim.Start},
			{"hung", victim.Pause, victim.Resume},
		} {
			l := startLoad(t, all.reader(rest[0], prefix), all.reader(rest[0], prefix), all.reader(rest[1], prefix), all.reader(rest[1], prefix))
			l.settle()
			fault.hit()
			l.settle()
			c.WaitMembers(2)
			l.settle()
			fault.heal()
			c.WaitMembers(3)
			l.settle()
			l.stop(fmt.Sprintf("%s was %s", victim.Name, fault.name))
		}
	}
}

// Each node in turn is told to end and started again, while objects are read
// and written through the others: no request fails.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{})
	const prefix = "r/"
	all := putObjects(t, c.Nodes[0], prefix, 12, 50_000)
	for i, n := range c.Nodes {
		rest := others(c, i)
		l := startLoad(t, all.reader(rest[0], prefix), all.reader(rest[1], prefix),
			writer(rest[0], rest[1], fmt.Sprintf("w/%d/a", i)), writer(rest[1], rest[0], fmt.Sprintf("w/%d/b", i)))
		l.settle()
		n.Stop()
		l.settle()
		c.WaitMembers(2)
		n.Start()
		c.WaitMembers(3)
		l.settle()
		l.stop(n.Name + " was restarted")
	}
}

// A node that comes later takes its share, and what was there stays readable.
func TestAddNode(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 2})
	const prefix = "j/"
	all := putObjects(t, c.Nodes[0], prefix, 8, 20_000)
	l := startLoad(t, all.reader(c.Nodes[0], prefix), writer(c.Nodes[0], c.Nodes[1], "jw/"))
	l.settle()
	n := c.AddNode()
	c.WaitMembers(3)
	l.settle()
	l.stop("a node joined")
	for i := range all {
		do(t, "GET", object(n, i), nil).wantBody(t, all[i])
	}
}

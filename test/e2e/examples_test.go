package e2e

import (
	"bytes"
	"testing"

	"larder/test/testcluster"
)

// TestExamples runs what examples/ shows, as its README says.
func TestExamples(t *testing.T) {
	t.Parallel()
	node := testcluster.New(t, testcluster.Options{Nodes: 1, Embedded: true}).Nodes[0]
	out := run(t, nil, nil, "go", "run", "../../examples/client", node.URL())
	for _, want := range []string{"built here: true", "built here: false"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the client in Go does not say %q: %s", want, out)
		}
	}
	out = run(t, nil, nil, "../../examples/ccache.sh", node.URL())
	if !bytes.Contains(out, []byte("machine one: remote hits 0")) || bytes.Contains(out, []byte("machine two: remote hits 0")) {
		t.Errorf("the second machine finds nothing: %s", out)
	}
}

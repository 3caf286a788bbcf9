package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

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
	testBuildOnce(t, node)
	out = run(t, nil, nil, "../../examples/ccache.sh", node.URL())
	if !bytes.Contains(out, []byte("machine one: remote hits 0")) || bytes.Contains(out, []byte("machine two: remote hits 0")) {
		t.Errorf("the second machine finds nothing: %s", out)
	}
}

// testBuildOnce has several callers run the script at once: one runs the command, all
// have what it printed. A command that fails is run again.
func testBuildOnce(t *testing.T, node *testcluster.Node) {
	count := filepath.Join(t.TempDir(), "count")
	once := func(key, command string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "../../examples/build-once.sh", node.URL(), key, "sh", "-c", command, "sh", count)
		cmd.WaitDelay = 2 * time.Second // nothing that the script leaves behind may hold its output
		return cmd.Output()
	}
	const command = `echo run >>"$1"; sleep 1; echo the value`
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if out, err := once("built/once", command); err != nil || string(out) != "the value\n" {
				t.Errorf("build-once.sh: %v, %q", err, out)
			}
		})
	}
	all.Wait()
	if runs, err := os.ReadFile(count); err != nil || string(runs) != "run\n" {
		t.Errorf("the command ran not once: %v, %q", err, runs)
	}
	if _, err := once("built/twice", "exit 3"); err == nil {
		t.Errorf("build-once.sh succeeds where its command fails")
	}
	if out, err := once("built/twice", "echo mended"); err != nil || string(out) != "mended\n" {
		t.Errorf("build-once.sh after a failure: %v, %q", err, out)
	}
}

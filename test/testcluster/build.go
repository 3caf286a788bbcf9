package testcluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// build is the one build of the test process.
type build struct {
	once sync.Once
	path string
	dir  string // of a node that was built here
	err  error
}

var node build //nolint:gochecknoglobals // one build for all tests of the process

// Main runs a package's tests and then removes the node that they built. A
// package that uses Build or New calls it in its TestMain.
func Main(m *testing.M) {
	status := m.Run()
	if node.dir != "" {
		_ = os.RemoveAll(node.dir)
	}
	os.Exit(status)
}

// Build returns the path of the node's binary, with the race detector if the test has it:
// what LARDER_RACE_NODE names, or LARDER_NODE without the race detector. If that is not
// set, the node is built once for each test process.
func Build(t testing.TB) string {
	t.Helper()
	node.once.Do(node.make)
	if node.err != nil {
		t.Fatal(node.err)
	}
	return node.path
}

func (b *build) make() {
	if b.path = os.Getenv(given); b.path != "" {
		return
	}
	if b.dir, b.err = os.MkdirTemp("", "larder-node-"); b.err != nil {
		return
	}
	b.path = filepath.Join(b.dir, "node")
	args := append([]string{"build", "-tags", "trace", "-o", b.path}, raceFlags()...)
	args = append(args, "larder/cmd/node")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		b.err = fmt.Errorf("build node: %w\n%s", err, out)
	}
}

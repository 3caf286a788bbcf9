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
	err  error
}

var node build //nolint:gochecknoglobals // one build for all tests of the process

// Main runs a package's tests and then removes the node that they built. A
// package that uses Build or New calls it in its TestMain.
func Main(m *testing.M) {
	status := m.Run()
	if node.path != "" {
		_ = os.RemoveAll(filepath.Dir(node.path)) // it is in the folder for temporary files
	}
	os.Exit(status)
}

// Build returns the path of the node's binary. It is built once for each test
// process, with the race detector if the test has it.
func Build(t testing.TB) string {
	t.Helper()
	node.once.Do(func() { node.path, node.err = compile() })
	if node.err != nil {
		t.Fatal(node.err)
	}
	return node.path
}

func compile() (string, error) {
	dir, err := os.MkdirTemp("", "larder-node-")
	if err != nil {
		return "", fmt.Errorf("build node: %w", err)
	}
	path := filepath.Join(dir, "node")
	args := append(append([]string{"build"}, raceFlags()...), "-o", path, "larder/cmd/node")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build node: %w\n%s", err, out)
	}
	return path, nil
}

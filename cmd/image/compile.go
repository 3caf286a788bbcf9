package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// buildFlags make the binary the same wherever it is built. The Dockerfile has
// the same.
func buildFlags(version, commit string) []string {
	return []string{"-trimpath", "-buildvcs=false", "-ldflags", fmt.Sprintf("-s -w -buildid= -X main.version=%s -X main.commit=%s", version, commit)}
}

// compile builds the node as a static binary.
func compile(ctx context.Context, o options, arch, out string) error {
	args := append(append([]string{"build"}, buildFlags(o.Version, o.Commit)...), "-o", out, "./cmd/node")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = o.Source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build node for %s: %w\n%s", arch, err, said)
	}
	return nil
}

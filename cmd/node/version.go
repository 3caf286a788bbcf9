package main

import (
	"fmt"
	"runtime/debug"
)

// version and commit are set by the linker in a release: -X main.version=v1.2.3.
var version, commit = "dev", "" //nolint:gochecknoglobals // only the linker writes them

type versionCmd struct{}

// Run prints the version, the commit it was built from and the Go version.
func (versionCmd) Run() error {
	from, goVersion := builtFrom()
	_, err := fmt.Printf("larder %s, commit %s, %s\n", version, from, goVersion)
	return err
}

// builtFrom is the commit that the node was built from, and the Go version.
func builtFrom() (from, goVersion string) {
	from, goVersion = commit, "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && from == "" {
				from = s.Value
			}
		}
	}
	if from == "" {
		from = "unknown"
	}
	return from, goVersion
}

package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker in a release: -X main.version=v1.2.3.
var version = "dev"

type versionCmd struct{}

// Run prints the version, the commit it was built from and the Go version.
func (versionCmd) Run() error {
	commit, goVersion := "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		goVersion = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	_, err := fmt.Printf("larder %s, commit %s, %s\n", version, commit, goVersion)
	return err
}

//go:build trace

package main

import (
	"os"

	"larder/heads"
	"larder/test/trace"
)

// traced is what logs the changes of what a node of this ID trusts, for tests that hold
// them to the rules; nil unless LARDER_TRACE_FILE names a file.
func traced(id string) (func(heads.Event), error) {
	path := os.Getenv("LARDER_TRACE_FILE")
	if path == "" {
		return nil, nil
	}
	return trace.Log(path, id)
}

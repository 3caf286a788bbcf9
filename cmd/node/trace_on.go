//go:build trace

package main

import (
	"os"
	"strconv"
	"time"

	"larder/fill"
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

// expireSoon is how often what has expired is removed from S3, and how long after its
// moment: as LARDER_EXPIRE_EVERY says, for tests that cannot wait for ten minutes.
func expireSoon() (every, grace time.Duration, err error) {
	text := os.Getenv("LARDER_EXPIRE_EVERY")
	if text == "" {
		return 0, 0, nil
	}
	every, err = time.ParseDuration(text)
	return every, every / 3, err
}

// auditMore has one read in LARDER_AUDIT_EVERY compared with the store.
func auditMore(f *fill.Filler) error {
	text := os.Getenv("LARDER_AUDIT_EVERY")
	if text == "" {
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	f.AuditOneIn(uint32(max(n, 1)))
	return err
}

//go:build !trace

package main

import (
	"time"

	"larder/fill"
	"larder/heads"
)

// traced is nil: a node traces nothing unless it is built with -tags trace.
func traced(string) (func(heads.Event), error) { return nil, nil } //nolint:nilnil // the other may have an error

// expireSoon leaves it at writepath's defaults how soon what has expired is removed.
func expireSoon() (every, grace time.Duration, err error) { return 0, 0, nil }

// auditMore leaves it at fill's default how many reads are compared with the store.
func auditMore(*fill.Filler) error { return nil }

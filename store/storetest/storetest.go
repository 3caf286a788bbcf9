// Package storetest is the conformance suite that every store.Store passes:
// what the contract promises, tried on a real server.
package storetest

import (
	"testing"

	"larder/store"
)

// Gap is something that a server, other than S3 itself, does not do. A store
// on such a server cannot keep that part of the contract.
type Gap int

const (
	// NoDigestCheck is a server that takes bytes which do not match the
	// digest that came with them.
	NoDigestCheck Gap = iota + 1
	// NoAtomicConditions is a server that may let several of the writes win
	// that race under one condition.
	NoAtomicConditions
	// TornByRaces is a server that may answer 500, or with the bytes of one
	// write and the head of another, to a read that a write overtakes.
	TornByRaces
	// DropsUnderscores is a server that drops headers, and so metadata, with
	// an underscore in the name.
	DropsUnderscores
	// UndatedUploads is a server that does not say when an upload was begun.
	UndatedUploads
	// NoUploadConditions is a server that ignores If-Match when an upload is
	// completed, so that nothing may be concluded from its success.
	NoUploadConditions
	// LosesUploads is a server that answers 500 when asked for an upload that
	// it does not have.
	LosesUploads
)

// Run tests the stores that open makes. Each call of open may give the same
// store or a new one; the suite uses names of its own for every test.
func Run(t *testing.T, open func(t *testing.T) store.Store, gaps ...Gap) {
	s := suite{open: open, gaps: gaps}
	for _, group := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"Put", s.put},
		{"Conditions", s.conditions},
		{"Races", s.races},
		{"Torn", s.torn},
		{"Get", s.get},
		{"GetRange", s.getRange},
		{"Metadata", s.metadata},
		{"Names", s.names},
		{"Delete", s.delete},
		{"DeleteMany", s.deleteMany},
		{"List", s.list},
		{"Cancel", s.cancel},
		{"Ping", s.ping},
	} {
		t.Run(group.name, group.test)
	}
}

type suite struct {
	open func(t *testing.T) store.Store
	gaps []Gap
}

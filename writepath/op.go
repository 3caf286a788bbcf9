package writepath

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"larder/store"
)

var (
	// ErrUnknown says that the write may have happened, or may still happen.
	ErrUnknown = errors.New("outcome of the write unknown")
	// ErrClaimLost says that the key does not hold what it held when the write's claim
	// was granted, or that another write has ended the claim. Nothing was written, and
	// the Result has the head of what is there.
	ErrClaimLost = errors.New("the claim of the write is lost")
	// ErrNotApplied says that no node took the write within its time.
	// Nothing was written.
	ErrNotApplied = errors.New("write not taken")
)

// isUnknown reports whether a write that failed so may have happened all the same.
func isUnknown(err error) bool {
	return errors.Is(err, store.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

const (
	// writeLimit bounds a write from its arrival at a node to its answer. It
	// leaves room for an owner to be seen dead, a lease to run out, and an
	// upload.
	writeLimit = 45 * time.Second
	// completeLimit is that of making a large object visible: S3 may take a
	// minute to put its parts together.
	completeLimit = 100 * time.Second
)

// op is a write: a put, or a delete. Body and Parts do not travel with the rest.
type op struct {
	Delete bool
	// Head is what is kept with the bytes of a put: content type, digest,
	// writer, metadata. Of a delete it has only who asks for it, as the writer.
	Head store.Head
	// IfMatch lets the write happen only if one of these versions is there;
	// "*" is any version.
	IfMatch []string
	// IfAbsent lets a put happen only if nothing is there.
	IfAbsent bool
	// ExpiresIn is how long after the owner has taken a put the object expires; 0 for
	// never, and of what is in the store already: its head says it. It travels instead
	// of the moment, since clocks differ.
	ExpiresIn time.Duration `json:",omitempty"`
	// InParts says that the bytes are in the store already, and wait there to
	// be made visible.
	InParts bool
	// Claim is the claim that a put bears; nil without.
	Claim *Claim `json:",omitempty"`

	Body  []byte `json:"-"` // the object, if not InParts
	Parts parts  `json:"-"` // if InParts

	// expired is the name of the write that a delete removes once it has expired; empty
	// for any other write.
	expired string

	// drop says whether a delete is done, of many, and dropped is what became of it; nil
	// for any other write.
	drop    *Drop
	dropped *Dropped

	// abandoned reports whether nobody is known to wait for the outcome any
	// more. A write that is abandoned before its upload is not done.
	abandoned func() bool
}

// limit bounds the write from its arrival at a node.
func (o op) limit() time.Duration {
	if o.InParts {
		return completeLimit
	}
	return writeLimit
}

// claim is the name of the claim that a write bears; empty without.
func (o op) claim() string {
	if o.Claim == nil {
		return ""
	}
	return o.Claim.Name
}

// parts are the bytes of an object that the store holds and nobody sees yet.
type parts struct {
	Upload store.Upload
	Parts  partList
}

// partList is read from JSON up to as many parts as the store takes: a list of
// empty ones would grow to many times its length.
type partList []store.Part

// UnmarshalJSON reads a list.
func (l *partList) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("no list of parts")
	}
	for d.More() {
		var part store.Part
		if len(*l) == store.MaxParts {
			return fmt.Errorf("more than %d parts", store.MaxParts)
		}
		if err := d.Decode(&part); err != nil {
			return err
		}
		*l = append(*l, part)
	}
	return nil
}

// Result of a write that was acknowledged.
type Result struct {
	// Head is what is there now; zero after a delete.
	Head store.Head
	// Created says that nothing was there before.
	Created bool
	// Repeated says that an earlier write under the same claim, of the same bytes, is
	// there, and that this one did nothing.
	Repeated bool `json:",omitempty"`
}

// Claim is the right to put a key that somebody has built, as long as the key holds
// what it held when it was granted.
type Claim struct {
	// Name is random, and kept with the object.
	Name string
	// Version and Write are those of what the key held; Write is empty if it held nothing.
	Version, Write string
}

// absent reports whether the key held nothing.
func (c Claim) absent() bool { return c.Write == "" }

// isOf reports whether a claim was granted when this was there.
func (c Claim) isOf(h store.Head) bool { return !c.absent() && h.Is(c.Version, c.Write) }

// onto makes the head of an object say which claim it was built under; nil is none.
func (c *Claim) onto(h store.Head) store.Head {
	if c != nil {
		h.Claim = c.Name
	}
	return h
}

// Conditions of a put, as the caller stated them.
type Conditions struct {
	// IfMatch lets the put happen only if one of these versions is there; "*"
	// is any version.
	IfMatch []string
	// IfAbsent lets it happen only if nothing is there.
	IfAbsent bool
	// Claim lets it happen only if what was there when it was granted still is, and is
	// kept with the object. There is no other condition then.
	Claim *Claim
	// ExpiresIn is how long the object lives; 0 is for ever.
	ExpiresIn time.Duration
}

// Package heads is the lease protocol of docs/protocol.md: the table of what this
// node knows of keys (table.go), the turns of those who write them (turn.go), the
// members that may not be believed yet (settle.go), and what a revocation or a
// hint does when it arrives (revoked.go).
//
// It guarantees that a head which Get returns equals what the store holds, while
// the nodes agree on the key's owner. Package fill looks heads up and keeps what it
// was told (Get, KeepOwned, KeepLease, Grant); package writepath writes under a Turn;
// cmd/node ties RingChanged and Hint to the cluster, runs Run, and calls Retire
// before the node leaves. It reads no store, holds no bytes of objects, and asks
// members nothing but to settle. Everything is safe for concurrent use.
//
// The comments name the rules of docs/protocol.md: "Rule 4:" stands where that rule
// is kept, "(rule 4)" where it is relied on.
package heads

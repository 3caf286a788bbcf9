// Package builds lets one caller of the whole cluster build a key while all others
// who want it wait: it holds the claims, which docs/protocol.md ("Claims") lays down.
//
// A claim is in the memory of the key's owner and nowhere else. The owner's side is
// a table of what is known of each key that is being built (table.go, a state machine
// without clock or goroutines) and the questions that other nodes ask (owner.go). The
// other side is at every node: who is attached to it, and for which key it speaks to
// which owner (attend.go, visit.go). When the ring changes, announce.go brings the
// two together.
//
// While members agree there is at most one live claim for a key. A claim that is lost
// costs a second build and never a wrong value: the fence of a write is in package
// writepath, which asks Mark, and tells Unmark what came of it. Reads never depend on
// anything here. Package httpapi calls it for callers. It must never hold the bytes of
// an object. Everything exported is safe for concurrent use.
package builds

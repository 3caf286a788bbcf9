package heads

import (
	"time"

	"larder/keys"
)

// EventKind is what has happened to what a node knows.
type EventKind string

// The kinds. Those from Retired on are of all keys.
const (
	Hit       EventKind = "hit"       // a reader was answered from the live head Known
	Kept      EventKind = "kept"      // Known was kept, asked for at Asked, trusted until Until
	Granted   EventKind = "granted"   // Peer was granted a lease on Known until Until
	Dropped   EventKind = "dropped"   // the head was dropped
	Revoked   EventKind = "revoked"   // Peer, which writes the key, is about to be told that the head was dropped
	Began     EventKind = "began"     // a write began: the head is dropped, none is trusted until the end
	Marked    EventKind = "marked"    // the upload is marked, and sent if the node is the owner still
	Published EventKind = "published" // Known was written, and is trusted until Until
	Done      EventKind = "done"      // Known was written: the write has ended
	Unsure    EventKind = "unknown"   // the write has ended, and may yet happen until Until
	Undone    EventKind = "undone"    // the write has ended, and did not happen
	Retired   EventKind = "retired"   // the node leaves: every head is forgotten, none kept
	Changed   EventKind = "changed"   // the members changed, or settled: Unsettled are left
	Resumed   EventKind = "resumed"   // what rested is about to be trusted again
)

// Event is one change of what a node knows, or of what it trusts.
type Event struct {
	Kind EventKind
	Key  keys.Key
	Peer string // the ID of another node
	Known
	Owned bool // as the key's owner
	// Asked is when it was judged whether Known may be trusted: as the question was sent,
	// the reader came, or the members began to change.
	Asked, Until time.Time
	Unsettled    int  // members that are left
	Vouched      bool // what is owned rests until there are none
}

// trace hands an event to whoever listens, where the change is made and under the
// lock of what it changes. Nobody does in production.
func (t *Table) trace(e Event) {
	if t.cfg.Trace != nil {
		t.cfg.Trace(e)
	}
}

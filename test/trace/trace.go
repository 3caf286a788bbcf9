// Package trace checks what nodes traced of a key against the rules of
// docs/protocol.md: it follows every state of the store that explains what was seen so
// far, and reports the first event that none explains.
//
// What a node knows of a key is in the trace. What the store holds is not: an upload is
// applied at some moment between its mark and its end, and one whose outcome is unknown
// maybe later, or never. So a checker keeps the set of states in which the store may be.
// The events of all nodes are in one order: a simulation has one, and the processes of one
// machine share a clock (Log). What happens at one moment is in the order in which it was
// done.
//
// Tests call it, nothing else does. Its functions are pure.
package trace

import (
	"fmt"
	"slices"
	"time"

	"larder/heads"
)

// Ended is the end of a node, beside the kinds of package heads.
const Ended heads.EventKind = "ended"

// Event is one event of one start of a node, by its ID.
type Event struct {
	At   time.Time
	Node string
	heads.Event
}

// Line is the event for a person: in seconds since the beginning, and with the names of
// nodes by their IDs.
func (e *Event) Line(began time.Time, names map[string]string) string {
	since := func(t time.Time) float64 { return t.Sub(began).Seconds() }
	s := fmt.Sprintf("%10.4f %s: %s %s", since(e.At), names[e.Node], e.Key.Name, e.Kind)
	if e.Peer != "" {
		s += " " + names[e.Peer]
	}
	if e.Absent || e.Head.Version != "" {
		s += " " + e.Head.Meta["value"] + fmt.Sprintf(" (%.6s/%.4s)", e.Head.Version, e.Head.WriteName())
	}
	if !e.Until.IsZero() {
		s += fmt.Sprintf(" until %.4f", since(e.Until))
	}
	return s
}

// Protocol is what the checker has to know.
type Protocol struct {
	Lease, Revalidate time.Duration
	// Agreed reports whether members agreed at a time, and had for a lease.
	Agreed func(at time.Time) bool
}

// Broken is an event that no state explains.
type Broken struct {
	Event Event
	Why   string
}

// Error says what was wrong.
func (b *Broken) Error() string {
	e := b.Event
	return fmt.Sprintf("%s at %s, of %s: %s", e.Kind, e.Node, e.Key, b.Why)
}

// Check returns the first event of the key of this name, or of all keys, that breaks a
// rule, nil if there is none, and whether the key was followed to its end: it is given up
// where too much may have happened.
func Check(p Protocol, key string, events []Event) (b *Broken, followed bool) {
	c := checker{Protocol: p, nodes: map[string]*node{}, leases: map[lease]time.Time{}, store: newContents()}
	var mine []*Event
	for i := range events {
		if e := &events[i]; e.Key.Name == key || e.Key.Name == "" {
			mine = append(mine, e)
		}
	}
	oldest := oldestAsked(mine)
	for i, e := range mine {
		c.store.oldest = oldest[i]
		if why := c.take(e); why != "" {
			return &Broken{Event: *e, Why: why}, true
		}
	}
	return nil, !c.store.lost
}

// oldestAsked is when the oldest question was asked whose answer is trusted in an event or
// in one that follows, for each event.
func oldestAsked(events []*Event) []time.Time {
	all := make([]time.Time, len(events))
	for i, e := range slices.Backward(events) {
		all[i] = e.At
		if e.Kind == heads.Hit || e.Kind == heads.Kept || e.Kind == heads.Granted {
			all[i] = e.Asked
		}
		if i < len(events)-1 && all[i+1].Before(all[i]) {
			all[i] = all[i+1]
		}
	}
	return all
}

// checker is the state of the protocol for one key.
type checker struct {
	Protocol
	nodes  map[string]*node
	leases map[lease]time.Time // until when; by who has it
	store  *contents
	writes int
}

// lease is what was granted.
type lease struct{ by, to, head string }

// node is what one node knows.
type node struct {
	head      string // what it trusts; empty is nothing
	rests     string // what it trusted as owner before it had unsettled members
	resumed   bool   // it trusts that again, if it is the owner still: an answer shows it
	owned     bool
	from      string    // the owner that granted it
	asked     time.Time // when it asked for that
	until     time.Time
	dropped   time.Time // the last time
	unsure    time.Time // until when a write that has ended may yet happen
	unsettled int
	writing   bool
	began     time.Time
	marked    time.Time
	upload    int    // its number, if it is marked
	unheard   string // who trusted a head when it was marked, if it is
	gaveWay   bool   // it was told so, or did before the begin
	changed   bool   // since the begin
	retired   bool
	ended     bool
}

// live reports whether a head is trusted at a time.
func (n *node) live(at time.Time) bool { return n.head != "" && at.Before(n.until) }

// drop is what a drop does.
func (n *node) drop(at time.Time) { n.head, n.rests, n.dropped = "", "", at }

// named is a head as the checker compares them. What has expired and was not removed is
// in the store.
func named(k heads.Known) string {
	if k.Absent && (k.Expired.IsZero() || k.Head.Version == "") {
		return "absent"
	}
	return k.Head.Version + "/" + k.Head.WriteName()
}

// take takes in an event, and says what is wrong with it, if anything.
func (c *checker) take(e *Event) string {
	n := c.nodes[e.Node]
	if n == nil {
		n = &node{}
		c.nodes[e.Node] = n
	}
	if n.ended {
		return ""
	}
	switch e.Kind {
	case heads.Hit, heads.Kept, heads.Granted, heads.Published:
		return c.trusts(n, e)
	case heads.Began, heads.Marked, heads.Done, heads.Unsure, heads.Undone:
		return c.writesKey(n, e)
	case heads.Dropped:
		n.drop(e.At)
	case heads.Revoked:
		return n.revoked(e)
	case heads.Changed:
		n.dropLookups(e)
	case heads.Resumed:
		n.resumed = true
	case heads.Retired:
		n.drop(e.At)
		n.retired = true
	case Ended:
		if n.upload > 0 {
			c.store.leave(n.upload, e.At.Add(c.Revalidate))
		}
		*n = node{ended: true}
	}
	return ""
}

// dropLookups takes in that the members have changed, or settled. A node does that for
// one part of its keys after the other: what it began meanwhile may be from after it.
func (n *node) dropLookups(e *Event) {
	n.unsettled = e.Unsettled
	n.changed = n.changed || !n.began.After(e.Asked)
	if e.Asked.After(n.dropped) {
		n.dropped = e.Asked
	}
	if !e.Vouched {
		n.rests = ""
	}
	if e.Unsettled > 0 && !n.asked.After(e.Asked) {
		if n.head != "" && n.owned && e.Vouched {
			n.rests = n.head
		}
		n.head, n.resumed = "", false
	}
}

// revoked takes in that a node has acknowledged a revocation.
func (n *node) revoked(e *Event) string {
	switch {
	case n.live(e.At):
		return "rule 11: it acknowledges, and trusts a head"
	case n.upload > 0:
		return "rule 11: it acknowledges during an upload of its own"
	}
	n.gaveWay = n.writing
	return ""
}

// trusts takes in what a node trusts, grants or answers.
func (c *checker) trusts(n *node, e *Event) string {
	is := named(e.Known)
	if n.head == "" && n.resumed && n.rests == is {
		n.head = n.rests
	}
	switch {
	case n.writing:
		return "rules 7 and 9: the key is being written there"
	case e.Kind == heads.Published:
		return c.published(n, e, is)
	case e.Kind == heads.Kept:
		return c.kept(n, e, is)
	case !n.live(e.Asked) || n.head != is:
		return fmt.Sprintf("rule 1: it trusts %q until %s, not %q", n.head, n.until.Format(time.StampMicro), is)
	case c.Agreed(e.At) && !c.store.holds(is, e.Asked, e.At):
		return fmt.Sprintf("the store cannot hold %q now: %s", is, c.store)
	case e.Kind == heads.Hit:
		return ""
	case !n.owned:
		return "rule 6: it grants what it does not own"
	case e.Until.After(e.At.Add(c.Lease)) || e.Until.After(n.until):
		return "rule 6: it grants more than a lease, or than what is left"
	case e.At.Before(n.unsure):
		return "rule 7: it grants under the mark of an unknown outcome"
	}
	c.leases[lease{e.Node, e.Peer, is}] = e.Until
	return ""
}

// kept takes in an answer that is kept.
func (c *checker) kept(n *node, e *Event, is string) string {
	longest, from := c.Revalidate, ""
	if !e.Owned {
		longest = c.Lease
		from = c.granter(e, is)
	}
	switch {
	case n.retired:
		return "rule 18: it has retired"
	case e.Asked.Before(n.dropped):
		return "rule 4: the key was dropped since it asked"
	case e.Asked.Before(n.unsure):
		return "rule 13: it asked under the mark of an unknown outcome"
	case e.Until.After(e.Asked.Add(longest)):
		return "rule 4: it is trusted for longer than a lease from the asking, or --revalidate"
	case !e.Owned && from == "":
		return "rule 2: nobody has granted a lease on it"
	case e.Owned && n.unsettled > 0:
		return "rule 5: there are unsettled members"
	case e.Owned && !c.store.holds(is, e.Asked, e.At):
		return fmt.Sprintf("the store held no %q since it was asked: %s", is, c.store)
	case c.Agreed(e.At) && e.At.Before(e.Until) && !c.store.holds(is, e.At, e.At):
		return fmt.Sprintf("the store cannot hold %q any more: %s", is, c.store)
	}
	n.head, n.rests, n.owned, n.asked, n.until, n.from = is, "", e.Owned, e.Asked, e.Until, from
	return ""
}

// granter is who granted the lease that is kept.
func (c *checker) granter(e *Event, is string) string {
	for l, until := range c.leases {
		if l.to == e.Node && l.head == is && !e.Asked.After(until) {
			return l.by
		}
	}
	return ""
}

// published takes in that a write is trusted that has just ended.
func (c *checker) published(n *node, e *Event, is string) string {
	switch {
	case n.unsettled > 0, n.changed:
		return "rule 14: the members have changed or settled since the begin, or are unsettled"
	case n.began.Before(n.unsure):
		return "rule 13: it began under the mark of an unknown outcome"
	case e.Until.After(n.marked.Add(c.Revalidate)):
		return "rule 5: it is trusted for longer than --revalidate from before the upload"
	case c.Agreed(e.At) && !c.store.holds(is, e.At, e.At):
		return fmt.Sprintf("the store cannot hold %q now: %s", is, c.store)
	}
	n.head, n.owned, n.asked, n.until, n.from = is, true, n.began, e.Until, ""
	return ""
}

// writesKey takes in the steps of a write.
func (c *checker) writesKey(n *node, e *Event) string {
	if e.Kind == heads.Began {
		if n.writing {
			return "rule 8: two writes at once"
		}
		n.drop(e.At)
		n.writing, n.began, n.gaveWay, n.changed = true, e.At, false, false
		return ""
	}
	if e.Kind == heads.Marked {
		return c.marked(n, e)
	}
	upload := n.upload
	n.writing, n.upload = false, 0
	n.drop(e.At)
	switch {
	case e.Kind == heads.Undone && upload == 0:
	case upload == 0:
		return "rule 12: a write without a mark"
	case e.Kind != heads.Undone && n.unheard != "": // else nothing was sent: another is the owner by then
		return n.unheard
	case e.Kind == heads.Undone:
		if !c.store.undone(upload, e.At) {
			return fmt.Sprintf("the store has done what it is said to have refused: %s", c.store)
		}
	case e.Kind == heads.Unsure:
		n.unsure = e.Until
		c.store.leave(upload, e.Until)
	case !c.store.done(upload, named(e.Known), e.At):
		return fmt.Sprintf("the store cannot have done it: %s", c.store)
	}
	return ""
}

// marked takes in that an upload begins.
func (c *checker) marked(n *node, e *Event) string {
	if n.gaveWay {
		return "rule 11: it was told to give way"
	}
	if !n.writing || n.upload > 0 {
		return "rule 12: a mark without a begin"
	}
	n.unheard = ""
	for id, other := range c.nodes {
		if other.live(e.At) && (other.from == e.Node || c.Agreed(e.At)) {
			n.unheard = fmt.Sprintf("rule 10: at the mark, %s trusted %q until %s", id, other.head, other.until.Format(time.StampMicro))
		}
	}
	c.writes++
	n.upload, n.marked = c.writes, e.At
	c.store.mark(n.upload, e.At)
	return ""
}

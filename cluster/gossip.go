package cluster

import (
	"context"
	"crypto/rand"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxGossip    = 1 << 10 // fits a packet with all that goes around it
	gossipIDSize = 12
	gossipQueued = 1024 // messages that wait to be sent or to be received; beyond that they are dropped
	// Every member sends a message this often, times the logarithm of the
	// cluster's size, to members taken at random. It misses a member with a
	// chance of about e to the minus that: at memberlist's usual 4, one of
	// seven members misses about every tenth message, and in about one of 150
	// clusters of five that start together one misses another.
	gossipRepeats = 12
	seenFor       = 30 * time.Second
	seenAtMost    = 1 << 16
)

// Gossip sends msg, of at most 1 KiB, to all members, best effort: it usually
// arrives within half a second, may never, and arrives once at most. This node
// does not receive its own.
func (c *Cluster) Gossip(msg []byte) {
	if len(msg) > maxGossip {
		c.log.Warn().Int("bytes", len(msg)).Int("most", maxGossip).Msg("dropped a gossip message: too long")
		return
	}
	b := make([]byte, gossipIDSize, gossipIDSize+len(msg))
	_, _ = rand.Read(b) // never fails
	b = append(b, msg...)
	c.hints.seen.first(string(b[:gossipIDSize]))
	c.hints.send(b)
}

// OnGossip registers the receiver of gossip messages. It is called from one
// goroutine, and while it is busy messages are queued and then dropped. It must
// be called before Run.
func (c *Cluster) OnGossip(f func([]byte)) { c.hints.f = f }

// hints is the gossip of the package's users. memberlist does not forward it,
// so with more than a few members some would never get a message: whoever sees
// one for the first time queues it again.
type hints struct {
	queue *memberlist.TransmitLimitedQueue
	inbox chan []byte
	seen  seen
	f     func([]byte) // nil: nobody wants them
}

func newHints(c *Cluster) *hints {
	return &hints{
		queue: &memberlist.TransmitLimitedQueue{
			NumNodes:       func() int { return len(c.ring.Load().owners) },
			RetransmitMult: gossipRepeats,
		},
		inbox: make(chan []byte, gossipQueued),
	}
}

func (h *hints) send(b []byte) {
	h.queue.QueueBroadcast(hint(b))
	if h.queue.NumQueued() > gossipQueued {
		h.queue.Prune(gossipQueued)
	}
}

// receive takes a message from memberlist, which must not be held up and uses
// the bytes again.
func (h *hints) receive(b []byte) {
	if len(b) < gossipIDSize || len(b) > gossipIDSize+maxGossip || !h.seen.first(string(b[:gossipIDSize])) {
		return
	}
	b = append([]byte(nil), b...)
	h.send(b)
	select {
	case h.inbox <- b[gossipIDSize:]:
	default:
	}
}

// deliver hands messages to the receiver until ctx ends.
func (h *hints) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case msg := <-h.inbox:
			if h.f != nil {
				h.f(msg)
			}
		}
	}
}

// hint is one message in memberlist's queue.
type hint []byte

var _ memberlist.UniqueBroadcast = hint(nil)

// Invalidates says that no message replaces another.
func (hint) Invalidates(memberlist.Broadcast) bool { return false }

// Message returns the bytes.
func (h hint) Message() []byte { return h }

// Finished hears that the message has been sent often enough.
func (hint) Finished() {}

// UniqueBroadcast spares the queue the search for messages that this one
// replaces.
func (hint) UniqueBroadcast() {}

// seen remembers IDs for 30 to 60 s, in two generations; far longer than a
// message is on its way.
type seen struct {
	mu       sync.Mutex // guards the fields below
	now, old map[string]struct{}
	since    time.Time
}

// first reports whether id was not seen before, and remembers it.
func (s *seen) first(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil || len(s.now) >= seenAtMost || time.Since(s.since) > seenFor {
		s.now, s.old, s.since = make(map[string]struct{}), s.now, time.Now()
	}
	_, inNow := s.now[id]
	_, inOld := s.old[id]
	s.now[id] = struct{}{}
	return !inNow && !inOld
}

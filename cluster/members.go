package cluster

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	departuresKept    = time.Hour // how long a death is remembered
	departuresAtMost  = 256
	farewellsAtMost   = 4096
	metaLeavesForName = 300 // what a name can count on within memberlist's 512 bytes of metadata
)

// Departure is a member that left the live set without a goodbye.
type Departure struct {
	Member Member
	At     time.Time // when this node noticed

	gossipAddr string // where it may be found again if it was only cut off
}

func (c *Cluster) newRecord(m Member, gossipAddr string) *record {
	return &record{Member: m, gossipAddr: gossipAddr, pool: c.port.Pool(m.ID, m.PeerAddr, m.Encrypted)}
}

// meta is what memberlist carries about a node. The short names leave room
// within its 512 bytes.
type meta struct {
	Name     string `json:"n"`
	PeerAddr string `json:"p"`
	Start    uint64 `json:"s"`
	Leaving  bool   `json:"l,omitempty"`
	Encrypt  bool   `json:"e,omitempty"`
}

func encodeMeta(m Member, leaving bool) ([]byte, error) {
	b, err := json.Marshal(meta{Name: m.Name, PeerAddr: m.PeerAddr, Start: m.Incarnation, Leaving: leaving, Encrypt: m.Encrypted})
	if err != nil {
		return nil, fmt.Errorf("describe this node: %w", err)
	}
	if len(b) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("--name and --advertise: together too long for gossip (%d bytes over): keep the name under %d bytes",
			len(b)-memberlist.MetaMaxSize, metaLeavesForName)
	}
	return b, nil
}

// Departed returns the members that left the live set within that time without
// having said so: they died, were cut off, or were replaced by a later start of
// the same name before they were seen dead. A member that has come back since
// is still listed. Deaths are remembered for an hour.
//
// A caller that needs all processes which may still trust something must call
// Members first and Departed second: a member that dies or returns in between is
// then in one of the two.
func (c *Cluster) Departed(within time.Duration) []Departure {
	since := time.Now().Add(-within)
	c.mu.Lock()
	defer c.mu.Unlock()
	var recent []Departure
	for _, d := range c.departures {
		if d.At.After(since) {
			recent = append(recent, d)
		}
	}
	return recent
}

// delegate is what memberlist calls, with its own lock held: nothing here may
// block or call memberlist.
type delegate struct{ *Cluster }

var (
	_ memberlist.Delegate      = delegate{}
	_ memberlist.EventDelegate = delegate{}
)

// NotifyJoin hears of a node that is alive, for the first time or again.
func (d delegate) NotifyJoin(n *memberlist.Node) { d.alive(n) }

// NotifyUpdate hears of new metadata: the node is leaving.
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.alive(n) }

// NotifyLeave hears of a node that is dead or has left; memberlist does not say
// which.
func (d delegate) NotifyLeave(n *memberlist.Node) { d.dead(n.Name) }

// NodeMeta describes this node to the others.
func (d delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	leaving := d.records[d.self.ID].leaving
	d.mu.Unlock()
	b, err := encodeMeta(d.self, leaving)
	if err != nil {
		d.log.Error().Err(err).Msg("this node cannot describe itself to the others")
	}
	return b
}

// NotifyMsg receives one gossiped message; the bytes are memberlist's.
func (d delegate) NotifyMsg(b []byte) { d.hints.receive(b) }

// GetBroadcasts gives memberlist the gossip to send along.
func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.hints.queue.GetBroadcasts(overhead, limit)
}

// LocalState and MergeRemoteState would exchange more state when two members
// compare notes; there is none.
func (d delegate) LocalState(bool) []byte { return nil }

// MergeRemoteState has nothing to merge.
func (d delegate) MergeRemoteState([]byte, bool) {}

// alive records what memberlist says of a node that is alive.
func (c *Cluster) alive(n *memberlist.Node) {
	var about meta
	if err := json.Unmarshal(n.Meta, &about); err != nil || about.Name == "" || about.PeerAddr == "" {
		c.metaLog.Warn().Str("addr", n.Address()).
			Msg("ignored a gossip member that is not a node of this program: give the cluster its own label and secret")
		return
	}
	m := Member{Name: about.Name, PeerAddr: about.PeerAddr, Incarnation: about.Start, ID: n.Name, Encrypted: about.Encrypt}

	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.records[m.ID]; !known && c.isOldNews(m) {
		c.doubt(m, n.Address(), about.Leaving)
		return
	}
	c.admit(m, n.Address(), about.Leaving)
}

// admit makes a process a member. c.mu must be held.
func (c *Cluster) admit(m Member, gossipAddr string, leaving bool) {
	rec, known := c.records[m.ID]
	if !known {
		rec = c.newRecord(m, gossipAddr)
		c.records[m.ID] = rec
		c.log.Info().Str("peer", m.Name).Str("id", m.ID).Str("addr", m.PeerAddr).Msg("member joined")
	}
	rec.gossipAddr = gossipAddr
	_, saidGoodbye := c.farewells[m.ID]
	rec.leaving = rec.leaving || leaving || saidGoodbye
	c.noteReplaced()
	c.rebuild()
}

// noteReplaced counts members as departed that a later start of the same name
// has replaced. Whether they are dead shows only later, and until then they may
// hold leases. c.mu must be held.
func (c *Cluster) noteReplaced() {
	latest := newest(c.records)
	for _, rec := range c.records {
		by := latest[rec.Name]
		replaced := by != rec
		if replaced && !rec.replaced {
			c.log.Warn().Str("peer", rec.Name).Str("id", rec.ID).Str("by", by.ID).Bool("self", rec.ID == c.self.ID).
				Msg("a node of the same name started later and takes this one's place: if both go on running, give each its own --name")
			if !rec.leaving {
				c.depart(rec)
			}
		}
		rec.replaced = replaced
	}
}

// dead records that a node is no longer there. A member that said goodbye goes on
// serving what it was asked, so questions to it are left alone: until it answers or
// closes, or as long as the asker's context allows.
func (c *Cluster) dead(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.doubted, id)
	rec := c.records[id]
	if rec == nil || id == c.self.ID {
		return
	}
	delete(c.records, id)
	c.gone.add(rec.Member, rec.leaving)
	if rec.leaving {
		c.log.Info().Str("peer", rec.Name).Str("id", id).Msg("member left")
		rec.pool.Retire()
	} else {
		c.log.Warn().Str("peer", rec.Name).Str("id", id).Msg("member died or was cut off: its keys have other owners now")
		rec.pool.End(ErrMemberGone)
		if !rec.replaced {
			c.depart(rec)
		}
	}
	c.noteReplaced()
	c.rebuild()
}

// depart remembers a death. c.mu must be held.
func (c *Cluster) depart(rec *record) {
	now := time.Now()
	c.departures = slices.DeleteFunc(c.departures, func(d Departure) bool { return now.Sub(d.At) > departuresKept })
	if over := len(c.departures) - departuresAtMost + 1; over > 0 {
		c.departures = slices.Delete(c.departures, 0, over)
	}
	c.departures = append(c.departures, Departure{Member: rec.Member, At: now, gossipAddr: rec.gossipAddr})
}

// farewell records that a member is leaving. The goodbye of an ID is
// remembered, since it may overtake the news that the member exists, and news
// from before it may come again.
func (c *Cluster) farewell(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for other, at := range c.farewells {
		if now.Sub(at) > departuresKept {
			delete(c.farewells, other)
		}
	}
	if len(c.farewells) < farewellsAtMost {
		c.farewells[id] = now
	}
	if rec := c.records[id]; rec != nil {
		rec.leaving = true
		c.rebuild()
	}
}

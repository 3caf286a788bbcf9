package builds

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// maxPassed is how many claims of a key are remembered that were passed on.
const maxPassed = 16

// note is something that auditors want to know.
type note struct {
	key           keys.Key
	user, verdict string
	detail        string
}

func (t *table) note(k keys.Key, user, verdict, detail string) {
	t.notes = append(t.notes, note{k, user, verdict, detail})
}

// settle draws the conclusions from what has changed of a key.
func (t *table) settle(now time.Time, st *state) {
	if t.marks[st.key] == 0 { // else all is settled when the write has ended
		t.dropGone(now, st)
		if st.claim == nil && t.asked && !t.needsLook(st) {
			t.grant(now, st)
		}
	}
	if !st.looking && t.needsLook(st) {
		st.looking, st.lookedFor = true, st.clock
		t.looks = append(t.looks, st.key)
	}
	if st.claim == nil && len(st.parties) == 0 && len(st.speakers) == 0 && st.failure == nil && !st.looking {
		delete(t.keys, st.key)
	}
}

// dropGone forgets who is attached nowhere.
//
// Rule 24: a claim whose holder is gone, or was not heard of for too long, is passed on,
// but not while the key is marked as being written, see settle.
func (t *table) dropGone(now time.Time, st *state) {
	if c := st.claim; c != nil {
		switch {
		case len(c.holder.seats) == 0:
			t.lose(st, "builder gone")
		case now.Sub(c.heard) >= t.silence:
			t.given.add(c.Name)
			t.lose(st, "builder silent")
			t.decide(st, c.holder, Verdict{Kind: Lost})
		}
	}
	was := len(st.parties)
	st.parties = slices.DeleteFunc(st.parties, func(p *party) bool { return len(p.seats) == 0 })
	if len(st.parties) != was {
		t.bump(st)
	}
}

// lose takes a claim from its holder, without a write. It is live again if its holder
// comes back before another has one.
func (t *table) lose(st *state, why string) {
	t.note(st.key, st.claim.User, "claim-passed-on", why)
	if len(t.passed) >= t.limits.names {
		clear(t.passed) // it is for a late put after a delete, and nothing is replaced then
	}
	names := t.passed[st.key]
	t.passed[st.key] = append(names[max(0, len(names)-maxPassed+1):], st.claim.Name)
	st.tookOver = len(st.waiters()) > 0 // whoever asks later takes nothing over
	t.dropClaim(st)
}

// dropClaim ends the live claim.
func (t *table) dropClaim(st *state) {
	st.claim = nil
	st.clock++
	st.ended = st.clock
	t.bump(st)
}

// needsLook reports whether somebody waits for a look at the key that begins later
// than the last one did.
func (t *table) needsLook(st *state) bool {
	if c := st.claim; c != nil && st.looked < c.from {
		return true
	}
	i := len(st.parties) - 1 // the newest come last
	for i >= 0 && !st.waits(st.parties[i]) {
		i--
	}
	if i < 0 {
		return false
	}
	return st.looked < st.parties[i].came || st.claim == nil && st.looked < max(st.ended, st.wrote)
}

// looked takes in what a look at the key found, or why it failed.
//
// Rule 20: it decides for those who came before it began, if no write has ended since.
func (t *table) looked(now time.Time, k keys.Key, h store.Head, err error) {
	st := t.keys[k]
	if st == nil || !st.looking {
		return
	}
	st.looking = false
	if st.wrote > st.lookedFor {
		t.settle(now, st)
		return
	}
	absent := errors.Is(err, store.ErrNotFound)
	st.looked, st.base = st.lookedFor, Base{}
	if err == nil {
		st.base = baseOf(h)
	}
	if c := st.claim; c != nil && c.from <= st.looked && c.Base != st.base && (err == nil || absent) {
		t.ended.add(c.Name)
		t.decide(st, c.holder, Verdict{Kind: Lost})
		t.dropClaim(st)
	}
	for _, p := range st.waiters() {
		if p.came <= st.looked {
			t.judge(now, st, p, h, err)
		}
	}
	t.settle(now, st)
}

// judge decides what a waiter is told after a look.
func (t *table) judge(now time.Time, st *state, p *party, h store.Head, err error) {
	switch {
	case err == nil && fits(now, h, p.MaxAge):
		if p.verdict.Kind == Waits {
			t.counts.joined++
		}
		t.decide(st, p, Verdict{Kind: Built, ETag: h.Version})
	case errors.Is(err, store.ErrUnexpected):
		t.decide(st, p, Verdict{Kind: Barred, Error: err.Error()})
	case err != nil && !errors.Is(err, store.ErrNotFound):
		t.decide(st, p, Verdict{Kind: Troubled, Error: err.Error()})
	case st.failure != nil && p.hears(st.failure):
		t.decide(st, p, st.failure.at(now))
	case p.verdict.Kind == "":
		t.decide(st, p, Verdict{Kind: Waits})
	}
}

// fits reports whether an object is young enough for a caller who wants none older; nil is
// any age.
func fits(now time.Time, h store.Head, maxAge *float64) bool {
	return maxAge == nil || now.Sub(h.Modified).Seconds() <= *maxAge
}

// grant gives the claim to the oldest waiter who is there and may write. A claim's base
// is what the last look found, and nothing has happened since.
func (t *table) grant(now time.Time, st *state) {
	waiters := st.waiters()
	if !slices.ContainsFunc(waiters, func(p *party) bool { return p.Writer }) {
		for _, p := range waiters {
			t.decide(st, p, Verdict{Kind: Refused})
		}
		return
	}
	i := slices.IndexFunc(waiters, func(p *party) bool { return p.Writer && !p.away() })
	if i < 0 {
		return
	}
	p := waiters[i]
	st.claim = &held{
		Claim: Claim{
			Name: strings.ToLower(rand.Text()), Holder: p.ID, User: p.User, Base: st.base,
			Granted: now.UnixMilli(), Expect: p.Expect, Stream: p.Stream,
		},
		holder: p, from: st.looked, heard: now, spoke: map[string]uint64{}, message: p.Message,
	}
	if st.tookOver {
		t.counts.tookOver++
	}
	st.tookOver = false
	t.note(st.key, p.User, "claim-granted", st.claim.Name)
	t.bump(st)
	st.claim.told = st.version
}

// mark notes that a write is about to change the key, and reports whether the claim
// that it bears, if any, was not ended by a write.
func (t *table) mark(k keys.Key, claim string) bool {
	if claim != "" && t.ended.has(claim) {
		return false
	}
	t.marks[k]++
	return true
}

// unmark takes in what came of a write that was marked.
func (t *table) unmark(now time.Time, k keys.Key, claim string, o heads.Outcome) {
	if t.marks[k]--; t.marks[k] == 0 {
		delete(t.marks, k)
	}
	if o.Done {
		t.wrote(now, k, claim, o.Known)
	} else if st := t.keys[k]; st != nil {
		st.clock++
		st.wrote = st.clock // what the store holds may have changed all the same
		t.settle(now, st)
	}
}

// wrote takes in that the key has changed.
//
// Rule 22: whoever wrote, the claim is over, and so are all that were passed on or that
// a node names. What was put wakes all; after a delete
// the next one builds.
func (t *table) wrote(now time.Time, k keys.Key, claim string, is heads.Known) {
	st := t.keys[k]
	if claim != "" {
		t.ended.add(claim)
	}
	for _, name := range t.passed[k] {
		t.ended.add(name)
	}
	delete(t.passed, k)
	if st == nil {
		if claim != "" && !is.Absent {
			t.counts.built++
		}
		return
	}
	st.clock++
	st.wrote = st.clock
	for _, p := range st.parties {
		if p.Claim != nil {
			t.ended.add(p.Claim.Name)
		}
	}
	over := Verdict{Kind: Built, ETag: is.Head.Version}
	if is.Absent {
		over = Verdict{Kind: Lost}
	}
	if c := st.claim; c != nil {
		t.ended.add(c.Name)
		t.decide(st, c.holder, over)
		t.dropClaim(st)
	}
	st.tookOver = false
	if !is.Absent {
		if claim != "" {
			t.counts.built++
		}
		st.failure = nil
		for _, p := range st.waiters() {
			t.counts.joined++
			t.decide(st, p, over)
		}
	}
	t.settle(now, st)
}

// fenced takes in that a write was refused since its claim is lost. If that was the
// live claim, its base is gone: the owner looks what is there, which wakes who waits.
func (t *table) fenced(now time.Time, k keys.Key, user, claim string) {
	t.counts.fenced++
	t.note(k, user, "claim-lost", claim)
	st := t.keys[k]
	if st == nil || st.claim == nil || st.claim.Name != claim {
		return
	}
	t.decide(st, st.claim.holder, Verdict{Kind: Lost})
	t.dropClaim(st)
	t.settle(now, st)
}

// tick does what only the passing of time does.
func (t *table) tick(now time.Time) {
	t.running += tickEvery
	for _, st := range t.keys {
		for node, sp := range st.speakers {
			if sp.until != 0 && t.running >= sp.until {
				delete(st.speakers, node)
				for _, p := range st.parties {
					delete(p.seats, node)
				}
			}
		}
		if st.failure != nil && !now.Before(st.failure.until) {
			st.failure = nil
		}
		t.settle(now, st)
	}
}

// ringChanged takes in that the members have changed: from here on nothing is granted
// until allAsked.
//
// Rule 27: the claims of keys that others own now are forgotten.
func (t *table) ringChanged(now time.Time, ring uint64, owns func(keys.Key) bool, isMember func(id string) bool) {
	if ring <= t.ring {
		return
	}
	if t.asked {
		t.unasked = now
	}
	t.ring, t.asked = ring, false
	for k, st := range t.keys {
		if !owns(k) {
			st.gone = true
			t.bump(st)
			delete(t.keys, k)
			continue
		}
		for node, sp := range st.speakers {
			if node != t.self && !isMember(node) && sp.until == 0 {
				sp.until = t.running + absence
			}
		}
	}
}

// allAsked takes in that every member has said who is attached to it since that
// change of the ring, or has had the time. What is known of a key may come from before
// a write that ended elsewhere, so each is looked at.
func (t *table) allAsked(now time.Time, ring uint64) {
	if ring != t.ring {
		return
	}
	t.asked = true
	for _, st := range t.keys {
		t.recheck(st)
		t.settle(now, st)
	}
}

// forget takes in that this node was away without noticing it: what it knows may be
// over.
func (t *table) forget() {
	for k, st := range t.keys {
		st.gone = true
		t.bump(st)
		delete(t.keys, k)
	}
}

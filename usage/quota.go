package usage

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/dustin/go-humanize"

	"larder/keys"
	"larder/store"
)

// ErrQuota says that an org has as much as its policy lets it, or that an object is
// larger than that lets one be.
var ErrQuota = errors.New("over a limit of your organisation")

// Room is what a write under way may take of its org's limits, until Done, Unknown
// or Cancel. The first of these counts.
type Room struct {
	usage  *Usage
	key    keys.Key
	grows  Sum // what was reserved
	closed bool
}

// changeOf is what an org has more when an object was one thing and is another; nil
// is none.
func changeOf(was, is *store.Head) (s Sum) {
	if was != nil {
		s = s.minus(Sum{was.Size, 1})
	}
	if is != nil {
		s = s.plus(Sum{is.Size, 1})
	}
	return s
}

// Reserve makes room for a write that turns one object into another; nil is none. It
// is called at the key's owner, with the write's turn, and before anything is done
// of it. The error is ErrQuota.
//
// While there is much room, nobody is asked: members tell each other each second,
// or more seldom where writers are many, what they have added, and until it has told
// all a node adds no more than a quarter of its part of what was free. Were that more,
// what others do not know yet could pass the limit. Beyond that a write is first told
// to all others, and then what they say of theirs is looked at. Of two writes that do
// so at once at least one sees the other.
func (u *Usage) Reserve(ctx context.Context, k keys.Key, was, is *store.Head) (*Room, error) {
	if u == nil {
		return &Room{closed: true}, nil
	}
	p := u.policies.Of(k.Org)
	change := changeOf(was, is)
	r := &Room{usage: u, key: k, grows: Sum{max(change.Bytes, 0), max(change.Objects, 0)}}
	limited := (p.MaxBytes > 0 || p.MaxObjects > 0) && r.grows != (Sum{})
	if limited {
		u.known(ctx, k.Org)
	}
	near := u.take(r, p, limited)
	if !near {
		return r, nil
	}
	u.exchange(ctx, k.Org)
	if err := u.over(k.Org, p, r.grows, Sum{}); err != nil {
		r.Cancel()
		return nil, fmt.Errorf("%s needs %s more: %w", describe(is), r.need(), err)
	}
	return r, nil
}

func describe(is *store.Head) string {
	if is == nil {
		return "the write"
	}
	return fmt.Sprintf("this object of %s bytes", humanize.Comma(is.Size))
}

func (r *Room) need() string {
	if r.grows.Bytes == 0 {
		return "room for an object"
	}
	return humanize.Comma(r.grows.Bytes) + " bytes"
}

// take reserves, and reports whether the others have to be asked.
func (u *Usage) take(r *Room, p Policy, limited bool) (near bool) {
	members := int64(len(u.cluster.Members()))
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(r.key.Org)
	h.pending, h.writes = h.pending.plus(r.grows), h.writes+1
	h.begun = h.begun.plus(r.grows)
	h.changes++
	if !limited {
		return false
	}
	free := u.free(h, p)
	if members == 1 {
		return free.Bytes < 0 || free.Objects < 0
	}
	untold := h.begun.minus(h.known)
	was := free.plus(untold) // when the others were told last
	return r.grows.Bytes > 0 && untold.Bytes > was.Bytes/(4*members) ||
		r.grows.Objects > 0 && untold.Objects > was.Objects/(4*members)
}

// free is what an org may still have beside what it has and what is under way. What
// has no limit is plenty. The caller holds mu.
func (u *Usage) free(h *holding, p Policy) Sum {
	const plenty = 1 << 60
	has := h.total().plus(h.pending).plus(h.othersPending())
	f := Sum{plenty, plenty}
	if p.MaxBytes > 0 {
		f.Bytes = p.MaxBytes - has.Bytes
	}
	if p.MaxObjects > 0 {
		f.Objects = p.MaxObjects - has.Objects
	}
	return f
}

// over is the ErrQuota of an org that would have more than its policy lets it, with
// what is under way and so much more, of what grows. It says which limit, and how far.
func (u *Usage) over(org string, p Policy, grows, more Sum) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	f := u.free(h, p).minus(more)
	has := h.total()
	const advice = "remove what is not needed any more, or ask an operator for a higher limit"
	switch {
	case f.Bytes < 0 && grows.Bytes > 0:
		return fmt.Errorf("%w: %s has %s of the %s bytes that it may have (max_bytes), writes under way included: %s",
			ErrQuota, org, humanize.Comma(has.Bytes), humanize.Comma(p.MaxBytes), advice)
	case f.Objects < 0 && grows.Objects > 0:
		return fmt.Errorf("%w: %s has %s of the %s objects that it may have (max_objects), writes under way included: %s",
			ErrQuota, org, humanize.Comma(has.Objects), humanize.Comma(p.MaxObjects), advice)
	}
	return nil
}

// lock locks the counts until unlock.
func (r *Room) lock() (unlock func()) {
	if r.usage == nil {
		return func() {}
	}
	r.usage.mu.Lock()
	return r.usage.mu.Unlock
}

// close gives back what was reserved, and reports whether that was not done before.
// The caller holds mu.
func (r *Room) close() bool {
	if r.closed {
		return false
	}
	r.closed = true
	h := r.usage.holding(r.key.Org)
	h.pending, h.writes = h.pending.minus(r.grows), h.writes-1
	h.changes++
	return true
}

// Cancel says that nothing was written.
func (r *Room) Cancel() {
	defer r.lock()()
	r.close()
}

// Unknown says that it is not known what was written, or instead of what. The counts
// are compared with the bucket later.
func (r *Room) Unknown() {
	defer r.lock()()
	if r.close() {
		r.usage.doubts[r.key.Org] = true
	}
}

// Done says what was written instead of what; nil is none.
func (r *Room) Done(was, is *store.Head) {
	defer r.lock()()
	if !r.close() {
		return
	}
	h := r.usage.holding(r.key.Org)
	if was != nil {
		h.add(account{r.key.Service, was.Writer}, Sum{-was.Size, -1})
	}
	if is != nil {
		h.add(account{r.key.Service, is.Writer}, Sum{is.Size, 1})
	}
}

// Gone says that an object was removed. If its writer is not known, what each writer has
// is mended when the counts are next compared with the bucket.
func (r *Room) Gone(was store.Head, whole bool) {
	r.Done(&was, nil)
	if whole || r.usage == nil {
		return
	}
	defer r.lock()()
	r.usage.doubts[r.key.Org] = true
}

// Fits returns the ErrQuota of an object of an org that has this size, or has come so
// far, before or while its body is taken; and else the largest size that would do, as
// things stand. was returns what is there now, nil if nothing; it is asked only near
// a limit, and its error is returned. What counts in the end is Reserve.
func (u *Usage) Fits(ctx context.Context, org string, size int64, was func() (*store.Head, error)) (most int64, err error) {
	p := u.Policy(org)
	most = math.MaxInt64
	if p.MaxObjectSize > 0 {
		most = p.MaxObjectSize
	}
	if size > most {
		err = fmt.Errorf("%w: an object may have %s bytes at most (max_object_size), and this one has %s: store it in several, "+
			"or ask an operator for a higher limit", ErrQuota, humanize.Comma(most), humanize.Comma(size))
		return 0, err
	}
	if p.MaxBytes == 0 && p.MaxObjects == 0 {
		return most, nil
	}
	u.known(ctx, org)
	more, free := Sum{size, 1}, u.freeNow(org, p)
	if more.Bytes <= free.Bytes && more.Objects <= free.Objects {
		return max(size, min(most, free.Bytes)), nil
	}
	old, err := was()
	if err != nil {
		return 0, err
	}
	if old != nil {
		more = more.minus(Sum{old.Size, 1})
	}
	u.exchange(ctx, org) // what was removed just now makes room
	if err := u.over(org, p, more, more); err != nil {
		return 0, fmt.Errorf("this object of %s bytes: %w", humanize.Comma(size), err)
	}
	return max(size, min(most, size+u.freeNow(org, p).Bytes-more.Bytes)), nil
}

func (u *Usage) freeNow(org string, p Policy) Sum {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.free(u.holding(org), p)
}

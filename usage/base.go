package usage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"larder/keys"
	"larder/store"
)

const (
	// maxBook bounds what is read of an object of this package, in bytes.
	maxBook = 256 << 20
	// keepGone is how long the base names a start of a node that is over: longer
	// than any node remembers what it heard of it.
	keepGone = 24 * time.Hour
	// forgetStart is how long a node remembers what it heard of a start that is over.
	forgetStart = time.Hour
)

// base is what an org has as the bucket keeps it: sums, and how much of what each
// start counted is in them.
type base struct {
	walked time.Time // when the bucket was listed last; zero if never
	// doubt says that the sums may be wrong until the next walk.
	doubt  bool
	sums   accounts
	starts map[string]*start
}

// start is how much of what one start of a node counted is in the sums.
type start struct {
	sums  accounts
	total Sum       // of these
	gone  time.Time // when it was seen to be over; zero if it is not
	// closed says that it ended well, and everything that it counted is here.
	closed bool
}

func startOf(sums accounts) *start { return &start{sums: sums, total: sums.total()} }

func newBase() *base { return &base{sums: accounts{}, starts: map[string]*start{}} }

// of is what the base says of a start; nil if nothing.
func (b *base) of(id string) *start {
	if b == nil {
		return nil
	}
	return b.starts[id]
}

// counted is how much of what a start counted the base has.
func (b *base) counted(id string) Sum {
	if s := b.of(id); s != nil {
		return s.total
	}
	return Sum{}
}

// keptBase is a base as JSON.
type keptBase struct {
	Walked time.Time            `json:"walked"`
	Doubt  bool                 `json:"doubt"`
	Sums   []line               `json:"sums"`
	Starts map[string]keptStart `json:"starts"`
}

type keptStart struct {
	Sums   []line    `json:"sums"`
	Gone   time.Time `json:"gone,omitzero"`
	Closed bool      `json:"closed,omitempty"`
}

func (b *base) encode() ([]byte, error) {
	k := keptBase{Walked: b.walked, Doubt: b.doubt, Sums: b.sums.lines(), Starts: map[string]keptStart{}}
	for id, s := range b.starts {
		k.Starts[id] = keptStart{Sums: s.sums.lines(), Gone: s.gone, Closed: s.closed}
	}
	return json.Marshal(k)
}

func decodeBase(body []byte) (*base, error) {
	var k keptBase
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, err
	}
	b := &base{walked: k.Walked, doubt: k.Doubt, sums: accountsOf(k.Sums), starts: map[string]*start{}}
	for id, s := range k.Starts {
		b.starts[id] = startOf(accountsOf(s.Sums))
		b.starts[id].gone, b.starts[id].closed = s.Gone, s.Closed
	}
	return b, nil
}

// basePlace is where the base of an org is in the bucket.
func basePlace(org string) string { return keys.Usage(org, "sizes") }

// read reads an object of this package whole.
func (u *Usage) read(ctx context.Context, place string) (body []byte, version string, err error) {
	h, body, err := u.store.Get(ctx, place, maxBook, nil)
	if err == nil && h.Size != int64(len(body)) {
		err = fmt.Errorf("read %s: it has %d bytes, at most %d are read", place, h.Size, int64(maxBook))
	}
	return body, h.Version, err
}

// write writes an object of this package, if the one of this version is there; an
// empty one is none. On a store without such conditions they are not held.
func (u *Usage) write(ctx context.Context, place string, body []byte, version string) (string, error) {
	cond := store.Conditions{IfMatch: version, IfAbsent: version == ""}
	h, err := u.store.Put(ctx, place, store.Write{
		Head: store.Head{ContentType: "application/json"}, Body: body, Conditions: u.store.Traits().Told(cond),
	})
	return h.Version, err
}

// load reads the base of an org.
func (u *Usage) load(ctx context.Context, org string) error {
	body, version, err := u.read(ctx, basePlace(org))
	b := newBase()
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return fmt.Errorf("read what %s has: %w", org, err)
	default:
		if b, err = decodeBase(body); err != nil { // a walk makes it anew
			u.log.Error().Err(err).Str("org", org).Msg("the count of what an org has is not readable, and counted anew")
			b = newBase()
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	h.base, h.version, h.valid, h.outdated = b, version, false, false
	return nil
}

// save writes the base of an org anew, with all that is known now. change may change
// it before that, and hears what had moved at the same moment. closed says that this start will count no more.
func (u *Usage) save(ctx context.Context, org string, closed bool, change func(*base, movement)) error {
	b, version, moved := u.next(org, time.Now(), closed)
	if change != nil {
		change(b, moved)
	}
	body, err := b.encode()
	if err != nil {
		return err
	}
	version, err = u.write(ctx, basePlace(org), body, version)
	if errors.Is(err, store.ErrPrecondition) || errors.Is(err, store.ErrConflict) {
		// Another member has written it, or this one has and did not hear of it.
		return errors.Join(errRewritten, u.load(ctx, org))
	}
	if err != nil {
		return fmt.Errorf("write what %s has: %w", org, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	if h.base == nil || b.walked.After(h.base.walked) {
		h.changes++ // the others have to hear of it
	}
	h.base, h.version, h.valid = b, version, false
	return nil
}

// errRewritten says that a base was written by another member meanwhile.
var errRewritten = errors.New("what an org has was written by another node meanwhile")

// next makes the base that follows the one in the bucket.
func (u *Usage) next(org string, now time.Time, closed bool) (b *base, version string, moved movement) {
	self := u.cluster.Self().ID
	u.mu.Lock()
	defer u.mu.Unlock()
	h := u.holding(org)
	b = newBase()
	b.sums = h.accounts()
	b.starts[self] = startOf(clone(h.mine))
	b.starts[self].closed = closed
	for id, o := range h.others {
		b.starts[id] = startOf(clone(o.sums))
	}
	if h.base != nil {
		b.walked, b.doubt = h.base.walked, h.base.doubt
		for id, s := range h.base.starts {
			b.follow(id, s, now)
		}
	}
	for id, s := range b.starts {
		switch {
		case id == self || u.isLive(id):
			s.gone = time.Time{}
		case s.gone.IsZero():
			s.gone = now
			b.doubt = b.doubt || !s.closed // what it counted last was not heard
		}
	}
	return b, h.version, h.movement()
}

// follow takes what the base before says of a start.
func (b *base) follow(id string, was *start, now time.Time) {
	s := b.starts[id]
	switch {
	case s != nil:
		s.gone, s.closed = was.gone, s.closed || was.closed
	case was.gone.IsZero() || now.Sub(was.gone) < keepGone:
		kept := *was
		b.starts[id] = &kept
	}
}

func clone(a accounts) accounts {
	b := make(accounts, len(a))
	b.addAll(a)
	return b
}

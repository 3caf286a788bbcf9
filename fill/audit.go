package fill

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

const (
	// auditEvery is how many reads under a live head come to one that is compared with
	// the store's own answer, on average. At a thousand reads a second that is a HEAD
	// every ten seconds.
	auditEvery = 10_000
	// auditsAtOnce bounds those that are under way; a read that is chosen meanwhile is
	// not compared. auditLimit bounds each.
	auditsAtOnce = 2
	auditLimit   = 10 * time.Second
)

// Verdict is what comparing a live head with the store brought.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"
	Changed Verdict = "changed" // the head was dropped or replaced meanwhile: nothing can be said
	Differs Verdict = "differs" // it was live before and after, and is not what the store holds
	Failed  Verdict = "error"   // the store gave no answer
)

// audits counts the verdicts, and those that are to come.
type audits struct {
	every                                    uint32
	underWay, same, changed, differs, failed atomic.Int64
}

// AuditOneIn has one in so many reads under a live head compared with the store, for tests
// that want more of them. It is called before the first read.
func (f *Filler) AuditOneIn(reads uint32) { f.audits.every = reads }

// sample chooses a few of the reads that a live head answered, and compares each with
// the store, after its answer and on nobody's time but its own.
func (f *Filler) sample(k keys.Key) {
	if rand.Uint32N(f.audits.every) != 0 {
		return
	}
	if f.audits.underWay.Add(1) > auditsAtOnce {
		f.audits.underWay.Add(-1)
		return
	}
	k.Name = strings.Clone(k.Name) // it may be a view of bytes that change
	f.flights.Go(func() {
		defer f.audits.underWay.Add(-1)
		f.audit(k)
	})
}

// audit compares the head of k with what the store says. A write between the two is no
// fault: every write drops the head before the store has it. So only a head that is the
// same before and after the store's answer, and was not dropped in between, had to be
// what the store held.
func (f *Filler) audit(k keys.Key) Verdict {
	ctx, cancel := context.WithTimeout(context.Background(), auditLimit)
	defer cancel()
	before, live, asked := f.heads.Get(k)
	if !live {
		f.audits.changed.Add(1)
		return Changed
	}
	h, err := f.store.Head(ctx, k.Place())
	absent := errors.Is(err, store.ErrNotFound)
	if err == nil && !h.Expires.IsZero() && before.Absent {
		absent = before.Expired.Equal(h.Expires) // by the owner's clock, which may differ
	}
	after, live, now := f.heads.Get(k)
	switch {
	case err != nil && !absent:
		f.audits.failed.Add(1)
		return Failed
	case !live || !asked.Undisturbed(now) || !isSame(before, after):
		f.audits.changed.Add(1)
		return Changed
	case isSame(before, heads.Known{Head: h, Absent: absent}):
		f.audits.same.Add(1)
		return Same
	}
	f.audits.differs.Add(1)
	f.heads.Drop(k)
	f.log.Error().Stringer("key", k).Bool("absent", before.Absent).Str("version", before.Head.Version).
		Bool("absent_in_s3", absent).Str("version_in_s3", h.Version).
		Msg("a live head is not what S3 holds: somebody else writes to the bucket, members disagreed, or there is a fault in this program")
	return Differs
}

// isSame reports whether two answers name the same version, or absence.
func isSame(a, b heads.Known) bool {
	return a.Absent && b.Absent || a.Absent == b.Absent && chunks.VersionOf(a.Head) == chunks.VersionOf(b.Head)
}

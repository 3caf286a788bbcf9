package builds

import (
	"time"

	"larder/keys"
)

// giveUp ends a claim as its holder says: v is a failure, or zero to pass it on. Its
// error is ErrLost.
func (t *table) giveUp(now time.Time, k keys.Key, c Claim, v Verdict) error {
	st := t.keys[k]
	if t.ended.has(c.Name) || t.given.has(c.Name) || st != nil && st.claim != nil && st.claim.Name != c.Name {
		return ErrLost
	}
	t.given.add(c.Name)
	if st == nil {
		var err error
		if st, err = t.of(k); err != nil {
			return nil //nolint:nilerr // there is no room to remember it, and nobody waits
		}
	}
	if v.Kind != "" {
		v.Builder = c.User
		st.failure = &failure{Verdict: v, until: now.Add(remembered)}
		t.counts.ended(v.Kind)
		t.note(k, c.User, "build-"+string(v.Kind), v.Error)
	}
	if st.claim != nil {
		t.decide(st, st.claim.holder, Verdict{Kind: Lost})
		if v.Kind == "" {
			t.lose(st, "given up")
		} else {
			t.dropClaim(st)
		}
	}
	if st.failure != nil {
		for _, p := range st.waiters() {
			if p.hears(st.failure) {
				t.decide(st, p, st.failure.at(now))
			}
		}
	}
	t.settle(now, st)
	return nil
}

// end is giveUp without the claim's token. Its error is ErrOthers, ErrLost if there is no
// such claim, or errUnasked if that cannot be told yet.
func (t *table) end(now time.Time, k keys.Key, e Ending, v Verdict) error {
	st := t.keys[k]
	switch {
	case st == nil || st.claim == nil || st.claim.Granted != e.Since:
		if !t.asked {
			return errUnasked
		}
		return ErrLost
	case !e.Any && st.claim.User != e.User:
		return ErrOthers
	}
	c := st.claim.Claim
	t.note(k, e.User, "claim-ended", "that of "+c.User)
	return t.giveUp(now, k, c, v)
}

// hears reports whether a party is told of a failure from before. The builder's own
// user wants to see it again, after a change.
func (p *party) hears(f *failure) bool {
	return !p.Retry && (f.Kind == Unstored || p.User != f.Builder)
}

// at is what a failure says now.
func (f *failure) at(now time.Time) Verdict {
	v := f.Verdict
	v.Left = max(0, f.until.Sub(now).Seconds())
	return v
}

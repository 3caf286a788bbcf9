package main

import (
	"slices"

	"larder/test/overlay"
)

// mutation leaves one rule out of the code, or breaks it in another way.
type mutation struct {
	name string // the number of the rule in docs/protocol.md, or what no rule names
	what string
	code []overlay.Change
}

const (
	table   = "heads/table.go"
	turn    = "heads/turn.go"
	settle  = "heads/settle.go"
	vouch   = "heads/vouch.go"
	granted = "heads/granted.go"
	revoked = "heads/revoked.go"
	resolve = "fill/resolve.go"

	dropBatch = "writepath/drop_batch.go"
)

// mutations are one or more for each rule, and some that no rule names.
func mutations() []mutation {
	return slices.Concat(ofReads(), ofWrites(), ofMembers(), ofClaims(), beyond())
}

// ofReads are those of rules 1 to 7.
func ofReads() []mutation {
	return []mutation{
		{"1", "a lease that has ended is trusted", []overlay.Change{
			{table, "p.resting || s.entries.since(now) >= p.until {\n		return entry{}", "p.resting || p.until == ended {\n		return entry{}"},
		}},
		{"2", "what the store says past the owner is kept", []overlay.Change{{
			resolve, "reading the store\")\n		return f.fromStore(ctx, k, w, fl.user, false)",
			"reading the store\")\n		if a, err = f.fromStore(ctx, k, w, fl.user, false); err == nil {\n" +
				"			a.kept = f.heads.KeepLease(k, fl.began, a.Known, time.Hour)\n		}\n		return a, err",
		}}},
		{"3", "who joined takes an answer that was not kept", []overlay.Change{
			{resolve, "if fl.err != nil || fl.ans.kept ||", "if fl.err != nil || true ||"},
		}},
		{"4", "an answer is kept though the key was dropped since", []overlay.Change{
			{table, "if s.max == 0 || s.gen != asked.gen || s.barred", "if s.max == 0 || s.barred"},
		}},
		{"4", "a lease counts from the arrival", []overlay.Change{
			{table, "until: asked.At.Add(min(lease, t.cfg.Lease))", "until: time.Now().Add(min(lease, t.cfg.Lease))"},
		}},
		{"4", "a head outlasts its object", []overlay.Change{
			{table, "e.used, e.until = time.Now(), e.within(e.until)", "e.used = time.Now()"},
		}},
		{"5", "an owner trusts the store while members are unsettled", []overlay.Change{
			{table, "return t.owns(hash) && t.Settled()", "return t.owns(hash)"},
		}},
		{"5", "an owner trusts the store twice as long", []overlay.Change{
			{table, "until: asked.At.Add(t.cfg.Revalidate)", "until: asked.At.Add(2 * t.cfg.Revalidate)"},
		}},
		{"6", "a lease for who is no member", []overlay.Change{
			{table, "if _, ok := t.cluster.Member(to); !ok {", "if _, ok := t.cluster.Member(to); !ok && false {"},
		}},
		{"6", "a lease for longer than the owner's head", []overlay.Change{
			{table, "lease := min(t.cfg.Lease, e.until.Sub(now))", "lease := t.cfg.Lease"},
		}},
		{"7", "what was asked for during a write is kept", []overlay.Change{
			{table, "return q != nil && q.writing || s.isUnknown(k, asked)", "_ = q\n	return s.isUnknown(k, asked)"},
		}},
	}
}

// ofWrites are those of rules 8 to 14.
func ofWrites() []mutation {
	return []mutation{
		{"8", "writes of one key take no turns", []overlay.Change{
			{turn, "q = &queue{token: make(chan struct{}, 1)}", "q = &queue{token: make(chan struct{}, 9)}"},
		}},
		{"8", "an abandoned write is done", []overlay.Change{
			{turn, "if w.abandoned != nil && w.abandoned() {", "if w.abandoned != nil && w.abandoned() && false {"},
		}},
		{"8", "who was stopped does what it finds", []overlay.Change{
			{"peer/wakeful.go", "if now.Sub(w.last) > stopLimit {", "if now.Sub(w.last) > stopLimit*1000 {"},
		}},
		{"9", "the head is not dropped at the begin", []overlay.Change{
			{turn, "	s.drop(w.key)\n	w.queue.writing = true\n", "	w.queue.writing = true\n"},
		}},
		{"10", "no wait for who does not acknowledge", []overlay.Change{
			{"writepath/revoke.go", "if len(silent)+len(busy) == 0 {", "if len(silent)+len(busy) >= 0 {"},
		}},
		{"10", "no wait for who died lately", []overlay.Change{
			{"writepath/revoke.go", "range p.cluster.Departed(lease) {", "range p.cluster.Departed(lease)[:0] {"},
		}},
		{"10", "nobody is told though a lease was granted", []overlay.Change{
			{granted, "return w.granted || !t.Settled()", "return !t.Settled()"},
		}},
		{"10", "nobody is told though it has just settled", []overlay.Change{
			{granted, "time.Since(c.since) < Outlasts(t.cfg.Lease) || ", ""},
		}},
		{"10", "nobody is told though it was stopped", []overlay.Change{
			{granted, " || time.Since(t.cluster.Woke()) < stopDoubted", ""},
		}},
		{"10", "nobody is told in a ring that is not taken in", []overlay.Change{
			{granted, " || c.changes != t.cluster.Changes()", ""},
		}},
		{"10", "no time for clocks that drift", []overlay.Change{
			{granted, "return lease + lease/100 + 10*time.Millisecond", "return lease"},
		}},
		{"10", "a revocation does not drop the head", []overlay.Change{
			{turn, "	s.drop(k)\n	t.trace(", "	t.trace("},
		}},
		{"11", "no write gives way, nor is waited for", []overlay.Change{
			{turn, "		q.gaveWay = true\n", ""},
			{revoked, "uploaded := t.giveWay(k, from); uploaded != nil;", "uploaded := t.giveWay(k, from); uploaded != nil && false;"},
		}},
		{"11", "who is back and has not settled is acknowledged", []overlay.Change{
			{revoked, "return t.Unsettled(id) &&", "return t.Unsettled(id) && false &&"},
		}},
		{"12", "the owner is not looked up after the mark", []overlay.Change{
			{turn, "		return ErrNotOwner\n	}\n	return w.still()\n", "		return ErrNotOwner\n	}\n	return nil\n"},
		}},
		{"12", "an upload begins long after the revocation", []overlay.Change{
			{turn, "if time.Since(revoked) > sendWithin {", "if time.Since(revoked) > 1000*sendWithin {"},
		}},
		{"13", "an unknown outcome leaves no mark", []overlay.Change{
			{table, "	s.unknown[k] = now.Add(d)\n", ""},
		}},
		{"14", "what was written is trusted whatever changed meanwhile", []overlay.Change{
			{turn, "if !w.table.mayOwn(w.key.Hash()) || w.changed != s.changed || s.isUnknown(w.key, w.Began) {", "if w.changed > s.changed {"},
		}},
	}
}

// ofMembers are those of rules 15 to 19.
func ofMembers() []mutation {
	return []mutation{
		{"15", "new members count as settled", []overlay.Change{
			{settle, "		if !s.met[m.ID] {", "		if !s.met[m.ID] && false {"},
		}},
		{"15", "heads are kept when a member comes", []overlay.Change{
			{settle, "case len(unsettled) == 0 && !p.resting:", "case !p.resting:"},
		}},
		{"15", "what rests is trusted again though somebody did not vouch", []overlay.Change{
			{settle, "case owns && vouched:", "case owns:"},
		}},
		{"15", "who died and is back, before that was taken in, is not settled with", []overlay.Change{
			{settle, "if !d.At.Before(s.since) && s.met", "if false && s.met"},
		}},
		{"16", "who asks is not taken in as a member yet", []overlay.Change{
			{settle, "if isMember = s.met[m.ID]; !isMember ||", "if isMember = true;"},
		}},
		{"17", "who vouches makes this node one that was away", []overlay.Change{
			{settle, "!isMember || s.believes(vouch) {", "!isMember {"},
		}},
		{"16", "it vouches though it wrote while the asker was no member", []overlay.Change{
			{vouch, "if !v.wrote.Load() {", "if true {"},
		}},
		{"16", "it vouches though it has lost a member", []overlay.Change{
			{vouch, "if s.lost || !s.always[to]", "if !s.always[to]"},
		}},
		{"16", "it is believed though an earlier start was seen dead", []overlay.Change{
			{settle, "t.settling.believes(vouch) && !t.diedBefore(m.Member)", "t.settling.believes(vouch)"},
		}},
		{"16", "it is believed though it was with others", []overlay.Change{
			{vouch, "		if !s.met[id] {", "		if id == \"\" {"},
		}},
		{"15", "lookups under way are kept when the ring changes", []overlay.Change{
			{settle, "		s.gen++\n		s.changed++\n", "		s.changed++\n"},
		}},
		{"16", "uploads are not waited for before it is settled", []overlay.Change{
			{settle, "range t.uploads() {", "range t.uploads()[:0] {"},
		}},
		{"16", "it answers who is not in its ring", []overlay.Change{
			{settle, "if !ok {\n		return refusal(http.StatusConflict", "if !ok && false {\n		return refusal(http.StatusConflict"},
		}},
		{"17", "who was away does not forget", []overlay.Change{
			{settle, "if asked.Text != settleBack && !t.wasAway(m, asked.Text) {", "if false {"},
		}},
		{"17", "who was away does not settle in return", []overlay.Change{
			{settle, "unsettled[m.ID] = s.meet(m, true)", "_ = s.meet(m, true)"},
		}},
		{"18", "who leaves keeps its heads", []overlay.Change{
			{turn, "		s.max = 0\n		s.entries.clear()\n", ""},
		}},
		{"18", "who leaves waits for no write", []overlay.Change{
			{turn, "go func() { t.writing.Wait(); close(idle) }()", "close(idle)"},
		}},
		{"19", "a hint drops nothing", []overlay.Change{
			{revoked, "err == nil {\n		t.Drop(k)\n", "err == nil {\n		_ = k\n"},
		}},
	}
}

// beyond breaks what no rule names.
func beyond() []mutation {
	return []mutation{
		{"–", "bytes are not compared with their digest", []overlay.Change{
			{"fill/chunks/verify.go", "	if bytes.Equal(want, got) {", "	if bytes.Equal(want, got) || true {"},
		}},
		{"–", "bytes in memory are taken for those of another head", []overlay.Change{
			{"fill/chunks/chunk.go", "keys.Chunk(c.key, c.version, c.n)", "keys.Chunk(c.key, keys.Version{}, c.n)"},
		}},
		{"–", "of many, what was replaced meanwhile is removed", []overlay.Change{
			{dropBatch, "if x.out.Err = err; !takes || err != nil {", "if _ = err; !takes && false {"},
		}},
		{"–", "of many, what a former owner is writing is removed with the others", []overlay.Change{
			{dropBatch, "revoked != nil || busy[x.key.Place()] {", "revoked != nil {"},
		}},
		{"–", "many are removed without a revocation", []overlay.Change{
			{dropBatch, "	for i, m := range members {\n			acks[i].Member = m\n			asking.Go(", "	for i, m := range members[:0] {\n			acks[i].Member = m\n			asking.Go("},
		}},
		{"–", "what was written anew is removed as expired", []overlay.Change{
			{"writepath/expire.go", "return h.Write == write && heads.Of(", "return true || h.Write == write && heads.Of("},
		}},
		{"–", "a node that has met nobody yet removes what has expired", []overlay.Change{
			{"writepath/sweep.go", "if !p.cluster.Joined() || !p.heads.Settled() {", "if !p.heads.Settled() {"},
		}},
		{"–", "what was replaced before its moment is absent after it", []overlay.Change{
			{resolve, "err != nil || !a.Expired.After(asked)", "err != nil || !a.Expired.After(asked) || true"},
		}},
		{"–", "If-None-Match: * is not told to S3", []overlay.Change{
			{"writepath/apply.go", "return store.Conditions{IfAbsent: true}, before{known: true}, nil", "return store.Conditions{}, before{known: true}, nil"},
		}},
	}
}

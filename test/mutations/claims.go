package main

import "larder/test/overlay"

const (
	claimGrant    = "builds/grant.go"
	claimTable    = "builds/table.go"
	claimAttend   = "builds/attend.go"
	claimAnnounce = "builds/announce.go"
	claimVisit    = "builds/visit.go"
	fence         = "writepath/claim.go"
)

// ofClaims are those of the rules of claims.
func ofClaims() []mutation {
	return []mutation{
		{"20", "a grant without a look", []overlay.Change{
			{claimGrant, "if st.claim == nil && t.asked && !t.needsLook(st) {", "if st.claim == nil && t.asked {"},
		}},
		{"21", "a put replaces what came after its grant", []overlay.Change{
			{fence, "if c.absent() && holdsAbsent {", "if c.absent() && holdsAbsent && false {"},
			{fence, "case absent || !c.isOf(*is.head):", "case absent:"},
		}},
		{"21", "a claim that a write has ended is good", []overlay.Change{
			{claimGrant, "if claim != \"\" && t.ended.has(claim) {", "if claim != \"\" && t.ended.has(claim) && false {"},
		}},
		{"21", "a put that is sent again is refused", []overlay.Change{
			{fence, "case err == nil && h.Claim == o.Claim.Name &&", "case err == nil && h.Claim == o.Claim.Name && false &&"},
		}},
		{"22", "a write ends no claim", []overlay.Change{{
			claimGrant, "	if c := st.claim; c != nil {\n		t.ended.add(c.Name)\n		t.decide(st, c.holder, over)",
			"	if c := st.claim; c != nil && false {\n		t.ended.add(c.Name)\n		t.decide(st, c.holder, over)",
		}}},
		{"23", "an overtaken question counts", []overlay.Change{
			{claimTable, "if s.Number <= sp.number {", "if s.Number == sp.number {"},
		}},
		{"23", "who is attached is gone between two questions", []overlay.Change{
			{claimTable, "sp.until = t.running + absence\n	}\n}\n\n// attach takes", "sp.until = t.running + 1\n	}\n}\n\n// attach takes"},
		}},
		{"24", "the claim of a builder who is gone is kept", []overlay.Change{
			{claimGrant, "case len(c.holder.seats) == 0:", "case false:"},
		}},
		{"25", "a grant is taken in another ring", []overlay.Change{
			{claimAttend, "case b.ring() != ring || s.Number < g.announced:", "case false:"},
		}},
		{"26", "a new owner asks nobody", []overlay.Change{
			{claimGrant, "t.ring, t.asked = ring, false", "t.ring, t.asked = ring, true"},
		}},
		{"26", "a member answers who sees others", []overlay.Change{
			{claimAnnounce, "if asked.Text != idsOf(b.cluster.Members()) {", "if asked.Text == \"\" {"},
		}},
		{"27", "a former owner keeps its claims", []overlay.Change{
			{claimGrant, "		if !owns(k) {", "		if !owns(k) && false {"},
		}},
		{"28", "who leaves waits for nobody", []overlay.Change{
			{claimAttend, "	for b.speaks() {", "	for b.speaks() && false {"},
		}},
		{"28", "who leaves speaks for nobody", []overlay.Change{
			{claimVisit, "	if v.claim != nil || v.named {", "	if false {"},
		}},
		{"28", "who leaves takes another that leaves for elsewhere", []overlay.Change{
			{claimTable, "		if other != node && !s.away {", "		if other != node && (!s.away || true) {"},
		}},
	}
}

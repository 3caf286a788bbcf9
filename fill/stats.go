package fill

// Stats of what a node holds, and of what it did since it started.
type Stats struct {
	Own, Hot Held
	// Mismatches are the chunks, by source, that were not what was written.
	Mismatches map[Source]int64
	// Unverified chunks had no digest to be compared with.
	Unverified int64
	// Audits are the reads under a live head that were compared with the store.
	Audits map[Verdict]int64
}

// Held is one part of the memory tier: the chunks that the node owns, or its
// hot copies of chunks that others own. Bytes are what the chunks take, all told.
type Held struct {
	Bytes, Chunks int64
	// Evictions since the node started.
	Evictions int64
}

// Stats counts.
func (f *Filler) Stats() Stats {
	return Stats{
		Own: f.owned.held(),
		Hot: f.hot.held(),
		Mismatches: map[Source]int64{
			S3: f.verified.s3.Load(), Peer: f.verified.peer.Load(), Writer: f.verified.writer.Load(),
		},
		Unverified: f.verified.unknown.Load(),
		Audits: map[Verdict]int64{
			Same: f.audits.same.Load(), Changed: f.audits.changed.Load(), Differs: f.audits.differs.Load(), Failed: f.audits.failed.Load(),
		},
	}
}

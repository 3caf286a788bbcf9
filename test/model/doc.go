// Package model is a small abstract model of the protocol of docs/protocol.md,
// and an explorer that visits every state it can reach within given bounds.
//
// It holds the rules of readers, owners, writers and members for one key at
// three nodes, with S3 as an atomic register, and checks two promises in every
// state. Its tests call it, nothing else does. It shares no code with the
// packages that implement the rules: it shows that the rules are enough, and,
// by leaving one out at a time (the mutations of Config), that each is needed.
//
// # What is modelled
//
// A version is its place in S3's order: 0 is there at the start, each write
// that S3 applies is the next. A delete is a write like any other, and
// "absent" a version. Time is counted in ticks: a lease lasts one, a writer
// waits two, and one clock may once miss a tick.
//
// A lookup is three moments in the code (asked, answered, told to the caller)
// and two here: an answer that the owner or S3 gave later than the asking is
// only newer. A message that is lost or comes too late is a step that is not
// taken: a lookup can always go to S3 instead of its owner, a writer can
// always run out of patience. Two things are simpler than life: a member's
// answer to a request to settle is taken in as it is given, and a revocation
// that arrives after its writer has given up on it, which only drops, is left
// out. The mark of an upload, the look at the ring that follows it and the
// sending are one step. Who joins a lookup is left out unless a mutation makes
// it matter (joinsMatter).
//
// What can do no harm any more is left out of the state (tidy), which is why
// there are so few.
//
// # The promises
//
// (a) once a write is acknowledged, no read that starts later returns an older
// version; (b) once a read has returned a version, no read that starts later
// returns an older one. Since a reader who says no-cache may look into S3 at
// any moment, the two together are one sentence: a read is never answered with
// less than what S3 held when it started. They are promised while the members
// agree, see agree. Config.OnlyAcknowledged checks (a) alone.
package model

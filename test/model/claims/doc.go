// Package claims is a small abstract model of the claims of docs/protocol.md (rules 20
// to 28): one key at three nodes, up to three callers, and S3 as a cell with a
// conditional put. It shares the explorer with the model of the leases beside it, and no
// code with what implements the rules.
//
// # What is modelled
//
// Questions of a node name who is attached there. They are on their way, stand at the
// owner, or have an answer on its way; one that was overtaken may arrive later (Strays),
// and an answer may be lost. Nodes hear of each other in any order. A bound of time (3.5 s,
// 3 s) ends when what it waits for cannot come any more, or earlier as a misfortune (Slow). The
// 0.3 s of a broken stream are left out: a stream that breaks is a builder lost. A look is
// two steps, what S3 held and what the owner does then, as is a write: marked, applied, ended.
// Which waiter is the oldest is left open: any may be next. Leases are left out, since a
// look by the rules of a read finds what S3 holds.
//
// # The promises
//
// (a) No more builds begin than one, and one more for each thing lost: a builder, its
// stream, a node that it was attached to, a bound of time that ended early, a delete, and a
// grant while a node is taken for dead that lives. A join, a leave and an owner's death cost
// none, if no builder was attached to who died.
// (b) A put with a token lands only over its base, and never after a write of which its
// owner knows. No claim is granted over a base that is gone, once every write has ended.
// (c) When nothing more happens but builds, nobody waits though the value is there; when
// nothing more happens at all, nobody waits.
// (d) No repeat of a put lands twice, or is refused while its own value is there.
// (e) No claim is passed on by its owner while its write is marked.
package claims

// Package chaos proves by running what README promises: it drives real node
// processes over a real S3 while it kills, pauses, cuts off and restarts them,
// and checks what every client saw.
//
// The clients put, get, delete, remove by prefix and create a few keys that they share. Every
// value is unique and says what it is, so that a mixture or a short body fails
// at once. The history of each key is then checked as a linearizable register
// (Herlihy and Wing, 1990) with anishathalye/porcupine. An outcome that is not
// known is taken as such: that write may happen at any later time, or never.
//
// What is asked of a history depends on the faults in it:
//
//	current   kill, restart, S3, scale: linearizable as it is
//	bounded   pause, cut, S3 completing late: the members may disagree who is
//	          alive. Writes and no-cache reads are still linearizable, all
//	          other reads are at most --revalidate old
//
// A quarter of what is put expires within seconds. Nobody may be told of it a second after its
// moment, also while the members disagree, and it is removed from S3 beside all that happens.
//
// Callers want keys that are built for all who want them. Builders die, fail and lose their
// streams. No caller may be left without a value, a claim has one holder, but for one more
// for each node that is killed, and a value that was built replaces what was there when its
// claim was granted, or nothing.
//
// What the nodes trust meanwhile they trace, by the machine's clock, and that is held to
// the rules of docs/protocol.md (package trace): a head that is wrong for a moment, and
// that nobody reads, is found too.
//
// And at the end, when all faults are over, every node must return what S3
// holds. In the same runs, reads through the nodes that are well must all be
// answered.
//
// The lifecycle tests start, restart, scale and kill pods as the chart would
// have them: names that stay, addresses that change and of which the old ones
// swallow what is sent to them, and a DNS that comes late and answers old. They
// tell what happens, with counts, under -v.
//
// A schedule of faults is a pure function of its seed. Faults between nodes
// and pods need network namespaces of their own, so root: a test of its own
// reports whether there are any. Only tests are in this package.
package chaos

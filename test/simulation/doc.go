// Package simulation runs the real code of a cluster through many schedules of
// faults, each in a fraction of a second.
//
// A simulated cluster is 3 to 5 real nodes (cluster, fill, writepath, builds, httpapi) in
// one testing/synctest bubble, on a network and an S3 in memory, on a clock that
// jumps to the next moment at which something happens. A seed decides the faults,
// the delays and what clients do; Go's select, its order of maps and the IDs of
// processes stay random. What clients were told must be a linearizable history
// of each key, but for reads while members disagreed, and for a lease after that. What
// expires is gone a second after its moment, everywhere. A claim has one holder, a value
// that was built replaces what was there when its claim was granted and nothing else, and
// no caller is left without.
//
// Two things differ from a machine. A node that is stopped does not stand
// still: its network and its store do, both ways, and what its clients ask and
// are told. And a store that is late for a node which has ended never does what
// that node had asked.
package simulation

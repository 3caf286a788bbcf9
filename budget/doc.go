// Package budget plans the memory of a node and shares it out fairly.
//
// A Plan says how many bytes are for what, from --memory and the memory limit
// of the process; it is the only place that divides memory. A Pool holds the
// bytes of one purpose. Whoever needs some waits in one way, and is told ErrBusy
// in one way. No org keeps all others from a pool, and in it no user all others: each
// may hold no more than three times what is left (dynamic thresholds: Choudhury and
// Hahne, IEEE/ACM Transactions on Networking, 1998), whoever holds least is served first,
// and a holder that stalls while others wait is cut off. Pins charge a pool once for a
// chunk, however many callers it is on its way to.
//
// The package knows nothing of what the bytes are. Everything here is safe for
// concurrent use.
package budget

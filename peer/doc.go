// Package peer is the talk between nodes: questions and answers on connections
// whose two ends have proved to each other who they are.
//
// It guarantees that a question is answered by the very process that it was
// meant for or by nobody, that a process which does not know the cluster secret
// gets not one byte, and that an error tells by its kind whether the question may have been
// heard. cluster calls it, and hands its questions and answers on. It knows nothing
// of membership, of gossip, or of what is stored, and never decides what a member
// may ask. A Port and a Pool are safe for concurrent use.
package peer

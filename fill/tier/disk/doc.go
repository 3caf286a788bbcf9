// Package disk is the disk tier: it keeps chunks, by name, in files on local disk,
// and has them again after a restart.
//
// It guarantees that what Get returns is what Put was given under the same name, all
// of it: a checksum is compared at every read. Whatever the disk does, nothing here is
// an error to a reader: a chunk that cannot be read is not there. Put never waits for
// the disk, and may drop what it is given. Package chunks calls it. It must never load
// a chunk from elsewhere, and knows nothing of a chunk but its name, its bytes and its
// slot. Everything is safe for concurrent use, and a nil Disk is one that holds nothing.
//
// A slot is what a chunk has in common with its other versions; of each slot the disk
// keeps the chunk that was put last. A chunk lies as one record in a segment, a file
// that is written in sequence. What a segment holds is listed in a footer once it is
// full, so that the index in memory is there soon after a start; a segment without a
// footer, after a crash, is read through instead.
//
// Whole segments are evicted, the oldest first. What was read since it was written, or
// is in memory, moves to the newest segment, as in the main queue of S3-FIFO (Yang et
// al., "FIFO queues are all you need for cache eviction", SOSP 2023): a counter of two
// bits goes up with each read, and down with each move. Its small queue is left out: a
// chunk that memory holds has to be on disk for the next start, read again or not.
package disk

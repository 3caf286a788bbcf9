// Package tier is the memory tier: it keeps chunks in the memory that --memory gives
// it, each by an ID that stands for its name.
//
// It has three parts. Own keeps the chunks that the node owns, which groupcache fills:
// one load of a chunk however many callers want it at once. Hot keeps copies of
// chunks that other nodes own. Given keeps what members gave that have left. They
// drop what is least likely to be used again, and together they take no more bytes
// than the tier has.
//
// A chunk is a name, a slot by which it has its owner, and bytes that never change, and the
// package knows nothing else of it: not where it is loaded from, which node its owner is,
// or what is right about it. Package
// chunks calls it. It must never copy the bytes of a chunk, or load one by itself.
// Everything is safe for concurrent use.
package tier

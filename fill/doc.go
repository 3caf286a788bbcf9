// Package fill is the read path: it finds the head of a key, under a lease or
// from the key's owner or from the store, and the chunks of that version from
// memory, from the chunk's owner or from the store.
//
// It guarantees that a reader gets bytes of one version only, that the store
// sees one request however many callers ask at once, and that an answer that
// was under way when a key was revoked is neither kept nor given to a caller
// who asked later. Package httpapi calls Open and Stat; package writepath hands it
// what was written (Prime). It must never decide who may read, and never forward a
// peer's request. Everything is safe for concurrent use.
//
// The path of a read, top to bottom:
//
//	Open → resolve → (lease | owner | store) → locate → reserve → fetch → own:     memory, store
//	                                                                      other's: hot copy, owner, memory, store
//
// locate looks at the ring and at the memory tier once for each chunk, reserve
// takes memory for it, charged to the user who reads, and fetch has it come. A chunk
// that an owner gives, for one caller and not worth a copy, is relayed (remote.go).
//
// Two kinds of thing are kept. Chunks, under (key, version, n), never change;
// those that this node owns are filled by groupcache and kept in an LRU (owned.go),
// copies of others' in another (hot.go). They are compared with their SHA-256 on their way in (verify.go), which large objects
// have lists of (lists.go).
// Heads (key → version) change. Package heads keeps them, and says which are trusted.
package fill

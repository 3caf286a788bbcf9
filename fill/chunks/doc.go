// Package chunks obtains the chunks of a version: from the memory tier, the disk, the
// chunk's owner, who owned it before, or from the store.
//
// It guarantees that the bytes of a chunk are those that were written, wherever
// their SHA-256 is known (verify.go), that the store and the owner see one request
// however many callers want a chunk that is kept, and that a node takes no more
// memory for chunks on their way than its plan says. Package fill calls Take and
// Begin for callers; other nodes ask by the routes that Answer registers. It must
// never decide which version a key has, or pass a peer's question on. Everything is
// safe for concurrent use.
//
// A gift is a chunk that a member gave as it left. It is kept by its slot and the ID of
// its name, and compared with its digest when it is first asked for: its head tells that.
//
// The path of a chunk, top to bottom:
//
//	Take → locate → reserve → fetch → own:     memory, hot copy, gift, disk, owner before, store
//	                                  other's: hot copy, owner, memory, disk, store
//
// locate looks at the ring and at the memory tier once, reserve takes memory,
// charged to the user who reads, and fetch has the chunk come. A chunk that its owner
// gives for one caller, and that is not worth a copy, is relayed (relay.go).
package chunks

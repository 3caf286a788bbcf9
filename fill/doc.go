// Package fill is the read path: it finds the head of a key, under a lease or
// from the key's owner or from the store, and sends the chunks of that version.
//
// It guarantees that a reader gets bytes of one version only, that the store
// sees one request however many callers ask at once, and that an answer that
// was under way when a key was revoked is neither kept nor given to a caller
// who asked later. Package httpapi calls Open and Stat; package writepath hands it
// what was written (Prime). It must never decide who may read, and never forward a
// peer's request. Everything is safe for concurrent use.
//
// Open resolves the key (resolve.go) to a head, which package heads keeps and says
// whether to trust, and takes the first chunk from package chunks. Send takes the
// others, some of them ahead (stream.go).
package fill

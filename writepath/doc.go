// Package writepath is the write path: it takes a write to the key's owner,
// and there takes the key's turn (package heads), revokes every lease on it, uploads,
// publishes the new head and keeps the bytes in memory.
//
// It guarantees that no write becomes visible in the store before every lease
// on its key has ended, and that a write which it acknowledges is in the store.
// Package httpapi calls Put and Delete. It must never answer for a write whose
// outcome it does not know: that is ErrUnknown. Safe for concurrent use.
package writepath

// Package usage knows what an organisation may do and what it has done: the policy
// file with its limits, the count of what each org has in the store, the rates of
// its requests, and the ledger of what reads saved.
//
// A write is refused before anything of it is stored, and a request before anything
// of it is done. Limits are those of the whole cluster. While its members agree on
// each other, an org has no more bytes and objects than its policy lets it; rates
// are shared out anew each second. Counts and ledger are in the bucket. A node that
// is killed loses at most a minute of its ledger, and what is then wrong with the
// counts is put right by a listing of the bucket.
//
// The write path asks for room and tells what came of it, httpapi asks whether a
// request may go on and tells of hits. A hit costs one lookup and two additions.
// The package knows nothing of HTTP, heads and chunks. A Usage is safe for
// concurrent use.
package usage

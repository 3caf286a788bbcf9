// Package keeping holds the proofs for many objects that expire, and that are removed by
// their prefix, with real nodes and an S3 between them. They take as long as their number
// of keys says, and an expiry is removed from the bucket ten minutes later: they run by
// hand, by make keeping KEYS=100000.
package keeping

// Package blob makes the bytes that everything in a benchmark serves: the same
// for the same length in every process, and incompressible. It holds no state
// and is safe for concurrent use.
package blob

import "math/rand/v2"

// Of returns n bytes.
func Of(n int64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

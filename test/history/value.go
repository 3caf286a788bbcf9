package history

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
)

// ErrMixed says that bytes are no value.
var ErrMixed = errors.New("these bytes are no value that was ever written")

// Body makes the bytes of a value: its name, padding, and the digest of both. One
// in four is padded by up to so many bytes, the others by up to 512.
func Body(rng *rand.Rand, name string, most int) []byte {
	size := rng.IntN(512)
	if rng.IntN(4) == 0 {
		size = rng.IntN(most)
	}
	b := append([]byte(name), '\n')
	seed := [32]byte{}
	copy(seed[:], name)
	pad := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(pad)
	return Sealed(append(b, pad...))
}

// Sealed adds the digest that ValueOf looks for.
func Sealed(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// ValueOf returns the name of the value that these bytes are, all of them and
// no others.
func ValueOf(b []byte) (string, error) {
	if len(b) < sha256.Size {
		return "", fmt.Errorf("%w: %d bytes", ErrMixed, len(b))
	}
	content, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	want := sha256.Sum256(content)
	name, _, ok := bytes.Cut(content, []byte{'\n'})
	if !ok || !bytes.Equal(sum, want[:]) {
		return "", fmt.Errorf("%w: %d bytes that begin with %.20q", ErrMixed, len(b), b)
	}
	return string(name), nil
}

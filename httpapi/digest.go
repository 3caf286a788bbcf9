package httpapi

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"

	"github.com/dunglas/httpsfv"
)

// digest is one that a request states of its body.
type digest struct {
	header, algorithm string
	sum               []byte
}

type digests []digest

// parseDigests reads Content-Digest and Repr-Digest (RFC 9530). A body is sent
// without content coding, so both are of the same bytes. Algorithms other than
// sha-256 and sha-512 are not checked, as the RFC has it.
func parseDigests(h http.Header) (digests, error) {
	var all digests
	for _, name := range []string{"Content-Digest", "Repr-Digest"} {
		if len(h.Values(name)) == 0 {
			continue
		}
		dict, err := httpsfv.UnmarshalDictionary(h.Values(name))
		if err != nil {
			return nil, digestForm(name)
		}
		for _, algorithm := range dict.Names() {
			if algorithm != "sha-256" && algorithm != "sha-512" {
				continue
			}
			member, _ := dict.Get(algorithm)
			item, _ := member.(httpsfv.Item)
			sum, ok := item.Value.([]byte)
			if !ok {
				return nil, digestForm(name)
			}
			all = append(all, digest{header: name, algorithm: algorithm, sum: sum})
		}
	}
	return all, nil
}

func digestForm(header string) error {
	return fmt.Errorf("%w: %s has another form than sha-256=:BASE64:, with the colons", errDigest, header)
}

// sha256 is the digest of that kind, in hex, if there is one.
func (d digests) sha256() string {
	for _, want := range d {
		if want.algorithm == "sha-256" {
			return hex.EncodeToString(want.sum)
		}
	}
	return ""
}

// hashes computes what the digests state of a request's body, of the bytes that
// are written to it. More may be stated in the trailer of a chunked body: sha-256
// is computed in any case, sha-512 if there is a trailer or one was announced.
func (d digests) hashes(r *http.Request) *hashes {
	h := &hashes{want: d, sums: map[string]hash.Hash{}}
	for _, want := range d {
		h.sum(want.algorithm)
	}
	if len(r.TransferEncoding) > 0 {
		h.sum("sha-256")
	}
	if len(r.Trailer) > 0 {
		h.sum("sha-512")
	}
	return h
}

// hashes are the digests of one body, each computed once.
type hashes struct {
	want  digests
	sums  map[string]hash.Hash // by algorithm
	bytes int64
}

// sum is the hash of this algorithm, which is computed from now on.
func (h *hashes) sum(algorithm string) hash.Hash {
	if h.sums[algorithm] == nil {
		if algorithm == "sha-512" {
			h.sums[algorithm] = sha512.New()
		} else {
			h.sums[algorithm] = sha256.New()
		}
	}
	return h.sums[algorithm]
}

// also computes one digest more of a body that is all there.
func (h *hashes) also(algorithm string, all []byte) {
	if h.sums[algorithm] == nil {
		_, _ = h.sum(algorithm).Write(all) // a hash takes everything
	}
}

func (h *hashes) Write(b []byte) (int, error) {
	for _, s := range h.sums {
		_, _ = s.Write(b) // a hash takes everything
	}
	h.bytes += int64(len(b))
	return len(b), nil
}

// verify compares what was stated, before the body and after it, with what came.
func (h *hashes) verify(trailing digests) error {
	for _, want := range slices.Concat(h.want, trailing) {
		if h.sums[want.algorithm] == nil {
			return fmt.Errorf("%w: the trailer has %s of a kind that is not computed unless a Trailer field announces it", errDigest, want.header)
		}
		if got := h.sums[want.algorithm].Sum(nil); !bytes.Equal(got, want.sum) {
			return fmt.Errorf("%w: %s says %s=:%s:, but :%s: is the digest of the %d bytes that came", errDigest, want.header, want.algorithm,
				base64.StdEncoding.EncodeToString(want.sum), base64.StdEncoding.EncodeToString(got), h.bytes)
		}
	}
	return nil
}

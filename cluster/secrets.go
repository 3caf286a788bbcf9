package cluster

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

const (
	minSecret     = 16 // bytes
	gossipPurpose = "larder gossip v1"
	peerPurpose   = "larder peer v1"
	claimPurpose  = "larder claim v1"
)

// Secrets are what a cluster's nodes know and strangers do not: they protect
// gossip and the peer port. The first is used to send, and whatever comes under
// any of them is accepted. They can be changed while a Cluster uses them, and
// connections that are open stay so. The zero value protects nothing until Take
// has succeeded. Secrets are safe for concurrent use.
type Secrets struct {
	gossip memberlist.Keyring       // without keys memberlist does not encrypt
	peers  atomic.Pointer[[][]byte] // a key for each secret in turn, replaced whole; nil without a secret
	claims atomic.Pointer[[][]byte] // the same
	mu     sync.Mutex               // held while all change
}

// Take replaces the secrets by those of text: one a line, without the white
// space around it; blank lines do not count. Each has 16 bytes or more. On an
// error, which holds nothing of the text, all stays as it was.
func (s *Secrets) Take(text []byte) error {
	secrets, err := parseSecrets(text)
	if err != nil {
		return err
	}
	var gossip, peers, claims [][]byte
	for _, secret := range secrets {
		g, err := derive(secret, gossipPurpose)
		if err != nil {
			return err
		}
		p, err := derive(secret, peerPurpose)
		if err != nil {
			return err
		}
		c, err := derive(secret, claimPurpose)
		if err != nil {
			return err
		}
		gossip, peers, claims = append(gossip, g), append(peers, p), append(claims, c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers.Store(&peers)
	s.claims.Store(&claims)
	return rekey(&s.gossip, gossip)
}

// Len returns how many secrets there are.
func (s *Secrets) Len() int {
	if keys := s.peers.Load(); keys != nil {
		return len(*keys)
	}
	return 0
}

// parseSecrets takes a text of lines apart. A text with one line that is not
// blank is one secret, without the white space around the text.
func parseSecrets(text []byte) (secrets [][]byte, err error) {
	number := 0
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		number++
		secret := bytes.TrimSpace(line)
		switch {
		case len(secret) == 0:
		case len(secret) < minSecret:
			return nil, fmt.Errorf("the secret in line %d has %d bytes, needed are at least %d", number, len(secret), minSecret)
		default:
			secrets = append(secrets, secret)
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("there is no secret, needed are at least %d bytes", minSecret)
	}
	return secrets, nil
}

// PeerKeys returns a function for the keys of the peer port: those that are
// accepted now, or the one key of nodes that have no secret.
func (s *Secrets) PeerKeys() (func() [][]byte, error) {
	return keysOr(&s.peers, peerPurpose)
}

// ClaimKeys returns a function for the keys of tokens of claims, as PeerKeys does.
func (s *Secrets) ClaimKeys() (func() [][]byte, error) {
	return keysOr(&s.claims, claimPurpose)
}

// keysOr returns a function for the keys, or the one key of nodes without a secret.
func keysOr(keys *atomic.Pointer[[][]byte], purpose string) (func() [][]byte, error) {
	open, err := derive(nil, purpose)
	if err != nil {
		return nil, err
	}
	return func() [][]byte {
		if k := keys.Load(); k != nil {
			return *k
		}
		return [][]byte{open}
	}, nil
}

// rekey makes keys those of the ring, and the first the one that encrypts.
//
// A Keyring's readers hold its slice of keys without its lock, and RemoveKey
// moves the keys behind the one that goes forward in that very slice. So only
// the last key is ever removed, which moves nothing. A key that stays behind
// one that goes is away for an instant: it takes three secrets, and what may be
// lost is a packet, which gossip bears.
func rekey(ring *memberlist.Keyring, keys [][]byte) error {
	unwanted := func(key []byte) bool {
		return !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
	}
	if err := ring.AddKey(keys[0]); err != nil {
		return fmt.Errorf("change the key of gossip: %w", err)
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("change the key of gossip: %w", err)
	}
	for held := ring.GetKeys(); slices.ContainsFunc(held, unwanted); held = ring.GetKeys() {
		if err := ring.RemoveKey(held[len(held)-1]); err != nil {
			return fmt.Errorf("remove a key of gossip: %w", err)
		}
	}
	for _, key := range keys {
		if err := ring.AddKey(key); err != nil {
			return fmt.Errorf("add a key of gossip: %w", err)
		}
	}
	return nil
}

// derive makes a key for one purpose from the cluster secret.
func derive(secret []byte, purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive %s key: %w", purpose, err)
	}
	return key, nil
}

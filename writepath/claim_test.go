package writepath

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/heads"
	"larder/keys"
	"larder/store"
)

// recorded are claims that are told of writes, and that a write has ended.
type recorded struct {
	mu       sync.Mutex // guards all below
	ended    map[string]bool
	outcomes []heads.Outcome
	fenced   int
	wrote    []heads.Known
	marked   int
}

func (r *recorded) Mark(_ keys.Key, claim string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[claim] {
		return false
	}
	r.marked++
	return true
}

func (r *recorded) Unmark(_ keys.Key, _ string, o heads.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marked--
	r.outcomes = append(r.outcomes, o)
}

func (r *recorded) Fenced(keys.Key, string, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fenced++
}

func (r *recorded) Wrote(_ context.Context, _ keys.Key, _ string, is heads.Known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrote = append(r.wrote, is)
}

// claimed puts a small object under a claim, or a large one.
func claimed(t *testing.T, n *node, k keys.Key, c Claim, body []byte) (Result, error) {
	t.Helper()
	sum := sha256.Sum256(body)
	h := store.Head{ContentType: "text/plain", Digest: hex.EncodeToString(sum[:])}
	if len(body) <= testChunk {
		return n.path.Put(t.Context(), k, h, body, Conditions{Claim: &c})
	}
	return n.path.PutLarge(t.Context(), k, Upload{Head: h, Body: bytes.NewReader(body), Verify: fine, Conditions: Conditions{Claim: &c}})
}

func claimOf(r Result) Claim {
	return Claim{Name: strings.ToLower(rand.Text()), Version: r.Head.Version, Write: r.Head.WriteName()}
}

// A put under a claim lands only on what was there when the claim was granted, and the
// same put again is answered as the first; small and large, here and forwarded.
func TestFence(t *testing.T) {
	nodes := startCluster(t, 2, 200*time.Millisecond)
	for _, tt := range []struct {
		name  string
		via   *node
		large bool
	}{{"small", nodes[0], false}, {"small, forwarded", nodes[1], false}, {"large", nodes[0], true}, {"large, forwarded", nodes[1], true}} {
		t.Run(tt.name, func(t *testing.T) {
			claims := &recorded{ended: map[string]bool{}}
			nodes[0].path.cfg.Claims = claims
			k := keyOwnedBy(t, nodes[0])
			body := func(s string) []byte {
				if tt.large {
					return bytes.Repeat([]byte(s), testChunk)
				}
				return []byte(s)
			}
			onNothing, other := claimOf(Result{}), claimOf(Result{})
			onNothing.Write, other.Write = "", ""
			first, err := claimed(t, tt.via, k, onNothing, body("one"))
			if err != nil || !first.Created || first.Repeated {
				t.Fatalf("on nothing: %+v, %v", first, err)
			}
			again, err := claimed(t, tt.via, k, onNothing, body("one"))
			if err != nil || !again.Created || !again.Repeated || again.Head.Write != first.Head.Write {
				t.Errorf("the same again: %+v, %v", again, err)
			}
			for name, c := range map[string]Claim{"other bytes": onNothing, "another claim": other} {
				r, err := claimed(t, tt.via, k, c, body("two"))
				if !errors.Is(err, ErrClaimLost) || r.Head.Version != first.Head.Version {
					t.Errorf("%s: %+v, %v", name, r, err)
				}
			}
			next, late := claimOf(first), claimOf(first)
			second, err := claimed(t, tt.via, k, next, body("three"))
			if err != nil || second.Created {
				t.Fatalf("on a version: %+v, %v", second, err)
			}
			if _, err := claimed(t, tt.via, k, late, body("four")); !errors.Is(err, ErrClaimLost) {
				t.Errorf("on a version that was replaced: %v", err)
			}
			ended := claimOf(second)
			claims.ended[ended.Name] = true
			if _, err := claimed(t, tt.via, k, ended, body("five")); !errors.Is(err, ErrClaimLost) {
				t.Errorf("a claim that a write has ended: %v", err)
			}
			if got := get(t, tt.via, k); got != string(body("three")) {
				t.Errorf("there is %.10q", got)
			}
			if claims.fenced != 4 || claims.marked != 0 || len(claims.outcomes) < 2 {
				t.Errorf("told: %+v", claims)
			}
		})
	}
}

// A put whose answer was lost is answered when it is sent again.
func TestFenceAfterUnknown(t *testing.T) {
	n := startNode(t, "node-0", 200*time.Millisecond)
	k := keyOwnedBy(t, n)
	c := Claim{Name: strings.ToLower(rand.Text())}
	n.store.interfere(nil, func() error { return store.ErrUnavailable })
	if _, err := claimed(t, n, k, c, []byte("x")); !errors.Is(err, ErrUnknown) {
		t.Fatalf("without an answer of the store: %v", err)
	}
	n.store.interfere(nil, nil)
	if r, err := claimed(t, n, k, c, []byte("x")); err != nil || !r.Created || !r.Repeated {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// The key has another owner when a write is over: that one is told.
func TestNewOwnerIsTold(t *testing.T) {
	nodes := startCluster(t, 2, 200*time.Millisecond)
	claims := &recorded{}
	nodes[0].path.cfg.Claims = claims
	k := keyOwnedBy(t, nodes[1])
	was := nodes[0].cluster.Self()
	nodes[0].path.tellOwner(t.Context(), was, k, op{}, Result{Head: store.Head{Version: "v"}})
	nodes[0].path.tellOwner(t.Context(), nodes[1].cluster.Self(), k, op{}, Result{})
	if len(claims.wrote) != 1 || claims.wrote[0].Head.Version != "v" {
		t.Errorf("told: %+v", claims.wrote)
	}
}

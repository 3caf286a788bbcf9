package writepath

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/keys"
	"larder/store"
	"larder/store/storetest"
)

// TestPromisesOnEveryServer wants what README promises of writes on servers that
// do not do as S3 does, before they were probed and after.
func TestPromisesOnEveryServer(t *testing.T) {
	empty, other := "", `"0123-1"`
	for name, habits := range map[string]storetest.Habits{
		"S3":           {},
		"ignores":      {IgnoresPut: true, IgnoresComplete: true},
		"ignores some": {IgnoresComplete: true},
		"501":          {RefusesIfMatch: true},
		"quotes":       {ComparesQuoted: true, IgnoresComplete: true, CompleteTag: &empty},
		"another ETag": {CompleteTag: &other, IgnoresComplete: true, OldMetadata: true},
		"abort":        {AbortRemoves: true},
		"broken off":   {CompleteBroken: true},
		"fails":        {CompleteFails: "InternalError"},
	} {
		for _, probed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/probed=", probed), func(t *testing.T) {
				listening := httptest.NewServer(storetest.NewServer(habits))
				t.Cleanup(listening.Close)
				s, err := store.NewS3(t.Context(), store.S3Config{
					Bucket: "larder", Endpoint: listening.URL, PathStyle: true, AccessKey: "access", SecretKey: "secret",
				})
				if err != nil {
					t.Fatal(err)
				}
				if probed {
					if _, err := s.Probe(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				wantPromises(t, s)
			})
		}
	}
}

// wantPromises tries them through two nodes.
func wantPromises(t *testing.T, s *store.S3) {
	t.Helper()
	nodes := []*node{startNodeOn(t, s, "node-0", time.Second)}
	nodes = append(nodes, startNodeOn(t, s, "node-1", time.Second, nodes[0]))
	awaitMembers(t, nodes, 2)
	for _, size := range []string{"small", "large"} {
		t.Run(size, func(t *testing.T) {
			p := promises{T: t, nodes: nodes, large: size == "large"}
			t.Run("conditions", func(t *testing.T) { p.with(t).conditions() })
			t.Run("races", func(t *testing.T) { p.with(t).races() })
		})
	}
}

type promises struct {
	*testing.T
	nodes []*node
	large bool
}

func (p promises) with(t *testing.T) promises {
	p.T = t
	return p
}

func (p promises) put(ctx context.Context, n *node, k keys.Key, body string, c Conditions) (Result, error) {
	h := store.Head{ContentType: "text/plain"}
	if p.large {
		return n.path.PutLarge(ctx, k, Upload{Head: h, Body: strings.NewReader(body), Verify: func() error { return nil }, Conditions: c})
	}
	return n.path.Put(ctx, k, h, []byte(body), c)
}

// wantPut wants a write done, its version to be the one that is there, and the
// bytes at both nodes.
func (p promises) wantPut(k keys.Key, body string, c Conditions, created bool) string {
	p.Helper()
	r, err := p.put(p.Context(), p.nodes[1], k, body, c)
	if err != nil || r.Created != created {
		p.Fatalf("put %q: created %v, %v", body, r.Created, err)
	}
	there, err := p.nodes[0].store.Head(p.Context(), k.Place())
	if err != nil || there.Version != r.Head.Version {
		p.Fatalf("put %q: version %s was answered, %s is there, %v", body, r.Head.Version, there.Version, err)
	}
	p.wantThere(k, body)
	return r.Head.Version
}

func (p promises) wantRefused(k keys.Key, c Conditions) {
	p.Helper()
	if _, err := p.put(p.Context(), p.nodes[1], k, "refused", c); !errors.Is(err, store.ErrPrecondition) {
		p.Fatalf("%+v: the error is %v", c, err)
	}
}

func (p promises) wantThere(k keys.Key, body string) {
	p.Helper()
	for _, n := range p.nodes {
		if got := get(p, n, k); got != body {
			p.Fatalf("%s answers %q, want %q", n.name, got, body)
		}
	}
}

func (p promises) conditions() {
	k := keyOwnedBy(p, p.nodes[0])
	p.wantRefused(k, Conditions{IfMatch: []string{"0123"}})
	p.wantRefused(k, Conditions{IfMatch: []string{"*"}})
	p.wantThere(k, "")
	first := p.wantPut(k, "first", Conditions{}, true)
	second := p.wantPut(k, "second", Conditions{}, false)
	p.wantRefused(k, Conditions{IfAbsent: true})
	p.wantRefused(k, Conditions{IfMatch: []string{first}})
	p.wantThere(k, "second")
	third := p.wantPut(k, "third", Conditions{IfMatch: []string{second}}, false)
	p.wantPut(k, "fourth", Conditions{IfMatch: []string{"0123", third}}, false)
	p.wantPut(k, "fifth", Conditions{IfMatch: []string{"*"}}, false)
	if err := p.nodes[1].path.Delete(p.Context(), k, "ada", []string{first}); !errors.Is(err, store.ErrPrecondition) {
		p.Fatalf("delete: the error is %v", err)
	}
	p.wantThere(k, "fifth")
	if err := p.nodes[1].path.Delete(p.Context(), k, "ada", nil); err != nil {
		p.Fatal(err)
	}
	p.wantPut(k, "again", Conditions{IfAbsent: true}, true)
}

// races has eight writers at two nodes race under one condition.
func (p promises) races() {
	for _, replace := range []bool{false, true} {
		k := keyOwnedBy(p, p.nodes[0])
		c := Conditions{IfAbsent: true}
		if replace {
			c = Conditions{IfMatch: []string{p.wantPut(k, "before", Conditions{}, true)}}
		}
		var mu sync.Mutex
		var winners []string
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				body := fmt.Sprint("writer ", n)
				_, err := p.put(p.Context(), p.nodes[n%2], k, body, c)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, body)
				case !errors.Is(err, store.ErrPrecondition):
					p.Error(err)
				}
			})
		}
		all.Wait()
		if len(winners) != 1 {
			p.Fatalf("replace %v: %q won", replace, winners)
		}
		p.wantThere(k, winners[0])
	}
}

package builds

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/cluster"
	"larder/fill"
	"larder/fill/chunks"
	"larder/heads"
	"larder/keys"
	"larder/store"
)

// mesh is a cluster of several nodes in one process, whose questions are calls.
type mesh struct {
	members  []cluster.Member
	handlers []map[string]cluster.Handler
	builds   []*Builds

	mu   sync.Mutex // guards held
	held map[keys.Key]store.Head
}

// meshed is one node of a mesh.
type meshed struct {
	*mesh
	self int
}

func (m meshed) Self() cluster.Member      { return m.members[m.self] }
func (m meshed) Members() []cluster.Member { return m.members }
func (meshed) Changes() uint64             { return 0 }
func (m meshed) Owner(hash uint64) (cluster.Member, bool) {
	i := int(hash % uint64(len(m.members)))
	return m.members[i], i == m.self
}
func (m meshed) Member(id string) (cluster.Member, bool) {
	for _, member := range m.members {
		if member.ID == id {
			return member, true
		}
	}
	return cluster.Member{}, false
}
func (m meshed) Ask(ctx context.Context, to cluster.Member, q cluster.Question) (cluster.Answer, error) {
	for i, member := range m.members {
		if member.ID == to.ID {
			asked := cluster.Asked{From: m.Self().ID, Text: q.Text, Body: bytes.NewReader(q.Body), Size: int64(len(q.Body))}
			return m.handlers[i][q.Route](ctx, asked), nil
		}
	}
	return cluster.Answer{}, cluster.ErrUnreachable
}

func (m *mesh) Stat(_ context.Context, k keys.Key, _ fill.Options) (store.Head, chunks.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h, ok := m.held[k]
	if !ok {
		return h, chunks.S3, store.ErrNotFound
	}
	return h, chunks.S3, nil
}

// StatHere knows nothing, so that each look is a goroutine's.
func (*mesh) StatHere(keys.Key) (store.Head, bool, error) { return store.Head{}, false, nil }

// put puts an object at its owner.
func (m *mesh) put(k keys.Key, claim string) bool {
	b := m.builds[k.Hash()%uint64(len(m.builds))]
	if !b.Mark(k, claim) {
		return false
	}
	h := store.Head{Version: claim, Write: "w", Modified: time.Now()}
	m.mu.Lock()
	m.held[k] = h
	m.mu.Unlock()
	b.Unmark(k, claim, heads.Outcome{Done: true, Known: heads.Known{Head: h}})
	return true
}

func newMesh(t *testing.T, size int) *mesh {
	m := &mesh{held: map[keys.Key]store.Head{}}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range size {
		m.members = append(m.members, cluster.Member{Name: fmt.Sprint(i), ID: fmt.Sprint("node ", i)})
		m.handlers = append(m.handlers, map[string]cluster.Handler{})
	}
	for i := range size {
		b := New(Config{Silence: time.Minute, Secrets: func() [][]byte { return [][]byte{[]byte("secret")} }}, m, meshed{m, i})
		b.Answer(func(route string, h cluster.Handler) { m.handlers[i][route] = h })
		m.builds = append(m.builds, b)
		all.Go(func() { _ = b.Run(ctx) }) // it has no error
	}
	t.Cleanup(func() {
		stop()
		all.Wait()
	})
	return m
}

// Many callers at all nodes want the same keys at once: each key is built once, and all
// hear of it.
func TestManyCallers(t *testing.T) {
	const nodes, callers, rounds = 3, 150, 8
	m := newMesh(t, nodes)
	for round := range rounds {
		k := key
		k.Name = fmt.Sprint("round ", round)
		var built atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				r := Request{User: "ada", Writer: true, Waiter: fmt.Sprint(i), Stream: i%2 == 0}
				v, err := m.builds[i%nodes].Attach(k, r)
				if err != nil {
					t.Error(err)
					return
				}
				defer v.Detach(r, false)
				if s := until(t, v, Built, Granted); s.Kind == Granted {
					built.Add(1)
					if !m.put(k, s.Claim.Name) {
						t.Error("the put is refused")
					}
				}
			})
		}
		all.Wait()
		if n := built.Load(); n != 1 {
			t.Fatalf("round %d: %d builds", round, n)
		}
	}
}

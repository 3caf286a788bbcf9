package usage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// memory is a store in memory.
type memory struct {
	mu      sync.Mutex // guards the fields below
	objects map[string]kept
	writes  int
	down    bool
}

type kept struct {
	head store.Head
	body []byte
}

// silent is a store that answers once it is told to, or asked no longer.
type silent struct {
	*memory
	answer chan struct{}
}

func (s *silent) wait(ctx context.Context) error {
	select {
	case <-s.answer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *silent) Get(ctx context.Context, name string, limit int64, alloc store.Alloc) (store.Head, []byte, error) {
	if err := s.wait(ctx); err != nil {
		return store.Head{}, nil, err
	}
	return s.memory.Get(ctx, name, limit, alloc)
}

func (s *silent) Put(ctx context.Context, name string, w store.Write) (store.Head, error) {
	if err := s.wait(ctx); err != nil {
		return store.Head{}, err
	}
	return s.memory.Put(ctx, name, w)
}

func newMemory() *memory { return &memory{objects: map[string]kept{}} }

func (m *memory) Get(_ context.Context, name string, limit int64, _ store.Alloc) (store.Head, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	switch {
	case m.down:
		return store.Head{}, nil, store.ErrUnavailable
	case !ok:
		return store.Head{}, nil, store.ErrNotFound
	}
	return o.head, slices.Clone(o.body[:min(limit, int64(len(o.body)))]), nil
}

func (m *memory) Put(_ context.Context, name string, w store.Write) (store.Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.objects[name]
	switch {
	case m.down:
		return store.Head{}, store.ErrUnavailable
	case w.IfAbsent && ok, w.IfMatch != "" && w.IfMatch != o.head.Version:
		return store.Head{}, store.ErrPrecondition
	}
	h := w.Head
	h.Version, h.Size = rand.Text(), int64(len(w.Body))
	m.objects[name] = kept{h, slices.Clone(w.Body)}
	m.writes++
	return h, nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

func (m *memory) List(_ context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, o := range m.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			entries = append(entries, store.Entry{Name: name, Version: o.head.Version, Size: o.head.Size})
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}

func (m *memory) Traits() store.Traits {
	return store.Traits{Sure: true, PutIfAbsent: true, PutIfMatch: true}
}

func (m *memory) names(prefix string) (names []string) {
	entries, _, _ := m.List(context.Background(), prefix, "", 1000)
	for _, e := range entries {
		names = append(names, strings.TrimPrefix(e.Name, prefix))
	}
	return names
}

// network joins Usages in one process.
type network struct {
	mu      sync.Mutex // guards members
	members []*member
	store   *memory
	policy  *Policies
}

// member is one of them, as its Usage sees the others.
type member struct {
	*Usage
	net      *network
	self     cluster.Member
	handlers map[string]cluster.Handler
}

func newNetwork(t *testing.T, policy string) *network {
	return &network{store: newMemory(), policy: policies(t, policy)}
}

func (n *network) add() *member {
	m := &member{net: n, handlers: map[string]cluster.Handler{}}
	n.mu.Lock()
	m.self = cluster.Member{Name: fmt.Sprintf("node-%d", len(n.members)), ID: rand.Text()}
	n.members = append(n.members, m)
	n.mu.Unlock()
	m.Usage = New(n.policy, n.store, m, zerolog.Nop())
	m.Answer(func(route string, h cluster.Handler) { m.handlers[route] = h })
	return m
}

// kill takes a member away.
func (n *network) kill(m *member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members = slices.DeleteFunc(n.members, func(o *member) bool { return o == m })
}

func (m *member) Self() cluster.Member { return m.self }
func (m *member) Joined() bool         { return true }

func (m *member) Members() (all []cluster.Member) {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	for _, o := range m.net.members {
		all = append(all, o.self)
	}
	return all
}

func (m *member) Asker(id string) (cluster.Member, bool) {
	for _, o := range m.Members() {
		if o.ID == id {
			return o, true
		}
	}
	return cluster.Member{}, false
}

func (m *member) Owner(hash uint64) (cluster.Member, bool) {
	all := m.Members()
	o := all[hash%uint64(len(all))]
	return o, o.ID == m.self.ID
}

func (m *member) Ask(ctx context.Context, to cluster.Member, q cluster.Question) (cluster.Answer, error) {
	m.net.mu.Lock()
	i := slices.IndexFunc(m.net.members, func(o *member) bool { return o.self.ID == to.ID })
	if i < 0 {
		m.net.mu.Unlock()
		return cluster.Answer{}, errors.New("nobody there")
	}
	o := m.net.members[i]
	m.net.mu.Unlock()
	return o.handlers[q.Route](ctx, cluster.Asked{From: m.self.ID, Text: q.Text}), nil
}

func key(t testing.TB, name string) keys.Key {
	t.Helper()
	k, err := keys.New("acme", keys.Objects, name)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// put writes an object as the write path does.
func (m *member) put(ctx context.Context, k keys.Key, writer string, size int) error {
	var was *store.Head
	if h, _, err := m.store.Get(ctx, k.Place(), 0, nil); err == nil {
		was = &h
	}
	is := store.Head{Writer: writer, Size: int64(size)}
	room, err := m.Reserve(ctx, k, was, &is)
	if err != nil {
		return err
	}
	defer room.Cancel()
	if _, err := m.store.Put(ctx, k.Place(), store.Write{Head: is, Body: make([]byte, size)}); err != nil {
		return err
	}
	room.Done(was, &is)
	return nil
}

// there is what is in the store of the org.
func (n *network) there() (sum Sum) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	for name, o := range n.store.objects {
		if k, err := keys.FromPlace(name); err == nil && k.Org == "acme" {
			sum = sum.plus(Sum{o.head.Size, 1})
		}
	}
	return sum
}

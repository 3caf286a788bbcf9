package builds

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
)

// question is a statement that stands at an owner until it is answered.
type question struct {
	said   statement
	answer chan view
}

// remote is a cluster of this node and one that owns all keys, whose answers the test gives.
type remote struct {
	alone
	asked chan question
	over  chan struct{} // closed when the test ends
	// moves has the ring change whenever an owner is looked up.
	moves atomic.Bool
}

var owner1 = cluster.Member{Name: "owner", ID: "owner"}

func (r *remote) Members() []cluster.Member { return []cluster.Member{r.Self(), owner1} }
func (r *remote) Owner(uint64) (cluster.Member, bool) {
	if r.moves.Load() {
		r.changes.Add(1)
	}
	return owner1, false
}

func (r *remote) Ask(_ context.Context, _ cluster.Member, q cluster.Question) (cluster.Answer, error) {
	asked := question{answer: make(chan view, 1)}
	if q.Route != attendRoute {
		return cluster.Answer{}, cluster.ErrUnreachable
	}
	if err := json.Unmarshal(q.Body, &asked.said); err != nil {
		return cluster.Answer{}, err
	}
	select {
	case r.asked <- asked:
	case <-r.over:
		return cluster.Answer{}, cluster.ErrUnreachable
	}
	select {
	case v := <-asked.answer:
		return answered(v), nil
	case <-r.over:
		return cluster.Answer{}, cluster.ErrUnreachable
	}
}

func startRemote(t *testing.T) (*remote, *Builds) {
	r := &remote{asked: make(chan question), over: make(chan struct{})}
	b := New(Config{}, nothing{}, r)
	t.Cleanup(func() {
		close(r.over)
		b.stop()
	})
	return r, b
}

// attachedAt asks a node who is attached there.
func attachedAt(t *testing.T, b *Builds) (status int, all []keySaid) {
	t.Helper()
	a := b.handleAttached(t.Context(), cluster.Asked{From: owner1.ID, Text: idsOf(b.cluster.Members())})
	if a.Status == http.StatusOK {
		if err := json.Unmarshal(a.Body, &all); err != nil {
			t.Fatal(err)
		}
	}
	return a.Status, all
}

// Rules 25 and 26: who has answered a new owner takes no grant that it asked for before,
// and asks anew, with a higher number.
func TestAsksAnew(t *testing.T) {
	r, b := startRemote(t)
	v := attach(t, b, key, Request{User: "ada", Writer: true, Waiter: "w"})
	before := <-r.asked
	status, all := attachedAt(t, b)
	if status != http.StatusOK || len(all) != 1 || len(all[0].Attached) != 1 || all[0].Number <= before.said.Number {
		t.Fatalf("after question %d it answers %d %+v", before.said.Number, status, all)
	}
	after := <-r.asked
	if after.said.Number <= all[0].Number || len(after.said.Attached) != 1 {
		t.Fatalf("after answer %d it asks %+v", all[0].Number, after.said)
	}
	grant := func(version uint64, name string) view {
		at := told{Nonce: after.said.Attached[0].Nonce, Verdict: Verdict{Kind: Granted, Claim: &Claim{Name: name}}}
		return view{Version: version, Told: map[string]told{v.id: at}}
	}
	before.answer <- grant(2, "old")
	<-r.asked // what was answered late is forgotten, and asked again
	if s, _ := v.State(); s.Kind != "" {
		t.Fatalf("a grant from before the answer was taken: %+v", s)
	}
	after.answer <- grant(1, "new")
	if s := until(t, v, Granted); s.Claim.Name != "new" {
		t.Errorf("granted: %+v", s)
	}
}

// Rule 26: the members are compared and the owners looked up in one and the same ring.
func TestAttachedInOneRing(t *testing.T) {
	r, b := startRemote(t)
	attach(t, b, key, Request{User: "ada", Writer: true, Waiter: "w"})
	r.moves.Store(true)
	if status, all := attachedAt(t, b); status != http.StatusConflict {
		t.Errorf("while the ring changes it answers %d %+v", status, all)
	}
	r.moves.Store(false)
	if status, all := attachedAt(t, b); status != http.StatusOK || len(all) != 1 {
		t.Errorf("after that it answers %d %+v", status, all)
	}
}

// Rule 26: who sees other members than the asker does not answer yet.
func TestAttachedAmongOthers(t *testing.T) {
	_, b := startRemote(t)
	attach(t, b, key, Request{User: "ada", Writer: true, Waiter: "w"})
	for _, sees := range []string{owner1.ID, idsOf(append(b.cluster.Members(), cluster.Member{ID: "third"}))} {
		if a := b.handleAttached(t.Context(), cluster.Asked{From: owner1.ID, Text: sees}); a.Status != http.StatusConflict {
			t.Errorf("to an owner that sees %q it answers %d %s", sees, a.Status, a.Body)
		}
	}
}

// Rule 26: a new owner asks itself too, before it grants: the builder may be attached to it.
func TestNewOwnerAsksItself(t *testing.T) {
	c := &alone{}
	b := New(Config{Silence: remembered}, nothing{}, c)
	holder := &Claim{Name: "c", Holder: "w", User: "ada"}
	v := attach(t, b, key, Request{User: "ada", Writer: true, Claim: holder})
	b.mu.Lock()
	v.g.scheduled = true // it says nothing by itself
	b.mu.Unlock()
	c.changes.Add(1)
	b.askAll(t.Context())
	b.owner.mu.Lock()
	defer b.owner.mu.Unlock()
	if st := b.owner.t.keys[key]; !b.owner.t.asked || st == nil || st.claim == nil || st.claim.Name != holder.Name {
		t.Errorf("all have answered, and the builder here is not known: %+v", st)
	}
}

// hanging is a remote whose owner never answers.
type hanging struct{ *remote }

func (hanging) Ask(ctx context.Context, _ cluster.Member, _ cluster.Question) (cluster.Answer, error) {
	<-ctx.Done()
	return cluster.Answer{}, ctx.Err()
}

// A member that does not answer at all is told of in the log, unless this node ends.
func TestMemberThatHangs(t *testing.T) {
	for _, ends := range []bool{false, true} {
		var log bytes.Buffer
		r := &remote{over: make(chan struct{})}
		b := New(Config{Log: zerolog.New(&log)}, nothing{}, hanging{r})
		r.changes.Add(1)
		b.owner.with(func(*table, time.Time) {}) // takes the change in
		ctx, end := context.WithCancel(t.Context())
		if ends {
			end()
		} else {
			b.owner.with(func(t *table, now time.Time) { t.unasked = now.Add(-askLimit) })
		}
		b.askAll(ctx)
		end()
		if told := strings.Contains(log.String(), "did not say in time"); told == ends {
			t.Errorf("the node ends: %v, and the log is %q", ends, log.String())
		}
	}
}

// Nothing is left under way when Run has ended: not the question at the owner either.
func TestRunEndsQuestions(t *testing.T) {
	r := &remote{over: make(chan struct{})}
	b := New(Config{}, nothing{}, hanging{r})
	ctx, end := context.WithCancel(t.Context())
	attach(t, b, key, Request{User: "ada", Writer: true, Waiter: "w"})
	end()
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := b.Attach(key, Request{User: "bob"}); !errors.Is(err, ErrLeaving) {
		t.Errorf("somebody attaches to a node that has ended: %v", err)
	}
}

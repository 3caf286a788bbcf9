package writepath

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/cluster"
	"larder/heads"
	"larder/peer"
	"larder/store"
	"larder/test/testcluster"
)

// A forwarded write that waits for its turn is not done once its asker has gone.
func TestAbandonedWritesAreNotDone(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	asker, owner := nodes[0], nodes[1]
	k := keyOwnedBy(t, owner)
	uploading, goOn := make(chan struct{}), make(chan struct{})
	owner.store.interfere(func() error {
		owner.store.interfere(nil, nil)
		close(uploading)
		<-goOn
		return nil
	}, nil)
	first := make(chan error)
	go func() {
		_, err := owner.path.Put(t.Context(), k, store.Head{}, []byte("first"), Conditions{})
		first <- err
	}()
	<-uploading

	text, err := json.Marshal(forwarded{Place: k.Place()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	late := make(chan error)
	go func() {
		_, err := asker.cluster.Ask(ctx, owner.cluster.Self(), cluster.Question{Route: writeRoute, Text: string(text), Body: []byte("late"), Once: true})
		late <- err
	}()
	testcluster.Holds(t, "the second write to wait for its turn", func() bool { return owner.path.uploads.bodies.Held() > 0 })
	leave()
	if err := <-late; err == nil {
		t.Error("answered who had left")
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Error(err)
	}
	testcluster.Holds(t, "both writes to be over", func() bool { return owner.path.uploads.bodies.Held() == 0 })
	if got := get(t, asker, k); got != "first" {
		t.Errorf("%q is there", got)
	}
}

// The same holds for a caller of this node who has gone.
func TestAWriteWithoutACallerIsNotDone(t *testing.T) {
	n := startNode(t, "alone", time.Minute)
	k := keyOwnedBy(t, n)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if _, err := n.path.Put(ctx, k, store.Head{}, []byte("late"), Conditions{}); err == nil {
		t.Error("written")
	}
	if got := get(t, n, k); got != "" {
		t.Errorf("%q is there", got)
	}
}

// A forwarded write whose answer is lost may have happened, and is not done again.
func TestAnAnswerThatIsLost(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	asker, owner := nodes[0], nodes[1]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var puts atomic.Int64
	owner.store.interfere(func() error {
		if puts.Add(1) > 1 {
			cancel()
		}
		return nil
	}, nil)
	asker.cluster.lost.Store(true)
	_, err := asker.path.Put(ctx, keyOwnedBy(t, owner), store.Head{}, []byte("v1"), Conditions{})
	if !errors.Is(err, ErrUnknown) || puts.Load() != 1 {
		t.Errorf("%v, after %d puts", err, puts.Load())
	}
}

// Every write that a member forwards leaves a line at its owner, whatever comes
// of it; a write of the owner's own leaves none there.
func TestForwardedWritesAreAudited(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	asker, owner := nodes[0], nodes[1]
	var log testcluster.Logged
	owner.path.audit = zerolog.New(&log)
	k := keyOwnedBy(t, owner)
	h := store.Head{Writer: "ada", Digest: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	for _, n := range []*node{asker, owner} {
		if _, err := n.path.Put(t.Context(), k, h, []byte("hello"), Conditions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := asker.path.Put(t.Context(), k, h, []byte("hello"), Conditions{IfAbsent: true}); err == nil {
		t.Error("created twice")
	}
	if err := asker.path.Delete(t.Context(), k, "ada", nil); err != nil {
		t.Error(err)
	}
	text, err := json.Marshal(forwarded{Place: k.Place()})
	if err != nil {
		t.Fatal(err)
	}
	q := cluster.Question{Route: writeRoute, Text: string(text), Body: make([]byte, testChunk+1), Once: true}
	if a, err := asker.cluster.Ask(t.Context(), owner.cluster.Self(), q); err != nil || a.Status != http.StatusBadRequest {
		t.Errorf("%d, %v", a.Status, err)
	}
	var verdicts []string
	for _, line := range log.With() {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		verdicts = append(verdicts, l["op"].(string)+" "+l["verdict"].(string))
		if l["peer"] != asker.name || l["peer_id"] != asker.cluster.Self().ID || l["org"] != k.Org || l["service"] != k.Service || l["key"] != k.Name ||
			l["verdict"] != "malformed" && l["user"] != "ada" {
			t.Errorf("%v", l)
		}
		if put := l["verdict"] == "created"; put && (l["digest"] != h.Digest || l["bytes"] != 5.0) {
			t.Errorf("%v", l)
		}
	}
	want := []string{"put created", "put precondition", "delete deleted", "put malformed"}
	if len(verdicts) != len(want) {
		t.Fatalf("%q, want %q", verdicts, want)
	}
	for i := range want {
		if verdicts[i] != want[i] {
			t.Errorf("%q, want %q", verdicts, want)
		}
	}
}

// Who knows the secret and is no member is refused, whatever it asks: with a
// status that makes a member try again, or read the store.
func TestStrangersAreRefused(t *testing.T) {
	nodes := startCluster(t, 2, time.Minute)
	owner := nodes[1]
	k := keyOwnedBy(t, owner)
	text, err := json.Marshal(forwarded{Place: k.Place(), Op: op{Head: store.Head{Writer: "ceo"}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := (&cluster.Secrets{}).PeerKeys()
	if err != nil {
		t.Fatal(err)
	}
	stranger := peer.New(peer.Config{ID: "stranger", Label: t.Name(), Keys: keys, Log: zerolog.Nop()})
	pool := stranger.Pool(owner.cluster.Self().ID, owner.cluster.Self().PeerAddr, false)
	defer pool.End(context.Canceled)
	for route, text := range map[string]string{
		writeRoute: string(text), heads.RevokeRoute: k.Place(), "writepath/settle": "", "fill/chunk/2": "1 1 x", "fill/keep/2": "1 1 x",
		"fill/head": `{"Place":"` + k.Place() + `","Bytes":true,"Chunk":1}`,
	} {
		a, err := pool.Ask(t.Context(), cluster.Question{Route: route, Text: text, Body: []byte("EVIL"), Once: true})
		if err != nil || a.Status != http.StatusMisdirectedRequest {
			t.Errorf("%s: %d %s, %v", route, a.Status, a.Text, err)
		}
	}
	if got := get(t, owner, k); got != "" {
		t.Errorf("%q is there", got)
	}
}

// Each error that travels is the same at the node that forwarded the write: no other
// that it wraps, or is wrapped by, comes before it.
func TestErrorsTravel(t *testing.T) {
	for _, f := range failures() {
		var r reply
		if err := json.Unmarshal(replied(Result{}, f.err).Text, &r); err != nil {
			t.Fatal(err)
		}
		if err := r.failure(); r.Failure != f.name || !errors.Is(err, f.err) {
			t.Errorf("%s travels as %s: %v", f.name, r.Failure, err)
		}
	}
}

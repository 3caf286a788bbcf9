package fill

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"larder/cluster"
	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// putUntil writes to the store itself an object that expires.
func putUntil(t *testing.T, k keys.Key, moment time.Time) store.Head {
	t.Helper()
	h, err := testStore.Put(t.Context(), k.Place(), store.Write{Head: store.Head{Expires: moment}, Body: []byte("v")})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// wantExpired wants a key to be absent, whichever way it is asked for.
func wantExpired(t *testing.T, f *Filler, k keys.Key) {
	t.Helper()
	for _, o := range []Options{{}, {Lazy: true}, {Fresh: true}} {
		_, err := f.Open(t.Context(), k, o)
		if at, ok := errors.AsType[store.Expired](err); !ok || at.At.IsZero() || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("opened with %+v: %v, want that it has expired", o, err)
		}
	}
	if _, _, err := f.Stat(t.Context(), k, Options{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its head: %v", err)
	}
}

func TestWhatHasExpiredIsAbsent(t *testing.T) {
	asker, _, owner, atOwner, _ := newPair(t)
	k := newKey(t)
	putUntil(t, k, time.Now().Add(-time.Second))
	wantExpired(t, owner, k)
	wantExpired(t, asker, k)
	before := atOwner.asked.Load()
	if _, err := owner.Open(t.Context(), k, Options{}); err == nil || atOwner.asked.Load() != before {
		t.Errorf("that it has expired is not kept: %v", err)
	}
}

// The store's answer may take longer than the object lives.
func TestAnAnswerThatComesTooLate(t *testing.T) {
	f, st, _ := newFiller(t, nil)
	k := newKey(t)
	moment := time.Now().Add(time.Second)
	putUntil(t, k, moment)
	st.interfere(nil, func() { time.Sleep(time.Until(moment)) }) // as long as a slow store takes
	wantExpired(t, f, k)
}

// While the store's answer is on its way the object may be replaced, and then its moment
// come: the key was never absent.
func TestReplacedBeforeItsMoment(t *testing.T) {
	for _, o := range []Options{{}, {Lazy: true}, {Fresh: true}} {
		f, st, _ := newFiller(t, nil)
		k := newKey(t)
		moment := time.Now().Add(2 * time.Second).Truncate(time.Second)
		putUntil(t, k, moment)
		var once sync.Once
		st.interfere(nil, func() {
			once.Do(func() {
				put(t, k, "new")
				time.Sleep(time.Until(moment))
			})
		})
		got, err := f.Open(t.Context(), k, o)
		if err != nil {
			t.Errorf("opened with %+v: %v", o, err)
			continue
		}
		if got.Head.Size != int64(len("new")) {
			t.Errorf("opened with %+v: %d bytes", o, got.Head.Size)
		}
		got.Close()
	}
}

// An object may be replaced, and then its moment come, between its head and its bytes.
func TestBytesAfterTheMoment(t *testing.T) {
	asker, _, _, _, _ := newPair(t)
	k := newKey(t)
	moment := time.Now().Add(2 * time.Second).Truncate(time.Second)
	putUntil(t, k, moment)
	found := asker.Gather(t.Context(), []keys.Key{k})[0]
	o, err := asker.Open(t.Context(), k, Options{Lazy: true, Found: found})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	put(t, k, "new")
	time.Sleep(time.Until(moment.Add(answerWithin)))
	if p, err := o.Part(t.Context(), 0, 1); !errors.Is(err, store.ErrPrecondition) {
		if err == nil {
			p.Close()
		}
		t.Errorf("bytes after the moment: %v", err)
	}
	if got, _ := readAll(t, asker, k, found); got != "new" {
		t.Errorf("with a head that was found before the moment: %q", got)
	}
}

// What the owner says is left counts, and no moment, since clocks differ.
func TestClocksThatDiffer(t *testing.T) {
	asker, ring, _, _, atAsker := newPair(t)
	k := newKey(t)
	putUntil(t, k, time.Now().Add(time.Hour))
	left := 200 * time.Millisecond
	ring.spoil = func(a *cluster.Answer) {
		var h headAnswer
		if err := json.Unmarshal(a.Text, &h); err != nil || h.Left < time.Minute {
			t.Errorf("the owner says %s left, %v", h.Left, err)
		}
		h.Head.Expires = time.Now().Add(-time.Hour) // as a clock that is fast by two hours reads it
		h.Left = left
		a.Text, _ = json.Marshal(h)
	}
	if got := read(t, asker, k); got != "v" {
		t.Errorf("by the owner's word: %q", got)
	}
	testcluster.Holds(t, "the head is trusted no longer than was left", func() bool {
		_, live, _ := asker.heads.Get(k)
		return !live
	})
	// An answer that came when nothing was left is none: the store is asked.
	left = 1
	before := atAsker.asked.Load()
	if got := read(t, asker, k); got != "v" || atAsker.asked.Load() == before {
		t.Errorf("%q, the store was asked %d times", got, atAsker.asked.Load()-before)
	}
}

// A comparison with the store knows of moments.
func TestAuditOfWhatExpires(t *testing.T) {
	f, _, _ := newFiller(t, nil)
	k := newKey(t)
	putUntil(t, k, time.Now().Add(time.Hour))
	read(t, f, k)
	if v := f.audit(k); v != Same {
		t.Errorf("of what expires in an hour: %s", v)
	}
	gone := newKey(t)
	putUntil(t, gone, time.Now().Add(-time.Hour))
	wantExpired(t, f, gone)
	if v := f.audit(gone); v != Same {
		t.Errorf("of what has expired: %s", v)
	}
}

package expiry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"larder/keys"
	"larder/store"
)

// bucket is a store in memory, which counts its listings.
type bucket struct {
	mu    sync.Mutex // guards all below
	heads map[string]store.Head
	lists int
}

func newBucket() *bucket { return &bucket{heads: map[string]store.Head{}} }

func (b *bucket) Head(_ context.Context, name string) (store.Head, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, ok := b.heads[name]
	if !ok {
		return h, store.ErrNotFound
	}
	return h, nil
}

func (b *bucket) Put(_ context.Context, name string, w store.Write) (store.Head, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w.Version = "v"
	b.heads[name] = w.Head
	return w.Head, nil
}

func (b *bucket) Delete(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.heads, name)
	return nil
}

func (b *bucket) List(_ context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists++
	for name := range b.heads {
		if strings.HasPrefix(name, prefix) && name > after {
			entries = append(entries, store.Entry{Name: name})
		}
	}
	slices.SortFunc(entries, func(a, b store.Entry) int { return strings.Compare(a.Name, b.Name) })
	if len(entries) > limit {
		return entries[:limit], true, nil
	}
	return entries, false, nil
}

// put puts an object that expires at a moment, or does not, and its entries.
func (b *bucket) put(t *testing.T, x *Index, name string, moment time.Time) keys.Key {
	t.Helper()
	k, err := keys.New("acme", keys.Objects, name)
	if err != nil {
		t.Fatal(err)
	}
	h := store.Head{Expires: moment, Write: store.NewWriteName()}
	if !moment.IsZero() {
		if err := x.Add(t.Context(), keys.Expiring{Key: k, Moment: moment, Write: h.Write}); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = b.Put(t.Context(), k.Place(), store.Write{Head: h})
	return k
}

// listAll lists a prefix in pages.
func listAll(t *testing.T, x *Index, prefix string, limit int) (all []store.Entry) {
	t.Helper()
	for after, more := "", true; more; {
		var page []store.Entry
		var err error
		if page, more, err = x.List(t.Context(), prefix, after, limit); err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 && more {
			t.Fatal("an empty page says that there is more")
		}
		all = append(all, page...)
		if len(page) > 0 {
			after = page[len(page)-1].Name
		}
	}
	return all
}

// TestListings holds, of names that begin each other and pages of every size, that a
// listing has all that lives, with its moment, and nothing else. Entries of earlier
// writes of a key change nothing.
func TestListings(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := newBucket()
		x := New(b)
		want := map[string]time.Time{}
		for range 40 {
			name := ""
			for range 1 + r.IntN(4) {
				name += string([]rune{'a', 'b', '~', ' ', '!', 'é'}[r.IntN(6)])
			}
			moment := []time.Time{{}, now.Add(time.Hour), now.Add(2 * time.Hour), now.Add(-time.Hour)}[r.IntN(4)]
			place := b.put(t, x, name, moment).Place()
			if want[place] = moment; !moment.IsZero() && moment.Before(now) {
				delete(want, place)
			}
			if moment.IsZero() { // what overwrites drops the entries of what it overwrites
				entries, _, _ := b.List(t.Context(), keys.ExpiringAt(place), "", 1000)
				for _, e := range entries {
					_ = b.Delete(t.Context(), e.Name)
				}
			}
		}
		for _, limit := range []int{1, 2, 3, 7, 1000} {
			got := listAll(t, x, "v1/acme/objects/", limit)
			for _, e := range got {
				if moment, ok := want[e.Name]; !ok || !moment.Equal(e.Expires) {
					t.Errorf("seed %d, pages of %d: %q expires %s, want %v, %s", seed, limit, e.Name, e.Expires, ok, moment)
				}
			}
			if len(got) != len(want) {
				t.Errorf("seed %d, pages of %d: %d are listed, want %d", seed, limit, len(got), len(want))
			}
		}
	}
}

// TestAnEntryThatIsLeftOver: what is listed is what the object says.
func TestAnEntryThatIsLeftOver(t *testing.T) {
	t.Parallel()
	b := newBucket()
	x := New(b)
	k := b.put(t, x, "a", time.Now().Add(-time.Hour))
	_, _ = b.Put(t.Context(), k.Place(), store.Write{}) // written anew, and the entry was not dropped
	if got := listAll(t, x, "v1/acme/objects/", 10); len(got) != 1 || !got[0].Expires.IsZero() {
		t.Errorf("listed %+v", got)
	}
}

// TestOrgsWithoutPayNothing: one listing of one name a second at most.
func TestOrgsWithoutPayNothing(t *testing.T) {
	t.Parallel()
	b := newBucket()
	x := New(b)
	b.put(t, x, "a", time.Time{})
	for range 10 {
		listAll(t, x, "v1/acme/objects/", 10)
	}
	if b.lists > 10+2 { // a second may end in between
		t.Errorf("%d requests for 10 listings", b.lists)
	}
	b.put(t, x, "b", time.Now().Add(time.Hour))
	if got := listAll(t, x, "v1/acme/objects/", 10); len(got) != 2 || got[1].Expires.IsZero() {
		t.Errorf("what this node wrote is listed as %+v", got)
	}
}

// TestDueIsWhatIsDue: in the order of the moments, and no more is listed.
func TestDueIsWhatIsDue(t *testing.T) {
	t.Parallel()
	b := newBucket()
	x := New(b)
	now := time.Now().Truncate(time.Second)
	for i := range 2500 {
		b.put(t, x, fmt.Sprint("later/", i), now.Add(time.Duration(2+i)*time.Minute))
	}
	for i := range 5 {
		b.put(t, x, fmt.Sprint("due/", i), now.Add(-time.Duration(i)*time.Hour))
	}
	_, _ = b.Put(t.Context(), keys.ExpiringRoot+"0/stranger", store.Write{})
	b.lists = 0
	var due []Due
	if err := x.EachDue(t.Context(), now, func(d Due) { due = append(due, d) }); err != nil {
		t.Fatal(err)
	}
	ascend := func(a, b Due) int { return a.Moment.Compare(b.Moment) }
	if len(due) != 5 || !slices.IsSortedFunc(due, ascend) || b.lists != 1 {
		t.Errorf("%d are due, in %d listings: %v", len(due), b.lists, due)
	}
	for _, d := range due {
		if err := x.Drop(t.Context(), d.Expiring); err != nil {
			t.Fatal(err)
		}
	}
	due = nil
	if _ = x.EachDue(t.Context(), now, func(d Due) { due = append(due, d) }); len(due) > 0 {
		t.Errorf("dropped, and due still: %v", due)
	}
}

// TestOrgsAreForgotten of which nothing is known any more.
func TestOrgsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := New(newBucket())
		for i := range 1000 {
			x.Has(t.Context(), fmt.Sprint("org", i))
		}
		time.Sleep(2 * knownFor)
		if x.Has(t.Context(), "acme"); len(x.orgs) != 1 {
			t.Errorf("%d orgs are kept, want that of the last question", len(x.orgs))
		}
	})
}

// What expires soon is told of one org, the soonest first, without what is due already, and
// within bounds.
func TestSoon(t *testing.T) {
	b := newBucket()
	x := New(b)
	now := time.Now().Truncate(time.Second)
	for i := range 6 {
		for _, org := range []string{"acme", "beta"} {
			e := keys.Expiring{Key: keys.Key{Org: org, Service: keys.Objects, Name: fmt.Sprint("k", i)}, Moment: now.Add(time.Duration(i-1) * time.Hour), Write: "w"}
			if err := x.Add(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	soon, more, err := x.Soon(t.Context(), "acme", now.Add(3*time.Hour), 100)
	var names []string
	for _, e := range soon {
		names = append(names, e.Key.Org+e.Key.Name)
	}
	if err != nil || more || !slices.Equal(names[len(names)-3:], []string{"acmek2", "acmek3", "acmek4"}) || slices.Contains(names, "acmek0") {
		t.Errorf("%v, %v, %v", names, more, err)
	}
}

// What expires soon of an org is told however much of another org expires before it: all of it
// if it has few objects that expire, else some, and then it is told that there may be more.
func TestOthersHideNothingOfWhatExpiresSoon(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	for _, tt := range []struct {
		others, own, least int
		more               bool
	}{
		{others: 1100, own: 10, least: 10},
		{others: 1100, own: 1200, least: 990, more: true},
		{others: 100, own: 800, least: 800},
		{others: 500, own: 800, least: 800}, // the first page has some of both, and the own ones are found twice
	} {
		b := newBucket()
		x := New(b)
		add := func(org string, n int, from time.Duration) {
			for i := range n {
				k := keys.Key{Org: org, Service: keys.Objects, Name: fmt.Sprint("k", i)}
				e := keys.Expiring{Key: k, Moment: now.Add(from + time.Duration(i)*time.Second), Write: "w"}
				if err := x.Add(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		}
		add("beta", tt.others, time.Minute)
		add("acme", tt.own, 3*time.Hour)
		add("acme", 1, -time.Hour)       // has expired
		add("acme", 1, 100*24*time.Hour) // later than asked for
		b.lists = 0
		soon, more, err := x.Soon(t.Context(), "acme", now.Add(24*time.Hour), 1000)
		if err != nil || more != tt.more || len(soon) < tt.least || len(soon) > tt.own {
			t.Errorf("%+v: %d, more %v, %v", tt, len(soon), more, err)
		}
		for i, e := range soon {
			if e.Key.Org != "acme" || e.Moment.Before(now.Add(3*time.Hour)) || i > 0 && !soon[i-1].Moment.Before(e.Moment) {
				t.Fatalf("%+v: %v is told as the %dth", tt, e, i)
			}
		}
		if b.lists > 2 {
			t.Errorf("%+v: %d listings", tt, b.lists)
		}
	}
}

package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"larder/store"
)

func (s suite) put(t *testing.T) {
	t.Run("Head", func(t *testing.T) {
		b, body := s.bench(t), pattern(1000)
		modified := time.Date(2022, 1, 30, 12, 0, 1, 0, time.UTC)
		head, err := b.Put(b.Context(), b.name("a"), store.Write{Body: body, Head: store.Head{
			Digest: digest(body), ContentType: "application/x-pickle", Writer: "ann", Modified: modified.Add(time.Second / 2),
			Meta: map[string]string{"fund": "DAX"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		want := store.Head{
			Version: head.Version, Size: 1000, Digest: digest(body), ContentType: "application/x-pickle",
			Writer: "ann", Modified: modified, Meta: map[string]string{"fund": "DAX"},
		}
		b.wantHead(head, want)
		b.wantHead(b.mustGet(b.name("a"), body), want)
		got, err := b.Head(b.Context(), b.name("a"))
		if err != nil {
			t.Fatal(err)
		}
		b.wantHead(got, want)
	})
	t.Run("Defaults", func(t *testing.T) {
		b, body := s.bench(t), []byte("x")
		head := b.mustPut(b.name("a"), body)
		if head.Digest != digest(body) || head.ContentType == "" || time.Since(head.Modified).Abs() > time.Minute {
			t.Fatalf("the head is %+v", head)
		}
		b.wantHead(b.mustGet(b.name("a"), body), head)
	})
	t.Run("Sizes", func(t *testing.T) {
		b := s.bench(t)
		for _, size := range []int{0, 1, 4095, 4096, 1 << 20, 8<<20 + 1} {
			name := b.name(fmt.Sprint(size))
			b.mustPut(name, pattern(size))
			b.mustGet(name, pattern(size))
		}
	})
	t.Run("Overwrite", func(t *testing.T) {
		b := s.bench(t)
		first := b.mustPut(b.name("a"), []byte("first, and longer"))
		second := b.mustPut(b.name("a"), []byte("second"))
		if first.Version == second.Version || second.Version == "" {
			t.Fatalf("versions %q and %q", first.Version, second.Version)
		}
		b.wantHead(b.mustGet(b.name("a"), []byte("second")), second)
	})
	t.Run("OverwriteWithMeta", func(t *testing.T) {
		b := s.bench(t)
		for _, meta := range []map[string]string{{"a": "1", "b": "2"}, {"b": "3"}, nil} {
			if _, err := b.Put(b.Context(), b.name("a"), store.Write{Head: store.Head{Meta: meta}}); err != nil {
				t.Fatal(err)
			}
			b.wantMeta(b.mustGet(b.name("a"), nil), meta)
		}
	})
	s.digests(t)
}

// digests puts what is not what its digest says.
func (s suite) digests(t *testing.T) {
	t.Run("WrongDigest", func(t *testing.T) {
		if s.has(NoDigestCheck) {
			return
		}
		b := s.bench(t)
		_, err := b.Put(b.Context(), b.name("a"), store.Write{Body: []byte("x"), Head: store.Head{Digest: digest([]byte("y"))}})
		b.wantError(err, store.ErrUnexpected)
		b.mustBeAbsent(b.name("a"))
		kept := b.mustPut(b.name("a"), []byte("kept"))
		_, err = b.Put(b.Context(), b.name("a"), store.Write{Body: []byte("x"), Head: store.Head{Digest: digest([]byte("y"))}})
		b.wantError(err, store.ErrUnexpected)
		b.wantHead(b.mustGet(b.name("a"), []byte("kept")), kept)
	})
	t.Run("NoDigest", func(t *testing.T) {
		b := s.bench(t)
		_, err := b.Put(b.Context(), b.name("a"), store.Write{Head: store.Head{Digest: "beef"}})
		b.wantError(err, store.ErrMetadata)
		b.mustBeAbsent(b.name("a"))
	})
}

func (s suite) conditions(t *testing.T) {
	t.Run("IfAbsent", func(t *testing.T) {
		b := s.bench(t)
		write := store.Write{Body: []byte("one"), Conditions: store.Conditions{IfAbsent: true}}
		if _, err := b.Put(b.Context(), b.name("a"), write); err != nil {
			t.Fatal(err)
		}
		write.Body = []byte("two")
		_, err := b.Put(b.Context(), b.name("a"), write)
		b.wantError(err, store.ErrPrecondition)
		b.mustGet(b.name("a"), []byte("one"))
	})
	t.Run("IfMatch", func(t *testing.T) {
		b := s.bench(t)
		one := b.mustPut(b.name("a"), []byte("one"))
		write := store.Write{Body: []byte("two"), Conditions: store.Conditions{IfMatch: one.Version}}
		two, err := b.Put(b.Context(), b.name("a"), write)
		if err != nil {
			t.Fatal(err)
		}
		write.Body = []byte("three")
		_, err = b.Put(b.Context(), b.name("a"), write)
		b.wantError(err, store.ErrPrecondition)
		b.wantHead(b.mustGet(b.name("a"), []byte("two")), two)
	})
	t.Run("IfMatchAbsent", func(t *testing.T) {
		b := s.bench(t)
		_, err := b.Put(b.Context(), b.name("a"), store.Write{Conditions: store.Conditions{IfMatch: "0123"}})
		b.wantError(err, store.ErrPrecondition)
		b.mustBeAbsent(b.name("a"))
	})
}

// races lets eight writers write one name at once.
func (s suite) races(t *testing.T) {
	const writers, rounds = 8, 5
	race := func(b bench, name string, condition store.Conditions) (winners []string) {
		var mu sync.Mutex
		var all sync.WaitGroup
		for n := range writers {
			all.Go(func() {
				body := fmt.Sprintf("writer %d of %s", n, name)
				_, err := b.Put(b.Context(), name, store.Write{Body: []byte(body), Conditions: condition})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					winners = append(winners, body)
				case !errors.Is(err, store.ErrPrecondition) && !errors.Is(err, store.ErrConflict) && !s.tolerates(err):
					b.Error(err)
				}
			})
		}
		all.Wait()
		return winners
	}
	t.Run("IfAbsent", func(t *testing.T) {
		b := s.bench(t)
		for round := range rounds {
			name := b.name(fmt.Sprint(round))
			winners := race(b, name, store.Conditions{IfAbsent: true})
			b.wantOneWinner(s, name, winners)
		}
	})
	t.Run("IfMatch", func(t *testing.T) {
		b := s.bench(t)
		for round := range rounds {
			name := b.name(fmt.Sprint(round))
			before := b.mustPut(name, []byte("before"))
			winners := race(b, name, store.Conditions{IfMatch: before.Version})
			b.wantOneWinner(s, name, winners)
		}
	})
}

func (b bench) wantOneWinner(s suite, name string, winners []string) {
	b.Helper()
	if len(winners) == 0 || (len(winners) > 1 && !s.has(NoAtomicConditions)) {
		b.Fatalf("%d writers won: %q", len(winners), winners)
	}
	_, body, err := b.Get(b.Context(), name, 1000, nil)
	if err != nil || !slices.Contains(winners, string(body)) {
		b.Fatalf("%q is there, %v, but %q won", body, err, winners)
	}
}

// torn reads while others write, and wants the version, the digest and the
// bytes of every answer to be of one write.
func (s suite) torn(t *testing.T) {
	if s.has(TornByRaces) {
		return
	}
	b := s.bench(t)
	name := b.name("a")
	var mu sync.Mutex
	written := map[string]string{} // digest by version
	write := func(body []byte) {
		head, err := b.Put(b.Context(), name, store.Write{Body: body})
		if err != nil {
			b.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		written[head.Version] = digest(body)
	}
	write([]byte("0"))
	read := map[string]string{}
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for n := range 4 {
		writers.Go(func() {
			for i := range 100 {
				write(pattern(100 + 37*i + n))
			}
		})
	}
	for range 4 {
		readers.Go(func() {
			for !closed(stop) {
				head, body, err := b.Get(b.Context(), name, 1<<20, nil)
				if err != nil {
					b.Error(err)
					return
				}
				if head.Digest != digest(body) || head.Size != int64(len(body)) {
					b.Errorf("%d bytes of another write than the head: %+v", len(body), head)
				}
				mu.Lock()
				if was := read[head.Version]; was != "" && was != head.Digest {
					b.Errorf("the bytes of version %s have changed", head.Version)
				}
				read[head.Version] = head.Digest
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	for version, digest := range read {
		if written[version] != digest {
			b.Errorf("version %s was read with the bytes of another write", version)
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s suite) delete(t *testing.T) {
	b := s.bench(t)
	b.mustPut(b.name("a"), []byte("x"))
	b.mustPut(b.name("ab"), []byte("stays"))
	for range 2 {
		if err := b.Delete(b.Context(), b.name("a")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Head(b.Context(), b.name("a"))
	b.wantError(err, store.ErrNotFound)
	b.mustGet(b.name("ab"), []byte("stays"))
	if err := b.Delete(b.Context(), b.name("never/was/there")); err != nil {
		t.Fatal(err)
	}
	again := b.mustPut(b.name("a"), []byte("again"))
	b.wantHead(b.mustGet(b.name("a"), []byte("again")), again)
	if err := b.Delete(b.Context(), b.name("ab")); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(b.Context(), b.name("a")); err != nil {
		t.Fatal(err)
	}
	b.wantListed("", []string{}, 10)
}

// deleteMany removes many names at once, of which some are not there.
func (s suite) deleteMany(t *testing.T) {
	b := s.bench(t)
	names := []string{b.name("never/was/there")}
	for i := range 20 {
		names = append(names, b.name(fmt.Sprintf("m/%d é&<+", i)))
		b.mustPut(names[len(names)-1], []byte("x"))
	}
	b.mustPut(b.name("other"), []byte("stays"))
	for range 2 {
		for i, err := range b.DeleteMany(b.Context(), names) {
			if err != nil {
				t.Fatalf("%s: %v", names[i], err)
			}
		}
	}
	for _, name := range names {
		_, err := b.Head(b.Context(), name)
		b.wantError(err, store.ErrNotFound)
	}
	b.mustGet(b.name("other"), []byte("stays"))
	if err := b.Delete(b.Context(), b.name("other")); err != nil {
		t.Fatal(err)
	}
	b.wantListed("", []string{}, 10)
	if errs := b.DeleteMany(b.Context(), nil); len(errs) > 0 {
		t.Errorf("no names: %v", errs)
	}
}

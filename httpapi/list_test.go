package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/keys"
	"larder/store"
	"larder/store/expiry"
)

// The store is asked for as many places as there are keys missing, but for a hundred at least,
// and for a full page where some may be left out.
func TestWanted(t *testing.T) {
	for _, tt := range []struct {
		listing
		found, want int
	}{
		{listing{}, 0, storePage},
		{listing{limit: 1}, 0, leastPage},
		{listing{limit: 300}, 0, 300},
		{listing{limit: 300}, 40, 260},
		{listing{limit: 300}, 299, leastPage},
		{listing{limit: maxLimit}, 0, storePage},
		{listing{limit: 100, look: true}, 0, storePage},
		{listing{limit: 100, filter: strategyParts{EnvHash: "ab"}}, 0, storePage},
	} {
		if got := tt.wanted(tt.found); got != tt.want {
			t.Errorf("limit %d, %d found, look %v, filter %v: %d are asked for, want %d", tt.limit, tt.found, tt.look, tt.filter, got, tt.want)
		}
	}
}

// names is a store of what has these names, all of which has expired but the last, and which
// counts its listings.
type names struct {
	bare
	in    []string // in order
	lists int
}

func (s *names) List(_ context.Context, prefix, after string, limit int) (entries []store.Entry, more bool, err error) {
	s.lists++
	for _, name := range s.in {
		if name <= after || !strings.HasPrefix(name, prefix) {
			continue
		}
		if len(entries) == limit {
			return entries, true, nil
		}
		entries = append(entries, store.Entry{Name: name, Version: "v"})
	}
	return entries, false, nil
}

func (*names) Head(context.Context, string) (store.Head, error) {
	return store.Head{Expires: time.Now().Add(-time.Hour)}, nil
}

func (*names) Put(context.Context, string, store.Write) (store.Head, error) { return store.Head{}, nil }

func (*names) Delete(context.Context, string) error { return nil }

// A few keys behind many that are left out cost few listings, as many do.
func TestFewKeysBehindManyLeftOut(t *testing.T) {
	t.Parallel()
	strategy := keys.Strategy{Name: "zz", EnvDate: "2022-01-30T00:00:00+00:00", EnvHash: "ab"}.String()
	place := func(service, name string) string {
		return keys.Key{Org: "acme", Service: service, Name: name}.Place()
	}
	for _, tt := range []struct {
		what, service, key string
		before             func(i int) []string // the names of what is left out
	}{
		{"names that are no keys", keys.Objects, "zz", func(i int) []string {
			return []string{place(keys.Objects, fmt.Sprintf("a%04d", i)) + "~"}
		}},
		{"keys that are no strategies", keys.Strategies, strategy, func(i int) []string {
			return []string{place(keys.Strategies, fmt.Sprintf("a%04d", i))}
		}},
		{"expired", keys.Objects, "zz", func(i int) []string {
			k := keys.Key{Org: "acme", Service: keys.Objects, Name: fmt.Sprintf("a%04d", i)}
			_, byKey, err := keys.Expiring{Key: k, Moment: time.Now().Add(-time.Hour), Write: store.NewWriteName()}.Places()
			if err != nil {
				t.Error(err)
			}
			return []string{k.Place(), byKey}
		}},
	} {
		s := &names{in: []string{place(tt.service, tt.key)}}
		for i := range 1500 {
			s.in = append(s.in, tt.before(i)...)
		}
		slices.Sort(s.in)
		api := New(Config{ChunkSize: 1 << 10, Log: zerolog.Nop()}, s, &kept{}, expiry.New(s), ada{})
		for _, accept := range []string{"application/json", ndjson} {
			for _, limit := range []int{1, 3, 1000} {
				s.lists = 0
				r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v1/%s?limit=%d", tt.service, limit), nil)
				r.Header.Set("Accept", accept)
				w := httptest.NewRecorder()
				api.ServeHTTP(w, r)
				var page struct {
					Key  string
					Keys []struct{ Key string }
				}
				err := json.Unmarshal(w.Body.Bytes(), &page)
				if err != nil || page.Key != tt.key && (len(page.Keys) != 1 || page.Keys[0].Key != tt.key) {
					t.Errorf("%s, %s, up to %d: %d %s, want %s", tt.what, accept, limit, w.Code, w.Body, tt.key)
				}
				if s.lists > 40 {
					t.Errorf("%s, %s, up to %d cost %d listings", tt.what, accept, limit, s.lists)
				}
			}
		}
	}
}

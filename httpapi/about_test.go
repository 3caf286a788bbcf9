package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/keys"
	"larder/store"
)

// due is an index of what expires soon.
type due struct {
	bare
	soon []keys.Expiring
}

func (d due) Soon(context.Context, string, time.Time, int) ([]keys.Expiring, bool, error) {
	return d.soon, false, nil
}

// An answer that lacks what an owner did not tell says that there may be more.
func TestExpiringWithoutAnOwner(t *testing.T) {
	t.Parallel()
	moment := time.Now().Add(time.Hour).Truncate(time.Second)
	var d due
	for _, name := range []string{"a", "b", "c"} {
		d.soon = append(d.soon, keys.Expiring{Key: keys.Key{Org: "acme", Service: keys.Objects, Name: name}, Moment: moment})
	}
	told, anew := &store.Head{Expires: moment, Size: 3, Writer: "ada"}, &store.Head{Expires: moment.Add(time.Hour)}
	for _, tt := range []struct {
		what  string
		heads []*store.Head
		want  int
		more  bool
	}{
		{"all are told", []*store.Head{told, told, told}, 3, false},
		{"one was written anew", []*store.Head{told, anew, told}, 2, false},
		{"one is not told", []*store.Head{told, nil, told}, 2, true},
		{"none is told", []*store.Head{nil, nil, nil}, 0, true},
	} {
		heads := func(context.Context, []keys.Key) []*store.Head { return tt.heads }
		api := New(Config{ChunkSize: 1 << 10, Log: zerolog.Nop(), Heads: heads}, d, &kept{}, d, ada{})
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/expiring", nil))
		var answer struct {
			Expiring []expiring
			More     bool
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Expiring) != tt.want || answer.More != tt.more {
			t.Errorf("%s: %d %s, want %d of them and more %v", tt.what, w.Code, w.Body, tt.want, tt.more)
		}
	}
}

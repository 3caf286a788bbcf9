package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/fill"
	"larder/fill/chunks"
	"larder/httpapi/auth"
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

// there is a store of an object that is there.
type there struct{ bare }

func (there) Stat(context.Context, keys.Key, fill.Options) (store.Head, chunks.Source, error) {
	return store.Head{Version: "v", Size: 1}, chunks.S3, nil
}

// as lets everybody in as one principal.
type as struct {
	ada
	who auth.Principal
}

func (a as) Authenticate(context.Context, auth.Credential) (auth.Principal, error) { return a.who, nil }

// Everybody who may read an object is told how many nodes have it, and an admin which.
func TestWhoIsToldTheNamesOfNodes(t *testing.T) {
	t.Parallel()
	where := func(context.Context, keys.Key, store.Head) (Cached, error) {
		return Cached{Chunks: 1, Nodes: []fill.Where{{Node: "host-1", Answers: true, Owner: true, Kept: chunks.Kept{Memory: 1}}, {Node: "host-2"}}}, nil
	}
	const names = `"nodes":[{"node":"host-1","owner":true,"answers":true,"memory":1,"disk":0},{"node":"host-2","owner":false,"answers":false,"memory":0,"disk":0}]`
	const none = `"nodes":[{"owner":true,"answers":true,"memory":1,"disk":0},{"owner":false,"answers":false,"memory":0,"disk":0}]`
	for _, tt := range []struct {
		who  auth.Principal
		want string
	}{
		{auth.Principal{Role: auth.Reader}, none},
		{auth.Principal{Role: auth.Writer}, none},
		{auth.Principal{Role: auth.Admin, Scope: &auth.Scope{Prefixes: []string{"a"}}}, none},
		{auth.Principal{Role: auth.Admin}, names},
	} {
		tt.who.Org, tt.who.User = "acme", "ada"
		api := New(Config{ChunkSize: 1 << 10, Log: zerolog.Nop(), Where: where}, there{}, &kept{}, there{}, as{who: tt.who})
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/about/objects/a", nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s, %v: %d %s, want %s", tt.who.Role, tt.who.Scope, w.Code, w.Body, tt.want)
		}
	}
}

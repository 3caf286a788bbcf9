package store_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"larder/store"
)

// A listing that does not go on, or from which names would be missing, is an
// error.
func TestListingsThatDoNotGoOn(t *testing.T) {
	for name, test := range map[string]struct {
		page  []string
		after string
		more  bool
		ok    bool
	}{
		"first page":       {[]string{"k1", "k2"}, "", true, true},
		"next page":        {[]string{"k3", "k4"}, "k2", true, true},
		"last page":        {nil, "k4", false, true},
		"the same again":   {[]string{"k1", "k2"}, "k2", true, false},
		"overlap":          {[]string{"k2", "k3"}, "k2", false, false},
		"before the start": {[]string{"k1"}, "k2", false, false},
		"empty, with more": {nil, "k2", true, false},
		"unsorted":         {[]string{"k2", "k1", "k3"}, "", false, false},
		"twice":            {[]string{"k1", "k1"}, "", false, false},
		"another prefix":   {[]string{"k1", "l1"}, "", false, false},
		"by UTF-16":        {[]string{"k\U0001f600", "k\uff01"}, "", false, true},
		"too many":         {[]string{"k1", "k2", "k3", "k4"}, "", false, true},
		"odd names":        {[]string{"k +%20", "k&<é"}, "", false, true},
	} {
		s := startFake(t, &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("encoding-type") {
				t.Errorf("%s: an encoding is asked for", name)
			}
			writePage(w, test.more, "e", test.page...)
			return true
		}}, store.S3Config{})
		entries, more, err := s.List(t.Context(), "k", test.after, 3)
		if (err == nil) != test.ok || err != nil && !errors.Is(err, store.ErrUnexpected) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name)
		}
		if test.ok && (!slices.Equal(names, test.page[:min(3, len(test.page))]) || more != (test.more || len(test.page) > 3)) {
			t.Errorf("%s: %q, %t", name, names, more)
		}
	}
}

// An object without an ETag cannot be told from others: it is not read, and a
// listing leaves it out and goes on.
func TestNoETag(t *testing.T) {
	s := startFake(t, &fake{before: func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Query().Get("start-after") == "k2":
			writePage(w, false, `"v"`, "k3")
		case r.URL.Query().Has("list-type"):
			writePage(w, true, "", "k1", "k2")
		}
		return true
	}}, store.S3Config{})
	entries, more, err := s.List(t.Context(), "k", "", 2)
	if err != nil || more || len(entries) != 1 || entries[0].Name != "k3" {
		t.Errorf("%+v, %t, %v", entries, more, err)
	}
	if _, err := s.Head(t.Context(), "k1"); !errors.Is(err, store.ErrUnexpected) {
		t.Errorf("head: %v", err)
	}
	if _, _, err := s.Get(t.Context(), "k1", 10, nil); !errors.Is(err, store.ErrUnexpected) {
		t.Errorf("get: %v", err)
	}
}

package store_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

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
		"unsorted":         {[]string{"k2", "k1", "k3"}, "", true, false},
		"by folder":        {[]string{"k/b", "k!"}, "", false, true},
		"by folder, last":  {[]string{"k/b", "k!"}, "j", false, true},
		"all by folder":    {[]string{"k/d", "k/b", "k!", "k#"}, "", false, true},
		"unsorted overlap": {[]string{"k3", "k2"}, "k2", false, false},
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
		slices.SortFunc(test.page, func(a, b string) int {
			if name == "by UTF-16" {
				return 0
			}
			return strings.Compare(a, b)
		})
		if test.ok && (!slices.Equal(names, test.page[:min(3, len(test.page))]) || more != (test.more || len(test.page) > 3)) {
			t.Errorf("%s: %q, %t", name, names, more)
		}
	}
}

// Some servers have no ETag of an object that is just being written.
func TestNoETagYet(t *testing.T) {
	for op, read := range map[string]func(*store.S3) error{
		"head": func(s *store.S3) error { _, err := s.Head(t.Context(), "k"); return err },
		"get":  func(s *store.S3) error { _, _, err := s.Get(t.Context(), "k", 10, nil); return err },
	} {
		asked := 0
		s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
			if asked++; asked > 1 {
				w.Header().Set("ETag", `"v"`)
				w.Header().Set("X-Amz-Meta-Larder-Writer", "ann")
			}
			return true
		}}, store.S3Config{})
		if err := read(s); err != nil || asked != 2 {
			t.Errorf("%s: asked %d times, %v", op, asked, err)
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

// A listing of uploads whose pages lead in a circle, or have no end, is left after some
// pages: the rest is found once these uploads are gone.
func TestUploadsThatDoNotGoOn(t *testing.T) {
	for name, test := range map[string]struct {
		next func(n int) string
		most int
	}{
		"the same marker":   {func(int) string { return "v1/a" }, 2},
		"between two pages": {func(n int) string { return []string{"v1/a", "v1/b"}[n%2] }, 3},
		"back to the start": {func(n int) string { return []string{"v1/a", "v1/b", ""}[n%3] }, 3},
		"without an end":    {func(n int) string { return fmt.Sprintf("v1/%06d", n) }, 100},
	} {
		pages := 0
		s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
			fmt.Fprintf(w, "<R><IsTruncated>true</IsTruncated><NextKeyMarker>%s</NextKeyMarker>"+
				"<Upload><Key>v1/a</Key><UploadId>u</UploadId></Upload></R>", test.next(pages))
			pages++
			return true
		}}, store.S3Config{})
		found, err := s.Abandoned(t.Context(), "v1/", time.Now())
		if err != nil || len(found) == 0 || pages != test.most {
			t.Errorf("%s: %d uploads of %d pages, %v", name, len(found), pages, err)
		}
	}
}

package store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"larder/store"
)

// torn is an answer to a read of an object that is being replaced, by a server that
// replaces objects in place. It never has metadata.
type torn struct {
	tag    string
	length int
	body   string
}

// TestTornReads wants none of what such answers hold believed, and the object read as soon
// as it is answered whole: the old one has 4 bytes, the new one 6.
func TestTornReads(t *testing.T) {
	for name, answer := range map[string]torn{
		"new bytes of the old length, new ETag": {"new", 4, "newn"},
		"new bytes of the old length, old ETag": {"old", 4, "newn"},
		"old bytes, new ETag":                   {"new", 4, "oldo"},
		"old bytes of the new length":           {"new", 6, "oldo"},
		"half of each":                          {"new", 6, "oldnew"},
		"new bytes, old ETag":                   {"old", 6, "newnew"},
		"no ETag":                               {"", 4, "oldo"},
	} {
		for op, read := range map[string]func(*store.S3) (store.Head, string, error){
			"get": func(s *store.S3) (store.Head, string, error) {
				h, b, err := s.Get(t.Context(), "k", 10, nil)
				return h, string(b), err
			},
			"head": func(s *store.S3) (store.Head, string, error) {
				h, err := s.Head(t.Context(), "k")
				return h, "newnew", err
			},
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				var asked atomic.Int64
				s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
					if asked.Add(1) == 1 {
						answer.give(w)
						return true
					}
					w.Header().Set("X-Amz-Meta-Larder-Write", store.NewWriteName())
					torn{"new", 6, "newnew"}.give(w)
					return true
				}}, store.S3Config{})
				h, body, err := read(s)
				if err != nil || h.Version != "new" || h.Size != 6 || body != "newnew" || h.Foreign() {
					t.Errorf("read %q, %+v, %v", body, h, err)
				}
			})
		}
	}
}

func (a torn) give(w http.ResponseWriter) {
	if a.tag != "" {
		w.Header().Set("ETag", strconv.Quote(a.tag))
	}
	w.Header().Set("Content-Length", strconv.Itoa(a.length))
	_, _ = io.WriteString(w, a.body)
}

// TestNeverTheSame wants an object of which nothing is sure reported as such, and one that
// is gone when it is looked at again as absent.
func TestNeverTheSame(t *testing.T) {
	for name, test := range map[string]struct {
		gone bool
		want error
	}{"other": {false, store.ErrUnavailable}, "gone": {true, store.ErrNotFound}} {
		var asked atomic.Int64
		s := startFake(t, &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
			n := asked.Add(1)
			if test.gone && n > 1 {
				return false
			}
			torn{fmt.Sprint(n), 4, "1234"}.give(w)
			return true
		}}, store.S3Config{})
		if _, body, err := s.Get(t.Context(), "k", 10, nil); !errors.Is(err, test.want) || body != nil {
			t.Errorf("%s: read %q, %v", name, body, err)
		}
	}
}

package store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"larder/store"
)

// deleting answers the removal of many objects as a test says, and everything else as
// the server that it stands in front of.
type deleting struct {
	many, single atomic.Int64
	answer       func(n int64, keys []string) (status int, body string)
	deniesOne    bool // the removal of one
}

func (d *deleting) before(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodDelete {
		d.single.Add(1)
		if d.deniesOne {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<Error><Code>AccessDenied</Code></Error>")
			return true
		}
	}
	if r.Method != http.MethodPost || !r.URL.Query().Has("delete") {
		return false
	}
	body, _ := io.ReadAll(r.Body)
	var keys []string
	for _, part := range strings.Split(string(body), "<Key>")[1:] {
		key, _, _ := strings.Cut(part, "</Key>")
		keys = append(keys, key)
	}
	status, text := d.answer(d.many.Add(1), keys)
	w.WriteHeader(status)
	fmt.Fprint(w, text)
	return true
}

// result is an answer of S3: what was removed, and what was not, by its code.
func result(deleted []string, failed map[string]string) string {
	var b strings.Builder
	b.WriteString("<DeleteResult>")
	for _, key := range deleted {
		fmt.Fprintf(&b, "<Deleted><Key>%s</Key></Deleted>", key)
	}
	for key, code := range failed {
		fmt.Fprintf(&b, "<Error><Key>%s</Key><Code>%s</Code><Message>told so</Message></Error>", key, code)
	}
	return b.String() + "</DeleteResult>"
}

// deletion is a removal of three, a, b and c.
type deletion struct {
	answer       func(n int64, keys []string) (int, string)
	want         [3]error // of a, b and c
	many, single int64    // requests
	deniesOne    bool
}

func deletions() map[string]deletion {
	refused := func(status int, code string) func(int64, []string) (int, string) {
		return func(int64, []string) (int, string) { return status, "<Error><Code>" + code + "</Code></Error>" }
	}
	return map[string]deletion{
		"all": {answer: func(_ int64, keys []string) (int, string) { return 200, result(keys, nil) }, many: 1},
		"one is busy, and then not": {many: 2, answer: func(n int64, keys []string) (int, string) {
			if n == 1 {
				return 200, result(keys[1:], map[string]string{keys[0]: "SlowDown"})
			}
			return 200, result(keys, nil)
		}},
		"one has an error of the server, and then not": {many: 2, answer: func(n int64, keys []string) (int, string) {
			if n == 1 {
				return 200, result(keys[:2], map[string]string{keys[2]: "InternalError"})
			}
			return 200, result(keys, nil)
		}},
		"one is always busy": {many: 3, want: [3]error{nil, store.ErrNotWritten, nil}, answer: func(_ int64, keys []string) (int, string) {
			failed, deleted := map[string]string{}, []string{}
			for _, k := range keys {
				if strings.HasSuffix(k, "b") {
					failed[k] = "SlowDown"
				} else {
					deleted = append(deleted, k)
				}
			}
			return 200, result(deleted, failed)
		}},
		"one is forbidden": {many: 1, want: [3]error{store.ErrUnexpected, nil, nil}, answer: func(_ int64, keys []string) (int, string) {
			return 200, result(keys[1:], map[string]string{keys[0]: "AccessDenied"})
		}},
		"one is not there": {many: 1, answer: func(_ int64, keys []string) (int, string) {
			return 200, result(keys[1:], map[string]string{keys[0]: "NoSuchKey"})
		}},
		"nothing is said of one": {many: 1, single: 1, answer: func(_ int64, keys []string) (int, string) {
			return 200, result(keys[1:], nil)
		}},
		"all are forbidden": {
			many: 1, single: 1, want: [3]error{store.ErrUnexpected, store.ErrUnexpected, store.ErrUnexpected},
			answer: refused(403, "AccessDenied"), deniesOne: true,
		},
		"only one at a time is allowed": {many: 1, single: 3, answer: refused(403, "AccessDenied")},
		"busy":                          {many: 3, want: [3]error{store.ErrNotWritten, store.ErrNotWritten, store.ErrNotWritten}, answer: refused(503, "SlowDown")},
		"an error of a proxy":           {many: 1, want: [3]error{store.ErrUnavailable, store.ErrUnavailable, store.ErrUnavailable}, answer: refused(502, "")},
		"not known":                     {many: 1, single: 3, answer: refused(501, "NotImplemented")},
		"wants another digest":          {many: 1, single: 3, answer: refused(400, "MissingContentMD5")},
		"not this method":               {many: 1, single: 3, answer: refused(405, "MethodNotAllowed")},
	}
}

// TestDeleteManyAnswers wants each answer to a removal of three to become the right
// errors, after the right number of requests.
func TestDeleteManyAnswers(t *testing.T) {
	for name, c := range deletions() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &deleting{answer: c.answer, deniesOne: c.deniesOne}
			s := startFake(t, &fake{before: d.before}, store.S3Config{})
			for i, err := range s.DeleteMany(t.Context(), []string{"a", "b", "c"}) {
				if !errors.Is(err, c.want[i]) || errors.Is(err, store.ErrNotWritten) != errors.Is(c.want[i], store.ErrNotWritten) && c.want[i] != store.ErrUnexpected {
					t.Errorf("%d: %v, want %v", i, err, c.want[i])
				}
			}
			if d.many.Load() != c.many || d.single.Load() != c.single {
				t.Errorf("%d requests for many and %d for one, want %d and %d", d.many.Load(), d.single.Load(), c.many, c.single)
			}
			if c.single < 3 {
				return
			}
			s.DeleteMany(t.Context(), []string{"a", "b"})
			if d.many.Load() != 1 || d.single.Load() != c.single+2 {
				t.Errorf("%d requests for many, then, and %d for one", d.many.Load(), d.single.Load())
			}
		})
	}
}

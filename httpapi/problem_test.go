package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"larder/budget"
	"larder/fill/chunks"
	"larder/store"
	"larder/writepath"
)

// What the store or a peer said is in the log, under the ID that the caller is
// told, and nowhere else.
func TestWordsOfTheInside(t *testing.T) {
	const words = `Get "http://10.1.2.3:9000/our-bucket/v1/acme": arn:aws:sts::123:assumed-role/larder is not authorized`
	for _, kind := range []error{
		store.ErrUnavailable, store.ErrUnexpected, store.ErrDenied, store.ErrMetadata, store.ErrConflict, store.ErrPrecondition, store.ErrNotFound,
		writepath.ErrNotApplied, writepath.ErrUnknown, budget.ErrBusy, chunks.ErrPanic, errors.New("anything"),
	} {
		a, log, _ := logging(t, zerolog.DebugLevel)
		b := broken{func() error { return fmt.Errorf("%w: %s", kind, words) }}
		a.read, a.wrt = b, b
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			log.Reset()
			r := httptest.NewRequest(method, "/v1/objects/k", strings.NewReader("x"))
			r.Header.Set("Authorization", goodToken)
			w := httptest.NewRecorder()
			a.ServeHTTP(w, r)
			if strings.Contains(w.Body.String(), "10.1.2.3") || strings.Contains(w.Body.String(), "arn:") {
				t.Errorf("%s, %v: %s", method, kind, w.Body)
			}
			id := w.Header().Get("Larder-Request")
			if !strings.Contains(w.Body.String(), `"request":"`+id+`"`) {
				t.Errorf("%s, %v: the request's ID is %s, and the problem %s", method, kind, id, w.Body)
			}
			if w.Code >= 500 && !strings.Contains(log.String(), "10.1.2.3") {
				t.Errorf("%s, %v: nothing in the log: %s", method, kind, log)
			}
			for line := range strings.Lines(log.String()) {
				if !strings.Contains(line, `"request":"`+id+`"`) {
					t.Errorf("%s, %v: a line without the request's ID: %s", method, kind, line)
				}
			}
		}
	}
}

// A write that the store does not allow says what an operator has to give.
func TestDeniedWrites(t *testing.T) {
	p := (&API{kinds: newKinds()}).problemOf(fmt.Errorf("put k: %w", store.ErrDenied))
	if p.Status != http.StatusBadGateway || !strings.HasSuffix(p.Type, "store-unexpected") || !strings.Contains(p.Detail, "--s3-sse") {
		t.Errorf("the problem is %+v", p)
	}
}

// A flood of refused callers, or of failures, has some lines and a number.
func TestFloodsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, log, _ := logging(t, zerolog.InfoLevel)
		for range 100 {
			ask(a, "GET", "/v1/objects/k", "", "Bearer stolen")
		}
		other := httptest.NewRequest(http.MethodGet, "/v1/objects/k", nil)
		other.RemoteAddr = "192.0.2.2:1234"
		a.ServeHTTP(httptest.NewRecorder(), other)
		if got := lines(t, log, "audit"); len(got) != sampleBurst+1 {
			t.Errorf("%d audit lines", len(got))
		}
		b := broken{func() error { return store.ErrUnavailable }}
		a.read = b
		for range 50 {
			ask(a, "GET", "/v1/objects/k", "", goodToken)
		}
		if got := lines(t, log, "httpapi"); len(got) != sampleBurst {
			t.Errorf("%d lines of failures", len(got))
		}
		log.Reset()
		time.Sleep(sampleWindow)
		synctest.Wait()
		audit, failures := lines(t, log, "audit"), lines(t, log, "httpapi")
		if len(audit) != 1 || audit[0]["more"] != 90.0 || audit[0]["from"] != "192.0.2.1" || audit[0]["verdict"] != "bad-credential" {
			t.Errorf("%v", audit)
		}
		if len(failures) != 1 || failures[0]["more"] != 40.0 || failures[0]["problem"] != "store-unavailable" {
			t.Errorf("%v", failures)
		}
	})
}

// The kinds that are told apart are bounded, and the rest is one kind.
func TestSamplerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logged := newSampler(), 0
		for i := range 3 * sampleKinds {
			if s.pass(fmt.Sprint(i), func(int) {}) {
				logged++
			}
		}
		s.mu.Lock()
		if logged != sampleKinds+sampleBurst || len(s.seen) != sampleKinds+1 {
			t.Errorf("%d lines of %d kinds", logged, len(s.seen))
		}
		s.mu.Unlock()
		time.Sleep(sampleWindow)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.seen) != 0 {
			t.Errorf("%d kinds are left", len(s.seen))
		}
	})
}

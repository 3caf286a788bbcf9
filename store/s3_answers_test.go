package store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"larder/store"
)

// What answers 200 to everything is not S3: nothing was deleted, and a listing is
// not empty.
func TestAnswersOfStrangers(t *testing.T) {
	for _, answer := range []struct {
		name, contentType, body string
		status                  int
		deletes                 bool // S3 itself may answer a delete so
	}{
		{"sign-in page", "text/html", "<html><body>sign in</body></html>", 200, false},
		{"page with a doctype", "text/html", "\n<!DOCTYPE html>\n<title>x</title>", 200, false},
		{"XHTML", "application/xml", "<?xml version=\"1.0\"?><HTML></HTML>", 200, false},
		{"JSON", "application/json", `{"login": true}`, 200, false},
		{"accepted page", "text/html", "<html></html>", 202, false},
		{"nothing", "", "", 200, true},
		{"no content", "", "", 204, true},
	} {
		t.Run(answer.name, func(t *testing.T) {
			server := &fake{}
			s := startFake(t, server, store.S3Config{})
			server.before = func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", answer.contentType)
				w.WriteHeader(answer.status)
				_, _ = io.WriteString(w, answer.body)
				return true
			}
			if err := s.Delete(t.Context(), "a"); (err == nil) != answer.deletes || err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("delete: %v", err)
			}
			if err := s.DeleteVersion(t.Context(), "a", "v"); (err == nil) != answer.deletes {
				t.Errorf("delete of a version: %v", err)
			}
			if n := len(server.sent(http.MethodDelete)); n != 2 {
				t.Errorf("%d deletes were sent", n)
			}
			if names, _, err := s.List(t.Context(), "", "", 10); !errors.Is(err, store.ErrUnexpected) {
				t.Errorf("list: %v, %v", names, err)
			}
			if err := s.Ping(t.Context()); !errors.Is(err, store.ErrUnexpected) {
				t.Errorf("ping: %v", err)
			}
			if _, err := s.Abandoned(t.Context(), "", time.Now()); !errors.Is(err, store.ErrUnexpected) {
				t.Errorf("list of uploads: %v", err)
			}
		})
	}
}

// An answer without an end takes no memory without an end: neither a page of a
// listing nor the words of a refusal.
func TestAnswersWithoutEnd(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusForbidden} {
		var sent atomic.Int64
		server := &fake{before: func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(status)
			fmt.Fprint(w, "<R><IsTruncated>false</IsTruncated>")
			for entry := "<Contents><Key>" + strings.Repeat("k", 64<<10) + "</Key></Contents>"; ; {
				if _, err := io.WriteString(w, entry); err != nil {
					return true
				}
				sent.Add(int64(len(entry)))
			}
		}}
		s := startFake(t, server, store.S3Config{})
		_, _, err := s.List(t.Context(), "", "", 10)
		// A busy machine may need so long for what is read of it that it is given up by time.
		if !errors.Is(err, store.ErrUnavailable) && (!errors.Is(err, store.ErrUnexpected) || !strings.Contains(err.Error(), "bytes")) {
			t.Errorf("status %d: %v", status, err)
		}
		if n := sent.Load(); n > 24<<20 { // what is read, and what connections hold
			t.Errorf("status %d: %d bytes were taken", status, n)
		}
	}
}

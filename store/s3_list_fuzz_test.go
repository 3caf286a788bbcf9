package store_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"larder/store"
)

type transport func(r *http.Request) *http.Response

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

// FuzzListing holds that whatever a server answers to a question for a listing is an
// error, or a page that a listing can go on from: names with the prefix, none of them
// the one that was given or there twice, no more than were asked for, and each with a
// version and a size.
func FuzzListing(f *testing.F) {
	f.Add("k1", "k2", `"e"`, "1", "2026-01-02T03:04:05Z", true, "")
	f.Add("k2", "k1", "e", "-9223372036854775808", "0000-01-01T00:00:00Z", false, "k1")
	f.Add("k\U0001f600", "k\uff01", "&quot;e&quot;", "1e3", "yesterday", true, "k")
	f.Add("l", "", "<x/>", "", "", false, "")
	f.Fuzz(func(t *testing.T, one, two, tag, size, date string, more bool, after string) {
		var page bytes.Buffer
		fmt.Fprintf(&page, "<R><IsTruncated>%t</IsTruncated>", more)
		for _, key := range []string{one, two, one + two} {
			page.WriteString("<Contents><Key>")
			_ = xml.EscapeText(&page, []byte(key)) // to memory: never fails
			fmt.Fprintf(&page, "</Key><ETag>%s</ETag><Size>%s</Size><LastModified>%s</LastModified></Contents>", tag, size, date)
		}
		body := page.String() + "</R>"
		synctest.Test(t, func(t *testing.T) { checkListing(t, body, after) }) // the pauses between attempts cost no time
	})
}

func checkListing(t *testing.T, body, after string) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := 0
	s := newStore(t, store.S3Config{Endpoint: "http://127.0.0.1", HTTPClient: &http.Client{
		Transport: transport(func(r *http.Request) *http.Response {
			if asked++; asked > 3 {
				cancel() // the same answer for ever: a page without versions that says it goes on
			}
			return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
				ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)), Request: r}
		}),
	}})
	listed, more, err := s.List(ctx, "k", after, 3)
	if err != nil {
		return
	}
	if len(listed) > 3 || more && len(listed) == 0 {
		t.Fatalf("a page of %d, and more: %t", len(listed), more)
	}
	seen := map[string]bool{after: after != ""}
	for _, e := range listed {
		if seen[e.Name] {
			t.Fatalf("listed %q twice", e.Name)
		}
		seen[e.Name] = true
		if !strings.HasPrefix(e.Name, "k") || e.Version == "" || e.Size < 0 {
			t.Fatalf("listed %+v", e)
		}
	}
}

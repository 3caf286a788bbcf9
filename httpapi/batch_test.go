package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"larder/keys"
	"larder/store"
	"larder/writepath"
)

// sendBatch puts a batch, and returns its lines.
func sendBatch(s *server, body string) (lines []putLine) {
	s.Helper()
	answer, text, _ := s.raw(fmt.Sprintf("POST /v1/batch/objects HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	if answer.StatusCode != 200 {
		s.Fatalf("%.80q: %d %s", body, answer.StatusCode, text)
	}
	for from := json.NewDecoder(strings.NewReader(string(text))); from.More(); {
		var l putLine
		if err := from.Decode(&l); err != nil {
			s.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// TestBatchCutOff ends a batch of two early, after each of its bytes.
func TestBatchCutOff(t *testing.T) {
	s := serve(t, 1000, ada{})
	const whole = "--b\r\nContent-Location: /v1/objects/a\r\n\r\n1\r\n--b\r\nContent-Location: /v1/objects/b\r\n\r\n2\r\n--b--"
	for _, body := range []string{whole, whole + "\r\n", "before\r\n" + whole + "\r\nafter"} {
		if lines := sendBatch(s, body); len(lines) != 2 || lines[0].Status+lines[1].Status != 402 {
			t.Errorf("%q: %v, want both stored", body, lines)
		}
	}
	for cut := range len(whole) {
		failed := 0
		for _, l := range sendBatch(s, whole[:cut]) {
			if l.Key == "" && l.Status == 400 {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%q: %d lines say that it ended too early, want one", whole[:cut], failed)
		}
	}
}

// A sender who looks for the answer only when all is sent gets it, whatever of the body nobody
// wants any more.
func TestBatchIsReadToItsEnd(t *testing.T) {
	s := serve(t, 1000, ada{})
	const first = "--b\r\nContent-Location: /v1/objects/a\r\n\r\n1\r\n--b"
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"no header":                 {first + "\r\nno header\r\n\r\n", 400},
		"a header that is too long": {first + "\r\nX: " + strings.Repeat("x", 2*maxPartHeader) + "\r\n\r\n", 400},
		"after the last part":       {first + "--\r\n", 201},
	} {
		lines := sendBatch(s, c.body+strings.Repeat("rest", 5<<20))
		if last := lines[len(lines)-1]; lines[0].Status != 201 || last.Status != c.want || strings.Count(last.Detail, "bad body") > 1 {
			t.Errorf("%s: %+v, want the first stored and the last %d", name, lines, c.want)
		}
	}
}

// lastFirst is a write path whose writes of other keys wait for the one of the key z.
type lastFirst struct {
	kept
	wrote chan struct{}
}

func (l *lastFirst) Put(ctx context.Context, k keys.Key, h store.Head, body []byte, c writepath.Conditions) (writepath.Result, error) {
	if k.Name == "z" {
		defer close(l.wrote)
	} else {
		<-l.wrote
	}
	return l.kept.Put(ctx, k, h, body, c)
}

// TestBatchOrder has the last of some writes end first: the lines are in the order of the
// parts, one that is refused among them.
func TestBatchOrder(t *testing.T) {
	s := serve(t, 1000, ada{})
	s.api.wrt = &lastFirst{wrote: make(chan struct{})}
	want, body := []string{"b", "a", "b", "c", "z"}, ""
	for _, k := range want {
		body += "--b\r\nContent-Location: /v1/objects/" + k + "\r\n\r\n1\r\n"
	}
	var got []string
	for _, l := range sendBatch(s, body+"--b--") {
		got = append(got, l.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines of %q, want %q", got, want)
	}
}

// TestBatchLocations names keys in ways that a request for them could not.
func TestBatchLocations(t *testing.T) {
	s := serve(t, 100, ada{})
	for _, field := range []string{
		"/v1/objectsfoo", "/v1/objects/a#b", "http:/v1/objects/a", "http:///v1/objects/a", "//host/v1/objects/a", "v1/objects/a", "/v1/objects?key=a;b",
		"/v1/objects?key=%zz", "/v1/objects/a\r\nContent-Location: /v1/objects/b", "/v1/objects/" + strings.Repeat("a", 1<<20), "/v1/objects?key=" + strings.Repeat("a", 1<<20),
	} {
		lines := sendBatch(s, "--b\r\nContent-Location: "+field+"\r\n\r\nbytes\r\n--b--\r\n")
		if len(lines) != 1 || lines[0].Status != 400 || len(lines[0].Key)+len(lines[0].Detail) > 8<<10 {
			t.Errorf("%.60q: %.300v, want one short refusal", field, lines)
		}
	}
	if !s.kept.holds("") {
		t.Error("one of them was stored")
	}
}

// TestBadJSON is told in words of JSON, and not of Go.
func TestBadJSON(t *testing.T) {
	s := serve(t, 100, ada{})
	for _, tt := range []struct{ path, body, want string }{
		{"/v1/batch/objects", `["a"]`, "it must not be a JSON array; send {"},
		{"/v1/batch/objects", `{"get":[1]}`, "get must not be a JSON number; send {"},
		{"/v1/batch/objects", `{"got":["a"]}`, `"got" is not known; send {`},
		{"/v1/batch/objects", `{}`, "there is no list of keys in it; send {"},
		{"/v1/batch/objects", `null`, "there is no list of keys in it; send {"},
		{"/v1/batch/objects", `{"get":["a"`, "it is no JSON (unexpected EOF); send {"},
		{"/v1/why/objects/a?settings=%5B%5D", "", "it must not be a JSON array"},
		{"/v1/why/objects/a?settings=x", "", "it is no JSON (invalid character"},
	} {
		method := "POST"
		if tt.body == "" {
			method = "GET"
		}
		answer, body, _ := s.raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", method, tt.path, len(tt.body), tt.body))
		var p problem
		if err := json.Unmarshal(body, &p); err != nil || answer.StatusCode != 400 || !strings.Contains(p.Detail, tt.want) || strings.Contains(p.Detail, "Go ") {
			t.Errorf("%s %s: %d %s, want %q", tt.path, tt.body, answer.StatusCode, body, tt.want)
		}
	}
}

// TestBatchListTooLong announces a list that is too long, and sends none of it.
func TestBatchListTooLong(t *testing.T) {
	s := serve(t, 100, ada{})
	const post = "POST /v1/batch/objects HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	if answer, _, _ := s.raw(post + "Expect: 100-continue\r\nContent-Length: 1099511627776\r\n\r\n"); answer.StatusCode != 400 {
		t.Errorf("a list of 2^40 bytes: %d, want 400 at once", answer.StatusCode)
	}
	long := `{"` + strings.Repeat("x", 1<<20) + `":1}`
	if answer, body, _ := s.raw(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post, len(long), long)); answer.StatusCode != 400 || len(body) > 4<<10 {
		t.Errorf("a long name that is not known: %d with %d bytes", answer.StatusCode, len(body))
	}
}

// TestNoBatch sends what is no list of keys, and a removal of many that would be narrowed
// by its body.
func TestNoBatch(t *testing.T) {
	s := serve(t, 1000, ada{})
	ask := func(line, body string) int {
		answer, _, _ := s.raw(fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", line, len(body), body))
		return answer.StatusCode
	}
	for body, want := range map[string]int{
		`{"get": ["a"]}`: 200, "{\"get\": [\"a\"]}\r\n": 200, `{"get": []}`: 200,
		`{"get": ["a"]}}`: 400, `{"get": ["a"]}]`: 400, `{"get": ["a"]} {"get": ["b"]}`: 400, `{"get": ["a"]`: 400, `{"get": ["a"], "more": 1}`: 400,
		"{\"get\": [\"a\xff\"]}": 400, `{"get": null}`: 400, `{"get": "a"}`: 400, `[]`: 400, `{}`: 400, ``: 400,
		`{"get": ["a"` + strings.Repeat(`, "a"`, maxBatch-1) + `]}`: 200, `{"get": ["a"` + strings.Repeat(`, "a"`, maxBatch) + `]}`: 400,
	} {
		if got := ask("POST /v1/batch/objects", body); got != want {
			t.Errorf("%.60q: %d, want %d", body, got, want)
		}
	}
	if got := ask("DELETE /v1/objects?prefix=a", "dry_run=true"); got != 400 {
		t.Errorf("a removal with a body: %d, want 400", got)
	}
}

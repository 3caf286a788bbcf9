package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"larder/keys"
	"larder/test/testcluster"
)

// buildLimit bounds each wait of a test about builds.
const buildLimit = time.Minute

// errMoved says that a stream ended without a word of what became of its caller.
var errMoved = errors.New("the stream ended, and nothing is decided")

// line is what a node says of a build, on a stream or in an answer.
type line struct {
	Event, Claim, ETag, Builder, Error, Message, Detail string
	Ahead, Waiting, TTL, Status                         int
	Elapsed                                             float64
	Progress, Expect                                    *float64
	Builds                                              []json.RawMessage
}

// streams sends requests that last. Each has a connection of its own, as each
// researcher's process has.
var streams = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func buildPath(key string) string { return "/v1/builds/objects/" + url.PathEscape(key) }

// stream is one that a caller holds open.
type stream struct {
	answer *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

// attach opens a stream. body is what the caller says of itself; claim may be empty.
func attach(ctx context.Context, base, key, claim string, body map[string]any, headers ...string) (*stream, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+buildPath(key), bytes.NewReader(text))
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("Accept", "application/x-ndjson")
	if claim != "" {
		req.Header.Set("Larder-Claim", claim)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := streams.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &stream{answer: resp, lines: bufio.NewScanner(resp.Body), cancel: cancel}
	if resp.StatusCode != http.StatusOK {
		defer s.end()
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("status %d: %.200s", resp.StatusCode, text)
	}
	return s, nil
}

// next is the next line other than of those that only say that all goes on.
func (s *stream) next() (line, error) {
	for s.lines.Scan() {
		var l line
		if err := json.Unmarshal(s.lines.Bytes(), &l); err != nil {
			return l, fmt.Errorf("read %q: %w", s.lines.Bytes(), err)
		}
		if l.Event != "wait" && l.Event != "alive" {
			return l, nil
		}
	}
	return line{}, errMoved
}

func (s *stream) end() {
	s.cancel()
	_ = s.answer.Body.Close()
}

// caller is one who wants a key, as the client in Python does it: it holds a stream,
// builds if it is told to, and goes to the next node when one is gone.
type caller struct {
	nodes  []*testcluster.Node
	key    string
	id     string
	built  *atomic.Int64             // counts all builds of the key
	build  func(ctx context.Context) // what takes long
	change func(body map[string]any) // what it says of itself, besides
}

// run returns the value, and whether this caller built it.
func (c caller) run(ctx context.Context) (value []byte, own bool, err error) {
	err = errMoved
	for i := 0; err != nil && ctx.Err() == nil; i++ {
		if i > 0 {
			time.Sleep(20 * time.Millisecond) // between two tries, which end with ctx
		}
		value, own, err = c.once(ctx, c.nodes[i%len(c.nodes)])
	}
	return value, own, err
}

func (c caller) once(ctx context.Context, n *testcluster.Node) (value []byte, own bool, err error) {
	body := map[string]any{"waiter": c.id, "expect": 1}
	if c.change != nil {
		c.change(body)
	}
	s, err := attach(ctx, n.URL(), c.key, "", body)
	if err != nil {
		return nil, false, err
	}
	defer s.end()
	l, err := s.next()
	if err != nil {
		return nil, false, err
	}
	switch l.Event {
	case "granted":
		c.built.Add(1)
		value = []byte("built by " + c.id)
		stop := c.hold(ctx, s, l.Claim)
		defer stop()
		c.build(ctx)
		return value, true, c.put(ctx, value, l.Claim)
	case "built":
		a, err := c.anywhere(ctx, http.MethodGet, nil)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("built, and GET says %d", a.status)
		}
		return a.body, false, err
	}
	return nil, false, fmt.Errorf("%w: %+v", errMoved, l)
}

// hold holds a claim until stop: when its stream ends, at another node.
func (c caller) hold(ctx context.Context, s *stream, claim string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		for i := 1; ctx.Err() == nil; i++ {
			if s == nil {
				time.Sleep(5 * time.Millisecond) // between two tries, which end with ctx
				s, _ = attach(ctx, c.nodes[i%len(c.nodes)].URL(), c.key, claim, map[string]any{})
				continue
			}
			end := context.AfterFunc(ctx, s.end)
			for err := error(nil); err == nil; {
				_, err = s.next()
			}
			end()
			s.end()
			s = nil
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// put puts what was built. A claim that was lost is no failure: there is a value.
func (c caller) put(ctx context.Context, value []byte, claim string) error {
	a, err := c.anywhere(ctx, http.MethodPut, value, "Larder-Claim", claim)
	if err == nil && a.status != http.StatusCreated && a.status != http.StatusOK && a.status != http.StatusConflict {
		err = fmt.Errorf("PUT says %d: %s", a.status, a.body)
	}
	return err
}

// anywhere asks one node after the other until one answers.
func (c caller) anywhere(ctx context.Context, method string, body []byte, headers ...string) (a answer, err error) {
	for i := 0; ctx.Err() == nil; i++ {
		a, err = send(ctx, method, object(c.nodes[i%len(c.nodes)], c.key), body, headers...)
		if err == nil && a.status < http.StatusInternalServerError {
			return a, nil
		}
		time.Sleep(20 * time.Millisecond) // between two tries, which end with ctx
	}
	return a, fmt.Errorf("%s: no node answers: %w: %w", method, ctx.Err(), err)
}

// poll asks without a stream, as curl does.
func poll(t testing.TB, n *testcluster.Node, key, body string, headers ...string) (answer, line) {
	t.Helper()
	a := do(t, http.MethodPost, n.URL()+buildPath(key), []byte(body), headers...)
	return a, a.line(t)
}

// line is what an answer says of a build; a redirect says nothing.
func (a answer) line(t testing.TB) (l line) {
	t.Helper()
	if len(bytes.TrimSpace(a.body)) == 0 {
		return l
	}
	if err := json.Unmarshal(a.body, &l); err != nil {
		t.Fatalf("read %d %q: %v", a.status, a.body, err)
	}
	return l
}

// granted polls until the claim is this caller's, and returns its token.
func granted(t testing.TB, n *testcluster.Node, key, body string, headers ...string) string {
	t.Helper()
	a, l := poll(t, n, key, body, append(headers, "Prefer", "wait=15")...)
	a.want(t, http.StatusCreated)
	if l.Claim == "" || l.TTL != 15 {
		t.Fatalf("granted: %s", a.body)
	}
	return l.Claim
}

// owned is a key that the node with this number owns.
func owned(c *testcluster.Cluster, node int, prefix string) string {
	var members []uint64
	for _, n := range c.Nodes {
		members = append(members, keys.HashMember(n.Name))
	}
	for i := 0; ; i++ {
		k := keys.Key{Org: "default", Service: keys.Objects, Name: fmt.Sprintf("%s/%d", prefix, i)}
		if keys.Heaviest(members, k.Hash()) == node {
			return k.Name
		}
	}
}

// buildsTotal is larder_builds_total of the running nodes.
func buildsTotal(t testing.TB, c *testcluster.Cluster, result string) int {
	t.Helper()
	total := 0.0
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		v, err := n.Metric("larder_builds_total", func(l map[string]string) bool { return l["result"] == result })
		if err != nil {
			t.Fatal(err)
		}
		total += v
	}
	return int(total)
}

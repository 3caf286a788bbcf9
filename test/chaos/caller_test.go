package chaos

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"larder/test/history"
)

const (
	// callLimit is how long a caller may wait for a value.
	callLimit = 2 * time.Minute
	// buildsLast is how long a build takes, at most.
	buildsLast = time.Second
	// tryAgain is the pause before another node is asked.
	tryAgain = 50 * time.Millisecond
	// firstCaller is the ID of the first caller; clients have those below.
	firstCaller = 1000
)

// claims are what the callers of a run know of the claims that they held.
type claims struct {
	mu       sync.Mutex // guards all below
	values   map[string]string
	spans    []history.Span
	refusals []history.Refusal
	calls    int
	without  []string // callers who got nothing
}

// note notes which value a version is, as S3 names bytes that are put at once.
func (c *claims) note(value string, content []byte) {
	sum := md5.Sum(content)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values[hex.EncodeToString(sum[:])] = value
}

// caller wants keys that are built for all who want them.
type caller struct {
	client
	nodes  []*node
	claims *claims
	wants  int
}

// run works until ctx ends, and then brings to an end what it has begun.
func (c *caller) run(ctx context.Context) {
	for ctx.Err() == nil {
		c.wants++
		w := &want{caller: c, key: c.keys[c.rng.IntN(len(c.keys))], name: fmt.Sprintf("%d/%d", c.id, c.wants)}
		w.fulfil()
		sleep(ctx, time.Duration(c.rng.IntN(300))*time.Millisecond)
	}
}

// enter is a node that is up, for a short request: exit follows.
func (c *caller) enter(try int) *node {
	for i := range c.nodes {
		if n := c.nodes[(c.id+try+i)%len(c.nodes)]; n.enter() {
			return n
		}
	}
	return nil
}

// want is one wish of a caller: a value that is not older than the wish.
type want struct {
	*caller
	key, name string
	last      string // why there is nothing yet
}

// fulfil goes from node to node until there is a value.
func (w *want) fulfil() {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	done := false
	for try := 0; ctx.Err() == nil && !done; try++ {
		if n := w.enter(try); n != nil {
			n.exit() // a stream does not keep a node from leaving
			done = w.once(ctx, n)
		}
		if !done {
			sleep(ctx, tryAgain)
		}
	}
	w.claims.mu.Lock()
	defer w.claims.mu.Unlock()
	if w.claims.calls++; !done {
		w.claims.without = append(w.claims.without, fmt.Sprintf("%s wants %s: %s", w.name, w.key, w.last))
	}
}

// stream is one that a node answers line by line.
type stream struct {
	end   context.CancelFunc
	lines *bufio.Scanner
}

// attach opens a stream at a node; nil is none, and its status that of the refusal.
func (w *want) attach(ctx context.Context, n *node, token string) (s *stream, status int) {
	ctx, end := context.WithCancel(ctx)
	body := fmt.Sprintf(`{"waiter": %q, "max_age": 0, "expect": 1}`, w.name)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url()+"/v1/builds/objects/"+w.key, bytes.NewReader([]byte(body)))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	if token != "" {
		req.Header.Set(history.ClaimHeader, token)
	}
	resp, err := n.http.RoundTrip(req)
	if err != nil {
		end()
		w.last = err.Error()
		return nil, 0
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		end()
		w.last = resp.Status
		return nil, resp.StatusCode
	}
	return &stream{end: end, lines: bufio.NewScanner(resp.Body)}, resp.StatusCode
}

// next is the next event that is news; empty at the end of the stream.
func (s *stream) next() (event, token string) {
	for s.lines.Scan() {
		var e struct{ Event, Claim string }
		if json.Unmarshal(s.lines.Bytes(), &e) != nil {
			return "", ""
		}
		if e.Event != "wait" && e.Event != "alive" {
			return e.Event, e.Claim
		}
	}
	return "", ""
}

// once attaches to one node, and reports whether nothing is left to do.
func (w *want) once(ctx context.Context, n *node) bool {
	s, _ := w.attach(ctx, n, "")
	if s == nil {
		return false
	}
	defer s.end()
	event, token := s.next()
	switch event {
	case "granted":
		return w.build(ctx, s, token)
	case "built":
		return w.read()
	case "failed": // as a builder here says now and then
		return true
	}
	w.last = fmt.Sprintf("%s says %q", n.Name, event)
	return false
}

// read gets what was built, and notes that in the history.
func (w *want) read() bool {
	n := w.enter(0)
	if n == nil {
		return false
	}
	defer n.exit()
	c := w.client
	c.node = n
	o := &history.Op{Client: c.id, Node: n.index, Key: w.key, Verb: history.Get}
	c.do(o)
	w.last = o.String()
	return o.Outcome == history.Done && o.Found != ""
}

// build does what a builder does, or a part of it, and reports whether that was all.
func (w *want) build(ctx context.Context, s *stream, token string) bool {
	h := newHold(w, s, token)
	defer h.end()
	sleep(ctx, time.Duration(w.rng.Int64N(int64(buildsLast))))
	switch chance := w.rng.IntN(100); {
	case chance < 12: // its process is killed
		return true
	case chance < 20:
		h.over()
		h.giveUp(ctx)
		return true
	case chance < 40: // its stream is cut, and it attaches again, in time or not
		h.cut()
		sleep(ctx, time.Duration(w.rng.Int64N(int64(buildsLast))))
		h.uncut()
	}
	return h.put(ctx)
}

// check holds what callers saw to what is promised: nobody is without a value, and a
// claim has one holder, but for one more for each node that was lost.
func (c *claims) check(t *testing.T, ops map[string][]*history.Op, lost int, mayLose func(from, to int64) bool) {
	t.Helper()
	t.Logf("%d calls, %d times a claim was held", c.calls, len(c.spans))
	for _, w := range c.without {
		t.Errorf("without a value: %s", w)
	}
	pairs := history.TwoHolders(c.spans, ops, mayLose)
	for _, two := range pairs {
		t.Logf("two hold the claim of %s: %s, and %s", two[0].Key, two[0], two[1])
	}
	if len(pairs) > lost {
		t.Errorf("%d times two held one claim, and %d nodes were lost", len(pairs), lost)
	}
	for _, r := range history.WithoutReason(c.refusals, ops, mayLose) {
		t.Errorf("refused without reason: %s", r)
	}
}

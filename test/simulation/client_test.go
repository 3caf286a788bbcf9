package simulation

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"time"

	"larder/test/history"
)

// maxPad makes a few objects larger than a chunk.
const maxPad = chunkSize + 64

// client does one operation after another through whoever is in its slot.
type client struct {
	world *world
	slot  *slot
	id    int
	rng   *rand.Rand
	puts  int
	claim string // the token that a Claimed bears
}

// run works until ctx ends.
func (c *client) run(ctx context.Context) {
	for c.world.rest(ctx, c.rng, 2*c.world.pause) {
		n := c.slot.node.Load()
		if n == nil || !n.serving.Load() {
			continue
		}
		o := c.choose()
		c.do(n, o)
		if o.Outcome != history.Done { // many unknown outcomes at once are hard to check
			sleep(ctx, time.Duration(300+c.rng.IntN(700))*time.Millisecond)
		}
	}
}

// choose makes up the next operation.
func (c *client) choose() *history.Op {
	o := &history.Op{Client: c.id, Node: c.slot.index, Key: c.world.keys[c.rng.IntN(len(c.world.keys))]}
	switch n := c.rng.IntN(100); {
	case n < 60:
		o.Verb = history.Get
	case n < 65:
		o.Verb, o.Fresh = history.Get, true
	case n < 75:
		o.Verb = history.Head
	case n < 88:
		o.Verb = history.Put
	case n < 94:
		o.Verb = history.Create
	case n < 98:
		o.Verb = history.Remove
	default:
		o.Verb = history.Drop
	}
	if o.Verb == history.Put || o.Verb == history.Create {
		c.puts++
		o.Value = fmt.Sprintf("%d-%d", c.id, c.puts)
		if c.rng.IntN(100) < 25 {
			o.Life = 1 + c.rng.IntN(int(history.MostLife/time.Second))
		}
	}
	return o
}

// do carries an operation out and records it.
func (c *client) do(n *node, o *history.Op) {
	o.Call = c.world.history.Now()
	w := c.send(n, o)
	c.world.history.Add(o)
	var answered http.Header // of no answer it is empty
	if w != nil {
		answered = w.Header()
	}
	e, err := o.Expiry(answered, c.world.history.Began)
	if err != nil {
		c.world.fail(o.Key, "%v", err)
	}
	if e != nil {
		c.world.history.Add(e)
	}
}

// send sends an operation to a node, and takes in the answer; nil is none.
func (c *client) send(n *node, o *history.Op) *httptest.ResponseRecorder {
	ctx, cancel := context.WithTimeout(context.Background(), o.Patience())
	defer cancel()
	w := exchange(n, c.request(ctx, o))
	o.Ret = c.world.history.Now()
	switch {
	case w != nil:
		if err := o.Answered(w.Code, w.Header(), w.Body.Bytes()); err != nil {
			c.world.fail(o.Key, "%v", err)
		}
	case o.Reads():
		o.Outcome, o.Detail = history.Refused, "no answer"
	default:
		o.Outcome, o.Detail = history.Unknown, "no answer"
	}
	return w
}

// exchange has a node answer a request; nil is no answer.
func exchange(n *node, r *http.Request) *httptest.ResponseRecorder {
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		var w *httptest.ResponseRecorder
		if n.host.runs(r.Context()) { // a host that is stopped hears it later
			w = serve(n.api, r)
		}
		if !n.host.runs(r.Context()) {
			w = nil
		}
		answered <- w
	}()
	select {
	case w := <-answered:
		return w
	case <-n.host.ended:
		return nil
	}
}

// serve has a request answered; nil is an answer that was broken off.
func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	if !serveTo(h, w, r) {
		return nil
	}
	return w
}

// serveTo has a request answered, and reports whether the answer was not broken off.
func serveTo(h http.Handler, w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { // as net/http itself compares it
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

func (c *client) request(ctx context.Context, o *history.Op) *http.Request {
	var content []byte
	switch o.Verb {
	case history.Claimed: // the same bytes each time that it is sent
		content = history.Body(seeded(c.world.seed, o.Value), o.Value, maxPad)
	case history.Put, history.Create:
		content = history.Body(c.rng, o.Value, maxPad)
	default:
	}
	r := newRequest(ctx, o.Method(), o.Path(), content)
	o.SetHeaders(r.Header, c.claim)
	return r
}

// newRequest is a request as a server has read it.
func newRequest(ctx context.Context, method, path string, body []byte) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.RequestURI, r.Host, r.RemoteAddr = path, "larder", "192.0.2.1:1234"
	return r
}

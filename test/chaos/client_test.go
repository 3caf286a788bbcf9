package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"time"

	"larder/test/history"
)

// maxPad is the most by which a value is padded, in bytes.
const maxPad = 64 << 10

// client does one operation after another through its node.
type client struct {
	id      int
	node    *node
	keys    []string
	rng     *rand.Rand
	history *history.History
	wrong   func(error) // told of answers that are wrong whatever the history
	reader  bool        // it never writes, so that it never waits for a writer
	puts    int
	claim   string // the token that a Claimed bears
	content []byte // and the bytes
}

// run works until ctx ends. It leaves its node alone while that is not up.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !c.node.enter() {
			sleep(ctx, 20*time.Millisecond)
			continue
		}
		o := c.choose()
		c.do(o)
		c.node.exit()
		pause := time.Duration(c.rng.IntN(20)) * time.Millisecond
		if o.Outcome != history.Done { // many unknown outcomes at once are hard to check
			pause += time.Duration(200+c.rng.IntN(300)) * time.Millisecond
		}
		sleep(ctx, pause)
	}
}

// choose makes up the next operation.
func (c *client) choose() *history.Op {
	rank := min(c.rng.IntN(len(c.keys)), c.rng.IntN(len(c.keys))) // some keys are left alone for as long as objects live
	o := &history.Op{Client: c.id, Node: c.node.index, Key: c.keys[rank]}
	n := c.rng.IntN(100)
	if c.reader {
		n = c.rng.IntN(60)
	}
	switch {
	case n < 45:
		o.Verb = history.Get
	case n < 52:
		o.Verb, o.Fresh = history.Get, true
	case n < 60:
		o.Verb = history.Head
	case n < 80:
		o.Verb = history.Put
	case n < 90:
		o.Verb = history.Create
	case n < 97:
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
func (c *client) do(o *history.Op) {
	o.Call = c.history.Now()
	answered := c.send(o)
	c.history.Add(o)
	e, err := o.Expiry(answered, c.history.Began)
	if err != nil {
		c.wrong(err)
	}
	if e != nil {
		c.history.Add(e)
	}
}

// send sends an operation, and takes in the answer, whose header it returns.
func (c *client) send(o *history.Op) (answered http.Header) {
	ctx, cancel := context.WithTimeout(context.Background(), o.Patience())
	defer cancel()
	sent := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	req, err := c.request(ctx, o)
	if err != nil {
		panic(err)
	}
	resp, err := c.node.http.RoundTrip(req)
	var answer []byte
	if err == nil {
		answered = resp.Header
		answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	o.Ret = c.history.Now()
	switch {
	case err == nil:
		if err := o.Answered(resp.StatusCode, resp.Header, answer); err != nil {
			c.wrong(err)
		}
	case o.Reads() || !sent:
		o.Outcome, o.Detail = history.Refused, err.Error()
	default:
		o.Outcome, o.Detail = history.Unknown, err.Error()
	}
	return answered
}

func (c *client) request(ctx context.Context, o *history.Op) (*http.Request, error) {
	var content []byte
	switch o.Verb {
	case history.Put, history.Create:
		content = history.Body(c.rng, o.Value, maxPad)
	case history.Claimed:
		content = c.content
	default:
	}
	req, err := http.NewRequestWithContext(ctx, o.Method(), c.node.url()+o.Path(), bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	o.SetHeaders(req.Header, c.claim)
	return req, nil
}

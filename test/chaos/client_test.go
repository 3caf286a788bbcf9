package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"time"

	"larder/test/history"
)

const (
	// readLimit and writeLimit are a client's patience. A node bounds a read
	// by 15 s and a write by 45 s.
	readLimit  = 20 * time.Second
	writeLimit = 60 * time.Second
	// maxPad is the most by which a value is padded, in bytes.
	maxPad = 64 << 10
	// metaValue names the value in an object's metadata, for HEAD.
	metaValue = "Larder-Meta-Value"
)

// client does one operation after another through its node.
type client struct {
	id      int
	node    *node
	keys    []string
	rng     *rand.Rand
	history *history.History
	mixed   func(error) // told of bytes that are no value
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
	o := &history.Op{Client: c.id, Node: c.node.index, Key: c.keys[c.rng.IntN(len(c.keys))]}
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
	default:
		o.Verb = history.Remove
	}
	if o.Verb == history.Put || o.Verb == history.Create {
		c.puts++
		o.Value = fmt.Sprintf("%d-%d", c.id, c.puts)
	}
	return o
}

// do carries an operation out and records it.
func (c *client) do(o *history.Op) {
	o.Call = c.history.Now()
	c.send(o)
	c.history.Add(o)
}

// send sends an operation, and takes in the answer.
func (c *client) send(o *history.Op) {
	limit := writeLimit
	if o.Reads() {
		limit = readLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
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
		answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	o.Ret = c.history.Now()
	switch {
	case err == nil:
		c.conclude(o, resp, answer)
	case o.Reads() || !sent:
		o.Outcome, o.Detail = history.Refused, err.Error()
	default:
		o.Outcome, o.Detail = history.Unknown, err.Error()
	}
}

func (c *client) request(ctx context.Context, o *history.Op) (*http.Request, error) {
	method, content := http.MethodGet, []byte(nil)
	switch o.Verb {
	case history.Head:
		method = http.MethodHead
	case history.Put, history.Create:
		method, content = http.MethodPut, history.Body(c.rng, o.Value, maxPad)
	case history.Claimed:
		method, content = http.MethodPut, c.content
	case history.Remove:
		method = http.MethodDelete
	default:
	}
	req, err := http.NewRequestWithContext(ctx, method, c.node.url()+"/v1/objects/"+o.Key, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if o.Value != "" {
		req.Header.Set(metaValue, o.Value)
	}
	if o.Verb == history.Create {
		req.Header.Set("If-None-Match", "*")
	}
	if o.Verb == history.Claimed {
		req.Header.Set(claimHeader, c.claim)
	}
	if o.Fresh {
		req.Header.Set("Cache-Control", "no-cache")
	}
	return req, nil
}

// conclude takes in an answer.
func (c *client) conclude(o *history.Op, resp *http.Response, answer []byte) {
	o.Status, o.Outcome = resp.StatusCode, history.Done
	switch {
	case o.Reads() && o.Status == http.StatusNotFound:
	case o.Reads() && o.Status == http.StatusOK:
		c.read(o, resp, answer)
	case o.Verb != history.Remove && (o.Status == http.StatusCreated || o.Status == http.StatusOK),
		o.Verb == history.Remove && o.Status == http.StatusNoContent:
		o.Took = true
	case o.Verb == history.Claimed && o.Status == http.StatusConflict,
		o.Verb == history.Create && o.Status == http.StatusPreconditionFailed,
		o.Verb == history.Remove && o.Status == http.StatusNotFound:
	default:
		c.failed(o, resp, answer)
	}
}

// read finds out which value an answer is.
func (c *client) read(o *history.Op, resp *http.Response, answer []byte) {
	o.Found = resp.Header.Get(metaValue)
	if o.Verb == history.Head {
		return
	}
	name, err := history.ValueOf(answer)
	if err == nil && name != o.Found {
		err = fmt.Errorf("%w: the bytes of %s under the head of %s", history.ErrMixed, name, o.Found)
	}
	if err != nil {
		c.mixed(fmt.Errorf("%s: %w", o, err))
	}
}

// failed takes in an answer that is none.
func (c *client) failed(o *history.Op, resp *http.Response, answer []byte) {
	var problem struct{ Type, Detail string }
	if err := json.Unmarshal(answer, &problem); err != nil {
		problem.Detail = strconv.Quote(string(answer[:min(len(answer), 200)]))
	}
	o.Detail, o.Advice = problem.Type+" "+problem.Detail, resp.Header.Get("Retry-After")
	o.Outcome = history.Unknown
	if o.Reads() || o.Status < 500 || problem.Type == "urn:larder:problem:not-written" {
		o.Outcome = history.Refused
	}
}

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
)

const (
	// readLimit and writeLimit are a client's patience. A node bounds a read
	// by 15 s and a write by 45 s.
	readLimit  = 20 * time.Second
	writeLimit = 60 * time.Second
	// metaValue names the value in an object's metadata, for HEAD.
	metaValue = "Larder-Meta-Value"
)

// client does one operation after another through its node.
type client struct {
	id      int
	node    *node
	keys    []string
	rng     *rand.Rand
	history *history
	mixed   func(error) // told of bytes that are no value
	reader  bool        // it never writes, so that it never waits for a writer
	puts    int
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
		if o.outcome != done { // many unknown outcomes at once are hard to check
			pause += time.Duration(200+c.rng.IntN(300)) * time.Millisecond
		}
		sleep(ctx, pause)
	}
}

// choose makes up the next operation.
func (c *client) choose() *op {
	o := &op{client: c.id, node: c.node.index, key: c.keys[c.rng.IntN(len(c.keys))]}
	n := c.rng.IntN(100)
	if c.reader {
		n = c.rng.IntN(60)
	}
	switch {
	case n < 45:
		o.verb = get
	case n < 52:
		o.verb, o.fresh = get, true
	case n < 60:
		o.verb = head
	case n < 80:
		o.verb = put
	case n < 90:
		o.verb = create
	default:
		o.verb = remove
	}
	if o.verb == put || o.verb == create {
		c.puts++
		o.value = fmt.Sprintf("%d-%d", c.id, c.puts)
	}
	return o
}

// do carries an operation out and records it.
func (c *client) do(o *op) {
	limit := writeLimit
	if o.reads() {
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
	o.call = c.history.now()
	resp, err := c.node.http.RoundTrip(req)
	var answer []byte
	if err == nil {
		answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	o.ret = c.history.now()
	switch {
	case err == nil:
		c.conclude(o, resp, answer)
	case o.reads() || !sent:
		o.outcome, o.detail = refused, err.Error()
	default:
		o.outcome, o.detail = unknown, err.Error()
	}
	c.history.add(o)
}

func (c *client) request(ctx context.Context, o *op) (*http.Request, error) {
	method, content := http.MethodGet, []byte(nil)
	switch o.verb {
	case head:
		method = http.MethodHead
	case put, create:
		method, content = http.MethodPut, body(c.rng, o.value)
	case remove:
		method = http.MethodDelete
	default:
	}
	req, err := http.NewRequestWithContext(ctx, method, c.node.url()+"/v1/objects/"+o.key, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	if o.value != "" {
		req.Header.Set(metaValue, o.value)
	}
	if o.verb == create {
		req.Header.Set("If-None-Match", "*")
	}
	if o.fresh {
		req.Header.Set("Cache-Control", "no-cache")
	}
	return req, nil
}

// conclude takes in an answer.
func (c *client) conclude(o *op, resp *http.Response, answer []byte) {
	o.status, o.outcome = resp.StatusCode, done
	switch {
	case o.reads() && o.status == http.StatusNotFound:
	case o.reads() && o.status == http.StatusOK:
		c.read(o, resp, answer)
	case o.verb != remove && (o.status == http.StatusCreated || o.status == http.StatusOK),
		o.verb == remove && o.status == http.StatusNoContent:
		o.took = true
	case o.verb == create && o.status == http.StatusPreconditionFailed,
		o.verb == remove && o.status == http.StatusNotFound:
	default:
		c.failed(o, resp, answer)
	}
}

// read finds out which value an answer is.
func (c *client) read(o *op, resp *http.Response, answer []byte) {
	o.found = resp.Header.Get(metaValue)
	if o.verb == head {
		return
	}
	name, err := valueOf(answer)
	if err == nil && name != o.found {
		err = fmt.Errorf("%w: the bytes of %s under the head of %s", errMixed, name, o.found)
	}
	if err != nil {
		c.mixed(fmt.Errorf("%s: %w", o, err))
	}
}

// failed takes in an answer that is none.
func (c *client) failed(o *op, resp *http.Response, answer []byte) {
	var problem struct{ Type, Detail string }
	if err := json.Unmarshal(answer, &problem); err != nil {
		problem.Detail = strconv.Quote(string(answer[:min(len(answer), 200)]))
	}
	o.detail, o.advice = problem.Type+" "+problem.Detail, resp.Header.Get("Retry-After")
	o.outcome = unknown
	if o.reads() || o.status < 500 || problem.Type == "urn:larder:problem:not-written" {
		o.outcome = refused
	}
}

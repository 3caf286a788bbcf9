package simulation

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"larder/test/history"
)

const (
	// buildLimit is how long a caller may wait for a value.
	buildLimit = 3 * time.Minute
	// buildsLast is how long a build takes, at most.
	buildsLast = 6 * time.Second
	// putTries is how often a value is sent whose put has no answer.
	putTries = 8
)

// caller wants keys that are built for all who want them.
type caller struct {
	client
	wants int
}

// run works until ctx ends.
func (c *caller) run(ctx context.Context) {
	for c.world.rest(ctx, c.rng, 4*c.world.pause) {
		k := c.world.builds[c.rng.IntN(len(c.world.builds))]
		n := c.anyNode(0)
		switch chance := c.rng.IntN(100); {
		case k.plain && chance < 30 && n != nil: // what comes in the middle of a build
			o := &history.Op{Client: c.id, Node: c.slot.index, Key: k.name, Verb: history.Remove}
			if chance < 15 {
				o.Verb, o.Value = history.Put, c.newValue()
			}
			c.do(n, o)
		default:
			c.wants++
			c.want(ctx, &visit{caller: c, key: k, id: fmt.Sprintf("%d/%d", c.id, c.wants), say: c.wish()})
		}
	}
}

func (c *caller) newValue() string {
	c.puts++
	return fmt.Sprintf("%d-%d", c.id, c.puts)
}

// wish is what a caller says of what it wants.
func (c *caller) wish() map[string]any {
	say := map[string]any{"expect": 3}
	switch chance := c.rng.IntN(100); {
	case chance < 60:
		say["max_age"] = 0
	case chance < 80:
		say["max_age"] = c.rng.IntN(10)
	}
	return say
}

// anyNode is a node that serves, at first the one next to the caller; nil if there is
// none.
func (c *caller) anyNode(try int) *node {
	slots := c.world.slots
	for i := range slots {
		if n := slots[(c.slot.index+try+i)%len(slots)].node.Load(); n != nil && n.serving.Load() {
			return n
		}
	}
	return nil
}

// visit is one wish of a caller.
type visit struct {
	*caller
	key  buildKey
	id   string
	say  map[string]any
	last string // why it has nothing yet
}

// want goes from node to node until the wish is fulfilled.
func (c *caller) want(ctx context.Context, v *visit) {
	v.say["waiter"] = v.id
	began := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		if n := c.anyNode(i); n != nil && v.once(ctx, n) {
			return
		}
		if time.Since(began) > buildLimit {
			c.world.fail(v.key.name, "caller %s has nothing after %s: %s", v.id, buildLimit, v.last)
			return
		}
		sleep(ctx, time.Duration(50+c.rng.IntN(450))*time.Millisecond)
	}
}

// once attaches to one node, and reports whether nothing is left to do.
func (v *visit) once(ctx context.Context, n *node) bool {
	s := attach(n, v.key.name, "", v.say)
	defer s.end()
	silent := time.Duration(0)
	for ctx.Err() == nil && silent < lineLimit {
		e, ok := s.next(time.Second)
		if !ok {
			v.last = fmt.Sprintf("%s ended the stream, with status %d", n.cluster.Self().Name, s.status)
			return false
		}
		silent += time.Second
		switch e.Event {
		case "":
			continue
		case "wait":
			if v.rng.IntN(100) == 0 { // an interrupt
				return true
			}
			silent = 0
		case "granted":
			v.build(ctx, s, e.Claim)
			return true
		case "built":
			v.do(n, &history.Op{Client: v.client.id, Node: v.slot.index, Key: v.key.name, Verb: history.Get})
			return true
		case "failed", "unstored":
			return true
		default:
			v.last = fmt.Sprintf("%s says %+v", n.cluster.Self().Name, e)
			return false
		}
	}
	return false
}

// build does what a builder does, or a part of it.
func (v *visit) build(ctx context.Context, s *stream, token string) {
	h := v.world.newHold(v, token)
	defer h.end()
	h.begin(s)
	lasts := time.Duration(v.rng.Int64N(int64(buildsLast)))
	end := time.Now().Add(lasts)
	chance := v.rng.IntN(100)
	if chance < 20 {
		v.hold(ctx, h, end)
		h.rest()
		if chance >= 10 { // else its process is killed
			say := map[string]any{}
			if chance >= 15 {
				say["error"] = "no prices"
			}
			exchange(s.node, buildRequest(ctx, http.MethodDelete, v.key.name, token, say))
		}
		return
	}
	if chance < 40 { // a proxy cuts the stream
		v.hold(ctx, h, time.Now().Add(time.Duration(v.rng.Int64N(int64(lasts+1)))))
		h.cut()
		most := int64(200 * time.Millisecond)
		if chance < 30 {
			most = int64(5 * time.Second)
		}
		sleep(ctx, time.Duration(v.rng.Int64N(most)))
	}
	v.hold(ctx, h, end)
	v.put(ctx, h)
}

// hold keeps a stream open until some time: when one ends, at another node.
func (v *visit) hold(ctx context.Context, h *hold, until time.Time) {
	for i := 1; ctx.Err() == nil && time.Now().Before(until); {
		if h.stream == nil {
			n := v.anyNode(i)
			if i++; n != nil && !h.lost {
				h.again(attach(n, v.key.name, h.token, v.say), until)
			}
			if h.stream == nil {
				sleep(ctx, min(50*time.Millisecond, time.Until(until)))
			}
			continue
		}
		e, ok := h.stream.next(time.Until(until))
		if !ok || e.Event == "moved" || e.Event == "built" {
			h.cut()
			h.moved = 0
		}
		if e.Event == "moved" {
			h.moved = v.world.history.Now()
			sleep(ctx, time.Duration(v.rng.Int64N(int64(time.Second)))) // it is on its way
		}
	}
}

// put sends what was built until there is an answer. Each time that it is sent is a put of
// its own, which may happen later than its answer.
func (v *visit) put(ctx context.Context, h *hold) {
	h.rest()
	v.claim = h.token
	value := v.newValue()
	for i := range putTries {
		n := v.anyNode(i)
		if n == nil {
			continue
		}
		o := &history.Op{Client: v.client.id, Node: v.slot.index, Key: v.key.name, Verb: history.Claimed, Value: value, Base: h.base}
		if v.do(n, o); o.Outcome == history.Done {
			h.ended(o)
			return
		}
		if !sleep(ctx, time.Duration(50+v.rng.IntN(450))*time.Millisecond) {
			return
		}
	}
}

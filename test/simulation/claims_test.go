package simulation

import (
	"net/http"
	"slices"
	"time"

	"larder/test/history"
)

const (
	// aftermath is how long a claim may still be lost through what is over.
	aftermath = 15 * time.Second
	// longPut is a put that takes so long that its claim may be lost meanwhile.
	longPut = 5 * time.Second
	// movesFor is how long a builder keeps its claim whose node leaves, at least.
	movesFor = 3 * time.Second
)

// buildKey is a key that callers build. A plain one is written by others too.
type buildKey struct {
	name  string
	plain bool
}

// hold is a claim as its holder knows it.
type hold struct {
	world       *world
	visit       *visit
	token, base string
	stream      *stream // nil if there is none
	span        history.Span
	lost        bool  // a node has said so
	wasCut      bool  // there was a moment without a stream
	moved       int64 // when its stream ended since the node left; 0 if the last one did not
}

func (w *world) newHold(v *visit, token string) *hold {
	_, write, err := history.Base(token)
	if err != nil {
		panic(err)
	}
	h := &hold{world: w, visit: v, token: token, base: w.bucket.valueOf(write)}
	h.span = history.Span{Key: v.key.name, Holder: v.id, Base: h.base, Granted: w.history.Now()}
	w.tell("caller %s may build %s on %q", v.id, v.key.name, h.base)
	return h
}

// begin takes in that its holder has a stream.
func (h *hold) begin(s *stream) {
	h.stream, h.span.From = s, h.world.history.Now()
}

// rest takes in that its holder does not count on it any more.
func (h *hold) rest() {
	if h.stream == nil || h.span.To >= h.span.From {
		return
	}
	h.span.To = h.world.history.Now()
	if h.visit.key.plain {
		return
	}
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.world.spans = append(h.world.spans, h.span)
}

// end takes in that its holder lets go, and ends the stream.
func (h *hold) end() {
	h.rest()
	if h.stream != nil {
		h.stream.end()
		h.stream = nil
	}
}

// cut is end of one whose holder attaches again.
func (h *hold) cut() {
	h.end()
	h.wasCut = true
}

// again takes in what a node says to a holder that attaches again, until some time.
func (h *hold) again(s *stream, until time.Time) {
	e, ok := s.next(time.Until(until))
	if e.Event == "granted" {
		h.begin(s)
		return
	}
	h.lost = !ok && s.status == http.StatusConflict
	s.end()
	if now := h.world.history.Now(); h.lost && h.moved != 0 && !h.visit.key.plain && time.Duration(now-h.moved) < movesFor {
		h.world.mu.Lock()
		defer h.world.mu.Unlock()
		h.world.dropped = append(h.world.dropped, history.Span{Key: h.span.Key, Holder: h.span.Holder, Granted: h.span.Granted, From: h.moved, To: now})
	}
}

// ended takes in what became of the put. One whose claim was held to the end is not
// refused.
func (h *hold) ended(o *history.Op) {
	h.world.tell("caller %s is done: %s", h.visit.id, o)
	if o.Outcome != history.Done || o.Took || h.visit.key.plain || h.wasCut || time.Duration(o.Ret-o.Call) > longPut {
		return
	}
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.world.refusals = append(h.world.refusals, history.Refusal{Granted: h.span.Granted, Put: o})
}

// judgeClaims judges who held claims, and what became of them.
func (w *world) judgeClaims() {
	for _, two := range history.TwoHolders(w.spans, w.history.ByKey(), w.disturbed) {
		w.blame(two[0].Key, "two hold the claim of %s: %s, and %s", two[0].Key, two[0], two[1])
	}
	for _, s := range w.dropped {
		if !w.disturbed(s.Granted, s.To) {
			w.blame(s.Key, "its node left, and the claim was lost before it was attached elsewhere: %s", s)
		}
	}
	for _, r := range history.WithoutReason(w.refusals, w.history.ByKey(), w.disturbed) {
		w.blame(r.Put.Key, "without reason: %s", r)
	}
}

// disturbed reports whether a claim may have been lost in a time though its holder did
// nothing wrong: a node was lost, or members could not reach each other. A node that comes
// or leaves takes no claim.
func (w *world) disturbed(from, to int64) bool {
	return slices.ContainsFunc(w.disturbances, func(d window) bool { return from <= d.to && to >= d.from })
}

// disturbing notes that a fault has been since some time.
func (w *world) disturbing(f fault, since int64) {
	switch f.kind {
	case kill, off, hiccup, pause, blip, cut, apart, slow, loss, stall:
	default:
		return // it takes no claim from a holder who is well
	}
	to := w.history.Now() + int64(aftermath)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturbances = append(w.disturbances, window{since, to})
}

package chaos

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"larder/test/history"
)

// longPut is a put that takes so long that its claim may be lost meanwhile.
const longPut = 5 * time.Second

// hold is a claim as its holder knows it. A goroutine keeps a stream open for it.
type hold struct {
	*want
	token, base string
	end         func() // lets the claim go
	kept        sync.WaitGroup

	mu     sync.Mutex // guards all below
	span   history.Span
	stream *stream // nil if there is none now
	counts bool    // the span is open
	isCut  bool    // no other stream is to be opened for now
	wasCut bool    // there was a moment without a stream
	isOver bool    // the holder counts on its claim no more, whatever streams it opens
}

func newHold(w *want, s *stream, token string) *hold {
	version, _, err := history.Base(token)
	if err != nil {
		panic(err)
	}
	w.claims.mu.Lock()
	base := w.claims.values[version]
	w.claims.mu.Unlock()
	h := &hold{want: w, token: token, base: base}
	h.span = history.Span{Key: w.key, Holder: w.name, Base: base, Granted: w.history.Now()}
	ctx, cancel := context.WithCancel(context.Background())
	h.open(s)
	h.kept.Go(func() { h.keep(ctx, s) })
	h.end = sync.OnceFunc(func() {
		h.over()
		cancel()
		h.breakOff()
		h.kept.Wait()
	})
	return h
}

// keep holds a stream open until ctx ends or the claim is lost: when one ends, at
// another node.
func (h *hold) keep(ctx context.Context, s *stream) {
	for try := 1; ctx.Err() == nil; try++ {
		if s != nil {
			s.next() // after the grant there is the end, or a word that it is near
			h.rest()
			h.mu.Lock()
			h.stream, h.wasCut = nil, true
			h.mu.Unlock()
			s.end()
		}
		var lost bool
		if s, lost = h.attachAgain(ctx, try); lost {
			return
		}
		if s == nil {
			sleep(ctx, tryAgain)
		}
	}
	if s != nil {
		s.end()
	}
}

// attachAgain attaches at a node, unless the claim's holder is cut off. lost says that
// the claim is.
func (h *hold) attachAgain(ctx context.Context, try int) (s *stream, lost bool) {
	h.mu.Lock()
	isCut := h.isCut
	h.mu.Unlock()
	n := h.enter(try)
	if n == nil {
		return nil, false
	}
	n.exit()
	if isCut {
		return nil, false
	}
	s, status := h.attach(ctx, n, h.token)
	if s == nil {
		return nil, status == http.StatusConflict
	}
	if event, _ := s.next(); event != "granted" {
		s.end()
		return nil, false
	}
	h.open(s)
	return s, false
}

// open takes in that there is a stream.
func (h *hold) open(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stream = s; !h.isOver {
		h.counts, h.span.From = true, h.history.Now()
	}
}

// over takes in that the holder ends its claim. A stream that it opens after that, when its node leaves
// while the put is under way, ends some time after the claim.
func (h *hold) over() {
	h.mu.Lock()
	h.isOver = true
	h.mu.Unlock()
	h.rest()
}

// rest takes in that the holder does not count on its claim for now.
func (h *hold) rest() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.counts {
		return
	}
	h.counts, h.span.To = false, h.history.Now()
	h.claims.mu.Lock()
	defer h.claims.mu.Unlock()
	h.claims.spans = append(h.claims.spans, h.span)
}

func (h *hold) breakOff() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stream != nil {
		h.stream.end()
	}
}

// cut breaks the stream off, and opens none until uncut.
func (h *hold) cut() {
	h.mu.Lock()
	h.isCut = true
	h.mu.Unlock()
	h.rest()
	h.breakOff()
}

func (h *hold) uncut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isCut = false
}

// giveUp says that the build failed, or passes the claim on, if a node is there to
// hear it.
func (h *hold) giveUp(ctx context.Context) {
	n := h.enter(0)
	if n == nil {
		return
	}
	defer n.exit()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, n.url()+"/v1/builds/objects/"+h.key, http.NoBody)
	if err != nil {
		panic(err)
	}
	req.Header.Set(history.ClaimHeader, h.token)
	if resp, err := n.http.RoundTrip(req); err == nil {
		_ = resp.Body.Close()
	}
}

// put sends what was built until there is an answer, and reports whether there is one.
// Each time that it is sent is a put of its own, which may happen later than its answer.
func (h *hold) put(ctx context.Context) bool {
	h.over()
	h.puts++
	value := fmt.Sprintf("%d-%d", h.id, h.puts)
	c := h.client
	c.claim, c.content = h.token, history.Body(h.rng, value, maxPad)
	h.claims.note(value, c.content)
	for try := 0; ctx.Err() == nil; try++ {
		if c.node = h.enter(try); c.node != nil {
			o := &history.Op{Client: h.id, Node: c.node.index, Key: h.key, Verb: history.Claimed, Value: value, Base: h.base}
			c.do(o)
			c.node.exit()
			if o.Outcome == history.Done {
				h.ended(o)
				return true
			}
		}
		sleep(ctx, tryAgain)
	}
	return false
}

// ended takes in what became of the put. One whose claim was held to the end is not
// refused.
func (h *hold) ended(o *history.Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.Took || h.wasCut || time.Duration(o.Ret-o.Call) >= longPut {
		return
	}
	h.claims.mu.Lock()
	defer h.claims.mu.Unlock()
	h.claims.refusals = append(h.claims.refusals, history.Refusal{Granted: h.span.Granted, Put: o})
}

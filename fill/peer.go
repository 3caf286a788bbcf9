package fill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/golang/groupcache"
	pb "github.com/golang/groupcache/groupcachepb"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

// The routes that a node answers to its peers.
const (
	headRoute  = "/fill/head"
	chunkRoute = "/fill/chunk"
)

// sourceHeader says where the owner had a chunk from.
const sourceHeader = "Larder-Source"

var (
	// errOwnerSays marks an error that the owner found out for certain, so
	// that asking the store once more would only say it later.
	errOwnerSays = errors.New("the owner says")
	// errNoHop keeps a peer's request from being forwarded.
	errNoHop = errors.New("a peer's request is not forwarded")
)

// headAnswer is what an owner says of a key, as JSON. If it says so, the first
// chunk follows: one that is too small to be counted, so that reading a small
// object through any node takes one question.
type headAnswer struct {
	known
	Source Source
	Lease  time.Duration // from the moment the question was asked; 0: for this request only
	First  bool
}

// Handle registers what this node answers to its peers.
func (f *Filler) Handle(handle func(pattern string, h http.Handler)) {
	handle("GET "+headRoute, http.HandlerFunc(f.serveHead))
	handle("GET "+chunkRoute, http.HandlerFunc(f.serveChunk))
	handle("PUT "+chunkRoute, http.HandlerFunc(f.takeChunk))
}

// askHead asks the owner for a head and a lease on it. An error that wraps
// errOwnerSays is the owner's verdict; any other means that it gave no answer.
func (f *Filler) askHead(ctx context.Context, owner cluster.Member, k keys.Key, w want) (answer, time.Duration, error) {
	query := fmt.Sprintf("place=%s&bytes=%t&chunk=%d", url.QueryEscape(k.Place()), w, f.cfg.ChunkSize)
	resp, cancel, err := f.ask(ctx, owner, headRoute, query)
	if err != nil {
		return answer{}, 0, err
	}
	defer cancel()
	defer resp.Body.Close()
	var h headAnswer
	dec := json.NewDecoder(resp.Body)
	if err := dec.Decode(&h); err != nil {
		return answer{}, 0, fmt.Errorf("read the owner's head: %w", err)
	}
	a := answer{known: h.known, Source: h.Source}
	if h.First {
		b := make([]byte, min(f.chunkLen(h.Head.Size, 0), freeLen))
		if _, err := io.ReadFull(io.MultiReader(dec.Buffered(), resp.Body), b); err != nil {
			return answer{}, 0, fmt.Errorf("read a chunk of %s: %w", owner.Name, err)
		}
		a.first, a.hasFirst = viewOf(b), true
	}
	return a, min(h.Lease, f.cfg.Lease), nil
}

// ask sends one request to a peer, and waits for the header of its answer as
// long as the peer shows that it is at work; for the body, and in all, it waits
// for fetchLimit. The caller calls cancel once it has read the body.
func (f *Filler) ask(ctx context.Context, m cluster.Member, route, query string) (_ *http.Response, cancel context.CancelFunc, _ error) {
	ctx, end := context.WithCancel(ctx)
	began := time.Now()
	patience := time.AfterFunc(ownerPatience, end)
	cancel = func() { patience.Stop(); end() }
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error {
			patience.Reset(min(ownerPatience, fetchLimit-time.Since(began)))
			return nil
		},
	})
	req := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: route, RawQuery: query}} // Do gives it its context
	resp, err := f.ring.Do(ctx, m, req)
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("ask %s: %w", m.Name, err)
	}
	patience.Reset(fetchLimit - time.Since(began))
	if resp.StatusCode == http.StatusOK {
		return resp, cancel, nil
	}
	defer cancel()
	defer resp.Body.Close()
	return nil, nil, peerError(m, resp)
}

// peerError turns a peer's refusal into the error that it had.
func peerError(m cluster.Member, resp *http.Response) error {
	detail, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // a detail that is cut short is still one
	detail = bytes.TrimSpace(detail)
	switch resp.StatusCode {
	case http.StatusPreconditionFailed:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrPrecondition)
	case http.StatusServiceUnavailable:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrUnavailable)
	case http.StatusBadGateway:
		return fmt.Errorf("%w (%s): %s: %w", errOwnerSays, m.Name, detail, store.ErrUnexpected)
	}
	return fmt.Errorf("%s answered %s: %s", m.Name, resp.Status, detail)
}

// refuse answers a peer with an error that peerError understands.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errNoHop):
		status = http.StatusMisdirectedRequest
	case errors.Is(err, keys.ErrBadKey):
		status = http.StatusBadRequest
	case errors.Is(err, store.ErrPrecondition):
		status = http.StatusPreconditionFailed
	case errors.Is(err, store.ErrUnavailable):
		status = http.StatusServiceUnavailable
	case errors.Is(err, store.ErrUnexpected):
		status = http.StatusBadGateway
	}
	http.Error(w, err.Error(), status)
}

// serveHead answers a peer that asks for a head. A node that is not the owner
// in its own view answers 421 and asks nobody.
func (f *Filler) serveHead(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	k, err := keys.FromPlace(q.Get("place"))
	if err != nil {
		refuse(w, err)
		return
	}
	owner, self := f.ring.Owner(k.Hash())
	if !self || q.Get("chunk") != strconv.FormatInt(f.cfg.ChunkSize, 10) {
		refuse(w, errNoHop)
		return
	}
	var h headAnswer
	var first groupcache.ByteView
	f.atWork(w, func() {
		var a answer
		if a, err = f.resolveAs(r.Context(), k, want(q.Get("bytes") == "true"), owner, self); err == nil {
			h, first = f.answerPeer(r, k, a, q.Get("bytes") == "true")
			a.pin.release() // a chunk that is counted is asked for by itself
		}
	})
	if err != nil {
		refuse(w, err)
		return
	}
	head, err := json.Marshal(h)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+first.Len()))
	for _, b := range [][]byte{head, bytesOf(first)} {
		if _, err := w.Write(b); err != nil {
			f.log.Debug().Err(err).Stringer("key", k).Msg("head not sent to a peer")
			return
		}
	}
}

// answerPeer makes of what this node knows an answer for the peer that asked,
// with a lease and a small first chunk if it can give them.
func (f *Filler) answerPeer(r *http.Request, k keys.Key, a answer, bytes bool) (headAnswer, groupcache.ByteView) {
	h := headAnswer{known: a.known, Source: a.Source}
	if _, member := f.ring.Sender(r); member { // anyone else would not be told of a write
		if granted, lease := f.grant(k); lease > 0 {
			h.known, h.Lease = granted, lease
			f.granted.Add(1)
		}
	}
	length := f.chunkLen(h.Head.Size, 0)
	if !bytes || h.Absent || length <= 0 || length > freeLen {
		return h, groupcache.ByteView{}
	}
	if a.hasFirst && a.Head.Version == h.Head.Version {
		h.First = true
		return h, a.first
	}
	c := &fetch{Context: context.Background(), size: h.Head.Size, noHop: true}
	first, source, err := f.get(keys.Chunk(k, h.Head.Version, 0), length, c)
	if err != nil { // the peer asks for it by itself, and hears why
		return h, groupcache.ByteView{}
	}
	if source == S3 {
		h.Source = S3
	}
	h.First = true
	return h, first
}

// atWork does work for a peer, and tells it now and then that it has not been
// forgotten: a slow store is no reason for everyone to ask it as well.
func (f *Filler) atWork(w http.ResponseWriter, work func()) {
	f.flights.Add(1)
	defer f.flights.Done()
	var mu sync.Mutex // guards w until the work is done
	done := false
	var tick *time.Timer
	mu.Lock()
	tick = time.AfterFunc(ownerPatience/3, func() {
		mu.Lock()
		defer mu.Unlock()
		if !done {
			w.WriteHeader(http.StatusProcessing)
			tick.Reset(ownerPatience / 3)
		}
	})
	mu.Unlock()
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		done = true
		tick.Stop()
	}()
	work()
}

// ownedChunk is a chunk that a peer's request is about and that this node owns.
type ownedChunk struct {
	key     keys.Key
	version string
	n       int
	size    int64 // of the whole object
	length  int64
}

// withOwnChunk does work on the chunk that a peer's request is about, if this
// node owns it, once there is memory for it, and refuses the request otherwise.
func (f *Filler) withOwnChunk(w http.ResponseWriter, r *http.Request, work func(ownedChunk) error) {
	c, err := f.ownChunk(r)
	if err == nil {
		var held *pin
		if held, err = f.budgets.serving.hold(r.Context(), c.key, c.n, c.length); err == nil {
			defer held.release()
			err = work(c)
		}
	}
	if err != nil {
		refuse(w, err)
	}
}

func (f *Filler) ownChunk(r *http.Request) (c ownedChunk, err error) {
	q := r.URL.Query()
	if c.key, c.version, c.n, err = keys.ParseChunk(q.Get("key")); err != nil {
		return c, err
	}
	if c.size, err = strconv.ParseInt(q.Get("size"), 10, 64); err == nil {
		c.length = f.chunkLen(c.size, c.n)
	}
	if c.length <= 0 {
		return c, fmt.Errorf("%w: not a chunk of an object", keys.ErrBadKey)
	}
	_, self := f.ring.Owner(keys.ChunkHash(c.key, c.n))
	if !self || q.Get("chunk") != strconv.FormatInt(f.cfg.ChunkSize, 10) {
		return c, errNoHop
	}
	return c, nil
}

// serveChunk answers a peer that asks for a chunk which this node owns.
func (f *Filler) serveChunk(w http.ResponseWriter, r *http.Request) {
	f.withOwnChunk(w, r, func(c ownedChunk) (err error) {
		var v groupcache.ByteView
		var source Source
		f.atWork(w, func() {
			v, source, err = f.get(keys.Chunk(c.key, c.version, c.n), c.length, &fetch{Context: context.Background(), size: c.size, noHop: true})
		})
		if err != nil {
			return err
		}
		w.Header().Set("Content-Length", strconv.Itoa(v.Len()))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(sourceHeader, string(source))
		if _, err := w.Write(bytesOf(v)); err != nil {
			f.log.Debug().Err(err).Stringer("key", c.key).Msg("chunk not sent to a peer")
		}
		return nil
	})
}

// sendChunk gives a chunk that was just written to its owner.
func (f *Filler) sendChunk(ctx context.Context, m cluster.Member, chunkKey string, size int64, chunk []byte) error {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, chunkRoute+"?"+f.chunkQuery(chunkKey, size), bytes.NewReader(chunk))
	if err != nil {
		return fmt.Errorf("send a chunk to %s: %w", m.Name, err)
	}
	resp, err := f.ring.Do(ctx, m, req)
	if err != nil {
		return fmt.Errorf("send a chunk to %s: %w", m.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return peerError(m, resp)
	}
	return nil
}

func (f *Filler) chunkQuery(chunkKey string, size int64) string {
	return "key=" + url.QueryEscape(chunkKey) + "&size=" + strconv.FormatInt(size, 10) + "&chunk=" + strconv.FormatInt(f.cfg.ChunkSize, 10)
}

// takeChunk keeps a chunk that a peer has just written.
func (f *Filler) takeChunk(w http.ResponseWriter, r *http.Request) {
	f.withOwnChunk(w, r, func(c ownedChunk) error {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(fetchLimit)) // a reader without deadlines has none to keep
		b := make([]byte, c.length)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return fmt.Errorf("%w: a chunk cut short: %w", keys.ErrBadKey, err)
		}
		f.prime(c.key, c.version, c.n, viewOf(b))
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// peer is a chunk's owner, as groupcache asks it.
type peer struct {
	filler *Filler
	member cluster.Member
}

// Get is groupcache's question to the owner. Any error makes groupcache load
// from the store here, so a verdict of the owner travels in the fetch.
func (p peer) Get(ctx context.Context, in *pb.GetRequest, out *pb.GetResponse) (err error) {
	c := ctx.Value(fetchKey{}).(*fetch)
	if c.noHop {
		return errNoHop
	}
	defer func() {
		if r := recover(); r != nil {
			k, _, _, _ := keys.ParseChunk(in.GetKey()) // the picker has parsed it before
			err = p.filler.panicked(k, r)
		}
	}()
	out.Value, err = p.fetch(ctx, c, in.GetKey())
	if errors.Is(err, errOwnerSays) {
		c.verdict = err
	}
	if err != nil {
		p.filler.log.Debug().Err(err).Str("peer", p.member.Name).Msg("owner gave no chunk")
	}
	return err
}

func (p peer) fetch(ctx context.Context, c *fetch, chunkKey string) ([]byte, error) {
	f := p.filler
	_, _, n, err := keys.ParseChunk(chunkKey)
	if err != nil {
		return nil, err
	}
	resp, cancel, err := f.ask(ctx, p.member, chunkRoute, f.chunkQuery(chunkKey, c.size))
	if err != nil {
		return nil, err
	}
	defer cancel()
	defer resp.Body.Close()
	if resp.ContentLength != f.chunkLen(c.size, n) {
		return nil, fmt.Errorf("%s promised %d bytes of a chunk of %d", p.member.Name, resp.ContentLength, f.chunkLen(c.size, n))
	}
	b := make([]byte, resp.ContentLength)
	if _, err := io.ReadFull(resp.Body, b); err != nil {
		return nil, fmt.Errorf("read a chunk of %s: %w", p.member.Name, err)
	}
	c.source = Peer
	if resp.Header.Get(sourceHeader) == string(S3) {
		c.source = S3
	}
	return b, nil
}

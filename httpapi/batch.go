package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"larder/auth"
	"larder/keys"
)

const (
	// maxBatch is how many keys a batch may name.
	maxBatch = 1000
	// maxBatchList is how long the list of them may be, as JSON.
	maxBatchList = 4 << 20
	// batchAhead objects of a batch are under way at once, and heldPart bytes of each
	// are held. A longer one is passed on as it comes, alone.
	batchAhead = 16
	heldPart   = 64 << 10
)

var errBatchType = errors.New(`a batch is application/json, {"get": [key, …]}, or multipart/mixed with a part for each object`)

// batch gets or puts many objects in one exchange. Each of them is answered, counted
// and audited as a request of its own would be, and fails for itself alone.
func (a *API) batch(c *call) error {
	media, params, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	switch {
	case err != nil:
		return fmt.Errorf("%w; the Content-Type is %q", errBatchType, c.Header.Get("Content-Type"))
	case media == "application/json":
		return a.batchGet(c)
	case media == "multipart/mixed" && params["boundary"] != "":
		return a.batchPut(c, params["boundary"])
	}
	return fmt.Errorf("%w; the Content-Type is %q", errBatchType, c.Header.Get("Content-Type"))
}

// batchCall is a request for one object of a batch. Its answer goes to w.
func (a *API) batchCall(c *call, method string, h http.Header, k keys.Key, w http.ResponseWriter) *call {
	r := &http.Request{Method: method, URL: c.URL, Header: h, Body: http.NoBody, RemoteAddr: c.RemoteAddr, Host: c.Host, TLS: c.TLS}
	h.Del("Authorization")
	if credential := c.Header.Get("Authorization"); credential != "" { // looked at again when a body has come
		h.Set("Authorization", credential)
	}
	return &call{
		Request: r.WithContext(c.Context()), w: &recorder{ResponseWriter: w, least: a.cfg.ChunkSize, last: new(atomic.Bool)},
		id: c.id, who: c.who, op: strings.ToLower(method), service: c.service, key: k, query: url.Values{},
	}
}

// do answers one object of a batch. It panics as ServeHTTP does if the answer is
// broken off.
func (a *API) do(c *call, handle func(*call) error) {
	began := time.Now()
	var err error
	if !c.again {
		err = a.cfg.Usage.Admit(c.Context(), c.who.Org, c.who.User)
	}
	if err == nil {
		err = handle(c)
	}
	if err != nil {
		a.fail(c, err)
	}
	a.served(c, time.Since(began))
}

// heldAnswer holds an answer to one object of a batch.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
	most   int
	conn   *recorder // by which its body comes; nil if that has come
}

// SetReadDeadline lets a body be cut off while it waits for the caller.
func (h *heldAnswer) SetReadDeadline(t time.Time) error {
	if h.conn == nil {
		return http.ErrNotSupported
	}
	return http.NewResponseController(h.conn.ResponseWriter).SetReadDeadline(t)
}

// errTooLong ends an answer that is not held.
var errTooLong = errors.New("the answer is too long to be held")

func newHeldAnswer(most int) *heldAnswer { return &heldAnswer{header: http.Header{}, most: most} }

func (h *heldAnswer) Header() http.Header    { return h.header }
func (h *heldAnswer) WriteHeader(status int) { h.status = status }

func (h *heldAnswer) Write(b []byte) (int, error) {
	if h.status == 0 {
		h.status = http.StatusOK
	}
	if h.body.Len()+len(b) > h.most {
		return 0, errTooLong
	}
	return h.body.Write(b)
}

// batchHold takes the memory for what is held of a batch of n objects.
func (a *API) batchHold(c *call, n int) (release func(), err error) {
	grant, err := a.bodies.Take(c.Context(), c.who.Org+"/"+c.who.User, int64(min(n, batchAhead)*heldPart))
	if err != nil {
		return nil, err
	}
	return grant.Release, nil
}

// batchGet answers multipart/mixed, a part for each key, in their order.
func (a *API) batchGet(c *call) error {
	names, err := a.batchNames(c)
	if err != nil {
		return err
	}
	release, err := a.batchHold(c, len(names))
	if err != nil {
		return err
	}
	defer release()
	holder := a.bodies.Hold(c.w.cut)
	defer holder.Done()
	c.w.taker = holder
	out := multipart.NewWriter(c.w)
	c.w.Header().Set("Content-Type", "multipart/mixed; boundary="+out.Boundary())
	c.w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(c.Context())
	answers := make([]chan *heldAnswer, len(names))
	under := make(chan struct{}, batchAhead) // an element for each that is under way or held
	var running sync.WaitGroup
	defer running.Wait() // each read is bounded
	defer cancel()
	for i := range answers {
		answers[i] = make(chan *heldAnswer, 1)
	}
	running.Go(func() {
		for i, name := range names {
			select {
			case under <- struct{}{}:
				running.Go(func() { answers[i] <- a.holdPart(c, name) })
			case <-ctx.Done():
				return
			}
		}
	})
	for i, name := range names {
		holder.Waits()
		select {
		case held := <-answers[i]:
			holder.Moved(0)
			if err := a.sendPart(c, out, name, held); err != nil {
				return err
			}
			<-under
		case <-ctx.Done(): // the caller has left, and nothing more is begun
			return ctx.Err()
		}
	}
	return out.Close()
}

// batchNames reads which keys a batch asks for.
func (a *API) batchNames(c *call) ([]string, error) {
	tooLong := fmt.Errorf("%w: a list of more than %d bytes", errBody, maxBatchList)
	if c.ContentLength > maxBatchList {
		return nil, tooLong
	}
	body := newPacedBody(c, math.MaxInt64, nil)
	defer func() {
		body.done()
		c.received += body.received
	}()
	list, err := a.receive(c, body, maxBatchList)
	if err != nil {
		return nil, err
	}
	defer list.grant.Release()
	if list.more {
		return nil, tooLong
	}
	var asked struct {
		Get []string `json:"get"`
	}
	from := json.NewDecoder(bytes.NewReader(list.bytes))
	from.DisallowUnknownFields()
	if err := from.Decode(&asked); err != nil {
		return nil, fmt.Errorf(`%w: %s; send {"get": [key, …]}`, errBody, jsonFault(err))
	}
	if asked.Get == nil {
		return nil, fmt.Errorf(`%w: there is no list of keys in it; send {"get": [key, …]}`, errBody)
	}
	if from.More() {
		return nil, fmt.Errorf(`%w: something follows {"get": [key, …]}`, errBody)
	}
	if len(asked.Get) > maxBatch {
		return nil, fmt.Errorf("%w: a batch of %d keys; at most %d go at once", errBody, len(asked.Get), maxBatch)
	}
	return asked.Get, nil
}

// getPart answers for one key. again says that it was admitted and charged before.
func (a *API) getPart(c *call, name string, w http.ResponseWriter, again bool) {
	h := http.Header{}
	for _, name := range []string{"Cache-Control", maxAge} {
		if v := c.Header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	k, err := keys.New(c.who.Org, c.service, name)
	if err == nil {
		err = c.who.May(auth.Read, k.Service, k.Name)
	}
	sub := a.batchCall(c, http.MethodGet, h, k, w)
	sub.again = again
	a.do(sub, func(sub *call) error {
		if err != nil {
			return err
		}
		return a.get(sub)
	})
}

// holdPart is the answer for one key; nil if it was broken off, being too long to be
// held, or for what will break it off again when it is sent.
func (a *API) holdPart(c *call, name string) (held *heldAnswer) {
	defer func() {
		if p := recover(); p != nil {
			held = nil
		}
	}()
	held = newHeldAnswer(heldPart)
	a.getPart(c, name, held, false)
	return held
}

// sendPart sends the part of one key.
func (a *API) sendPart(c *call, out *multipart.Writer, name string, held *heldAnswer) error {
	location := "/v1/" + c.service + "/" + url.PathEscape(name)
	if held == nil {
		a.getPart(c, name, &partWriter{out: out, header: http.Header{}, location: location, conn: c.w}, true)
		return nil
	}
	held.header.Set("Content-Length", strconv.Itoa(held.body.Len()))
	w := &partWriter{out: out, header: held.header, location: location}
	w.WriteHeader(held.status)
	_, err := w.Write(held.body.Bytes())
	return err
}

// partWriter writes an answer as a part of a batch.
type partWriter struct {
	out      *multipart.Writer
	header   http.Header
	location string
	conn     *recorder // by which it is sent; nil if nobody cuts it off
	part     io.Writer
	err      error
}

// SetWriteDeadline lets the answer be cut off while it waits for the caller.
func (p *partWriter) SetWriteDeadline(t time.Time) error {
	if p.conn == nil {
		return http.ErrNotSupported
	}
	return p.conn.setDeadline(t)
}

func (p *partWriter) Header() http.Header { return p.header }

func (p *partWriter) WriteHeader(status int) {
	p.header.Set("Content-Location", p.location)
	p.header.Set("Larder-Status", strconv.Itoa(status))
	p.part, p.err = p.out.CreatePart(map[string][]string(p.header))
}

func (p *partWriter) Write(b []byte) (int, error) {
	if p.part == nil && p.err == nil {
		p.WriteHeader(http.StatusOK)
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.part.Write(b)
}

package httpapi

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"larder/budget"
	"larder/fill"
	"larder/httpapi/auth"
	"larder/keys"
)

const (
	// batchWindow objects of a batch are prepared at once, while those before them are
	// sent.
	batchWindow = fill.MaxGather
	// heldAtOnce of them are under way or held at once, of those that are not at hand.
	heldAtOnce = batchAhead / 2
)

// batchGet answers multipart/mixed, a part for each key, in their order.
func (a *API) batchGet(c *call) error {
	names, err := a.batchNames(c)
	if err != nil {
		return err
	}
	held := min(len(names), 2*batchWindow)*fill.GatherBytes + min(len(names), 2*heldAtOnce)*heldPart
	grant, err := a.bodies.Take(c.Context(), c.who.Org+"/"+c.who.User, int64(held))
	if err != nil {
		return err
	}
	defer grant.Release()
	holder := a.bodies.Hold(c.w.cut)
	defer holder.Done()
	c.w.taker = holder
	buffered := bufio.NewWriterSize(newCallerWriter(c.w, holder), heldPart)
	b := &getBatch{api: a, call: c, buffered: buffered, out: &parts{to: buffered, boundary: rand.Text()}}
	c.w.Header().Set("Content-Type", "multipart/mixed; boundary="+b.out.boundary)
	c.w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithCancel(c.Context())
	defer b.running.Wait() // each read is bounded
	defer cancel()
	next := b.prepare(ctx, names)
	for len(names) > 0 {
		window := next
		names = names[len(window):]
		next = b.prepare(ctx, names)
		for _, p := range window {
			if err := b.send(ctx, p); err != nil {
				return err
			}
		}
	}
	if err := b.out.end(); err != nil {
		return err
	}
	return buffered.Flush()
}

// getBatch is a batch of gets under way.
type getBatch struct {
	api      *API
	call     *call
	buffered *bufio.Writer // of the parts, which are written in many small pieces
	out      *parts
	running  sync.WaitGroup
}

// getPart is one object of a batch of gets.
type getPart struct {
	name  string
	key   keys.Key
	wrong error // with the key, or the right to it
	// ready is closed when the fields below are set.
	ready chan struct{}
	found fill.Found
	// held is the answer, if it is not to be had at once; nil if it was broken off, being
	// too long to be held, or for what will break it off again when it is sent.
	held  *heldAnswer
	again bool // it was admitted and charged
	// under has an element for each answer of the window that is under way or held.
	under chan struct{}
}

// prepare begins to prepare the first window of some keys: what other nodes own is asked
// for by one question to each of them. What is then at hand is sent from where it is; all
// else is read beside each other, some at once.
func (b *getBatch) prepare(ctx context.Context, names []string) []*getPart {
	parts, under := make([]*getPart, min(len(names), batchWindow)), make(chan struct{}, heldAtOnce)
	for i := range parts {
		p := &getPart{name: names[i], ready: make(chan struct{}), under: under}
		who := b.call.who
		if p.key, p.wrong = keys.New(who.Org, b.call.service, p.name); p.wrong == nil {
			p.wrong = who.May(auth.Read, p.key.Service, p.key.Name)
		}
		parts[i] = p
	}
	b.running.Go(func() {
		b.gather(ctx, parts)
		for _, p := range parts {
			if p.found.Here {
				close(p.ready)
				continue
			}
			select {
			case under <- struct{}{}:
				b.running.Go(func() { b.hold(p) })
			case <-ctx.Done():
				return
			}
		}
	})
	return parts
}

// gather finds out what is at hand, and asks the owners of the rest. Of a caller who
// wants S3's own answers, or judges by age, each read begins with its head, and one whose
// org has a rate is admitted first.
func (b *getBatch) gather(ctx context.Context, parts []*getPart) {
	c := b.call
	if wantsFresh(c.Header.Values("Cache-Control")) || len(c.Header.Values(maxAge)) > 0 || b.api.cfg.Usage.IsRated(c.who.Org) {
		return
	}
	var of []*getPart
	var ks []keys.Key
	for _, p := range parts {
		if p.wrong == nil {
			of, ks = append(of, p), append(ks, p.key)
		}
	}
	for i, found := range b.api.read.Gather(ctx, ks) {
		of[i].found = found
	}
}

// hold reads what may take a while.
func (b *getBatch) hold(p *getPart) {
	defer close(p.ready)
	p.again = true
	defer func() {
		if recover() != nil { // the answer was broken off
			p.held = nil
		}
	}()
	p.held = newHeldAnswer(heldPart)
	b.get(p, p.held, false)
}

// send sends the part of one object.
func (b *getBatch) send(ctx context.Context, p *getPart) error {
	select {
	case <-p.ready:
	default: // what the caller can have already does not wait for it
		if err := b.buffered.Flush(); err != nil {
			return err
		}
		select {
		case <-p.ready:
		case <-ctx.Done(): // the caller has left, and nothing more is begun
			return ctx.Err()
		}
	}
	if p.again {
		defer func() { <-p.under }()
	}
	location := "/v1/" + b.call.service + "/" + url.PathEscape(p.name)
	if p.held == nil {
		w := &partWriter{out: b.out, header: http.Header{}, location: location, conn: b.call.w}
		b.get(p, w, p.again)
		_, err := w.Write(nil) // an answer without bytes has written none
		return err
	}
	p.held.header.Set("Content-Length", strconv.Itoa(p.held.body.Len()))
	w := &partWriter{out: b.out, header: p.held.header, location: location, status: p.held.status}
	_, err := w.Write(p.held.body.Bytes())
	return err
}

// get answers for one object. again says that it was admitted and charged before.
func (b *getBatch) get(p *getPart, w http.ResponseWriter, again bool) {
	h := http.Header{}
	for _, name := range []string{"Cache-Control", maxAge} {
		if v := b.call.Header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	sub := b.api.batchCall(b.call, http.MethodGet, h, p.key, w)
	sub.isPart, sub.again, sub.found = true, again, p.found
	b.api.do(sub, func(sub *call) error {
		if p.wrong != nil {
			return p.wrong
		}
		return b.api.get(sub)
	})
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
	list, err := a.receive(c, body, maxBatchList, nil)
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
	if !utf8.Valid(list.bytes) { // which JSON would read as other keys
		return nil, fmt.Errorf(`%w: it is not UTF-8; send {"get": [key, …]}`, errBody)
	}
	from := json.NewDecoder(bytes.NewReader(list.bytes))
	from.DisallowUnknownFields()
	if err := from.Decode(&asked); err != nil {
		return nil, fmt.Errorf(`%w: %s; send {"get": [key, …]}`, errBody, jsonFault(err))
	}
	if asked.Get == nil {
		return nil, fmt.Errorf(`%w: there is no list of keys in it; send {"get": [key, …]}`, errBody)
	}
	if _, err := from.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf(`%w: something follows {"get": [key, …]}`, errBody)
	}
	if len(asked.Get) > maxBatch {
		return nil, fmt.Errorf("%w: a batch of %d keys; at most %d go at once", errBody, len(asked.Get), maxBatch)
	}
	return asked.Get, nil
}

// callerWriter writes to the caller of a batch, who is waited for while it does so: all
// other time the batch waits for objects.
type callerWriter struct {
	to     io.Writer
	holder *budget.Holder
}

func newCallerWriter(to io.Writer, holder *budget.Holder) *callerWriter {
	holder.Waits()
	return &callerWriter{to, holder}
}

func (w *callerWriter) Write(p []byte) (int, error) {
	w.holder.Resumes()
	defer w.holder.Waits()
	return w.to.Write(p)
}

// parts writes a body of several parts (RFC 2046, section 5.1.1). mime/multipart takes longer
// for the header of a part than all else takes that is done for a small object.
type parts struct {
	to       *bufio.Writer
	boundary string
	begun    bool
}

// begin ends the part before, if there is one, and writes the header of the next.
func (p *parts) begin(h http.Header) error {
	if p.begun {
		_, _ = p.to.WriteString("\r\n") // an error of a bufio.Writer is returned by all that follows
	}
	p.begun = true
	_, _ = p.to.WriteString("--" + p.boundary + "\r\n")
	_ = h.Write(p.to)
	_, err := p.to.WriteString("\r\n")
	return err
}

// end ends the last part, and the body.
func (p *parts) end() error {
	_, err := p.to.WriteString("\r\n--" + p.boundary + "--\r\n")
	return err
}

// partWriter writes an answer as a part of a batch. The first bytes of an answer without
// a length are all of it.
type partWriter struct {
	out      *parts
	header   http.Header
	location string
	conn     *recorder // by which it is sent; nil if nobody cuts it off
	status   int
	begun    bool
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

func (p *partWriter) WriteHeader(status int) { p.status = status }

func (p *partWriter) Write(b []byte) (int, error) {
	if !p.begun {
		p.begun = true
		p.header.Set("Content-Location", p.location)
		p.header.Set("Larder-Status", strconv.Itoa(cmp.Or(p.status, http.StatusOK)))
		if p.header.Get("Content-Length") == "" {
			p.header.Set("Content-Length", strconv.Itoa(len(b)))
		}
		p.err = p.out.begin(p.header)
	}
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.out.to.Write(b)
	p.err = err
	return n, err
}

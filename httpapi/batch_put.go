package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/keys"
)

// maxLocation bounds a part's Content-Location: a key has 512 bytes, each of three
// characters when it is escaped.
const maxLocation = 2 << 10

// putLine says what became of one object of a batch.
type putLine struct {
	Key    string  `json:"key"`
	Status int     `json:"status"`
	ETag   *string `json:"etag"`
	Type   *string `json:"type"` // of the problem; null if there was none
	Detail string  `json:"detail,omitempty"`
}

// batchPut puts each part, and answers a line of JSON for each, in the order of the parts.
// The lines are sent when the body has come, since many clients do not
// read before. A body that ends too early leaves what came before it stored, and says
// so in a last line, which has no key.
func (a *API) batchPut(c *call, boundary string) error {
	grant, err := a.bodies.Take(c.Context(), c.who.Org+"/"+c.who.User, batchAhead*heldPart)
	if err != nil {
		return err
	}
	defer grant.Release()
	body := newPacedBody(c, math.MaxInt64, nil)
	defer func() {
		body.done()
		c.received += body.received
	}()
	body.watch(a.bodies)
	// A body that ends before its last boundary is no whole one, which multipart does not tell.
	whole := io.MultiReader(body, strings.NewReader("\r\n"), tooEarly{})
	b := &putBatch{api: a, call: c, under: make(chan struct{}, batchAhead), seen: map[string]bool{}, from: &headerGate{r: whole}}
	if err := b.read(multipart.NewReader(b.from, boundary)); err != nil {
		p := a.problemOf(err)
		b.lines = append(b.lines, &putLine{Status: p.Status, Type: &p.Type, Detail: p.Detail})
	}
	b.running.Wait()
	if !body.isCut.Load() { // else others wait for its memory
		a.discardBody(c) // what follows the last boundary, or what was wrong
	}
	var answer bytes.Buffer
	encoder := json.NewEncoder(&answer)
	for _, line := range b.lines {
		_ = encoder.Encode(line) // strings and numbers, to memory: never fails
	}
	c.w.Header().Set("Content-Type", ndjson)
	_, err = c.w.Write(answer.Bytes())
	return err
}

// putBatch is a batch of puts under way.
type putBatch struct {
	api     *API
	call    *call
	under   chan struct{} // an element for each that is under way
	running sync.WaitGroup
	seen    map[string]bool // the keys so far
	lines   []*putLine      // of the parts so far; each is filled in by its own put
	from    *headerGate
}

// read puts each part as it comes: short ones beside each other, a long one alone.
func (b *putBatch) read(parts *multipart.Reader) error {
	for n := 0; ; n++ {
		b.from.shut()
		part, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // a wrapped one is a body that breaks off
			return nil
		}
		b.from.open()
		if err != nil {
			return badBody(err)
		}
		if n == maxBatch {
			return fmt.Errorf("%w: a batch of more than %d parts; the first %d were taken", errBody, maxBatch, maxBatch)
		}
		first, err := io.ReadAll(io.LimitReader(part, heldPart+1))
		if err != nil {
			return badBody(err)
		}
		name, err := b.nameOf(part)
		line := &putLine{Key: name}
		b.lines = append(b.lines, line)
		if len(first) > heldPart { // there may be more
			b.put(line, err, part, io.MultiReader(bytes.NewReader(first), part), b.call.w)
			if _, err := io.Copy(io.Discard, part); err != nil { // of one that was refused
				return badBody(err)
			}
			continue
		}
		b.under <- struct{}{}
		b.running.Go(func() {
			defer func() { <-b.under }()
			b.put(line, err, part, bytes.NewReader(first), nil)
		})
	}
}

// badBody says that an error is the body's, unless it says so itself.
func badBody(err error) error {
	if errors.Is(err, errBody) {
		return err
	}
	return fmt.Errorf("%w: %w", errBody, err)
}

// nameOf is the key of a part, which its Content-Location names as a path. Two parts
// of one key would be stored in no certain order.
func (b *putBatch) nameOf(part *multipart.Part) (string, error) {
	location := strings.Join(part.Header["Content-Location"], ", ")
	shown := cutText(location)
	wrong := fmt.Errorf("%w: a part names its key once, as 'Content-Location: /v1/%s/KEY', not %q", keys.ErrBadKey, b.call.service, shown)
	if len(part.Header["Content-Location"]) != 1 || len(location) > maxLocation {
		return shown, wrong
	}
	u, err := url.ParseRequestURI(location)
	if err != nil || u.Scheme != "" || u.Host != "" || strings.Contains(location, "#") {
		return shown, wrong
	}
	escaped, ok := strings.CutPrefix(u.EscapedPath(), "/v1/"+b.call.service)
	if !ok || escaped != "" && escaped[0] != '/' {
		return shown, wrong
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return shown, fmt.Errorf("%w: %w", wrong, err)
	}
	name, err := keyText(strings.TrimPrefix(escaped, "/"), q)
	if err != nil {
		return shown, err
	}
	k, err := keys.New(b.call.who.Org, b.call.service, name)
	if err != nil {
		return cutText(name), err
	}
	if b.seen[k.Name] {
		return name, fmt.Errorf("%w: it is in this batch twice", keys.ErrBadKey)
	}
	b.seen[k.Name] = true
	return name, nil
}

// put puts one part, unless there is something wrong with its key already, and fills in its
// line. conn is by what its body still comes; nil if all of it is here.
func (b *putBatch) put(line *putLine, wrong error, part *multipart.Part, body io.Reader, conn *recorder) {
	answer := newHeldAnswer(heldPart)
	answer.conn = conn
	k := keys.Key{}
	if wrong == nil {
		k, wrong = keys.New(b.call.who.Org, b.call.service, line.Key)
	}
	if wrong == nil {
		wrong = b.call.who.May(auth.Write, k.Service, k.Name)
	}
	sub := b.api.batchCall(b.call, http.MethodPut, http.Header(part.Header), k, answer)
	sub.Body, sub.ContentLength = io.NopCloser(&partBody{r: body, stated: part.Header.Get("Content-Length")}), -1
	sub.TransferEncoding = []string{"chunked"} // the boundary ends it
	b.api.do(sub, func(sub *call) (err error) {
		defer func() {
			if p := recover(); p != nil {
				b.api.logPanic(sub, p)
				err = chunks.ErrPanic
			}
		}()
		if wrong != nil {
			return wrong
		}
		return b.api.put(sub)
	})
	line.Status = answer.status
	if etag := answer.header.Get("Etag"); etag != "" {
		line.ETag = &etag
	}
	if sub.problem != "" {
		var p problem
		_ = json.Unmarshal(answer.body.Bytes(), &p) // as fail wrote it
		line.Type, line.Detail = &p.Type, p.Detail
	}
}

// partBody is the body of a part, and ends with an error if it has not the length that
// its header states.
type partBody struct {
	r      io.Reader
	n      int64
	stated string // empty if it does not
}

func (p *partBody) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if err == io.EOF && p.stated != "" && p.stated != strconv.FormatInt(p.n, 10) {
		return n, fmt.Errorf("%w: the part has %d bytes, and its Content-Length is %s", errBody, p.n, p.stated)
	}
	return n, err
}

// maxPartHeader is how long the header of a part may be, with what lies before it.
const maxPartHeader = 32 << 10

// headerGate bounds what is read for the header of a part, for which multipart would
// take ten megabytes.
type headerGate struct {
	r    io.Reader
	left int64 // while it is shut
	free bool
}

func (g *headerGate) shut() { g.free, g.left = false, maxPartHeader }
func (g *headerGate) open() { g.free = true }

func (g *headerGate) Read(b []byte) (int, error) {
	if g.free {
		return g.r.Read(b)
	}
	if g.left <= 0 {
		return 0, fmt.Errorf("%w: the header of a part is longer than %d bytes", errBody, maxPartHeader)
	}
	n, err := g.r.Read(b[:min(int64(len(b)), g.left)])
	g.left -= int64(n)
	return n, err
}

// tooEarly is the end of a body whose last boundary did not come.
type tooEarly struct{}

func (tooEarly) Read([]byte) (int, error) {
	return 0, errors.New("it ends before its last boundary")
}

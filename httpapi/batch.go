package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

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

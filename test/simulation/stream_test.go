package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"larder/test/history"
)

const (
	// lineLimit is how long who holds a stream waits for a line.
	lineLimit = 20 * time.Second
	// maxLines is how many lines of a stream may wait for their reader.
	maxLines = 64
)

// event is what a node says of a build, in a line of a stream or in an answer.
type event struct{ Event, Claim, Type, Detail string }

// stream is an answer of a node that comes line by line.
type stream struct {
	node   *node
	ended  <-chan struct{} // closed by its reader
	cancel context.CancelFunc
	lines  chan *event // closed when the answer ends
	header http.Header
	text   bytes.Buffer // what is no whole line yet
	status int          // of the answer
}

// buildRequest is a request about the build of a key.
func buildRequest(ctx context.Context, method, key, claim string, say map[string]any) *http.Request {
	body, err := json.Marshal(say)
	if err != nil {
		panic(err)
	}
	r := newRequest(ctx, method, "/v1/builds/objects/"+key, body)
	if claim != "" {
		r.Header.Set(history.ClaimHeader, claim)
	}
	return r
}

// attach opens a stream at a node.
func attach(n *node, key, claim string, say map[string]any) *stream {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stream{node: n, ended: ctx.Done(), cancel: cancel, lines: make(chan *event, maxLines), header: http.Header{}}
	r := buildRequest(ctx, http.MethodPost, key, claim, say)
	r.Header.Set("Accept", "application/x-ndjson")
	go func() { // ends with the stream, or with its host
		defer close(s.lines)
		if n.host.runs(ctx) {
			serveTo(n.api, s, r)
		}
	}()
	return s
}

// Header implements http.ResponseWriter.
func (s *stream) Header() http.Header { return s.header }

// WriteHeader implements http.ResponseWriter.
func (s *stream) WriteHeader(status int) { s.status = status }

// Write implements http.ResponseWriter.
func (s *stream) Write(b []byte) (int, error) { return s.text.Write(b) }

// Flush has what was written arrive.
func (s *stream) Flush() {
	for {
		line, rest, whole := bytes.Cut(s.text.Bytes(), []byte("\n"))
		if !whole {
			return
		}
		e := new(event)
		if err := json.Unmarshal(line, e); err != nil {
			panic(err)
		}
		select {
		case s.lines <- e:
		case <-s.ended:
		}
		s.text.Next(s.text.Len() - len(rest))
	}
}

// next is the next event within some time. ok is false once there is none any more,
// and e is empty if none came in time.
func (s *stream) next(limit time.Duration) (e event, ok bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	ended := s.node.host.ended
	for {
		select {
		case said, open := <-s.lines:
			if open {
				e = *said
			}
			return e, open && s.node.host.runs(context.Background())
		case <-ended:
			if !s.node.host.isSilent() {
				return event{}, false
			}
			ended = nil
		case <-timer.C:
			return event{}, true
		}
	}
}

// end ends the stream from the client's side, which a host that is stopped sees later.
func (s *stream) end() {
	go func() {
		s.node.host.runs(context.Background())
		s.cancel()
	}()
}

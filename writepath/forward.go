package writepath

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"larder/cluster"
	"larder/keys"
	"larder/store"
)

const (
	writeRoute = "/writepath/write"
	// opHeader carries an op as base64 of JSON, beside the bytes in the body.
	opHeader = "Larder-Op"
	// smallBody bounds the bodies that are not objects.
	smallBody = 4 << 10
)

// failures are the errors that travel from the owner to the node that
// forwarded a write, by a name each.
func failures() []failure {
	return []failure{
		{"not-owner", errNotOwner},
		{"not-applied", ErrNotApplied},
		{"unknown", ErrUnknown},
		{"not-found", store.ErrNotFound},
		{"precondition", store.ErrPrecondition},
		{"conflict", store.ErrConflict},
		{"metadata", store.ErrMetadata},
		{"unexpected", store.ErrUnexpected},
		{"unavailable", store.ErrUnavailable},
	}
}

type failure struct {
	name string
	err  error
}

// reply is the owner's answer to a forwarded write.
type reply struct {
	Result
	Failure string `json:",omitempty"` // a name of failures
	Detail  string `json:",omitempty"`
}

// Handle registers what this node answers to its peers.
func (p *Path) Handle(handle func(pattern string, h http.Handler)) {
	handle("POST "+revokeRoute, http.HandlerFunc(p.serveRevoke))
	handle("POST "+writeRoute, http.HandlerFunc(p.serveWrite))
	handle("POST "+settleRoute, http.HandlerFunc(p.serveSettle))
}

// forward takes a write to another node. ErrUnreachable and errNotOwner say
// that it did not begin there; any other breakdown leaves its outcome unknown.
func (p *Path) forward(ctx context.Context, owner cluster.Member, k keys.Key, o op) (Result, error) {
	opJSON, err := json.Marshal(o)
	if err != nil {
		return Result{}, fmt.Errorf("forward %s: %w", k, err)
	}
	body := o.Body
	if o.InParts {
		if body, err = json.Marshal(o.Parts); err != nil {
			return Result{}, fmt.Errorf("forward %s: %w", k, err)
		}
	}
	target := writeRoute + "?" + url.Values{"place": {k.Place()}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return Result{}, fmt.Errorf("forward %s: %w", k, err)
	}
	req.Header.Set(opHeader, base64.StdEncoding.EncodeToString(opJSON))
	resp, err := p.cluster.Do(ctx, owner, req)
	if errors.Is(err, cluster.ErrUnreachable) {
		return Result{}, err
	}
	if err != nil {
		return Result{}, fmt.Errorf("write %s at %s: %w: %w", k, owner.Name, ErrUnknown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusMisdirectedRequest {
		return Result{}, errNotOwner
	}
	if resp.StatusCode != http.StatusOK {
		detail, _ := io.ReadAll(io.LimitReader(resp.Body, smallBody)) // a detail that is cut short is still one
		return Result{}, fmt.Errorf("write %s: %s answered %s: %s: %w", k, owner.Name, resp.Status, bytes.TrimSpace(detail), store.ErrUnexpected)
	}
	var r reply
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return Result{}, fmt.Errorf("write %s at %s: %w: %w", k, owner.Name, ErrUnknown, err)
	}
	return r.Result, r.failure()
}

// failure is the error that the owner had.
func (r reply) failure() error {
	if r.Failure == "" {
		return nil
	}
	for _, f := range failures() {
		if f.name == r.Failure {
			return fmt.Errorf("%s: %w", r.Detail, f.err)
		}
	}
	return fmt.Errorf("%w: %s", ErrUnknown, r.Detail)
}

// serveWrite does a write that another node forwarded. A node that is not the
// owner in its own view answers 421 and forwards nothing.
func (p *Path) serveWrite(w http.ResponseWriter, r *http.Request) {
	k, o, err := parseForwarded(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	release, err := p.receive(w, r, &o)
	if errors.Is(err, ErrNotApplied) {
		p.reply(w, Result{}, err)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer release()
	if _, self := p.cluster.Owner(k.Hash()); !self {
		http.Error(w, errNotOwner.Error(), http.StatusMisdirectedRequest)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), o.limit())
	defer cancel()
	result, err := p.apply(ctx, k, o)
	p.reply(w, result, err)
}

func (p *Path) reply(w http.ResponseWriter, result Result, err error) {
	out := reply{Result: result}
	if err != nil {
		out.Failure, out.Detail = "unknown", err.Error()
		for _, f := range failures() {
			if errors.Is(err, f.err) {
				out.Failure = f.name
				break
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(out); err != nil {
		p.log.Debug().Err(err).Msg("answer to a forwarded write not sent")
	}
}

func parseForwarded(r *http.Request) (keys.Key, op, error) {
	k, err := keys.FromPlace(r.URL.Query().Get("place"))
	if err != nil {
		return k, op{}, err
	}
	var o op
	opJSON, err := base64.StdEncoding.DecodeString(r.Header.Get(opHeader))
	if err == nil {
		err = json.Unmarshal(opJSON, &o)
	}
	if err != nil {
		return k, o, fmt.Errorf("read %s: %w", opHeader, err)
	}
	return k, o, nil
}

// receive reads the body of a forwarded write, once there is memory for it, which
// release gives back. It reads it before any answer, a refusal too: a connection
// that is closed on a body not read yet would leave the outcome unknown to the
// other side.
func (p *Path) receive(w http.ResponseWriter, r *http.Request, o *op) (release func(), err error) {
	if r.ContentLength < 0 {
		return nil, errors.New("a forwarded write says how long it is")
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(writeLimit)) // a reader without deadlines has none to keep
	release = func() {}
	if !o.InParts && r.ContentLength > 0 { // a list of parts is small
		if release, err = p.uploads.admit(r.Context(), r.ContentLength); err != nil {
			_, _ = io.Copy(io.Discard, r.Body) // the refusal is what counts
			return nil, fmt.Errorf("%w: %w", ErrNotApplied, err)
		}
	}
	b := make([]byte, r.ContentLength)
	if _, err = io.ReadFull(r.Body, b); err != nil {
		err = fmt.Errorf("read %d bytes: %w", r.ContentLength, err)
	} else if o.InParts {
		err = json.Unmarshal(b, &o.Parts)
	} else {
		o.Body = b
	}
	if err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func readSmall(r *http.Request) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r.Body, smallBody))
}

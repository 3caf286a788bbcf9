package writepath

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"larder/cluster"
	"larder/heads"
	"larder/keys"
	"larder/store"
	"larder/usage"
)

const (
	writeRoute = "writepath/write"
	maxDetail  = 4 << 10 // bytes of an error that travel
	// maxPartsList bounds what says which parts an object has, as JSON: S3 takes ten thousand.
	maxPartsList = 4 << 20
)

// failures are the errors that travel from the owner to the node that
// forwarded a write, by a name each.
func failures() []failure {
	return []failure{
		{"not-owner", heads.ErrNotOwner},
		{"not-own", ErrNotOwn},
		{"not-applied", ErrNotApplied},
		{"unknown", ErrUnknown},
		{"claim-lost", ErrClaimLost}, // before what it wraps: the store's refusal
		{"not-found", store.ErrNotFound},
		{"precondition", store.ErrPrecondition},
		{"conflict", store.ErrConflict},
		{"quota", usage.ErrQuota},
		{"metadata", store.ErrMetadata},
		{"denied", store.ErrDenied}, // before what it wraps
		{"unexpected", store.ErrUnexpected},
		{"unavailable", store.ErrUnavailable},
		{"malformed", errMalformed},
	}
}

type failure struct {
	name string
	err  error
}

// errMalformed refuses a question that no node of this cluster would ask.
var errMalformed = errors.New("malformed write")

// reply is the owner's answer to a forwarded write.
type reply struct {
	Result
	Failure string `json:",omitempty"` // a name of failures
	Detail  string `json:",omitempty"`
	Later   store.Later
	Expired time.Time `json:",omitzero"` // when what is not found expired
}

// forwarded is a write on its way to the owner, as JSON. The bytes, or the list
// of parts, are the question's body.
type forwarded struct {
	Place string
	Op    op
}

// Answer registers what this node answers to its peers.
func (p *Path) Answer(answer func(route string, a cluster.Handler)) {
	answer(writeRoute, p.handleWrite)
	answer(dropRoute, p.handleDrop)
}

func refusal(status int, detail string) cluster.Answer {
	return cluster.Answer{Status: status, Text: []byte(detail)}
}

// forward takes a write to another node. ErrUnreachable and heads.ErrNotOwner say
// that it did not begin there; any other breakdown leaves its outcome unknown.
func (p *Path) forward(ctx context.Context, owner cluster.Member, k keys.Key, o op) (Result, error) {
	text, err := json.Marshal(forwarded{Place: k.Place(), Op: o})
	if err != nil {
		return Result{}, fmt.Errorf("forward %s: %w", k, err)
	}
	body := o.Body
	if o.InParts {
		if body, err = json.Marshal(o.Parts); err != nil {
			return Result{}, fmt.Errorf("forward %s: %w", k, err)
		}
	}
	said, err := p.cluster.Ask(ctx, owner, cluster.Question{Route: writeRoute, Text: string(text), Body: body, Once: true})
	if errors.Is(err, cluster.ErrUnreachable) {
		return Result{}, err
	}
	if err != nil {
		return Result{}, fmt.Errorf("write %s at %s: %w: %w", k, owner.Name, ErrUnknown, err)
	}
	if said.Status == http.StatusMisdirectedRequest {
		return Result{}, heads.ErrNotOwner
	}
	if said.Status != http.StatusOK {
		return Result{}, fmt.Errorf("write %s: %s answered %d: %s: %w", k, owner.Name, said.Status, said.Text, store.ErrUnexpected)
	}
	var r reply
	if err := json.Unmarshal(said.Text, &r); err != nil {
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
			if !r.Expired.IsZero() {
				return fmt.Errorf("%s: %w: %w", r.Detail, f.err, store.Expired{At: r.Expired})
			}
			if r.Later.After > 0 {
				return fmt.Errorf("%s: %w: %w", r.Detail, f.err, r.Later)
			}
			return fmt.Errorf("%s: %w", r.Detail, f.err)
		}
	}
	return fmt.Errorf("%w: %s", ErrUnknown, r.Detail)
}

// handleWrite does a write that another node forwarded, and leaves an audit
// line of it. A node that is not the owner in its own view says so and forwards
// nothing.
func (p *Path) handleWrite(ctx context.Context, asked cluster.Asked) cluster.Answer {
	began := time.Now()
	var f forwarded
	err := json.Unmarshal([]byte(asked.Text), &f)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	k, err := keys.FromPlace(f.Place)
	if err != nil {
		return refusal(http.StatusBadRequest, err.Error())
	}
	if _, self := p.cluster.Owner(k.Hash()); !self {
		return refusal(http.StatusMisdirectedRequest, heads.ErrNotOwner.Error())
	}
	r, err := p.writeFor(ctx, asked, k, f.Op)
	p.auditForwarded(asked, k, f.Op, r, err, time.Since(began))
	if errors.Is(err, errMalformed) {
		return refusal(http.StatusBadRequest, err.Error())
	}
	return replied(r, err)
}

// writeFor reads the body of a forwarded write, and does it unless nobody waits
// for it any more: a node that was stopped finds what it was asked before, and
// the asker has gone to another owner since.
func (p *Path) writeFor(ctx context.Context, asked cluster.Asked, k keys.Key, o op) (Result, error) {
	release, err := p.receive(ctx, asked, k, &o)
	if err != nil {
		return Result{}, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.limit())
	defer cancel()
	o.abandoned = asked.Abandoned
	return p.apply(ctx, k, o)
}

// auditForwarded logs who forwarded a write, for whom, and what came of it.
func (p *Path) auditForwarded(asked cluster.Asked, k keys.Key, o op, r Result, err error, took time.Duration) {
	e := p.audit.Info()
	if e == nil {
		return
	}
	from, _ := p.cluster.Asker(asked.From)
	name, verdict := "put", "replaced"
	switch {
	case o.Delete:
		name, verdict = "delete", "deleted"
	case r.Created:
		verdict = "created"
	}
	if err != nil {
		verdict = failureOf(err)
	}
	e.Str("org", k.Org).Str("user", o.Head.Writer).Str("peer", from.Name).Str("peer_id", asked.From).
		Str("op", name).Int64("bytes", asked.Size).Str("service", k.Service).Str("key", k.Name).
		Str("digest", o.Head.Digest).Str("verdict", verdict).Dur("dur", took).Msg("forwarded write")
}

// replied is the answer to a forwarded write.
func replied(result Result, err error) cluster.Answer {
	out := reply{Result: result}
	if err != nil {
		out.Failure, out.Detail = failureOf(err), err.Error()
		out.Detail = out.Detail[:min(len(out.Detail), maxDetail)]
		out.Later, _ = errors.AsType[store.Later](err)
		expired, _ := errors.AsType[store.Expired](err)
		out.Expired = expired.At
	}
	text, err := json.Marshal(out)
	if err != nil {
		return refusal(http.StatusInternalServerError, err.Error())
	}
	return cluster.Answer{Status: http.StatusOK, Text: text}
}

// failureOf is the name of an error.
func failureOf(err error) string {
	for _, f := range failures() {
		if errors.Is(err, f.err) {
			return f.name
		}
	}
	return "unknown"
}

// receive reads the body of a forwarded write, once there is memory for it,
// which release gives back. A body that no node of this cluster would send is
// refused before.
func (p *Path) receive(ctx context.Context, asked cluster.Asked, k keys.Key, o *op) (release func(), err error) {
	release = func() {}
	switch {
	case o.InParts:
		b, err := asked.ReadBody(maxPartsList)
		if err == nil {
			err = json.Unmarshal(b, &o.Parts)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: a list of parts: %w", errMalformed, err)
		}
		return release, nil
	case o.Delete && asked.Size > 0:
		return nil, fmt.Errorf("%w: a delete with a body of %d bytes", errMalformed, asked.Size)
	case asked.Size > p.cfg.ChunkSize:
		return nil, fmt.Errorf("%w: a body of %d bytes, and --chunk-size is %d here: it must be the same on all nodes",
			errMalformed, asked.Size, p.cfg.ChunkSize)
	case asked.Size > 0:
		grant, err := p.uploads.bodies.Take(ctx, userOf(k, o.Head), asked.Size)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotApplied, err)
		}
		release = grant.Release
	}
	if o.Body, err = asked.ReadBody(p.cfg.ChunkSize); err != nil {
		release()
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return release, nil
}

package writepath

import (
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

// maxDetail is how much of an error travels, in bytes.
const maxDetail = 4 << 10

// reply is the owner's answer to a forwarded write.
type reply struct {
	Result
	Failure string `json:",omitempty"` // a name of failures
	Detail  string `json:",omitempty"`
	Later   store.Later
	Expired time.Time `json:",omitzero"` // when what is not found expired
}

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
		{"name", store.ErrName},
		{"denied", store.ErrDenied}, // before what it wraps
		{"unexpected", store.ErrUnexpected},
		{"unavailable", store.ErrUnavailable},
		{"malformed", errMalformed},
	}
}

// failure is an error with its name.
type failure struct {
	name string
	err  error
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

// errMalformed refuses a question that no node of this cluster would ask.
var errMalformed = errors.New("malformed write")

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

// refusal answers a question that is not taken.
func refusal(status int, detail string) cluster.Answer {
	return cluster.Answer{Status: status, Text: []byte(detail)}
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

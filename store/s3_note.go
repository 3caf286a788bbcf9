package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// noteEvery is how often the same thing is logged.
	noteEvery = 10 * time.Second
	// noteKinds bounds how many things are told apart: S3's codes are its own.
	noteKinds = 1000
)

// notes tell the log what S3 says, each kind of thing once in a while and not
// for every request: a store that is down fails all of them.
type notes struct {
	log zerolog.Logger

	mu     sync.Mutex // guards kinds
	kinds  map[string]*noted
	bucket string
}

type noted struct {
	at     time.Time
	unsaid int
}

func newNotes(log zerolog.Logger, bucket string) *notes {
	return &notes{log: log.With().Str("component", "s3").Logger(), kinds: map[string]*noted{}, bucket: bucket}
}

// due reports whether the log may be told of kind now, and of how many it was
// not told since the last time.
func (n *notes) due(kind string) (ok bool, unsaid int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kinds) > noteKinds {
		clear(n.kinds)
	}
	last := n.kinds[kind]
	if last == nil {
		last = &noted{}
		n.kinds[kind] = last
	}
	now := time.Now()
	if !last.at.IsZero() && now.Sub(last.at) < noteEvery {
		last.unsaid++
		return false, 0
	}
	unsaid = last.unsaid
	*last = noted{at: now}
	return true, unsaid
}

// failed logs a request that failed, unless its error is an answer that
// callers expect, or may turn out to be: see missing.
func (n *notes) failed(op string, err error) {
	if forbidsReading(op, err) {
		return
	}
	for _, expected := range []error{ErrPrecondition, ErrConflict, ErrMetadata, ErrName, errRange, context.Canceled} {
		if errors.Is(err, expected) {
			return
		}
	}
	if errors.Is(err, ErrNotFound) && !errors.Is(err, ErrArchived) {
		return
	}
	n.tell(op, err)
}

// tell logs a request that failed, in S3's own words.
func (n *notes) tell(op string, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{text: err.Error()}
	}
	due, unsaid := n.due(op + " " + f.code + " " + f.text)
	if !due {
		return
	}
	line := n.log.Warn()
	if errors.Is(err, ErrUnexpected) {
		line = n.log.Error()
	}
	line = line.Str("op", op).Err(err)
	if f.words != "" {
		line = line.Str("detail", f.words)
	}
	if f.status != 0 {
		line = line.Int("status", f.status)
	}
	if unsaid > 0 {
		line = line.Int("unsaid", unsaid)
	}
	if f.code == "AccessDenied" || f.code == "Forbidden" {
		line = line.Str("grant", strings.Join(actionsOf(op, f.words), ", ")).Str("bucket", n.bucket)
	}
	line.Msg("request to s3 failed")
}

// odd logs an answer that is worked round.
func (n *notes) odd(kind, name string) {
	due, unsaid := n.due(kind)
	if !due {
		return
	}
	line := n.log.Warn().Str("name", name)
	if unsaid > 0 {
		line = line.Int("unsaid", unsaid)
	}
	line.Msg(kind)
}

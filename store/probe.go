package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// probeRoot begins the names that probes use. No key has such a place.
	probeRoot = "v1-probe/"
	// probeRounds is how often a probe is tried while the server leaves some of
	// its requests unanswered.
	probeRounds = 3
)

// Probe finds out how far the server does as S3 does: some twenty requests
// under a name of its own, which is removed afterwards. Traits returns what was
// found, and the differences are for people to read. ErrUnavailable and context
// errors say that the server could not be probed, since it does not answer or
// takes no object; another try later may succeed. Once there is a verdict Probe
// asks no more, unless another probe may find otherwise (Difference.Again).
func (s *S3) Probe(ctx context.Context) ([]Difference, error) {
	s.probing.Lock()
	defer s.probing.Unlock()
	if s.verdict != nil && !slices.ContainsFunc(s.verdict.differences, Difference.Again) {
		return s.verdict.differences, nil
	}
	cfg := s.cfg
	cfg.Observe = func(_ string, err error, took time.Duration) { s.observe("probe", err, took) }
	own, err := NewS3(ctx, cfg)
	if err != nil {
		return nil, err
	}
	own.traits.Store(&Traits{TypeKept: true}) // so that the type that comes back is the server's
	for round := 1; ; round++ {
		p := &probe{s3: own, folder: probeRoot + rand.Text()}
		p.name = p.folder + "/a b+é.html"
		if err := p.run(ctx); err != nil {
			return nil, fmt.Errorf("probe the store: %w", err)
		}
		if p.unanswered && round < probeRounds && pause(ctx, firstPause<<round) {
			continue
		}
		p.traits.Sure = !p.unanswered
		s.traits.Store(&p.traits)
		s.verdict = p
		return p.differences, nil
	}
}

// probe is one round of requests, all for one name.
type probe struct {
	s3           *S3
	folder, name string
	head         Head // of the object of that name
	traits       Traits
	differences  []Difference
	unanswered   bool // a request that should have been answered was not
}

// differs notes a difference. Its reason may be nil.
func (p *probe) differs(reason error, lacks, instead string) {
	unanswered := errors.Is(reason, ErrUnavailable)
	p.unanswered = p.unanswered || unanswered
	if reason != nil {
		lacks += " (" + reason.Error() + ")"
	}
	p.differences = append(p.differences, Difference{Lacks: lacks, Instead: instead, Unanswered: unanswered})
}

// denied reports whether the server refused a request for want of a
// permission, and notes the permission.
func (p *probe) denied(err error, action, costs string) bool {
	if !isDenied(err) {
		return false
	}
	p.differences = append(p.differences, Difference{Lacks: "the credentials lack the permission " + action, Instead: costs, Permission: action})
	return true
}

// isDenied reports whether S3 has refused for want of a permission. An answer to
// HEAD has no body, and so no code but Forbidden.
func isDenied(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "AccessDenied") || strings.Contains(err.Error(), "403 Forbidden"))
}

// run asks. Its error is that there is nobody to ask, or that no object can be
// put to ask with.
func (p *probe) run(ctx context.Context) error {
	_, err := p.s3.Head(ctx, p.name)
	switch {
	case errors.Is(err, ErrUnavailable), ctx.Err() != nil:
		return err
	case p.denied(err, "s3:ListBucket", "absent objects cannot be told from forbidden ones, and reads and writes of them are refused"):
	case err != nil && !errors.Is(err, ErrNotFound):
		p.differs(err, "an absent object is not answered 404", "reads and writes of absent objects are refused")
	}
	if err := p.puts(ctx); err != nil {
		return err
	}
	p.metadata(ctx)
	p.listing(ctx)
	p.names(ctx)
	p.uploads(ctx)
	p.abort(ctx)
	p.clear(ctx)
	return ctx.Err()
}

// put writes the object, and notes its head.
func (p *probe) put(ctx context.Context, body string, meta map[string]string, c Conditions) error {
	head, err := p.s3.Put(ctx, p.name, Write{
		Head: Head{Writer: "larder-probe", Meta: meta}, Body: []byte(body), Conditions: c,
	})
	if err == nil {
		p.head = head
	}
	return err
}

// puts tries the conditions of a put. Its error is that no object can be put.
func (p *probe) puts(ctx context.Context) error {
	const own = "the owner of a key asks what is there before it writes, one request more for each such write"
	first := map[string]string{"first": "1"}
	refused := p.put(ctx, "one", first, Conditions{IfAbsent: true})
	if refused != nil {
		err := p.put(ctx, "one", first, Conditions{})
		switch {
		case isDenied(err):
			return fmt.Errorf("%w: %s: %s", ErrUnavailable, p.whyDenied(ctx), err.Error())
		case err != nil && ctx.Err() == nil:
			return fmt.Errorf("%w: %s", ErrUnavailable, err.Error())
		case err != nil:
			return err
		}
	}
	again := p.put(ctx, "one", first, Conditions{IfAbsent: true})
	if p.traits.PutIfAbsent = refused == nil && errors.Is(again, ErrPrecondition); !p.traits.PutIfAbsent {
		p.differs(errors.Join(refused, unlessRefused(again)), "a put with If-None-Match: * is not held to it", own)
	}
	was := p.head.Version
	last := map[string]string{"with-dash": "dash", "with_line": "line", "mtime": oldMtime}
	right := p.put(ctx, "two", last, Conditions{IfMatch: was})
	if right != nil {
		if err := p.put(ctx, "two", last, Conditions{}); err != nil {
			p.differs(err, "an object cannot be replaced", "only new keys can be written")
			return nil
		}
	}
	stale := p.put(ctx, "two", last, Conditions{IfMatch: was})
	if p.traits.PutIfMatch = right == nil && errors.Is(stale, ErrPrecondition); !p.traits.PutIfMatch {
		p.differs(errors.Join(right, unlessRefused(stale)), "a put with If-Match is not held to it", own)
	}
	return nil
}

// whyDenied finds out whether puts are denied since they do not ask for an encryption,
// and says what to do about it.
func (p *probe) whyDenied(ctx context.Context) string {
	for _, kind := range []string{"AES256", "aws:kms"} {
		cfg := p.s3.cfg
		if cfg.Encryption == kind {
			continue
		}
		cfg.Encryption, cfg.KMSKey = kind, ""
		other, err := NewS3(ctx, cfg)
		if err != nil {
			break
		}
		if _, err := other.Put(ctx, p.name, Write{Head: Head{Writer: "larder-probe"}}); err == nil {
			p.clear(ctx)
			return "a policy of the bucket demands encryption: give --s3-sse " + kind
		}
	}
	return "the credentials lack the permission s3:PutObject, or a policy of the bucket demands an encryption: see --s3-sse and --s3-sse-kms-key"
}

// unlessRefused leaves out the error that was wanted.
func unlessRefused(err error) error {
	if errors.Is(err, ErrPrecondition) {
		return nil
	}
	return err
}

// names looks for the object under the other Unicode form of its name, which is
// another key (U+00E9, and e with U+0301). Some servers keep names as file
// systems do that tell neither from the other.
func (p *probe) names(ctx context.Context) {
	_, err := p.s3.Head(ctx, strings.Replace(p.name, "\u00e9", "e\u0301", 1))
	if err == nil {
		p.differs(nil, "two forms of one character are not told apart in names",
			"keys that differ in nothing but their Unicode normal form are one object, and removing one removes the other: write keys in one form")
	}
}

// oldMtime is a time in seconds, long ago, as rclone keeps times in metadata. S3 makes nothing of it.
const oldMtime = "1000000000"

// listing looks for the object in a listing, and at the time that it has there.
func (p *probe) listing(ctx context.Context) {
	found, _, err := p.s3.List(ctx, p.name, "", 1)
	switch {
	case isDenied(err): // run has told it
	case err != nil || len(found) == 0:
		p.differs(err, "an object that was just put is not listed", "listings miss objects, and removal by prefix leaves them, or both fail")
	case found[0].Modified.Unix() == 1_000_000_000:
		p.differs(nil, "an object is as old as its metadata named mtime says, which rclone's server does",
			"rclone keeps other metadata in memory: after its restart, and of more than 100,000 objects, they come back without Content-Type, Larder-Meta-*, Larder-Writer and digest, and those that expire never do")
	}
}

// metadata looks at what the last put has left.
func (p *probe) metadata(ctx context.Context) {
	got, err := p.s3.Head(ctx, p.name)
	if err != nil {
		if !p.denied(err, "s3:GetObject", "nothing can be read") {
			p.differs(err, "an object that was just put is not there", "an acknowledged write may not be seen")
		}
		return
	}
	p.traits.TypeKept = got.ContentType == defaultContentType
	if got.Digest != p.head.Digest || got.Writer != p.head.Writer || got.Meta["with-dash"] != "dash" {
		p.differs(nil, "the metadata of an object is lost",
			"objects come back without Content-Type, Larder-Meta-*, Larder-Writer and a digest to compare their bytes with, and two contents of one ETag are taken for one")
		return
	}
	if !p.traits.TypeKept {
		p.differs(nil, "the type application/octet-stream comes back as "+got.ContentType+" if the name ends in .html",
			"it is kept in the object's metadata")
	}
	if got.Version != p.head.Version {
		p.differs(nil, "a put answers another ETag than a read", "If-Match needs the ETag of a read")
	}
	if got.Meta["with_line"] != "line" {
		p.differs(nil, "metadata with an underscore in its name is lost or renamed", "name Larder-Meta-* with dashes")
	}
	if got.Meta["first"] != "" {
		p.differs(nil, "metadata of a replaced object stays on the one that replaced it", "Larder-Meta-* and Larder-Writer may be of an earlier write")
	}
}

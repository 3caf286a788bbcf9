package store

import (
	"context"
	"errors"
	"slices"
)

const leftBehind = "uploads that failed stay in the bucket: give it a lifecycle rule that aborts incomplete uploads after a day"

// uploads tries an upload of one part over the object that is there.
func (p *probe) uploads(ctx context.Context) {
	const none = "objects larger than a chunk cannot be written"
	u, err := p.s3.Begin(ctx, p.name, Head{Writer: "larder-probe"})
	if err != nil {
		p.differs(err, "an upload in parts cannot begin", none)
		return
	}
	p.listed(ctx)
	part, err := p.s3.Part(ctx, u, 1, []byte("three"))
	if err != nil {
		p.differs(err, "a part cannot be stored", none)
		_ = p.s3.Abort(ctx, u) // that nothing is left of it; the next step tries whether that works
		return
	}
	version, err := p.complete(ctx, u, []Part{part})
	if err != nil {
		p.differs(err, "an upload cannot be completed", none)
		_ = p.s3.Abort(ctx, u)
		return
	}
	got, err := p.s3.Head(ctx, p.name)
	p.head = got
	if p.traits.CompleteVersion = err == nil && got.Version == version; !p.traits.CompleteVersion {
		p.differs(err, "completing an upload does not answer the object's ETag", "the owner of the key asks for it, one request more for each large object")
	}
}

// complete tries the conditions, and then without.
func (p *probe) complete(ctx context.Context, u Upload, parts []Part) (version string, err error) {
	const own = "the owner of the key has asked what is there before; a write through another owner at the same moment may be lost"
	version, err = p.s3.complete(ctx, u, parts, Conditions{IfAbsent: true})
	if p.traits.CompleteIfAbsent = errors.Is(err, ErrPrecondition); !p.traits.CompleteIfAbsent {
		p.differs(err, "an upload that is completed with If-None-Match: * is not held to it", own)
	}
	if err == nil {
		return version, nil
	}
	wrong := Conditions{IfMatch: "00000000000000000000000000000000"}
	version, stale := p.s3.complete(ctx, u, parts, wrong)
	if stale == nil {
		p.differs(nil, "an upload that is completed with If-Match is not held to it", own)
		return version, nil
	}
	version, right := p.s3.complete(ctx, u, parts, Conditions{IfMatch: p.head.Version})
	if p.traits.CompleteIfMatch = right == nil && errors.Is(stale, ErrPrecondition); !p.traits.CompleteIfMatch {
		p.differs(errors.Join(right, unlessRefused(stale)), "an upload that is completed with If-Match is not held to it", own)
	}
	if right == nil {
		return version, nil
	}
	version, err = p.s3.complete(ctx, u, parts, Conditions{})
	return version, err
}

// listed looks for the upload that has begun.
func (p *probe) listed(ctx context.Context) {
	found := func(prefix string) (bool, error) {
		uploads, err := p.s3.listUploads(ctx, prefix)
		return slices.ContainsFunc(uploads, func(u Upload) bool { return u.Name == p.name }), err
	}
	ok, err := found(p.s3.prefix + p.folder)
	switch p.traits.UploadsByPrefix = ok; {
	case ok:
		return
	case p.denied(err, "s3:ListBucketMultipartUploads", leftBehind):
		return
	}
	if ok, err = found(""); ok {
		p.differs(nil, "uploads are not listed by the beginning of their names", "the sweep of uploads left behind lists those of the whole bucket")
		return
	}
	p.differs(err, "uploads are not listed", leftBehind)
}

// abort begins another upload over the object and aborts it.
func (p *probe) abort(ctx context.Context) {
	u, err := p.s3.Begin(ctx, p.name, Head{})
	if err != nil {
		p.differs(err, "an upload in parts cannot begin", "it cannot be seen what aborting one does: none is aborted")
		return
	}
	aborted := p.s3.Abort(ctx, u)
	got, err := p.s3.Head(ctx, p.name)
	p.traits.AbortKeeps = err == nil && got.Version == p.head.Version
	switch {
	case p.traits.AbortKeeps, p.denied(err, "s3:GetObject", "it cannot be seen what aborting an upload does: none is aborted"):
	default:
		p.differs(err, "aborting an upload removes an object of the same name", "no upload is aborted, and "+leftBehind)
	}
	if aborted == nil && p.traits.AbortKeeps {
		p.afterAbort(ctx, u)
	}
	if aborted != nil && !p.denied(aborted, "s3:AbortMultipartUpload", leftBehind) {
		p.differs(aborted, "an upload cannot be aborted", leftBehind)
	}
}

// afterAbort tries to complete what was aborted.
func (p *probe) afterAbort(ctx context.Context, u Upload) {
	part := Part{Number: 1, Tag: "d41d8cd98f00b204e9800998ecf8427e"}
	if _, err := p.s3.complete(ctx, u, []Part{part}, Conditions{}); err == nil {
		p.traits.CompleteVersion = false
		p.differs(nil, "an upload that was aborted is completed without an error",
			"the owner of the key asks what is there, one request more for each large object")
	}
}

// clear removes the object.
func (p *probe) clear(ctx context.Context) {
	if err := p.s3.Delete(ctx, p.name); err != nil && !p.denied(err, "s3:DeleteObject", "no object can be deleted") {
		p.differs(err, "an object cannot be deleted", "no object can be deleted")
	}
}

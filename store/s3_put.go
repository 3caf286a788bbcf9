package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// defaultContentType is S3's own for an object of which nothing is said.
const defaultContentType = "application/octet-stream"

// Put implements Store. S3 itself compares the bytes that arrive with the
// digest, and refuses with ErrUnexpected if they differ. A missing digest,
// time or content type is filled in.
func (s *S3) Put(ctx context.Context, name string, w Write) (Head, error) {
	head, sum, err := complete(w)
	if err != nil {
		return Head{}, fmt.Errorf("put %s: %w", name, err)
	}
	metadata, err := toMetadata(head)
	if err != nil {
		return Head{}, fmt.Errorf("put %s: %w", name, err)
	}
	in := &s3.PutObjectInput{
		Bucket:         &s.bucket,
		Key:            s.object(name),
		Body:           bytes.NewReader(w.Body),
		ContentLength:  aws.Int64(int64(len(w.Body))),
		ContentType:    &head.ContentType,
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum)),
		Metadata:       metadata,
	}
	if w.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	if w.IfMatch != "" {
		in.IfMatch = quoted(w.IfMatch)
	}
	err = s.write(ctx, "put", len(w.Body), func(ctx context.Context, _ func()) error {
		out, err := s.client.PutObject(ctx, in, signedAs(head.Digest))
		if err != nil {
			return err
		}
		if head.Version = unquoted(out.ETag); head.Version == "" {
			return fmt.Errorf("%w: an answer without an ETag", errUnreadable)
		}
		return nil
	})
	if errors.Is(err, ErrNotFound) && w.IfMatch != "" {
		err = fmt.Errorf("%w: %s", ErrPrecondition, err.Error())
	}
	if err != nil {
		return Head{}, fmt.Errorf("put %s: %w", name, err)
	}
	return head, nil
}

// complete is the head that a write makes, and its digest in bytes.
func complete(w Write) (Head, []byte, error) {
	head := w.Head
	head.Version = ""
	head.Size = int64(len(w.Body))
	if head.ContentType == "" {
		head.ContentType = defaultContentType
	}
	if !isPlain(head.ContentType) {
		return Head{}, nil, fmt.Errorf("%w: the content type %q", ErrMetadata, head.ContentType)
	}
	if head.Modified.IsZero() {
		head.Modified = time.Now()
	}
	head.Modified = head.Modified.UTC().Truncate(time.Second)
	if head.Digest == "" {
		sum := sha256.Sum256(w.Body)
		head.Digest = hex.EncodeToString(sum[:])
		return head, sum[:], nil
	}
	sum, err := hex.DecodeString(head.Digest)
	if err != nil || len(sum) != sha256.Size {
		return Head{}, nil, fmt.Errorf("%w: the digest %q is not a SHA-256 in hex", ErrMetadata, head.Digest)
	}
	return head, sum, nil
}

// signedAs puts the digest that is known already into the signature, so that
// the SDK does not read the whole body to compute it again.
func signedAs(digest string) func(*s3.Options) {
	known := middleware.InitializeMiddlewareFunc("KnownDigest", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(v4.SetPayloadHash(ctx, digest), in)
	})
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(known, middleware.Before)
		})
	}
}

package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
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
	metadata, err := toMetadata(head, s.Traits())
	if err != nil {
		return Head{}, fmt.Errorf("put %s: %w", name, err)
	}
	in := &s3.PutObjectInput{
		Bucket:        &s.bucket,
		Key:           s.object(name),
		ContentLength: aws.Int64(int64(len(w.Body))),
		ContentType:   &head.ContentType,
		Metadata:      metadata,
	}
	in.IfMatch, in.IfNoneMatch = w.headers()
	in.ServerSideEncryption, in.SSEKMSKeyId = s.cfg.encryption()
	err = s.write(ctx, "put", writeLimit(len(w.Body)), func(ctx context.Context, progress func()) error {
		lent := lend(w.Body, progress)
		defer lent.withdraw()
		in.Body, in.ChecksumSHA256 = lent, nil
		if s.checksums.put.sent() {
			in.ChecksumSHA256 = aws.String(base64.StdEncoding.EncodeToString(sum))
		}
		out, err := s.client.PutObject(ctx, in, signedAs(head.Digest))
		if err != nil {
			return err
		}
		if head.Version = unquoted(out.ETag); head.Version == "" {
			return fmt.Errorf("%w: an answer without an ETag", errUnreadable)
		}
		s.checksums.put.proved(in.ChecksumSHA256 != nil)
		return nil
	})
	if err = w.absent(err); err != nil {
		return Head{}, fmt.Errorf("put %s: %w", name, err)
	}
	return head, nil
}

// complete is the head that a write makes, and its digest in bytes.
func complete(w Write) (Head, []byte, error) {
	head, err := fillIn(w.Head)
	if err != nil {
		return Head{}, nil, err
	}
	head.Size = int64(len(w.Body))
	if head.Digest == "" {
		sum := sha256.Sum256(w.Body)
		head.Digest = hex.EncodeToString(sum[:])
		return head, sum[:], nil
	}
	sum, err := digestBytes(head.Digest)
	if err != nil {
		return Head{}, nil, err
	}
	return head, sum, nil
}

// NewWriteName is a name that no other write has: 130 random bits in base32.
func NewWriteName() string { return strings.ToLower(rand.Text()) }

// fillIn is the head of a write as far as it does not depend on the bytes.
func fillIn(head Head) (Head, error) {
	head.Version, head.Size = "", 0
	if !IsWriteName(head.Write) {
		head.Write = NewWriteName()
	}
	if head.ContentType == "" {
		head.ContentType = defaultContentType
	}
	if !isPlain(head.ContentType) {
		return Head{}, fmt.Errorf("%w: the content type %q", ErrMetadata, head.ContentType)
	}
	if head.Modified.IsZero() {
		head.Modified = time.Now()
	}
	head.Modified = head.Modified.UTC().Truncate(time.Second)
	return head, nil
}

func digestBytes(digest string) ([]byte, error) {
	sum, err := hex.DecodeString(digest)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%w: the digest %q is not a SHA-256 in hex", ErrMetadata, digest)
	}
	return sum, nil
}

// headers returns the conditions as the headers of a request.
func (c Conditions) headers() (ifMatch, ifNoneMatch *string) {
	if c.IfMatch != "" {
		ifMatch = quoted(c.IfMatch)
	}
	if c.IfAbsent {
		ifNoneMatch = aws.String("*")
	}
	return ifMatch, ifNoneMatch
}

// absent is the error of a write, where S3 says that the object which should
// be there is not.
func (c Conditions) absent(err error) error {
	if c.IfMatch != "" && errors.Is(err, ErrNotFound) && !errors.Is(err, errNoUpload) {
		return fmt.Errorf("%w: %s", ErrPrecondition, err.Error())
	}
	return err
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

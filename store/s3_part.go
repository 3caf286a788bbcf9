package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// unsigned in place of the body's SHA-256 leaves the body out of the
// signature. The signature still covers the body's CRC-32C, where that is sent.
const unsigned = "UNSIGNED-PAYLOAD"

// Part implements Uploads.
func (s *S3) Part(ctx context.Context, u Upload, n int, body []byte) (Part, error) {
	if n < 1 || n > MaxParts {
		return Part{}, fmt.Errorf("part %d of %s: %w: parts are 1 to %d", n, u.Name, ErrUnexpected, MaxParts)
	}
	part := Part{Number: n, Size: int64(len(body))}
	err := s.retry(ctx, "part", writeLimit(len(body)), func(ctx context.Context, progress func()) error {
		lent := lend(body, progress)
		defer lent.withdraw()
		in := &s3.UploadPartInput{
			Bucket:        &s.bucket,
			Key:           s.object(u.Name),
			UploadId:      &u.ID,
			PartNumber:    aws.Int32(int32(n)),
			Body:          lent,
			ContentLength: &part.Size,
		}
		hash := unsigned
		if part.Checksum = ""; s.checksums.inUploads() {
			part.Checksum = crc32c(body)
			in.ChecksumAlgorithm, in.ChecksumCRC32C = types.ChecksumAlgorithmCrc32c, &part.Checksum
		} else {
			sum := sha256.Sum256(body)
			hash = hex.EncodeToString(sum[:])
		}
		out, err := s.client.UploadPart(ctx, in, signedAs(hash), s.repeats.with(s.cfg))
		if err != nil {
			return err
		}
		if part.Tag = unquoted(out.ETag); part.Tag == "" {
			return fmt.Errorf("%w: an answer without an ETag", ErrUnavailable)
		}
		s.checksums.part.proved(part.Checksum != "")
		return nil
	})
	if err != nil {
		return Part{}, fmt.Errorf("part %d of %s: %w", n, u.Name, err)
	}
	return part, nil
}

// crc32c is the checksum as S3 writes it: big-endian, in base64.
func crc32c(body []byte) string {
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

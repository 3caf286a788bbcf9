package store

import (
	"errors"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// encryption is what a write asks of S3, for both ways to write.
func (c S3Config) encryption() (by types.ServerSideEncryption, key *string) {
	if c.KMSKey != "" {
		key = &c.KMSKey
	}
	return types.ServerSideEncryption(c.Encryption), key
}

// repeats keeps whether parts, and the completion, of an upload ask for its
// encryption again. S3 knows it since the upload began, and refuses to be told
// again. Other servers (MinIO) hold a policy that demands encryption against each
// of these requests by its own headers. So the first that is denied is sent again
// with them, and if that is taken they are sent from then on.
type repeats struct{ state atomic.Int32 }

// with adds the headers to a request of an upload that has begun, if they are to be sent.
func (r *repeats) with(c S3Config) func(*s3.Options) {
	if !r.sent() {
		return func(*s3.Options) {}
	}
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Server-Side-Encryption", c.Encryption))
		if c.KMSKey != "" {
			o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", c.KMSKey))
		}
	}
}

// sent reports whether the headers are sent.
func (r *repeats) sent() bool { return r.state.Load() != untried }

// blamed reports whether a request was denied with err, maybe since it did not bear
// the headers, and if so has them sent for now.
func (r *repeats) blamed(op string, err error) bool {
	if op != "part" && op != "complete" || !errors.Is(err, ErrDenied) {
		return false
	}
	r.state.CompareAndSwap(untried, suspected)
	return true
}

// tried records the outcome of the request that was sent again with the headers, and
// reports whether that settles that they are sent.
func (r *repeats) tried(err error) (settled bool) {
	if err != nil {
		r.state.CompareAndSwap(suspected, untried)
		return false
	}
	return r.state.CompareAndSwap(suspected, taken)
}

package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// These are told apart inside the package only.
var (
	errUnreadable = fmt.Errorf("%w: unreadable", ErrUnexpected)
	errNoUpload   = fmt.Errorf("%w: the upload is not there", ErrNotFound)
	errRange      = fmt.Errorf("%w: the object does not have that range", ErrUnexpected)
)

// sentinel turns an error of the SDK into one of this package's errors, with
// S3's own code and message. The SDK's error is not wrapped: it may hold the
// context error of an attempt's own timer, which is not the caller's.
func sentinel(err error, took time.Duration) error {
	if refused, ok := errors.AsType[allocError](err); ok {
		return refused.error
	}
	for _, known := range []error{ErrNotFound, ErrPrecondition, ErrConflict, ErrUnavailable, ErrUnexpected, ErrMetadata} {
		if errors.Is(err, known) {
			return err
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer within %s", ErrUnavailable, took.Round(time.Millisecond))
	}
	status := 0
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = answer.HTTPStatusCode()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Errorf("%w: S3 answers %d %s: %s", byCode(status, api.ErrorCode()), status, api.ErrorCode(), api.ErrorMessage())
	}
	if status != 0 {
		return fmt.Errorf("%w: S3 answers %d: %s", byStatus(status), status, err.Error())
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: %s", ErrUnexpected, certificate.Error())
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			return fmt.Errorf("%w: %w: %s", ErrUnavailable, ErrNotSent, send.Err.Error())
		}
		return fmt.Errorf("%w: %s", ErrUnavailable, send.Err.Error())
	}
	if strings.Contains(err.Error(), "get credentials") {
		return fmt.Errorf("%w: no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the node a role: %s", ErrUnexpected, err.Error())
	}
	return fmt.Errorf("%w: %s", ErrUnexpected, err.Error())
}

// allocError is the error of an Alloc, which is its caller's own.
type allocError struct{ error }

// byCode decides by S3's code where the status does not say enough. Absence
// is only what S3 calls so: a 404 of something else, a wrong endpoint say, must
// not make every object look absent. (The SDK gives the code NotFound to a
// HEAD that is answered 404, which has no body to tell more.) The
// embedded server says InsufficientStorage (507) and QuotaExceeded (403) when
// its disk or quota is full.
func byCode(status int, code string) error {
	switch code {
	case "NoSuchKey", "NotFound":
		return ErrNotFound
	case "NoSuchUpload":
		return errNoUpload
	case "PreconditionFailed":
		return ErrPrecondition
	case "ConditionalRequestConflict", "OperationAborted":
		return ErrConflict
	case "InvalidRange":
		return errRange
	case "NoSuchBucket", "NotImplemented":
		return ErrUnexpected
	case "SlowDown", "ServiceUnavailable", "InternalError", "Throttling", "ThrottlingException",
		"RequestThrottled", "TooManyRequestsException", "RequestTimeout", "QuotaExceeded":
		return ErrUnavailable
	}
	return byStatus(status)
}

func byStatus(status int) error {
	switch {
	case status >= 200 && status < 300:
		return errUnreadable
	case status == http.StatusPreconditionFailed:
		return ErrPrecondition
	case status == http.StatusRequestedRangeNotSatisfiable:
		return errRange
	case status == http.StatusNotImplemented:
		return ErrUnexpected
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return ErrUnavailable
	}
	return ErrUnexpected
}

package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// These are told apart inside the package only.
var (
	errUnreadable = fmt.Errorf("%w: unreadable", ErrUnexpected)
	errNoETag     = fmt.Errorf("%w: an answer without an ETag", errUnreadable)
	errNoUpload   = fmt.Errorf("%w: the upload is not there", ErrNotFound)
	errRange      = fmt.Errorf("%w: the object does not have that range", ErrUnexpected)
)

// failure is a request that S3 did not answer as it should. Its text is for
// callers. The words of S3 and of the SDK may name accounts, hosts and the bucket;
// they are kept in words, which goes only to the log. The SDK's error is not
// wrapped: it may hold the context error of an attempt's own timer, which is not
// the caller's.
type failure struct {
	is     []error // of this package's errors
	text   string
	words  string
	status int    // 0 if S3 gave no answer
	code   string // S3's, empty if it gave none
}

// Error implements error.
func (f *failure) Error() string { return f.is[0].Error() + ": " + f.text }

// Unwrap gives errors.Is what the failure is.
func (f *failure) Unwrap() []error { return f.is }

// sentinel turns an error of the SDK into one of this package's errors.
func sentinel(op string, err error, took time.Duration) error {
	if refused, ok := errors.AsType[allocError](err); ok {
		return refused.error
	}
	for _, known := range []error{ErrNotFound, ErrPrecondition, ErrConflict, ErrUnavailable, ErrUnexpected, ErrMetadata, ErrName} {
		if errors.Is(err, known) {
			return err
		}
	}
	f := &failure{words: err.Error()}
	if none, ok := errors.AsType[credentialsError](err); ok {
		f.is, f.words = []error{ErrUnavailable, ErrNotWritten, Later{After: credentialsPause}}, none.Error()
		f.text = "the node has no credentials for S3: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a file, or a role"
		return f
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f.is, f.text = []error{ErrUnavailable}, "no answer within "+took.Round(time.Millisecond).String()
		return f
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.HTTPStatusCode() != 0 {
		f.answered(op, err, answer.Response.Response)
		return f
	}
	f.unanswered(err)
	return f
}

// unanswered fills in what became of a request that has no answer.
func (f *failure) unanswered(err error) {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		f.is, f.text = []error{ErrUnexpected}, "the certificate of the S3 endpoint cannot be verified: AWS_CA_BUNDLE names those to trust"
		return
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); !ok {
		f.is, f.text = []error{ErrUnexpected}, "the request to S3 could not be made or its answer not read"
		return
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		f.is, f.text = []error{ErrUnavailable, ErrNotWritten}, "no connection to S3 could be made"
		return
	}
	f.is, f.text = []error{ErrUnavailable}, "the connection to S3 broke"
}

// answered fills in what S3 answered.
func (f *failure) answered(op string, err error, answer *http.Response) {
	f.status = answer.StatusCode
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		f.words, f.code = api.ErrorMessage(), api.ErrorCode()
		if op != "head" && f.code == strings.ReplaceAll(api.ErrorMessage(), " ", "") && api.ErrorMessage() == http.StatusText(f.status) {
			f.code = "" // the SDK has made it up from the status of an answer without a body
		}
		if strings.Trim(f.code, codeBytes) != "" || len(f.code) > 64 {
			f.words, f.code = f.code+": "+f.words, ""
		}
	}
	if id := answer.Header.Get("X-Amz-Request-Id"); id != "" {
		f.words += " (request " + id + ")"
	}
	f.is = []error{byCode(f.status, f.code, f.words)}
	switch {
	case errors.Is(f, ErrArchived) && !reads(op): // a write that was refused has found nothing
		f.is = []error{byStatus(f.status)}
	case f.code == "AccessDenied" && puts(op):
		f.is = []error{ErrDenied}
	}
	if errors.Is(f, ErrUnavailable) {
		if refuses(f.status, f.code) {
			f.is = append(f.is, ErrNotWritten)
		}
		if after := retryAfter(answer.Header.Get("Retry-After"), time.Now()); after > 0 {
			f.is = append(f.is, Later{After: after})
		}
	}
	f.text = strings.TrimSpace(fmt.Sprintf("S3 answers %d %s", f.status, f.code)) + advice(op, f, answer.Header)
}

// reads reports whether an operation asks for an object.
func reads(op string) bool {
	return op == "get" || op == "get_range" || op == "digests" || op == "head"
}

// puts reports whether an operation is a step of writing an object.
func puts(op string) bool {
	return op == "put" || op == "begin" || op == "part" || op == "complete"
}

// codeBytes are what the codes of S3 are made of. Those of keys have a dot or a colon.
const codeBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:"

// allocError is the error of an Alloc, which is its caller's own.
type allocError struct{ error }

// byCode decides by S3's code where the status does not say enough. Absence
// is only what S3 calls so: a 404 of something else, a wrong endpoint say, must
// not make every object look absent. (The SDK gives the code NotFound to a
// HEAD that is answered 404, which has no body to tell more.) The
// embedded server says InsufficientStorage (507) and QuotaExceeded (403) when
// its disk or quota is full.
func byCode(status int, code, words string) error {
	switch code {
	case "NoSuchKey", "NotFound":
		return ErrNotFound
	case "NoSuchUpload":
		return errNoUpload
	case "InvalidObjectState":
		return ErrArchived
	case "PreconditionFailed":
		return ErrPrecondition
	case "ConditionalRequestConflict", "OperationAborted":
		return ErrConflict
	case "InvalidRange":
		return errRange
	case "MetadataTooLarge", "RequestHeaderSectionTooLarge":
		return ErrMetadata
	case "KeyTooLongError", "KeyTooLong":
		return ErrName
	case "NoSuchBucket", "NotImplemented":
		return ErrUnexpected
	case "InternalError", "SlowDownWrite", "ExpiredToken", "TokenRefreshRequired":
		return ErrUnavailable
	}
	switch {
	case throttles(code):
		return ErrUnavailable
	case status == http.StatusBadRequest && strings.Contains(strings.ToLower(words), "metadata value"):
		return ErrMetadata // Swift has no code of its own for a value that is too long
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
	case status == http.StatusRequestHeaderFieldsTooLarge:
		return ErrMetadata
	case status == http.StatusNotImplemented:
		return ErrUnexpected
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return ErrUnavailable
	}
	return ErrUnexpected
}

// throttles reports whether a code says that the server, which is well, does
// not do this request now. SlowDownWrite is not among them: MinIO says it of a
// write that too few of its drives have taken.
func throttles(code string) bool {
	switch strings.TrimPrefix(code, "KMS.") {
	case "SlowDown", "SlowDownRead", "ServiceUnavailable", "Busy",
		"TooManyRequests", "TooManyRequestsException", "Throttling", "ThrottlingException", "ThrottledException",
		"RequestThrottled", "RequestThrottledException", "RequestLimitExceeded", "BandwidthLimitExceeded",
		"RequestTimeout", "QuotaExceeded", "InsufficientStorage", "InsufficientCapacity",
		"XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "XMinioServerNotInitialized":
		return true
	}
	return false
}

// refuses reports whether an answer says that the request was not done, so that
// a write was surely not written: every 4xx, what throttles, a full disk, and
// what the server does not know. A 5xx without S3's code may be a proxy's, which
// has lost S3's answer, and InternalError may come after the write.
func refuses(status int, code string) bool {
	return throttles(code) || status >= 400 && status < 500 ||
		status == http.StatusNotImplemented || status == http.StatusInsufficientStorage
}

// maxRetryAfter bounds for how long a store may send callers away.
const maxRetryAfter = time.Minute

// retryAfter reads the header Retry-After: seconds or a date. 0 is none.
func retryAfter(header string, now time.Time) time.Duration {
	after, err := time.ParseDuration(strings.TrimSpace(header) + "s")
	if err != nil {
		at, err := http.ParseTime(header)
		if err != nil {
			return 0
		}
		after = at.Sub(now)
	}
	return min(max(after, 0), maxRetryAfter)
}

var (
	regionName     = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	expectedRegion = regexp.MustCompile(`expecting '([a-z0-9-]{1,40})'`)
)

// advice follows the status and code of an answer and says what would be right,
// where that is known.
func advice(op string, f *failure, header http.Header) string {
	region := header.Get("X-Amz-Bucket-Region")
	if m := expectedRegion.FindStringSubmatch(f.words); m != nil {
		region = m[1]
	}
	if f.elsewhere() && regionName.MatchString(region) {
		return ": the bucket is in the region " + region + ": give --s3-region " + region
	}
	if f.isForKey() {
		return ": the key for encryption cannot be used: see --s3-sse and --s3-sse-kms-key"
	}
	switch f.code {
	case "PermanentRedirect", "MovedPermanently", "TemporaryRedirect":
		return ": the bucket is in another region or behind another endpoint: see --s3-region and --s3-endpoint"
	case "NoSuchBucket":
		return ": the bucket that --s3-bucket names is not there"
	case "AccessDenied", "AllAccessDisabled", "Forbidden":
		return ": the node's credentials do not allow " + strings.Join(actionsOf(op, f.words), ", ") + orEncryption(op)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return ": the node's credentials are refused"
	case "InvalidObjectState":
		return ": the object was moved to an archive"
	}
	return ""
}

// isForKey reports whether a request was refused for the key that its object is
// to be, or is, encrypted with. A permission for it that is missing is not meant. Of what
// is not there only the code tells: the words of some servers have the object's name.
func (f *failure) isForKey() bool {
	if f.code == "AccessDenied" || throttles(f.code) {
		return false
	}
	names := func(text string) bool { return strings.Contains(strings.ToLower(text), "kms") }
	return names(f.code) || f.status != http.StatusNotFound && names(f.words)
}

// orEncryption says why else a write may be denied.
func orEncryption(op string) string {
	if !puts(op) {
		return ""
	}
	return ", or a policy of the bucket demands an encryption that --s3-sse or --s3-sse-kms-key does not ask for"
}

// elsewhere reports whether an answer says that the bucket is in another region.
func (f *failure) elsewhere() bool {
	switch f.code {
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return true
	}
	return f.status == http.StatusMovedPermanently || f.status == http.StatusTemporaryRedirect
}

// actionsOf are the IAM actions that an operation needs. A key of KMS is
// another service's, which S3 asks in the caller's name and quotes.
func actionsOf(op, words string) []string {
	if strings.Contains(words, "kms:") || strings.Contains(words, "KMS") {
		return []string{"kms:GenerateDataKey", "kms:Decrypt"}
	}
	switch op {
	case "get", "get_range", "head":
		return []string{"s3:GetObject"}
	case "delete", "delete_many":
		return []string{"s3:DeleteObject"}
	case "abort":
		return []string{"s3:AbortMultipartUpload"}
	case "list_uploads":
		return []string{"s3:ListBucketMultipartUploads"}
	case "list_parts":
		return []string{"s3:ListMultipartUploadParts"}
	case "ping", "list":
		return []string{"s3:ListBucket"}
	}
	return []string{"s3:PutObject"}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/rs/zerolog"
)

// S3Config says which bucket to use and how to reach it.
type S3Config struct {
	// Bucket must exist. It is the only field that has no default.
	Bucket string
	// Endpoint is the URL of the server; empty is AWS itself.
	Endpoint string
	// Region is empty for the region of the SDK's usual chain, and for
	// us-east-1 if there is an Endpoint and the chain knows none.
	Region string
	// Prefix is put before every name, with a slash between.
	Prefix string
	// PathStyle puts the bucket into the path and not into the host name.
	PathStyle bool
	// Encryption is what objects are asked to be encrypted by at rest, AES256, aws:kms
	// or aws:kms:dsse; empty leaves that to the bucket. KMSKey is the key for the last
	// two; empty is the account's own.
	Encryption, KMSKey string
	// AccessKey and SecretKey are empty for the SDK's usual chain.
	AccessKey, SecretKey string
	// HTTPClient is nil for one that suits S3: see httpClient.
	HTTPClient *http.Client
	// Observe is called after every request that was sent to S3, with the
	// operation (get, get_range, digests, head, put, delete, list, ping, begin,
	// part, complete, abort, list_uploads, list_parts; probe for all of Probe's)
	// and the outcome, which is context.Canceled if the caller has left or has no
	// memory for the answer. A retried read is several requests. It may be nil.
	Observe func(op string, err error, took time.Duration)
	// Log gets the words of the SDK, and those of S3 about requests that failed.
	// No error of this package holds them.
	Log zerolog.Logger
}

// S3 is a Store, and Uploads, in a bucket of any S3. It never writes an object
// more than once for one call: a write that was sent again after a lost answer
// could arrive after a newer one and bring the old object back. Reads are tried
// up to three times, and so are writes that no reader sees: a part, an abort.
type S3 struct {
	client  *s3.Client
	bucket  string
	prefix  string // empty, or ends with a slash
	observe func(op string, err error, took time.Duration)

	cfg         S3Config               // for Probe
	traits      atomic.Pointer[Traits] // nil before the server was probed
	probing     sync.Mutex             // guards verdict
	verdict     *probe                 // nil before the server was probed
	credentials *renewing              // nil if they are given
	checksums   checksums
	repeats     repeats
	singly      atomic.Bool // it was seen not to remove many objects at once
	notes       *notes
}

var (
	_ Store   = (*S3)(nil)
	_ Uploads = (*S3)(nil)
)

// NewS3 makes the store. It sends no request; Ping reports whether the bucket can
// be reached.
func NewS3(ctx context.Context, cfg S3Config) (*S3, error) {
	if cfg.Bucket == "" {
		return nil, errors.New("s3 store: no bucket given")
	}
	s := &S3{bucket: cfg.Bucket, observe: cfg.Observe, cfg: cfg, notes: newNotes(cfg.Log, cfg.Bucket)}
	s.checksums.notes = s.notes
	sdk, err := s.sdkConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("s3 store: %w", err)
	}
	s.client = s3.NewFromConfig(sdk, func(o *s3.Options) {
		o.UsePathStyle = cfg.PathStyle
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		// Retries are this package's own, so that each is bounded and counted.
		o.Retryer = aws.NopRetryer{}
		// Put sends a SHA-256; no second checksum beside it, and no trailer.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		// Not every S3 answers Expect: 100-continue, and waiting costs a
		// round trip where it is answered.
		o.ContinueHeaderThresholdBytes = -1
		judgesAnswers(o)
	})
	if prefix := strings.Trim(cfg.Prefix, "/"); prefix != "" {
		s.prefix = prefix + "/"
	}
	if s.observe == nil {
		s.observe = func(string, error, time.Duration) {}
	}
	return s, nil
}

// sdkConfig uses the SDK's usual chain (environment, files, roles) only where
// the configuration leaves the credentials to it.
func (s *S3) sdkConfig(ctx context.Context, cfg S3Config) (aws.Config, error) {
	var client config.HTTPClient = httpClient()
	if cfg.HTTPClient != nil {
		client = cfg.HTTPClient
	}
	if cfg.AccessKey != "" {
		region := cfg.Region
		if region == "" {
			region = fallbackRegion
		}
		return aws.Config{
			Region:      region,
			HTTPClient:  client,
			Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
		}, nil
	}
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(client), config.WithLogger(sdkLog(cfg.Log))}
	if cfg.Region != "" {
		options = append(options, config.WithRegion(cfg.Region))
	} else if cfg.Endpoint != "" {
		options = append(options, config.WithDefaultRegion(fallbackRegion))
	}
	sdk, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the SDK's configuration: %w", err)
	}
	if sdk.Region == "" {
		return aws.Config{}, errors.New("no region: give one, or set AWS_REGION")
	}
	if sdk.RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		s.checksums.leaveOut()
	}
	options = append(options, config.WithRegion(sdk.Region))
	s.credentials = newRenewing(sdk.Credentials, func(ctx context.Context) (aws.CredentialsProvider, error) {
		again, err := config.LoadDefaultConfig(ctx, options...)
		return again.Credentials, err
	})
	sdk.Credentials = s.credentials
	return sdk, nil
}

// sdkLog passes on what the SDK would otherwise print to standard error, in words
// and a form of its own.
func sdkLog(log zerolog.Logger) logging.Logger {
	log = log.With().Str("component", "s3").Logger()
	return logging.LoggerFunc(func(class logging.Classification, format string, args ...any) {
		level := zerolog.DebugLevel
		if class == logging.Warn {
			level = zerolog.WarnLevel
		}
		log.WithLevel(level).Str("detail", fmt.Sprintf(format, args...)).Msg("aws sdk")
	})
}

const (
	fallbackRegion = "us-east-1"

	dialTimeout   = 2 * time.Second
	idleTimeout   = 60 * time.Second
	keptPerServer = 256
)

// httpClient keeps many connections open, since one node talks to one server,
// and gives up a dial early, since an S3 that does not accept will not. It is
// the SDK's own kind of client, which AWS_CA_BUNDLE still applies to. How long
// an answer may take depends on the request and is bounded by call.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 0
			t.MaxIdleConnsPerHost = keptPerServer
			t.IdleConnTimeout = idleTimeout
			t.TLSHandshakeTimeout = dialTimeout
		})
}

// object is the place of a name in the bucket.
func (s *S3) object(name string) *string { return aws.String(s.prefix + name) }

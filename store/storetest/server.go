package storetest

import (
	"os"
	"testing"

	"github.com/rs/zerolog"

	"larder/store"
)

// FromEnvironment is a store on the server that the environment names:
// LARDER_S3_ENDPOINT, LARDER_S3_REGION, LARDER_S3_PREFIX, LARDER_S3_BUCKET
// ("larder" unless it says otherwise), which must be there, and the
// credentials of the SDK's usual chain. LARDER_S3_HOST_STYLE puts the bucket
// into the host name.
func FromEnvironment(t testing.TB) *store.S3 {
	t.Helper()
	cfg := store.S3Config{
		Endpoint: os.Getenv("LARDER_S3_ENDPOINT"), Region: os.Getenv("LARDER_S3_REGION"),
		Bucket: os.Getenv("LARDER_S3_BUCKET"), Prefix: os.Getenv("LARDER_S3_PREFIX"),
		PathStyle: os.Getenv("LARDER_S3_HOST_STYLE") == "", Log: zerolog.New(zerolog.NewTestWriter(t)),
	}
	if cfg.Bucket == "" {
		cfg.Bucket = "larder"
	}
	s, err := store.NewS3(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	differences, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Logf("%s: %s", d.Lacks, d.Instead)
	}
	return s
}

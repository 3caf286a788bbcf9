package embedded

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/rs/zerolog"

	"larder/store"
)

// recorded is a disk that records what could be seen when it was synced, and
// fails if told to.
type recorded struct {
	mu    sync.Mutex
	look  func() bool // whether the object can be seen
	seen  []bool      // by sync
	fails map[int]error
}

func (r *recorded) sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.look == nil {
		return nil
	}
	r.seen = append(r.seen, r.look())
	return r.fails[len(r.seen)-1]
}

func (r *recorded) reset(look func() bool, fails map[int]error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look, r.seen, r.fails = look, nil, fails
}

// open serves a folder on a recorded disk until the test ends.
func open(t *testing.T, disk *recorded) (*Server, *store.S3) {
	t.Helper()
	server, err := New(Config{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	server.bucket.disk = &groupSync{sync: disk.sync}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := server.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := store.NewS3(t.Context(), server.S3Config())
	if err != nil {
		t.Fatal(err)
	}
	return server, s
}

// TestWriteOrder wants the data synced before the object can be seen, and the
// name synced before the answer.
func TestWriteOrder(t *testing.T) {
	disk := &recorded{}
	server, s := open(t, disk)
	exists := func() bool {
		found, _ := filepath.Glob(filepath.Join(server.path, "v1", "a"))
		return len(found) == 1
	}
	want := func(op string, seen ...bool) {
		t.Helper()
		if len(disk.seen) != len(seen) {
			t.Fatalf("%s: %d syncs, want %d", op, len(disk.seen), len(seen))
		}
		for i := range seen {
			if disk.seen[i] != seen[i] {
				t.Errorf("%s: sync %d saw the object: %v", op, i, disk.seen[i])
			}
		}
	}
	disk.reset(exists, nil)
	if _, err := s.Put(t.Context(), "v1/a", store.Write{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	want("put", false, true)

	disk.reset(exists, nil)
	if err := s.Delete(t.Context(), "v1/a"); err != nil {
		t.Fatal(err)
	}
	want("delete", false)

	upload, parts := uploadParts(t, server, "v1/a")
	disk.reset(exists, nil)
	completeUpload(t, server, "v1/a", upload, parts)
	want("complete multipart upload", false, true)
	_, body, err := s.Get(t.Context(), "v1/a", 100<<20, nil)
	if err != nil || len(body) != 5<<20+3 || string(body[5<<20:]) != "end" {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// TestFailedSync wants no write acknowledged whose sync failed.
func TestFailedSync(t *testing.T) {
	disk, broken := &recorded{}, errors.New("broken disk")
	_, s := open(t, disk)
	if _, err := s.Put(t.Context(), "v1/a", store.Write{Body: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	never := func() bool { return false }
	disk.reset(never, map[int]error{0: broken})
	if _, err := s.Put(t.Context(), "v1/a", store.Write{Body: []byte("lost")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("data: the error is %v", err)
	}
	if _, body, err := s.Get(t.Context(), "v1/a", 10, nil); err != nil || string(body) != "kept" {
		t.Errorf("%q, %v", body, err)
	}
	disk.reset(never, map[int]error{1: broken})
	if _, err := s.Put(t.Context(), "v1/a", store.Write{Body: []byte("unknown")}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("name: the error is %v", err)
	}
	disk.reset(never, map[int]error{0: broken})
	if err := s.Delete(t.Context(), "v1/a"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("delete: the error is %v", err)
	}
}

// sdk is the SDK's own client, for what the store does not offer.
func sdk(server *Server) *s3.Client {
	cfg := server.S3Config()
	return s3.New(s3.Options{
		Region: cfg.Region, BaseEndpoint: &cfg.Endpoint, UsePathStyle: true, HTTPClient: cfg.HTTPClient,
		Credentials: credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
	})
}

func uploadParts(t *testing.T, server *Server, key string) (*string, []types.CompletedPart) {
	t.Helper()
	client, bucket := sdk(server), &server.cfg.Bucket
	upload, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for i, body := range []string{string(make([]byte, 5<<20)), "end"} {
		number := aws.Int32(int32(i) + 1)
		part, err := client.UploadPart(t.Context(), &s3.UploadPartInput{
			Bucket: bucket, Key: &key, UploadId: upload.UploadId, PartNumber: number, Body: strings.NewReader(body),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: number, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32})
	}
	return upload.UploadId, parts
}

func completeUpload(t *testing.T, server *Server, key string, upload *string, parts []types.CompletedPart) {
	t.Helper()
	_, err := sdk(server).CompleteMultipartUpload(t.Context(), &s3.CompleteMultipartUploadInput{
		Bucket: &server.cfg.Bucket, Key: &key, UploadId: upload,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		t.Fatal(err)
	}
}

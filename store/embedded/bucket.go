package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rs/zerolog"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// bucket is the backend of the server: one bucket in one folder. It lets
// versitygw's posix backend do the work, and adds what that lacks:
//
//   - What is acknowledged is on stable storage (groupSync). Only parts are
//     not, but the objects made of them are (assembly).
//   - A reader never gets the ETag of one write with the bytes of another.
//     posix reads the ETag by path, then opens the file by path; a write in
//     between would be torn. Here a write holds its key's lock from before the
//     new file takes its name until it is synced, and readers hold it while
//     they look the object up. So nobody sees what could still be lost, either.
//   - A page of a listing does not read the whole folder (index).
//   - It does not depend on the working directory. posix takes a bucket's name
//     as a path relative to it; here it is given the absolute path instead.
//   - What Larder has no use for (access lists, policies, versions, tags,
//     copies ...) is answered NotImplemented, by BackendUnsupported.
type bucket struct {
	backend.BackendUnsupported
	posix *posix.Posix
	name  string
	path  string // absolute
	keys  *keyLocks
	// uploads are the locks of uploads, by their identifiers: see multipart.go.
	uploads *keyLocks
	disk    *groupSync
	index   *index
	log     zerolog.Logger
}

var _ backend.Backend = (*bucket)(nil)

func newBucket(path, name string, disk *groupSync, log zerolog.Logger) (*bucket, error) {
	if err := makePrivate(path, log); err != nil {
		return nil, fmt.Errorf("make the bucket: %w", err)
	}
	if err := (attributes{}).Test(path); err != nil {
		return nil, fmt.Errorf("the file system of %s keeps no extended attributes, choose another folder: %w", path, err)
	}
	// posix changes the working directory to its root. That is the current
	// one here, so nothing changes; with absolute bucket paths and without
	// lock files it has no other use for it.
	store, err := posix.New(".", attributes{}, posix.PosixOpts{
		// Temporary files with names are renamed over what is there, which
		// works for names of 255 bytes and leaves nothing beside the objects;
		// a nameless one would be linked under a longer name first.
		ForceNoTmpFile: true,
		// One process serves the folder (lockFolder).
		ForceNoObjLockFile: true,
		IOBufferSize:       ioBufferSize,
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &bucket{
		posix: store, name: name, path: path, keys: newKeyLocks(), uploads: newKeyLocks(),
		disk: disk, index: &index{path: path}, log: log,
	}, nil
}

// makePrivate makes a folder that only its owner reaches, or makes one so that is
// there. posix makes files and folders below it that everybody may read.
func makePrivate(path string, log zerolog.Logger) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	if err := os.Chmod(path, 0o700); err != nil {
		log.Warn().Err(err).Str("folder", path).Str("mode", info.Mode().Perm().String()).
			Msg("other users of this machine may read the objects; give the folder to the user who runs this, with mode 0700")
		return nil
	}
	log.Info().Str("folder", path).Str("was", info.Mode().Perm().String()).Msg("only this user may read the objects from now on")
	return nil
}

// ioBufferSize is what posix copies a body through, once per running write.
const ioBufferSize = 128 << 10

// removeLeftovers removes what an earlier process left of writes that were
// never acknowledged, and all unfinished uploads: of their parts nobody knows
// what a power cut has left, since parts are not synced.
func (b *bucket) removeLeftovers() error {
	if err := os.RemoveAll(filepath.Join(b.path, posix.MetaTmpDir)); err != nil {
		return fmt.Errorf("remove leftovers: %w", err)
	}
	return nil
}

// check refuses other buckets than the one.
func (b *bucket) check(name *string) error {
	if aws.ToString(name) != b.name {
		return s3err.GetBucketErr(s3err.ErrNoSuchBucket, aws.ToString(name))
	}
	return nil
}

// checkNew also refuses keys that end with a slash: posix makes folders of
// them, and not in one step.
func (b *bucket) checkNew(name, key *string) error {
	if strings.HasSuffix(aws.ToString(key), "/") {
		return s3err.GetAPIError(s3err.ErrNotImplemented)
	}
	return b.check(name)
}

// failed is the error to answer with. What versitygw does not know as one of
// S3's own errors is logged here and answered InternalError, since versitygw
// would print it.
func (b *bucket) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if answer, ok := errors.AsType[s3err.S3Error](err); ok {
		if answer.StatusCode() == http.StatusInsufficientStorage {
			b.log.Error().Str("op", op).Msg("the disk of the embedded store is full")
		}
		return answer
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		b.log.Error().Err(errno).Str("op", op).Msg("the embedded store's disk refuses")
	} else {
		b.log.Debug().Err(err).Str("op", op).Msg("request to the embedded store broken off")
	}
	return s3err.GetAPIError(s3err.ErrInternalError)
}

// Shutdown closes what posix holds.
func (b *bucket) Shutdown() { b.posix.Shutdown() }

func (b *bucket) String() string { return "larder" }

// ListBuckets lists the one.
func (b *bucket) ListBuckets(context.Context, s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	info, err := os.Stat(b.path)
	if err != nil {
		return s3response.ListAllMyBucketsResult{}, b.failed("list buckets", err)
	}
	entry := s3response.ListAllMyBucketsEntry{Name: b.name, CreationDate: info.ModTime()}
	return s3response.ListAllMyBucketsResult{
		Buckets: s3response.ListAllMyBucketsList{Bucket: []s3response.ListAllMyBucketsEntry{entry}},
	}, nil
}

// HeadBucket says that the bucket is there.
func (b *bucket) HeadBucket(_ context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	return &s3.HeadBucketOutput{}, b.check(in.Bucket)
}

// GetBucketAcl is asked before every request. An empty list leaves everything
// to the root account and nothing to others.
func (b *bucket) GetBucketAcl(_ context.Context, in *s3.GetBucketAclInput) ([]byte, error) { //nolint:revive // the name is versitygw's
	return nil, b.check(in.Bucket)
}

// GetBucketPolicy says that there is none.
func (b *bucket) GetBucketPolicy(_ context.Context, name string) ([]byte, error) {
	return nil, s3err.GetBucketErr(s3err.ErrNoSuchBucketPolicy, name)
}

// GetBucketCors says that there are no rules.
func (b *bucket) GetBucketCors(_ context.Context, name string) ([]byte, error) {
	return nil, s3err.GetBucketErr(s3err.ErrNoSuchCORSConfiguration, name)
}

// GetBucketVersioning answers that versioning is off.
func (b *bucket) GetBucketVersioning(context.Context, string) (s3response.GetBucketVersioningOutput, error) {
	return s3response.GetBucketVersioningOutput{}, nil
}

// GetObjectLockConfiguration says that nothing is locked.
func (b *bucket) GetObjectLockConfiguration(context.Context, string) ([]byte, error) {
	return nil, s3err.GetAPIError(s3err.ErrObjectLockConfigurationNotFound)
}

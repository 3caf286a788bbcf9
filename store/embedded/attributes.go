package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"syscall"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/s3err"
)

// attributes keeps an object's metadata in extended attributes of its file, as
// versitygw does, but more tightly: the default of ext4 is one block of 4 KiB
// for all attributes of a file, and S3's 2 KB of user metadata must fit into
// it, which they do not if each < is written as \u003c.
type attributes struct{ meta.XattrMeta }

const (
	userMetadata = "metadata"
	// madeOfAttribute tells which upload an object was made by, and the sizes
	// of its parts.
	madeOfAttribute = "mp-metadata"
)

// StoreAttribute implements meta.MetadataStorer.
func (a attributes) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if attribute == userMetadata {
		value = unescaped(value)
	}
	err := a.XattrMeta.StoreAttribute(f, bucket, object, attribute, value)
	if attribute == madeOfAttribute && noRoom(err) {
		return a.XattrMeta.StoreAttribute(f, bucket, object, attribute, withoutParts(value))
	}
	return err
}

// noRoom reports whether a file system has refused an attribute for its size.
func noRoom(err error) bool {
	return errors.Is(err, s3err.GetAPIError(s3err.ErrNoSpaceLeftOnDevice)) ||
		errors.Is(err, syscall.E2BIG) || errors.Is(err, syscall.ERANGE)
}

// withoutParts leaves out the sizes of the parts. They serve reads by part
// number only, and some hundred parts have no room in ext4's block.
func withoutParts(value []byte) []byte {
	upload, err := backend.UnmarshalMpUploadMetadata(value, false)
	if err != nil {
		return value
	}
	short, err := backend.MarshalMpUploadMetadata(backend.MpUploadMetadata{UploadID: upload.UploadID}, false)
	if err != nil {
		return value
	}
	return short
}

// unescaped is the same JSON object without the escapes that only HTML needs.
func unescaped(value []byte) []byte {
	var values map[string]string
	if json.Unmarshal(value, &values) != nil {
		return value
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(values) != nil {
		return value
	}
	return bytes.TrimSpace(out.Bytes())
}

package embedded

import (
	"bytes"
	"encoding/json"
	"os"

	"github.com/versity/versitygw/backend/meta"
)

// attributes keeps an object's metadata in extended attributes of its file, as
// versitygw does, but more tightly: the default of ext4 is one block of 4 KiB
// for all attributes of a file, and S3's 2 KB of user metadata must fit into
// it, which they do not if each < is written as \u003c.
type attributes struct{ meta.XattrMeta }

const userMetadata = "metadata"

// StoreAttribute implements meta.MetadataStorer.
func (a attributes) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if attribute == userMetadata {
		value = unescaped(value)
	}
	return a.XattrMeta.StoreAttribute(f, bucket, object, attribute, value)
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

package embedded

import (
	"cmp"
	"slices"

	"github.com/versity/versitygw/s3response"
)

// pageUploads cuts all uploads to the page that the markers ask for. A key
// marker alone is past all uploads of that key.
func pageUploads(out *s3response.ListMultipartUploadsResult) {
	slices.SortFunc(out.Uploads, func(a, b s3response.Upload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.UploadID, b.UploadID))
	})
	out.Uploads = slices.DeleteFunc(out.Uploads, func(u s3response.Upload) bool {
		if u.Key != out.KeyMarker || out.KeyMarker == "" {
			return u.Key < out.KeyMarker
		}
		return out.UploadIDMarker == "" || u.UploadID <= out.UploadIDMarker
	})
	out.NextKeyMarker, out.NextUploadIDMarker = "", ""
	out.IsTruncated = len(out.Uploads) > out.MaxUploads
	if !out.IsTruncated {
		return
	}
	out.Uploads = out.Uploads[:out.MaxUploads]
	if last := len(out.Uploads) - 1; last >= 0 {
		out.NextKeyMarker, out.NextUploadIDMarker = out.Uploads[last].Key, out.Uploads[last].UploadID
	}
}

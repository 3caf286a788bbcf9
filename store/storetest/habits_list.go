package storetest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// list answers the first page of a listing.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	if s.FailsListing {
		fail(w, http.StatusInternalServerError, "InternalError")
		return
	}
	query := r.URL.Query()
	limit, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil {
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	var names []string
	for name := range s.objects {
		if strings.HasPrefix(name, query.Get("prefix")) && name > query.Get("start-after") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	page := names[:min(limit, len(names))]
	var content strings.Builder
	for _, name := range page {
		o := s.objects[name]
		modified, err := http.ParseTime(o.header.Get("Last-Modified"))
		if seconds, e := strconv.ParseInt(o.header.Get("X-Amz-Meta-Mtime"), 10, 64); s.KeepsMtime && e == nil {
			modified, err = time.Unix(seconds, 0), nil
		}
		if err != nil {
			fail(w, http.StatusInternalServerError, "InternalError")
			return
		}
		fmt.Fprintf(&content, "<Contents><Key>%s</Key><ETag>&quot;%s&quot;</ETag><Size>%d</Size><LastModified>%s</LastModified></Contents>",
			escaped(name), o.tag, len(o.body), modified.UTC().Format(time.RFC3339))
	}
	answer(w, "ListBucketResult", fmt.Sprintf("<IsTruncated>%t</IsTruncated>%s", len(names) > limit, content.String()))
}

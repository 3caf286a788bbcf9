package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

func (s *Server) part(w http.ResponseWriter, r *http.Request, body []byte) {
	query := r.URL.Query()
	u, there := s.uploads[query.Get("uploadId")]
	if !there {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	u.parts[fmt.Sprintf("%05s", query.Get("partNumber"))] = body
	w.Header().Set("ETag", `"`+tagOf(body)+`"`)
}

// complete takes all parts that were stored, whatever was listed.
func (s *Server) complete(w http.ResponseWriter, r *http.Request, key string) {
	id := r.URL.Query().Get("uploadId")
	u, there := s.uploads[id]
	switch {
	case !there && s.ForgottenFails:
		fail(w, http.StatusInternalServerError, "UnknownError")
		return
	case !there && s.ForgottenSucceeds && s.objects[key].tag != "":
		answer(w, "CompleteMultipartUploadResult", "<ETag>&quot;0123-1&quot;</ETag>")
		return
	case !there:
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	case s.CompleteError != "":
		fail(w, http.StatusOK, s.CompleteError)
		return
	case s.refused(w, r, key, s.IgnoresComplete):
		return
	}
	var whole bytes.Buffer
	for _, number := range slices.Sorted(maps.Keys(u.parts)) {
		whole.Write(u.parts[number])
	}
	made := object{body: whole.Bytes(), tag: fmt.Sprintf("%s-%d", tagOf(whole.Bytes()), len(u.parts)), header: u.header}
	s.store(key, made)
	delete(s.uploads, id)
	if s.CompleteFails != "" {
		fail(w, http.StatusInternalServerError, s.CompleteFails)
		return
	}
	if s.CompleteBroken {
		fmt.Fprint(w, "<CompleteMultipartUploadResult><ETag>")
		return
	}
	tag := `"` + made.tag + `"`
	if s.CompleteTag != nil {
		tag = *s.CompleteTag
	}
	answer(w, "CompleteMultipartUploadResult", "<ETag>"+escaped(tag)+"</ETag>")
}

func (s *Server) abort(w http.ResponseWriter, r *http.Request, key string) {
	id := r.URL.Query().Get("uploadId")
	if s.AbortRemoves {
		delete(s.objects, key)
	}
	if _, there := s.uploads[id]; !there {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	delete(s.uploads, id)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) listUploads(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	prefix, marker := query.Get("prefix"), query.Get("upload-id-marker")
	switch {
	case s.NoUploads && len(s.uploads) == 0:
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	case s.OnePage && marker != "":
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	var content strings.Builder
	for _, id := range slices.Sorted(maps.Keys(s.uploads)) {
		u := s.uploads[id]
		if !strings.HasPrefix(u.key, prefix) || s.NoUploadPrefix && prefix != "" && u.key != prefix {
			continue
		}
		key := u.key
		if s.EncodesUploads && query.Get("encoding-type") == "url" {
			key = url.QueryEscape(key)
		}
		fmt.Fprintf(&content, "<Upload><Key>%s</Key><UploadId>%s</UploadId><Initiated>%s</Initiated></Upload>",
			escaped(key), id, u.began.UTC().Format(time.RFC3339))
		if s.OnePage {
			fmt.Fprintf(&content, "<IsTruncated>true</IsTruncated><NextKeyMarker>%s</NextKeyMarker><NextUploadIdMarker>%s</NextUploadIdMarker>", escaped(key), id)
			break
		}
	}
	answer(w, "ListMultipartUploadsResult", content.String())
}

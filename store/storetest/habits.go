package storetest

import (
	"crypto/md5" //nolint:gosec // it is what S3 makes ETags of
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Habits are what a server in memory does otherwise than S3. Each is one of a
// real server.
type Habits struct {
	// IgnoresPut and IgnoresComplete: conditions are not looked at.
	IgnoresPut, IgnoresComplete bool
	// RefusesIfMatch: a write with If-Match is answered 501.
	RefusesIfMatch bool
	// ComparesQuoted: If-Match is compared with an ETag without quotes, so no
	// version ever matches.
	ComparesQuoted bool
	// CompleteTag is the ETag that completing an upload answers, if not nil.
	CompleteTag *string
	// CompleteError is the code of an error that completing an upload answers
	// with the status 200, without doing it. CompleteFails is one answered with
	// 500, after it was done.
	CompleteError, CompleteFails string
	// CompleteBroken: what completing an upload answers ends too early.
	CompleteBroken bool
	// ForgottenFails: completing an upload that is not there is answered 500.
	// ForgottenSucceeds: it is answered as if it were done, if the object is there.
	ForgottenFails, ForgottenSucceeds bool
	// AbortRemoves: aborting an upload removes the object.
	AbortRemoves bool
	// NoUploadPrefix: a prefix that is not a whole key finds no upload.
	NoUploadPrefix bool
	// NoUploads: a listing of uploads is answered 404 while there are none.
	NoUploads bool
	// OnePage: uploads are listed in pages of one, and the second is refused.
	OnePage bool
	// EncodesUploads: keys are encoded if that is asked for, without saying so.
	EncodesUploads bool
	// NoMetadata: none is kept. Underscores: they come back as dashes.
	// OldMetadata: what a write does not name stays from the object before.
	NoMetadata, Underscores, OldMetadata bool
	// KeepsMtime: an object is as old as its metadata named mtime says.
	KeepsMtime bool
	// FailsListing: listings of objects are answered 500.
	FailsListing bool
	// GuessesTypes: application/octet-stream is taken for no type, and the end of the
	// name for one.
	GuessesTypes bool
	// ComposesNames: a decomposed character in a name is the composed one, as on
	// file systems that do not tell them apart.
	ComposesNames bool
	// Denies are operations that are answered 403.
	Denies []string
	// Demands is the encryption that writes have to ask for: the others are answered 403.
	Demands string
	// DemandsAgain has parts and the completion of an upload ask for it too, as MinIO
	// does. Without it they are answered 400 if they do, as S3 does.
	DemandsAgain bool
}

// Server is an S3 server in memory, of one bucket, which looks at no signature.
type Server struct {
	Habits
	mu      sync.Mutex // guards all below
	objects map[string]object
	uploads map[string]upload // by identifier
	begun   int
	asked   []string
}

type object struct {
	body   []byte
	tag    string
	header http.Header
}

type upload struct {
	key    string
	header http.Header
	parts  map[string][]byte // by number
	began  time.Time
}

// NewServer makes a server that holds nothing.
func NewServer(h Habits) *Server {
	return &Server{Habits: h, objects: map[string]object{}, uploads: map[string]upload{}}
}

// Asked returns the operations that it was asked for, and forgets them.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// Names returns the keys of all objects, in order.
func (s *Server) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for name := range s.objects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	op := operation(r, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, op)
	if slices.Contains(s.Denies, op) {
		fail(w, http.StatusForbidden, "AccessDenied")
		return
	}
	if s.wronglyEncrypted(w, op, r.Header.Get("X-Amz-Server-Side-Encryption")) {
		return
	}
	switch op {
	case "put":
		s.put(w, r, key, body)
	case "get", "head":
		s.get(w, r, key)
	case "delete":
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case "begin":
		s.begun++
		id := fmt.Sprint("upload-", s.begun)
		s.uploads[id] = upload{key: key, header: s.kept(r), parts: map[string][]byte{}, began: time.Now()}
		answer(w, "InitiateMultipartUploadResult", "<UploadId>"+id+"</UploadId>")
	case "part":
		s.part(w, r, body)
	case "complete":
		s.complete(w, r, key)
	case "abort":
		s.abort(w, r, key)
	case "list_parts":
		if _, there := s.uploads[r.URL.Query().Get("uploadId")]; !there {
			fail(w, http.StatusNotFound, "NoSuchUpload")
			return
		}
		answer(w, "ListPartsResult", "")
	case "list_uploads":
		s.listUploads(w, r)
	case "list":
		s.list(w, r)
	case "ping":
	default:
		fail(w, http.StatusNotImplemented, "NotImplemented")
	}
}

// wronglyEncrypted answers a write that does not ask for encryption as it has to.
func (s *Server) wronglyEncrypted(w http.ResponseWriter, op, asks string) bool {
	inUpload := op == "part" || op == "complete"
	switch {
	case inUpload && !s.DemandsAgain && asks != "":
		fail(w, http.StatusBadRequest, "InvalidArgument")
	case s.Demands != asks && s.Demands != "" && (op == "put" || op == "begin" || inUpload && s.DemandsAgain):
		fail(w, http.StatusForbidden, "AccessDenied")
	default:
		return false
	}
	return true
}

// operation is the name of a request, as store.S3Config's Observe has it.
func operation(r *http.Request, key string) string {
	query := r.URL.Query()
	inUpload := query.Has("uploadId")
	switch {
	case key == "" && query.Has("uploads"):
		return "list_uploads"
	case key == "" && query.Has("list-type"):
		return "list"
	case key == "" && r.Method == http.MethodHead:
		return "ping"
	case r.Method == http.MethodPost && query.Has("uploads"):
		return "begin"
	case r.Method == http.MethodPost && inUpload:
		return "complete"
	case r.Method == http.MethodPut && inUpload:
		return "part"
	case r.Method == http.MethodDelete && inUpload:
		return "abort"
	case r.Method == http.MethodGet && inUpload:
		return "list_parts"
	}
	return strings.ToLower(r.Method)
}

// kept is what is kept of a write's header.
func (s *Server) kept(r *http.Request) http.Header {
	kept := http.Header{"Content-Type": r.Header["Content-Type"], "Last-Modified": {time.Now().UTC().Format(http.TimeFormat)}}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Meta-") && !s.NoMetadata {
			if s.Underscores {
				name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
			}
			kept[name] = values
		}
	}
	return kept
}

// refused answers a write whose condition does not hold.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, key string, ignores bool) bool {
	there, ok := s.objects[key]
	tag := `"` + there.tag + `"`
	if s.ComparesQuoted {
		tag = there.tag
	}
	ifMatch := r.Header.Get("If-Match")
	switch {
	case ifMatch != "" && s.RefusesIfMatch:
		fail(w, http.StatusNotImplemented, "NotImplemented")
	case ignores:
		return false
	case ifMatch != "" && !ok:
		fail(w, http.StatusNotFound, "NoSuchKey")
	case ifMatch != "" && ifMatch != tag, r.Header.Get("If-None-Match") == "*" && ok:
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		return false
	}
	return true
}

func (s *Server) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	if s.refused(w, r, key, s.IgnoresPut) {
		return
	}
	made := object{body: body, tag: tagOf(body), header: s.kept(r)}
	s.store(key, made)
	w.Header().Set("ETag", `"`+made.tag+`"`)
}

func (s *Server) store(key string, made object) {
	if there, ok := s.objects[key]; ok && s.OldMetadata {
		for name, values := range there.header {
			if made.header[name] == nil {
				made.header[name] = values
			}
		}
	}
	s.objects[key] = made
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, key string) {
	if s.ComposesNames {
		key = strings.ReplaceAll(key, "e\u0301", "\u00e9")
	}
	there, ok := s.objects[key]
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	for name, values := range there.header {
		w.Header()[name] = values
	}
	if s.GuessesTypes && there.header.Get("Content-Type") == "application/octet-stream" {
		w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(key)))
	}
	w.Header().Set("ETag", `"`+there.tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(there.body)))
}

// tagOf is the ETag of an object that was put whole.
func tagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // see above
	return hex.EncodeToString(sum[:])
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>told so</Message></Error>", code)
}

func answer(w http.ResponseWriter, name, content string) {
	fmt.Fprintf(w, "<%s>%s</%s>", name, content, name)
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}

package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/fill"
	"larder/fill/chunks"
	"larder/keys"
	"larder/store"
)

// shelf is a store of some objects, by their places.
type shelf struct {
	oneObject
	objects map[string]store.Head
}

// week is longer than any run that draws requests.
const week = 7 * 24 * time.Hour

// ofShelf are the objects of a shelf, by their paths: whatever the header of an answer
// depends on.
func ofShelf() map[string]store.Head {
	long := time.Unix(1_700_000_000, 0).UTC()
	head := func(size int64, change func(*store.Head)) store.Head {
		h := store.Head{
			Version: "5d41402abc4b2a76b9719d911017c592", Write: "w1", Size: size, ContentType: "application/octet-stream",
			Writer: "ada", Modified: long,
		}
		if size >= 0 {
			h.Digest = fmt.Sprintf("%x", sha256.Sum256(bytesOf(0, size)))
		}
		if change != nil {
			change(&h)
		}
		return h
	}
	return map[string]store.Head{
		"/v1/objects/k":                head(20, nil),
		"/v1/objects/empty":            head(0, nil),
		"/v1/objects/DAX%2020220104":   head(1024, nil),
		"/v1/objects/a/b%2Fc/../%7C|d": head(1025, nil),
		"/v1/objects/free":             head(64<<10, nil),
		"/v1/objects/counted":          head(64<<10+1, nil),
		"/v1/objects/chunk":            head(1<<20, nil),
		"/v1/objects/chunks":           head(1<<20+1, nil),
		"/v1/objects/%C3%A4":           head(1, nil),
		"/v1/objects/absent":           head(-1, nil),
		"/v1/strategies/A%20B%7C2022-01-30T00:00:00+02:00%7C%7C41160d05": head(3000, nil),
		"/v1/objects/new":      head(5, func(h *store.Head) { h.Modified = time.Now().Add(week).Truncate(time.Second) }),
		"/v1/objects/text":     head(5, func(h *store.Head) { h.ContentType, h.Digest, h.Writer = "text/html; charset=utf-8", "", "" }),
		"/v1/objects/typeless": head(5, func(h *store.Head) { h.ContentType, h.Digest = "", "none" }),
		"/v1/objects/ends":     head(5, func(h *store.Head) { h.Expires = time.Now().Add(week).Truncate(time.Second) }),
		"/v1/objects/ended":    head(5, func(h *store.Head) { h.Expires = long }),
		"/v1/objects/meta": head(5, func(h *store.Head) {
			h.Meta = map[string]string{"build-seconds": "1.5", "b": "", "python": "3.12", "zz-9-a": "x y", "a": "ü", "libraries": strings.Repeat("numpy==2.0 ", 30) + "x"}
		}),
		"/v1/objects/odd-meta": head(5, func(h *store.Head) {
			h.Meta = map[string]string{"a_b": "1", "a": " x", "b": "x\ty", "c": "\x01", "d": "\xff"}
		}),
		"/v1/objects/odd-type":    head(5, func(h *store.Head) { h.ContentType = " text/plain\t" }),
		"/v1/objects/odd-writer":  head(5, func(h *store.Head) { h.Writer = "a\x7fb " }),
		"/v1/objects/odd-version": head(5, func(h *store.Head) { h.Version, h.Write = "a\"b\r\nc", "" }),
	}
}

// bytesOf are n bytes of any object, from one on.
func bytesOf(off, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(off + int64(i))
	}
	return b
}

// newShelf is a store of these objects.
func newShelf(tb testing.TB, objects map[string]store.Head) shelf {
	tb.Helper()
	s := shelf{objects: map[string]store.Head{}}
	for path, h := range objects {
		_, rest, _ := strings.Cut(path, "/v1/")
		service, escaped, _ := strings.Cut(rest, "/")
		name, err := keyText(escaped, nil)
		if err != nil {
			tb.Fatal(err)
		}
		k, err := keys.New("acme", service, name)
		if err != nil {
			tb.Fatal(err)
		}
		if h.Size >= 0 {
			s.objects[k.Place()] = h
		}
	}
	return s
}

func (s shelf) Head(_ context.Context, place string) (store.Head, error) {
	h, ok := s.objects[place]
	if !ok {
		return store.Head{}, store.ErrNotFound
	}
	return h, nil
}

func (s shelf) Get(ctx context.Context, place string, most int64, alloc store.Alloc) (store.Head, []byte, error) {
	h, err := s.Head(ctx, place)
	if err != nil {
		return store.Head{}, nil, err
	}
	b, err := alloc(min(h.Size, most))
	copy(b, bytesOf(0, int64(len(b))))
	return h, b, err
}

func (s shelf) GetRange(ctx context.Context, place, _ string, off, n int64) (store.Head, []byte, error) {
	h, err := s.Head(ctx, place)
	return h, bytesOf(off, n), err
}

// calm is a read path that goes on when the caller has ended his side.
type calm struct{ Reader }

func (c calm) Open(ctx context.Context, k keys.Key, o fill.Options) (*fill.Object, error) {
	return c.Reader.Open(context.WithoutCancel(ctx), k, o)
}

func (c calm) Stat(ctx context.Context, k keys.Key, o fill.Options) (store.Head, chunks.Source, error) {
	return c.Reader.Stat(context.WithoutCancel(ctx), k, o)
}

// side is a server, with a front or without.
type side struct {
	addr    string
	api     *API
	server  *http.Server
	door    *Door
	handled atomic.Int64 // requests that net/http got
	mu      sync.Mutex   // guards served
	served  []Served
}

// twins are two servers of the same objects, which memory has: one with a front.
type twins struct {
	front, plain *side
	fill         Reader
}

func newTwins(tb testing.TB, who Authenticator, change func(*Config)) *twins {
	tb.Helper()
	objects := ofShelf()
	a := readingFrom(tb, newShelf(tb, objects), zerolog.Nop())
	t := &twins{fill: a.read}
	for _, side := range []**side{&t.front, &t.plain} {
		*side = t.serve(tb, who, side == &t.front, change)
	}
	for path := range objects {
		for range 2 { // from the store, and from memory, whatever of it there is
			t.plain.ask(tb, []byte("GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: "+goodToken+"\r\n\r\n"), nil)
		}
	}
	t.plain.told()
	return t
}

func (t *twins) serve(tb testing.TB, who Authenticator, front bool, change func(*Config)) *side {
	tb.Helper()
	s := &side{server: &http.Server{}}
	cfg := Config{MaxObject: 1 << 20, ChunkSize: 1 << 20, Front: front, Log: zerolog.Nop(), Observe: s.observe}
	if change != nil {
		change(&cfg)
	}
	s.api = New(cfg, calm{t.fill}, &kept{}, nil, who)
	l, err := net.Listen("unix", filepath.Join(tb.TempDir(), "socket"))
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.door = s.api.Bound(l, 100)
	attached := s.api.Attach(s.server, s.door)
	s.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handled.Add(1)
		s.api.ServeHTTP(w, r)
	})
	ended := make(chan error, 1)
	go func() { ended <- s.server.Serve(attached) }()
	tb.Cleanup(func() {
		_ = s.server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			tb.Error(err)
		}
	})
	return s
}

func (s *side) observe(served Served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	served.Took = 0
	served.Broken = served.Broken && served.Status < http.StatusInternalServerError // the caller has ended his side
	s.served = append(s.served, served)
}

// told is what metrics were told since it was asked last.
func (s *side) told() []Served {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.served
	s.served = nil
	return told
}

func (s *side) dial(tb testing.TB) *net.UnixConn {
	tb.Helper()
	c, err := net.Dial("unix", s.addr)
	if err != nil {
		tb.Fatal(err)
	}
	return c.(*net.UnixConn)
}

// ask sends bytes on a connection of their own, in pieces that end at these places, ends
// its side, and returns all that comes back.
func (s *side) ask(tb testing.TB, request []byte, cuts []int) []byte {
	tb.Helper()
	c := s.dial(tb)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	go func() {
		at := 0
		for _, cut := range append(slices.Clone(cuts), len(request)) {
			_, _ = c.Write(request[at:cut]) // the server may have closed
			at = cut
		}
		_ = c.CloseWrite()
	}()
	answer, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		tb.Fatalf("%q: %v", request, err)
	}
	return answer
}

// steady replaces what may differ in answers, dates and requests' IDs, if they have
// their form.
func steady(answers []byte) []byte {
	for before, length := range map[string]int{"\r\nDate: ": len(http.TimeFormat), "\r\nLarder-Request: ": idLength, `"request":"`: idLength} {
		for rest := answers; ; {
			at := bytes.Index(rest, []byte(before))
			if at < 0 || len(rest) < at+len(before)+length {
				break
			}
			varies := rest[at+len(before):][:length]
			_, err := http.ParseTime(string(varies))
			if err == nil || strings.Trim(string(varies), idAlphabet) == "" {
				copy(varies, bytes.Repeat([]byte{'_'}, length))
			}
			rest = rest[at+len(before):]
		}
	}
	return answers
}

// same fails unless both answer the same to some bytes, and tell metrics the same. It
// returns how many requests they answer.
func (t *twins) same(tb testing.TB, request []byte, cuts []int) int {
	tb.Helper()
	var answers [2][]byte
	var told [2][]Served
	for i, s := range []*side{t.front, t.plain} {
		answers[i] = steady(s.ask(tb, request, cuts))
		told[i] = s.told()
	}
	if bytes.Contains(bytes.ToLower(request), []byte("transfer-encoding")) {
		// net/http's handler does not know whether a chunked request that was sent ahead
		// has two framings, and closes; behind the front it knows, and answers on.
		for i := range answers {
			answers[i] = bytes.ReplaceAll(answers[i], []byte("Connection: close\r\n"), nil)
		}
		answers[0], told[0] = answers[0][:min(len(answers[0]), len(answers[1]))], told[0][:min(len(told[0]), len(told[1]))]
	}
	if !bytes.Equal(answers[0], answers[1]) {
		at := 0
		for at < min(len(answers[0]), len(answers[1])) && answers[0][at] == answers[1][at] {
			at++
		}
		from := max(at-300, 0)
		tb.Fatalf("to %q, cut at %v:\nwith a front %d bytes: …%.600q\nwithout %d bytes: …%.600q", request, cuts,
			len(answers[0]), answers[0][from:], len(answers[1]), answers[1][from:])
	}
	if !slices.Equal(told[0], told[1]) {
		tb.Fatalf("to %q: metrics are told\n%+v with a front,\n%+v without", request, told[0], told[1])
	}
	return len(told[0])
}

// sumOf is the SHA-256 of a text, in hex.
func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

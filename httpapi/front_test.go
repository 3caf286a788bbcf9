package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"larder/fill"
	"larder/fill/chunks"
	"larder/keys"
)

const (
	line = "GET /v1/objects/k HTTP/1.1\r\n"
	host = "Host: localhost\r\n"
	end  = "\r\n"
	kGet = line + host + end
)

// plainOnes are requests that the front answers.
func plainOnes() []string {
	return []string{
		kGet,
		line + "host: [::1]:80\r\n" + end,
		line + host + "Connection: Keep-Alive\r\n" + end,
		line + host + "Accept: */*\r\nUser-Agent: curl/8.1\r\naccept-ENCODING: gzip, deflate\r\nAccept-Language: de\r\n" + end,
		line + host + "Via: 1.1 a\r\nX-Real-Ip: 1\r\nForwarded: for=1\r\nTracestate: a=1\r\nTraceparent: 00-1\r\nX-Request-Id: 1\r\n" +
			"X-Forwarded-For: 1\r\nX-Forwarded-Host: a\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Proto: http\r\n" + end,
		line + "Authorization: Bearer a\r\n" + host + end,
		strings.Replace(kGet, "/k", "/%6b", 1),
		strings.Replace(kGet, "/k", "/%6B", 1),
	}
}

// others are requests, and what is none, that the front leaves to net/http.
func others() []string {
	with := func(fields string) string { return line + host + fields + end }
	of := func(target string) string { return "GET " + target + " HTTP/1.1\r\n" + host + end }
	return []string{
		// Other requests.
		"HEAD /v1/objects/k HTTP/1.1\r\n" + host + end,
		"PUT /v1/objects/k HTTP/1.1\r\n" + host + "Content-Length: 3\r\n" + end + "abc",
		"DELETE /v1/objects/k HTTP/1.1\r\n" + host + end,
		"PUT /v1/objects/k HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 3\r\n" + end + "abc",
		"PUT /v1/objects/k HTTP/1.1\r\n" + host + fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n", len(kGet)) + end + kGet,
		"PUT /v1/objects/k HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n" + end + "3\r\nabc\r\n0\r\n\r\n",
		"get /v1/objects/k HTTP/1.1\r\n" + host + end,
		"GET /v1/whoami HTTP/1.1\r\n" + host + end,
		"GET /v1/objects/k HTTP/1.0\r\n" + host + end,
		"GET /v1/objects/k HTTP/1.0\r\n" + host + "Connection: keep-alive\r\n" + end,
		"GET /v1/objects/k HTTP/2.0\r\n" + host + end,
		// Other targets.
		of("/v1/objects/k?"), of("/v1/objects/k?x=1"), of("/v1/objects?key=k"), of("/v1/objects/"), of("/v1/objects"),
		of("http://localhost/v1/objects/k"), of("//v1/objects/k"), of("/v1//objects/k"), of("/v1/objects%2Fk"), of("/v1/builds/objects/k"),
		of("/v1/objects/k#x"), of("/v1/objects/k%"), of("/v1/objects/k%0"), of("/v1/objects/k%zz"), of("/v1/objects/%00"),
		of("/v1/objects/\x00"), of("/v1/objects/k\x7f"), of("/v1/objects/\xff"), of("/v1/objects/%ff"), of("/v1/objects/k k"),
		of("/v1/objects/k\tk"), of("/v1/objects/\"k\""), of("/v1/objects/../objects/k"), of("/v1/objects/./k"), of("/v1/./objects/k"),
		of("/v1/objects//k"), of("/v1/objects/%2e%2e/objects/k"), of("/v1/objects/%2fk"), of("/v1/objects/k "), of("HTTP://localhost/v1/objects/k"), of("/v1/objects/k/"), of("/v1/objects/K"), of("/v1/other/k"), of("*"),
		of("/v1/objects/" + strings.Repeat("k", 600)), of("/v1/objects/" + strings.Repeat("%6b", 600)), of("/v1/objects/" + strings.Repeat("k", 5000)),
		"GET  /v1/objects/k HTTP/1.1\r\n" + host + end, "GET /v1/objects/k  HTTP/1.1\r\n" + host + end, " " + kGet, "\r\n" + kGet, "\n" + kGet,
		"GET /v1/objects/k HTTP/1.1 \r\n" + host + end, "GET\t/v1/objects/k HTTP/1.1\r\n" + host + end, "GET /v1/objects/k\r\n" + host + end,
		// Other fields.
		with("Connection: close\r\n"), with("Connection: keep-alive, close\r\n"), with("Connection: close, keep-alive\r\n"), with("Connection: upgrade\r\n"), with("Range: bytes=0-1\r\n"),
		with("If-None-Match: \"x\"\r\n"), with("If-Match: \"x\"\r\n"), with("If-Modified-Since: x\r\n"), with("If-Unmodified-Since: x\r\n"), with("If-Range: x\r\n"),
		with("Cache-Control: no-cache\r\n"), with("Pragma: no-cache\r\n"), with("Larder-Max-Age: 1\r\n"), with("Content-Length: 0\r\n"), with("Content-Length: 5\r\n"),
		with("Transfer-Encoding: chunked\r\n"), with("Transfer-Encoding: identity\r\n"), with("Expect: 100-continue\r\n"), with("Expect: x\r\n"), with("Upgrade: h2c\r\n"),
		with("Trailer: x\r\n"), with("Cookie: a\r\n"), with("X: y\r\n"), with("Te: trailers\r\n"),
		with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n",
		with("Content-Length: "+strconv.Itoa(len(kGet))+"\r\n") + kGet, with("Content-Length: 1\r\nContent-Length: 2\r\n") + "x",
		// The same field again.
		with(host), with("Host: other\r\n"), with("Authorization: Bearer a\r\nAuthorization: Bearer a\r\n"), with("Accept: a\r\nAccept: a\r\n"), with("Connection: keep-alive\r\nConnection: close\r\n"),
		// Fields of another form.
		line + end, line + "Host:\r\n" + end, line + "Host: \r\n" + end, line + "Host:localhost\r\n" + end, line + "Host:  localhost\r\n" + end, line + "Host: localhost \r\n" + end,
		line + "Host : localhost\r\n" + end, line + " Host: localhost\r\n" + end, line + "Host: a b\r\n" + end, line + "Host: a/b\r\n" + end, line + "Host: \xff\r\n" + end, line + "Host: a,b\r\n" + end,
		with("Accept : a\r\n"), with("Accept: \x00\r\n"), with("Accept: a\r\n b\r\n"), with("Accept: a\r\n\tb\r\n"), with("Accept: a\rb\r\n"), with("Accept: a\nRange: bytes=0-1\r\n"), with("Accept: a\x00\r\n"), with("Accept: a\tb\r\n"), with("Accept: \xc3\xa4\r\n"),
		with("Accept\r\n"), with(": a\r\n"), with("Acc ept: a\r\n"), with("Accept\x00: a\r\n"), with("Accept:\r\n"), with("Accept: \r\n"), with("Accept: a:b\r\n\r"),
		line + host + "\n", strings.ReplaceAll(kGet, "\r\n", "\n"), strings.ReplaceAll(kGet, "\r\n", "\r"), line + host + "\r", line + "Host: localhost\n\r\n", strings.Replace(kGet, "\r\n", "\r\r\n", 1),
		with("X-" + strings.Repeat("a", 100) + ": b\r\n"), with("User-Agent: " + strings.Repeat("a", 4100) + "\r\n"), with("User-Agent: " + strings.Repeat("a", 70<<10) + "\r\n"),
		with(strings.Repeat("Accept: a\r\n", 20)),
		// What ends too early.
		"", "G", "GET ", line, line + "Ho", line + host, line + host + "\r",
	}
}

// missed are the objects that the front leaves to net/http, of those on the shelf.
func missed() []string {
	return []string{"absent", "chunks", "ended", "odd-meta", "odd-type", "odd-writer", "odd-version"}
}

// The front answers what it is there for, byte for byte as net/http's handler does, and
// leaves all else to that, also behind plain requests and before them.
func TestFrontAnswersTheSame(t *testing.T) {
	twins := newTwins(t, ada{}, nil)
	asks := func(request string, requests, want int64) {
		t.Helper()
		before := twins.front.handled.Load()
		twins.same(t, []byte(request), nil)
		if got := requests - (twins.front.handled.Load() - before); got != want {
			t.Errorf("%.200q: the front answers %d, want %d", request, got, want)
		}
	}
	for _, request := range plainOnes() {
		asks(request, 1, 1)
		asks(strings.Repeat(request, 7), 7, 7)
	}
	for path := range ofShelf() {
		want := int64(1)
		if slices.Contains(missed(), strings.TrimPrefix(path, "/v1/objects/")) {
			want = 0
		}
		asks("GET "+path+" HTTP/1.1\r\n"+host+end, 1, want)
	}
	for _, request := range others() {
		before := twins.front.handled.Load()
		twins.same(t, []byte(request), nil)
		alone := twins.front.handled.Load() - before
		// The front answers those before, and none of those behind in the same bytes.
		twins.same(t, []byte(kGet+kGet+request+kGet), nil)
		twins.same(t, []byte(kGet+request), nil)
		if got := twins.front.handled.Load() - before - alone; got < alone {
			t.Errorf("%.200q: net/http has %d requests, behind others %d", request, alone, got)
		}
	}
}

// However the bytes arrive, the answers are the same.
func TestFrontIsCutAnywhere(t *testing.T) {
	twins := newTwins(t, ada{}, nil)
	const put = "PUT /v1/objects/k HTTP/1.1\r\n" + host + "Content-Length: 3\r\n" + end + "abc"
	request := []byte(kGet + line + host + "If-None-Match: *\r\n" + end + kGet + put + kGet)
	for cut := range request {
		twins.same(t, request, []int{cut})
	}
	all := make([]int, len(request))
	for i := range all {
		all[i] = i
	}
	twins.same(t, request, all)
}

// FuzzFront compares a server with a front and one without. Of the second argument each
// byte cuts the request somewhere.
func FuzzFront(f *testing.F) {
	twins := newTwins(f, ada{}, nil)
	for _, request := range slices.Concat(plainOnes(), others()) {
		f.Add([]byte(request), []byte{})
		f.Add([]byte(kGet+request+kGet), []byte{byte(len(request))})
	}
	f.Fuzz(func(t *testing.T, request, cuts []byte) {
		twins.same(t, request, cutsOf(request, cuts))
	})
}

// cutsOf are places in a request, in their order.
func cutsOf(request, cuts []byte) (places []int) {
	for _, c := range cuts[:min(len(cuts), 16)] {
		places = append(places, int(c)*len(request)/256)
	}
	slices.Sort(places)
	return places
}

// drawn is how many times something is drawn: this often, or as LARDER_FRONT_DRAWS says.
func drawn(n int) int {
	if more, err := strconv.Atoi(os.Getenv("LARDER_FRONT_DRAWS")); err == nil {
		return more
	}
	return n
}

// TestFrontAtRandom compares a server with a front and one without by requests that are
// drawn, until so many were answered: the same ones each time, unless LARDER_FRONT_DRAWS
// asks for another number.
func TestFrontAtRandom(t *testing.T) {
	twins := newTwins(t, tokens{}, nil)
	answered, connections, most := 0, 0, drawn(8000)
	seed := uint64(most)
	if most != 8000 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	d := newDrawer(seed)
	for ; answered < most; connections++ {
		if connections%100_000 == 99_999 {
			t.Logf("%d were answered so far", answered)
		}
		request := d.draw(1 + d.IntN(24))
		cuts := make([]byte, max(d.IntN(8)-4, 0))
		for i := range cuts {
			cuts[i] = byte(d.Uint32())
		}
		answered += twins.same(t, request, cutsOf(request, cuts))
	}
	others := twins.front.handled.Load()
	t.Logf("%d requests were answered on %d connections, %d of them by net/http behind the front", answered, connections, others)
	if int(others) > answered/2 {
		t.Error("the front answered too few of them")
	}
}

// fromDisk has all that is in memory be on disk.
type fromDisk struct{ Reader }

func (f fromDisk) Open(ctx context.Context, k keys.Key, o fill.Options) (*fill.Object, error) {
	obj, err := f.Reader.Open(ctx, k, o)
	if err == nil {
		obj.Source = chunks.Disk
	}
	return obj, err
}

func (f fromDisk) Ready(k keys.Key, user string) (fill.Ready, bool) {
	r, ok := f.Reader.Ready(k, user)
	r.Source = chunks.Disk
	return r, ok
}

// What comes from the disk is answered as net/http's handler answers it, and says so.
func TestFrontFromDisk(t *testing.T) {
	twins := newTwins(t, ada{}, nil)
	twins.fill = fromDisk{twins.fill}
	twins.front, twins.plain = twins.serve(t, ada{}, true, nil), twins.serve(t, ada{}, false, nil)
	for path := range ofShelf() {
		twins.same(t, []byte("GET "+path+" HTTP/1.1\r\n"+host+end), nil)
	}
	if answer := twins.front.ask(t, []byte(kGet), nil); !bytes.Contains(answer, []byte("detail=disk\r\n")) {
		t.Errorf("%q", answer)
	}
}

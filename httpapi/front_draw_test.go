package httpapi

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// drawer draws requests for some paths.
type drawer struct {
	*rand.Rand
	hits, small, large []string // paths: of what the front answers, of anything small, and of what is large
	plain, others      []string
}

func newDrawer(seed uint64) drawer {
	d := drawer{
		Rand:  rand.New(rand.NewPCG(seed, 0)),
		small: []string{"/v1/objects/none", "/v1/whoami", "/v1/objects/k?x", "/v1/objects/%6B", "/v1/objects/k%20"},
		plain: plainOnes(), others: others(),
	}
	for path, h := range ofShelf() {
		switch {
		case h.Size >= 60<<10:
			d.large = append(d.large, path)
			continue
		case !slices.Contains(missed(), strings.TrimPrefix(path, "/v1/objects/")):
			d.hits = append(d.hits, path)
		}
		d.small = append(d.small, path)
	}
	slices.Sort(d.hits) // so that the same seed draws the same
	slices.Sort(d.small)
	slices.Sort(d.large)
	return d
}

func one[T any](d drawer, of ...T) T { return of[d.IntN(len(of))] }

// rarely is true once in n times.
func (d drawer) rarely(n int) bool { return d.IntN(n) == 0 }

// draw is what a connection sends: n requests, the last of which is anything, and sometimes
// more behind that.
func (d drawer) draw(n int) []byte {
	var all []byte
	for range n - 1 {
		all = append(all, d.tame()...)
	}
	last := []byte(d.wild())
	for d.rarely(2) && len(last) > 0 {
		last = d.spoil(last)
	}
	all = append(all, last...)
	for d.rarely(4) {
		all = append(all, d.tame()...)
	}
	return all
}

// spoil changes a request somewhere.
func (d drawer) spoil(request []byte) []byte {
	at := d.IntN(len(request))
	switch d.IntN(4) {
	case 0:
		request[at] = byte(d.Uint32())
	case 1:
		request = slices.Delete(request, at, min(at+1+d.IntN(4), len(request)))
	case 2:
		request = slices.Insert(request, at, []byte(one(d, "\r\n", "\n", "\r", " ", "\t", ":", "%2F", "%00", "\x00", "0", "?", "\r\n\r\n", "\r\n ", "//", "#"))...)
	case 3:
		request = request[:at]
	}
	return request
}

// tame is a request that leaves the connection as it is. Most of them are the front's.
func (d drawer) tame() string {
	if d.rarely(120) {
		return fmt.Sprintf("PUT /v1/objects/k HTTP/1.1\r\nContent-Length: %d\r\n%s\r\n%s", len(kGet), strings.Join(d.fields(), "\r\n")+"\r\n", kGet)
	}
	fields := d.fields()
	method := http.MethodGet
	if d.rarely(120) {
		method = http.MethodHead
	}
	if d.rarely(120) {
		fields = append(fields, one(d, "If-None-Match: *", "Range: bytes=1-2", "Cache-Control: no-cache", "X: y"))
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\n%s\r\n\r\n", method, d.path(), strings.Join(fields, "\r\n"))
}

// path is that of an object, as it is or with escapes.
func (d drawer) path() string {
	path := one(d, d.hits...)
	switch {
	case d.rarely(50):
		path = one(d, d.small...)
	case d.rarely(300): // they take most of the time
		path = one(d, d.large...)
	}
	if d.rarely(10) {
		under := strings.LastIndexByte(path, '/') + 1
		return path[:under] + d.escaped(path[under:])
	}
	return path
}

// fields are those of a plain request, in any order.
func (d drawer) fields() []string {
	fields := []string{
		one(d, "Authorization: "+goodToken, "Authorization: "+readersToken, "Authorization: "+goodToken, "authorization: "+goodToken),
		one(d, "Host: localhost", "host: a.b", "Host: 127.0.0.1:80"),
	}
	more := []string{"Accept: */*", "User-Agent: x/1", "Accept-Encoding: gzip", "accept-language: en", "X-Request-Id: 7", "Connection: keep-alive", "X-Forwarded-For: 10.0.0.1, 10.0.0.2", "Via: 1.1 a"}
	d.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	fields = append(fields, more[:d.IntN(4)]...)
	d.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return fields
}

// wild is anything that looks like a request.
func (d drawer) wild() string {
	switch d.IntN(10) {
	case 0, 1:
		return one(d, d.others...)
	case 2:
		return one(d, d.plain...)
	case 3:
		return d.withBody()
	}
	method, version := one(d, "GET", "GET", "GET", "GET", "GET", "GET", "GET", "HEAD"), "HTTP/1.1"
	if d.rarely(12) {
		method = one(d, "get", "Get", "GET ", " GET", "GET\t", "GETT", "")
	}
	if d.rarely(12) {
		version = one(d, "HTTP/1.0", "http/1.1", "HTTP/1.2", "HTTP/2.0", "HTTP/01.1", "HTTP/1.1 ", " HTTP/1.1", "HTTP/1.1\t", "")
	}
	return method + " " + d.target() + " " + version + d.lineEnd() + d.header()
}

// header is that of a request, with the empty line that ends it.
func (d drawer) header() string {
	fields := d.fields()
	switch d.IntN(8) {
	case 0, 1:
		fields = append(fields, one(d, "If-None-Match: *", "Range: bytes=1-2", "Connection: close", "Connection: close, keep-alive", "Connection: keep-alive, close",
			"Connection: Host", "Proxy-Connection: close", "Content-Length: 0", "Content-Length: +0", "Content-Length: 0, 0", "Cache-Control: no-cache", "X: y", "Host: a", "Host: localhost",
			"Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Expect: x", "Expect: 100-continue", "If-Range: x", "Larder-Max-Age: 5", "Upgrade: h2c", "Te: trailers",
			"X-Requested-With: page", "Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "X-Http-Method-Override: DELETE", "Accept: text/html"))
	case 2: // to the edges of what is read at once
		fields = append(fields, "User-Agent: "+strings.Repeat("x", one(d, 3000+d.IntN(2200), d.IntN(200), 8000+d.IntN(400))))
	case 3: // one is missing
		fields = fields[1:]
	case 4:
		fields[0] = one(d, "Authorization: bad", "Authorization: Basic bad", "Authorization: Bearer", "Authorization: "+goodToken+" ", "Authorization:  "+goodToken)
	}
	d.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	var all strings.Builder
	for _, f := range fields {
		all.WriteString(d.misshape(f) + d.lineEnd())
	}
	return all.String() + d.lineEnd()
}

// misshape writes a field in another way, now and then.
func (d drawer) misshape(field string) string {
	if !d.rarely(20) {
		return field
	}
	name, value, _ := strings.Cut(field, ": ")
	return one(d, strings.ToUpper(name)+": "+value, strings.ToLower(name)+": "+value, name+":"+value, name+" : "+value, name+":  "+value, name+": "+value+" ",
		name+":\t"+value, " "+field, name+":\r\n "+value, name+": "+value+"\x00", name+": \x00"+value, name+"\x00: "+value, name+": "+value+",", name+":", name)
}

// lineEnd is the end of a line, most often a right one.
func (d drawer) lineEnd() string {
	if d.rarely(80) {
		return one(d, "\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\x00\r\n", "")
	}
	return "\r\n"
}

// target is what a request is for, in one of the ways to write it.
func (d drawer) target() string {
	path := d.path()
	if !d.rarely(4) {
		return path
	}
	switch d.IntN(4) {
	case 0:
		return path + one(d, "?", "??", "?key=k", "?max_age=1", "#", "#x", "/", "//", "/.", "/..", "%", "%2", "%2f", "%2F", "%00", "%0a", "%20", "+", ";", "\\", "|")
	case 1:
		return one(d, "http://localhost", "HTTP://a.b", "//localhost", "/", "/.", "/v1/..", "*", ":", "localhost:80", "/v1/builds/../..") + path
	case 2:
		at := 1 + d.IntN(len(path)-1)
		return path[:at] + one(d, "/", "//", "/./", "/../", "%2e%2e/", "%2E", "%5c", "%zz", "%") + path[at:]
	}
	return d.escaped(path) // also what may not be
}

// escaped writes some characters of a path as escapes, of capital and of small digits.
func (d drawer) escaped(path string) string {
	var all strings.Builder
	for i := 0; i < len(path); i++ {
		switch {
		case path[i] == '%':
			all.WriteString(path[i : i+3])
			i += 2
		case d.rarely(3):
			fmt.Fprintf(&all, one(d, "%%%02x", "%%%02X"), path[i])
		default:
			all.WriteByte(path[i])
		}
	}
	return all.String()
}

// withBody is a request with a body that looks like a plain request.
func (d drawer) withBody() string {
	body := strings.Repeat(kGet, 1+d.IntN(2))
	framing := fmt.Sprintf("Content-Length: %d\r\n", len(body)+one(d, 0, 0, 0, 0, 1, -1, -len(kGet)))
	if d.rarely(3) {
		framing = one(d, "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n"+framing, "Transfer-Encoding: Chunked \r\n", "Transfer-Encoding: x, chunked\r\n")
		body = fmt.Sprintf("%x%s\r\n%s\r\n0\r\n%s\r\n", len(body), one(d, "", "", ";x=y", " "), body, one(d, "", "", "Host: a\r\n"))
	}
	return one(d, "PUT", "PUT", "PUT", "GET", "DELETE", "POST") + " " + one(d, d.small...) + " HTTP/1.1\r\n" + one(d, "", "Expect: 100-continue\r\n") + framing + d.header() + body
}

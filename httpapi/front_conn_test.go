package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"larder/fill"
	"larder/fill/chunks"
	"larder/httpapi/auth"
	"larder/keys"
	"larder/usage"
)

// step is something that is sent, and the statuses that it is answered with.
type step struct {
	send string
	want []int
}

// walk takes steps on one connection, and returns how many requests net/http had.
func (s *side) walk(t *testing.T, steps ...step) int64 {
	t.Helper()
	before := s.handled.Load()
	c := s.dial(t)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	for _, step := range steps {
		if _, err := io.WriteString(c, step.send); err != nil {
			t.Fatal(err)
		}
		for _, want := range step.want {
			method := http.MethodGet
			if strings.HasPrefix(step.send, http.MethodHead) {
				method = http.MethodHead
			}
			answer, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				t.Fatalf("%q: %v", step.send, err)
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != want {
				t.Fatalf("%q: %d, %v", step.send, answer.StatusCode, err)
			}
		}
	}
	return s.handled.Load() - before
}

// A connection comes back from net/http as soon as that waits for a request, and not in
// the middle of one.
func TestFrontBesideNetHTTP(t *testing.T) {
	s := newTwins(t, ada{}, nil).front
	const head = "HEAD /v1/objects/k HTTP/1.1\r\n" + host + end
	const put = "PUT /v1/objects/k HTTP/1.1\r\n" + host + "Content-Length: 3\r\n" + end + "abc"
	ok, bad := []int{200}, []int{400}
	for _, steps := range [][]step{
		{{head, ok}, {kGet, ok}, {kGet, ok}},
		{{kGet, ok}, {head, ok}, {kGet, ok}, {head, ok}},
		{{kGet + put, []int{200, 201}}, {kGet, ok}},
		{{put + kGet, []int{201, 200}}, {kGet, ok}},
		{{line, nil}, {host + end, ok}, {kGet, ok}},
		// The lines of a request that net/http has begun with are not one for the front.
		{{head + line, ok}, {kGet, bad}},
		{{kGet + line, ok}, {kGet, bad}},
		{{put + line, []int{201}}, {kGet, bad}},
		{{head + "G", ok}, {"ET /v1/objects/k HTTP/1.1\r\n", nil}, {kGet, bad}},
		// Nor is a body.
		{{strings.Replace(put, ": 3", ": 50", 1), nil}, {kGet, []int{201}}, {kGet, ok}},
	} {
		s.walk(t, steps...)
	}
	for _, other := range []step{{head, ok}, {put, []int{201}}, {kGet + put, []int{200, 201}}} {
		// Who sends the next request while net/http still ends an answer has that
		// from net/http too.
		steps := []step{other}
		for range 1000 {
			steps = append(steps, step{kGet, ok})
		}
		if n := s.walk(t, steps...); n < 1 || n > 500 {
			t.Errorf("after %q net/http has %d of %d requests", other.send, n, len(steps))
		}
	}
}

// gate is a gate of a tokens file.
func gate(t *testing.T) auth.Gate {
	t.Helper()
	tokens := auth.New(keys.ValidOrg)
	file := ""
	for _, e := range []string{
		"ada, user: ada", "old, user: ada, expires: 2020-01-01T00:00:00Z", "narrow, user: nan, prefixes: [a/]", "other, user: oth, services: [strategies]",
	} {
		id, _, _ := strings.Cut(e, ",")
		file += "- {org: acme, role: reader, sha256: " + sumOf(id) + ", id: " + e + "}\n"
	}
	if err := tokens.Take([]byte(file)); err != nil {
		t.Fatal(err)
	}
	return auth.Gate{Tokens: tokens}
}

// Who may not read is refused as by net/http's handler, since it is that which does.
func TestFrontRefusesNobody(t *testing.T) {
	twins := newTwins(t, ada{}, nil)
	for _, side := range []*side{twins.front, twins.plain} {
		side.api.auth = gate(t)
	}
	for authorization, handled := range map[string]int64{
		"Bearer ada": 0, "bearer ada": 0, "Basic eDphZGE=": 0, "Bearer  ada": 0,
		"Bearer old": 1, "Bearer narrow": 1, "Bearer other": 1, "Bearer none": 1, "Bearer": 1, "ada": 1, "Basic ada": 1,
	} {
		before := twins.front.handled.Load()
		twins.same(t, []byte(line+host+"Authorization: "+authorization+"\r\n"+end), nil)
		if got := twins.front.handled.Load() - before; got != handled {
			t.Errorf("%s: net/http has %d requests, want %d", authorization, got, handled)
		}
	}
	before := twins.front.handled.Load()
	twins.same(t, []byte("GET /v1/objects/a/b%2Fc/../%7C|d HTTP/1.1\r\n"+host+"Authorization: Bearer narrow\r\n"+end), nil)
	if twins.front.handled.Load() != before {
		t.Error("net/http has what is within the token's prefix")
	}
	twins.same(t, []byte(kGet), nil) // without a credential
}

// Where nobody has a credential, only this machine's names are answered.
func TestFrontKnowsForeignHosts(t *testing.T) {
	twins := newTwins(t, ada{}, func(c *Config) { c.OwnMachine = true })
	for name, handled := range map[string]int64{"localhost": 0, "127.0.0.1:80": 0, "[::1]": 0, "a.localhost": 0, "evil.example": 1, "": 1} {
		before := twins.front.handled.Load()
		request := strings.ReplaceAll(kGet, "localhost", name)
		twins.same(t, []byte(request+request), nil)
		if got := min(twins.front.handled.Load()-before, 1); got != handled {
			t.Errorf("%q: net/http has it: %d", name, got)
		}
	}
	s := twins.front
	const evil = line + "Host: evil.example\r\n" + end
	s.walk(t, step{kGet, []int{200}}, step{evil, []int{403}}, step{kGet, []int{200}}, step{evil, []int{403}})
}

// An org that has a rate is net/http's, which makes its requests wait.
func TestFrontLeavesRates(t *testing.T) {
	policies := usage.NewPolicies(keys.ValidOrg)
	u := usage.New(policies, nil, nil, zerolog.Nop())
	s := newTwins(t, ada{}, func(c *Config) { c.Usage = u }).front
	for _, c := range []struct {
		file    string
		handled int64
	}{
		{"[]", 0},
		{"- {org: acme, max_bytes: 1GiB}", 0},
		{"- {org: other, requests_per_second: 1000}", 0},
		{"- {org: acme, requests_per_second: 1000}", 2},
		{"- {org: acme, bytes_per_second: 1GiB}", 2},
		{"- {org: '*', bytes_per_second: 1GiB}", 2},
		{"[]", 0},
	} {
		if err := policies.Take([]byte(c.file)); err != nil {
			t.Fatal(err)
		}
		if got := s.walk(t, step{kGet, []int{200}}, step{kGet, []int{200}}); got != c.handled {
			t.Errorf("%s: net/http has %d, want %d", c.file, got, c.handled)
		}
	}
}

// What a read saved is counted, once it was sent.
func TestFrontCountsWhatWasSaved(t *testing.T) {
	u := usage.New(usage.NewPolicies(keys.ValidOrg), nil, nil, zerolog.Nop())
	s := newTwins(t, ada{}, func(c *Config) { c.Usage = u }).front
	before := u.Stats().Hits
	const meta = "GET /v1/objects/meta HTTP/1.1\r\n" + host + end
	if got := s.walk(t, step{meta, []int{200}}, step{meta, []int{200}}); got != 0 {
		t.Fatalf("net/http has %d", got)
	}
	for end := time.Now().Add(time.Minute); u.Stats().Hits-before != 2; {
		if time.Now().After(end) {
			t.Fatalf("%d hits, want 2 more than %d", u.Stats().Hits, before)
		}
	}
}

// There is no front where a line is logged for each request.
func TestNoFront(t *testing.T) {
	for _, c := range []struct {
		level zerolog.Level
		on    bool
		want  bool
	}{{zerolog.InfoLevel, true, true}, {zerolog.InfoLevel, false, false}, {zerolog.DebugLevel, true, false}, {zerolog.TraceLevel, true, false}} {
		a := New(Config{Front: c.on, Log: zerolog.New(io.Discard).Level(c.level)}, nil, nil, nil, nil)
		if got := a.newFront(&http.Server{}) != nil; got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// elsewhere is a read path that finds everything at another place.
type elsewhere struct {
	Reader
	from chunks.Source
}

func (e elsewhere) Ready(k keys.Key, user string) (fill.Ready, bool) {
	r, ok := e.Reader.Ready(k, user)
	r.Source = e.from
	return r, ok
}

func (e elsewhere) Open(ctx context.Context, k keys.Key, o fill.Options) (*fill.Object, error) {
	obj, err := e.Reader.Open(ctx, k, o)
	if err == nil {
		obj.Source = e.from
	}
	return obj, err
}

// Wherever the bytes were, the answer says so as net/http's handler does.
func TestFrontTellsTheSource(t *testing.T) {
	twins := newTwins(t, ada{}, nil)
	was := twins.fill
	for _, from := range []chunks.Source{chunks.Memory, chunks.Hot, chunks.Peer, chunks.Disk, chunks.S3} {
		for _, side := range []*side{twins.front, twins.plain} {
			side.api.read = elsewhere{calm{was}, from}
		}
		before := twins.front.handled.Load()
		twins.same(t, []byte(kGet), nil)
		if twins.front.handled.Load() != before {
			t.Errorf("net/http has what comes from %s", from)
		}
	}
}

// timed is a connection that remembers its deadlines.
type timed struct {
	net.Conn
	mu          sync.Mutex // guards the fields below
	read, write time.Time
}

func (c *timed) SetReadDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = at
	return c.Conn.SetReadDeadline(at)
}

func (c *timed) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = at
	return c.Conn.SetWriteDeadline(at)
}

// left are how long it is until the deadlines; 0 without.
func (c *timed) left() (read, write time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() {
		read = time.Until(c.read)
	}
	if !c.write.IsZero() {
		write = time.Until(c.write)
	}
	return read, write
}

// Callers have the time that net/http gives them, and net/http finds none of the front's.
func TestFrontsDeadlines(t *testing.T) {
	a := newTwins(t, ada{}, nil).front.api
	server := &http.Server{ReadHeaderTimeout: time.Hour, IdleTimeout: 24 * time.Hour}
	f := a.newFront(server)
	theirs, ours := net.Pipe()
	defer theirs.Close()
	below := &timed{Conn: ours}
	c := &conn{Conn: below, api: a, visit: f.visitOf(below)}
	got := make(chan string)
	go func() {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		got <- string(b[:n])
	}()
	in := bufio.NewReader(theirs)
	const other = "HEAD /v1/objects/k HTTP/1.1\r\n" + host + end
	for _, request := range []string{kGet, kGet, other} {
		if _, err := io.WriteString(theirs, request); err != nil {
			t.Fatal(err)
		}
		if request == other {
			continue
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		if _, write := below.left(); write < sendStall || write > 2*sendStall+2*armEvery {
			t.Errorf("%s for a write", write)
		}
	}
	if request := <-got; request != other {
		t.Errorf("net/http has %q", request)
	}
	if read, write := below.left(); write != 0 || read <= 0 || read > time.Hour {
		t.Errorf("net/http finds deadlines in %s for reading, %s for writing", read, write)
	}
	c.await()
	if read, _ := below.left(); read < 23*time.Hour || read > 24*time.Hour {
		t.Errorf("%s for the next request", read)
	}
}

// An answer of the front takes no memory.
func TestFrontTakesNoMemory(t *testing.T) {
	s := newTwins(t, ada{}, nil).front
	c := s.dial(t)
	defer c.Close()
	for _, path := range []string{"/v1/objects/k", "/v1/objects/DAX%2020220104", "/v1/objects/free", "/v1/objects/meta"} {
		request := []byte("GET " + path + " HTTP/1.1\r\n" + host + "User-Agent: wrk\r\n" + end)
		answer := make([]byte, len(s.ask(t, request, nil)))
		before := s.handled.Load()
		if n := testing.AllocsPerRun(100, func() {
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, answer); err != nil {
				t.Fatal(err)
			}
		}); n > 0 || s.handled.Load() != before {
			t.Errorf("%s: %v allocations, net/http has %d", path, n, s.handled.Load()-before)
		}
	}
}

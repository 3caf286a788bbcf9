package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"larder/test/testcluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(rounds{m}) }

// encrypting makes the nodes of the tests encrypt.
var encrypting bool

// rounds runs all tests in the open, and again encrypted.
type rounds struct{ *testing.M }

func (r rounds) Run() int {
	if code := r.M.Run(); code != 0 {
		return code
	}
	encrypting = true
	return r.M.Run()
}

const testSecret = "a secret of the tests"

// errGone ends a pool in the tests, as the death of a member does.
var errGone = errors.New("gone")

// member is where a node is found.
type member struct{ id, addr string }

// node is a Port that serves.
type node struct {
	*Port
	self  member
	mu    *sync.Mutex // guards pools
	pools map[string]*Pool
}

// keysOf are keys as nodes have them.
func keysOf(secrets ...string) func() [][]byte {
	var keys [][]byte
	for _, s := range secrets {
		keys = append(keys, []byte(s))
	}
	return func() [][]byte { return keys }
}

// start serves on loopback until the test ends.
func start(t testing.TB, id string, setups ...func(*Port)) node {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, l, Config{ID: id, Label: "test", Keys: keysOf(testSecret), Encrypt: encrypting, Log: testcluster.Logger()}, setups...)
}

// serve serves by l until the test ends.
func serve(t testing.TB, l net.Listener, cfg Config, setups ...func(*Port)) node {
	t.Helper()
	n := node{
		Port:  New(cfg),
		self:  member{id: cfg.ID, addr: l.Addr().String()},
		mu:    &sync.Mutex{},
		pools: map[string]*Pool{},
	}
	serveTestRoutes(n.Port)
	for _, f := range setups {
		f(n.Port)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		n.mu.Lock()
		for _, p := range n.pools {
			p.End(errGone)
		}
		n.mu.Unlock()
		cancel()
		<-done
	})
	return n
}

// startAll runs so many nodes.
func startAll(t testing.TB, n int) (nodes []node) {
	for i := range n {
		nodes = append(nodes, start(t, fmt.Sprint("node-", i)))
	}
	return nodes
}

// poolOf is the pool by which n asks m.
func (n node) poolOf(m member) *Pool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.pools[m.id]
	if p == nil {
		p = n.Pool(m.id, m.addr, false)
		n.pools[m.id] = p
	}
	return p
}

// ask asks one of the test's routes.
func ask(ctx context.Context, n node, m member, q Question) (Answer, error) {
	if q.Route == "" {
		q.Route = "ok"
	}
	q.Room = 16 << 20
	return n.poolOf(m).Ask(ctx, q)
}

// post fails the test unless m answers.
func post(t *testing.T, from node, m member) {
	t.Helper()
	if a, err := ask(t.Context(), from, m, Question{Text: "x"}); err != nil || a.Status != http.StatusOK {
		t.Fatal(a.Status, err)
	}
}

// serveTestRoutes adds routes that answer, that refuse, that take their time,
// and that never answer.
func serveTestRoutes(p *Port) {
	p.Handle("ok", func(_ context.Context, asked Asked) Answer {
		body, err := io.ReadAll(asked.Body)
		if err != nil {
			return Answer{Status: http.StatusBadRequest}
		}
		return Answer{Status: http.StatusOK, Text: []byte(asked.Text), Body: body}
	})
	p.Handle("refuse", func(context.Context, Asked) Answer { return Answer{Status: http.StatusTeapot} })
	p.Handle("panic", func(context.Context, Asked) Answer { panic("as it was told") })
	p.Handle("slow", func(ctx context.Context, asked Asked) Answer {
		d, _ := time.ParseDuration(asked.Text) // the tests say it right
		select {
		case <-time.After(d):
		case <-ctx.Done():
		}
		return Answer{Status: http.StatusOK, Text: []byte("done")}
	})
	var hanging atomic.Int64
	p.Handle("hang", func(ctx context.Context, _ Asked) Answer {
		hanging.Add(1)
		<-ctx.Done()
		hanging.Add(-1)
		return Answer{Status: http.StatusOK}
	})
	p.Handle("hanging", func(context.Context, Asked) Answer {
		return Answer{Status: http.StatusOK, Text: fmt.Append(nil, hanging.Load())}
	})
}

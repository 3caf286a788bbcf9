package chaos

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"larder/test/history"
	"larder/test/testcluster"
)

var kills = flag.Int("kills", 3, "how often TestDurable kills the node")

const (
	durableWriters = 4
	durableKeys    = 8 // of each writer
	largeBody      = 9 << 20
	afterKill      = 30 * time.Second // a node is back by then
)

// TestDurable kills a node with its store under load, again and again, and asks it for every
// key once it is back: it holds the last write that it acknowledged, or the one
// that was under way when it died. Nothing acknowledged is lost, and nothing is
// torn, whether it was one request to the store or several. What its disk has from before
// it died is either what was written or not there.
func TestDurable(t *testing.T) {
	t.Parallel()
	n := testcluster.New(t, testcluster.Options{
		Nodes: 1, Embedded: true, Flags: []string{"--disk-dir", "disk", "--disk-size", "128MiB"},
	}).Nodes[0]
	first := *seed
	if first == 0 {
		first = rand.Uint64N(1_000_000)
	}
	rng := rand.New(rand.NewPCG(first, 0))
	var writers []*durableWriter
	for i := range durableWriters {
		writers = append(writers, newDurableWriter(n.URL(), i, rand.New(rand.NewPCG(first, uint64(i)+1))))
	}
	var acknowledged int
	for range *kills {
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		for _, w := range writers {
			g.Go(func() { w.run(ctx) })
		}
		<-time.After(between(rng, 200*time.Millisecond, time.Second)) // of load
		n.Kill()
		cancel()
		g.Wait()
		n.Start()
		for _, w := range writers {
			if err := w.check(t.Context()); err != nil {
				t.Fatalf("SEED=%d: %v", first, err)
			}
		}
	}
	for _, w := range writers {
		acknowledged += w.acknowledged
	}
	t.Logf("kills=%d acknowledged=%d", *kills, acknowledged)
	if acknowledged == 0 {
		t.Error("no write was acknowledged: nothing was tested")
	}
}

// durableWriter writes keys of its own, and knows what each may hold.
type durableWriter struct {
	url          string
	id, wrote    int
	rng          *rand.Rand
	held         map[string][]string // of each key: the value acknowledged last, then those that may have come since; "" is absent
	acknowledged int
}

func newDurableWriter(url string, id int, rng *rand.Rand) *durableWriter {
	return &durableWriter{url: url, id: id, rng: rng, held: map[string][]string{}}
}

// run writes until ctx ends or the node does not answer.
func (w *durableWriter) run(ctx context.Context) {
	for ctx.Err() == nil {
		key := fmt.Sprintf("%d/%d", w.id, w.rng.IntN(durableKeys))
		value, method := "", http.MethodDelete
		var content []byte
		if w.rng.IntN(16) > 0 {
			w.wrote++
			value, method = fmt.Sprintf("%s#%d", key, w.wrote), http.MethodPut
			content = w.content(value)
		}
		if w.held[key] == nil {
			w.held[key] = []string{""}
		}
		w.held[key] = append(w.held[key], value)
		status, _, err := w.ask(ctx, method, key, content)
		if err != nil || status >= 500 {
			return
		}
		w.held[key] = []string{value}
		w.acknowledged++
	}
}

// content is a value's bytes; now and then there are more than a chunk.
func (w *durableWriter) content(value string) []byte {
	if w.rng.IntN(40) > 0 {
		return history.Body(w.rng, value, maxPad)
	}
	return history.Sealed(append([]byte(value+"\n"), make([]byte, largeBody)...))
}

// check asks for every key twice, first while the node knows no head of it, and takes what
// is there for what is known from now on.
func (w *durableWriter) check(ctx context.Context) error {
	for key, may := range w.held {
		found, err := w.read(ctx, key)
		if err != nil {
			return fmt.Errorf("get %s: %w", key, err)
		}
		possible := false
		for _, value := range may {
			possible = possible || value == found
		}
		if !possible {
			return fmt.Errorf("%s holds %q, where only %q may be", key, found, may)
		}
		again, err := w.read(ctx, key)
		if err != nil || again != found {
			return fmt.Errorf("%s holds %q, and then %q: %w", key, found, again, err)
		}
		w.held[key] = []string{found}
	}
	return nil
}

func (w *durableWriter) read(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, afterKill)
	defer cancel()
	for {
		status, content, err := w.ask(ctx, http.MethodGet, key, nil)
		switch {
		case ctx.Err() != nil:
			return "", errors.Join(err, ctx.Err())
		case err == nil && status == http.StatusNotFound:
			return "", nil
		case err == nil && status == http.StatusOK:
			return history.ValueOf(content)
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

func (w *durableWriter) ask(ctx context.Context, method, key string, content []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url+objectPath(key), bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

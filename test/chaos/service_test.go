package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
)

const (
	// patience is how long a request may take before it counts as failed: a
	// write waits some 8 s for a member that was killed, and machines are slow.
	patience = 60 * time.Second
	// betweenRequests is a client's pause.
	betweenRequests = 10 * time.Millisecond
	// enough is how many requests of each client must have been answered
	// before and after what happens.
	enough = 10
	// kept is how many objects are there all the time.
	kept = 12
)

// service is the Service of a set and its clients: they ask pods that are
// ready, in turn, and remember what was acknowledged.
type service struct {
	set *set

	mu    sync.Mutex // guards all below
	turn  int
	tally map[string]*tallied // by verb
	errs  []error
	acked map[string]int // the last number that was acknowledged, by key
	tried map[string]int // the last that was sent

	refused int // answers of 503 in what tell last told of
}

// tallied is what became of the requests of a verb.
type tallied struct {
	requests, failed int
	lost, refused    int // sent again: after their pod was killed, after a 503
	longest          time.Duration
}

func newService(s *set) *service {
	return &service{set: s, tally: map[string]*tallied{}, acked: map[string]int{}, tried: map[string]int{}}
}

// enter picks a pod that is ready; the caller calls its exit. Nil if there is none.
func (s *service) enter() *pod {
	pods := s.set.current()
	s.mu.Lock()
	s.turn++
	turn := s.turn
	s.mu.Unlock()
	for i := range pods {
		if p := pods[(turn+i)%len(pods)]; p.enter() {
			return p
		}
	}
	return nil
}

// ask sends one request as a client does, and tallies it. check says what is
// wrong with an answer.
func (s *service) ask(ctx context.Context, method, path, body string, check func(status int, got []byte) error) error {
	begun, verb := time.Now(), method
	if path == listPath {
		verb = "LIST"
	}
	err := s.send(ctx, verb, method, path, body, check)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err // nobody was ready, and the client has been told to end
	}
	took := time.Since(begun)
	if err != nil {
		err = fmt.Errorf("%s %s %s after %s: %w", begun.Format("15:04:05.000"), method, path, took, err)
	}
	s.count(verb, func(t *tallied) {
		t.requests++
		t.longest = max(t.longest, took)
		if err != nil {
			t.failed++
			s.errs = append(s.errs, err)
		}
	})
	return err
}

// send sends a request through a pod that is ready. As the Python client does,
// it sends it again after a 503, and if the pod was killed with the request in it.
func (s *service) send(ctx context.Context, verb, method, path, body string, check func(status int, got []byte) error) error {
	for end := time.Now().Add(patience); ; {
		p := s.enter()
		if p == nil {
			if sleep(ctx, betweenRequests); ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		status, got, err := p.ask(method, path, body)
		killed := err != nil && !p.open()
		p.exit()
		switch {
		case time.Now().After(end):
		case killed:
			s.count(verb, func(t *tallied) { t.lost++ })
			continue
		case err == nil && status == http.StatusServiceUnavailable:
			s.count(verb, func(t *tallied) { t.refused++ })
			sleep(ctx, time.Second) // its Retry-After
			continue
		}
		if err == nil {
			err = check(status, got)
		}
		if err != nil {
			err = fmt.Errorf("through %s: %w", p.Name, err)
		}
		return err
	}
}

// open reports whether clients may use the pod.
func (p *pod) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.up
}

func (s *service) count(verb string, f func(*tallied)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tally[verb] == nil {
		s.tally[verb] = &tallied{}
	}
	f(s.tally[verb])
}

// ask sends one request to the pod.
func (p *pod) ask(method, path, body string) (status int, got []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.httpAddr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	resp, err := p.http.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	got, err = io.ReadAll(resp.Body)
	return resp.StatusCode, got, err
}

const listPath = "/v1/objects?prefix=kept/"

func keptKey(i int) string       { return "kept/" + strconv.Itoa(i%kept) }
func keptBody(i int) string      { return strings.Repeat(keptKey(i)+"\n", 4000) }
func objectPath(k string) string { return "/v1/objects/" + k }

func wantBody(want string) func(int, []byte) error {
	return func(status int, got []byte) error {
		if status != http.StatusOK || string(got) != want {
			return fmt.Errorf("status %d, %d bytes, want %d: %.200q", status, len(got), len(want), got)
		}
		return nil
	}
}

func wantWritten(status int, got []byte) error {
	if status != http.StatusOK && status != http.StatusCreated {
		return fmt.Errorf("status %d: %.300s", status, got)
	}
	return nil
}

func wantKept(status int, got []byte) error {
	var page struct{ Keys []struct{ Key string } }
	if err := json.Unmarshal(got, &page); err != nil || status != http.StatusOK || len(page.Keys) != kept {
		return fmt.Errorf("status %d, %d keys, want %d: %.200s (%w)", status, len(page.Keys), kept, got, err)
	}
	return nil
}

// stock puts the objects that are there all the time.
func (s *service) stock(ctx context.Context) {
	for i := range kept {
		_ = s.ask(ctx, http.MethodPut, objectPath(keptKey(i)), keptBody(i), wantWritten) // tallied
	}
}

func (s *service) read(ctx context.Context, _, i int) {
	_ = s.ask(ctx, http.MethodGet, objectPath(keptKey(i)), "", wantBody(keptBody(i))) // tallied, as below
}

func (s *service) list(ctx context.Context, _, _ int) {
	_ = s.ask(ctx, http.MethodGet, listPath, "", wantKept)
}

// write writes keys that belong to one client, and reads each back.
func (s *service) write(ctx context.Context, client, _ int) {
	key := fmt.Sprintf("written/%d/%d", client, s.next(client)%20)
	s.mu.Lock()
	n := s.tried[key] + 1
	s.tried[key] = n
	s.mu.Unlock()
	value := strconv.Itoa(n)
	if s.ask(ctx, http.MethodPut, objectPath(key), value, wantWritten) != nil {
		return
	}
	s.mu.Lock()
	s.acked[key] = n
	s.mu.Unlock()
	_ = s.ask(ctx, http.MethodGet, objectPath(key), "", wantBody(value))
}

// next counts the writes of a client, over all that happens.
func (s *service) next(client int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counter := fmt.Sprint("client ", client)
	s.tried[counter]++
	return s.tried[counter]
}

// during lets clients work while something happens, and some before and after
// it, and says what became of their requests. None may fail.
func (s *service) during(t *testing.T, what string, do func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel() // if the test ends in do
	jobs := []func(context.Context, int, int){s.read, s.read, s.write, s.write, s.list}
	rounds := make([]atomic.Int64, len(jobs))
	for c, job := range jobs {
		clients.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				job(ctx, c, i)
				rounds[c].Add(1)
				sleep(ctx, betweenRequests)
			}
		})
	}
	settled := func() {
		t.Helper()
		var from []int64
		for c := range rounds {
			from = append(from, rounds[c].Load())
		}
		testcluster.Eventually(t, 2*patience, "all clients are answered", func() error {
			for c := range rounds {
				if had := rounds[c].Load() - from[c]; had < enough {
					return fmt.Errorf("client %d had %d answers", c, had)
				}
			}
			return nil
		})
	}
	settled()
	do()
	settled()
	cancel()
	clients.Wait()
	s.tell(t, what)
}

// smoothly is during, for what should make no node answer 503 either. It may
// if a node was taken for dead, since this machine was so slow.
func (s *service) smoothly(t *testing.T, what string, do func()) {
	t.Helper()
	deaths := s.set.deaths()
	s.during(t, what, do)
	if s.refused == 0 {
		return
	}
	if deaths = s.set.deaths() - deaths; deaths == 0 {
		t.Errorf("%d requests were answered 503, and nobody died, while: %s", s.refused, what)
		return
	}
	t.Logf("a node was taken for dead, and %d times by another: this machine is very slow", deaths)
}

// tell says what became of the requests since it was last called.
func (s *service) tell(t *testing.T, what string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var line bytes.Buffer
	failed := 0
	s.refused = 0
	for _, verb := range []string{http.MethodGet, http.MethodPut, "LIST"} {
		if c := s.tally[verb]; c != nil {
			fmt.Fprintf(&line, "; %d %s, %d failed, longest %.2fs", c.requests, verb, c.failed, c.longest.Seconds())
			if c.lost+c.refused > 0 {
				fmt.Fprintf(&line, " (sent again: %d killed with their pod, %d answered 503)", c.lost, c.refused)
			}
			failed += c.failed
			s.refused += c.refused
		}
	}
	t.Logf("%s%s", what, line.String())
	if failed > 0 {
		t.Errorf("%d requests failed, among them\n%v", failed, errors.Join(s.errs[:min(len(s.errs), 10)]...))
	}
	s.tally, s.errs = map[string]*tallied{}, nil
}

// intact reads everything that was acknowledged through every pod: each key
// holds what was last acknowledged, or what was sent after that and got no answer.
func (s *service) intact(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.set.current() {
		for i := range kept {
			s.holds(t, p, objectPath(keptKey(i)), wantBody(keptBody(i)))
		}
		s.holds(t, p, listPath, wantKept)
		for key, n := range s.acked {
			s.holds(t, p, objectPath(key), func(status int, got []byte) error {
				if found, err := strconv.Atoi(string(got)); status != http.StatusOK || err != nil || found < n || found > s.tried[key] {
					return fmt.Errorf("status %d, %.200q, want one of %d to %d", status, got, n, s.tried[key])
				}
				return nil
			})
		}
	}
	writes := 0
	for _, n := range s.acked {
		writes += n
	}
	t.Logf("all is there through each of %d pods: %d objects, and of %d keys the last of %d acknowledged writes",
		len(s.set.current()), kept, len(s.acked), writes)
}

func (s *service) holds(t *testing.T, p *pod, path string, check func(int, []byte) error) {
	t.Helper()
	status, got, err := p.ask(http.MethodGet, path, "")
	if err == nil {
		err = check(status, got)
	}
	if err != nil {
		t.Errorf("%s through %s: %v", path, p.Name, err)
	}
}

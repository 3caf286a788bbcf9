package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"larder/test/testcluster"
	"larder/usage"
)

// limited is a cluster whose orgs have limits.
type limited struct {
	*testcluster.Cluster
	t      *testing.T
	policy string // the file
	ada    credential
	bob    credential
}

func newLimited(t *testing.T, org, policy string, flags ...string) *limited {
	dir := t.TempDir()
	l := &limited{t: t, policy: filepath.Join(dir, "policy.yaml"), ada: mint(t, org, "ada", "writer"), bob: mint(t, org, "bob", "writer")}
	tokens := filepath.Join(dir, "tokens.json")
	writeTokens(t, tokens, l.ada, l.bob)
	l.write(policy)
	l.Cluster = testcluster.New(t, testcluster.Options{Flags: append([]string{"--tokens-file", tokens, "--policy-file", l.policy, "--chunk-size=64KiB"}, flags...)})
	return l
}

// write replaces the policy file at once.
func (l *limited) write(policy string) {
	l.t.Helper()
	if err := os.WriteFile(l.policy+".new", []byte(policy), 0o600); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(l.policy+".new", l.policy); err != nil {
		l.t.Fatal(err)
	}
}

// usage is what a node says of ada's org.
func (l *limited) usage(n *testcluster.Node) (r usage.Report) {
	l.t.Helper()
	a := do(l.t, http.MethodGet, n.URL()+"/v1/usage", nil, l.ada.bearer()...).want(l.t, http.StatusOK)
	if err := json.Unmarshal(a.body, &r); err != nil {
		l.t.Fatalf("%v: %s", err, a.body)
	}
	return r
}

// listed is what listings of ada's org sum up to.
func (l *limited) listed() (sum usage.Sum) {
	l.t.Helper()
	for _, service := range []string{"objects", "strategies"} {
		for cursor, more := "", true; more; more = cursor != "" {
			var page []listed
			page, cursor = list(l.t, l.Nodes[0], service, "limit=10000&cursor="+cursor, l.ada.bearer()...)
			for _, k := range page {
				sum.Bytes, sum.Objects = sum.Bytes+k.Size, sum.Objects+1
			}
		}
	}
	return sum
}

// Many writers at three nodes fill an org to its limit, and not beyond. What is
// refused leaves what was there, and what is removed makes room again.
func TestQuota(t *testing.T) {
	t.Parallel()
	const most, size = 4_000_000, 50_000
	l := newLimited(t, "acme", fmt.Sprintf("- {org: acme, max_bytes: %d, max_object_size: 1MB}", most))
	var wg sync.WaitGroup
	var refused atomic.Int64
	for writer := range 12 {
		n := l.Nodes[writer%3]
		wg.Go(func() {
			for i := range 20 {
				a, err := send(t.Context(), http.MethodPut, object(n, fmt.Sprintf("k%d-%d", writer, i)), noise(uint64(writer), size), l.ada.bearer()...)
				switch {
				case err != nil:
					t.Error(err)
				case a.status == http.StatusInsufficientStorage:
					refused.Add(1)
					if err := a.problem(507, "quota"); err != nil || !strings.Contains(string(a.body), "max_bytes") || !strings.Contains(string(a.body), "4,000,000") {
						t.Errorf("%v: %s", err, a.body)
					}
				case a.status != http.StatusCreated:
					t.Errorf("status %d: %s", a.status, a.body)
				}
			}
		})
	}
	wg.Wait()
	there := l.listed()
	if there.Bytes > most*101/100 || there.Bytes < most*95/100 || refused.Load() != 12*20-there.Objects {
		t.Errorf("%+v are there of %d bytes, %d were refused", there, most, refused.Load())
	}
	for _, n := range l.Nodes {
		if r := l.usage(n); r.Sum != there || r.Writers["ada"] != there || r.Services["objects"] != there || *r.Limits.MaxBytes != most {
			t.Errorf("%s counts %+v, want %+v", n.Name, r, there)
		}
	}

	first, _ := list(t, l.Nodes[0], "objects", "limit=1", l.ada.bearer()...)
	url := object(l.Nodes[1], first[0].Key)
	do(t, "PUT", url, noise(7, 300_000), l.bob.bearer()...).wantProblem(t, 507, "quota")
	if a := do(t, "GET", url, nil, l.ada.bearer()...); len(a.body) != size {
		t.Errorf("after a refused write %d bytes are there", len(a.body))
	}
	do(t, "PUT", url, noise(8, size), l.bob.bearer()...).want(t, http.StatusOK) // no more than before
	do(t, "PUT", url, noise(8, 1_000_001), l.bob.bearer()...).wantProblem(t, 507, "quota")
	do(t, "DELETE", url, nil, l.ada.bearer()...).want(t, http.StatusNoContent)
	do(t, "PUT", url, noise(9, size), l.bob.bearer()...).want(t, http.StatusCreated)
	r := l.usage(l.Nodes[2])
	if r.Sum != there || r.Writers["bob"] != (usage.Sum{Bytes: size, Objects: 1}) {
		t.Errorf("counted %+v, want bob to have an object", r)
	}
	l.quotaInPieces(url)
	l.quotaOfObjects()
}

// quotaInPieces: a body without a length is refused where it passes a limit.
func (l *limited) quotaInPieces(url string) {
	t := l.t
	t.Helper()
	for _, want := range []string{"max_bytes", "max_object_size"} { // in this order: the second policy has no max_bytes
		size := 900_000
		if want == "max_object_size" {
			size = 1_100_000
			l.write("- {org: acme, max_object_size: 1MB}")
			waitPolicy(l, "")
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, struct{ *strings.Reader }{strings.NewReader(string(noise(1, size)))})
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = -1
		req.Header.Set("Authorization", l.ada.bearer()[1])
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 1000)
		n, _ := resp.Body.Read(body)
		_ = resp.Body.Close()
		if resp.StatusCode != 507 || !strings.Contains(string(body[:n]), want) {
			t.Errorf("%d bytes in pieces: %d %s", size, resp.StatusCode, body[:n])
		}
	}
	if a := do(t, "GET", url, nil, l.ada.bearer()...); len(a.body) != 50_000 {
		t.Errorf("after refused writes %d bytes are there", len(a.body))
	}
}

// quotaOfObjects: the policy changes while nodes run, and a wrong one changes nothing.
func (l *limited) quotaOfObjects() {
	t := l.t
	t.Helper()
	has := l.usage(l.Nodes[0]).Objects
	l.write(fmt.Sprintf("- {org: '*', max_objects: %d}", has+1))
	waitPolicy(l, strconv.FormatInt(has+1, 10))
	do(t, "PUT", object(l.Nodes[0], "one"), nil, l.ada.bearer()...)
	do(t, "PUT", object(l.Nodes[0], "one"), []byte{1}, l.ada.bearer()...)
	do(t, "PUT", object(l.Nodes[1], "two"), []byte{1}, l.ada.bearer()...).wantProblem(t, 507, "quota")
	l.write("- {org: acme, max_objekts: 1}")
	testcluster.Eventually(t, 20*time.Second, "the file is seen to be wrong", func() error {
		if log := l.Nodes[1].Log(); !strings.Contains(log, "max_objekts") || !strings.Contains(log, "there are org, max_bytes") {
			return fmt.Errorf("not logged")
		}
		return nil
	})
	do(t, "PUT", object(l.Nodes[1], "two"), []byte{1}, l.ada.bearer()...).wantProblem(t, 507, "quota")
}

// waitPolicy waits until all nodes have a limit of objects, or none.
func waitPolicy(l *limited, objects string) {
	l.t.Helper()
	testcluster.Eventually(l.t, 20*time.Second, "the policy is read again", func() error {
		for _, n := range l.Nodes {
			got := ""
			r := l.usage(n)
			if r.Limits.MaxObjects != nil {
				got = strconv.FormatInt(*r.Limits.MaxObjects, 10)
			}
			if got != objects || objects == "" && r.Limits.MaxBytes != nil {
				return fmt.Errorf("%s has %+v", n.Name, r.Limits)
			}
		}
		return nil
	})
}

// A hundred callers of one user and one of another, at all nodes: the org has its
// rate and no more, and the one is served.
func TestRates(t *testing.T) {
	t.Parallel()
	const rate, seconds = 60, 5
	l := newLimited(t, "acme", "- {org: acme, requests_per_second: 60}")
	do(t, "PUT", object(l.Nodes[0], "k"), []byte("x"), l.ada.bearer()...).want(t, http.StatusCreated)
	var served, single, refused atomic.Int64
	began := time.Now()
	end := began.Add(seconds * time.Second)
	var wg sync.WaitGroup
	for caller := range 101 {
		who, count := l.ada, &served
		if caller == 100 {
			who, count = l.bob, &single
		}
		wg.Go(func() {
			for i := 0; time.Now().Before(end); i++ {
				a, err := send(t.Context(), "GET", object(l.Nodes[(caller+i)%3], "k"), nil, who.bearer()...)
				switch {
				case err != nil:
					t.Error(err)
				case a.status == http.StatusOK:
					count.Add(1)
				default:
					refused.Add(1)
					wait, err := strconv.Atoi(a.header.Get("Retry-After"))
					if problem := a.problem(429, "rate"); problem != nil || err != nil || wait < 1 || !strings.Contains(string(a.body), "requests_per_second") {
						t.Errorf("%v, Retry-After %v: %s", problem, err, a.body)
						return
					}
					time.Sleep(min(time.Duration(wait)*time.Second, time.Until(end))) // as Retry-After asks
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	// Until the nodes have heard of each other's callers each gives them all of the rate.
	if most := 1.01*rate*took + 2*rate; float64(served.Load()+single.Load()) > most {
		t.Errorf("%d and %d served in %.1f s, at most %.0f are right", served.Load(), single.Load(), took, most)
	}
	if refused.Load() == 0 || single.Load() < served.Load()/20 {
		t.Errorf("%d were refused; the single caller had %d answers, the others %d", refused.Load(), single.Load(), served.Load())
	}
	t.Logf("served %d and %d in %.1f s, refused %d", served.Load(), single.Load(), took, refused.Load())
}

// What a report says was saved is what a replay of the nodes' access logs sums up to,
// before and after a node is killed.
func TestLedger(t *testing.T) {
	t.Parallel()
	l := newLimited(t, "acme", "- {org: acme, cost_per_hour: 10}", "--log-level", "debug")
	seconds := map[string]float64{"DAX_2022-01-04": 12.5, "sma(x=1)_2022-01-04": 3, "plain": 0, "large_2022-01-04": 100}
	for k, s := range seconds {
		headers := l.ada.bearer()
		if s > 0 {
			headers = append(headers, "Larder-Meta-Build-Seconds", strconv.FormatFloat(s, 'f', 3, 64))
		}
		size := 100
		if s == 100 {
			size = 300_000
		}
		do(t, "PUT", object(l.Nodes[0], k), noise(1, size), headers...).want(t, http.StatusCreated)
	}
	etag := do(t, "GET", object(l.Nodes[0], "DAX_2022-01-04"), nil, l.bob.bearer()...).header.Get("ETag")
	var wg sync.WaitGroup
	for caller := range 6 {
		who := []credential{l.ada, l.bob}[caller%2]
		n := l.Nodes[caller%3]
		wg.Go(func() {
			for range 20 {
				for k := range seconds {
					for _, more := range [][]string{nil, {"If-None-Match", etag}, {"Range", "bytes=0-9"}, {"Range", "bytes=0-"}} {
						if _, err := send(t.Context(), "GET", object(n, k), nil, append(who.bearer(), more...)...); err != nil {
							t.Error(err)
						}
					}
				}
				if _, err := send(t.Context(), "HEAD", object(n, "DAX_2022-01-04"), nil, who.bearer()...); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l.wantReplayed(seconds, "before")
	l.Nodes[2].Kill()
	l.wantReplayed(seconds, "after a node was killed")
	l.Nodes[2].Start()
	l.WaitMembers(3)
	l.wantReplayed(seconds, "after it came back")
	if keys, _ := list(t, l.Nodes[0], "objects", "", l.ada.bearer()...); len(keys) != len(seconds) {
		t.Errorf("listed: %+v", keys)
	}
}

// wantReplayed compares a report with the access logs of the nodes.
func (l *limited) wantReplayed(seconds map[string]float64, when string) {
	l.t.Helper()
	want, users := usage.Saving{}, map[string]int64{}
	for _, n := range l.Nodes {
		for line := range strings.Lines(n.Log()) {
			var a struct {
				Component, Op, Key, User string
				Status                   int
				Bytes                    int64
				Broken                   bool
			}
			if err := json.Unmarshal([]byte(line), &a); err != nil || a.Component != "access" || a.Op != "get" || a.Broken || seconds[a.Key] == 0 {
				continue
			}
			if a.Status == 200 || a.Status == 304 || a.Status == 206 && a.Bytes >= 100 {
				want.Hits++
				want.Seconds += seconds[a.Key]
				users[a.User]++
			}
		}
	}
	got := l.usage(l.Nodes[0])
	if s := got.Saved.All; s.Hits != want.Hits || s.Seconds < want.Seconds-0.01 || s.Seconds > want.Seconds+0.01 || s.Cost == nil || want.Hits < 500 {
		l.t.Errorf("%s: saved %+v, and the access logs say %+v", when, s, want)
	}
	for _, u := range got.Users {
		if users[u.Name] != u.Hits {
			l.t.Errorf("%s: %s has %d hits, and the access logs say %d", when, u.Name, u.Hits, users[u.Name])
		}
	}
	if len(got.Names) != 3 || got.Names[0].Name != "large" {
		l.t.Errorf("%s: names %+v", when, got.Names)
	}
}

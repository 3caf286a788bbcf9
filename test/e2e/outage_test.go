package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

// cold objects are in the bucket and in nobody's memory; each is read once.
const coldObjects = 40

// TestOutage breaks S3 in every way, and holds each time: what was just read
// is served on, the rest gets its designed status, nothing hangs, and once S3
// is back all is well without a restart.
func TestOutage(t *testing.T) {
	t.Parallel()
	var proxy *testcluster.Proxy
	c := testcluster.New(t, testcluster.Options{S3Via: func(addr string) string {
		proxy = testcluster.NewProxy(t, addr)
		return proxy.Addr
	}, Flags: []string{"--lease=50s"}})
	cold := objects{}
	for i := range coldObjects {
		key := "cold/" + strconv.Itoa(i)
		cold[key] = noise(uint64(i), 150_000)
		putCold(t, c, key, cold[key])
	}
	warm := putObjects(t, c.Nodes[0], "warm/", 6, 60_000)

	for round, fault := range []struct {
		name  string
		fault testcluster.Fault
	}{
		{"gone", testcluster.Fault{Refuse: true}},
		{"silent", testcluster.Fault{Hang: true}},
		{"resetting", testcluster.Fault{CutAfter: 20_000}},
		{"resetting at once", testcluster.Fault{CutAfter: 1}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			for key, body := range warm { // a live lease at every node
				for _, n := range c.Nodes {
					do(t, "GET", object(n, key), nil).wantBody(t, body)
				}
			}
			proxy.Set(fault.fault)
			at := round * 6
			outage(t, c, warm, at, fault.fault.CutAfter != 20_000)
			proxy.Set(testcluster.Fault{})
			recovered(t, c, cold, at)
		})
	}
	t.Run("slow", func(t *testing.T) {
		proxy.Set(testcluster.Fault{Delay: 200 * time.Millisecond})
		defer proxy.Set(testcluster.Fault{})
		for i, n := range c.Nodes {
			key := "cold/" + strconv.Itoa(coldObjects-1-i)
			do(t, "GET", object(n, key), nil).wantBody(t, cold[key])
			do(t, "PUT", object(n, "slow"), []byte(n.Name)).want(t, []int{201, 200, 200}[i])
			do(t, "GET", object(c.Nodes[(i+1)%3], "slow"), nil).wantBody(t, []byte(n.Name))
		}
	})
}

// outage asks for everything at once, while S3 is out of order: reads of cold
// objects, writes, deletes and lists through every node. small says that small
// answers of S3 do not arrive either.
func outage(t *testing.T, c *testcluster.Cluster, warm objects, at int, small bool) {
	t.Helper()
	var wg sync.WaitGroup
	ask := func(check func(answer) error, method, target string, body []byte) {
		wg.Go(func() {
			a, err := send(t.Context(), method, target, body)
			if err == nil {
				err = check(a)
			}
			if err != nil {
				t.Errorf("%s %s: %v", method, target, err)
			}
		})
	}
	refused := func(names ...string) func(answer) error {
		return func(a answer) error {
			var err error
			for _, name := range names {
				if err = a.problem(503, name); err == nil {
					return nil
				}
			}
			return err
		}
	}
	for i, n := range c.Nodes {
		ask(refused("store-unavailable"), "GET", object(n, "cold/"+strconv.Itoa(at+i)), nil)
		if small {
			ask(refused("store-unavailable"), "GET", object(n, "absent"+strconv.Itoa(at+i)), nil)
			ask(refused("store-unavailable"), "HEAD", object(n, "cold/"+strconv.Itoa(at+3+i)), nil)
			ask(refused("store-unavailable"), "GET", n.URL()+"/v1/objects", nil)
			ask(refused("outcome-unknown", "not-written", "store-unavailable"), "PUT", object(n, fmt.Sprintf("out/%d/%d", at, i)), noise(uint64(at+i), 90_000))
			ask(refused("outcome-unknown", "not-written", "store-unavailable"), "DELETE", object(n, fmt.Sprintf("gone/%d/%d", at, i)), nil)
		}
		for key, body := range warm {
			ask(func(a answer) error {
				if a.status != 200 || !bytes.Equal(a.body, body) {
					return fmt.Errorf("just read, and now %d: %.200s", a.status, a.body)
				}
				return nil
			}, "GET", object(n, key), nil)
		}
	}
	wg.Wait()
}

// recovered waits until every node reads, writes and lists again, and looks
// for what became of the writes during the outage: all or nothing.
func recovered(t *testing.T, c *testcluster.Cluster, cold objects, at int) {
	t.Helper()
	for i, n := range c.Nodes {
		key := "cold/" + strconv.Itoa(at+i)
		testcluster.Eventually(t, 30*time.Second, n.Name+" reads again", func() error {
			a := do(t, "GET", object(n, key), nil)
			if a.status != 200 {
				return fmt.Errorf("status %d: %.200s", a.status, a.body)
			}
			a.wantBody(t, cold[key])
			return nil
		})
		testcluster.Eventually(t, 30*time.Second, n.Name+" writes again", func() error {
			a := do(t, "PUT", object(n, "again"), []byte(n.Name))
			if a.status != 200 && a.status != 201 {
				return fmt.Errorf("status %d: %.200s", a.status, a.body)
			}
			return nil
		})
		do(t, "GET", object(c.Nodes[(i+1)%3], "again"), nil).wantBody(t, []byte(n.Name))
	}
	for i := range c.Nodes {
		key := fmt.Sprintf("out/%d/%d", at, i)
		first := do(t, "GET", object(c.Nodes[0], key), nil)
		if first.status == 200 {
			first.wantBody(t, noise(uint64(at+i), 90_000))
		} else {
			first.wantProblem(t, 404, "not-found")
		}
		body := noise(uint64(at+i+100), 1000)
		a := do(t, "PUT", object(c.Nodes[i], key), body)
		if a.status != 200 && a.status != 201 {
			t.Errorf("the write again: %d: %.200s", a.status, a.body)
		}
		for _, n := range c.Nodes {
			do(t, "GET", object(n, key), nil).wantBody(t, body)
		}
	}
}

// An S3 that answers everything with one status.
func TestBrokenS3(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s3, want int
		code     string
		problems []string
	}{
		{500, 503, "InternalError", []string{"store-unavailable", "outcome-unknown", "not-written"}},
		{503, 503, "SlowDown", []string{"store-unavailable", "outcome-unknown", "not-written"}},
		{403, 502, "AccessDenied", []string{"store-unexpected"}},
	} {
		t.Run(strconv.Itoa(tt.s3), func(t *testing.T) {
			fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				if q := r.URL.Query(); q.Has("list-type") && q.Get("prefix") == "" {
					fmt.Fprint(w, "<ListBucketResult></ListBucketResult>") // the bucket is there, so that the node becomes ready
					return
				}
				w.WriteHeader(tt.s3)
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>of the test</Message></Error>", tt.code)
			}))
			defer fake.Close()
			c := testcluster.New(t, testcluster.Options{Nodes: 2, S3Addr: fake.Listener.Addr().(*net.TCPAddr).String()})
			for i, n := range c.Nodes {
				for method, target := range map[string]string{
					"GET": object(n, "k"+strconv.Itoa(i)), "PUT": object(n, "k"), "DELETE": object(n, "k"), "LIST": n.URL() + "/v1/objects",
				} {
					if method == "LIST" {
						method = "GET"
					}
					a := do(t, method, target, nil)
					var err error
					for _, name := range tt.problems {
						if err = a.problem(tt.want, name); err == nil {
							break
						}
					}
					if err != nil {
						t.Errorf("%s %s: %v", method, target, err)
					}
				}
			}
		})
	}
}

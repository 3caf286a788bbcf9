package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"larder/keys"
	"larder/store"
	"larder/test/testcluster"
)

// bucket is the cluster's bucket, as another tool would use it.
func bucket(t *testing.T, c *testcluster.Cluster) *store.S3 {
	t.Helper()
	s, err := store.NewS3(t.Context(), store.S3Config{
		Bucket: "larder", Endpoint: "http://" + c.S3Addr(), PathStyle: true,
		AccessKey: testcluster.AccessKey, SecretKey: testcluster.SecretKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// putCold puts an object into the bucket that no node has heard of.
func putCold(t *testing.T, c *testcluster.Cluster, name string, body []byte) {
	t.Helper()
	k, err := keys.New("default", keys.Objects, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bucket(t, c).Put(t.Context(), k.Place(), store.Write{Head: store.Head{ContentType: "text/plain"}, Body: body}); err != nil {
		t.Fatal(err)
	}
}

// reads counts every request of the nodes to S3 that reads an object.
func reads(c *testcluster.Cluster) int { return c.S3Requests("get", "get_range", "head") }

// all asks for one key this often through every node at once.
func all(ctx context.Context, c *testcluster.Cluster, key string, callers int, check func(answer) error) error {
	var wg sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		wg.Go(func() {
			a, err := send(ctx, http.MethodGet, object(c.Nodes[i%len(c.Nodes)], key), nil)
			if err == nil {
				err = check(a)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// However many callers ask at once on however many nodes, S3 is asked once.
func TestOneRequest(t *testing.T) {
	t.Parallel()
	var proxy *testcluster.Proxy
	c := testcluster.New(t, testcluster.Options{S3Via: func(addr string) string {
		proxy = testcluster.NewProxy(t, addr)
		return proxy.Addr
	}})
	body := noise(3, 200_000)
	whole := func(a answer) error {
		if a.status != http.StatusOK || !bytes.Equal(a.body, body) {
			return fmt.Errorf("status %d and %d bytes", a.status, len(a.body))
		}
		return nil
	}
	absent := func(a answer) error { return a.problem(http.StatusNotFound, "not-found") }

	for i := range 3 { // different keys have different owners
		putCold(t, c, fmt.Sprintf("cold-%d", i), body)
		proxy.Set(testcluster.Fault{Delay: 30 * time.Millisecond})
		for key, check := range map[string]func(answer) error{fmt.Sprintf("cold-%d", i): whole, fmt.Sprintf("absent-%d", i): absent} {
			before := reads(c)
			if err := all(t.Context(), c, key, 200, check); err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if n := reads(c) - before; n != 1 {
				t.Errorf("200 callers for %s on 3 nodes took %d requests to S3", key, n)
			}
		}
		proxy.Set(testcluster.Fault{})
	}
}

// A caller that goes away does not take the others' fetch with it.
func TestFirstCallerLeaves(t *testing.T) {
	t.Parallel()
	var proxy *testcluster.Proxy
	c := testcluster.New(t, testcluster.Options{S3Via: func(addr string) string {
		proxy = testcluster.NewProxy(t, addr)
		return proxy.Addr
	}})
	body := noise(4, 100_000)
	for i, first := range c.Nodes {
		key := fmt.Sprintf("left-%d", i)
		putCold(t, c, key, body)
		before := reads(c)
		proxy.Set(testcluster.Fault{Hang: true})
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := send(ctx, http.MethodGet, object(first, key), nil)
			left <- err
		}()
		testcluster.Eventually(t, 10*time.Second, "S3 is asked", func() error {
			if proxy.Held() == 0 {
				return errors.New("nothing was sent")
			}
			return nil
		})
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Fatalf("the first caller got %v", err)
		}
		answered := make(chan error, 1)
		go func() {
			answered <- all(t.Context(), c, key, 30, func(a answer) error {
				if a.status != http.StatusOK || !bytes.Equal(a.body, body) {
					return fmt.Errorf("status %d and %d bytes", a.status, len(a.body))
				}
				return nil
			})
		}()
		proxy.Set(testcluster.Fault{})
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		if n := reads(c) - before; n != 1 {
			t.Errorf("%d requests to S3 for %s", n, key)
		}
	}
}

//go:build keeping

package keeping

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"larder/keys"
	"larder/test/testcluster"
)

var count = flag.Int("keys", 100_000, "how many objects there are")

func TestMain(m *testing.M) { testcluster.Main(m) }

const (
	bucket = "larder"
	filled = 200 // objects of a batch of puts
	asked  = 50  // keys of a batch of gets

	putTries = 20
)

// some are keys with a prefix, numbered.
type some struct {
	prefix string
	n      int
}

func (s some) key(i int) string { return fmt.Sprintf("%s/%06d", s.prefix, i) }

// fill puts objects in batches, and returns when the last of them expires, at the latest.
// expires is when they are to, if they are: a node counts from when it has the object.
func (s some) fill(t *testing.T, c *testcluster.Cluster, expires time.Time) time.Time {
	t.Helper()
	began := time.Now()
	var next, last atomic.Int64
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for {
				at := int(next.Add(filled)) - filled
				if at >= s.n {
					return
				}
				took := s.putBatch(t, c.Nodes[w%len(c.Nodes)], at, min(at+filled, s.n), expires)
				for before := last.Load(); before < int64(took) && !last.CompareAndSwap(before, int64(took)); before = last.Load() {
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d objects of %s put in %s", s.n, s.prefix, time.Since(began).Round(time.Second))
	return expires.Add(time.Duration(last.Load()))
}

// putBatch returns how long it took, so much later than meant what it has put may expire.
func (s some) putBatch(t *testing.T, n *testcluster.Node, from, to int, expires time.Time) time.Duration {
	began := time.Now()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for i := from; i < to; i++ {
		h := map[string][]string{"Content-Location": {"/v1/objects/" + s.key(i)}}
		if !expires.IsZero() {
			h["Larder-Expires-In"] = []string{strconv.Itoa(int(time.Until(expires).Seconds()))}
		}
		part, err := w.CreatePart(h)
		if err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(part, "value of "+s.key(i))
	}
	_ = w.Close()
	for range putTries { // a busy machine may refuse some for a moment
		if _, text := post(t, n, "multipart/mixed; boundary="+w.Boundary(), form.Bytes()); strings.Count(text, `"status":20`) == to-from {
			return time.Since(began)
		}
	}
	t.Errorf("not all of %s to %s could be stored", s.key(from), s.key(to-1))
	return time.Since(began)
}

func post(t *testing.T, n *testcluster.Node, kind string, body []byte) (http.Header, string) {
	r, err := http.Post(n.URL()+"/v1/batch/objects", kind, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return http.Header{}, ""
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("%s: %d %.300s %v", n.Name, r.StatusCode, text, err)
	}
	return r.Header, string(text)
}

// get reads some objects by one batch, and reports which of them are there. What is
// there has its own value, and what is not is not found.
func (s some) get(t *testing.T, n *testcluster.Node, at []int) []bool {
	names := make([]string, len(at))
	for i, number := range at {
		names[i] = s.key(number)
	}
	body, _ := json.Marshal(map[string][]string{"get": names})
	h, text := post(t, n, "application/json", body)
	_, params, _ := mime.ParseMediaType(h.Get("Content-Type"))
	parts := multipart.NewReader(strings.NewReader(text), params["boundary"])
	there := make([]bool, len(at))
	for i, name := range names {
		part, err := parts.NextPart()
		if err != nil {
			t.Error(err)
			return there
		}
		value, err := io.ReadAll(part)
		switch status := part.Header.Get("Larder-Status"); {
		case err != nil:
			t.Error(err)
		case status == "200" && string(value) == "value of "+name:
			there[i] = true
		case status != "404":
			t.Errorf("%s: %s %.200s", name, status, value)
		}
	}
	return there
}

// each reads all objects at each node, and counts those that are there.
func (s some) each(t *testing.T, c *testcluster.Cluster) (there int) {
	t.Helper()
	var found atomic.Int64
	var all sync.WaitGroup
	for _, n := range c.Nodes {
		all.Go(func() {
			for at := 0; at < s.n; at += asked {
				for _, is := range s.get(t, n, upTo(at, min(at+asked, s.n))) {
					if is {
						found.Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	return int(found.Load())
}

func upTo(from, to int) (at []int) {
	for i := from; i < to; i++ {
		at = append(at, i)
	}
	return at
}

// gone is when a reader first saw that an object is not there, as UnixNano.
type gone []atomic.Int64

// read reads random objects at a node until stop is closed. If once watches, none may be
// seen by who began to read after somebody had seen that it is gone; if not, all
// are always there.
func (s some) read(t *testing.T, n *testcluster.Node, once gone, stop <-chan struct{}) (reads int) {
	for {
		select {
		case <-stop:
			return reads
		default:
		}
		at := make([]int, asked)
		for i := range at {
			at[i] = rand.IntN(s.n)
		}
		began := time.Now().UnixNano()
		there := s.get(t, n, at)
		ended := time.Now().UnixNano()
		for i, number := range at {
			switch {
			case once == nil && !there[i]:
				t.Errorf("%s is gone", s.key(number))
			case once != nil && !there[i]:
				once[number].CompareAndSwap(0, ended)
			case once != nil:
				if saw := once[number].Load(); saw != 0 && saw < began {
					t.Errorf("%s was seen again", s.key(number))
				}
			}
		}
		reads += asked
	}
}

func sdk(c *testcluster.Cluster) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + c.S3Addr()), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(testcluster.AccessKey, testcluster.SecretKey, ""),
	})
}

// bulk calls do with each page of what the bucket has under a prefix.
func (s some) bulk(t *testing.T, c *s3.Client, do func([]types.ObjectIdentifier)) {
	t.Helper()
	place := keys.Key{Org: "default", Service: keys.Objects, Name: s.prefix + "/"}.Place()
	pages := s3.NewListObjectsV2Paginator(c, &s3.ListObjectsV2Input{Bucket: aws.String(bucket), Prefix: aws.String(place)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]types.ObjectIdentifier, len(page.Contents))
		for i, o := range page.Contents {
			ids[i].Key = o.Key
		}
		do(ids)
	}
}

func requests(c *testcluster.Cluster) string {
	var b strings.Builder
	for _, op := range []string{"get", "get_range", "head", "put", "delete", "list"} {
		fmt.Fprintf(&b, " %s %d", op, c.S3Requests(op))
	}
	return b.String()
}

// TestRemovedByPrefix removes half of the objects while all are read, and compares its
// time with the SDK's own removal of as many.
func TestRemovedByPrefix(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{})
	half := *count / 2
	keep, drop, other := some{"keep", half}, some{"drop", half}, some{"sdk", half}
	for _, s := range []some{keep, drop, other} {
		s.fill(t, c, time.Time{})
	}
	once, stop := make(gone, half), make(chan struct{})
	var reads atomic.Int64
	var reading sync.WaitGroup
	for _, n := range c.Nodes {
		reading.Go(func() { reads.Add(int64(drop.read(t, n, once, stop))) })
		reading.Go(func() { reads.Add(int64(keep.read(t, n, nil, stop))) })
	}
	client := sdk(c)
	began := time.Now()
	other.bulk(t, client, func(ids []types.ObjectIdentifier) {
		out, err := client.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
		if err != nil || len(out.Errors) > 0 {
			t.Errorf("%v %v", err, out)
		}
	})
	bySDK := time.Since(began)
	before := requests(c)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, c.Nodes[0].URL()+"/v1/objects?prefix=drop/", nil)
	if err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	took := time.Since(began)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(text), fmt.Sprintf(`"deleted":%d`, half)) {
		t.Errorf("%d %.300s %v", answer.StatusCode, text, err)
	}
	seen := drop.each(t, c)
	close(stop)
	reading.Wait()
	if seen > 0 {
		t.Errorf("%d removed objects were read afterwards", seen)
	}
	if n := keep.each(t, c); n != half*len(c.Nodes) {
		t.Errorf("%d of %d reads of what was not removed found it", n, half*len(c.Nodes))
	}
	drop.bulk(t, client, func(ids []types.ObjectIdentifier) {
		if len(ids) > 0 {
			t.Errorf("%d objects are still in the bucket", len(ids))
		}
	})
	t.Logf("%d of %d removed in %s, the SDK's own removal of as many took %s: %.2f times; %d reads beside them",
		half, *count, took.Round(time.Millisecond), bySDK.Round(time.Millisecond), float64(took)/float64(bySDK), reads.Load())
	t.Logf("requests to S3 before:%s; after, with all reads:%s", before, requests(c))
}

// removedWithin is how long an expired object may stay in the bucket.
const removedWithin = time.Hour

// TestExpired has half of the objects expire at one moment, while they are read.
func TestExpired(t *testing.T) {
	c := testcluster.New(t, testcluster.Options{})
	half := *count / 2
	keep, short := some{"keep", half}, some{"short", half}
	keep.fill(t, c, time.Time{})
	// As long as the puts of as many took, three times over.
	began := time.Now()
	some{"rate", min(half, 2000)}.fill(t, c, time.Time{})
	meant := time.Now().Add(30*time.Second + 3*time.Since(began)*time.Duration(half/min(half, 2000)))
	moment := short.fill(t, c, meant)
	if left := time.Until(moment); left < 2*time.Second {
		t.Fatalf("the objects expire in %s, before they can be read", left)
	}
	once, stop := make(gone, half), make(chan struct{})
	var reading sync.WaitGroup
	for _, n := range c.Nodes {
		reading.Go(func() { short.read(t, n, once, stop) })
		reading.Go(func() { keep.read(t, n, nil, stop) })
	}
	// A moment is a whole second, up to one later than asked for; then there is a second.
	wait(t, moment.Add(2*time.Second))
	t.Logf("the last expires at most %s after the first", moment.Sub(meant).Round(time.Second))
	seen := short.each(t, c)
	close(stop)
	reading.Wait()
	if seen > 0 {
		t.Errorf("%d objects were read more than a second after their moment", seen)
	}
	before := requests(c)
	client, left := sdk(c), 1
	for left > 0 && time.Since(moment) < removedWithin {
		wait(t, time.Now().Add(10*time.Second))
		left = 0
		short.bulk(t, client, func(ids []types.ObjectIdentifier) { left += len(ids) })
	}
	t.Logf("%d of %d expired objects are in the bucket %s after their moment", left, half, time.Since(moment).Round(time.Second))
	t.Logf("requests to S3 before:%s; after:%s", before, requests(c))
	if left > 0 {
		t.Error("not all were removed in time")
	}
	if n := keep.each(t, c); n != half*len(c.Nodes) {
		t.Errorf("%d of %d reads of what does not expire found it", n, half*len(c.Nodes))
	}
}

func wait(t *testing.T, until time.Time) {
	t.Helper()
	select {
	case <-time.After(time.Until(until)):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

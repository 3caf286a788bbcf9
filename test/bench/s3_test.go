package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"larder/keys"
	"larder/test/testcluster"
)

const bucket = "larder"

// sdk is the SDK as it comes, for the S3 at addr.
func sdk(addr string) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String("http://" + addr), Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(testcluster.AccessKey, testcluster.SecretKey, ""),
	})
}

// place is where an object of a node's only org is in the bucket.
func place(name string) *string { return aws.String(object(name).Place()) }

func object(name string) keys.Key {
	return keys.Key{Org: "default", Service: keys.Objects, Name: name}
}

func putInput(name string, body []byte) *s3.PutObjectInput {
	return &s3.PutObjectInput{Bucket: aws.String(bucket), Key: place(name), Body: bytes.NewReader(body)}
}

func sdkPut(b *testing.B, c *s3.Client, name string, body []byte) time.Duration {
	b.Helper()
	began := time.Now()
	if _, err := c.PutObject(context.Background(), putInput(name, body)); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func sdkGet(b *testing.B, c *s3.Client, at *string, size int64) time.Duration {
	b.Helper()
	began := time.Now()
	out, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: at})
	if err != nil {
		b.Fatal(err)
	}
	drain(b, out.Body, size)
	return time.Since(began)
}

// get is the time to the last byte of an object.
func get(b *testing.B, addr, path string, size int64) time.Duration {
	b.Helper()
	began := time.Now()
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("get %s: %s", path, resp.Status)
	}
	drain(b, resp.Body, size)
	return time.Since(began)
}

// drain reads a body of this size in large pieces.
func drain(b *testing.B, body io.ReadCloser, size int64) {
	b.Helper()
	defer body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, make([]byte, min(size+1, 1<<20)))
	if err != nil || n != size {
		b.Fatalf("%d bytes of %d: %v", n, size, err)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fill puts n objects of this size through a node, several at once.
func fill(b *testing.B, addr string, n int, size int64) {
	b.Helper()
	content := body(size)
	parallel(b, 16, n, func(i int) error {
		req, err := http.NewRequest(http.MethodPut, "http://"+addr+path(size, i), bytes.NewReader(content))
		if err != nil {
			return err
		}
		return ask(req, http.StatusOK, http.StatusCreated)
	})
}

// ask sends a request whose answer has one of the statuses and nothing else of
// interest.
func ask(req *http.Request, statuses ...int) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if !slices.Contains(statuses, resp.StatusCode) {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL, resp.Status)
	}
	return nil
}

// Command client shows how a program in Go uses a node: it looks first, builds
// only what is not there, and stores it for everybody else.
//
//	go run ./examples/client http://127.0.0.1:8080
//
// Nothing of Larder is imported: the interface is HTTP.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("give the URL of a node, for example http://127.0.0.1:8080")
	}
	c := &client{node: strings.TrimSuffix(args[0], "/"), token: os.Getenv("LARDER_TOKEN"), http: http.Client{Timeout: time.Minute}}
	for range 2 {
		began := time.Now()
		value, built, err := c.cached(ctx, "examples/squares", squares)
		if err != nil {
			return err
		}
		fmt.Printf("%d bytes, built here: %t, %s\n", len(value), built, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// squares is what takes long to build.
func squares() []byte {
	var b bytes.Buffer
	for n := range 10_000 {
		fmt.Fprintln(&b, n*n)
	}
	return b.Bytes()
}

var errNotFound = errors.New("not there")

// client speaks to one node.
type client struct {
	node, token string
	http        http.Client
}

// cached returns what is stored under a key, or builds and stores it.
func (c *client) cached(ctx context.Context, key string, build func() []byte) (value []byte, built bool, err error) {
	value, err = c.get(ctx, key)
	if !errors.Is(err, errNotFound) {
		return value, false, err
	}
	value = build()
	return value, true, c.put(ctx, key, value)
}

func (c *client) get(ctx context.Context, key string) ([]byte, error) {
	resp, err := c.do(ctx, http.MethodGet, key, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body) // an answer that is cut short is an error
}

// put stores a value. The node compares the bytes with the digest and writes
// nothing if they differ.
func (c *client) put(ctx context.Context, key string, value []byte) error {
	resp, err := c.do(ctx, http.MethodPut, key, value)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// do asks the node, and makes a refusal an error. The key is one segment of the
// path, with its slashes escaped.
func (c *client) do(ctx context.Context, method, key string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.node+"/v1/objects/"+url.PathEscape(key), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if method == http.MethodPut {
		sum := sha256.Sum256(body)
		req.Header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode < 300:
		return resp, nil
	case resp.StatusCode == http.StatusNotFound:
		return nil, errors.Join(errNotFound, resp.Body.Close())
	}
	defer resp.Body.Close()
	problem, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // it says what to do, if it arrives
	return nil, fmt.Errorf("%s %s: %s: %s", method, key, resp.Status, problem)
}

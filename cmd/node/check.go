package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"larder/store"
)

// checkCmd tries nodes as a client does: put, get, list, delete, and conditions. With
// a bucket it also reports what its store lacks.
type checkCmd struct {
	URLs      []string      `arg:"" name:"url" help:"The endpoint of a node, for example http://127.0.0.1:8080, or of several."`
	Timeout   time.Duration `default:"60s" help:"For all steps with a node together. (${default})"`
	Token     string        `placeholder:"TOKEN" help:"The credential; better given as LARDER_TOKEN."`
	CAFile    string        `name:"ca-file" placeholder:"FILE" help:"The authorities of the nodes' certificates, in PEM, in place of the system's."`
	client    *http.Client
	LargeSize byteSize `default:"9MiB" placeholder:"SIZE" help:"Size of the large object, more than the nodes' --chunk-size; 0 tries none. (${default})"`
	s3Flags
}

// checkStep is one request and what must be answered.
type checkStep struct {
	name   string
	method string
	path   string
	body   []byte
	header http.Header
	status int
	holds  []byte // what the answer must hold
}

// Run reports each step on a line; the first that fails ends it.
func (c *checkCmd) Run(ctx context.Context) error {
	var err error
	if c.client, err = clientOf(c.CAFile); err != nil {
		return fmt.Errorf("--ca-file: %w", err)
	}
	for _, node := range c.URLs {
		if !strings.Contains(node, "://") {
			node = "http://" + node
		}
		if len(c.URLs) > 1 {
			fmt.Fprintf(os.Stdout, "%s\n", node)
		}
		if err := c.checkNode(ctx, strings.TrimSuffix(node, "/")); err != nil {
			return err
		}
	}
	if c.S3Bucket == "" {
		return nil
	}
	return c.checkStore(ctx)
}

// clientOf is a client that trusts the authorities in a file; the system's if there is
// none.
func clientOf(file string) (*http.Client, error) {
	if file == "" {
		return http.DefaultClient, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
	}}, nil
}

func (c *checkCmd) checkNode(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	key := "larder-check/" + strings.ToLower(rand.Text())
	path := "/v1/objects/" + key
	body := []byte("larder check " + rand.Text())
	steps := []checkStep{
		{name: "put", method: http.MethodPut, path: path, body: body, status: http.StatusCreated},
		{name: "get", method: http.MethodGet, path: path, status: http.StatusOK, holds: body},
		{name: "list", method: http.MethodGet, path: "/v1/objects?prefix=" + url.QueryEscape(key), status: http.StatusOK, holds: mustJSON(key)},
	}
	steps = append(steps, conditionSteps("", path, body)...)
	if c.LargeSize > 0 {
		large := bytes.Repeat([]byte{'x'}, int(c.LargeSize))
		steps = append(steps, checkStep{name: "put large", method: http.MethodPut, path: path, body: large, status: http.StatusOK})
		steps = append(steps, conditionSteps("large ", path, large)...)
	}
	steps = append(steps,
		checkStep{name: "delete", method: http.MethodDelete, path: path, status: http.StatusNoContent},
		checkStep{name: "gone", method: http.MethodGet, path: path, status: http.StatusNotFound})
	version := ""
	for _, s := range steps {
		began := time.Now()
		if err := c.step(ctx, node, s, &version); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stdout, "%-24s ok  %s\n", s.name, time.Since(began).Round(10*time.Microsecond))
	}
	return nil
}

// conditionSteps put over an object that is there, under the conditions of a
// write. The version in a header is that of the last put.
func conditionSteps(kind, path string, body []byte) []checkStep {
	put := checkStep{method: http.MethodPut, path: path, body: body}
	create, stale, right := put, put, put
	create.name, create.header, create.status = kind+"If-None-Match: *", http.Header{"If-None-Match": {"*"}}, http.StatusPreconditionFailed
	stale.name, stale.header, stale.status = kind+"If-Match, stale", http.Header{"If-Match": {`"00000000000000000000000000000000"`}}, http.StatusPreconditionFailed
	right.name, right.header, right.status = kind+"If-Match", http.Header{"If-Match": {thisVersion}}, http.StatusOK
	return []checkStep{create, stale, right}
}

// thisVersion stands in a header for the version that the last put answered.
const thisVersion = "VERSION"

func (c *checkCmd) step(ctx context.Context, node string, s checkStep, version *string) error {
	req, err := http.NewRequestWithContext(ctx, s.method, node+s.path, nil)
	if err != nil {
		return err
	}
	if s.body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(s.body)), int64(len(s.body))
	}
	for name, values := range s.header {
		req.Header.Set(name, strings.Replace(values[0], thisVersion, *version, 1))
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w; is this the --http-addr of a node that runs?", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("answered %s: %s; the token that is sent is the one in LARDER_TOKEN", resp.Status, bytes.TrimSpace(got))
	}
	if resp.StatusCode != s.status {
		return fmt.Errorf("answered %s where %d was expected: %s", resp.Status, s.status, bytes.TrimSpace(got))
	}
	if !bytes.Contains(got, s.holds) {
		return fmt.Errorf("the answer does not hold %q", s.holds)
	}
	if s.method == http.MethodPut && resp.StatusCode < http.StatusMultipleChoices {
		*version = resp.Header.Get("ETag")
	}
	return nil
}

// checkStore probes the bucket as a node does, and reports what it lacks. Nothing
// of that is a failure: the nodes make up for it, or say which promise it costs.
func (c *checkCmd) checkStore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cfg := c.config()
	cfg.Log = zerolog.Nop()
	s, err := store.NewS3(ctx, cfg)
	if err != nil {
		return fmt.Errorf("--s3-bucket, --s3-region: %w", err)
	}
	differences, err := s.Probe(ctx)
	if err != nil {
		return err
	}
	for _, d := range differences {
		fmt.Fprintf(os.Stdout, "this S3 differs: %s; %s\n", d.Lacks, d.Instead)
	}
	if len(differences) == 0 {
		fmt.Fprintf(os.Stdout, "%-24s ok\n", "store")
	}
	return nil
}

func mustJSON(s string) []byte {
	b, _ := json.Marshal(s) // a string always marshals
	return b
}

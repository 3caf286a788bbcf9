package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// checkCmd is a client's view of a node: put, get, list, delete.
type checkCmd struct {
	URL     string        `arg:"" help:"The node's endpoint, for example http://127.0.0.1:8080."`
	Timeout time.Duration `default:"60s" help:"For all steps together. (${default})"`
	Token   string        `placeholder:"TOKEN" help:"The credential; better given as LARDER_TOKEN."`
}

// Run reports each step on a line; the first that fails ends it.
func (c *checkCmd) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if !strings.Contains(c.URL, "://") {
		c.URL = "http://" + c.URL
	}
	key := "larder-check/" + strings.ToLower(rand.Text())
	body := []byte("larder check " + rand.Text())
	path := "/v1/objects/" + key
	steps := []struct {
		name   string
		method string
		path   string
		status int
		holds  []byte // what the answer must hold
	}{
		{"put", http.MethodPut, path, http.StatusCreated, nil},
		{"get", http.MethodGet, path, http.StatusOK, body},
		{"list", http.MethodGet, "/v1/objects?prefix=" + url.QueryEscape(key), http.StatusOK, mustJSON(key)},
		{"delete", http.MethodDelete, path, http.StatusNoContent, nil},
		{"gone", http.MethodGet, path, http.StatusNotFound, nil},
	}
	for _, s := range steps {
		began := time.Now()
		if err := c.step(ctx, s.method, s.path, s.status, body, s.holds); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(os.Stdout, "%-6s ok  %s\n", s.name, time.Since(began).Round(10*time.Microsecond))
	}
	return nil
}

func (c *checkCmd) step(ctx context.Context, method, path string, status int, body, holds []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, nil)
	if err != nil {
		return err
	}
	if method == http.MethodPut {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%w; is this the --http-addr of a node that runs?", err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != status {
		return fmt.Errorf("answered %s where %d was expected: %s", resp.Status, status, bytes.TrimSpace(got))
	}
	if !bytes.Contains(got, holds) {
		return fmt.Errorf("the answer does not hold %q", holds)
	}
	return nil
}

func mustJSON(s string) []byte {
	b, _ := json.Marshal(s) // a string always marshals
	return b
}

//go:build kubernetes

package kubernetes

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"larder/test/testcluster"
)

const (
	s3Addr    = outside + ":9000"
	proxyAddr = outside + ":9001" // which testdata/values.yaml names
	accessKey = "larder"
	secretKey = "larder-in-this-cluster"
)

// counted is a way to the S3 that counts the reads of objects.
type counted struct {
	heads, gets atomic.Int64
	bytes       atomic.Int64 // of objects' bodies that were answered
}

// newCounted starts the embedded S3 outside the nodes, and the way to it.
func (k *kube) newCounted() *counted {
	k.t.Helper()
	env := append(os.Environ(), "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey)
	p := testcluster.NewProcess(k.t, "s3", k.dir, env, func() []string {
		return []string{filepath.Join(*source, "bin", "node"), "s3", "--addr", s3Addr, "--data-dir", filepath.Join(k.dir, "s3"), "--bucket", "our-larder"}
	})
	p.Launch()
	c := &counted{}
	l, err := net.Listen("tcp", proxyAddr)
	if err != nil {
		k.t.Fatal(err)
	}
	proxy := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s3Addr})
			r.Out.Host = r.In.Host // what the nodes signed
		},
		ModifyResponse: c.count,
		Transport:      &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
	}}
	go func() { _ = proxy.Serve(l) }() // ends with the test, by Close
	k.t.Cleanup(func() { _ = proxy.Close() })
	return c
}

// count adds an answer, if it is to a read of an object.
func (c *counted) count(resp *http.Response) error {
	req := resp.Request
	if !strings.Contains(req.URL.Path, "/v1/") || req.URL.Query().Has("list-type") {
		return nil
	}
	switch req.Method {
	case http.MethodHead:
		c.heads.Add(1)
	case http.MethodGet:
		c.gets.Add(1)
		c.bytes.Add(max(0, resp.ContentLength))
	}
	return nil
}

// reset returns what was counted since the last reset.
func (c *counted) reset() (heads, gets, bytes int64) {
	return c.heads.Swap(0), c.gets.Swap(0), c.bytes.Swap(0)
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/golang/groupcache"
)

// runGroupcache serves a group whose members find each other through
// groupcache's own HTTPPool. As it comes, it keeps 2 idle connections to a peer,
// so most requests of 64 callers dial. /stats tells where answers came from.
func runGroupcache(o options, s source) error {
	debug.SetGCPercent(o.gogc)
	pool := groupcache.NewHTTPPoolOpts("http://"+o.peer, nil)
	if o.idle > 0 {
		transport := &http.Transport{MaxIdleConnsPerHost: o.idle, DisableCompression: true}
		pool.Transport = func(context.Context) http.RoundTripper { return transport }
	}
	var peers []string
	for p := range strings.SplitSeq(o.peers, ",") {
		peers = append(peers, "http://"+p)
	}
	pool.Set(peers...)
	group := groupcache.NewGroup("bench", o.cache, groupcache.GetterFunc(
		func(_ context.Context, key string, dest groupcache.Sink) error {
			body, err := s.of(key)
			if err != nil {
				return err
			}
			return dest.SetBytes(body)
		}))
	failed := make(chan error, 2)
	go func() { failed <- serve(o.peer, pool) }()
	go func() { failed <- serve(o.addr, cached{group, pool}) }()
	return <-failed
}

// cached answers as Larder does: the same header fields, and the body in one write.
type cached struct {
	group *groupcache.Group
	pool  *groupcache.HTTPPool
}

func (c cached) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/stats":
		s := &c.group.Stats
		fmt.Fprintf(w, "%d %d %d\n", s.Gets.Get(), s.CacheHits.Get(), s.PeerLoads.Get())
		return
	case "/owner":
		_, other := c.pool.PickPeer(r.URL.Query().Get("key"))
		fmt.Fprintln(w, !other)
		return
	}
	var v groupcache.ByteView
	if err := c.group.Get(r.Context(), r.URL.Path, groupcache.ByteViewSink(&v)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	dress(h)
	h.Set("Content-Length", strconv.Itoa(v.Len()))
	_, _ = v.WriteTo(w) // the caller has left
}

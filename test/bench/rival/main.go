// Command rival runs what Larder is measured against and no package brings:
//
//	rival bare       -addr A                   a net/http handler that writes a byte slice
//	rival dressed    -addr A                   the same with the header fields that Larder sends
//	rival files      -addr A -dir D            a file server
//	rival fasthttp   -addr A                   as bare, with fasthttp
//	rival groupcache -addr A -peer P -peers …  groupcache with its own HTTPPool
//	rival relay      -addr A -peer P           a loop that moves bytes from another process, over bare TCP
//	rival tcp        -addr A                   that other process
//
// All but files answer GET PATH with as many bytes as the last digits of PATH say before
// its last slash: /v1/objects/x-1024/7 is 1,024 bytes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"larder/test/bench/blob"
)

// longest is the longest body that is served.
const longest = 16 << 20

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rival:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say which: bare, dressed, files, fasthttp, groupcache, relay or tcp")
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:0", "where to listen for callers")
	flags.StringVar(&o.peer, "peer", "", "groupcache: where to listen for peers; relay: where the other process listens")
	flags.StringVar(&o.peers, "peers", "", "groupcache: all members' peer addresses, comma-separated")
	dir := flags.String("dir", ".", "files: the folder")
	flags.Int64Var(&o.cache, "cache", 64<<20, "groupcache: bytes of the cache")
	flags.IntVar(&o.gogc, "gogc", 100, "groupcache: Go's GOGC")
	flags.IntVar(&o.idle, "idle", 0, "groupcache: idle connections to a peer; 0: as it comes")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	s := source{blob.Of(longest)}
	switch args[0] {
	case "bare":
		return serve(o.addr, bare{s, false})
	case "dressed":
		return serve(o.addr, bare{s, true})
	case "files":
		return serve(o.addr, http.FileServer(http.Dir(*dir)))
	case "fasthttp":
		return runFasthttp(o.addr, s)
	case "groupcache":
		return runGroupcache(o, s)
	case "relay":
		return runRelay(o)
	case "tcp":
		return runTCP(o.addr, s)
	}
	return fmt.Errorf("there is no %s", args[0])
}

type options struct {
	addr, peer, peers string
	cache             int64
	gogc, idle        int
}

// source has the bytes of every object: the beginning of one blob. They are
// the same as blob.Of gives for the length, and are never written.
type source struct{ bytes []byte }

// of is the body for a path.
func (s source) of(path string) ([]byte, error) {
	n, err := length(path)
	if err != nil {
		return nil, err
	}
	return s.bytes[:n], nil
}

// length is that of the body for a path.
func length(path string) (int, error) {
	name := path[:max(0, strings.LastIndexByte(path, '/'))]
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil || n < 0 || n > longest {
		return 0, fmt.Errorf("%q has no length of 0 to %d", path, longest)
	}
	return n, nil
}

func serve(addr string, h http.Handler) error {
	server := http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	return server.ListenAndServe()
}

// bare is a handler that writes a byte slice.
type bare struct {
	source
	dressed bool // with the header fields that Larder sends
}

func (b bare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := b.of(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	h := w.Header()
	if b.dressed {
		dress(h)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(body) // the caller has left
}

// dress sets the header fields of an answer of Larder's, but for the length.
func dress(h http.Header) {
	h.Set("Etag", `"d41d8cd98f00b204e9800998ecf8427e"`)
	h.Set("Last-Modified", time.Unix(1_600_000_000, 0).UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox")
	h.Set("Cache-Status", "larder; hit; detail=peer")
	h.Set("Repr-Digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")
	h.Set("Larder-Writer", "anonymous")
}

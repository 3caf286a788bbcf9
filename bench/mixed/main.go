// Command mixed sends many transfers of 1 KiB to 1 GiB at once through one node,
// half of them PUTs and half GETs of what was put before, and reports what
// failed and how much memory the node had at most.
//
//	go run ./bench/mixed -url http://127.0.0.1:8080 -pid PID [-n 200] [-largest 1073741824]
package main

import (
	"bufio"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080", "the node's endpoint")
	pid := flag.Int("pid", 0, "the node's process, whose memory is read")
	n := flag.Int("n", 200, "transfers at once")
	largest := flag.Int64("largest", 1<<30, "bytes of the largest object")
	flag.Parse()
	b := bench{url: *url, sizes: sizes(*n/2, *largest)}
	began := time.Now()
	for i := range 4 { // something large to be read from the start
		b.put(len(b.sizes)-1-i*len(b.sizes)/4, "first")
	}
	var transfers sync.WaitGroup
	for i := range b.sizes {
		transfers.Go(func() { b.put(i, "put") })
		transfers.Go(func() { b.get(len(b.sizes) - 1 - i%4*len(b.sizes)/4) })
	}
	transfers.Wait()
	fmt.Printf("%d transfers, %.1f GB in %s: %d refused with 503, %d failed\n",
		2*len(b.sizes), float64(b.bytes.Load())/1e9, time.Since(began).Round(time.Second), b.busy.Load(), b.failed.Load())
	if *pid != 0 {
		fmt.Println("resident at most:", peak(*pid))
	}
	if b.failed.Load() > 0 {
		os.Exit(1)
	}
}

// sizes are spread evenly by their logarithm from 1 KiB on.
func sizes(n int, largest int64) (all []int64) {
	for i := range n {
		size := 1024.0
		for f := float64(i) / float64(n-1) * 20; f > 0; f-- { // 2^20 times as large
			size *= 1 + min(f, 1)
		}
		all = append(all, min(int64(size), largest))
	}
	return all
}

type bench struct {
	url                 string
	sizes               []int64
	bytes, busy, failed atomic.Int64
}

// body is the bytes of object i, the same each time.
func body(i int, size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}), size)
}

func (b *bench) key(i int, kind string) string { return fmt.Sprintf("%s/v1/objects/mixed/%s/%d", b.url, kind, i) }

func (b *bench) put(i int, kind string) {
	req, err := http.NewRequest(http.MethodPut, b.key(i, kind), body(i, b.sizes[i]))
	if err != nil {
		b.fail("PUT", i, err)
		return
	}
	req.ContentLength = b.sizes[i]
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.fail("PUT", i, err)
		return
	}
	defer resp.Body.Close()
	b.check("PUT", i, resp, 200, 201)
}

func (b *bench) get(i int) {
	resp, err := http.Get(b.key(i, "first"))
	if err != nil {
		b.fail("GET", i, err)
		return
	}
	defer resp.Body.Close()
	if !b.check("GET", i, resp, 200) {
		return
	}
	got, want := sha256.New(), sha256.New()
	if _, err := io.Copy(got, resp.Body); err != nil {
		b.fail("GET", i, err)
		return
	}
	_, _ = io.Copy(want, body(i, b.sizes[i])) // never fails
	if string(got.Sum(nil)) != string(want.Sum(nil)) {
		b.fail("GET", i, fmt.Errorf("other bytes"))
	}
}

func (b *bench) check(method string, i int, resp *http.Response, good ...int) bool {
	for _, status := range good {
		if resp.StatusCode == status {
			b.bytes.Add(b.sizes[i])
			return true
		}
	}
	if resp.StatusCode == http.StatusServiceUnavailable {
		b.busy.Add(1)
		return false
	}
	detail, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	b.fail(method, i, fmt.Errorf("%s: %s", resp.Status, detail))
	return false
}

func (b *bench) fail(method string, i int, err error) {
	b.failed.Add(1)
	fmt.Fprintf(os.Stderr, "%s of %d bytes: %v\n", method, b.sizes[i], err)
}

// peak is the most memory that a process has had resident.
func peak(pid int) string {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			return strings.TrimSpace(line)
		}
	}
	return "unknown"
}

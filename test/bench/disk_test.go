package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// bytesOfS3 are the requests that bring the bytes of objects.
func bytesOfS3() []string { return []string{"get", "get_range"} }

// diskRow is a GET of what is on disk and in the page cache, and far more than memory
// holds, beside nginx that serves the same from its disk cache; and what a restart costs.
func diskRow(b *testing.B, s *bench) {
	b.Run("get", s.diskGet)
	b.Run("restart", s.diskRestart)
}

func (s *bench) diskGet(b *testing.B) {
	c := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: []string{
		"--memory", "32MiB", "--chunk-size", "1MiB", "--disk-dir", "disk", "--disk-size", "2GiB", "--revalidate", "1h",
	}})
	node, files := c.Nodes[0], b.TempDir()
	proxy, process := nginxIn(b, files, s.rival(b, "bare"))
	for _, size := range []struct {
		what    string
		size    int64
		objects int
		conns   int
	}{{"64 KiB", 64 << 10, 4096, 64}, {"1 MiB", 1 << 20, 256, 16}} {
		d := demand{size: size.size, conns: size.conns}
		content := body(size.size)
		for i := range size.objects {
			d.paths = append(d.paths, path(size.size, i))
		}
		parallel(b, 4, size.objects, func(i int) error { return put(b, node.HTTPAddr, d.paths[i], content) })
		for _, at := range d.paths {
			same(b, proxy, at, content)
			same(b, node.HTTPAddr, at, content)
		}
		before := c.S3Requests(bytesOfS3()...)
		var costs [2][]float64
		m := turns(s.rounds, s.costed(b, node.HTTPAddr, node.Pid(), d, &costs[0]), s.costed(b, proxy, process.Pid(), d, &costs[1]))
		l := report.Compared("GET from disk, in the page cache", size.what, "nginx proxy_cache", "req/s", m[0], m[1]).Judged(atLeast(0.8))
		reads := metric(b, node, "larder_http_requests_total", map[string]string{"op": "get", "status": "2xx"})
		l.Note = fmt.Sprintf("%.0f %% of the node's reads came from disk, %d from S3",
			100*metric(b, node, "larder_http_requests_total", map[string]string{"op": "get", "status": "2xx", "source": "disk"})/reads, c.S3Requests(bytesOfS3()...)-before)
		s.add(l, report.Compared("GET from disk, in the page cache", size.what, "nginx proxy_cache", "µs of processor/req", costs[0], costs[1]))
		m = turns(s.rounds, cold(b, node.HTTPAddr, filepath.Join(c.Dir, "disk"), d), cold(b, proxy, files, d))
		s.add(report.Compared("GET from disk, not in the page cache", size.what, "nginx proxy_cache", "req/s", m[0], m[1]).Judged(atLeast(0.8)))
	}
}

// costed is load that also notes what a request costs the server, in microseconds of
// processor time.
func (s *bench) costed(b *testing.B, addr string, pid int, d demand, costs *[]float64) func() float64 {
	return func() float64 {
		before := usedByAll(b, pid)
		rate := s.load(b, addr, d)
		*costs = append(*costs, 1e6*(usedByAll(b, pid)-before)/(rate*s.lasts.Seconds()))
		return rate
	}
}

// cold is how many requests a second a server answers that is asked for each path once,
// when nothing of its files is in the page cache.
func cold(b *testing.B, addr, files string, d demand) func() float64 {
	return func() float64 {
		forget(b, files)
		began := time.Now()
		parallel(b, d.conns, len(d.paths), func(i int) error {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+addr+d.paths[i], nil)
			if err != nil {
				return err
			}
			return ask(req, http.StatusOK)
		})
		return float64(len(d.paths)) / time.Since(began).Seconds()
	}
}

// forget has the system drop the files in a folder from its page cache.
func forget(b *testing.B, folder string) {
	b.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was only read
		return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	})
	if err != nil {
		b.Fatal(err)
	}
}

// put stores an object, whatever was there.
func put(b *testing.B, addr, path string, content []byte) error {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPut, "http://"+addr+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	return ask(req, http.StatusOK, http.StatusCreated)
}

// inMemory is a folder in memory, where the system has that, for the data of an S3 that is
// filled and not measured: half of the time of a PUT there is the sync of a file.
func inMemory(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "larder-bench-")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// diskRestart is a node that restarts with many objects on its disk, beside one that has no
// disk: how soon it is ready, and what S3 gives for reads of all of them, once each.
func (s *bench) diskRestart(b *testing.B) {
	objects, size := 100_000, int64(1<<10)
	if s.report.Short {
		objects = 10_000
	}
	// The disk's index is a part of the memory: of 64 MiB it would have 60,736 entries, and who
	// then reads all objects in turn finds none of them.
	flags := []string{"--memory", "128MiB", "--chunk-size", "1MiB", "--revalidate", "1h"}
	without := testcluster.New(b, testcluster.Options{Nodes: 1, Flags: flags}).Nodes[0]
	c := testcluster.New(b, testcluster.Options{
		Nodes: 1, Flags: append(flags, "--disk-dir", "disk", "--disk-size", "4GiB"), S3Dir: inMemory(b),
	})
	node, content := c.Nodes[0], body(size)
	parallel(b, 16, objects, func(i int) error { return put(b, node.HTTPAddr, path(size, i), content) })
	readAll := func() (ratio float64) { // of the reads for which S3 gave no bytes
		given := c.S3Requests(bytesOfS3()...)
		parallel(b, 16, objects, func(i int) error {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, node.URL()+path(size, i), nil)
			if err != nil {
				return err
			}
			return ask(req, http.StatusOK)
		})
		return 1 - float64(c.S3Requests(bytesOfS3()...)-given)/float64(objects)
	}
	before := readAll()
	written := metric(b, node, "larder_disk_chunks", nil)
	restart := func(n *testcluster.Node) func() float64 {
		return func() float64 {
			n.Stop()
			began := time.Now()
			n.Start()
			return milliseconds(time.Since(began))
		}
	}
	ready := turns(s.rounds, restart(node), restart(without))
	after := readAll()
	what := fmt.Sprintf("%d objects of 1 KiB, %.0f on disk", objects, written)
	s.add(
		report.Compared("Restart with a disk, ready after", what, "a node without a disk", "ms", ready[0], ready[1]),
		report.Measured("Restart with a disk, hit ratio", what, "of that before", after/before).Judged(atLeast(0.95)),
		report.Measured("Restart with a disk, bytes that S3 gave", what, "of those read",
			float64(c.S3Requests(bytesOfS3()...))/float64(objects)).Judged(atMost(0.01)),
	)
}

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/testcluster"
)

// withDisk are the flags of a node with a disk of its own.
func withDisk(dir string) []string {
	return []string{"--disk-dir", dir, "--disk-size", "64MiB", "--chunk-size", "1MiB"}
}

// stored are objects of one chunk and of several.
func stored(t *testing.T, n *testcluster.Node) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"large": noise(99, 5<<20+1)}
	for i := range 20 {
		all[fmt.Sprintf("small-%d", i)] = noise(uint64(i), 1<<10*(i+1))
	}
	for key, body := range all {
		do(t, "PUT", object(n, key), body).want(t, 201)
	}
	return all
}

// waitWritten waits until a node has so many chunks on its disk.
func waitWritten(t *testing.T, n *testcluster.Node, chunks int) {
	t.Helper()
	testcluster.Eventually(t, 30*time.Second, "chunks are on the disk", func() error {
		got, err := n.Metric("larder_disk_chunks", func(map[string]string) bool { return true })
		if err == nil && int(got) < chunks {
			err = fmt.Errorf("%v of %d chunks", got, chunks)
		}
		return err
	})
}

// wantAll reads all objects, and returns from where they came.
func wantAll(t *testing.T, n *testcluster.Node, all map[string][]byte) map[string]int {
	t.Helper()
	from := map[string]int{}
	for key, body := range all {
		from[do(t, "GET", object(n, key), nil).want(t, 200).wantBody(t, body).header.Get("Cache-Status")]++
	}
	return from
}

const bytesOfS3 = "get get_range" // the requests to S3 that bring an object's bytes

// After a restart, orderly or not, bytes come from the disk, and S3 is asked for heads alone.
func TestRestartWithADisk(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 1, Flags: withDisk("disk")})
	n := c.Nodes[0]
	all := stored(t, n)
	waitWritten(t, n, 26)
	for i, end := range []func(){n.Stop, n.Kill} {
		end()
		n.Start()
		if from := wantAll(t, n, all); from["larder; hit; detail=disk"] != len(all) {
			t.Errorf("restart %d: %v", i, from)
		}
		if asked := c.S3Requests(strings.Fields(bytesOfS3)...); asked != 0 {
			t.Errorf("restart %d: S3 was asked %d times for bytes", i, asked)
		}
		wantAll(t, n, all) // what is read a second time soon goes into memory
		if from := wantAll(t, n, all); from["larder; hit; detail=memory"] != len(all) {
			t.Errorf("restart %d, read a third time: %v", i, from)
		}
	}
	old := noise(100, 1<<10)
	do(t, "PUT", object(n, "small-0"), old).want(t, 200)
	all["small-0"] = old
	n.Kill() // perhaps before it is written
	n.Start()
	wantAll(t, n, all)
}

// A node that was restarted in an orderly way asks S3 for what it owns, and the others trust
// what they trusted before. One that was killed may have written alone before: all ask anew.
func TestARestartCostsWhatMoves(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 3})
	const keys = 300
	readAll := func() {
		for i := range keys {
			do(t, "GET", object(c.Nodes[i%3], fmt.Sprintf("warm-%d", i)), nil).want(t, 200)
		}
	}
	for i := range keys {
		do(t, "PUT", object(c.Nodes[0], fmt.Sprintf("warm-%d", i)), noise(uint64(i), 100)).want(t, 201)
	}
	readAll()
	n := c.Nodes[1]
	for _, end := range []struct {
		what        string
		end         func()
		least, most int
	}{
		{"stopped", n.Stop, keys / 6, keys * 55 / 100},
		{"killed", n.Kill, keys / 6, keys * 11 / 10},
	} {
		end.end()
		n.Start()
		c.WaitMembers(3)
		waitSettled(t, c.Nodes)
		before := c.S3Requests("head", "get")
		readAll()
		asked := c.S3Requests("head", "get") - before
		t.Logf("%s: %d requests to S3 for %d keys", end.what, asked, keys)
		if asked < end.least || asked > end.most {
			t.Errorf("%s: S3 was asked %d times for %d keys, of which a node of three owns a third", end.what, asked, keys)
		}
	}
}

// waitSettled waits until the nodes have settled with all members.
func waitSettled(t *testing.T, nodes []*testcluster.Node) {
	t.Helper()
	testcluster.Eventually(t, 30*time.Second, "all are settled", func() error {
		for _, n := range nodes {
			left, err := n.Metric("larder_cluster_strangers", nil)
			if err == nil && left > 0 {
				err = fmt.Errorf("%s has %v left", n.Name, left)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Whatever became of the files, readers have the right bytes.
func TestDamagedDisk(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 1, Flags: withDisk("disk")})
	n := c.Nodes[0]
	all := stored(t, n)
	waitWritten(t, n, 26)
	for _, damage := range []struct {
		name string
		do   func(path string, b []byte) error
	}{
		{"flipped", func(path string, b []byte) error {
			for i := range b {
				b[i] ^= byte(i) & 1
			}
			return os.WriteFile(path, b, 0o600)
		}},
		{"truncated", func(path string, b []byte) error { return os.Truncate(path, int64(len(b)/2)) }},
		{"missing", func(path string, _ []byte) error { return os.Remove(path) }},
	} {
		for _, running := range []bool{true, false} {
			waitWritten(t, n, 20)
			if !running {
				n.Stop()
			}
			files, err := filepath.Glob(filepath.Join(c.Dir, "disk", "*.chunks"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no files: %v", err)
			}
			for _, path := range files {
				b, err := os.ReadFile(path)
				if err == nil {
					err = damage.do(path, b)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if running {
				n.Kill()
			}
			n.Start()
			t.Log(damage.name, running, wantAll(t, n, all))
		}
	}
}

// The second process on a directory says whose it is, and does not start.
func TestOneNodeHasADisk(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, testcluster.Options{Nodes: 1, Flags: withDisk("disk")})
	out := run(t, nil, nil, "sh", "-c", `"$0" "$@" 2>&1; echo "status $?"`, testcluster.Build(t),
		"--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--gossip-addr", "127.0.0.1:0", "--peer-addr", "127.0.0.1:0",
		"--data-dir", t.TempDir(), "--disk-dir", filepath.Join(c.Dir, "disk"), "--disk-size", "1GiB")
	if text := string(out); !strings.Contains(text, "--disk-dir") || !strings.Contains(text, "another process uses this directory") || strings.Contains(text, "status 0") {
		t.Errorf("%s", text)
	}
}

package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"larder/test/testcluster"
)

// onSmallDisk runs a process with a file system of 24 MiB at dir, which nobody
// else sees and which ends with it. It needs no root, but a kernel that lets
// users have name spaces and keeps extended attributes on tmpfs (6.6).
func onSmallDisk(dir string) []string {
	return []string{
		"unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
		`mkdir -p "$0" && mount -t tmpfs -o size=24m larder "$0" && exec "$@"`, dir,
	}
}

// disk is the file system of a process that onSmallDisk started.
func disk(c *testcluster.Cluster, p *testcluster.Process, dir string) string {
	return filepath.Join("/proc", strconv.Itoa(p.Pid()), "root", c.Dir, dir)
}

// fill leaves no byte on a disk, and returns the file to remove.
func fill(t *testing.T, disk string) string {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, endless{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk does not fill: %v", err)
	}
	return path
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// A full disk refuses writes and says so, keeps what is there, and takes
// writes again once there is space.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, dir string
		options   testcluster.Options
	}{
		{"node s3", "s3-data", testcluster.Options{Nodes: 2}},
		{"embedded", "data-node-1", testcluster.Options{Nodes: 1, Embedded: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.options
			o.Wrap = onSmallDisk(tt.dir)
			c := testcluster.New(t, o)
			p := c.S3
			if o.Embedded {
				p = c.Nodes[0].Process
			}
			fullDisk(t, c, disk(c, p, tt.dir))
		})
	}
}

func fullDisk(t *testing.T, c *testcluster.Cluster, disk string) {
	old := putObjects(t, c.Nodes[0], "old/", 4, 200_000)
	ballast := fill(t, disk)
	last := c.Nodes[len(c.Nodes)-1]
	for i, size := range []int{3_000_000, 100_000, 5000} {
		for _, key := range []string{fmt.Sprintf("refused/%d", i), "old/0"} {
			a := do(t, "PUT", object(last, key), noise(uint64(i+50), size))
			if a.problem(503, "outcome-unknown") != nil && a.problem(503, "not-written") != nil {
				a.wantProblem(t, 503, "store-unavailable")
			}
		}
	}
	log := ""
	for _, n := range c.Nodes {
		log += strings.ToLower(n.Log())
	}
	if !strings.Contains(log, "space") && !strings.Contains(log, "full") && !strings.Contains(log, "storage") {
		t.Errorf("the disk is full, and no log says so:\n%s", log)
	}
	intact := func() {
		t.Helper()
		for _, n := range c.Nodes {
			for key, body := range old {
				do(t, "GET", object(n, key), nil).wantBody(t, body)
				do(t, "GET", object(n, key), nil, "Cache-Control", "no-cache").wantBody(t, body)
			}
			do(t, "GET", object(n, "refused/0"), nil).wantProblem(t, 404, "not-found")
			if keys, _ := list(t, n, "objects", "prefix=refused"); len(keys) != 0 {
				t.Errorf("refused, and listed: %+v", keys)
			}
		}
	}
	intact()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	intact()
	testcluster.Eventually(t, 20*time.Second, "writes are taken again", func() error {
		a := do(t, "PUT", object(last, "refused/0"), old["old/0"])
		if a.status != 201 && a.status != 200 {
			return fmt.Errorf("status %d: %s", a.status, a.body)
		}
		return nil
	})
	for _, n := range c.Nodes {
		do(t, "GET", object(n, "refused/0"), nil).wantBody(t, old["old/0"])
	}
}

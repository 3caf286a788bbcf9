package bench

import (
	"fmt"
	"net/http"
	"testing"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// joinRow is what S3 gives, of a working set that fits two of three nodes, when each of
// them restarts in its turn, and when two more join under load.
func joinRow(b *testing.B, s *bench) {
	for _, disk := range []bool{false, true} {
		what, most := "without disks", 0.05
		if disk {
			what, most = "with disks", 0.02
		}
		w := s.workingSet(b, disk)
		w.read(b)
		asked := 0
		for _, n := range w.cluster.Nodes {
			n.Stop()
			asked += w.read(b)
			n.Start()
			w.cluster.WaitMembers(len(w.cluster.Nodes))
			asked += w.read(b)
		}
		s.add(report.Measured("Rolling restart of 3 nodes, read from S3", what, "of the working set",
			float64(asked)/float64(w.objects)).Judged(atMost(most)))
	}
	w := s.workingSet(b, false)
	w.read(b)
	asked := 0
	for i := range 2 {
		w.add(b, i)
		asked += w.read(b)
	}
	asked += w.read(b)
	s.add(report.Measured("3 nodes become 5, read from S3", "without disks", "of the working set",
		float64(asked)/float64(w.objects)).Judged(atMost(0.05)))
}

// workingSet is objects that a cluster serves again and again.
type workingSet struct {
	cluster *testcluster.Cluster
	objects int
	size    int64
	disk    bool
}

func (s *bench) workingSet(b *testing.B, disk bool) *workingSet {
	w := &workingSet{objects: 1500, size: 64 << 10, disk: disk}
	memory := "64MiB"
	if s.report.Short {
		w.objects, memory = 400, "17MiB"
	}
	flags := []string{"--memory", memory, "--chunk-size", "1MiB", "--revalidate", "1h"}
	w.cluster = testcluster.New(b, testcluster.Options{Nodes: 1, Flags: append(flags, w.diskFlags(0)...)})
	for i := range 2 {
		w.add(b, i+1)
	}
	parallel(b, 8, w.objects, func(i int) error {
		return put(b, w.cluster.Nodes[i%3].HTTPAddr, path(w.size, i), body(w.size))
	})
	return w
}

func (w *workingSet) diskFlags(i int) []string {
	if !w.disk {
		return nil
	}
	return []string{"--disk-dir", fmt.Sprint("disk-", i), "--disk-size", "1GiB"}
}

func (w *workingSet) add(b *testing.B, i int) {
	b.Helper()
	w.cluster.AddNode(w.diskFlags(i)...)
	w.cluster.WaitMembers(len(w.cluster.Nodes))
}

// read reads the working set through the nodes that run, and returns how many objects
// S3 was asked for.
func (w *workingSet) read(b *testing.B) int {
	b.Helper()
	var up []*testcluster.Node
	for _, n := range w.cluster.Nodes {
		if n.Running() {
			up = append(up, n)
		}
	}
	before := w.cluster.S3Requests(bytesOfS3()...)
	parallel(b, 8, w.objects, func(i int) error {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, up[i%len(up)].URL()+path(w.size, i), nil)
		if err != nil {
			return err
		}
		return ask(req, http.StatusOK)
	})
	return w.cluster.S3Requests(bytesOfS3()...) - before
}

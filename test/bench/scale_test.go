package bench

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

// BenchmarkScale measures what a unit of work costs where there is little of something, and
// where there is much: nodes, keys, connections, bytes, researchers. The time of processors
// is that of the nodes alone: S3 is a process of its own.
func BenchmarkScale(b *testing.B) {
	s := &bench{rounds: 3}
	s.report.Growth = true
	measure(b, s, "scale", []row{
		{"nodes", nodesScale},
		{"keys", keysScale},
		{"memory", memoryScale},
		{"connections", connectionsScale},
		{"sizes", sizesScale},
		{"researchers", researchersScale},
	})
}

// costs are samples of what units of work cost in one case, by what the cost is of.
type costs struct {
	in string // the case
	of map[string][]float64
}

func costsIn(form string, of ...any) costs {
	return costs{in: fmt.Sprintf(form, of...), of: map[string][]float64{}}
}

// note takes a sample, and shows it: a run is long.
func (c costs) note(what string, cost float64) {
	c.of[what] = append(c.of[what], cost)
	fmt.Printf("#   %s: %s: %.4g\n", c.in, what, cost)
}

// unit is a cost that is compared as something grows.
type unit struct{ what, unit string }

// grown reports the costs of each case beside those of the first.
func (s *bench) grown(row string, cases []costs, units []unit) {
	small := cases[0]
	for _, large := range cases[1:] {
		for _, u := range units {
			s.add(report.Grown(row, u.what, u.unit, small.in, large.in, small.of[u.what], large.of[u.what]))
		}
	}
}

// used is what processes have used of something so far, in sum.
func used(b *testing.B, processes []*testcluster.Process, of func(b *testing.B, pid int) float64) (sum float64) {
	b.Helper()
	for _, p := range processes {
		sum += of(b, p.Pid())
	}
	return sum
}

// processes are those of nodes.
func processes(nodes []*testcluster.Node) (ps []*testcluster.Process) {
	for _, n := range nodes {
		ps = append(ps, n.Process)
	}
	return ps
}

// written is how many bytes a process has written so far: to connections, pipes and files,
// but not those of UDP.
func written(b *testing.B, pid int) float64 { return field(b, pid, "io", "wchar:") }

// residentNow is how much memory of its own a process has now, in bytes.
func residentNow(b *testing.B, pid int) float64 { return 1024 * field(b, pid, "status", "RssAnon:") }

// field is a number of /proc.
func field(b *testing.B, pid int, file, name string) (n float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), name)
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		b.Fatalf("%s of process %d has no %s: %v", file, pid, name, err)
	}
	return n
}

// meter tells the processor time of nodes from that of their S3.
type meter struct {
	b     *testing.B
	nodes []*testcluster.Process
	s3    *testcluster.Process
	idle  float64 // of a core, what the nodes use when nobody asks
}

func meterOf(b *testing.B, c *testcluster.Cluster) *meter {
	return &meter{b: b, nodes: processes(c.Nodes), s3: c.S3}
}

// rest measures for a while what the nodes use when nobody asks.
func (m *meter) rest(lasts time.Duration) {
	before := used(m.b, m.nodes, usedByAll)
	time.Sleep(lasts) // so long is measured
	m.idle = (used(m.b, m.nodes, usedByAll) - before) / lasts.Seconds()
}

// spent is what some work cost: seconds of the nodes' processors beyond what they use when
// nobody asks, of S3's, and in all.
func (m *meter) spent(work func()) (nodes, s3, wall float64) {
	m.b.Helper()
	n, t, began := used(m.b, m.nodes, usedByAll), usedByAll(m.b, m.s3.Pid()), time.Now()
	work()
	wall = time.Since(began).Seconds()
	return used(m.b, m.nodes, usedByAll) - n - m.idle*wall, usedByAll(m.b, m.s3.Pid()) - t, wall
}

// lay puts n objects of this size into the store of a cluster, named prefix and a number.
// But for a few they come by other means, which is quicker: the embedded S3 keeps an object
// in a file, and one file may have many names. S3 is started again, so that it lists them.
func lay(b *testing.B, c *testcluster.Cluster, prefix string, n int, size int64) {
	b.Helper()
	const most = 50_000 // a file may have 65,000 names
	folder := filepath.Join(c.Dir, "s3-data", bucket, filepath.Dir(*place("x")))
	for first := 0; first < n; first += most {
		store(b, c.Nodes[0].HTTPAddr, "/v1/objects/"+laid(prefix, first), body(size))
		for i := first + 1; i < min(first+most, n); i++ {
			if err := os.Link(filepath.Join(folder, laid(prefix, first)), filepath.Join(folder, laid(prefix, i))); err != nil {
				b.Fatal(err)
			}
		}
	}
	c.S3.Kill()
	c.StartS3()
}

func laid(prefix string, i int) string { return fmt.Sprintf("%s%07d", prefix, i) }

// getAll asks for objects, several at once: the i-th of n at a node of its own.
func getAll(b *testing.B, n int, at func(i int) (addr, name string)) {
	b.Helper()
	parallel(b, 16, n, func(i int) error {
		addr, name := at(i)
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+addr+"/v1/objects/"+name, nil)
		if err != nil {
			return err
		}
		return ask(req, http.StatusOK)
	})
}

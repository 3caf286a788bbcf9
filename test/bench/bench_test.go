package bench

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larder/test/bench/report"
	"larder/test/testcluster"
)

var results = flag.String("results", "results", "the folder for the tables")

func TestMain(m *testing.M) { testcluster.Main(m) }

// bench is one run: what the rows share.
type bench struct {
	report   report.Report
	programs string        // the folder of the helper programs
	rounds   int           // of each comparison
	lasts    time.Duration // of one side in one round of load
}

// row is one of them, measured once as a benchmark of its own.
type row struct {
	name string
	run  func(*testing.B, *bench)
}

// BenchmarkRows measures Larder beside what else could do the same work. -short takes
// fewer rounds of smaller things.
func BenchmarkRows(b *testing.B) {
	measure(b, &bench{rounds: 5}, "table", []row{
		{"memory", memoryRow},
		{"front", frontRow},
		{"stores", storesRow},
		{"peer", peerRow},
		{"cold", coldRow},
		{"herd", herdRow},
		{"put", putRow},
		{"list", listRow},
		{"hits", hitsRow},
		{"ring", ringRow},
		{"overhead", overheadRow},
		{"heap", heapRow},
		{"large", largeRow},
		{"builds", buildsRow},
		{"disk", diskRow},
		{"join", joinRow},
	})
}

// measure measures rows, and writes the tables.
func measure(b *testing.B, s *bench, table string, rows []row) {
	s.programs, s.lasts = b.TempDir(), time.Second
	if s.report.Short = testing.Short(); s.report.Short {
		s.rounds = 3
	}
	s.report.Machine = machine()
	build := exec.Command("go", "build", "-o", s.programs, "larder/test/bench/load", "larder/test/bench/rival")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			began := time.Now()
			row.run(b, s)
			fmt.Printf("# %s: %s\n", row.name, time.Since(began).Round(time.Second))
		})
	}
	if err := s.report.Write(*results, table); err != nil {
		b.Fatal(err)
	}
	fmt.Println(s.report.Markdown())
}

// add reports lines, and shows them at once.
func (s *bench) add(lines ...report.Line) {
	s.report.Add(lines...)
	for _, l := range lines {
		ratio := ""
		if l.Ratio != nil {
			ratio = fmt.Sprintf(" against %s %s: ratio %s", l.Against, *l.Theirs, *l.Ratio)
		}
		if l.Target != nil {
			ratio += fmt.Sprintf(", target %s met: %v", l.Target, *l.Met)
		}
		fmt.Printf("# %s, %s: %s %s%s %s\n", l.Row, l.What, l.Ours, l.Unit, ratio, l.Note)
	}
}

// machine says where and with what this run measures.
func machine() map[string]string {
	m := map[string]string{
		"Date": time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		"CPUs": fmt.Sprint(runtime.NumCPU(), ", ", cpuModel()),
		"Go":   runtime.Version(),
	}
	var kernel unix.Utsname
	if unix.Uname(&kernel) == nil {
		m["Kernel"] = unix.ByteSliceToString(kernel.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m["Memory"] = fmt.Sprint(info.Totalram*uint64(info.Unit)>>30, " GiB")
		m["Load average before"] = fmt.Sprintf("%.2f", float64(info.Loads[0])/65536)
	}
	for name, command := range map[string][]string{
		"Commit": {"git", "describe", "--always", "--dirty"},
		"Peers":  {"dpkg-query", "-W", "-f", "${Package} ${Version}; ", "nginx", "varnish", "redis-server", "memcached", "wrk"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).Output(); err == nil {
			m[name] = strings.Trim(string(out), "; \n")
		}
	}
	return m
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err.Error()
	}
	_, model, _ := strings.Cut(string(b), "model name\t: ")
	model, _, _ = strings.Cut(model, "\n")
	return model
}

func (s *bench) program(name string) string { return filepath.Join(s.programs, name) }

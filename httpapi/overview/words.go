package overview

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Level says what a Finding asks of an operator.
type Level string

// The levels: Bad needs a person, Warn is worth a look, Good is none of that.
const (
	Good Level = "good"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Finding is one sentence about the cluster.
type Finding struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
}

const (
	s3ErrorsBad     = 0.01 // of the requests to S3
	s3Slow          = 2.0  // seconds, of the slowest hundredth
	limitNear       = 0.9
	memoryNear      = 0.95 // of what the process may use
	diskSlow        = 0.1  // chunks that were not written, of those that were
	certificateNear = 14 * 24 * time.Hour
)

// judge says in words how the cluster is: first what needs a person.
func judge(nodes []Node, now time.Time) []Finding {
	var all []Finding
	add := func(level Level, format string, args ...any) {
		all = append(all, Finding{level, fmt.Sprintf(format, args...)})
	}
	versions := map[string]bool{}
	total := Counts{}
	for _, n := range nodes {
		if !n.Answers {
			add(Bad, "%s does not answer the other nodes: see whether it hangs, and whether its peer port can be reached.", n.Name)
			continue
		}
		versions[strings.TrimSpace(n.Version+" "+n.Commit)] = true
		for name, grown := range n.Recent {
			total[name] += grown
		}
		judgeNode(n, len(nodes), now, add)
	}
	judgeS3(total, add)
	if n := total["leases_waited"]; n > 0 {
		add(Warn, "Writes waited out %s in the last minutes: a member died, or was silent, and writes of its keys took seconds.", plural(n, "lease"))
	}
	if n := total["failed"] - total["over_limit"]; n > 0 { // the member that refuses may be another than the one that answers
		add(Warn, "%s failed in the last minutes (5xx).", capital(plural(n, "request")))
	}
	if len(versions) > 1 {
		add(Warn, "The members are of %d versions: %s. That is as it should be only while they are being replaced.", len(versions), strings.Join(slices.Sorted(maps.Keys(versions)), ", "))
	}
	slices.SortStableFunc(all, func(x, y Finding) int { return rank(x.Level) - rank(y.Level) })
	if len(all) == 0 {
		members := "The only member answers"
		if len(nodes) > 1 {
			members = fmt.Sprintf("All %d members answer and agree on each other", len(nodes))
		}
		add(Good, "All is well. %s, and nothing failed in the last minutes.", members)
	}
	return all
}

func rank(l Level) int { return slices.Index([]Level{Bad, Warn, Good}, l) }

// judgeNode says what is wrong with one member that answers.
func judgeNode(n Node, members int, now time.Time, add func(Level, string, ...any)) {
	if n.Missing != "" {
		add(Bad, "%s is not ready: %s.", n.Name, n.Missing)
	}
	for _, wrong := range []struct{ counter, text string }{
		{"broken", "%s found an invariant of the protocol broken, which is a fault in Larder: report the log line 'invariant broken'."},
		{"differing", "%s answered a read with something else than S3 held: look for its log line, and for other tools that write to the bucket."},
		{"mismatches", "%s was given bytes that were not those that were written: look at the memory and the network of the machines, and at the store."},
	} {
		if n.Counters[wrong.counter] > 0 {
			add(Bad, wrong.text, n.Name)
		}
	}
	if seen := int(n.Gauges["members"]); seen != members {
		add(Bad, "%s sees %s, and the node that you ask %d: the network between them is cut, or one has just started.", n.Name, plural(float64(seen), "member"), members)
	}
	if k := n.Gauges["unsettled"]; k > 0 {
		add(Warn, "%s has not settled with %s: reads of its keys ask S3 until then.", n.Name, plural(k, "member"))
	}
	if n.Recent["file_errors"] > 0 {
		add(Warn, "%s did not take a change of one of its files, and goes on with what was good before: its log says why.", n.Name)
	}
	if n.Gauges["limit_used"] > limitNear {
		add(Warn, "An organisation has %.0f %% of one of its limits: soon its writes are refused. The log of %s names it.", 100*n.Gauges["limit_used"], n.Name)
	}
	judgeMachine(n, add)
	if end := n.Gauges["certificate_end"]; end > 0 {
		if left := time.Unix(int64(end), 0).Sub(now); left < certificateNear {
			add(Warn, "The certificate of %s ends in %d days.", n.Name, int(left.Hours()/24))
		}
	}
	if k := n.Recent["turned_away"]; k > 0 {
		add(Warn, "%s turned %s away in the last minutes, since there were too many.", n.Name, plural(k, "connection"))
	}
}

// judgeMachine says what the memory and the disk of a member lack.
func judgeMachine(n Node, add func(Level, string, ...any)) {
	if used, most := n.Gauges["resident"], n.Gauges["resident_limit"]; most > 0 && used > memoryNear*most {
		add(Warn, "%s takes %.0f %% of the memory that its machine or container has for it, and the system may kill it: raise that limit, or lower --memory.", n.Name, 100*used/most)
	}
	if k := n.Recent["disk_errors"]; k > 0 {
		add(Warn, "The disk of %s failed %s in the last minutes: it is full, broken or read-only, and its log says which. What it lacks is read from S3.", n.Name, plural(k, "time"))
	}
	if k := n.Recent["disk_dropped"]; k > diskSlow*n.Recent["disk_written"] && n.Recent["disk_errors"] == 0 {
		add(Warn, "The disk of %s is too slow: %s did not get onto it in the last minutes, and what memory drops is read from S3.", n.Name, plural(k, "chunk"))
	}
}

func judgeS3(total Counts, add func(Level, string, ...any)) {
	asked, failed := total["s3_requests"], total["s3_errors"]
	switch {
	case failed > 0 && failed >= s3ErrorsBad*asked:
		add(Bad, "S3 refused, or did not answer, %.0f of %s in the last minutes. What is in memory is still served.", failed, plural(asked, "request"))
	case failed > 0:
		add(Warn, "S3 refused, or did not answer, %.0f of %s in the last minutes.", failed, plural(asked, "request"))
	}
	if slow := Quantile(total, 0.99); slow > s3Slow {
		add(Warn, "S3 is slow: one request in a hundred takes more than %.1f s.", slow)
	}
}

// Quantile estimates how long a part of the requests to S3 took at most, in seconds,
// from s3_le_SECONDS, as Prometheus' histogram_quantile does; 0 if there were none.
func Quantile(counts Counts, part float64) float64 {
	bounds := map[float64]float64{}
	for name, n := range counts {
		if text, ok := strings.CutPrefix(name, "s3_le_"); ok {
			if bound, err := strconv.ParseFloat(text, 64); err == nil {
				bounds[bound] = n
			}
		}
	}
	wanted := part * counts["s3_requests"]
	before, below := 0.0, 0.0
	for _, bound := range slices.Sorted(maps.Keys(bounds)) {
		if n := bounds[bound]; n >= wanted && n > 0 {
			if n == below {
				return bound
			}
			return before + (bound-before)*(wanted-below)/(n-below)
		}
		before, below = bound, bounds[bound]
	}
	return before // more than the last bound
}

func plural(n float64, one string) string {
	if n == 1 {
		return "one " + one
	}
	return fmt.Sprintf("%.0f %ss", n, one)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

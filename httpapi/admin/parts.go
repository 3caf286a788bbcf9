package admin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"larder/builds"
	"larder/cluster"
	"larder/fill"
	"larder/fill/tier"
	"larder/fill/tier/disk"
	"larder/heads"
	"larder/usage"
	"larder/writepath"
)

// Freed counts the age of a chunk whose memory is free again.
func (m *Metrics) Freed(age time.Duration) { m.freed.Observe(age.Seconds()) }

// Waited counts how long a write waited for acknowledgements.
func (m *Metrics) Waited(d time.Duration) { m.waited.Observe(d.Seconds()) }

// Memory exposes the memory tier, with its budget in bytes, and what the process may use.
func (m *Metrics) Memory(budget, most func() int64, stats func() fill.Stats) {
	p := &polled{}
	bytes := p.add("larder_memory_bytes", "Bytes that chunks take in the memory tier.", prometheus.GaugeValue, "copy")
	chunks := p.add("larder_memory_chunks", "Chunks in the memory tier.", prometheus.GaugeValue, "copy")
	evictions := p.add("larder_memory_evictions_total", "Chunks evicted from the memory tier.", prometheus.CounterValue, "copy")
	limit := p.add("larder_memory_limit_bytes", "The budget of the memory tier.", prometheus.GaugeValue)
	process := p.add("larder_process_memory_limit_bytes", "What the process may use: the least of what the machine, the container and GOMEMLIMIT allow.", prometheus.GaugeValue)
	mismatches := p.add("larder_digest_mismatch_total", "Chunks from outside whose bytes were not those that were written.", prometheus.CounterValue, "source")
	unverified := p.add("larder_digest_unknown_total", "Chunks from outside that had no digest to be compared with.", prometheus.CounterValue)
	near := p.add("larder_neighbour_questions_total", "Questions to members that may have owned a chunk before this node, by what they brought.", prometheus.CounterValue, "result")
	audits := p.add("larder_audit_total", "Reads under a live head that were compared with S3's own answer.", prometheus.CounterValue, "result")
	p.read = func(emit func(int, float64, ...string)) {
		s := stats()
		for source, n := range s.Mismatches {
			emit(mismatches, float64(n), string(source))
		}
		for verdict, n := range s.Audits {
			emit(audits, float64(n), string(verdict))
		}
		emit(unverified, float64(s.Unverified))
		emit(near, float64(s.NearUseful), "useful")
		emit(near, float64(s.NearVain), "vain")
		for _, part := range []struct {
			copy string
			tier.Held
		}{{"own", s.Own}, {"hot", s.Hot}} {
			emit(bytes, float64(part.Bytes), part.copy)
			emit(chunks, float64(part.Chunks), part.copy)
			emit(evictions, float64(part.Evictions), part.copy)
		}
		emit(limit, float64(budget()))
		emit(process, float64(most()))
	}
	m.registry.MustRegister(p)
}

// Disk exposes the disk tier; without one all is 0.
func (m *Metrics) Disk(stats func() disk.Stats) {
	p := &polled{}
	limit := p.add("larder_disk_limit_bytes", "What the disk tier may take.", prometheus.GaugeValue)
	bytes := p.add("larder_disk_bytes", "Bytes of the disk tier's files.", prometheus.GaugeValue)
	chunks := p.add("larder_disk_chunks", "Chunks on disk.", prometheus.GaugeValue)
	written := p.add("larder_disk_written_total", "Chunks written to disk.", prometheus.CounterValue)
	dropped := p.add("larder_disk_dropped_total", "Chunks that were not written to disk, since too many waited or it failed.", prometheus.CounterValue)
	evictions := p.add("larder_disk_evictions_total", "Chunks evicted from disk.", prometheus.CounterValue)
	moved := p.add("larder_disk_moved_total", "Chunks that were written anew instead of being evicted.", prometheus.CounterValue)
	failed := p.add("larder_disk_errors_total", "Times that the disk failed.", prometheus.CounterValue, "kind")
	p.read = func(emit func(int, float64, ...string)) {
		s := stats()
		emit(limit, float64(s.Limit))
		emit(bytes, float64(s.Bytes))
		emit(chunks, float64(s.Chunks))
		emit(written, float64(s.Written))
		emit(dropped, float64(s.Dropped))
		emit(evictions, float64(s.Evicted))
		emit(moved, float64(s.Moved))
		emit(failed, float64(s.Opening), "open")
		emit(failed, float64(s.Reading), "read")
		emit(failed, float64(s.Writing), "write")
		emit(failed, float64(s.Corrupt), "corrupt")
	}
	m.registry.MustRegister(p)
}

// Heads exposes the table of heads.
func (m *Metrics) Heads(stats func() heads.Stats) {
	p := &polled{}
	live := p.add("larder_heads", "Heads that this node knows.", prometheus.GaugeValue)
	granted := p.add("larder_leases_granted_total", "Leases on heads that this node granted to others.", prometheus.CounterValue)
	received := p.add("larder_revocations_received_total", "Revocations received, by this node's answer.", prometheus.CounterValue, "result")
	unsettled := p.add("larder_cluster_strangers", "Members that this node has not settled with.", prometheus.GaugeValue)
	broken := p.add("larder_invariant_broken_total", "Invariants of the lease protocol that did not hold.", prometheus.CounterValue)
	p.read = func(emit func(int, float64, ...string)) {
		s := stats()
		emit(broken, float64(s.Broken))
		emit(live, float64(s.Live))
		emit(granted, float64(s.Granted))
		emit(received, float64(s.Dropped), "acknowledged")
		emit(received, float64(s.Refused), "busy")
		emit(unsettled, float64(s.Unsettled))
	}
	m.registry.MustRegister(p)
}

// Writes exposes the write path.
func (m *Metrics) Writes(stats func() writepath.Stats) {
	p := &polled{}
	sent := p.add("larder_revocations_sent_total", "Revocations sent to members, each try, by their answer.", prometheus.CounterValue, "result")
	waited := p.add("larder_leases_waited_out_total", "Leases that writes waited out, of members that did not acknowledge or had died.", prometheus.CounterValue, "member")
	uploads := p.add("larder_uploads_in_flight", "Objects on their way to S3, whole or in parts.", prometheus.GaugeValue, "kind")
	expired := p.add("larder_expired_removed_total", "Objects that had expired and that this node removed from S3.", prometheus.CounterValue)
	dropped := p.add("larder_dropped_total", "Objects that this node, as their owner, removed as some of a prefix.", prometheus.CounterValue)
	due := p.add("larder_expired_due", "Expired objects that the last walk of this node found and left in S3.", prometheus.GaugeValue)
	p.read = func(emit func(int, float64, ...string)) {
		s := stats()
		emit(expired, float64(s.Expired))
		emit(dropped, float64(s.Dropped))
		emit(due, float64(s.Due))
		emit(sent, float64(s.Acknowledged), "acknowledged")
		emit(sent, float64(s.Busy), "busy")
		emit(sent, float64(s.Silent), "silent")
		emit(waited, float64(s.SilentWaitedOut), "silent")
		emit(waited, float64(s.DepartedWaitedOut), "departed")
		emit(uploads, float64(s.Whole), "whole")
		emit(uploads, float64(s.InParts), "parts")
	}
	m.registry.MustRegister(p)
}

// Usage exposes what orgs saved, and how near they are to their limits.
func (m *Metrics) Usage(stats func() usage.Stats) {
	p := &polled{}
	saved := p.add("larder_build_seconds_saved_total", "Seconds of building that reads saved their callers.", prometheus.CounterValue)
	builds := p.add("larder_builds_saved_total", "Builds that reads saved their callers.", prometheus.CounterValue)
	refused := p.add("larder_limit_refusals_total", "Requests refused since an organisation has a limit: 507 (quota) and 429 (rate).", prometheus.CounterValue, "limit")
	walks := p.add("larder_usage_walks_total", "Listings of an organisation in the bucket, to compare its counts with.", prometheus.CounterValue)
	failed := p.add("larder_usage_errors_total", "Times that counts or the ledger were not written to the bucket, or read, and had to be tried again.", prometheus.CounterValue)
	used := p.add("larder_limit_used_ratio", "The largest part of a limit that an organisation has.", prometheus.GaugeValue, "limit")
	p.read = func(emit func(int, float64, ...string)) {
		s := stats()
		emit(saved, s.Seconds)
		emit(builds, float64(s.Hits))
		emit(refused, float64(s.OverQuota), "quota")
		emit(refused, float64(s.OverRate), "rate")
		emit(walks, float64(s.Walks))
		emit(failed, float64(s.Failed))
		emit(used, s.Bytes, "max_bytes")
		emit(used, s.Objects, "max_objects")
	}
	m.registry.MustRegister(p)
}

// Builds exposes the claims.
func (m *Metrics) Builds(stats func() builds.Stats) {
	p := &polled{}
	total := p.add("larder_builds_total", "Builds of keys that this node owns, and callers who had to do with one, by what came of it.", prometheus.CounterValue, "result")
	inFlight := p.add("larder_builds_in_flight", "Builds that are under way, of keys that this node owns.", prometheus.GaugeValue)
	waiters := p.add("larder_build_waiters", "Callers who wait for a build, of keys that this node owns.", prometheus.GaugeValue)
	p.read = func(emit func(int, float64, ...string)) {
		s := stats()
		emit(total, float64(s.Built), "built")
		emit(total, float64(s.Joined), "joined")
		emit(total, float64(s.TookOver), "took_over")
		emit(total, float64(s.Fenced), "fenced")
		emit(total, float64(s.Failed), "failed")
		emit(total, float64(s.Unstored), "unstored")
		emit(inFlight, float64(s.InFlight))
		emit(waiters, float64(s.Waiters))
	}
	m.registry.MustRegister(p)
}

// Cluster exposes the membership and the ring.
func (m *Metrics) Cluster(c *cluster.Cluster) {
	p := &polled{}
	members := p.add("larder_cluster_members", "Members of the cluster that this node sees, itself included.", prometheus.GaugeValue)
	share := p.add("larder_ring_share_ratio", "The part of all keys that this node owns, estimated.", prometheus.GaugeValue)
	changes := p.add("larder_ring_changes_total", "How often this node's ring changed.", prometheus.CounterValue)
	p.read = func(emit func(int, float64, ...string)) {
		emit(members, float64(len(c.Members())))
		emit(share, c.Part())
		emit(changes, float64(c.Changes()))
	}
	m.registry.MustRegister(p)
}

// Connections exposes the connections of the researchers' port.
func (m *Metrics) Connections(stats func() (open int, turnedAway int64)) {
	p := &polled{}
	open := p.add("larder_http_connections", "Connections of callers that are open.", prometheus.GaugeValue)
	away := p.add("larder_http_connections_refused_total", "Connections turned away because there were too many, in all or of one address.", prometheus.CounterValue)
	p.read = func(emit func(int, float64, ...string)) {
		n, turnedAway := stats()
		emit(open, float64(n))
		emit(away, float64(turnedAway))
	}
	m.registry.MustRegister(p)
}

// Files exposes the state of the files that are read again when they change, by
// what they hold.
func (m *Metrics) Files(states map[string]func() (wrong int64, age time.Duration)) {
	p := &polled{}
	wrong := p.add("larder_config_file_errors_total", "Changes of a file that were not taken, since it was missing or wrong.", prometheus.CounterValue, "file")
	age := p.add("larder_config_file_age_seconds", "Time since a file was last seen to be good.", prometheus.GaugeValue, "file")
	p.read = func(emit func(int, float64, ...string)) {
		for file, state := range states {
			n, since := state()
			emit(wrong, float64(n), file)
			emit(age, since.Seconds(), file)
		}
	}
	m.registry.MustRegister(p)
}

// Certificate exposes when the certificate of the researchers' port ends; a zero time
// is none.
func (m *Metrics) Certificate(ends func() time.Time) {
	p := &polled{}
	end := p.add("larder_tls_certificate_end_timestamp_seconds", "When the certificate of the researchers' port ends, in Unix time; 0 without one.", prometheus.GaugeValue)
	p.read = func(emit func(int, float64, ...string)) {
		at := ends()
		if at.IsZero() {
			at = time.Unix(0, 0)
		}
		emit(end, float64(at.Unix()))
	}
	m.registry.MustRegister(p)
}

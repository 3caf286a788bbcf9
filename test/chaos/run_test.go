package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"larder/test/history"
)

const (
	lease      = time.Second
	revalidate = 5 * time.Second

	keysShared     = 8
	keysBuilt      = 2
	callersPerNode = 2
	clientsPerNode = 3
	// s3Aftermath is how long S3's trouble is felt after it is over: a read
	// that failed tries S3 three times within 10 s.
	s3Aftermath = 2 * time.Second
	// claimAftermath is how long a claim may still be lost after nodes could not reach
	// each other.
	claimAftermath = 15 * time.Second
)

// run makes a scenario happen and checks what it promises. begun is called just before
// each fault.
func run(t *testing.T, s scenario, begun func()) {
	t.Log(s)
	spare := 0
	if slices.Contains(s.kinds, scale) {
		spare = 2
	}
	c := newCluster(t, config{
		nodes: s.nodes, spare: spare, apart: s.isApart(), seed: s.seed,
		flags: []string{"--lease", lease.String(), "--revalidate", revalidate.String()},
	})
	faults := schedule(s.seed, s.nodes, s.kinds, s.lasts)
	for _, f := range faults {
		t.Log(f)
	}
	r := &running{scenario: s, cluster: c, history: history.New(), claims: claims{values: map[string]string{}}}
	for i := range keysShared {
		r.keys = append(r.keys, fmt.Sprintf("s%d-key-%d", s.seed, i))
	}
	for i := range keysBuilt {
		r.built = append(r.built, fmt.Sprintf("s%d-build-%d", s.seed, i))
	}
	i := &inflictor{t: t, cluster: c, history: r.history, nodes: s.nodes, begun: begun}
	r.under(t, func() {
		i.run(faults)
		sleep(t.Context(), time.Until(r.history.Began.Add(s.lasts)))
		c.waitMembers()
		if !s.agree() { // until it is sure when they did again, and what they may still feel is over
			sleep(t.Context(), calm+revalidate)
		}
	})
	r.windows = s.apart(i.troubles, r.looks)
	sleep(t.Context(), history.MostLife+time.Second) // what expires does so before the last reads, and not between two of them
	r.finish(t)
	r.tellExpired(t)
	r.check(t)
	r.checkTraces(t)
	r.claims.check(t, r.history.ByKey(), i.lost(), r.mayLose(i.troubles))
	r.availability(t, i.troubles)
}

// running is a scenario under way.
type running struct {
	scenario
	cluster *cluster
	history *history.History
	keys    []string
	built   []string // keys that callers build
	claims  claims

	looks   []looked // once all clients have ended
	windows []window // in which reads may be old

	mu     sync.Mutex // guards wrongs
	wrongs []error
}

func (r *running) wrong(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrongs = append(r.wrongs, err)
}

func (r *running) client(id int, n *node) *client {
	return &client{
		id: id, node: n, keys: r.keys, history: r.history, wrong: r.wrong,
		rng: rand.New(rand.NewPCG(r.seed, uint64(id))),
	}
}

// caller makes a caller whose first node is that with this number.
func (r *running) caller(i int) *caller {
	c := &caller{client: *r.client(firstCaller+i, nil), nodes: r.cluster.nodes, claims: &r.claims}
	c.keys = r.built
	return c
}

// under does something while clients work.
func (r *running) under(t *testing.T, do func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for i := range clientsPerNode * len(r.cluster.nodes) {
		c := r.client(i, r.cluster.nodes[i/clientsPerNode])
		c.reader = i%clientsPerNode == 0
		clients.Go(func() { c.run(ctx) })
	}
	for i := range callersPerNode * len(r.cluster.nodes) {
		c := r.caller(i)
		clients.Go(func() { c.run(ctx) })
	}
	clients.Go(func() { r.looks = r.cluster.watch(ctx, r.history) })
	do()
	t.Logf("%d operations", len(r.history.All()))
}

// relaxed reports whether members may have disagreed during an operation.
func (r *running) relaxed(o *history.Op) bool {
	return slices.ContainsFunc(r.windows, func(w window) bool { return o.Call <= w.to && o.Ret >= w.from })
}

// mayLose reports whether a claim may have been lost in a time though its holder and all
// nodes lived: members could not reach each other, or took each other for dead.
func (r *running) mayLose(troubles []trouble) func(from, to int64) bool {
	return func(from, to int64) bool {
		return slices.ContainsFunc(troubles, func(tr trouble) bool {
			apart := tr.kind.track() == ofNetwork || tr.kind == pause || tr.kind == hiccup
			return apart && from <= tr.to+int64(claimAftermath) && to >= tr.from
		})
	}
}

// finish reads every key at every node, once all faults are over.
func (r *running) finish(t *testing.T) {
	nodes := r.cluster.running()
	for _, key := range slices.Concat(r.keys, r.built) {
		truth := &history.Op{Client: -1, Node: nodes[0].index, Key: key, Verb: history.Get, Fresh: true}
		r.client(-1, nodes[0]).do(truth)
		for i, n := range nodes {
			o := &history.Op{Client: -2 - i, Node: n.index, Key: key, Verb: history.Get}
			r.client(o.Client, n).do(o)
			if truth.Outcome != history.Done || o.Outcome != history.Done || o.Found != truth.Found {
				t.Errorf("when all was over:\n%s\n%s", truth, o)
			}
		}
	}
}

var removed = regexp.MustCompile(`(?m)^larder_expired_removed_total ([0-9]+)$`)

// tellExpired says how much has expired, and how much of that the nodes that run have removed from S3.
func (r *running) tellExpired(t *testing.T) {
	expired, gone := 0, 0
	for _, o := range r.history.All() {
		if o.Verb == history.Expire {
			expired++
		}
	}
	for _, n := range r.cluster.running() {
		if b, err := n.look("/metrics"); err == nil {
			if m := removed.FindSubmatch(b); m != nil {
				n, _ := strconv.Atoi(string(m[1])) // it is one
				gone += n
			}
		}
	}
	t.Logf("%d moments; %d objects that had expired were removed from S3", expired, gone)
}

// check holds the history to what is promised: it is linearizable, but for reads while
// members may have disagreed, which may be old by --revalidate.
func (r *running) check(t *testing.T) {
	for _, err := range r.wrongs {
		t.Error(err)
	}
	var all []history.Stale
	for key, ops := range r.history.ByKey() {
		for _, e := range history.Expired(ops) {
			t.Errorf("%s\nis of what nobody should have seen for %s, since\n%s", e.Read, e.Age, e.By)
		}
		old := history.StaleReads(ops)
		all = append(all, old...)
		tooOld := slices.DeleteFunc(slices.Clone(old), func(st history.Stale) bool {
			return r.relaxed(st.Read) && st.Age <= revalidate+time.Duration(st.Read.Ret-st.Read.Call)
		})
		if len(tooOld) > 0 {
			t.Errorf("%d reads were too old, the first by %s:\n%s\nreplaced by\n%s", len(tooOld), tooOld[0].Age, tooOld[0].Read, tooOld[0].By)
		}
		var judged []*history.Op
		for _, o := range ops {
			if o.Lenient = r.relaxed(o); !o.Lenient || !o.Reads() || o.Fresh {
				judged = append(judged, o)
			}
		}
		v := history.Linearizable(judged)
		if v.CheckResult == porcupine.Ok {
			continue
		}
		path, err := history.Report(fmt.Sprintf("%d-%s", r.seed, key), v, judged)
		t.Errorf("%s: linearizable: %s; see %s (%v)", key, v.CheckResult, path, err)
	}
	oldest := history.Stale{}
	for _, st := range all {
		if st.Age > oldest.Age {
			oldest = st
		}
	}
	t.Logf("stale reads: %d, the oldest by %s", len(all), oldest.Age)
}

// availability shows the toll of each fault and asserts what must not fail.
func (r *running) availability(t *testing.T, troubles []trouble) {
	ops := r.history.All()
	t.Log(table(tolls(ops, r.cluster.nodes, troubles)))
	for _, o := range ops {
		if o.Outcome == history.Done || !r.cluster.nodes[o.Node].well(o) {
			continue
		}
		excused := slices.ContainsFunc(troubles, func(tr trouble) bool {
			tr.to += int64(s3Aftermath)
			return tr.kind.track() == ofS3 && tr.overlaps(o)
		})
		if o.Reads() && !excused || r.smooth() {
			t.Errorf("not answered: %s", o)
		}
	}
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/miekg/dns"
	"github.com/rs/zerolog"

	"larder/test/testcluster"
)

// count is how many lines of a log hold both.
func count(l *testcluster.Logged, level, text string) int {
	return len(l.With(`"level":"`+level+`"`, text))
}

func logged(l *testcluster.Logged) setup {
	return config(func(cfg *Config) { cfg.Log = zerolog.New(l) })
}

func await(t *testing.T, l *testcluster.Logged, level, text string) {
	t.Helper()
	testcluster.Soon(t, func() error {
		if count(l, level, text) == 0 {
			return fmt.Errorf("no %s of %q", level, text)
		}
		return nil
	})
}

func TestJoinIsTriedUntilTheSeedStarts(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var log testcluster.Logged
	early := start(t, "early", logged(&log), config(func(cfg *Config) { cfg.Join = []string{addr} }))
	await(t, &log, "warn", "cannot join yet")
	if early.Joined() {
		t.Error("joined nobody")
	}
	seed := start(t, "seed", config(func(cfg *Config) { cfg.GossipAddr = addr }))
	agree(t, early, seed)
	testcluster.Soon(t, func() error {
		if !early.Joined() {
			return errors.New("has not noticed that it joined")
		}
		return nil
	})
	if n := count(&log, "warn", "cannot join yet"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

// A node whose others are all dead is not as useless as they are, and has them
// back when they come.
func TestNobodyToMeet(t *testing.T) {
	port := freePort(t, "127.0.0.1", "127.0.0.2")
	dead := []string{fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.2:%d", port)}
	var log testcluster.Logged
	join := config(func(cfg *Config) { cfg.Join = dead })
	waiting := start(t, "waiting", join)
	alone := start(t, "alone", join, logged(&log), before(func(c *Cluster) { c.patience = 100 * time.Millisecond }))
	await(t, &log, "warn", "goes on alone")
	if told, broken := count(&log, "warn", "cannot join yet"), count(&log, "warn", `\n`); told != 1 || broken != 0 {
		t.Errorf("%d warnings, %d of several lines", told, broken)
	}
	if !alone.Joined() || waiting.Joined() {
		t.Errorf("joined: %t who has waited, %t who has not", alone.Joined(), waiting.Joined())
	}
	back := start(t, "back", config(func(cfg *Config) { cfg.GossipAddr = dead[1] }))
	agree(t, waiting, alone, back)
}

// A name that does not resolve tells nothing of who is there.
func TestUnknownNameIsNotNobody(t *testing.T) {
	names := startNameServer(t)
	addr := fmt.Sprintf("127.0.0.1:%d", freePort(t, "127.0.0.1"))
	var log testcluster.Logged
	n := start(t, "a", logged(&log), config(func(cfg *Config) {
		cfg.Join = []string{addr, "dns+nodes.larder.test:7946"}
	}), before(func(c *Cluster) { c.resolver, c.patience = names.resolver(), 0 }))
	await(t, &log, "warn", "cannot join yet")
	for range 3 {
		if met, err := n.meet(t.Context(), n.list); met || err == nil || errors.Is(err, errNobody) {
			t.Errorf("met, or found nobody: %v", err)
		}
	}
	if n.Joined() {
		t.Error("joined")
	}
}

// Who meets a member has joined, while addresses of the dead still swallow what
// is sent to them.
func TestDeadAddressesHoldNobodyUp(t *testing.T) {
	a := start(t, "a")
	const dead = "127.0.0.9:1"
	release := make(chan struct{})
	b := start(t, "b", joining(a), config(func(cfg *Config) { cfg.Join = append(cfg.Join, dead) }), before(func(c *Cluster) {
		c.wrapTransport = func(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			return swallowing{NodeAwareTransport: t, addr: dead, release: release}
		}
	}))
	t.Cleanup(func() { close(release) }) // before b ends, which waits for it
	testcluster.Soon(t, func() error {
		if !b.Joined() {
			return errors.New("waits for a dead address")
		}
		return nil
	})
	agree(t, a, b)
}

// swallowing answers nothing from an address until it is released.
type swallowing struct {
	memberlist.NodeAwareTransport
	addr    string
	release chan struct{}
}

func (t swallowing) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if a.Addr == t.addr {
		<-t.release
		return nil, errors.New("released")
	}
	return t.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

func TestOwnAddressAmongThoseToJoin(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		n := start(t, "a", config(func(cfg *Config) {
			cfg.GossipAddr, cfg.Advertise = bind, "127.0.0.1"
		}), before(func(c *Cluster) {
			c.seeds = []seed{{host: "localhost", port: uint16(c.sockets.addr().Port)}}
			if bind == "127.0.0.1:0" {
				c.seeds[0].host = "127.0.0.1"
			}
		}))
		testcluster.Soon(t, func() error {
			if !n.Joined() {
				return fmt.Errorf("bound to %s and joining itself: waits for others", bind)
			}
			return nil
		})
		seeds, err := n.lookup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		n.records[n.self.ID].gossipAddr = "" // as behind a name that others know it by
		n.mu.Unlock()
		if missing := n.missing(seeds); len(missing) > 0 {
			t.Errorf("bound to %s, looks for itself at %v", bind, missing)
		}
	}
}

// Clusters of other labels or secrets never merge, and say why, once.
func TestStrangersDoNotJoin(t *testing.T) {
	for _, c := range []struct {
		name           string
		label          string
		secrets        *Secrets
		warning, heard string
	}{
		{"other label", "other", mustSecrets(t, testSecret), "cannot join", "its label is not ours"},
		{"other secret", "test", mustSecrets(t, "another secret of the tests"), "cannot join", "compare --cluster-secret-file"},
		{"no secret", "test", nil, "cannot join", "compare --cluster-secret-file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said, heard testcluster.Logged
			a := start(t, "a", logged(&heard))
			b := start(t, "b", joining(a), logged(&said), config(func(cfg *Config) { cfg.Label, cfg.Secrets = c.label, c.secrets }),
				before(func(c *Cluster) { c.patience = 0 }))
			await(t, &said, "warn", c.warning)
			await(t, &heard, "warn", c.heard)
			for range 3 {
				if met, err := b.meet(t.Context(), b.list); met || err == nil || errors.Is(err, errNobody) {
					t.Errorf("met, or found nobody: %v", err)
				}
			}
			if b.Joined() || len(a.Members()) != 1 || len(b.Members()) != 1 {
				t.Errorf("members %v and %v", a.Members(), b.Members())
			}
			if n, m := count(&said, "warn", c.warning), count(&heard, "warn", c.heard); n != 1 || m != 1 {
				t.Errorf("%d and %d warnings", n, m)
			}
		})
	}
}

// nameServer answers for one name with addresses that can change.
type nameServer struct {
	conn net.PacketConn

	mu    sync.Mutex // guards addrs
	addrs []string
}

func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{conn: conn}
	srv := &dns.Server{PacketConn: conn, Handler: s}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return s
}

func (s *nameServer) set(addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = addrs
}

// ServeDNS answers one query; with no addresses the name does not exist.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := new(dns.Msg).SetReply(q)
	if len(s.addrs) == 0 {
		answer.Rcode = dns.RcodeNameError
	}
	if q.Question[0].Qtype == dns.TypeA {
		for _, addr := range s.addrs {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET},
				A:   net.ParseIP(addr),
			})
		}
	}
	_ = w.WriteMsg(answer)
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// Nodes that find only themselves at first, as the pods of a set do that start
// together, merge when the name shows the others; and a name is asked again
// when its addresses change.
func TestNamesAreLookedUpAgainAndAgain(t *testing.T) {
	names := startNameServer(t)
	port := freePort(t, "127.0.0.1", "127.0.0.2", "127.0.0.3")
	at := func(i int) node {
		addr := fmt.Sprintf("127.0.0.%d", i)
		return start(t, fmt.Sprint("node-", i), config(func(cfg *Config) {
			cfg.GossipAddr = fmt.Sprintf("%s:%d", addr, port)
			cfg.Join = []string{fmt.Sprintf("dns+nodes.larder.test:%d", port)}
		}), before(func(c *Cluster) { c.resolver = names.resolver() }))
	}
	joins := func(n node) {
		testcluster.Soon(t, func() error {
			if !n.Joined() {
				return fmt.Errorf("%s has not joined", n.self.Name)
			}
			return nil
		})
	}
	a := at(1)
	if met, err := a.meet(t.Context(), nil); met || err == nil {
		t.Error("a name that does not resolve counts as nobody to join")
	}
	names.set("127.0.0.1")
	joins(a)
	names.set("127.0.0.2")
	b := at(2)
	joins(b)
	if len(a.Members()) != 1 || len(b.Members()) != 1 {
		t.Fatal("they met too early for this test")
	}
	names.set("127.0.0.1", "127.0.0.2", "127.0.0.3")
	c := at(3)
	agree(t, a, b, c)
}

// freePort returns a port that is free for TCP and UDP on all those addresses.
func freePort(t *testing.T, hosts ...string) int {
	t.Helper()
	for range 20 {
		first, err := bindGossip(&realNetwork{}, hosts[0]+":0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.addr().Port
		first.close()
		if !slices.ContainsFunc(hosts[1:], func(host string) bool {
			s, err := bindBoth(&realNetwork{}, fmt.Sprintf("%s:%d", host, port))
			if err == nil {
				s.close()
			}
			return err != nil
		}) {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// network carries the gossip of several nodes and can be cut in two.
type network struct {
	mu   sync.Mutex // guards side
	side map[string]bool
}

func (n *network) split(nodes ...node) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = make(map[string]bool)
	for _, node := range nodes {
		n.side[node.gossipAddr()] = true
	}
}

func (n *network) cut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.side[from] != n.side[to]
}

func (n *network) setup() setup {
	return before(func(c *Cluster) {
		c.wrapTransport = func(t memberlist.NodeAwareTransport) memberlist.NodeAwareTransport {
			return cutTransport{NodeAwareTransport: t, network: n, self: c.sockets.addr().String()}
		}
	})
}

// cutTransport loses what crosses the cut.
type cutTransport struct {
	memberlist.NodeAwareTransport
	network *network
	self    string
}

func (t cutTransport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.network.cut(t.self, a.Addr) {
		return time.Now(), nil
	}
	return t.NodeAwareTransport.WriteToAddress(b, a)
}

func (t cutTransport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.network.cut(t.self, a.Addr) {
		return nil, errors.New("no route to host")
	}
	return t.NodeAwareTransport.DialAddressTimeout(a, timeout)
}

// A node that has to wait with Run is nobody to those who look for it, and takes part at the
// same ports when it runs.
func TestClosedUntilRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	late, err := New(Config{
		Name: "late", GossipAddr: "127.0.0.1:0", PeerAddr: "127.0.0.1:0", Label: "test", Secrets: mustSecrets(t, testSecret), Log: testcluster.Logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	late.CloseUntilRun()
	late.CloseUntilRun()
	alone := start(t, "alone", config(func(cfg *Config) { cfg.Join = []string{late.GossipAddr()} }), before(func(c *Cluster) { c.patience = 100 * time.Millisecond }))
	testcluster.Holds(t, "it goes on alone", alone.Joined)
	var running sync.WaitGroup
	running.Go(func() {
		if err := late.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	testcluster.Holds(t, "both meet", func() bool { return len(alone.Members()) == 2 && len(late.Members()) == 2 })
	stop()
	running.Wait()
}

// Package cluster knows which nodes are alive, which of them owns a hash, and
// how to talk to them.
//
// Membership comes from memberlist, ownership from rendezvous hashing over the
// members' stable names (the ring), and talk is questions and answers on
// authenticated connections (the peer port). The node's wiring, the read path
// and the write path call it. It guarantees that a question is answered by the
// very process it was meant for or by nobody, and that a node that leaves has
// stopped owning before anybody else is told. Members may disagree about each
// other for seconds at a time: correctness must never rest on their agreeing.
// The package must know nothing of what is stored or where. A Cluster is safe
// for concurrent use.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"larder/peer"
)

var (
	// ErrMemberGone ends the waiting for a member that was seen dead. Unless
	// ErrUnreachable comes with it, the member may have heard the question.
	ErrMemberGone = errors.New("the member is gone")

	// ErrUnreachable says that the member surely did not hear the question.
	ErrUnreachable = peer.ErrUnreachable

	errStopped = errors.New("this node has stopped")
)

// Config says who the node is and where it meets the others.
type Config struct {
	Name       string   // the stable name, which survives restarts; the ring hashes it
	GossipAddr string   // host:port to bind for gossip, TCP and UDP; port 0 takes a free one
	PeerAddr   string   // host:port to bind for peers; port 0 takes a free one
	Advertise  string   // host or IP that others are told; empty: the address bound
	Join       []string // members to join: host:port, or dns+NAME:PORT
	Label      string   // clusters with different labels never merge
	Secrets    *Secrets // protect gossip and peer connections; nil protects nothing: for loopback only
	Encrypt    bool     // the peer port; nodes that do not want it encrypt towards one that does
	Network    Network  // nil is the machine's; see peer.Config.Dial of another's connections
	Log        zerolog.Logger
}

// Member is one start of one node.
type Member struct {
	Name        string // the stable name
	PeerAddr    string // host:port of its peer port
	Incarnation uint64 // when it started, in Unix nanoseconds: of two with the same name the later one counts
	ID          string // random, new with every start
	Encrypted   bool   // it takes no connection that is not encrypted
}

// Cluster is this node's view of the cluster and its place in it.
type Cluster struct {
	cfg  Config
	log  zerolog.Logger
	self Member

	sockets  gossipSockets
	gossipIP net.IP // what others are told
	seeds    []seed
	resolver *net.Resolver
	rejoin   time.Duration // how often a joined node looks for members that it misses
	forget   time.Duration // after which memberlist forgets a member that died
	patience time.Duration // how long a node looks for somebody before it goes on alone

	peers    net.Listener
	port     *peer.Port
	hints    *hints
	joinLog  zerolog.Logger // one warning a minute
	metaLog  zerolog.Logger // the same
	askerLog zerolog.Logger // the same

	ring     atomic.Pointer[ring]
	joined   atomic.Bool
	started  atomic.Bool
	closed   bool               // its ports take no connections until Run
	onChange []func()           // fixed once Run has begun
	changed  chan struct{}      // holds a token while a ring change has not been told yet
	doubts   chan struct{}      // holds a token when somebody is doubted
	barriers chan chan struct{} // closed by the teller once all earlier changes have been told

	wrapTransport func(memberlist.NodeAwareTransport) memberlist.NodeAwareTransport // tests cut the network here

	// listMu is held while memberlist is told to leave, and by the end of Run:
	// memberlist panics when told to leave after its shutdown.
	listMu sync.Mutex
	list   *memberlist.Memberlist // nil while Run is not running

	// mu guards the fields below. memberlist calls into this package with its
	// own lock held and mu is taken then, so memberlist must never be called
	// with mu held.
	mu         sync.Mutex
	records    map[string]*record // by Member.ID; self is always there
	departures []Departure        // oldest first
	farewells  map[string]time.Time
	gone       gone
	doubted    map[string]doubt // by Member.ID
}

// GossipAddr returns the address that was bound for gossip.
func (c *Cluster) GossipAddr() string { return c.sockets.addr().String() }

// New checks cfg and binds both ports, and starts nothing else. Run must
// follow, if only with an ended context, for the ports to be closed again.
func New(cfg Config) (*Cluster, error) {
	seeds, err := parseSeeds(cfg.Join)
	if err != nil {
		return nil, err
	}
	switch {
	case cfg.Name == "":
		return nil, errors.New("--name: a node needs a name that survives its restarts")
	case len(cfg.Label) > memberlist.LabelMaxSize:
		return nil, fmt.Errorf("cluster label: %d bytes, at most %d are possible", len(cfg.Label), memberlist.LabelMaxSize)
	}
	if cfg.Network == nil {
		cfg.Network = &realNetwork{}
	}
	sockets, err := bindGossip(cfg.Network, cfg.GossipAddr)
	if err != nil {
		return nil, err
	}
	peers, err := cfg.Network.Listen("tcp", cfg.PeerAddr)
	if err != nil {
		sockets.close()
		return nil, bindError("--peer-addr", cfg.PeerAddr, err)
	}
	c, err := assemble(cfg, seeds, sockets, peers)
	if err != nil {
		sockets.close()
		_ = peers.Close()
		return nil, err
	}
	return c, nil
}

// assemble puts a Cluster together around its bound ports.
func assemble(cfg Config, seeds []seed, sockets gossipSockets, peers net.Listener) (*Cluster, error) {
	_, gossipIP, err := advertised(cfg.Advertise, sockets.addr().IP)
	if err != nil {
		return nil, err
	}
	peerTCP := peers.Addr().(*net.TCPAddr)
	peerHost, _, err := advertised(cfg.Advertise, peerTCP.IP)
	if err != nil {
		return nil, err
	}
	if cfg.Secrets == nil {
		cfg.Secrets = &Secrets{}
	}
	keys, err := cfg.Secrets.PeerKeys()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		cfg: cfg,
		log: cfg.Log.With().Str("component", "cluster").Logger(),
		self: Member{
			Name:        cfg.Name,
			PeerAddr:    net.JoinHostPort(peerHost, fmt.Sprint(peerTCP.Port)),
			Incarnation: uint64(time.Now().UnixNano()),
			ID:          rand.Text(),
			Encrypted:   cfg.Encrypt,
		},
		sockets:   sockets,
		gossipIP:  gossipIP,
		seeds:     seeds,
		resolver:  net.DefaultResolver,
		rejoin:    rejoinInterval,
		forget:    forgetAfter,
		patience:  aloneAfter,
		peers:     peers,
		changed:   make(chan struct{}, 1),
		barriers:  make(chan chan struct{}),
		records:   make(map[string]*record),
		farewells: make(map[string]time.Time),
		gone:      newGone(),
		doubted:   make(map[string]doubt),
		doubts:    make(chan struct{}, 1),
	}
	if _, err := encodeMeta(c.self, true); err != nil {
		return nil, err
	}
	c.port = peer.New(peer.Config{ID: c.self.ID, Label: cfg.Label, Keys: keys, Encrypt: cfg.Encrypt, Dial: cfg.Network.DialContext, Log: c.log})
	c.joinLog, c.metaLog, c.askerLog = seldom(c.log), seldom(c.log), seldom(c.log)
	c.hints = newHints(c)
	c.records[c.self.ID] = c.newRecord(c.self, "")
	c.ring.Store(newRing(1, c.self, c.records))
	c.port.Handle(leavingRoute, c.handleLeaving) // which may overtake the news of its asker
	return c, nil
}

// OnChange registers f to be called after ring changes, from one goroutine and
// in order. One call may stand for changes that follow each other closely. It
// must be called before Run.
func (c *Cluster) OnChange(f func()) { c.onChange = append(c.onChange, f) }

// Self returns this node, whether it is leaving or not.
func (c *Cluster) Self() Member { return c.self }

// Joined reports whether the node has met the cluster: it has seen another
// member, there is nobody to join, or for half a minute nobody has listened at
// any address of Config.Join. The functions of OnChange have been told of whom
// it met.
func (c *Cluster) Joined() bool { return c.joined.Load() }

// Run serves peers, gossips and joins until ctx ends, and then closes both
// ports without a goodbye: see Leave. It may be called once.
func (c *Cluster) Run(ctx context.Context) error {
	if !c.started.CompareAndSwap(false, true) {
		return errors.New("run cluster: it ran before")
	}
	if err := c.reopen(); err != nil {
		return fmt.Errorf("run cluster: %w", err)
	}
	list, err := c.startGossip()
	if err != nil {
		_ = c.peers.Close()
		return fmt.Errorf("run cluster: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { c.port.Serve(ctx, c.peers); return nil })
	g.Go(func() error { c.tellChanges(ctx); return nil })
	g.Go(func() error { c.hints.deliver(ctx); return nil })
	g.Go(func() error { c.join(ctx, list); return nil })
	g.Go(func() error { c.probeDoubted(ctx); return nil })
	<-ctx.Done()
	c.stopGossip()
	c.endQuestions()
	return g.Wait()
}

// CloseUntilRun closes the ports until Run, if that has to wait: whoever dials this node is
// refused, as where no node runs, and does not wait for an answer.
func (c *Cluster) CloseUntilRun() {
	c.closed = true
	_ = c.sockets.tcp.Close()
	_ = c.peers.Close()
}

// reopen opens the ports again that CloseUntilRun has closed.
func (c *Cluster) reopen() (err error) {
	if !c.closed {
		return nil
	}
	if c.sockets.tcp, err = c.cfg.Network.Listen("tcp", c.sockets.addr().String()); err != nil {
		_ = c.sockets.udp.Close()
		return bindError("--gossip-addr", c.cfg.GossipAddr, err)
	}
	if c.peers, err = c.cfg.Network.Listen("tcp", c.peers.Addr().String()); err != nil {
		c.sockets.close()
		return bindError("--peer-addr", c.cfg.PeerAddr, err)
	}
	return nil
}

func (c *Cluster) startGossip() (*memberlist.Memberlist, error) {
	var transport memberlist.NodeAwareTransport = newGossipTransport(c.sockets, c.gossipIP, c.log)
	if c.wrapTransport != nil {
		transport = c.wrapTransport(transport)
	}
	list, err := memberlist.Create(c.memberlistConfig(transport))
	if err != nil {
		_ = transport.Shutdown()
		return nil, fmt.Errorf("start gossip: %w", err)
	}
	c.listMu.Lock()
	defer c.listMu.Unlock()
	c.list = list
	return list, nil
}

// stopGossip shuts memberlist down once a Leave under way has ended.
// memberlist's own goroutines see it within a probe interval; nothing of it can
// be waited for.
func (c *Cluster) stopGossip() {
	c.listMu.Lock()
	defer c.listMu.Unlock()
	if err := c.list.Shutdown(); err != nil {
		c.log.Debug().Err(err).Msg("gossip did not stop cleanly")
	}
	c.list = nil
}

// endQuestions ends the waiting for other members' answers.
func (c *Cluster) endQuestions() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rec := range c.records {
		rec.pool.End(errStopped)
	}
}

// tellChanges calls the functions that OnChange registered. The first member that
// this node meets makes it a joined one: the round of joining may take seconds
// more, where packets to dead addresses are lost.
func (c *Cluster) tellChanges(ctx context.Context) {
	tell := func() {
		for _, f := range c.onChange {
			f()
		}
		if len(c.Members()) > 1 {
			c.noteJoined()
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
			tell()
		case told := <-c.barriers:
			select {
			case <-c.changed:
				tell()
			default:
			}
			close(told)
		}
	}
}

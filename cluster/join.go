package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
	"golang.org/x/sync/errgroup"
)

const (
	joinBackoffFirst = 250 * time.Millisecond
	joinBackoffMost  = 5 * time.Second
	rejoinInterval   = 5 * time.Second
	joinsAtOnce      = 8
	lookupTimeout    = 5 * time.Second
	// aloneAfter is how long nobody must have been at any address to join
	// before a node counts as joined. A cluster's DNS keeps answers for at most
	// as long, and tells of the dead until then.
	aloneAfter = 30 * time.Second
)

// seed is one entry of Config.Join: a name or an address under which members
// may be found.
type seed struct {
	host string
	port uint16
}

// parseSeeds reads host:port and dns+NAME:PORT. Both are looked up afresh every
// time and stand for all the addresses that they resolve to; the longer form
// says so to the reader.
func parseSeeds(join []string) ([]seed, error) {
	var seeds []seed
	for _, entry := range join {
		host, portText, err := net.SplitHostPort(strings.TrimPrefix(entry, "dns+"))
		if err != nil {
			return nil, fmt.Errorf("--join %s: give host:port or dns+NAME:PORT: %w", entry, err)
		}
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || port == 0 || host == "" {
			return nil, fmt.Errorf("--join %s: give host:port or dns+NAME:PORT", entry)
		}
		seeds = append(seeds, seed{host: host, port: uint16(port)})
	}
	return seeds, nil
}

// join meets the cluster and keeps meeting it, until ctx ends. Each round joins
// every address of the seeds, looked up afresh, and of members that died, which
// is not the address of a live member. So clusters that formed apart merge, a
// partition heals from both sides, and a node that was paused for long is told
// that it was taken for dead. The price is one failed connection a round for
// each address where nobody is.
func (c *Cluster) join(ctx context.Context, list *memberlist.Memberlist) {
	backoff := joinBackoffFirst
	var alone time.Time // since when nobody was anywhere
	for {
		met, err := c.meet(ctx, list)
		switch {
		case met && c.toldAll(ctx) == nil: // who sees that this node has joined sees what that has changed
			c.noteJoined()
		case !errors.Is(err, errNobody):
			alone = time.Time{}
		case alone.IsZero():
			alone = time.Now()
		case time.Since(alone) > c.patience:
			c.noteAlone()
		}
		wait := c.rejoin
		if !c.joined.Load() {
			if ctx.Err() == nil {
				c.joinLog.Warn().Err(err).Strs("join", c.cfg.Join).
					Msg("cannot join yet, trying on: check that --join names running nodes, and that secret and label are the same there")
			}
			wait, backoff = backoff, min(2*backoff, joinBackoffMost)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// noteJoined records that the node has met the cluster.
func (c *Cluster) noteJoined() {
	if c.joined.CompareAndSwap(false, true) {
		c.log.Info().Int("members", len(c.Members())).Msg("joined the cluster")
	}
}

// noteAlone records that there is no cluster to meet: the others are dead, and a
// node that waited for them would serve nobody. A node that is refused goes on
// waiting.
func (c *Cluster) noteAlone() {
	if c.joined.CompareAndSwap(false, true) {
		c.log.Warn().Dur("dur", c.patience).Strs("join", c.cfg.Join).
			Msg("nobody listens at any address of --join: this node goes on alone, and looks for them still")
	}
}

// meet makes one round. met says that the node is where it should be: it has
// met somebody, or nobody is missing. The error is errNobody if each address
// was tried and nobody listens at any.
func (c *Cluster) meet(ctx context.Context, list *memberlist.Memberlist) (met bool, err error) {
	seeds, err := c.lookup(ctx)
	missing := c.missing(seeds)
	if len(missing) == 0 {
		return err == nil, err
	}
	joined := make([]error, len(missing))
	g := new(errgroup.Group)
	g.SetLimit(joinsAtOnce)
	for i, addr := range missing {
		g.Go(func() error {
			joined[i] = joinOne(list, addr)
			return nil
		})
	}
	_ = g.Wait()               // each answer is in joined
	met = len(c.Members()) > 1 // others may have found this node first, and only dead addresses are left
	nobody := err == nil
	for i, joinErr := range joined {
		if joinErr == nil {
			met = true
			continue
		}
		nobody = nobody && strings.Contains(joinErr.Error(), errNobody.Error()) // memberlist keeps the text alone
		c.log.Debug().Err(joinErr).Str("addr", missing[i].String()).Msg("address not joined")
		if err == nil {
			err = joinErr
		} else {
			err = fmt.Errorf("%w; %w", err, joinErr)
		}
	}
	if nobody && err != nil {
		err = fmt.Errorf("%w: %w", errNobody, err)
	}
	return met, err
}

// joinOne joins one address. Memberlist puts even a single error into a list of
// several lines, and logs have one.
func joinOne(list *memberlist.Memberlist, addr netip.AddrPort) error {
	_, err := list.Join([]string{addr.String()})
	if only := errors.Unwrap(err); only != nil {
		return only
	}
	return err
}

// lookup resolves all seeds. It returns what it could find, and an error if
// that may not be all.
func (c *Cluster) lookup(ctx context.Context) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var found []netip.AddrPort
	var errs error
	for _, s := range c.seeds {
		ips, err := c.resolver.LookupNetIP(ctx, "ip", s.host)
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("look up %s: %w", s.host, err))
			continue
		}
		for _, ip := range ips {
			found = append(found, netip.AddrPortFrom(ip.Unmap(), s.port))
		}
	}
	return found, errs
}

// missing returns the addresses where a member should be and, as far as this
// node knows, none is.
func (c *Cluster) missing(seeds []netip.AddrPort) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.departures {
		if addr, err := netip.ParseAddrPort(d.gossipAddr); err == nil {
			seeds = append(seeds, addr)
		}
	}
	live := make(map[string]bool, len(c.records))
	for _, rec := range c.records {
		live[rec.gossipAddr] = true
	}
	var missing []netip.AddrPort
	for _, addr := range seeds {
		if !live[addr.String()] && !c.isSelf(addr) && !slices.Contains(missing, addr) {
			missing = append(missing, addr)
		}
	}
	return missing
}

// isSelf reports whether addr is this node's own gossip address, as others are
// told or as bound.
func (c *Cluster) isSelf(addr netip.AddrPort) bool {
	bound := c.sockets.addr()
	if int(addr.Port()) != bound.Port {
		return false
	}
	ip := net.IP(addr.Addr().AsSlice())
	if ip.Equal(c.gossipIP) || ip.Equal(bound.IP) {
		return true
	}
	if !bound.IP.IsUnspecified() {
		return false
	}
	own, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

package cluster

import (
	"bytes"
	"log"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

// forgetAfter is how long memberlist remembers dead members, and gossips to them.
const forgetAfter = 10 * time.Second

// memberlistConfig is memberlist's setting for a LAN made quicker: a node that
// was killed is seen dead after about 3 s instead of 7, at 1.5 % of a core for
// five nodes.
func (c *Cluster) memberlistConfig(t memberlist.Transport) *memberlist.Config {
	cfg := memberlist.DefaultLANConfig()
	cfg.Name = c.self.ID // new with every start, so that memberlist never takes a restart for the start before
	cfg.Transport = t
	cfg.BindPort = c.sockets.addr().Port
	cfg.Label = c.cfg.Label
	cfg.SuspicionMult = 3
	cfg.ProbeInterval = 500 * time.Millisecond
	cfg.ProbeTimeout = 250 * time.Millisecond
	cfg.GossipInterval = 50 * time.Millisecond
	// Who misses that a member is there learns of it when states are compared, up to
	// 30 s later, and takes others for owners until then.
	cfg.RetransmitMult = gossipRepeats
	cfg.GossipToTheDeadTime = c.forget
	cfg.PushPullInterval = 15 * time.Second
	cfg.TCPTimeout = 5 * time.Second
	cfg.EnableCompression = false // packets have a hundred bytes, and a compressor takes its tables anew for each
	cfg.Delegate = delegate{c}
	cfg.Events = delegate{c}
	cfg.DelegateProtocolMin, cfg.DelegateProtocolVersion, cfg.DelegateProtocolMax = 1, 1, 1
	cfg.Logger = log.New(newMemberlistLog(c.log), "", 0)
	cfg.Keyring = &c.cfg.Secrets.gossip
	return cfg
}

// memberlistLog takes memberlist's log lines. Most are of no use to whoever
// runs a node, whatever level memberlist gives them: they go to debug, but for
// a few kinds of real trouble, each of which is told at most once a minute.
type memberlistLog struct {
	log      zerolog.Logger
	troubles []trouble
}

// trouble is a kind of line, known by a part of its text.
type trouble struct {
	sign, warning string
	log           zerolog.Logger
}

func newMemberlistLog(log zerolog.Logger) *memberlistLog {
	const otherSecret = "refused gossip under another secret: compare --cluster-secret-file on all nodes"
	l := &memberlistLog{log: log, troubles: []trouble{
		{sign: "unacceptable label", warning: "refused gossip of another cluster: its label is not ours"},
		{sign: "Decrypt packet failed", warning: otherSecret},
		{sign: "could decrypt the message", warning: otherSecret},
		{sign: "remote state is not encrypted", warning: "refused gossip without a secret: compare --cluster-secret-file on all nodes"},
		{sign: "encryption is not configured", warning: "refused gossip under a secret, and this node has none: set --cluster-secret-file"},
		{sign: "UDP probes failed", warning: "a member answers over TCP but not over UDP: open the gossip port for both"},
		{sign: "handler queue full", warning: "more gossip arrives than can be handled: some is dropped"},
	}}
	for i := range l.troubles {
		l.troubles[i].log = seldom(log)
	}
	return l
}

// seldom is a logger for one kind of line that would repeat itself: it lets one
// pass a minute.
func seldom(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
}

// Write takes one line.
func (l *memberlistLog) Write(line []byte) (int, error) {
	text := bytes.TrimSpace(line)
	for _, t := range l.troubles {
		if bytes.Contains(text, []byte(t.sign)) {
			t.log.Warn().Bytes("detail", text).Msg(t.warning)
			return len(line), nil
		}
	}
	l.log.Debug().Bytes("detail", text).Msg("memberlist")
	return len(line), nil
}

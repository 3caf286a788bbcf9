package httpapi

import (
	"encoding/json"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"larder/builds"
)

const (
	// waitLine is how often who waits hears something, heldLine who builds: the lines
	// of a builder who reads none must not fill its window.
	waitLine = 5 * time.Second
	heldLine = 15 * time.Second
	// leastPause is between two lines to a caller who waits.
	leastPause = 200 * time.Millisecond
	// A machine that is gone is seen within three seconds: by what is not
	// acknowledged, or by probes when nothing was sent.
	goneAfter  = 3 * time.Second
	probeAfter = time.Second
)

// event is a line of a stream, other than those to who waits: see waiting.
type event struct {
	Event   string `json:"event"`
	Claim   string `json:"claim,omitempty"`
	TTL     int    `json:"ttl,omitempty"`
	ETag    string `json:"etag,omitempty"`
	Builder string `json:"builder,omitempty"`
	Error   string `json:"error,omitempty"`
	// Type, Status and Detail are those of a problem.
	Type   string `json:"type,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// streamBuild tells a caller line by line what becomes of it, until that is decided. The
// stream of a builder stays open, and its end gives the claim up.
func (a *API) streamBuild(c *call, v *builds.Visit) error {
	unwatch := watchConnection(c)
	defer unwatch()
	h := c.w.Header()
	h.Set("Content-Type", ndjson)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // of a proxy that would hold lines back
	c.w.WriteHeader(http.StatusOK)
	if err := c.w.FlushError(); err != nil {
		return nil // a client that has left needs no answer
	}
	if s, changed := v.State(); s.Kind == "" && !awaitLine(c, v, s, changed, waitLine) {
		return nil
	}
	granted := false
	for {
		s, changed := v.State()
		line, last, err := a.lineOf(c, s, granted)
		if err != nil {
			return err
		}
		if err := sendLine(c, line); err != nil || last {
			return nil // a client that has left needs no answer
		}
		pause := waitLine
		if granted = s.Kind == builds.Granted; granted {
			pause = heldLine
		}
		if !awaitLine(c, v, s, changed, pause) {
			return nil
		}
	}
}

// awaitLine waits until there is another line to send, and reports whether there is one.
func awaitLine(c *call, v *builds.Visit, was builds.State, changed <-chan struct{}, pause time.Duration) bool {
	next := time.NewTimer(pause)
	defer next.Stop()
	soonest := time.Now().Add(leastPause)
	for {
		select {
		case <-c.Context().Done():
			return false
		case <-next.C:
			return true
		case <-changed:
		}
		var s builds.State
		s, changed = v.State()
		switch {
		case s.Kind != was.Kind:
			return true
		case s.Kind == builds.Waits && !sameWait(s, was):
			next.Reset(min(pause, time.Until(soonest)))
		}
	}
}

// sameWait reports whether who waits has nothing new to hear.
func sameWait(a, b builds.State) bool {
	if a.Ahead != b.Ahead || (a.Build == nil) != (b.Build == nil) {
		return false
	}
	if a.Build == nil {
		return true
	}
	x, y := *a.Build, *b.Build
	moved := x.Progress != nil && (y.Progress == nil || *x.Progress != *y.Progress)
	return !moved && x.Builder == y.Builder && x.Since.Equal(y.Since) && x.Message == y.Message
}

// lineOf is what a caller hears next, and whether it is the last.
func (a *API) lineOf(c *call, s builds.State, granted bool) (line any, last bool, err error) {
	switch s.Kind {
	case "", builds.Waits:
		return waiting{Event: string(builds.Waits), underWay: underWayOf(s.Build, s.At), Ahead: s.Ahead}, false, nil
	case builds.Granted:
		if granted {
			return event{Event: "alive"}, false, nil
		}
		token, err := a.cfg.Builds.Seal(c.key, *s.Claim)
		return event{Event: string(s.Kind), Claim: token, TTL: int(builds.TTL / time.Second)}, false, err
	case builds.Built:
		return event{Event: string(s.Kind), ETag: `"` + s.ETag + `"`}, true, nil
	case builds.Failed, builds.Unstored:
		return event{Event: string(s.Kind), Builder: s.Builder, Error: s.Error}, true, nil
	case builds.Moved:
		return event{Event: string(s.Kind)}, true, nil
	case builds.Lost:
		return nil, true, nil // its holder hears more when it attaches again
	default:
		p := a.problemOf(refusedBuild(s))
		return event{Event: string(builds.Refused), Type: p.Type, Status: p.Status, Detail: p.Detail}, true, nil
	}
}

func sendLine(c *call, line any) error {
	if line == nil {
		return nil
	}
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := c.w.Write(append(b, '\n')); err != nil {
		return err
	}
	return c.w.FlushError()
}

// watchConnection makes the kernel look whether the other side of a stream is still
// there, until unwatch.
func watchConnection(c *call) (unwatch func()) {
	conn := tcpOf(c.Request)
	if conn == nil {
		return func() {}
	}
	set := func(idle, gone time.Duration, probes int) {
		_ = conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: idle, Interval: idle, Count: probes}) // the stream works without
		raw, err := conn.SyscallConn()
		if err != nil {
			return
		}
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(gone.Milliseconds()))
		})
	}
	set(probeAfter, goneAfter, int(goneAfter/probeAfter))
	const usual, usualProbes = 15 * time.Second, 9 // Go's
	return func() { set(usual, 0, usualProbes) }
}

// tcpOf is the connection that a request came by; nil if it is no TCP.
func tcpOf(r *http.Request) *net.TCPConn {
	own := connOf(r)
	if own == nil {
		return nil
	}
	for conn := own.Conn; ; {
		switch c := conn.(type) {
		case *net.TCPConn:
			return c
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
}

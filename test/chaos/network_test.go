package chaos

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// network is the wire between places: it carries the packets of each to the
// others, and can lose or delay those of each direction.
type network struct {
	tunnels []*os.File
	links   [][]*link // from, to
	wg      sync.WaitGroup
}

// link is one direction between two places.
type link struct {
	packets chan packet

	mu    sync.Mutex // guards all below
	cut   bool
	delay time.Duration
}

type packet struct {
	bytes []byte
	due   time.Time
}

// linkQueue is how many packets a link holds; more are lost, as on any wire.
const linkQueue = 4096

// newNetwork makes n places. It is an error if this machine lets us make none.
func newNetwork(t testing.TB, n int) ([]place, *network, error) {
	w := &network{}
	var places []place
	t.Cleanup(func() {
		for _, f := range w.tunnels {
			_ = f.Close()
		}
		w.wg.Wait()
		for _, p := range places {
			_ = unix.Close(p.ns)
		}
	})
	for i := range n {
		p, tunnel, err := newPlace(fmt.Sprintf("10.77.0.%d", i+1))
		if err != nil {
			return nil, nil, err
		}
		places, w.tunnels = append(places, p), append(w.tunnels, tunnel)
	}
	for from := range n {
		var row []*link
		for range n {
			row = append(row, &link{packets: make(chan packet, linkQueue)})
		}
		w.links = append(w.links, row)
		for to := range n {
			w.wg.Go(func() { w.deliver(row[to], w.tunnels[to]) })
		}
		w.wg.Go(func() { w.read(from) })
	}
	return places, w, nil
}

// read takes the packets of one place until its tunnel is closed.
func (w *network) read(from int) {
	defer func() {
		for _, l := range w.links[from] {
			close(l.packets)
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := w.tunnels[from].Read(buf)
		if err != nil {
			return
		}
		const header = 20
		if n < header || buf[0]>>4 != 4 { // IPv6's chatter goes nowhere
			continue
		}
		to := int(buf[19]) - 1 // the last byte of the destination
		if to < 0 || to >= len(w.links) {
			continue
		}
		w.links[from][to].send(append([]byte{}, buf[:n]...))
	}
}

func (l *link) send(b []byte) {
	l.mu.Lock()
	cut, delay := l.cut, l.delay
	l.mu.Unlock()
	if cut {
		return
	}
	select {
	case l.packets <- packet{bytes: b, due: time.Now().Add(delay)}:
	default:
	}
}

func (w *network) deliver(l *link, to *os.File) {
	for p := range l.packets {
		time.Sleep(time.Until(p.due)) // the link is so slow
		_, _ = to.Write(p.bytes)      // a packet that is lost is sent again by TCP
	}
}

// set changes the link from one place to another. Places count from 0.
func (w *network) set(from, to int, cut bool, delay time.Duration) {
	l := w.links[from][to]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.delay = cut, delay
}

// heal ends all faults.
func (w *network) heal() {
	for from := range w.links {
		for to := range w.links {
			w.set(from, to, false, 0)
		}
	}
}

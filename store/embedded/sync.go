package embedded

import "sync"

// groupSync makes writes durable with one sync for all that wait together.
//
// A write is never acknowledged by a sync that began before its data was
// written, although a sync may be running when the write ends:
//
//	write A            write B            disk
//	data written
//	joins round 1,
//	leads it
//	                                      round 1 is closed to others,
//	                                      its sync begins
//	                   data written
//	                   round 1 is closed:
//	                   joins round 2,
//	                   leads it
//	                                      sync of round 1 ends
//	acknowledged       waited for that
//	                                      round 2 is closed, its sync begins,
//	                                      with B's data written long before
//	                                      sync of round 2 ends
//	                   acknowledged
//
// All that holds: a round is closed, under mu, before its sync begins, and a
// write joins a round, under mu, after its data was written.
type groupSync struct {
	sync func() error

	// turn is held by the leader of the round whose sync runs. It is taken
	// before mu.
	turn sync.Mutex

	mu   sync.Mutex
	open *round // the round that writes may join, nil if there is none
}

type round struct {
	members int // writes that wait for it, guarded by groupSync.mu
	done    chan struct{}
	err     error // set before done is closed
}

// wait returns when everything written before the call is on stable storage.
// A sync that fails is an error for all that waited for it.
func (g *groupSync) wait() error {
	g.mu.Lock()
	leads := g.open == nil
	if leads {
		g.open = &round{done: make(chan struct{})}
	}
	r := g.open
	r.members++
	g.mu.Unlock()
	if !leads {
		<-r.done
		return r.err
	}

	g.turn.Lock()
	g.mu.Lock()
	g.open = nil
	g.mu.Unlock()
	r.err = g.sync()
	g.turn.Unlock()
	close(r.done)
	return r.err
}

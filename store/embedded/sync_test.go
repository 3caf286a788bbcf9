package embedded

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"larder/test/testcluster"
)

// fakeDisk is a disk whose syncs begin and end when the test says so.
type fakeDisk struct {
	written atomic.Int64 // writes done
	durable atomic.Int64 // writes that were done when the last ended sync began
	begun   chan struct{}
	end     chan error
	syncs   atomic.Int64
}

func newFakeDisk() *fakeDisk {
	return &fakeDisk{begun: make(chan struct{}), end: make(chan error)}
}

func (d *fakeDisk) sync() error {
	d.syncs.Add(1)
	then := d.written.Load()
	d.begun <- struct{}{}
	err := <-d.end
	d.durable.Store(then)
	return err
}

// write writes and waits, and sends the outcome.
func (d *fakeDisk) write(g *groupSync, outcome chan<- error) {
	n := d.written.Add(1)
	err := g.wait()
	if err == nil && d.durable.Load() < n {
		err = errors.New("acknowledged by a sync that began before the write")
	}
	outcome <- err
}

// joined is how many writes have joined the round that is open.
func (g *groupSync) joined() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		return 0
	}
	return g.open.members
}

func TestAWriteDuringASyncWaitsForTheNext(t *testing.T) {
	disk := newFakeDisk()
	g := &groupSync{sync: disk.sync}
	first, second := make(chan error, 1), make(chan error, 10)
	go disk.write(g, first)
	<-disk.begun
	for range 10 {
		go disk.write(g, second)
	}
	testcluster.Holds(t, "ten writes wait for the second sync", func() bool { return g.joined() == 10 })
	disk.end <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-disk.begun
	select {
	case err := <-second:
		t.Fatalf("acknowledged before its sync ended: %v", err)
	default:
	}
	disk.end <- nil
	for range 10 {
		if err := <-second; err != nil {
			t.Fatal(err)
		}
	}
	if n := disk.syncs.Load(); n != 2 {
		t.Fatalf("%d syncs, want 2", n)
	}
}

func TestAFailedSyncFailsAllThatWaited(t *testing.T) {
	disk := newFakeDisk()
	g := &groupSync{sync: disk.sync}
	first, second, broken := make(chan error, 1), make(chan error, 3), errors.New("broken")
	go disk.write(g, first)
	<-disk.begun
	for range 3 {
		go disk.write(g, second)
	}
	testcluster.Holds(t, "three writes wait for the second sync", func() bool { return g.joined() == 3 })
	disk.end <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	<-disk.begun
	disk.end <- broken
	for range 3 {
		if err := <-second; !errors.Is(err, broken) {
			t.Fatalf("the error is %v, want %v", err, broken)
		}
	}
	// The next write is not held against it.
	go disk.write(g, first)
	<-disk.begun
	disk.end <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
}

func TestManyWritesAreAllDurable(t *testing.T) {
	disk := newFakeDisk()
	g := &groupSync{sync: disk.sync}
	stop := make(chan struct{})
	var pump sync.WaitGroup
	pump.Go(func() {
		for {
			select {
			case <-disk.begun:
				disk.end <- nil
			case <-stop:
				return
			}
		}
	})
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			outcome := make(chan error, 1)
			for range 200 {
				disk.write(g, outcome)
				if err := <-outcome; err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	pump.Wait()
	if n := disk.syncs.Load(); n > 32*200 {
		t.Errorf("%d syncs for %d writes", n, 32*200)
	}
}

package chaos

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"larder/test/testcluster"
)

// TestLifecycle tells the life of a release: three pods start at once, are
// replaced one by one, are scaled, and all die. Their names stay, each start
// has a new address, and nobody answers at the old one, not even to refuse.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	l, ok := newLand(t, 14)
	if !ok {
		return
	}
	s := newSet(l, "larder")
	clients := newService(s)
	startWithoutDNS(t, s)
	clients.stock(t.Context())
	clients.tell(t, "first writes")
	for _, ordinal := range []int{2, 1, 0} {
		clients.smoothly(t, fmt.Sprintf("larder-%d restarts at a new address", ordinal), func() { restart(t, s, ordinal) })
	}
	clients.during(t, "larder-1 is killed and comes at once at a new address", func() { replace(t, s, 1) })
	clients.smoothly(t, "scaled to five", func() { grow(t, s, 5) })
	clients.smoothly(t, "scaled to three", func() { shrink(t, s, 3) })
	clients.during(t, "all are killed and start at new addresses", func() { killAll(t, s) })
	clients.intact(t)
}

// startWithoutDNS starts three pods at once. The DNS does not answer, then it
// does not know the name, then it does.
func startWithoutDNS(t *testing.T, s *set) {
	t.Helper()
	s.launchAll(3)
	for _, p := range s.pods {
		p.said("cannot join yet")
		p.missing("no member of --join")
	}
	t.Log("three pods run, and DNS does not answer: none is ready")
	s.land.names.appear(s.land.places)
	for _, p := range s.pods {
		testcluster.Eventually(t, startLimit, p.Name+" asks DNS", func() error {
			if !s.land.names.toldUnknown(p.place) {
				return errors.New("it has not")
			}
			return nil
		})
		p.missing("no member of --join")
	}
	t.Log("DNS answers that there is no such name: none is ready")
	appeared := time.Now()
	s.publish()
	s.agree()
	for _, p := range s.pods {
		p.welcome()
	}
	t.Logf("DNS has their addresses: three are ready and one cluster after %.1fs", time.Since(appeared).Seconds())
}

// restart stops a pod and starts it at a new address, which DNS has only once
// the pod is ready: until then it has the old one, as caches do.
func restart(t *testing.T, s *set, ordinal int) {
	t.Helper()
	s.stop(s.pods[ordinal])
	p := s.launch(ordinal)
	p.welcome()
	ready := time.Since(p.began)
	s.publish()
	s.agree()
	t.Logf("%s: ready after %.1fs, known to all after %.1fs", p.name, ready.Seconds(), time.Since(p.began).Seconds())
}

// replace kills a pod and starts it at a new address at once, when the others
// have not seen it dead.
func replace(t *testing.T, s *set, ordinal int) {
	t.Helper()
	deaths := s.deaths()
	s.kill(s.pods[ordinal])
	p := s.launch(ordinal)
	s.agree()
	known, when := time.Since(p.began), "before"
	if s.deaths() > deaths { // this machine is slow
		when = "after"
	}
	p.welcome()
	t.Logf("%s: known to all after %.1fs, %s its former self was seen dead, and ready after %.1fs",
		p.name, known.Seconds(), when, time.Since(p.began).Seconds())
	s.publish()
}

// grow starts pods all at once.
func grow(t *testing.T, s *set, n int) {
	t.Helper()
	began := time.Now()
	for ordinal := len(s.pods); ordinal < n; ordinal++ {
		s.launch(ordinal)
	}
	s.publish()
	for _, p := range s.pods {
		p.welcome()
	}
	s.agree()
	t.Logf("%d pods are one cluster after %.1fs", n, time.Since(began).Seconds())
}

// shrink stops the pods of the highest ordinals, one after the other.
func shrink(t *testing.T, s *set, n int) {
	t.Helper()
	for _, p := range slices.Backward(s.pods[n:]) {
		s.stop(p)
	}
	s.shrink(n)
	s.publish()
	s.agree()
}

// killAll kills all pods at once and starts them at new addresses. At first
// DNS has only the old ones.
func killAll(t *testing.T, s *set) {
	t.Helper()
	for _, p := range s.pods {
		s.kill(p)
	}
	began := time.Now()
	s.launchAll(len(s.pods))
	for _, p := range s.pods {
		p.said("cannot join yet")
	}
	s.publish()
	for _, p := range s.pods {
		p.welcome()
	}
	s.agree()
	t.Logf("%d pods are ready and one cluster after %.1fs", len(s.pods), time.Since(began).Seconds())
}

package chaos

import (
	"net/http"
	"testing"
)

// TestReleasesStayApart lets two releases find each other, since one name in
// DNS answers with the pods of both, and lets a pod in that has everything but
// the secret. Each release stays one cluster of its own.
func TestReleasesStayApart(t *testing.T) {
	t.Parallel()
	l, ok := newLand(t, 6)
	if !ok {
		return
	}
	red, blue := newSet(l, "red"), newSet(l, "blue")
	blue.secret = red.secret // so that the label alone keeps them apart
	l.names.appear(l.places)
	red.launchAll(2)
	blue.launchAll(2)
	l.names.set(append(red.ips(), blue.ips()...)...)
	const otherLabel = "refused gossip of another cluster: its label is not ours"
	both := []*set{red, blue}
	for _, s := range both {
		for _, p := range s.pods {
			p.welcome()
		}
		s.agree()
		for _, p := range s.pods {
			p.said(otherLabel)
		}
	}
	t.Log("two releases with one secret ask one name, which answers with all four pods: each pod has refused the other release's")
	keepTheirOwn(t, both)

	impostor := &set{t: t, land: l, release: "red", secret: l.newSecret(), pods: red.current()}
	stranger := impostor.launch(2)
	l.names.set(append(append(red.ips(), blue.ips()...), stranger.place.ip)...)
	stranger.said("cannot join yet")
	stranger.missing("no member of --join")
	for _, p := range red.pods {
		p.said("refused gossip under another secret")
	}
	if alone, err := stranger.members(); err != nil || len(alone) != 1 {
		t.Errorf("the pod with another secret sees %v (%v)", alone, err)
	}
	t.Logf("%s has the label and another secret: both pods of the release have refused it, it sees nobody and is not ready", stranger.name)
	keepTheirOwn(t, both)
	stranger.missing("no member of --join")
}

// keepTheirOwn has every release keep another object under one key, and read
// it through every pod while clients work: had the rings merged, one would
// answer for the other.
func keepTheirOwn(t *testing.T, releases []*set) {
	t.Helper()
	const path = "/v1/objects/mine"
	for _, s := range releases {
		if status, got, err := s.pods[0].ask(http.MethodPut, path, s.release); err != nil || wantWritten(status, got) != nil {
			t.Fatalf("put through %s: status %d, %s (%v)", s.pods[0].Name, status, got, err)
		}
	}
	for _, s := range releases {
		clients := newService(s)
		clients.stock(t.Context())
		clients.smoothly(t, s.release+" is asked", func() {
			s.agree()
			for _, p := range s.pods {
				clients.holds(t, p, path, wantBody(s.release))
			}
		})
	}
}

package chaos

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"larder/test/testcluster"
)

// asInTheChart are the arguments that make a cluster of the chart's pods, as
// the template has them.
func asInTheChart() []string {
	return []string{
		"--http-addr=:8080", "--admin-addr=:9090", "--gossip-addr=:7946", "--peer-addr=:7947",
		"--join=dns+{{ $headless }}:7946",
		"--cluster-label=larder/{{ .Release.Namespace }}/{{ .Release.Name }}",
		"--cluster-secret-file=/etc/larder/cluster/secret",
		"--insecure-no-auth",
	}
}

// The ports of every pod, which has its address to itself.
const (
	podHTTPPort  = 8080
	podAdminPort = 9090
	podPeerPort  = 7947
)

// set is a StatefulSet: pods whose names stay and whose addresses do not.
type set struct {
	t       testing.TB
	land    *land
	release string
	secret  string // the file
	ever    []*pod // all that were started

	mu   sync.Mutex // guards pods, for clients
	pods []*pod     // by ordinal
}

// pod is one start of a node, at an address of its own.
type pod struct {
	*node
	name    string // the stable one
	address int    // which of the land's
	began   time.Time
}

// newSet makes a set without pods. Of two releases labels, secrets and places
// in S3 differ.
func newSet(l *land, release string) *set {
	l.t.Helper()
	s := &set{t: l.t, land: l, release: release, secret: l.newSecret()}
	template, err := os.ReadFile("../../helm/templates/statefulset.yaml")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, arg := range asInTheChart() {
		if !strings.Contains(string(template), "- "+arg+"\n") {
			l.t.Errorf("the chart gives nodes no %s", arg)
		}
	}
	return s
}

// launch starts the pod of an ordinal at a new address, and waits for nothing.
func (s *set) launch(ordinal int) *pod {
	s.t.Helper()
	l := s.land
	address := l.address()
	place := l.places[address]
	name := fmt.Sprintf("%s-%d", s.release, ordinal)
	n := &node{
		t: s.t, index: ordinal, place: place,
		httpAddr: at(place.local, podHTTPPort), adminAddr: at(place.local, podAdminPort), peerAddr: at(place.ip, podPeerPort),
		http: &http.Transport{DialContext: place.dial, MaxIdleConnsPerHost: 64, DisableCompression: true},
	}
	n.idle = sync.NewCond(&n.mu)
	s.t.Cleanup(n.http.CloseIdleConnections)
	env := append(slices.Clone(l.env), "LARDER_NAME="+name, "LARDER_ADVERTISE="+place.ip)
	n.Process = testcluster.NewProcess(s.t, name+"-at-"+place.ip, l.dir, env, func() []string {
		return append([]string{"unshare", "--mount", "sh", "-c", enterPod, l.resolvConf, l.binary}, s.args(address)...)
	})
	p := &pod{node: n, name: name, address: address, began: time.Now()}
	n.launch()
	s.ever = append(s.ever, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ordinal == len(s.pods) {
		s.pods = append(s.pods, p)
	} else {
		s.pods[ordinal] = p
	}
	return p
}

// args are the node's, as the chart gives them.
func (s *set) args(address int) []string {
	fill := strings.NewReplacer("{{ $headless }}", headless, "{{ .Release.Namespace }}", "research",
		"{{ .Release.Name }}", s.release, "/etc/larder/cluster/secret", s.secret)
	var args []string
	for _, arg := range asInTheChart() {
		args = append(args, fill.Replace(arg))
	}
	return append(args, "--memory=128MiB", "--s3-bucket=larder", "--s3-path-style",
		"--s3-endpoint=http://"+s.land.doors[address], "--s3-prefix="+s.release)
}

// launchAll starts pods of all ordinals below n at once.
func (s *set) launchAll(n int) {
	s.t.Helper()
	for ordinal := range n {
		s.launch(ordinal)
	}
}

// stop deletes a pod: the Service drops it, then it is told to end, and its
// address is gone.
func (s *set) stop(p *pod) {
	s.t.Helper()
	p.close(true)
	p.Stop()
	s.land.retire(p.address)
}

// kill ends a pod and its machine.
func (s *set) kill(p *pod) {
	s.t.Helper()
	p.close(false)
	s.land.retire(p.address)
	p.Kill()
}

// shrink forgets the pods from n on, which have been stopped.
func (s *set) shrink(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = s.pods[:n]
}

// current are the pods now.
func (s *set) current() []*pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pods)
}

// publish lets the DNS answer with the addresses of the pods, ready or not.
func (s *set) publish() { s.land.names.set(s.ips()...) }

// ips are the addresses of the pods.
func (s *set) ips() []string {
	var ips []string
	for _, p := range s.current() {
		ips = append(ips, p.place.ip)
	}
	return ips
}

// deaths is how often a pod has seen another dead.
func (s *set) deaths() (n int) {
	for _, p := range s.ever {
		n += strings.Count(p.Log(), "member died or was cut off")
	}
	return n
}

// members are names and addresses as a pod's /cluster shows them, or as they
// should be.
type members []struct{ Name, Peer string }

// agree waits until every pod that runs is ready and sees those that run, at
// their addresses, and nobody else.
func (s *set) agree() {
	s.t.Helper()
	var want members
	running := slices.DeleteFunc(s.current(), func(p *pod) bool { return !p.Running() })
	for _, p := range running {
		want = append(want, struct{ Name, Peer string }{p.name, p.peerAddr})
	}
	slices.SortFunc(want, func(a, b struct{ Name, Peer string }) int { return cmp.Compare(a.Name, b.Name) })
	for _, p := range running {
		testcluster.Eventually(s.t, startLimit, fmt.Sprintf("%s sees all and nobody else", p.Name), func() error {
			have, err := p.members()
			if err == nil && !slices.Equal(have, want) {
				err = fmt.Errorf("it sees %v, want %v", have, want)
			}
			return err
		})
	}
}

func (p *pod) members() (members, error) {
	b, err := p.look("/cluster")
	if err != nil {
		return nil, err
	}
	var page struct{ Members members }
	if err := json.Unmarshal(b, &page); err != nil {
		return nil, fmt.Errorf("read /cluster of %s: %w", p.Name, err)
	}
	return page.Members, nil
}

// missing waits until a pod says that it is not ready, for that reason.
func (p *pod) missing(reason string) {
	p.t.Helper()
	testcluster.Eventually(p.t, startLimit, p.Name+" says what is missing", func() error {
		_, err := p.look("/readyz")
		if err == nil {
			p.t.Fatalf("%s is ready", p.Name)
		}
		if !strings.Contains(err.Error(), reason) {
			return err
		}
		return nil
	})
}

// said waits until a pod's log holds that.
func (p *pod) said(what string) {
	p.t.Helper()
	testcluster.Eventually(p.t, startLimit, fmt.Sprintf("%s says %q", p.Name, what), func() error {
		if !strings.Contains(p.Log(), what) {
			return errors.New("it has not")
		}
		return nil
	})
}

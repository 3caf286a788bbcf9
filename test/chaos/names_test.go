package chaos

import (
	"net"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// names is the DNS of a land. It answers for one name in every place, and what
// it answers may be old, or not there.
type names struct {
	t    testing.TB
	name string

	mu      sync.Mutex // guards all below
	addrs   []string
	unknown map[string]bool // the places that were told that there is no such name
}

// nameDoor is where the DNS answers one place.
type nameDoor struct {
	*names
	place place
}

// appear makes the DNS answer in the places, where nobody listened before.
func (s *names) appear(places []place) {
	s.t.Helper()
	for _, p := range places {
		var conn net.PacketConn
		err := p.do(func() (err error) {
			conn, err = net.ListenPacket("udp", p.local+":53")
			return err
		})
		if err != nil {
			s.t.Fatal(err)
		}
		server, done := &dns.Server{PacketConn: conn, Handler: nameDoor{s, p}}, make(chan struct{})
		go func() { // ends when the connection is closed
			defer close(done)
			_ = server.ActivateAndServe()
		}()
		s.t.Cleanup(func() {
			_ = conn.Close()
			<-done
		})
	}
}

// set changes the addresses of the name; with none of them it does not exist.
func (s *names) set(addrs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addrs = addrs
}

// toldUnknown reports whether a place was told that there is no such name.
func (s *names) toldUnknown(p place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unknown[p.ip]
}

// ServeDNS answers one query.
func (s nameDoor) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, asked := new(dns.Msg).SetReply(q), q.Question[0]
	if asked.Name == s.name && len(s.addrs) == 0 {
		s.unknown[s.place.ip] = true
	}
	if asked.Name != s.name || len(s.addrs) == 0 {
		answer.Rcode = dns.RcodeNameError
	} else if asked.Qtype == dns.TypeA {
		for _, addr := range s.addrs {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
				A:   net.ParseIP(addr),
			})
		}
	}
	_ = w.WriteMsg(answer)
}
